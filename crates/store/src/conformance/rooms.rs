//! Rooms and events.

use telstar_units::AccountId;

use super::{Fixture, at, founded, name, new_key, new_room};
use crate::{
    EMBED_ORIGINS_MAX, EventId, EventKind, NewRoom, PageRequest, ROOMS_PER_ACCOUNT_MAX, RoomChange, RoomMode, RoomsOf,
    StoreError,
};

pub(crate) fn a_room_name_is_taken_once(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made = store.create_room(new_room("show"), owner, at(2)).wait().expect("the name is free");
    assert!(store.room(name("show")).wait().expect("readable") == Some(made.clone()));
    assert!(made.owner == owner && made.open && made.title == "Title of show" && made.created_at == at(2));
    let again = store.create_room(new_room("show"), owner, at(3)).wait();
    assert_eq!(again.err(), Some(StoreError::Conflict("room")));
    assert_eq!(
        store.create_room(new_room("ghost"), AccountId(7), at(3)).wait().err(),
        Some(StoreError::NotFound("account"))
    );
    assert!(store.room(name("ghost")).wait().expect("readable").is_none());
}

pub(crate) fn a_rooms_mode_stays(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for (text, mode) in [("direct", RoomMode::P2p), ("through", RoomMode::Sfu)] {
        let made = store.create_room(NewRoom { mode, ..new_room(text) }, owner, at(2)).wait().expect("a free name");
        assert_eq!(made.mode, mode);
        let change = RoomChange { title: Some("New".into()), ..RoomChange::default() };
        assert_eq!(store.change_room(name(text), change, at(3)).wait().map(|room| room.mode), Ok(mode));
    }
}

pub(crate) fn a_change_leaves_the_rest_as_it_was(fixture: Fixture) {
    let store = fixture.store;
    founded(&*store);
    let change = |change| store.change_room(name("demo"), change, at(2)).wait().expect("the room is there");
    let room = change(RoomChange { title: Some("회의실".into()), ..RoomChange::default() });
    assert!(room.title == "회의실" && room.open && room.embed_origins.is_empty());
    let origins = vec!["https://a.example".to_owned(), "https://b.example:8443".to_owned()];
    let room = change(RoomChange { embed_origins: Some(origins.clone()), ..RoomChange::default() });
    assert!(room.title == "회의실" && room.embed_origins == origins);
    let room = change(RoomChange { open: Some(false), ..RoomChange::default() });
    assert!(!room.open && room.embed_origins == origins && room.created_at == at(1));
    let room = change(RoomChange { embed_origins: Some(Vec::new()), ..RoomChange::default() });
    assert!(room.embed_origins.is_empty());
    assert!(store.room(name("demo")).wait().expect("readable") == Some(room));
    let missing = store.change_room(name("nowhere"), RoomChange::default(), at(2)).wait();
    assert_eq!(missing.err(), Some(StoreError::NotFound("room")));
}

pub(crate) fn a_room_lists_few_and_short_origins(fixture: Fixture) {
    let store = fixture.store;
    founded(&*store);
    let change = |origins: Vec<String>| {
        let change = RoomChange { embed_origins: Some(origins), ..RoomChange::default() };
        store.change_room(name("demo"), change, at(2)).wait().err()
    };
    let many = (0..=EMBED_ORIGINS_MAX).map(|n| format!("https://{n}.example")).collect();
    assert!(matches!(change(many), Some(StoreError::Limit { .. })));
    assert!(matches!(change(vec!["h".repeat(1_000)]), Some(StoreError::Limit { .. })));
    for bad in ["https://a.example\nhttps://b.example", "https://a.example *", ""] {
        assert_eq!(change(vec![bad.into()]), Some(StoreError::Invalid("origin")), "{bad:?}");
    }
}

