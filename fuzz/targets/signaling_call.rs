//! Three clients in one room, with their connections and the call between them: each line of the input is a message of one of
//! them, or something that happens to it. What they hear must be JSON, and its numbers must have no gap over lost sockets.
#![no_main]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use telstar_signaling::call::{
    Call, CallConfig, CallEffect, CallGrants, CallRoom, ConnectionId, Joining, MediaCommand, MediaEvent, PeerNumber,
    SequentialIds,
};
use telstar_signaling::wire::call::{MediaFault, Mode, Quality};
use telstar_signaling::wire::{CallRequest, ErrorCode, Secret};
use telstar_signaling::{Connection, Effect, Limits, Output, Resume};
use telstar_units::{ParticipantId, RoomName, WallTime};

const CLIENTS: usize = 3;

fuzz_target!(|data: &[u8]| {
    let [mode, data @ ..] = data else { return };
    let mut world = World::new(if mode % 4 == 0 { Mode::P2p } else { Mode::Sfu });
    for line in data.split(|byte| *byte == b'\n').take(200) {
        let [who, what, text @ ..] = line else { continue };
        world.take(usize::from(*who) % CLIENTS, *what, text);
        world.settle();
    }
});

struct Client {
    core: Connection,
    /// The last event that it heard.
    seq: u64,
}

struct World {
    now: Instant,
    ids: SequentialIds,
    call: Call,
    clients: Vec<Client>,
    offers: VecDeque<(PeerNumber, u64)>,
}

fn connection(now: Instant) -> Connection {
    let small = Limits { confirm_messages: 3, resume_messages_max: 20, call_outbox_messages_max: 20, ..Limits::default() };
    Connection::new(small, now)
}

fn secret(text: &str) -> Secret {
    Secret::parse(text.into()).expect("short")
}

impl World {
    fn new(mode: Mode) -> World {
        let now = Instant::now();
        let name = RoomName::parse("demo").expect("a name");
        let config = CallConfig { tracks_max: 3, log_events_max: 5, ..CallConfig::default() };
        World {
            now,
            ids: SequentialIds::default(),
            call: Call::new(config, CallRoom { name, title: "Demo".into(), mode }, 1),
            clients: (0..CLIENTS).map(|_| Client { core: connection(now), seq: 0 }).collect(),
            offers: VecDeque::new(),
        }
    }

    fn take(&mut self, who: usize, what: u8, text: &[u8]) {
        let number = text.first().copied().map_or(0, u64::from);
        match what {
            b'b' => self.clients[who].core.handle_socket_lost(self.now),
            b'c' => self.clients[who].core.handle_peer_close((number > 0).then_some(number as u16 * 10)),
            b'r' => self.resume(who),
            b't' => {
                self.now += Duration::from_millis(number * 100);
                self.clients.iter_mut().for_each(|client| client.core.handle_timeout(self.now));
                self.call.handle_timeout(self.now);
            }
            b'g' => {
                let bit = |index: u8| number & (1 << index) != 0;
                let grants = CallGrants { publish: bit(0), subscribe: bit(1), chat: bit(2), admin: bit(3) };
                self.call.handle_grants(&mut self.ids, ConnectionId(who as u64), bit(4).then_some(grants));
            }
            b'a' | b'x' => {
                let Some((peer, ticket)) = self.offers.pop_front() else { return };
                let refused = MediaEvent::Rejected { peer, ticket: Some(ticket), fault: MediaFault::BadSdp };
                let answered = MediaEvent::Answer { peer, ticket, sdp: "v=0".into() };
                self.call.handle_media(self.now, if what == b'a' { answered } else { refused });
            }
            b'f' => self.call.handle_media(self.now, MediaEvent::Failed { peer: PeerNumber(number), fault: MediaFault::NoPath }),
            b's' => self.call.handle_media(self.now, MediaEvent::Speakers { speakers: vec![(ParticipantId(number), 3)] }),
            b'q' => {
                let event = MediaEvent::Quality { peer: PeerNumber(number), quality: Quality::Poor };
                self.call.handle_media(self.now, event);
            }
            b'o' => {
                let event = MediaEvent::Offer { peer: PeerNumber(number), version: 1, sdp: "v=0".into() };
                self.call.handle_media(self.now, event);
            }
            _ => {
                if let Ok(text) = std::str::from_utf8(text) {
                    let core = &mut self.clients[who].core;
                    if core.wants_input() && !core.is_detached() {
                        core.handle_text(self.now, text);
                    }
                }
            }
        }
    }

