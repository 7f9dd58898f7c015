//! Random histories of a client, a shell and a network that may stop, held against what the protocol promises.
//!
//! The client believes only what it reads; at the end the network recovers and the client must know the truth.

use proptest::prelude::*;

use super::*;
use crate::limits::TopicLimits;
use crate::topic::{Audience, StateTopic};

const TOPICS: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u8),
    Unsubscribe(u8),
    Ping,
    Authenticate(bool),
    Garbage(String),
    /// The topic's state changes and is handed to the connection.
    Change(u8),
    /// The topic starts anew in a later epoch; its subscribers are handed the new state.
    Restart(u8),
    RightsChanged,
    /// The shell answers the oldest question.
    Answer(bool),
    /// The network takes this many messages.
    Read(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let topic = 0..TOPICS;
    prop_oneof![
        40 => topic.clone().prop_map(Step::Subscribe),
        20 => topic.clone().prop_map(Step::Unsubscribe),
        10 => Just(Step::Ping),
        8 => prop::bool::weighted(0.8).prop_map(Step::Authenticate),
        // Most of these close the connection: rare, so that histories are long.
        1 => r#"\{[{}\[\]":,a-z0-9]{0,20}"#.prop_map(Step::Garbage),
        80 => topic.clone().prop_map(Step::Change),
        10 => topic.prop_map(Step::Restart),
        8 => Just(Step::RightsChanged),
        60 => prop::bool::weighted(0.9).prop_map(Step::Answer),
        40 => (0..5_u8).prop_map(Step::Read),
        30 => (0..3_000_u16).prop_map(Step::Wait),
    ]
}

/// What the client knows of a topic: position and state.
type Known = (u64, u64, Value);

struct World {
    rig: Rig,
    limits: Limits,
    topics: Vec<StateTopic>,
    /// Topics whose events the shell sends to the connection.
    sending: [bool; TOPICS as usize],
    questions: VecDeque<Effect>,
    requests: u64,
    replies: u64,
    last_seq: u64,
    known: BTreeMap<String, Known>,
    close: Option<u16>,
}

fn name(number: u8) -> TopicName {
    TopicName::parse(&format!("room:r{number}")).expect("a topic")
}

fn number(topic: &TopicName) -> usize {
    (0..TOPICS).position(|candidate| name(candidate) == *topic).expect("one of ours")
}

fn new_topic(now: Instant, number: u8, epoch: u64) -> StateTopic {
    let limits = TopicLimits { publish_interval: Duration::ZERO };
    StateTopic::new(limits, now, name(number), epoch, &json!([epoch, 0]), &json!([epoch, 0]))
}

impl World {
    fn new() -> World {
        // Small, so that histories of a hundred steps reach the limits.
        let limits = Limits {
            outbox_messages_max: 8,
            outbox_bytes_max: 600,
            subscriptions_max: 3,
            requests_burst: 30,
            requests_per_sec: 5,
            overruns_max: 5,
            ..Limits::default()
        };
        let now = Instant::now();
        World {
            rig: Rig { now, connection: Connection::new(limits.clone(), now) },
            limits,
            topics: (0..TOPICS).map(|number| new_topic(now, number, 1)).collect(),
            sending: [false; TOPICS as usize],
            questions: VecDeque::new(),
            requests: 0,
            replies: 0,
            last_seq: 0,
            known: BTreeMap::new(),
            close: None,
        }
    }

