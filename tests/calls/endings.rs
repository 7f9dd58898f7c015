//! How a participation ends, and what its owner and the others are told.

use std::process::Command;
use std::time::Instant;

use serde_json::json;
use telstar::auth::{Grant, Grants};
use telstar::calls::{Mailbox, Newcomer, grants};
use telstar::tasks::Drained;
use telstar_client::{Event, Kind};
use telstar_signaling::call::{ConnectionId, Joining};
use telstar_signaling::wire::{CallRequest, ErrorCode, Metadata, Name};
use telstar_signaling::{Connection, Effect, Limits};
use telstar_units::{RoomName, WallTime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::people::{EVERYTHING, Stage, enter, id_of, last_words};
use crate::support::code;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_identity_again_takes_the_place_of_the_earlier_one() {
    let stage = Stage::with_media().await;
    let (mut first, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let first_id = first.call.id().to_owned();
    first.publish(Kind::Audio).await;
    let mut sounds = bob.watch_of("alice", Kind::Audio).await;
    sounds.more(5).await;
    let second = stage.person("alice").await;
    let reason = first.until(|event| match event {
        Event::Left { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.await, "duplicate-identity");
    let left = bob.until(|event| match event {
        Event::ParticipantLeft { participant, reason } => Some((participant.clone(), reason.clone())),
        _ => None,
    });
    assert_eq!(left.await, (first_id, "duplicate-identity".to_owned()));
    sounds.ended().await;
    second.publish(Kind::Audio).await;
    let mut sounds = bob.watch_of("alice", Kind::Audio).await;
    sounds.more(5).await;
    let here = bob.call.participants();
    assert_eq!(here.iter().filter(|one| one.identity == "alice").count(), 1, "{here:?}");
}

#[tokio::test]
async fn deleting_the_room_ends_its_call() {
    let stage = Stage::start().await;
    let (mut alice, _) = stage.guest("alice", &EVERYTHING).await;
    stage.room("DELETE", "", None).await;
    let left = alice.until(|message| message["type"] == "left").await;
    assert_eq!(left["reason"], "room-deleted");
    assert_eq!(code(&alice.ask(json!({ "type": "ping" })).await), "ok", "the socket stays");
    let again = alice.ask(json!({ "type": "join", "room": "demo" })).await;
    assert_eq!(code(&again), "not_found");
    assert_eq!(stage.rig.running.state().calls.count(), 0);
}

#[tokio::test]
async fn a_token_that_expires_ends_the_participation() {
    let stage = Stage::start().await;
    let (mut bob, _) = stage.guest("bob", &EVERYTHING).await;
    let body = json!({ "room": "demo", "identity": "alice", "expires_in_secs": 1 });
    let made = stage.rig.api(&stage.admin, "POST", "/api/v1/tokens", Some(body)).await.body;
    let mut alice = stage.rig.connect().await;
    let joined = enter(&mut alice, made["token"].as_str().expect("a token")).await;
    let id = id_of(&joined);
    // A second, and the half minute by which clocks may differ.
    assert_eq!(last_words(alice).await, ("credential-ended".to_owned(), 4401));
    let left = bob.until(|message| message["type"] == "participant-left").await;
    assert_eq!((&left["participant"], &left["reason"]), (&json!(id), &json!("credential-ended")));
    assert_eq!(code(&stage.rig.connect().await.resume(&joined["session"], 0, &[]).await), "gone");
}

#[tokio::test]
async fn who_found_the_room_before_it_was_deleted_begins_no_call_after_it() {
    let stage = Stage::start().await;
    let state = stage.rig.running.state();
    let name = RoomName::parse("demo").expect("a name");
    let found = state.rooms.get(&name).await.expect("the store answers").expect("it is there");
    stage.room("DELETE", "", None).await;
    let now = Instant::now();
    let mut connection = Connection::new(Limits::default(), now);
    connection.handle_text(now, r#"{"id":1,"type":"join","room":"demo"}"#);
    let Some(Effect::Call { ticket, request: CallRequest::Join(join) }) = connection.poll_effect() else {
        panic!("a join is the call's")
    };
    let joining = Joining {
        identity: "late".to_owned(),
        name: Name::default(),
        metadata: Metadata::default(),
        kind: join.kind.into(),
        grants: grants(Grants::from_iter([Grant::Publish, Grant::Subscribe])),
        auto_subscribe: join.auto_subscribe,
        joined_at: WallTime(0),
        ingest: None,
    };
    let (deliveries, _inbox) = mpsc::channel(1);
    let mailbox = Mailbox::new(deliveries, CancellationToken::new());
    let newcomer = Newcomer { connection: ConnectionId(u64::MAX), ticket, joining, mailbox, token: None };
    let refused = state.calls.join(&found, newcomer).err();
    assert_eq!((refused, state.calls.count()), (Some(ErrorCode::NotFound), 0));
}

#[tokio::test]
async fn a_token_without_the_right_to_join_joins_nothing() {
    let stage = Stage::start().await;
    let token = stage.token("alice", &["publish", "subscribe"]).await;
    assert_eq!(code(&enter(&mut stage.rig.connect().await, &token).await), "forbidden");
    let mut nobody = stage.rig.connect().await;
    let refused = nobody.ask(json!({ "type": "join", "room": "demo" })).await;
    assert_eq!(code(&refused), "unauthorised");
    let token = stage.token("bob", &EVERYTHING).await;
    let elsewhere = json!({ "title": "Other", "name": "other" });
    stage.rig.api(&stage.admin, "POST", "/api/v1/rooms", Some(elsewhere)).await;
    let mut bob = stage.rig.connect().await;
    bob.authenticate(&token).await;
    assert_eq!(code(&bob.ask(json!({ "type": "join", "room": "other" })).await), "forbidden");
    assert_eq!(code(&bob.ask(json!({ "type": "leave" })).await), "not_joined");
    assert_eq!(code(&bob.ask(json!({ "type": "join", "room": "demo" })).await), "ok");
    assert_eq!(code(&bob.ask(json!({ "type": "join", "room": "demo" })).await), "already_joined");
}

#[tokio::test]
async fn a_token_of_the_command_line_joins_a_call() {
    let stage = Stage::start().await;
    let minted = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_telstar"))
            .args([&["token", "--room", "demo", "--identity", "alice"], flags].concat())
            .env("TELSTAR_DATA", &stage.rig.running.state().config.general.data)
            .output()
            .expect("the executable runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    for (flags, grants) in [
        (&["--publish", "--subscribe"][..], json!(["publish", "subscribe"])),
        (&["--publish"], json!(["publish"])),
        (&["--subscribe"], json!(["subscribe"])),
    ] {
        let joined = enter(&mut stage.rig.connect().await, &minted(flags)).await;
        assert_eq!(joined["state"]["participants"][0]["grants"], grants, "{joined}");
    }
}

#[tokio::test]
async fn a_shutdown_says_goodbye_to_everybody() {
    let stage = Stage::start().await;
    let (alice, _) = stage.guest("alice", &EVERYTHING).await;
    let (bob, _) = stage.guest("bob", &EVERYTHING).await;
    let (alices, bobs, drained) = tokio::join!(last_words(alice), last_words(bob), stage.rig.running.shutdown());
    let goodbye = ("shutdown".to_owned(), 1001);
    assert_eq!((alices, bobs, drained), (goodbye.clone(), goodbye, Drained::Cleanly));
}
