//! Calls of one connection, and what it says to a client whose socket breaks.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use telstar_units::ParticipantId;

use super::*;
use crate::call::{CallEvent, CallReply, CallSubject};
use crate::limits::{
    CALL_MESSAGE_BYTES_MAX, CONFIRM_MESSAGES, JOIN_TIMEOUT, MESSAGES_BURST, RESUME_MESSAGES_MAX, RESUME_WINDOW,
};
use crate::wire::Secret;
use crate::wire::call::LeaveReason;

fn secret(text: &str) -> Secret {
    Secret::parse(text.into()).expect("short")
}

fn happened(number: u64) -> CallEvent {
    CallEvent { subject: CallSubject::Once, version: None, tail: format!(r#""type":"data","data":{number}}}"#).into() }
}

fn of(subject: CallSubject, number: u64) -> CallEvent {
    CallEvent { subject, ..happened(number) }
}

fn joined() -> CallReply {
    let state = serde_json::value::to_raw_value(&json!({})).expect("JSON");
    let version = Version { epoch: 1, offset: 1 };
    CallReply::Joined { participant: ParticipantId(1), topic: "call:demo".into(), version, state: Arc::from(state) }
}

impl Rig {
    fn ticket(&mut self) -> Ticket {
        match self.effects().as_slice() {
            [Effect::Call { ticket, .. }] => *ticket,
            other => panic!("expected one request of a call: {other:?}"),
        }
    }

    fn join(&mut self) {
        self.send(json!({ "id": "join", "type": "join", "room": "demo" }));
        let ticket = self.ticket();
        self.connection.handle_session(secret("id"), secret("s0"), Vec::new());
        self.connection.handle_call_reply(self.now, ticket, Ok(joined()));
        assert_eq!(
            self.texts()[0]["session"],
            json!({ "id": "id", "secret": "s0", "resume_secs": RESUME_WINDOW.as_secs() })
        );
    }

    fn lose(&mut self) {
        self.connection.handle_socket_lost(self.now);
    }

    fn resume(&mut self, secret_now: &str, seq: u64, pending: &[Value]) -> Result<(), ErrorCode> {
        let resume = resume(secret_now, seq, pending);
        self.connection.handle_resumed(self.now, &resume, secret("s1"))
    }
}

/// What the core of a new socket makes of the client's first message.
fn resume(secret_now: &str, seq: u64, pending: &[Value]) -> Resume {
    let mut rig = Rig::new();
    rig.send(
        json!({ "id": "r", "type": "resume", "session": "id", "secret": secret_now, "seq": seq, "pending": pending }),
    );
    assert!(!rig.connection.wants_input());
    match rig.effects().pop() {
        Some(Effect::Resume(resume)) => resume,
        other => panic!("expected a resume: {other:?}"),
    }
}

#[test]
fn a_request_of_a_call_needs_a_call() {
    let mut rig = Rig::new();
    rig.send(json!({ "id": 1, "type": "leave" }));
    assert_eq!(code(&rig.texts()[0]), "not_joined");
    rig.send(json!({ "id": 2, "type": "join", "room": "demo" }));
    let ticket = rig.ticket();
    assert!(!rig.connection.wants_input(), "what is sent behind a join waits for it");
    rig.connection.handle_call_reply(rig.now, ticket, Err(ErrorCode::NotFound));
    assert_eq!(code(&rig.texts()[0]), "not_found");
    assert!(rig.connection.wants_input() && rig.connection.session_id().is_none());
    rig.join();
    rig.send(json!({ "id": 3, "type": "join", "room": "demo" }));
    assert_eq!(code(&rig.texts()[0]), "already_joined");
    rig.send(json!({ "id": 4, "type": "leave" }));
    let ticket = rig.ticket();
    rig.connection.handle_call_reply(rig.now, ticket, Ok(CallReply::Left));
    rig.connection.handle_call_reply(rig.now, ticket, Ok(CallReply::Left));
    assert_eq!(rig.texts(), [json!({ "re": 4, "ok": true })]);
    rig.lose();
    assert!(rig.connection.is_finished() && rig.effects().is_empty(), "nothing to come back to");
}

#[test]
fn a_join_that_the_shell_does_not_answer_is_given_up() {
    let mut rig = Rig::new();
    rig.send(json!({ "id": 1, "type": "join", "room": "demo" }));
    let ticket = rig.ticket();
    rig.wait(JOIN_TIMEOUT);
    assert_eq!(code(&rig.texts()[0]), "unavailable");
    assert!(matches!(rig.effects()[..], [Effect::CallEnded { reason: LeaveReason::Timeout }]));
    rig.connection.handle_call_reply(rig.now, ticket, Ok(joined()));
    assert!(rig.texts().is_empty() && rig.connection.session_id().is_none());
}

#[test]
fn a_lost_socket_costs_nothing_that_was_said() {
    let mut rig = Rig::new();
    rig.join();
    rig.send(json!({ "id": 1, "type": "send-data", "data": 1 }));
    let first = rig.ticket();
    rig.send(json!({ "id": 2, "type": "send-data", "data": 2 }));
    let second = rig.ticket();
    (1..=3).for_each(|number| rig.connection.handle_call_event(rig.now, &happened(number)));
    rig.connection.handle_call_reply(rig.now, first, Ok(CallReply::Done));
    assert_eq!(rig.texts().len(), 4, "written, but only the first arrives");
    rig.lose();
    assert!(matches!(rig.effects()[..], [Effect::CallPresence { away: true }]));
    assert!(rig.connection.is_detached() && !rig.connection.has_output());
    rig.connection.handle_call_event(rig.now, &happened(4));
    assert_eq!(rig.resume("wrong", 1, &[]), Err(ErrorCode::Gone));
    assert_eq!(rig.resume("s0", 1, &[json!(1), json!(2), json!(3)]), Ok(()));
    assert!(matches!(rig.effects()[..], [Effect::CallPresence { away: false }]));
    rig.connection.handle_call_reply(rig.now, second, Ok(CallReply::Done));
    let session = json!({ "id": "id", "secret": "s1", "resume_secs": RESUME_WINDOW.as_secs() });
    let event = |seq: u64| json!({ "seq": seq, "type": "data", "data": seq });
    assert_eq!(
        rig.texts(),
        [
            json!({ "re": "r", "ok": true, "session": session, "unknown": [3] }),
            event(2),
            event(3),
            json!({ "re": 1, "ok": true }),
            event(4),
            json!({ "re": 2, "ok": true }),
        ]
    );
    assert_eq!(rig.resume("s0", 4, &[]), Err(ErrorCode::Gone), "a secret is good for one time");
    assert_eq!(rig.resume("s1", 4, &[]), Ok(()), "even while the old socket is still there");
    assert_eq!(rig.texts().len(), 1);
    assert!(rig.effects().is_empty(), "it was not away");
}

#[test]
fn who_does_not_come_back_in_time_is_gone() {
    let mut rig = Rig::new();
    rig.join();
    rig.lose();
    rig.wait(RESUME_WINDOW - Duration::from_millis(1));
    assert!(rig.connection.is_detached());
    rig.wait(Duration::from_millis(1));
    assert!(rig.connection.is_finished());
    let effects = rig.effects();
    assert!(matches!(effects[..], [.., Effect::CallEnded { reason: LeaveReason::Timeout }]), "{effects:?}");
    assert_eq!(rig.resume("s0", 0, &[]), Err(ErrorCode::Gone));
}

#[test]
fn a_silent_network_is_not_the_end_of_a_call() {
    let mut rig = Rig::new();
    rig.join();
    rig.connection.handle_call_event(rig.now, &happened(1));
    rig.wait(STALL_TIMEOUT);
    assert!(rig.connection.is_detached());
    assert_eq!(rig.resume("s0", 0, &[]), Ok(()));
    assert_eq!(rig.texts().len(), 2);
    rig.wait(IDLE_TIMEOUT);
    assert!(rig.connection.is_detached());
}

#[test]
fn a_client_that_says_goodbye_is_gone_at_once() {
    for (close, ends) in
        [(Some(1000), true), (Some(1001), true), (None, true), (Some(4000), false), (Some(1011), false)]
    {
        let mut rig = Rig::new();
        rig.join();
        rig.connection.handle_peer_close(close);
        rig.lose();
        let effects = rig.effects();
        assert_eq!(
            matches!(effects[..], [Effect::CallEnded { reason: LeaveReason::Left }]),
            ends,
            "{close:?} {effects:?}"
        );
        assert_eq!(rig.connection.is_detached(), !ends);
    }
}

#[test]
fn who_was_sent_away_while_away_still_learns_why() {
    let mut rig = Rig::new();
    rig.join();
    rig.lose();
    rig.effects();
    rig.connection.handle_call_event(rig.now, &of(CallSubject::Left, 1));
    rig.connection.handle_call_event(rig.now, &happened(2));
    assert_eq!(rig.resume("s0", 0, &[]), Ok(()));
    assert_eq!(rig.texts().len(), 2, "the reply, the end, and nothing behind it");
    assert!(rig.effects().is_empty(), "the call knows");
    rig.send(json!({ "id": 1, "type": "leave" }));
    assert_eq!(code(&rig.texts()[0]), "not_joined");
}

#[test]
fn a_resume_is_a_first_message_and_guesses_are_limited() {
    let mut rig = Rig::new();
    let resume = json!({ "id": 1, "type": "resume", "session": "x", "secret": "y", "seq": 0 });
    rig.send(json!({ "id": 0, "type": "ping" }));
    rig.send(resume.clone());
    assert_eq!(code(&rig.texts()[1]), "bad_request");
    assert!(rig.effects().is_empty());

    let mut rig = Rig::new();
    rig.send(resume);
    assert_eq!(rig.effects().len(), 1);
    rig.connection.handle_resume_refused(rig.now);
    rig.connection.handle_resume_refused(rig.now);
    assert_eq!(code(&rig.texts()[0]), "gone");
    assert!(rig.connection.is_open() && rig.connection.wants_input(), "it may begin anew");
}

#[test]
fn speakers_are_coalesced_and_changes_are_not() {
    let mut rig = Rig::new();
    rig.join();
    for number in 0..10 {
        rig.connection.handle_call_event(rig.now, &of(CallSubject::Speakers, number));
        rig.connection.handle_call_event(rig.now, &of(CallSubject::Slots, number));
        rig.connection.handle_call_event(rig.now, &happened(number));
    }
    let texts = rig.texts();
    assert_eq!(texts.len(), 12);
    assert!(texts.iter().enumerate().all(|(index, text)| text["seq"] == index as u64 + 1));
}

#[test]
fn candidates_do_not_starve_requests_nor_requests_candidates() {
    let mut rig = Rig::new();
    rig.join();
    let mut verdicts = |request: Value, count: u32| {
        let mut limited = 0;
        for _ in 0..count {
            rig.send(request.clone());
            let effects = rig.effects();
            if let [Effect::Call { ticket, .. }] = effects[..] {
                rig.connection.handle_call_reply(rig.now, ticket, Ok(CallReply::Done));
            }
            let is_limited = |output: &Output| matches!(output, Output::Text(text) if text.contains("rate_limited"));
            limited += u32::from(rig.outputs().iter().any(is_limited));
        }
        limited
    };
    let candidate = json!({ "id": 1, "type": "candidate", "connection": "publish", "candidate": "" });
    assert_eq!(verdicts(candidate.clone(), MESSAGES_BURST + 10), 10);
    assert_eq!(verdicts(json!({ "id": 1, "type": "report", "enabled": true }), 50), 0);
    assert_eq!(verdicts(candidate, 1), 1);
}

#[test]
fn a_long_sdp_is_for_those_who_have_joined() {
    let offer = |len: usize| json!({ "id": 1, "type": "publish", "sdp": "x".repeat(len) }).to_string();
    let mut rig = Rig::new();
    rig.connection.handle_text(rig.now, &offer(MESSAGE_BYTES_MAX));
    assert_eq!(rig.closed(), Some(1009));
    let mut rig = Rig::new();
    rig.join();
    rig.connection.handle_text(rig.now, &offer(MESSAGE_BYTES_MAX));
    assert_eq!(rig.effects().len(), 1);
    rig.connection.handle_text(rig.now, &offer(CALL_MESSAGE_BYTES_MAX));
    assert_eq!(rig.closed(), Some(1009));
    assert!(matches!(rig.effects()[..], [Effect::CallEnded { reason: LeaveReason::Removed }]));
}

#[test]
fn what_a_ping_confirms_is_not_kept() {
    let mut rig = Rig::new();
    rig.join();
    for number in 0..CONFIRM_MESSAGES as u64 {
        rig.connection.handle_call_event(rig.now, &happened(number));
    }
    let outputs = rig.outputs();
    let payload = outputs.iter().find_map(|output| match output {
        Output::Ping(payload) => Some(*payload),
        Output::Text(_) | Output::Close(..) => None,
    });
    let payload = payload.expect("so much is unconfirmed that a ping goes out");
    rig.connection.handle_pong(rig.now, &payload);
    rig.lose();
    assert_eq!(
        rig.resume("s0", 1, &[]),
        Err(ErrorCode::Gone),
        "it arrived: a client that says otherwise is another one"
    );
    assert_eq!(rig.resume("s0", CONFIRM_MESSAGES as u64, &[]), Ok(()));
}

#[test]
fn more_than_can_be_kept_is_gone_and_the_room_for_it_is_limited() {
    let mut rig = Rig::new();
    rig.join();
    for number in 0..2 * RESUME_MESSAGES_MAX as u64 {
        rig.connection.handle_call_event(rig.now, &happened(number));
        rig.outputs();
    }
    rig.lose();
    assert_eq!(rig.resume("s0", 1, &[]), Err(ErrorCode::Gone));
    let mut number = 0;
    while rig.connection.is_open() {
        rig.connection.handle_call_event(rig.now, &happened(number));
        number += 1;
        assert!(number < 100_000, "an outbox has an end");
    }
    assert!(rig.connection.is_finished());
    assert!(matches!(rig.effects()[..], [.., Effect::CallEnded { reason: LeaveReason::Slow }]));
}

#[derive(Clone, Debug)]
enum Step {
    /// Something happens in the call.
    Event,
    Speakers,
    /// The client asks something; it arrives unless the socket breaks first.
    Ask,
    /// The call answers its oldest request.
    Answer,
    /// The socket takes so many messages from the core, and the client reads so many of those on their way.
    Write(u8),
    Read(u8),
    /// The socket breaks, with what is on its way in both directions lost; the core may notice later.
    Break {
        noticed: bool,
    },
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Event),
        1 => Just(Step::Speakers),
        4 => Just(Step::Ask),
        4 => Just(Step::Answer),
        6 => (0..6_u8).prop_map(Step::Write),
        6 => (0..6_u8).prop_map(Step::Read),
        2 => any::<bool>().prop_map(|noticed| Step::Break { noticed }),
        1 => (0..2_000_u16).prop_map(Step::Wait),
    ]
}

