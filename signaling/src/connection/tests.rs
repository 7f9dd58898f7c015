//! Timelines of one connection, and a model of a client, a shell and a slow network around it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::limits::{
    AUTHENTICATION_TIMEOUT, CLOSE_TIMEOUT, HEARTBEAT_INTERVAL, IDLE_TIMEOUT, MESSAGE_BYTES_MAX, OUTBOX_MESSAGES_MAX,
    OVERRUNS_MAX, REQUESTS_BURST, STALL_TIMEOUT, SUBSCRIPTIONS_MAX,
};
use crate::topic::Snapshot;

mod model;
mod resume;

/// A connection with a clock and a client that reads everything at once, unless told otherwise.
struct Rig {
    now: Instant,
    connection: Connection,
}

impl Rig {
    fn new() -> Rig {
        let now = Instant::now();
        Rig { now, connection: Connection::new(Limits::default(), now) }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }

    fn send(&mut self, request: Value) {
        self.connection.handle_text(self.now, &request.to_string());
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.connection.poll_effect()).collect()
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.connection.poll_output(self.now)).collect()
    }

    fn texts(&mut self) -> Vec<Value> {
        let text = |output| match output {
            Output::Text(text) => serde_json::from_str(&text).expect("what we send is JSON"),
            other => panic!("not a text: {other:?}"),
        };
        self.outputs().into_iter().map(text).collect()
    }

    /// Subscribes to `room:{name}` with this state at this offset, and takes the reply.
    fn subscribe(&mut self, name: &str, offset: u64) -> TopicName {
        self.send(json!({ "id": 0, "type": "subscribe", "topic": format!("room:{name}") }));
        let (ticket, topic) = self.asked();
        self.connection.handle_answer(self.now, &topic, ticket, Ok(snapshot(1, offset)));
        assert_eq!(self.texts().len(), 1);
        topic
    }

    /// The one question that the core asks about a topic.
    fn asked(&mut self) -> (Ticket, TopicName) {
        match self.effects().as_slice() {
            [Effect::Subscribe { ticket, topic, .. }] => (*ticket, topic.clone()),
            other => panic!("expected one subscribe: {other:?}"),
        }
    }

    fn closed(&mut self) -> Option<u16> {
        self.outputs().into_iter().find_map(|output| match output {
            Output::Close(code, _) => Some(code.number()),
            Output::Text(_) | Output::Ping(_) => None,
        })
    }
}

fn snapshot(epoch: u64, offset: u64) -> Snapshot {
    let state = serde_json::value::to_raw_value(&offset).expect("a number is JSON");
    Snapshot { version: Version { epoch, offset }, state: state.into() }
}

fn event(topic: &TopicName, epoch: u64, offset: u64) -> Event {
    Event::whole(topic, &snapshot(epoch, offset))
}

fn code(reply: &Value) -> &str {
    reply["error"]["code"].as_str().unwrap_or("ok")
}

fn principal(identity: &str) -> Principal {
    Principal { identity: Some(identity.into()), expires_at: None }
}

#[test]
fn requests_are_answered_once_and_with_their_id() {
    let mut rig = Rig::new();
    for (request, expect) in [
        (json!({ "id": "a", "type": "ping" }), "ok"),
        (json!({ "id": 1.5, "type": "sing" }), "unknown_type"),
        (json!({ "id": 2, "type": "subscribe" }), "bad_request"),
        (json!({ "id": 3, "type": "subscribe", "topic": "rooms!" }), "not_found"),
        (json!({ "id": 4, "type": "unsubscribe", "topic": "room:demo" }), "not_found"),
    ] {
        rig.send(request.clone());
        let replies = rig.texts();
        assert_eq!(replies.len(), 1, "{request}");
        assert_eq!((&replies[0]["re"], code(&replies[0])), (&request["id"], expect), "{request}");
        assert!(rig.effects().is_empty());
    }
}

#[test]
fn a_message_that_is_no_request_closes() {
    let too_long = " ".repeat(MESSAGE_BYTES_MAX + 1);
    for (text, expect) in
        [("", 4400), ("[]", 4400), (&"[".repeat(100), 4400), ("{\"type\":\"ping\"}", 4400), (&too_long, 1009)]
    {
        let mut rig = Rig::new();
        rig.connection.handle_text(rig.now, text);
        assert_eq!(rig.closed(), Some(expect));
    }
    let mut rig = Rig::new();
    rig.connection.handle_binary(rig.now);
    assert_eq!(rig.closed(), Some(4400));
    let mut rig = Rig::new();
    rig.connection.handle_oversize(rig.now);
    assert_eq!(rig.closed(), Some(1009));
}

