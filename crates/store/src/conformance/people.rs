//! Accounts and principals.

use telstar_units::AccountId;

use super::{Fixture, at, founded, founding, name};
use crate::{EventId, PageRequest, PrincipalKind, PrincipalName, Role, RoomsOf, StoreError};

pub(crate) fn a_store_is_founded_once(fixture: Fixture) {
    let store = fixture.store;
    assert!(store.first_admin().wait().expect("readable").is_none());
    let first = store.found(founding(), at(1)).wait().expect("an empty store can be founded");
    assert!(first.fresh && first.admin.role == Role::Admin && first.admin.created_at == at(1));

    let second = store.found(founding(), at(9)).wait().expect("a founded store says so");
    assert!(!second.fresh && second.admin == first.admin);
    let rooms = store.rooms(RoomsOf::Everyone, PageRequest::first()).wait().expect("readable");
    assert_eq!(rooms.items.len(), 1, "the second call wrote nothing");
    assert!(store.first_admin().wait().expect("readable") == Some(first.admin.clone()));
    assert!(store.account(first.admin.id).wait().expect("readable") == Some(first.admin));
    assert!(store.account(AccountId(99)).wait().expect("readable").is_none());
    assert_eq!(store.stream_keys(name("demo"), PageRequest::first()).wait().expect("readable").items.len(), 1);
    assert_eq!(store.events_after(EventId(0)).wait().expect("readable").len(), 1);
    store.ping().wait().expect("a store that works says so");
}

pub(crate) fn two_founders_at_once_make_one_admin(fixture: Fixture) {
    let other = fixture.again.as_ref().map_or_else(|| None, |again| Some(again()));
    let one = fixture.store.found(founding(), at(1));
    let two = other.as_ref().unwrap_or(&fixture.store).found(founding(), at(1));
    let fresh = [one, two].map(|pending| pending.wait().expect("the slower one waits").fresh);
    assert_eq!(fresh.iter().filter(|fresh| **fresh).count(), 1);
}

pub(crate) fn equal_subjects_of_two_issuers_are_different_people(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let id = |issuer: &str, kind| {
        let name = PrincipalName { issuer: issuer.into(), subject: "alice".into(), kind };
        store.principal(name, owner, at(2)).wait().expect("a principal is made at first use")
    };
    let alice = id("ak_first", PrincipalKind::Identity);
    assert_ne!(alice, id("ak_other", PrincipalKind::Identity));
    assert_ne!(alice, id("ak_first", PrincipalKind::Ingest));
    assert_eq!(alice, id("ak_first", PrincipalKind::Identity), "the second use finds the row");
}

pub(crate) fn a_principal_has_an_owner_that_exists(fixture: Fixture) {
    let store = fixture.store;
    founded(&*store);
    let name = PrincipalName { issuer: "local".into(), subject: "account:7".into(), kind: PrincipalKind::Account };
    let answer = store.principal(name, AccountId(7), at(2)).wait();
    assert_eq!(answer, Err(StoreError::NotFound("account")));
}
