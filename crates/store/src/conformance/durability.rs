//! What an acknowledgement means.

use super::{Fixture, at, bearer, founded, name, new_key, new_room};
use crate::{EventId, PageRequest, RoomsOf, StoreError};

pub(crate) fn what_was_acknowledged_is_there_after_reopening(fixture: Fixture) {
    let Some(again) = fixture.again else { return };
    let owner = founded(&*fixture.store);
    let room = fixture.store.create_room(new_room("show"), owner, at(2)).wait().expect("the name is free");
    let key = fixture.store.create_stream_key(name("show"), new_key("k"), owner, at(2)).wait().expect("a key");
    fixture.store.create_api_token(bearer(owner, "t", 100), at(2)).wait().expect("a token is made");
    drop(fixture.store);

    let store = again();
    assert!(store.room(name("show")).wait().expect("readable") == Some(room.clone()));
    assert!(store.find_stream_key("k".into()).wait().expect("readable") == Some((key, room)));
    assert!(store.find_api_token("t".into(), at(3)).wait().expect("readable").is_some());
    assert_eq!(store.events_after(EventId(0)).wait().expect("readable").len(), 2);
    assert!(store.first_admin().wait().expect("readable").is_some_and(|admin| admin.id == owner));
}

pub(crate) fn runs_are_counted_over_reopening(fixture: Fixture) {
    assert_eq!(fixture.store.begin_run(at(1)).wait(), Ok(1));
    assert_eq!(fixture.store.begin_run(at(1)).wait(), Ok(2));
    drop(fixture.store);
    if let Some(again) = fixture.again {
        assert_eq!(again().begin_run(at(0)).wait(), Ok(3));
    }
}

pub(crate) fn a_failed_operation_leaves_its_neighbours_alone(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    // Not waited for one by one, so that they can share a transaction.
    let answers: Vec<_> = (0..100).map(|n| store.create_room(new_room(&format!("r{}", n / 2)), owner, at(2))).collect();
    for (n, answer) in answers.into_iter().enumerate() {
        let expect = if n % 2 == 0 { None } else { Some(StoreError::Conflict("room")) };
        assert_eq!(answer.wait().err(), expect, "call {n}");
    }
    let rooms = store.rooms(RoomsOf::Owner(owner), PageRequest::first()).wait().expect("readable");
    assert_eq!(rooms.items.len(), 51);
    assert_eq!(store.events_after(EventId(0)).wait().expect("readable").len(), 51);
}

pub(crate) fn an_answer_is_visible_to_the_next_read(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for n in 0..100 {
        let room = store.create_room(new_room(&format!("r{n}")), owner, at(2)).wait().expect("the name is free");
        assert!(store.room(room.name.clone()).wait().expect("readable") == Some(room));
    }
}

pub(crate) fn a_closing_store_does_what_it_accepted(fixture: Fixture) {
    let owner = founded(&*fixture.store);
    let answers: Vec<_> =
        (0..50).map(|n| fixture.store.create_room(new_room(&format!("r{n}")), owner, at(2))).collect();
    drop(fixture.store);
    assert!(answers.into_iter().all(|answer| answer.wait().is_ok()));
    if let Some(again) = fixture.again {
        let rooms = again().rooms(RoomsOf::Owner(owner), PageRequest::first()).wait().expect("readable");
        assert_eq!(rooms.items.len(), 51);
    }
}