    /// Comes back the way a client does: its first message goes through a core of its own.
    fn resume(&mut self, who: usize) {
        let mut fresh = connection(self.now);
        let seq = self.clients[who].seq;
        let text = format!(r#"{{"id":"r","type":"resume","session":"s{who}","secret":"x","seq":{seq},"pending":[1,2]}}"#);
        fresh.handle_text(self.now, &text);
        let Some(Effect::Resume(resume)) = fresh.poll_effect() else { panic!("a resume is a first message") };
        self.resumed(who, fresh, &resume);
    }

    fn resumed(&mut self, who: usize, mut fresh: Connection, resume: &Resume) {
        if self.clients[who].core.handle_resumed(self.now, resume, secret("x")).is_err() {
            fresh.handle_resume_refused(self.now);
            assert!(matches!(fresh.poll_output(self.now), Some(Output::Text(_))), "it is told");
        }
    }

    fn settle(&mut self) {
        for who in 0..CLIENTS {
            while let Some(effect) = self.clients[who].core.poll_effect() {
                self.carry_out(who, effect);
                self.drain_call();
            }
        }
        self.drain_call();
        for who in 0..CLIENTS {
            self.read(who);
            if self.clients[who].core.is_finished() {
                self.clients[who] = Client { core: connection(self.now), seq: 0 };
            }
        }
    }

    fn carry_out(&mut self, who: usize, effect: Effect) {
        let connection = ConnectionId(who as u64);
        let core = &mut self.clients[who].core;
        match effect {
            Effect::Call { ticket, request: CallRequest::Join(join) } => {
                core.handle_session(secret(&format!("s{who}")), secret("x"), Vec::new());
                let joining = Joining {
                    identity: format!("user{}", who % 2),
                    name: join.name.unwrap_or_default(),
                    metadata: join.metadata.unwrap_or_default(),
                    kind: join.kind.into(),
                    grants: CallGrants { admin: who == 0, ..CallGrants::ALL },
                    auto_subscribe: join.auto_subscribe,
                    joined_at: WallTime(0),
                    ingest: None,
                };
                self.call.handle_join(self.now, &mut self.ids, connection, ticket, joining);
            }
            Effect::Call { ticket, request } => {
                self.call.handle_request(self.now, &mut self.ids, connection, ticket, request);
            }
            Effect::CallPresence { away } => self.call.handle_presence(connection, away),
            Effect::CallEnded { reason } => self.call.handle_gone(connection, reason),
            Effect::Authenticate { .. } => core.handle_principal(self.now, Err(ErrorCode::Unavailable)),
            Effect::Subscribe { ticket, topic, .. } => {
                core.handle_answer(self.now, &topic, ticket, Err(ErrorCode::NotFound));
            }
            Effect::Resume(_) => core.handle_resume_refused(self.now),
            Effect::Unsubscribe { .. } => {}
        }
    }

    fn drain_call(&mut self) {
        while let Some(effect) = self.call.poll_effect() {
            match effect {
                CallEffect::Reply { connection, ticket, reply } => {
                    self.clients[connection.0 as usize].core.handle_call_reply(self.now, ticket, reply);
                }
                CallEffect::Event { to, event } => {
                    for to in to.iter() {
                        self.clients[to.0 as usize].core.handle_call_event(self.now, &event);
                    }
                }
                CallEffect::Media(MediaCommand::Offer { peer, ticket, .. }) => self.offers.push_back((peer, ticket)),
                // Of ingests and viewers, of which there are none here.
                CallEffect::Over { .. } => {}
                CallEffect::Media(_) | CallEffect::Fact(_) => {}
            }
        }
        assert!(self.offers.len() < 10_000);
    }

    fn read(&mut self, who: usize) {
        let client = &mut self.clients[who];
        while let Some(output) = client.core.poll_output(self.now) {
            match output {
                Output::Ping(payload) => client.core.handle_pong(self.now, &payload),
                Output::Close(..) => {
                    client.core.handle_socket_lost(self.now);
                    assert!(client.core.is_finished(), "closed for good");
                    return;
                }
                Output::Text(text) => {
                    assert!(text.starts_with('{') && text.ends_with('}'));
                    if let Some(rest) = text.strip_prefix(r#"{"seq":"#) {
                        let seq = rest.split(',').next().and_then(|seq| seq.parse().ok());
                        client.seq += 1;
                        assert_eq!(seq, Some(client.seq), "no event is lost or doubled");
                    }
                }
            }
        }
    }
}