#[test]
fn a_subscriber_gets_the_state_and_then_every_later_event_once() {
    let mut rig = Rig::new();
    let topic = TopicName::parse("room:demo").expect("a topic");
    rig.send(json!({ "id": 1, "type": "subscribe", "topic": "room:demo", "watch": true }));
    let effects = rig.effects();
    let [Effect::Subscribe { ticket, watch: true, .. }] = effects[..] else { panic!("{effects:?}") };
    // The snapshot will contain this one.
    rig.connection.handle_event(rig.now, &event(&topic, 1, 5));
    rig.connection.handle_answer(rig.now, &topic, ticket, Ok(snapshot(1, 5)));
    assert_eq!(
        rig.texts(),
        [json!({ "re": 1, "ok": true, "topic": "room:demo", "offset": 5, "epoch": 1, "state": 5 })]
    );
    for (epoch, offset) in [(1, 4), (1, 5), (1, 6), (1, 6), (2, 0), (1, 7)] {
        rig.connection.handle_event(rig.now, &event(&topic, epoch, offset));
        let texts = rig.texts();
        let new = [(1, 6), (2, 0)].contains(&(epoch, offset));
        assert!(texts.len() <= 1);
        if let Some(text) = texts.first() {
            assert!(new || (epoch, offset) == (1, 6), "{text}");
            assert_eq!((&text["epoch"], &text["offset"]), (&json!(epoch), &json!(offset)));
        }
    }
    rig.send(json!({ "id": 2, "type": "unsubscribe", "topic": "room:demo" }));
    assert!(matches!(&rig.effects()[..], [Effect::Unsubscribe { topic: ended }] if *ended == topic));
    rig.connection.handle_event(rig.now, &event(&topic, 3, 0));
    assert_eq!(rig.texts(), [json!({ "re": 2, "ok": true })]);
}

#[test]
fn an_answer_that_was_overtaken_changes_nothing() {
    let mut rig = Rig::new();
    rig.send(json!({ "id": 1, "type": "subscribe", "topic": "room:demo" }));
    let (old, topic) = rig.asked();
    rig.send(json!({ "id": 2, "type": "subscribe", "topic": "room:demo" }));
    rig.send(json!({ "id": 3, "type": "unsubscribe", "topic": "room:demo" }));
    rig.effects();
    rig.send(json!({ "id": 4, "type": "subscribe", "topic": "room:demo" }));
    let (new, _) = rig.asked();
    rig.connection.handle_answer(rig.now, &topic, old, Err(ErrorCode::NotFound));
    rig.connection.handle_answer(rig.now, &topic, new, Ok(snapshot(1, 1)));
    rig.connection.handle_answer(rig.now, &topic, new, Ok(snapshot(1, 1)));
    let replies: Vec<(u64, String)> =
        rig.texts().iter().map(|text| (text["re"].as_u64().expect("a reply"), code(text).to_owned())).collect();
    let expect = [(2, "busy"), (1, "cancelled"), (3, "ok"), (4, "ok")].map(|(re, code)| (re, code.to_owned()));
    assert_eq!(replies, expect);
}

#[test]
fn nothing_is_read_while_a_token_is_checked() {
    let mut rig = Rig::new();
    rig.send(json!({ "id": 1, "type": "authenticate", "token": "tst_x" }));
    assert!(matches!(&rig.effects()[..], [Effect::Authenticate { token }] if *token == Token("tst_x".into())));
    assert!(!rig.connection.wants_input());
    // A shell that reads on nevertheless: answered, not obeyed.
    rig.send(json!({ "id": 2, "type": "subscribe", "topic": "rooms" }));
    rig.connection.handle_principal(rig.now, Ok(principal("account:1")));
    assert!(rig.connection.wants_input());
    let replies = rig.texts();
    assert_eq!(code(&replies[0]), "busy");
    assert_eq!(replies[1], json!({ "re": 1, "ok": true, "identity": "account:1" }));
    assert!(rig.effects().is_empty());
}

#[test]
fn a_third_wrong_token_closes_behind_its_reply() {
    let mut rig = Rig::new();
    for attempt in 1..=3 {
        rig.send(json!({ "id": attempt, "type": "authenticate", "token": "wrong" }));
        rig.connection.handle_principal(rig.now, Err(ErrorCode::Unauthorised));
        let outputs = rig.outputs();
        assert!(matches!(&outputs[0], Output::Text(text) if text.contains("unauthorised")), "{outputs:?}");
        let closes = matches!(outputs.last(), Some(Output::Close(CloseCode::Unauthorised, _)));
        assert_eq!(closes, attempt == 3);
    }
}

