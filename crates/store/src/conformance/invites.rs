//! Invites.

use super::{Fixture, at, founded, hash, name, new_room};
use crate::{INVITES_PER_ROOM_MAX, InviteId, NewInvite, PageRequest, StoreError};

fn invite(locator: &str, uses: Option<u32>, expires_secs: i64) -> NewInvite {
    NewInvite {
        label: "guests".into(),
        grants: vec!["join".into(), "publish".into()],
        locator: locator.into(),
        hash: hash(locator),
        uses,
        expires_at: at(expires_secs),
    }
}

pub(crate) fn an_invite_is_found_by_its_locator_until_it_ends(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made = store.create_invite(name("demo"), invite("a", None, 100), owner, at(2)).wait().expect("a room");
    assert!(made.label == "guests" && made.grants == ["join", "publish"] && made.uses_left.is_none());
    let find = |now| store.find_invite("a".into(), at(now)).wait().expect("readable");
    let (found, room) = find(3).expect("it is good");
    assert!(found == made && room.name == name("demo"));
    assert!(find(100).is_none(), "its end has come");
    assert_eq!(store.use_invite(made.id, at(100)).wait(), Err(StoreError::NotFound("invite")));
    let again = store.create_invite(name("demo"), invite("a", None, 100), owner, at(2)).wait();
    assert_eq!(again.err(), Some(StoreError::Conflict("invite")));
    let nowhere = store.create_invite(name("nowhere"), invite("b", None, 100), owner, at(2)).wait();
    assert_eq!(nowhere.err(), Some(StoreError::NotFound("room")));
    assert_eq!(store.sweep(at(100)).wait(), Ok(1));
}

pub(crate) fn an_invite_is_used_no_more_often_than_it_says(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made = store.create_invite(name("demo"), invite("a", Some(10), 100), owner, at(2)).wait().expect("a room");
    // Not waited for one by one, so that they can share a transaction.
    let answers: Vec<_> = (0..50).map(|_| store.use_invite(made.id, at(3))).collect();
    assert_eq!(answers.into_iter().filter_map(|answer| answer.wait().ok()).count(), 10);
    assert!(store.find_invite("a".into(), at(3)).wait().expect("readable").is_none());
    let listed = store.invites(name("demo"), PageRequest::first(), at(3)).wait().expect("readable").items;
    assert!(listed.len() == 1 && listed[0].uses_left == Some(0), "its maker still sees it");
    let free = store.create_invite(name("demo"), invite("b", None, 100), owner, at(2)).wait().expect("a room");
    for _ in 0..20 {
        store.use_invite(free.id, at(3)).wait().expect("it has no limit");
    }
}

pub(crate) fn a_revoked_invite_is_gone_and_only_from_its_own_room(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    store.create_room(new_room("show"), owner, at(2)).wait().expect("the name is free");
    let made = store.create_invite(name("demo"), invite("a", None, 100), owner, at(2)).wait().expect("a room");
    let revoke = |room: &str, id| store.revoke_invite(name(room), id).wait();
    assert_eq!(revoke("show", made.id), Err(StoreError::NotFound("invite")));
    assert_eq!(revoke("demo", InviteId(99)), Err(StoreError::NotFound("invite")));
    assert_eq!(revoke("demo", made.id), Ok(()));
    assert!(store.find_invite("a".into(), at(3)).wait().expect("readable").is_none());
    assert_eq!(store.use_invite(made.id, at(3)).wait(), Err(StoreError::NotFound("invite")));
    store.create_invite(name("show"), invite("b", None, 100), owner, at(2)).wait().expect("a room");
    store.delete_room(name("show"), at(3)).wait().expect("the room is there");
    assert!(store.find_invite("b".into(), at(3)).wait().expect("readable").is_none(), "it goes with its room");
}

pub(crate) fn a_room_has_a_limit_of_invites(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made: Vec<_> = (0..INVITES_PER_ROOM_MAX)
        .map(|n| store.create_invite(name("demo"), invite(&format!("i{n}"), None, 100), owner, at(2)))
        .collect();
    assert!(made.into_iter().all(|answer| answer.wait().is_ok()));
    let more = || store.create_invite(name("demo"), invite("more", None, 200), owner, at(2)).wait();
    assert!(matches!(more().err(), Some(StoreError::Limit { .. })));
    let later = store.create_invite(name("demo"), invite("later", None, 200), owner, at(100)).wait();
    assert!(later.is_ok(), "what has expired does not count");
}
