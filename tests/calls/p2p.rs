//! A room whose mode is `p2p`: the hub passes signals on and nothing else.

use serde_json::{Value, json};

use crate::people::{EVERYTHING, Stage, id_of};
use crate::support::{Client, code};

/// Somebody in the call of the p2p room, and the reply to `join`.
async fn join(stage: &Stage, identity: &str) -> (Client, Value) {
    let body = json!({ "room": "direct", "identity": identity, "grants": EVERYTHING });
    let made = stage.rig.api(&stage.admin, "POST", "/api/v1/tokens", Some(body)).await.body;
    let mut client = stage.rig.connect().await;
    client.authenticate(made["token"].as_str().expect("a token")).await;
    let joined = client.ask(json!({ "type": "join", "room": "direct" })).await;
    (client, joined)
}

#[tokio::test]
async fn two_to_four_browsers_signal_to_each_other_through_the_hub() {
    let stage = Stage::start().await;
    let room = json!({ "title": "Direct", "name": "direct", "mode": "p2p" });
    stage.rig.api(&stage.admin, "POST", "/api/v1/rooms", Some(room)).await;
    let (mut alice, joined) = join(&stage, "alice").await;
    assert_eq!((code(&joined), &joined["state"]["mode"]), ("ok", &json!("p2p")));
    let (alices_id, (mut bob, joined)) = (id_of(&joined), join(&stage, "bob").await);
    let bobs_id = id_of(&joined);
    let (mut carol, _) = join(&stage, "carol").await;

    let offer = json!({ "type": "offer", "sdp": "v=0\r\n" });
    assert_eq!(code(&alice.ask(json!({ "type": "signal", "to": bobs_id, "description": offer })).await), "ok");
    let told = bob.until(|message| message["type"] == "signal").await;
    assert_eq!((&told["from"], &told["description"]), (&json!(alices_id), &offer));
    let candidate = json!({ "candidate": "candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host", "sdpMid": "0" });
    assert_eq!(code(&bob.ask(json!({ "type": "signal", "to": alices_id, "candidate": candidate })).await), "ok");
    let told = alice.until(|message| message["type"] == "signal").await;
    assert_eq!((&told["from"], &told["candidate"]["candidate"]), (&json!(bobs_id), &candidate["candidate"]));
    assert_eq!(told["candidate"]["sdpMid"], "0");

    // Messages go through the hub in every mode; what carol hears is only what was for everybody.
    assert_eq!(code(&alice.ask(json!({ "type": "send-data", "data": "hello" })).await), "ok");
    let told = carol.until(|message| matches!(message["type"].as_str(), Some("data" | "signal"))).await;
    assert_eq!(told["data"], "hello");

    assert_eq!(code(&alice.ask(json!({ "type": "signal", "to": "p999", "candidate": candidate })).await), "not_found");
    let publish = json!({ "type": "publish", "sdp": "v=0\r\n", "tracks": [] });
    assert_eq!(code(&alice.ask(publish).await), "wrong_mode");
    let (_dave, joined) = join(&stage, "dave").await;
    assert_eq!(code(&joined), "ok");
    assert_eq!(code(&join(&stage, "eve").await.1), "room_full");

    let (mut guest, _) = stage.guest("alice", &EVERYTHING).await;
    let there = guest.ask(json!({ "type": "signal", "to": bobs_id, "candidate": candidate })).await;
    assert_eq!(code(&there), "wrong_mode", "in a room of the other mode");
}