struct World {
    rig: Rig,
    secret: String,
    secrets: u64,
    /// Written by the core, not yet read by the client; and requests the other way.
    down: VecDeque<Output>,
    up: VecDeque<(u64, Value)>,
    asked: VecDeque<Ticket>,
    requests: u64,
    /// The client's: what has no reply, the last event, what events said.
    pending: BTreeSet<u64>,
    seq: u64,
    heard: Vec<u64>,
    said: u64,
    /// How often the call was asked each request: once.
    carried_out: BTreeSet<u64>,
}

impl World {
    fn new() -> World {
        let now = Instant::now();
        let limits = Limits { confirm_messages: 5, resume_messages_max: 40, ..Limits::default() };
        let mut rig = Rig { now, connection: Connection::new(limits, now) };
        rig.join();
        World {
            rig,
            secret: "s0".into(),
            secrets: 0,
            down: VecDeque::new(),
            up: VecDeque::new(),
            asked: VecDeque::new(),
            requests: 0,
            pending: BTreeSet::new(),
            seq: 0,
            heard: Vec::new(),
            said: 0,
            carried_out: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        let now = self.rig.now;
        match step {
            Step::Event => {
                self.said += 1;
                self.rig.connection.handle_call_event(now, &happened(self.said));
            }
            Step::Speakers => self.rig.connection.handle_call_event(now, &of(CallSubject::Speakers, 0)),
            Step::Ask => {
                self.requests += 1;
                self.pending.insert(self.requests);
                let request = json!({ "id": self.requests, "type": "report", "enabled": true });
                self.up.push_back((self.requests, request));
            }
            Step::Answer => {
                self.arrive(1);
                if let Some(ticket) = self.asked.pop_front() {
                    self.rig.connection.handle_call_reply(now, ticket, Ok(CallReply::Done));
                }
            }
            Step::Write(count) => (0..*count).for_each(|_| self.down.extend(self.rig.connection.poll_output(now))),
            Step::Read(count) => (0..*count).for_each(|_| self.read()),
            Step::Break { noticed } => self.break_socket(*noticed),
            Step::Wait(millis) => self.rig.wait(Duration::from_millis((*millis).into())),
        }
        assert!(self.rig.connection.is_open());
    }

    /// So many requests reach the core.
    fn arrive(&mut self, count: usize) {
        for _ in 0..count {
            let Some((id, request)) = self.up.pop_front() else { return };
            self.rig.send(request);
            for effect in self.rig.effects() {
                if let Effect::Call { ticket, .. } = effect {
                    assert!(self.carried_out.insert(id), "nothing is carried out twice");
                    self.asked.push_back(ticket);
                }
            }
        }
    }

    fn read(&mut self) {
        let message: Value = match self.down.pop_front() {
            None => return,
            Some(Output::Ping(payload)) => return self.rig.connection.handle_pong(self.rig.now, &payload),
            Some(Output::Close(code, _)) => panic!("closed: {code:?}"),
            Some(Output::Text(text)) => serde_json::from_str(&text).expect("JSON"),
        };
        if let Some(seq) = message["seq"].as_u64() {
            self.seq += 1;
            assert_eq!(seq, self.seq, "no event is lost or doubled");
            self.heard.extend(message["data"].as_u64().filter(|number| *number != 0));
        } else if message["re"] == "r" {
            self.secret = message["session"]["secret"].as_str().expect("a text").to_owned();
            for id in message["unknown"].as_array().expect("a list") {
                let id = id.as_u64().expect("a number");
                assert!(self.pending.contains(&id));
                self.up.push_back((id, json!({ "id": id, "type": "report", "enabled": true })));
            }
        } else {
            assert!(self.pending.remove(&message["re"].as_u64().expect("a number")), "a reply comes once: {message}");
        }
    }

    fn break_socket(&mut self, noticed: bool) {
        self.down.clear();
        self.up.clear();
        if noticed {
            self.rig.lose();
        }
        let pending: Vec<Value> = self.pending.iter().map(|id| json!(id)).collect();
        self.secrets += 1;
        let next = format!("n{}", self.secrets);
        let resume = resume(&self.secret, self.seq, &pending);
        let resumed = self.rig.connection.handle_resumed(self.rig.now, &resume, secret(&next));
        assert_eq!(resumed, Ok(()), "all of it is kept");
        // The client cannot resume again before it has the new secret, which is the first that it reads.
        self.down.extend(self.rig.connection.poll_output(self.rig.now));
        self.read();
        assert_eq!(self.secret, next);
    }

    fn settle(&mut self) {
        while !self.pending.is_empty() || self.rig.connection.has_output() || !self.down.is_empty() {
            self.rig.wait(Duration::from_millis(100));
            for step in [Step::Answer, Step::Write(50), Step::Read(50)] {
                self.take(&step);
            }
        }
        assert_eq!(self.heard, (1..=self.said).collect::<Vec<_>>());
    }
}

#[test]
fn who_is_in_a_call_hears_why_it_is_over_before_the_close_frame() {
    type End = fn(&mut Rig);
    let ends: [(End, &str, u16); 2] = [
        (|rig| rig.connection.handle_shutdown(rig.now), "shutdown", 1001),
        (|rig| rig.connection.handle_revoked(rig.now), "credential-ended", 4401),
    ];
    for (end, reason, code) in ends {
        let mut rig = Rig::new();
        rig.join();
        end(&mut rig);
        // The call says so as well, a little later.
        rig.connection.handle_call_event(rig.now, &of(CallSubject::Left, 1));
        let outputs = rig.outputs();
        let [Output::Text(text), Output::Close(close, _)] = &outputs[..] else { panic!("{outputs:?}") };
        let left = json!({ "seq": 1, "topic": "call:demo", "type": "left", "reason": reason });
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), left);
        assert_eq!(close.number(), code);
        // And when the call was first, it is not said twice.
        let mut rig = Rig::new();
        rig.join();
        rig.connection.handle_call_event(rig.now, &of(CallSubject::Left, 1));
        end(&mut rig);
        let outputs = rig.outputs();
        assert!(matches!(outputs[..], [Output::Text(_), Output::Close(..)]), "{outputs:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whenever_the_socket_breaks_nothing_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in &steps {
            // The ring is small: a client that reads nothing for long is another test's.
            if world.rig.connection.waiting().0 + world.down.len() > 30 {
                world.take(&Step::Write(50));
                world.take(&Step::Read(50));
            }
            world.take(step);
        }
        world.settle();
    }
}
