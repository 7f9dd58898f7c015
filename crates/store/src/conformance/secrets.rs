//! Stream keys, sign-in codes, sessions, API tokens, API keys and denied tokens.

use telstar_units::AccountId;

use super::{Fixture, at, bearer, founded, hash, name, new_api_key, new_key, new_room};
use crate::{
    API_TOKENS_PER_ACCOUNT_MAX, PageRequest, REVOKED_KEPT_SECS, SESSIONS_PER_ACCOUNT_MAX, STREAM_KEYS_PER_ROOM_MAX,
    Store, StoreError, StreamKeyId,
};

pub(crate) fn a_stream_key_is_found_by_its_locator(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made = store.create_stream_key(name("demo"), new_key("k1"), owner, at(2)).wait().expect("below the limit");
    let taken = store.create_stream_key(name("demo"), new_key("k1"), owner, at(2)).wait();
    assert_eq!(taken.err(), Some(StoreError::Conflict("stream key")));
    let nowhere = store.create_stream_key(name("nowhere"), new_key("k2"), owner, at(2)).wait();
    assert_eq!(nowhere.err(), Some(StoreError::NotFound("room")));

    let (key, room) = store.find_stream_key("k1".into()).wait().expect("readable").expect("the key was made");
    assert!(key == made && key.hash == hash("k1") && room.name == name("demo") && key.owner == owner);
    assert!(key.last_used_at.is_none() && key.revoked_at.is_none() && key.label == "OBS");
    assert!(store.find_stream_key("k3".into()).wait().expect("readable").is_none());

    store.stream_key_used(key.id, at(9)).wait().expect("a use is noted");
    store.stream_key_used(key.id, at(8)).wait().expect("an older use is no error");
    store.stream_key_used(StreamKeyId(99), at(9)).wait().expect("a key that is gone is no error");
    let (key, _) = store.find_stream_key("k1".into()).wait().expect("readable").expect("the key is there");
    assert_eq!(key.last_used_at, Some(at(9)));
}

pub(crate) fn a_revoked_stream_key_says_so_and_leaves_the_list(fixture: Fixture) {
    let store = fixture.store;
    founded(&*store);
    let (key, _) = store.find_stream_key("first".into()).wait().expect("readable").expect("founded with a key");
    let revoked = store.revoke_stream_key(name("demo"), key.id, at(5)).wait().expect("the key is there");
    assert_eq!(revoked.revoked_at, Some(at(5)));
    let (key, _) = store.find_stream_key("first".into()).wait().expect("readable").expect("kept for its reason");
    assert_eq!(key.revoked_at, Some(at(5)));
    let page = store.stream_keys(name("demo"), PageRequest::first()).wait().expect("readable");
    assert!(page.items.is_empty());
    let again = store.revoke_stream_key(name("demo"), key.id, at(6)).wait();
    assert_eq!(again.err(), Some(StoreError::NotFound("stream key")));
}

pub(crate) fn a_stream_key_is_revoked_in_its_own_room_only(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    store.create_room(new_room("other"), owner, at(2)).wait().expect("the name is free");
    let (key, _) = store.find_stream_key("first".into()).wait().expect("readable").expect("founded with a key");
    let wrong = store.revoke_stream_key(name("other"), key.id, at(5)).wait();
    assert_eq!(wrong.err(), Some(StoreError::NotFound("stream key")));
    let (key, _) = store.find_stream_key("first".into()).wait().expect("readable").expect("the key is there");
    assert_eq!(key.revoked_at, None);
}

pub(crate) fn a_room_has_a_limit_of_stream_keys(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let make = |locator: &str| store.create_stream_key(name("demo"), new_key(locator), owner, at(2)).wait();
    for n in 1..STREAM_KEYS_PER_ROOM_MAX {
        assert!(make(&format!("k{n}")).is_ok());
    }
    let limit = StoreError::Limit { what: "stream keys of one room", max: STREAM_KEYS_PER_ROOM_MAX };
    assert_eq!(make("more").err(), Some(limit));
    let page = store.stream_keys(name("demo"), PageRequest::first()).wait().expect("readable");
    assert!(page.items.len() == STREAM_KEYS_PER_ROOM_MAX && page.next.is_none());
    store.revoke_stream_key(name("demo"), page.items[0].id, at(3)).wait().expect("the key is there");
    assert!(make("more").is_ok(), "a revoked key does not count");
}