pub(crate) fn pages_hold_every_room_once(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for n in 0..10 {
        store.create_room(new_room(&format!("r{n}")), owner, at(2)).wait().expect("the name is free");
    }
    for limit in [1, 3, 11, 12] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.rooms(RoomsOf::Everyone, PageRequest::new(after, limit)).wait().expect("readable");
            assert!(page.items.len() <= limit && !page.items.is_empty(), "no page is empty or too long");
            seen.extend(page.items.into_iter().map(|room| room.name.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expect: Vec<String> = std::iter::once("demo".to_owned()).chain((0..10).map(|n| format!("r{n}"))).collect();
        assert_eq!(seen, expect, "limit {limit}");
    }
}

pub(crate) fn a_list_holds_the_rooms_of_its_owner_only(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let of = |owner| {
        let page = store.rooms(RoomsOf::Owner(owner), PageRequest::first()).wait().expect("readable");
        page.items.len()
    };
    assert_eq!((of(owner), of(AccountId(owner.0 + 1))), (1, 0));
}

pub(crate) fn an_account_has_a_limit_of_rooms(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let answers: Vec<_> =
        (1..=ROOMS_PER_ACCOUNT_MAX).map(|n| store.create_room(new_room(&format!("r{n}")), owner, at(2))).collect();
    let failed: Vec<_> = answers.into_iter().filter_map(|answer| answer.wait().err()).collect();
    assert_eq!(failed, [StoreError::Limit { what: "rooms of one account", max: ROOMS_PER_ACCOUNT_MAX }]);
    store.delete_room(name("demo"), at(3)).wait().expect("the room is there");
    assert!(store.create_room(new_room("again"), owner, at(4)).wait().is_ok(), "one less leaves room for one");
}

pub(crate) fn a_deleted_room_takes_its_stream_keys_along(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let gone = store.delete_room(name("demo"), at(2)).wait().expect("the room is there");
    assert!(gone.name == name("demo"));
    assert!(store.room(name("demo")).wait().expect("readable").is_none());
    assert!(store.find_stream_key("first".into()).wait().expect("readable").is_none());
    let listed = store.stream_keys(name("demo"), PageRequest::first()).wait();
    assert_eq!(listed.err(), Some(StoreError::NotFound("room")));
    assert_eq!(store.delete_room(name("demo"), at(3)).wait().err(), Some(StoreError::NotFound("room")));

    let anew = store.create_room(new_room("demo"), owner, at(4)).wait().expect("the name is free again");
    assert!(anew.id != gone.id, "a new room of an old name is a different room");
    let keys = store.stream_keys(name("demo"), PageRequest::first()).wait().expect("readable");
    assert!(keys.items.is_empty(), "the old room's keys do not open the new one");
}

pub(crate) fn every_change_leaves_one_event_and_a_failure_none(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    store.create_room(new_room("show"), owner, at(2)).wait().expect("the name is free");
    assert!(store.create_room(new_room("show"), owner, at(2)).wait().is_err());
    store.change_room(name("show"), RoomChange::default(), at(3)).wait().expect("the room is there");
    let key = store.create_stream_key(name("show"), new_key("k"), owner, at(3)).wait().expect("below the limit");
    store.revoke_stream_key(name("show"), key.id, at(4)).wait().expect("the key is there");
    assert!(store.revoke_stream_key(name("show"), key.id, at(4)).wait().is_err());
    store.delete_room(name("show"), at(5)).wait().expect("the room is there");

    let events = store.events_after(EventId(0)).wait().expect("readable");
    let seen: Vec<_> = events.iter().map(|event| (event.kind, event.subject.as_str(), event.at)).collect();
    let expect = [
        (EventKind::RoomCreated, "demo", at(1)),
        (EventKind::RoomCreated, "show", at(2)),
        (EventKind::RoomChanged, "show", at(3)),
        (EventKind::StreamKeyRevoked, "show", at(4)),
        (EventKind::RoomDeleted, "show", at(5)),
    ];
    assert_eq!(seen, expect);
    assert!(events.iter().all(|event| event.owner == owner));
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id));
    let rest = store.events_after(events[2].id).wait().expect("readable");
    assert!(rest == events[3..]);
}
