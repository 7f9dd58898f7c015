//! What may be said, and what a client that breaks the rules is told.

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{Rig, code};

#[tokio::test]
async fn requests_are_answered_and_unknown_ones_too() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    for (request, expect) in [
        (json!({ "type": "ping", "extra": [1] }), "ok"),
        (json!({ "type": "sing" }), "unknown_type"),
        (json!({ "type": "subscribe" }), "bad_request"),
        (json!({ "type": "subscribe", "topic": "room:nowhere" }), "not_found"),
        (json!({ "type": "subscribe", "topic": "moon" }), "not_found"),
        (json!({ "type": "unsubscribe", "topic": "room:demo" }), "not_found"),
        (json!({ "type": "authenticate", "token": "tst_wrong" }), "unauthorised"),
    ] {
        assert_eq!(code(&client.ask(request.clone()).await), expect, "{request}");
    }
    let metrics = &rig.running.state().metrics;
    assert_eq!((metrics.ws_received_messages.get(), metrics.ws_connections_count.get()), (7, 1));
}

#[tokio::test]
async fn messages_come_whole_however_they_are_cut() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let text = r#"{"id":"회","type":"ping"}"#.as_bytes();
    for (index, byte) in text.iter().enumerate() {
        let opcode = if index == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(vec![*byte], OpCode::Data(opcode), index + 1 == text.len());
        client.socket.send(Message::Frame(frame)).await.expect("sent");
        client.socket.send(Message::Ping(vec![1].into())).await.expect("control frames may come in between");
    }
    assert_eq!(client.next().await, json!({ "re": "회", "ok": true }));
}

#[tokio::test]
async fn what_is_no_request_closes_with_the_documented_code() {
    let rig = Rig::start().await;
    let long = |length: usize| Message::text(format!(r#"{{"id":1,"type":"ping","x":"{}"}}"#, "a".repeat(length)));
    for (message, expect) in [
        (Message::text("hello"), 4400),
        (Message::text("[]"), 4400),
        (Message::text(r#"{"type":"ping"}"#), 4400),
        (Message::text("[".repeat(60_000)), 4400),
        (Message::binary(vec![0]), 4400),
        (long(64 * 1024), 1009),
        // Longer than even the socket layer reads.
        (long(200 * 1024), 1009),
    ] {
        let mut client = rig.connect().await;
        // The server may close before it has read everything.
        let _ = client.socket.send(message).await;
        assert_eq!(client.closed().await, expect);
    }
    let mut client = rig.connect().await;
    let mask = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    client.socket.send(Message::Frame(mask)).await.expect("sent");
    assert_eq!(client.closed().await, 4400, "not UTF-8");
}

#[tokio::test]
async fn a_flood_is_answered_and_then_closed_and_others_do_not_notice() {
    let rig = Rig::start().await;
    let mut quiet = rig.connect().await;
    let mut flood = rig.connect().await;
    for _ in 0..300 {
        if flood.socket.send(Message::text(r#"{"id":1,"type":"ping"}"#)).await.is_err() {
            break;
        }
    }
    assert_eq!(flood.closed().await, 4409);
    assert_eq!(code(&quiet.ask(json!({ "type": "ping" })).await), "ok");
}

#[tokio::test]
async fn pings_of_the_socket_are_answered() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    client.socket.send(Message::Ping(vec![1, 2, 3].into())).await.expect("sent");
    match client.frame().await {
        Some(Ok(Message::Pong(payload))) => assert_eq!(payload.as_ref(), [1, 2, 3]),
        other => panic!("{other:?}"),
    }
}