#[test]
fn a_new_principal_sees_what_it_may_and_no_more() {
    let mut rig = Rig::new();
    let kept = rig.subscribe("kept", 1);
    let lost = rig.subscribe("lost", 1);
    rig.connection.handle_event(rig.now, &event(&lost, 1, 2));
    rig.connection.handle_principal(rig.now, Ok(principal("account:2")));
    for effect in rig.effects() {
        let Effect::Subscribe { ticket, topic, .. } = effect else { panic!("{effect:?}") };
        let answer = if topic == kept { Ok(snapshot(1, 1)) } else { Err(ErrorCode::NotFound) };
        rig.connection.handle_answer(rig.now, &topic, ticket, answer);
    }
    assert_eq!(
        rig.texts(),
        [
            json!({ "seq": 1, "topic": "room:kept", "type": "state", "offset": 1, "epoch": 1, "state": 1 }),
            json!({ "seq": 2, "topic": "room:lost", "type": "ended" }),
        ],
        "the same position again, because the view of it may differ; nothing more of the lost one, not even what waited"
    );
    rig.connection.handle_event(rig.now, &event(&lost, 1, 3));
    assert!(rig.texts().is_empty());
}

#[test]
fn events_that_wait_do_not_outlive_the_view_they_were_made_for() {
    let mut rig = Rig::new();
    let topic = rig.subscribe("demo", 1);
    rig.connection.handle_event(rig.now, &event(&topic, 1, 2));
    rig.send(json!({ "id": 1, "type": "subscribe", "topic": "room:demo" }));
    rig.effects();
    rig.connection.handle_rights_changed();
    let (ticket, topic) = rig.asked();
    rig.connection.handle_answer(rig.now, &topic, ticket, Ok(snapshot(1, 2)));
    assert_eq!(
        rig.texts(),
        [json!({ "re": 1, "ok": true, "topic": "room:demo", "offset": 2, "epoch": 1, "state": 2 })]
    );

    rig.connection.handle_event(rig.now, &event(&topic, 1, 3));
    rig.send(json!({ "id": 2, "type": "unsubscribe", "topic": "room:demo" }));
    assert_eq!(rig.texts(), [json!({ "re": 2, "ok": true })]);
}

#[test]
fn a_topic_that_is_gone_says_so_once() {
    let mut rig = Rig::new();
    let topic = rig.subscribe("demo", 1);
    rig.connection.handle_ended(rig.now, &topic, 0);
    assert!(rig.texts().is_empty(), "the news is older than the subscription");
    rig.connection.handle_ended(rig.now, &topic, 1);
    rig.connection.handle_ended(rig.now, &topic, 1);
    assert_eq!(rig.texts(), [json!({ "seq": 1, "topic": "room:demo", "type": "ended" })]);

    let topic = rig.subscribe("demo", 1);
    rig.send(json!({ "id": 7, "type": "subscribe", "topic": "room:demo" }));
    rig.connection.handle_ended(rig.now, &topic, 1);
    assert_eq!(code(&rig.texts()[0]), "not_found");
}

#[test]
fn silence_is_pinged_and_then_closed() {
    let mut rig = Rig::new();
    assert_eq!(rig.connection.poll_timeout(), Some(rig.now + HEARTBEAT_INTERVAL));
    rig.wait(HEARTBEAT_INTERVAL);
    assert!(matches!(rig.outputs()[..], [Output::Ping(_)]));
    rig.connection.handle_control(rig.now);
    rig.wait(HEARTBEAT_INTERVAL);
    assert!(matches!(rig.outputs()[..], [Output::Ping(_)]));
    rig.wait(HEARTBEAT_INTERVAL);
    assert!(matches!(rig.outputs()[..], [Output::Ping(_)]));
    rig.wait(IDLE_TIMEOUT - 2 * HEARTBEAT_INTERVAL);
    assert_eq!(rig.closed(), Some(4408));
}

#[test]
fn a_credential_ends_with_4401() {
    let mut rig = Rig::new();
    let deadline = rig.now + Duration::from_secs(10);
    rig.connection.handle_principal(rig.now, Ok(Principal { identity: None, expires_at: Some(deadline) }));
    rig.wait(Duration::from_millis(9_999));
    assert!(rig.connection.is_open());
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.closed(), Some(4401));

    let mut rig = Rig::new();
    rig.connection.handle_revoked(rig.now);
    assert_eq!(rig.closed(), Some(4401));

    let mut rig = Rig::new();
    rig.send(json!({ "id": 1, "type": "authenticate", "token": "tst_x" }));
    rig.wait(AUTHENTICATION_TIMEOUT);
    assert_eq!(rig.closed(), Some(4401));
}