pub(crate) fn a_sign_in_code_works_once(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    store.create_sign_in_code(bearer(owner, "code", 900), at(1)).wait().expect("a code is made");
    let code = store.find_sign_in_code("code".into(), at(2)).wait().expect("readable").expect("the code is good");
    assert!(code.account.id == owner && code.hash == hash("code") && code.expires_at == at(900));
    let session = store.redeem_sign_in_code("code".into(), bearer(owner, "s1", 9_000), at(3)).wait();
    let session = session.expect("the first use makes a session");
    assert!(session.account.id == owner);
    assert!(store.find_sign_in_code("code".into(), at(3)).wait().expect("readable").is_none());
    let again = store.redeem_sign_in_code("code".into(), bearer(owner, "s2", 9_000), at(3)).wait();
    assert_eq!(again.err(), Some(StoreError::NotFound("sign-in code")));
    assert!(store.find_session("s2".into(), at(4)).wait().expect("readable").is_none());
    let found = store.find_session("s1".into(), at(4)).wait().expect("readable").expect("signed in");
    assert!(found == session && found.hash == hash("s1"));
}

pub(crate) fn of_two_that_redeem_one_code_one_wins(fixture: Fixture) {
    let owner = founded(&*fixture.store);
    let other = fixture.again.as_ref().map(|again| again());
    fixture.store.create_sign_in_code(bearer(owner, "code", 900), at(1)).wait().expect("a code is made");
    let one = fixture.store.redeem_sign_in_code("code".into(), bearer(owner, "s1", 9_000), at(2));
    let two =
        other.as_ref().unwrap_or(&fixture.store).redeem_sign_in_code("code".into(), bearer(owner, "s2", 9_000), at(2));
    let won = [one, two].map(|pending| pending.wait().is_ok());
    assert!(won[0] != won[1], "{won:?}");
}

pub(crate) fn a_code_cannot_sign_another_account_in(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    store.create_sign_in_code(bearer(owner, "code", 900), at(1)).wait().expect("a code is made");
    let other = AccountId(owner.0 + 1);
    assert!(store.redeem_sign_in_code("code".into(), bearer(other, "s1", 9_000), at(3)).wait().is_err());
    assert!(store.find_sign_in_code("code".into(), at(3)).wait().expect("readable").is_some(), "it was not used up");
}

pub(crate) fn what_has_expired_is_not_found(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    store.create_sign_in_code(bearer(owner, "c", 10), at(1)).wait().expect("a code is made");
    store.create_sign_in_code(bearer(owner, "c2", 100), at(1)).wait().expect("a code is made");
    store.redeem_sign_in_code("c2".into(), bearer(owner, "s", 10), at(1)).wait().expect("the code is good");
    store.create_api_token(bearer(owner, "t", 10), at(1)).wait().expect("a token is made");
    let found = |secs| {
        let code = store.find_sign_in_code("c".into(), at(secs)).wait().expect("readable").is_some();
        let session = store.find_session("s".into(), at(secs)).wait().expect("readable").is_some();
        let token = store.find_api_token("t".into(), at(secs)).wait().expect("readable").is_some();
        (code, session, token)
    };
    assert_eq!(found(9), (true, true, true));
    assert_eq!(found(10), (false, false, false), "the last moment is over");
    let late = store.redeem_sign_in_code("c".into(), bearer(owner, "s3", 99), at(10)).wait();
    assert_eq!(late.err(), Some(StoreError::NotFound("sign-in code")));
}

/// Signs in with a code made for it.
fn sign_in(store: &dyn Store, owner: AccountId, locator: &str) {
    store.create_sign_in_code(bearer(owner, locator, 900), at(1)).wait().expect("a code is made");
    let session = store.redeem_sign_in_code(locator.into(), bearer(owner, locator, 900), at(1)).wait();
    assert!(session.is_ok());
}

pub(crate) fn one_session_too_many_signs_the_oldest_out(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for n in 0..=SESSIONS_PER_ACCOUNT_MAX {
        sign_in(&*store, owner, &format!("s{n}"));
    }
    let found = |n| store.find_session(format!("s{n}"), at(2)).wait().expect("readable").is_some();
    assert!(!found(0) && found(1) && found(SESSIONS_PER_ACCOUNT_MAX));
}

pub(crate) fn a_session_ends_when_it_is_deleted(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    sign_in(&*store, owner, "s");
    let session = store.find_session("s".into(), at(2)).wait().expect("readable").expect("signed in");
    store.delete_session(session.id).wait().expect("the session is there");
    assert!(store.find_session("s".into(), at(2)).wait().expect("readable").is_none());
    store.delete_session(session.id).wait().expect("a session that is gone is no error");
}

pub(crate) fn an_account_can_end_all_its_bearers_at_once(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    sign_in(&*store, owner, "s1");
    sign_in(&*store, owner, "s2");
    store.create_sign_in_code(bearer(owner, "c", 900), at(1)).wait().expect("a code is made");
    store.create_api_token(bearer(owner, "t", 900), at(1)).wait().expect("a token is made");
    assert_eq!(store.end_bearers(AccountId(owner.0 + 1)).wait(), Ok(0), "another account has none");
    assert_eq!(store.end_bearers(owner).wait(), Ok(4));
    assert!(store.find_session("s1".into(), at(2)).wait().expect("readable").is_none());
    assert!(store.find_session("s2".into(), at(2)).wait().expect("readable").is_none());
    assert!(store.find_sign_in_code("c".into(), at(2)).wait().expect("readable").is_none());
    assert!(store.find_api_token("t".into(), at(2)).wait().expect("readable").is_none());
    sign_in(&*store, owner, "s3");
}

