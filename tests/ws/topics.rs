//! What subscribers are told, and what they are not.

use serde_json::{Value, json};
use telstar::rooms::{IngestHandle, IngestRequest, IngestVia};
use telstar_units::RoomName;

use crate::support::{Rig, code};

/// An encoder that is connected and sends nothing.
async fn encoder(rig: &Rig, room: &str) -> IngestHandle {
    let room = RoomName::parse(room).expect("a room name");
    let request =
        IngestRequest { room, key: None, protocol: "rtmp", encoder: Some("Test encoder".into()), via: IngestVia::Ring };
    rig.running.state().rooms.open_ingest(request).await.expect("admitted")
}

fn position(message: &Value) -> (u64, u64) {
    let number = |key: &str| message[key].as_u64().expect("a number");
    (number("epoch"), number("offset"))
}

#[tokio::test]
async fn only_who_administers_a_room_sees_its_encoder() {
    let rig = Rig::start().await;
    let (mut owner, mut viewer) = (rig.connect().await, rig.connect().await);
    assert_eq!(code(&owner.authenticate(&rig.token(600).await).await), "ok");
    let first = [owner.subscribe("room:demo").await, viewer.subscribe("room:demo").await];
    for reply in &first {
        assert_eq!(reply["state"]["state"], "offline", "{reply}");
        assert_eq!((&reply["state"]["name"], &reply["state"]["open"]), (&json!("demo"), &json!(true)));
    }
    let _encoder = encoder(&rig, "demo").await;
    let seen = owner.until(|message| message["state"]["state"] == "waiting").await;
    assert_eq!(seen["state"]["ingest"]["encoder"], "Test encoder");
    assert!(position(&seen) > position(&first[0]));
    let seen = viewer.until(|message| message["state"]["state"] == "waiting").await;
    assert_eq!((&seen["state"]["ingest"], &seen["state"]["warnings"]), (&Value::Null, &json!([])));
    // Whoever becomes the owner's program sees more of the same topic.
    let id = viewer.request(json!({ "type": "authenticate", "token": rig.token(600).await })).await;
    viewer.until(|message| message["re"] == id).await;
    viewer.until(|message| message["state"]["ingest"]["encoder"] == "Test encoder").await;
}

#[tokio::test]
async fn changes_of_a_room_reach_its_subscribers() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    let mut viewer = rig.connect().await;
    viewer.subscribe("room:demo").await;
    rig.api(&token, "PATCH", "/api/v1/rooms/demo", Some(json!({ "title": "회의실" }))).await;
    let event = viewer.until(|message| message["state"]["title"] == "회의실").await;
    assert_eq!((&event["type"], &event["topic"]), (&json!("state"), &json!("room:demo")));
    rig.api(&token, "DELETE", "/api/v1/rooms/demo", None).await;
    viewer.until(|message| message["type"] == "ended" && message["topic"] == "room:demo").await;
    assert_eq!(code(&viewer.subscribe("room:demo").await), "not_found");

    rig.api(&token, "POST", "/api/v1/rooms", Some(json!({ "title": "Again", "name": "demo", "open": true }))).await;
    assert_eq!(viewer.subscribe("room:demo").await["state"]["title"], "Again");
}

#[tokio::test]
async fn a_room_that_is_closed_to_the_public_is_closed_to_its_subscribers() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    let (mut stranger, mut owner, mut guest) = (rig.connect().await, rig.connect().await, rig.connect().await);
    let pass = rig.api(&token, "POST", "/api/v1/rooms/demo/playback-tokens", Some(json!({}))).await;
    let reply = guest.authenticate(pass.body["token"].as_str().expect("a token")).await;
    assert_eq!((code(&reply), reply.get("identity")), ("ok", None), "a pass names nobody");
    owner.authenticate(&token).await;
    for client in [&mut stranger, &mut owner, &mut guest] {
        assert_eq!(code(&client.subscribe("room:demo").await), "ok");
    }
    rig.api(&token, "PATCH", "/api/v1/rooms/demo", Some(json!({ "open": false }))).await;
    let told = stranger.until(|message| message["topic"] == "room:demo").await;
    assert_eq!(told["type"], "ended", "not even the event that says so");
    owner.until(|message| message["state"]["open"] == false).await;
    guest.until(|message| message["state"]["open"] == false).await;
    let unknown = stranger.subscribe("room:nowhere").await;
    let mut closed = stranger.subscribe("room:demo").await;
    closed["re"] = unknown["re"].clone();
    assert_eq!(closed, unknown, "a closed room looks like none");
    // And the pass opens no other room.
    rig.api(&token, "POST", "/api/v1/rooms", Some(json!({ "title": "Other", "name": "other", "open": false }))).await;
    assert_eq!(code(&guest.subscribe("room:other").await), "not_found");
}

#[tokio::test]
async fn the_list_of_rooms_is_kept_up_to_date() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    let mut owner = rig.connect().await;
    assert_eq!(code(&owner.subscribe("rooms").await), "not_found", "nobody has no rooms");
    owner.authenticate(&token).await;
    let reply = owner.subscribe("rooms").await;
    assert_eq!(reply["state"]["rooms"][0]["name"], "demo");
    let listed = rig.api(&token, "GET", "/api/v1/rooms", None).await.body["rooms"][0].clone();
    assert_eq!(reply["state"]["rooms"], json!([listed]));

    let made = rig.api(&token, "POST", "/api/v1/rooms", Some(json!({ "title": "Second", "name": "second" }))).await;
    let event = owner.until(|message| message["type"] == "room").await;
    assert_eq!(event["room"], made.body);
    assert!(position(&event) > position(&reply));
    let _encoder = encoder(&rig, "second").await;
    owner.until(|message| message["room"]["name"] == "second" && message["room"]["live"]["state"] == "waiting").await;
    rig.api(&token, "DELETE", "/api/v1/rooms/second", None).await;
    let gone = owner.until(|message| message["type"] == "room-deleted").await;
    assert_eq!(gone["name"], "second");
    assert_eq!(owner.subscribe("rooms").await["state"]["rooms"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn watching_connections_are_counted_as_viewers() {
    let rig = Rig::start().await;
    let (mut first, mut second) = (rig.connect().await, rig.connect().await);
    first.ask(json!({ "type": "subscribe", "topic": "room:demo", "watch": true })).await;
    first.until(|message| message["state"]["viewers"] == 1).await;
    second.ask(json!({ "type": "subscribe", "topic": "room:demo", "watch": true })).await;
    first.until(|message| message["state"]["viewers"] == 2).await;
    // To go on listening without watching counts no more; neither does one that leaves.
    second.subscribe("room:demo").await;
    first.until(|message| message["state"]["viewers"] == 1).await;
    first.ask(json!({ "type": "unsubscribe", "topic": "room:demo" })).await;
    second.until(|message| message["state"]["viewers"] == 0).await;
}

#[tokio::test]
async fn many_subscribers_are_told_the_same_at_the_same_position() {
    let rig = Rig::start().await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = rig.connect().await;
        client.subscribe("room:demo").await;
        clients.push(client);
    }
    let _encoder = encoder(&rig, "demo").await;
    let mut seen = Vec::new();
    for client in &mut clients {
        let event = client.until(|message| message["state"]["state"] == "waiting").await;
        seen.push((position(&event), event["state"].clone()));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}