#[test]
fn requests_over_the_rate_are_answered_and_a_flood_is_closed() {
    let mut rig = Rig::new();
    for _ in 0..REQUESTS_BURST {
        rig.send(json!({ "id": 1, "type": "ping" }));
        assert_eq!(code(&rig.texts()[0]), "ok");
    }
    for _ in 0..OVERRUNS_MAX {
        rig.send(json!({ "id": 1, "type": "ping" }));
        assert_eq!(code(&rig.texts()[0]), "rate_limited");
    }
    rig.send(json!({ "id": 1, "type": "ping" }));
    assert_eq!(rig.closed(), Some(4409));

    let mut rig = Rig::new();
    for _ in 0..=REQUESTS_BURST + OVERRUNS_MAX {
        rig.connection.handle_control(rig.now);
    }
    assert_eq!(rig.closed(), Some(4409));
}

#[test]
fn subscriptions_are_limited() {
    let mut rig = Rig::new();
    for number in 0..SUBSCRIPTIONS_MAX {
        rig.subscribe(&format!("r{number}"), 0);
    }
    rig.send(json!({ "id": 1, "type": "subscribe", "topic": "rooms" }));
    assert_eq!(code(&rig.texts()[0]), "too_many_subscriptions");
    rig.send(json!({ "id": 2, "type": "subscribe", "topic": "room:r0" }));
    assert_eq!(rig.effects().len(), 1, "subscribing again needs no more room");
}

#[test]
fn a_client_that_stops_reading_gets_the_latest_state_or_is_closed() {
    let mut rig = Rig::new();
    let topic = rig.subscribe("demo", 0);
    for offset in 1..=10_000 {
        rig.connection.handle_event(rig.now, &event(&topic, 1, offset));
    }
    assert_eq!(rig.connection.waiting().0, 1);
    assert_eq!(rig.connection.events_coalesced(), 9_999);
    assert_eq!(rig.texts()[0]["offset"], 10_000);

    // Replies cannot be coalesced.
    for _ in 0..=OUTBOX_MESSAGES_MAX {
        rig.now += Duration::from_millis(50);
        rig.send(json!({ "id": 1, "type": "ping" }));
    }
    assert_eq!(rig.outputs(), [Output::Close(CloseCode::Slow, "too slow")]);
}

#[test]
fn a_single_message_that_cannot_leave_closes_after_a_while() {
    let mut rig = Rig::new();
    let topic = rig.subscribe("demo", 0);
    rig.connection.handle_event(rig.now, &event(&topic, 1, 1));
    rig.wait(STALL_TIMEOUT - Duration::from_millis(1));
    rig.connection.handle_event(rig.now, &event(&topic, 1, 2));
    assert!(rig.connection.is_open());
    rig.wait(Duration::from_millis(1));
    assert!(!rig.connection.is_open(), "a newer state does not extend the time");
    assert_eq!(rig.closed(), Some(4408));

    let mut rig = Rig::new();
    let topic = rig.subscribe("demo", 0);
    rig.connection.handle_event(rig.now, &event(&topic, 1, 1));
    rig.wait(STALL_TIMEOUT / 2);
    assert_eq!(rig.texts().len(), 1);
    rig.wait(STALL_TIMEOUT / 2);
    assert!(rig.connection.is_open(), "it left in time");
}

#[test]
fn a_shutdown_writes_what_waits_and_is_over_in_time_even_if_nobody_reads() {
    let mut rig = Rig::new();
    rig.send(json!({ "id": 1, "type": "ping" }));
    rig.connection.handle_shutdown(rig.now);
    rig.send(json!({ "id": 2, "type": "ping" }));
    assert!(rig.connection.has_output());
    let outputs = rig.outputs();
    assert!(matches!(outputs[..], [Output::Text(_), Output::Close(CloseCode::GoingAway, _)]), "{outputs:?}");
    assert!(!rig.connection.is_finished(), "the peer's close frame is awaited");
    rig.wait(CLOSE_TIMEOUT);
    assert!(rig.connection.is_finished());
    assert_eq!(rig.connection.poll_timeout(), None);
    assert!(!rig.connection.has_output());
}