pub(crate) fn one_api_token_too_many_is_refused_until_others_expire(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made: Vec<_> = (0..API_TOKENS_PER_ACCOUNT_MAX)
        .map(|n| store.create_api_token(bearer(owner, &format!("t{n}"), 100), at(1)))
        .collect();
    assert!(made.into_iter().all(|pending| pending.wait().is_ok()));
    let limit = StoreError::Limit { what: "API tokens of one account", max: API_TOKENS_PER_ACCOUNT_MAX };
    assert_eq!(store.create_api_token(bearer(owner, "more", 100), at(2)).wait(), Err(limit));
    assert!(store.find_api_token("t0".into(), at(2)).wait().expect("readable").is_some(), "no token was lost");
    assert!(store.create_api_token(bearer(owner, "more", 200), at(100)).wait().is_ok());
}

pub(crate) fn a_revoked_api_key_is_gone(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made = store.create_api_key(new_api_key("ak_2"), owner, at(2)).wait().expect("below the limit");
    assert!(store.api_key("ak_2".into()).wait().expect("readable") == Some(made));
    let taken = store.create_api_key(new_api_key("ak_2"), owner, at(2)).wait();
    assert_eq!(taken.err(), Some(StoreError::Conflict("API key")));
    let ids = |page: PageRequest| {
        let page = store.api_keys(owner, page).wait().expect("readable");
        (page.items.into_iter().map(|key| key.id).collect::<Vec<_>>(), page.next)
    };
    let (first, next) = ids(PageRequest::new(None, 1));
    assert_eq!(first, ["ak_first"]);
    assert_eq!(ids(PageRequest::new(next, 1)), (vec!["ak_2".to_owned()], None));

    store.revoke_api_key("ak_first".into(), at(3)).wait().expect("the key is there");
    assert_eq!(store.revoke_api_key("ak_first".into(), at(3)).wait(), Err(StoreError::NotFound("API key")));
    assert!(store.api_key("ak_first".into()).wait().expect("readable").is_none());
    assert_eq!(ids(PageRequest::first()).0, ["ak_2"]);
    let again = store.create_api_key(new_api_key("ak_first"), owner, at(4)).wait();
    assert_eq!(again.err(), Some(StoreError::Conflict("API key")), "an issuer's name is never used again");
}

pub(crate) fn a_denied_token_is_denied_until_it_expires(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let deny = |jti: &str, until| store.deny_token("ak_first".into(), jti.into(), owner, at(until)).wait();
    let denied =
        |issuer: &str, jti: &str, now| store.token_denied(issuer.into(), jti.into(), at(now)).wait().expect("readable");
    deny("j1", 100).expect("a token can be denied");
    deny("j1", 50).expect("denying it again is no error");
    assert!(denied("ak_first", "j1", 99), "the longer denial stands");
    assert!(!denied("ak_first", "j1", 100));
    assert!(!denied("ak_other", "j1", 9), "an issuer's ids are its own");
    assert!(!denied("ak_first", "j2", 9));
}

pub(crate) fn a_sweep_removes_what_has_ended_and_nothing_else(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let revoked_until = 5 + REVOKED_KEPT_SECS;
    for (locator, expires) in [("old", 100), ("new", revoked_until + 100)] {
        store.create_sign_in_code(bearer(owner, locator, expires), at(1)).wait().expect("a code is made");
        store.create_api_token(bearer(owner, locator, expires), at(1)).wait().expect("a token is made");
        store.deny_token("ak_first".into(), locator.into(), owner, at(expires)).wait().expect("a token is denied");
    }
    let (key, _) = store.find_stream_key("first".into()).wait().expect("readable").expect("founded with a key");
    store.create_stream_key(name("demo"), new_key("second"), owner, at(2)).wait().expect("below the limit");
    store.revoke_stream_key(name("demo"), key.id, at(5)).wait().expect("the key is there");

    assert_eq!(store.sweep(at(50)).wait(), Ok(0));
    assert_eq!(store.sweep(at(100)).wait(), Ok(3));
    assert_eq!(store.sweep(at(revoked_until)).wait(), Ok(1));
    assert!(store.find_stream_key("first".into()).wait().expect("readable").is_none());
    assert!(store.find_stream_key("second".into()).wait().expect("readable").is_some());
    assert!(store.find_api_token("new".into(), at(revoked_until)).wait().expect("readable").is_some());
}
