//! The signalling of a call: the real connection and call cores, joined to the media thread as the shell joins them.
//!
//! In: sockets that open, carry texts and break; what the media thread tells. Out: texts, commands for the media thread.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use telstar_sfu as sfu;
use telstar_signaling::call::{
    Call, CallConfig, CallEffect, CallGrants, CallReply, CallRoom, ConnectionId, Joining, SequentialIds,
};
use telstar_signaling::wire::call::Mode;
use telstar_signaling::wire::{CallRequest, Participant, Secret};
use telstar_signaling::{Connection, Effect, Limits, Output, Principal};
use telstar_units::{RoomName, WallTime};

use crate::random::Random;
use crate::shards::RoomKey;

// The shell's own translation between the two cores, so that it is simulated too; neither core may know the other.
#[allow(dead_code, reason = "a media thread that takes nothing and a room that ends are other tests'")]
#[path = "../../../src/calls/media.rs"]
mod media;

/// Messages that are on their way to a client at most: what a socket's buffers hold. The rest waits in the core.
const LINE_MESSAGES_MAX: usize = 64;
/// The room of the call.
const ROOM: RoomKey = RoomKey(1);

/// A socket's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineId(u64);

/// A message of a client.
pub enum Upward {
    /// Text.
    Text(String),
    /// The answer to a ping.
    Pong([u8; 8]),
}

/// A socket, as long as both ends have it.
struct Line {
    connection: ConnectionId,
    up: VecDeque<(Instant, Upward)>,
    down: VecDeque<(Instant, Output)>,
    /// Nothing passes any more, and the server has not noticed.
    is_dead: bool,
}

/// The server's side of the signalling.
pub struct Hub {
    cores: BTreeMap<ConnectionId, Connection>,
    identities: BTreeMap<ConnectionId, String>,
    lines: BTreeMap<LineId, Line>,
    sessions: BTreeMap<String, ConnectionId>,
    call: Call,
    ids: SequentialIds,
    random: Random,
    delay: Duration,
    last: u64,
    /// For the media thread, in this order.
    pub commands: VecDeque<sfu::Command>,
}

impl Hub {
    /// A hub without connections, whose sockets take `delay` each way.
    ///
    /// # Panics
    ///
    /// Never: the room's name is a name.
    pub fn new(random: Random, delay: Duration) -> Hub {
        let name = RoomName::parse("storm").expect("a name");
        let room = CallRoom { name, title: "Storm".into(), mode: Mode::Sfu };
        Hub {
            cores: BTreeMap::new(),
            identities: BTreeMap::new(),
            lines: BTreeMap::new(),
            sessions: BTreeMap::new(),
            call: Call::new(CallConfig::default(), room, 1),
            ids: SequentialIds::default(),
            random,
            delay,
            last: 0,
            commands: VecDeque::new(),
        }
    }

    /// Somebody opens a socket. Who it is the upgrade request has shown.
    pub fn open(&mut self, now: Instant, identity: &str) -> LineId {
        self.last += 1;
        let (line, connection) = (LineId(self.last), ConnectionId(self.last));
        let mut core = Connection::new(Limits::default(), now);
        core.handle_principal(now, Ok(Principal { identity: Some(identity.to_owned()), expires_at: None }));
        self.cores.insert(connection, core);
        self.identities.insert(connection, identity.to_owned());
        let (up, down) = Default::default();
        self.lines.insert(line, Line { connection, up, down, is_dead: false });
        line
    }

    /// A client sends something. On a socket that is not there any more it is lost.
    pub fn send(&mut self, now: Instant, line: LineId, message: Upward) {
        let delay = self.delay;
        if let Some(line) = self.lines.get_mut(&line).filter(|line| !line.is_dead) {
            line.up.push_back((now + delay, message));
        }
    }

    /// What has arrived at a client; `None` when its socket is gone.
    pub fn receive(&mut self, now: Instant, line: LineId) -> Option<Vec<Output>> {
        let line = self.lines.get_mut(&line).filter(|line| !line.is_dead)?;
        let arrived = line.down.iter().take_while(|(at, _)| *at <= now).count();
        Some(line.down.drain(..arrived).map(|(_, output)| output).collect())
    }

    /// A socket breaks, with all that is on its way. The server may not notice.
    pub fn cut(&mut self, now: Instant, line: LineId, is_noticed: bool) {
        let Some(found) = self.lines.get_mut(&line) else { return };
        found.is_dead = true;
        found.up.clear();
        found.down.clear();
        if is_noticed {
            let connection = found.connection;
            self.lines.remove(&line);
            if let Some(core) = self.cores.get_mut(&connection) {
                core.handle_socket_lost(now);
            }
        }
    }

    /// Everybody who takes part, as the call's core has them.
    pub fn participants(&self) -> Vec<Participant> {
        self.call.participants()
    }

    /// The position of the last change of state.
    pub fn offset(&self) -> u64 {
        self.call.version().offset
    }

    /// The media thread tells something.
    pub fn handle_media(&mut self, now: Instant, event: sfu::Event) {
        if let Some(event) = media::event(event) {
            self.call.handle_media(now, event);
            self.drain(now);
        }
    }