    fn request(&mut self, mut request: Value) {
        if self.rig.connection.is_open() {
            self.requests += 1;
        }
        request["id"] = json!(self.requests);
        self.rig.send(request);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Subscribe(number) => self.request(json!({ "type": "subscribe", "topic": name(number).to_string() })),
            Step::Unsubscribe(number) => {
                self.request(json!({ "type": "unsubscribe", "topic": name(number).to_string() }));
            }
            Step::Ping => self.request(json!({ "type": "ping" })),
            Step::Authenticate(good) => {
                self.request(json!({ "type": "authenticate", "token": if good { "good" } else { "bad" } }));
            }
            Step::Garbage(text) => self.rig.connection.handle_text(self.rig.now, &text),
            Step::Change(number) => self.change(number, None),
            Step::Restart(number) => {
                let epoch = self.topics[usize::from(number)].snapshot(Audience::Public).version.epoch + 1;
                self.change(number, Some(epoch));
            }
            Step::RightsChanged => self.rig.connection.handle_rights_changed(),
            Step::Answer(allowed) => self.answer(allowed),
            Step::Read(count) => (0..count).for_each(|_| self.read()),
            Step::Wait(millis) => self.rig.wait(Duration::from_millis(millis.into())),
        }
        self.questions.extend(self.rig.effects());
        self.check();
    }

    fn change(&mut self, number: u8, epoch: Option<u64>) {
        let now = self.rig.now;
        let topic = &mut self.topics[usize::from(number)];
        if let Some(epoch) = epoch {
            *topic = new_topic(now, number, epoch);
        }
        let version = topic.snapshot(Audience::Public).version;
        let state = json!([version.epoch, version.offset + 1]);
        topic.handle_state(&state, &state);
        while let Some(update) = topic.poll_update(now) {
            if self.sending[usize::from(number)] {
                self.rig.connection.handle_event(now, &update.admin);
            }
        }
    }

    fn answer(&mut self, allowed: bool) {
        let now = self.rig.now;
        match self.questions.pop_front() {
            None => {}
            Some(Effect::Authenticate { token }) => {
                let outcome = if token.0 == "good" { Ok(principal("alice")) } else { Err(ErrorCode::Unauthorised) };
                self.rig.connection.handle_principal(now, outcome);
            }
            Some(Effect::Subscribe { ticket, topic, .. }) => {
                let number = number(&topic);
                self.sending[number] = allowed;
                let snapshot = self.topics[number].snapshot(Audience::Public);
                let answer = if allowed { Ok(snapshot) } else { Err(ErrorCode::NotFound) };
                self.rig.connection.handle_answer(now, &topic, ticket, answer);
            }
            Some(Effect::Unsubscribe { topic }) => self.sending[number(&topic)] = false,
            Some(other) => panic!("nobody asked for a call: {other:?}"),
        }
    }

    /// The client reads one message.
    fn read(&mut self) {
        let text = match self.rig.connection.poll_output(self.rig.now) {
            None => return,
            Some(Output::Ping(payload)) => return self.rig.connection.handle_pong(self.rig.now, &payload),
            Some(Output::Close(code, _)) => {
                assert!(self.close.replace(code.number()).is_none(), "one close frame");
                return;
            }
            Some(Output::Text(text)) => text,
        };
        assert!(self.close.is_none(), "nothing follows the close frame");
        let message: Value = serde_json::from_str(&text).expect("what we send is JSON");
        if message.get("re").is_some() {
            self.replies += 1;
        } else {
            self.last_seq += 1;
            assert_eq!(message["seq"], self.last_seq, "seq has no gap");
        }
        let Some(topic) = message["topic"].as_str() else { return };
        let Some(state) = message.get("state") else {
            self.known.remove(topic);
            return;
        };
        let position = |key: &str| message[key].as_u64().expect("a position");
        let known = (position("epoch"), position("offset"), state.clone());
        assert_eq!(known.2, json!([known.0, known.1]), "a state belongs to its position");
        if let Some(before) = self.known.insert(topic.to_owned(), known.clone()) {
            assert!((before.0, before.1) <= (known.0, known.1), "positions never go back: {before:?} {known:?}");
        }
    }

    fn check(&self) {
        let connection = &self.rig.connection;
        let (messages, bytes) = connection.waiting();
        assert!(messages <= self.limits.outbox_messages_max);
        assert!(bytes <= self.limits.outbox_bytes_max || messages == 1);
        assert!(connection.subscriptions.len() <= self.limits.subscriptions_max);
        assert!(self.replies <= self.requests);
        assert!(connection.is_finished() || connection.poll_timeout().is_some(), "nothing hangs for ever");
    }

    /// The network and the shell recover: everything is read and answered.
    fn settle(&mut self) {
        while !self.questions.is_empty() || self.rig.connection.has_output() {
            self.answer(true);
            self.questions.extend(self.rig.effects());
            self.read();
            self.check();
        }
        if !self.rig.connection.is_open() {
            assert!(self.close.is_some() || self.rig.connection.is_finished());
            return;
        }
        assert_eq!(self.replies, self.requests, "every request has its reply");
        for topic in self.rig.connection.subscriptions.keys() {
            let truth = self.topics[number(topic)].snapshot(Audience::Public);
            let state = serde_json::from_str(truth.state.get()).expect("JSON");
            let truth = (truth.version.epoch, truth.version.offset, state);
            assert_eq!(self.known.get(&topic.to_string()), Some(&truth), "a subscriber knows the latest state");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
    }
}
