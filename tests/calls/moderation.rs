//! What people may do to each other, and what the room's owner may over REST.

use serde_json::{Value, json};
use telstar_client::wire::Request;
use telstar_client::{Event, Kind};

use crate::people::{EVERYTHING, MODERATOR, Person, Stage, enter, id_of};
use crate::support::{Client, code};

/// Waits for a track's mute to be told; who muted it.
async fn muted(person: &mut Person, track: &str, expect: bool) -> Option<String> {
    person
        .until(|event| match event {
            Event::TrackUpdated { track: told, .. } if told.id == track && told.muted == expect => {
                Some(told.muted_by.clone())
            }
            _ => None,
        })
        .await
}

fn refusal(outcome: Result<(), telstar_client::Error>) -> String {
    outcome.expect_err("it is refused").code().expect("by the server").to_owned()
}

/// The next event of this type.
async fn event(client: &mut Client, kind: &str) -> Value {
    client.until(|message| message["type"] == kind).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muted_track_is_silent_and_only_its_owner_unmutes_it() {
    let stage = Stage::start().await;
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let (mut moderator, _) = stage.guest("moderator", &MODERATOR).await;
    let track = alice.publish(Kind::Audio).await;
    let mut sounds = bob.watch_of("alice", Kind::Audio).await;
    sounds.more(10).await;

    alice.call.mute(&track, true).await.expect("it is hers");
    assert_eq!(muted(&mut bob, &track, true).await.as_deref(), Some("self"));
    // Alice's program goes on sending; nothing of it gets to anybody.
    sounds.quiet_for(std::time::Duration::from_millis(500)).await;
    alice.call.mute(&track, false).await.expect("it is hers");
    assert_eq!(muted(&mut bob, &track, false).await, None);
    sounds.more(10).await;

    assert_eq!(refusal(bob.call.mute(&track, true).await), "forbidden");
    let mute = |muted: bool| json!({ "type": "mute", "track": track, "muted": muted });
    assert_eq!(code(&moderator.ask(mute(true)).await), "ok");
    assert_eq!(muted(&mut bob, &track, true).await.as_deref(), Some("moderator"));
    sounds.quiet_for(std::time::Duration::from_millis(500)).await;
    assert_eq!(code(&moderator.ask(mute(false)).await), "forbidden", "nobody switches on another's microphone");
    alice.call.mute(&track, false).await.expect("she may speak again");
    sounds.more(10).await;

    let path = format!("/participants/{}/tracks/{track}", alice.call.id());
    let told = stage.room("PATCH", &path, Some(json!({ "muted": true }))).await;
    assert_eq!((&told["tracks"][0]["muted"], &told["tracks"][0]["muted_by"]), (&json!(true), &json!("moderator")));
    assert_eq!(muted(&mut bob, &track, true).await.as_deref(), Some("moderator"));
    assert_eq!(stage.ask("PATCH", &path, Some(json!({ "muted": false }))).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_told_why_and_cannot_come_back() {
    let stage = Stage::start().await;
    let (mut moderator, _) = stage.guest("moderator", &MODERATOR).await;
    for over_rest in [true, false] {
        let token = stage.token("eve", &EVERYTHING).await;
        let mut eve = stage.rig.connect().await;
        let joined = enter(&mut eve, &token).await;
        let id = id_of(&joined);
        let joined_event = event(&mut moderator, "participant-joined").await;
        assert_eq!(joined_event["participant"]["identity"], "eve");
        if over_rest {
            stage.room("DELETE", &format!("/participants/{id}"), None).await;
        } else {
            assert_eq!(code(&moderator.ask(json!({ "type": "remove", "participant": id })).await), "ok");
        }
        assert_eq!(event(&mut eve, "left").await["reason"], "removed");
        // Her token is denied, and with it the socket that lives on it.
        assert_eq!(eve.closed().await, 4401, "over REST: {over_rest}");
        if over_rest {
            let left = event(&mut moderator, "participant-left").await;
            assert_eq!((&left["participant"], &left["reason"]), (&json!(id), &json!("removed")));
        }

        let mut back = stage.rig.connect().await;
        assert_eq!(code(&back.resume(&joined["session"], 0, &[]).await), "gone");
        assert_eq!(code(&back.authenticate(&token).await), "unauthorised");
        assert_eq!(code(&enter(&mut stage.rig.connect().await, &token).await), "unauthorised");
    }
    let none = stage.room("GET", "/participants", None).await;
    assert_eq!(none["participants"].as_array().map(Vec::len), Some(1), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_end_at_once_and_come_back_when_given() {
    let stage = Stage::start().await;
    let (mut alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let track = alice.publish(Kind::Audio).await;
    let bobs = bob.publish(Kind::Audio).await;
    let mut sounds = bob.watch_of("alice", Kind::Audio).await;
    let mut of_bob = alice.watch_of("bob", Kind::Audio).await;
    sounds.more(5).await;
    of_bob.more(5).await;
    let path = format!("/participants/{}", alice.call.id());
    let grants = |grants: &[&str]| Some(json!({ "grants": grants }));

    let changed = stage.room("PATCH", &path, grants(&["join", "subscribe"])).await;
    assert_eq!(changed["grants"], json!(["subscribe"]));
    let told = alice.until(|event| match event {
        Event::Grants { grants } => Some(grants.clone()),
        _ => None,
    });
    assert_eq!(told.await, ["subscribe"]);
    bob.until(|event| matches!(event, Event::TrackUnpublished { track: gone, .. } if *gone == track).then_some(()))
        .await;
    sounds.ended().await;
    of_bob.more(5).await;
    assert_eq!(refusal(alice.call.send_data(&[], None, json!(1)).await), "forbidden");

    stage.room("PATCH", &path, grants(&["join", "chat"])).await;
    of_bob.quiet_for(std::time::Duration::from_millis(500)).await;
    alice.call.send_data(&[], None, json!(1)).await.expect("she may write");

    stage.room("PATCH", &path, grants(&EVERYTHING)).await;
    alice.publish(Kind::Audio).await;
    let mut sounds = bob.watch_of("alice", Kind::Audio).await;
    sounds.more(5).await;
    let mut of_bob = alice.watch(&bobs).await;
    of_bob.more(5).await;
    // What nobody may give to themselves.
    let itself = |grants: &[&str]| Request::UpdateParticipant {
        participant: None,
        name: None,
        metadata: None,
        grants: Some(grants.iter().map(|grant| (*grant).to_owned()).collect()),
    };
    assert_eq!(refusal(alice.call.ask(itself(&["publish", "admin"])).await), "forbidden");
}

#[tokio::test]
async fn names_and_metadata_are_told_to_everybody() {
    let stage = Stage::start().await;
    let (mut alice, joined) = stage.guest("alice", &EVERYTHING).await;
    let (mut bob, _) = stage.guest("bob", &EVERYTHING).await;
    let id = id_of(&joined);
    let own = json!({ "type": "update-participant", "name": "앨리스", "metadata": "{\"hand\":true}" });
    assert_eq!(code(&alice.ask(own).await), "ok");
    let told = event(&mut bob, "participant-updated").await["participant"].clone();
    assert_eq!((&told["name"], &told["metadata"]), (&json!("앨리스"), &json!("{\"hand\":true}")));
    assert_eq!(told.get("tracks"), None);
    let others = json!({ "type": "update-participant", "participant": id, "name": "Mallory" });
    assert_eq!(code(&bob.ask(others).await), "forbidden");

    let changed = stage.room("PATCH", &format!("/participants/{id}"), Some(json!({ "name": "Alice" }))).await;
    assert_eq!((&changed["name"], &changed["metadata"]), (&json!("Alice"), &json!("{\"hand\":true}")));
    assert_eq!(event(&mut bob, "participant-updated").await["participant"]["name"], "Alice");
    let read = stage.room("GET", &format!("/participants/{id}"), None).await;
    assert_eq!((&read, &read["identity"]), (&changed, &json!("alice")));
    let listed = stage.room("GET", "/participants", None).await;
    let names: Vec<&Value> = listed["participants"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("Alice"), &json!("bob")], "in the order in which they came");
    for path in ["/participants/p999", "/participants/nobody"] {
        assert_eq!(stage.ask("GET", path, None).await.status, 404);
        assert_eq!(stage.ask("DELETE", path, None).await.status, 404);
    }
}

#[tokio::test]
async fn messages_reach_all_or_some_and_the_server_has_its_own() {
    let stage = Stage::start().await;
    let (mut alice, _) = stage.guest("alice", &EVERYTHING).await;
    let (mut bob, joined) = stage.guest("bob", &EVERYTHING).await;
    let (mut carol, _) = stage.guest("carol", &["join", "subscribe"]).await;
    let bobs_id = id_of(&joined);
    let send = |to: Value, text: &str| {
        let mut request = json!({ "type": "send-data", "label": "chat", "data": { "text": text } });
        if !to.is_null() {
            request["to"] = to;
        }
        request
    };
    assert_eq!(code(&alice.ask(send(json!([bobs_id]), "psst")).await), "ok");
    assert_eq!(code(&alice.ask(send(Value::Null, "hello")).await), "ok");
    let first = event(&mut bob, "data").await;
    assert_eq!((&first["data"]["text"], &first["label"]), (&json!("psst"), &json!("chat")));
    assert_eq!(event(&mut bob, "data").await["data"]["text"], "hello", "in their order");
    assert_eq!(event(&mut carol, "data").await["data"]["text"], "hello", "and not what was for bob");
    assert_eq!(code(&carol.ask(send(Value::Null, "me too")).await), "forbidden");
    assert_eq!(code(&alice.ask(send(json!(["p999"]), "who?")).await), "not_found");
    let long = "a".repeat(17 * 1024);
    assert_eq!(code(&alice.ask(send(Value::Null, &long)).await), "bad_request");

    let notice = json!({ "to": [bobs_id], "label": "notice", "data": [1, 2] });
    stage.room("POST", "/data", Some(notice)).await;
    stage.room("POST", "/data", Some(json!({ "data": "closing" }))).await;
    let told = event(&mut bob, "data").await;
    assert_eq!((&told["from"], &told["data"]), (&Value::Null, &json!([1, 2])));
    for client in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(event(client, "data").await["data"], "closing");
    }
}