    /// Does what is due and carries what can be carried.
    pub fn turn(&mut self, now: Instant) {
        if self.call.poll_timeout().is_some_and(|at| at <= now) {
            self.call.handle_timeout(now);
        }
        for core in self.cores.values_mut().filter(|core| core.poll_timeout().is_some_and(|at| at <= now)) {
            core.handle_timeout(now);
        }
        self.drain(now);
        for line in self.lines.keys().copied().collect::<Vec<_>>() {
            self.read(now, line);
            self.write(now, line);
        }
        // A core that has lost its socket for good, or has none any more.
        let lines = &mut self.lines;
        self.cores.retain(|connection, core| {
            let is_over = core.is_finished();
            if is_over {
                lines.retain(|_, line| line.connection != *connection);
            }
            !is_over
        });
        for line in
            lines.values_mut().filter(|line| self.cores.get(&line.connection).is_none_or(Connection::is_detached))
        {
            line.is_dead = true;
        }
    }

    fn read(&mut self, now: Instant, id: LineId) {
        loop {
            let Some(line) = self.lines.get_mut(&id) else { return };
            let Some(core) = self.cores.get_mut(&line.connection) else { return };
            if !core.wants_input() || line.up.front().is_none_or(|(at, _)| *at > now) {
                return;
            }
            match line.up.pop_front() {
                Some((_, Upward::Text(text))) => core.handle_text(now, &text),
                Some((_, Upward::Pong(payload))) => core.handle_pong(now, &payload),
                None => return,
            }
            self.drain(now);
        }
    }

    fn write(&mut self, now: Instant, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let Some(core) = self.cores.get_mut(&line.connection) else { return };
        // A dead socket takes what its buffer holds, as one does whose other end has vanished.
        while core.has_output() && line.down.len() < LINE_MESSAGES_MAX {
            let Some(output) = core.poll_output(now) else { break };
            line.down.push_back((now + self.delay, output));
        }
    }

    /// Carries out what the cores want, until none wants anything.
    fn drain(&mut self, now: Instant) {
        loop {
            let effect = self.cores.iter_mut().find_map(|(id, core)| Some((*id, core.poll_effect()?)));
            if let Some((connection, effect)) = effect {
                self.carry_out(now, connection, effect);
            } else if let Some(effect) = self.call.poll_effect() {
                self.apply(now, effect);
            } else {
                return;
            }
        }
    }

    /// As the gateway does.
    fn carry_out(&mut self, now: Instant, connection: ConnectionId, effect: Effect) {
        match effect {
            Effect::Call { ticket, request: CallRequest::Join(join) } => {
                let (id, secret) = (self.secret(), self.secret());
                let Some(core) = self.cores.get_mut(&connection) else { return };
                core.handle_session(id, secret, Vec::new());
                let joining = Joining {
                    ingest: None,
                    identity: self.identities.get(&connection).cloned().unwrap_or_default(),
                    name: join.name.unwrap_or_default(),
                    metadata: join.metadata.unwrap_or_default(),
                    kind: join.kind.into(),
                    grants: CallGrants::ALL,
                    auto_subscribe: join.auto_subscribe,
                    joined_at: WallTime(0),
                };
                self.call.handle_join(now, &mut self.ids, connection, ticket, joining);
            }
            Effect::Call { ticket, request } => {
                self.call.handle_request(now, &mut self.ids, connection, ticket, request);
            }
            Effect::CallPresence { away } => self.call.handle_presence(connection, away),
            Effect::CallEnded { reason } => {
                self.sessions.retain(|_, other| *other != connection);
                self.call.handle_gone(connection, reason);
            }
            Effect::Resume(resume) => self.resume(now, connection, &resume),
            // Callers of this run neither sign in on the socket nor watch topics.
            Effect::Authenticate { .. } | Effect::Subscribe { .. } | Effect::Unsubscribe { .. } => {}
        }
    }

    fn resume(&mut self, now: Instant, newcomer: ConnectionId, resume: &telstar_signaling::Resume) {
        let secret = self.secret();
        let target = self.sessions.get(&resume.session).copied();
        let old = target.and_then(|target| self.cores.get_mut(&target));
        let resumed = old.is_some_and(|core| core.handle_resumed(now, resume, secret).is_ok());
        match target.filter(|_| resumed) {
            Some(target) => {
                // The socket that was replaced is closed; its client has given it up.
                self.lines.retain(|_, line| line.connection != target);
                self.cores.remove(&newcomer);
                let moved = self.lines.values_mut().filter(|line| line.connection == newcomer);
                moved.for_each(|line| line.connection = target);
            }
            None => {
                if let Some(core) = self.cores.get_mut(&newcomer) {
                    core.handle_resume_refused(now);
                }
            }
        }
    }

    fn apply(&mut self, now: Instant, effect: CallEffect) {
        match effect {
            CallEffect::Reply { connection, ticket, reply } => {
                let Some(core) = self.cores.get_mut(&connection) else { return };
                let joined = matches!(reply, Ok(CallReply::Joined { .. }));
                core.handle_call_reply(now, ticket, reply);
                if let Some(session) = core.session_id().filter(|_| joined) {
                    self.sessions.insert(session.to_owned(), connection);
                }
            }
            CallEffect::Event { to, event } => {
                for connection in to.iter() {
                    if let Some(core) = self.cores.get_mut(connection) {
                        core.handle_call_event(now, &event);
                    }
                }
            }
            CallEffect::Media(command) => {
                if let media::Order::Sfu(command) = media::order(ROOM, command) {
                    self.commands.push_back(command);
                }
            }
            // Nobody here is an ingest or a viewer.
            CallEffect::Over { .. } | CallEffect::Fact(_) => {}
        }
    }

    fn secret(&mut self) -> Secret {
        Secret::parse(format!("{:016x}{:016x}", self.random.draw(), self.random.draw())).expect("32 characters are few")
    }
}
