//! Signalling against a server that breaks: nothing is lost, nothing is doubled, and the end is told.

mod support;

use serde_json::json;
use support::{PATIENCE, Server, participant};
use telstar_client::{Call, Client, Credential, Error, Event, Events, JoinOptions, Subscription};
use tokio::time::timeout;

async fn connect(server: &Server, token: &str) -> Client {
    Client::connect(&server.address, Credential::Token(token.into())).await.expect("the server is there")
}

async fn join(server: &Server) -> Call {
    connect(server, "good").await.join("demo", JoinOptions::default()).await.expect("the room is there")
}

async fn next(events: &mut Events) -> Option<Event> {
    timeout(PATIENCE, events.next()).await.expect("something happens")
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_the_servers_word() {
    let server = Server::start().await;
    let refused = connect(&server, "bad").await.join("demo", JoinOptions::default()).await;
    assert_eq!(refused.err().expect("it is wrong").code(), Some("unauthorised"));
}

#[tokio::test]
async fn an_address_without_a_server_is_an_error() {
    let refused = Client::connect("ws://127.0.0.1:1/ws", Credential::Anonymous).await;
    assert!(matches!(refused.err().expect("nobody is there"), Error::Connect(_)));
    let refused = Client::connect("no address", Credential::Anonymous).await;
    assert!(matches!(refused.err().expect("it is none"), Error::Address(_)));
}

#[tokio::test]
async fn the_list_of_participants_follows_the_events() {
    let server = Server::start().await;
    let call = join(&server).await;
    let mut events = call.events();
    assert_eq!(call.id(), "p1");
    server.event(json!({ "type": "participant-joined", "offset": 1, "epoch": 1, "participant": participant("p3") }));
    server.event(json!({ "type": "participant-left", "offset": 2, "epoch": 1, "participant": "p2", "reason": "left" }));
    server.event(json!({ "type": "something-new", "offset": 3, "epoch": 1, "words": ["from", "the", "future"] }));
    assert!(matches!(next(&mut events).await, Some(Event::ParticipantJoined { .. })));
    assert!(matches!(next(&mut events).await, Some(Event::ParticipantLeft { .. })));
    assert_eq!(next(&mut events).await, Some(Event::Unknown));
    let ids: Vec<String> = call.participants().into_iter().map(|participant| participant.id).collect();
    assert_eq!(ids, ["p1", "p3"]);
}

#[tokio::test]
async fn a_refusal_is_told_to_the_one_who_asked() {
    let server = Server::start().await;
    let call = join(&server).await;
    assert_eq!(call.mute("t999", true).await.expect_err("no such track").code(), Some("not_found"));
    call.mute("t1", true).await.expect("the next request works");
    call.send_data(&["p2"], Some("greeting"), json!({ "hello": 1 })).await.expect("it is carried out");
    let sent = server.requested(|request| request["type"] == "send-data").await;
    assert_eq!(
        (&sent["to"], &sent["label"], &sent["data"]),
        (&json!(["p2"]), &json!("greeting"), &json!({ "hello": 1 }))
    );
    call.update_subscription("t101", Subscription { width: 640, ..Subscription::default() })
        .await
        .expect("carried out");
    let sent = server.requested(|request| request["type"] == "update-subscription").await;
    assert_eq!((&sent["track"], &sent["width"], &sent["priority"]), (&json!("t101"), &json!(640), &json!(128)));
}

#[tokio::test]
async fn a_broken_socket_is_resumed_without_a_loss_or_a_double() {
    let server = Server::start().await;
    let call = join(&server).await;
    let mut events = call.events();
    // One request is carried out and its reply is lost, one never arrives, one is made while there is no socket.
    server.hub().mute = true;
    let first = call.mute("t1", true);
    let second = async {
        server.requested(|request| request["type"] == "mute").await;
        server.hub().deaf = true;
        let waiting = call.mute("t2", true);
        let cut = async {
            for _ in 0..100 {
                tokio::task::yield_now().await; // lets the request go out and be lost
            }
            server.event(
                json!({ "type": "participant-joined", "offset": 1, "epoch": 1, "participant": participant("p3") }),
            );
            server.cut();
            server.event(
                json!({ "type": "participant-left", "offset": 2, "epoch": 1, "participant": "p3", "reason": "left" }),
            );
            server.hub().mute = false;
            server.hub().deaf = false;
            call.mute("t3", true).await
        };
        tokio::join!(waiting, cut)
    };
    let (first, (second, third)) =
        timeout(PATIENCE, async { tokio::join!(first, second) }).await.expect("all are answered");
    first.and(second).and(third).expect("all were carried out");
    assert_eq!(server.count("mute"), 3, "each was carried out once");

    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(match next(&mut events).await.expect("the call goes on") {
            Event::ParticipantJoined { .. } => "joined",
            Event::ParticipantLeft { .. } => "left",
            Event::Reconnecting => "reconnecting",
            Event::Resumed => "resumed",
            other => panic!("unexpected: {other:?}"),
        });
    }
    // Whether the first event made it before the cut is up to the network.
    let order: Vec<&str> = seen.iter().copied().filter(|word| matches!(*word, "joined" | "left")).collect();
    assert_eq!(order, ["joined", "left"], "{seen:?}");

    // The secret was replaced: a second time works too.
    server.cut();
    call.mute("t4", true).await.expect("answered after the second resume");
}

#[tokio::test]
async fn a_session_that_is_gone_ends_the_call_and_says_so() {
    let server = Server::start().await;
    let call = join(&server).await;
    let mut events = call.events();
    server.hub().forgetful = true;
    server.cut();
    assert_eq!(next(&mut events).await, Some(Event::Reconnecting));
    assert_eq!(next(&mut events).await, Some(Event::Left { reason: "connection-lost".into() }));
    assert_eq!(next(&mut events).await, None);
    assert!(matches!(call.mute("t1", true).await, Err(Error::Closed(_))));
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_how_much_it_missed() {
    let server = Server::start().await;
    let call = join(&server).await;
    let (mut slow, mut fast) = (call.events(), call.events());
    for number in 0..2000 {
        server.event(json!({ "type": "data", "from": "p2", "data": number }));
    }
    let mut last = 0;
    while last < 1999 {
        match next(&mut fast).await.expect("the call goes on") {
            Event::Data { data, .. } => last = data.as_u64().expect("a number"),
            Event::Missed(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    let Some(Event::Missed(missed)) = next(&mut slow).await else { panic!("it was too slow") };
    let Some(Event::Data { data, .. }) = next(&mut slow).await else { panic!("the rest is there") };
    assert_eq!(data, json!(missed));
}

#[tokio::test]
async fn the_server_ends_the_call_with_its_reason() {
    let server = Server::start().await;
    let call = join(&server).await;
    let mut events = call.events();
    server.event(json!({ "type": "left", "reason": "removed" }));
    assert_eq!(next(&mut events).await, Some(Event::Left { reason: "removed".into() }));
    assert_eq!(next(&mut events).await, None);
    drop(call);
}
