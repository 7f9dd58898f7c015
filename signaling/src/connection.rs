//! One client: what it asked for, what waits for it, when it has to be closed.

mod api;
mod call;
mod requests;
mod resume;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::bucket::Bucket;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::timer::{Timer, TimerTable};
use crate::topic::{Event, Version};
use crate::topic_name::TopicName;
use crate::wire::call::{IceServer, LeaveReason, Session};
use crate::wire::{CloseCode, ErrorCode, Parsed, Reply, RequestId, parse};

pub use api::{Answer, Effect, Output, Principal, Resume, Ticket, Token};

/// The core of one connection. It starts anonymous and may subscribe at once: what it may see is the shell's decision.
///
/// Drain rule: after every `handle_*`, take effects from [`Connection::poll_effect`] until `None`. Take output from
/// [`Connection::poll_output`] only while the socket can be written: what is left here is what the limits see.
/// Call [`Connection::handle_timeout`] when [`Connection::poll_timeout`] has passed. Once [`Connection::is_finished`],
/// drop the socket. A connection that ends does not unsubscribe one by one: the shell forgets it whole.
///
/// A connection that has joined a call outlives its socket: while [`Connection::is_detached`] it has none, goes on taking what
/// comes for the client, and waits for [`Connection::handle_resumed`].
pub struct Connection {
    limits: Limits,
    life: Life,
    timers: TimerTable,
    requests: Bucket,
    /// For candidates, signals and data messages.
    messages: Bucket,
    /// Requests over the rate since the last one within it.
    overruns: u32,
    authentication: Option<RequestId>,
    authentication_failures: u32,
    subscriptions: BTreeMap<TopicName, Subscription>,
    tickets: u64,
    outbox: Outbox,
    ping_due: bool,
    call: CallLink,
    /// `call:{room}` of the call that was joined last.
    call_topic: Arc<str>,
    /// Requests that the call has not answered.
    call_requests: BTreeMap<Ticket, RequestId>,
    /// How to come back. Given with a join, kept until a `leave`.
    session: Option<Session>,
    ice_servers: Vec<IceServer>,
    /// There is no socket.
    detached: bool,
    /// A `resume` that the shell has not decided; only before anything else was asked.
    resume: Option<RequestId>,
    /// A request came.
    has_asked: bool,
    /// At most one effect per request and one per subscription: the drain rule keeps it short.
    effects: VecDeque<Effect>,
}

/// How far this connection is into a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallLink {
    None,
    /// The shell has not answered this join.
    Joining(Ticket),
    Joined,
}

enum Life {
    Open,
    /// What waits is written first, then the close frame.
    Closing(CloseCode, &'static str),
    /// The close frame is out, the peer's is awaited.
    Closed,
    Finished,
}

struct Subscription {
    watch: bool,
    /// The question that the shell has not answered yet.
    asked: Option<Asked>,
    /// The last event or snapshot that the client was sent; `None` until the first answer.
    version: Option<Version>,
}

struct Asked {
    ticket: Ticket,
    /// The request that waits for the answer; `None` when the core itself asked again.
    request: Option<RequestId>,
}

impl Connection {
    /// An anonymous connection.
    pub fn new(limits: Limits, now: Instant) -> Connection {
        let mut connection = Connection {
            life: Life::Open,
            timers: TimerTable::default(),
            requests: Bucket::new(limits.requests_per_sec, limits.requests_burst, now),
            messages: Bucket::new(limits.messages_per_sec, limits.messages_burst, now),
            overruns: 0,
            authentication: None,
            authentication_failures: 0,
            subscriptions: BTreeMap::new(),
            tickets: 0,
            outbox: Outbox::new(&limits),
            ping_due: false,
            call: CallLink::None,
            call_topic: Arc::default(),
            call_requests: BTreeMap::new(),
            session: None,
            ice_servers: Vec::new(),
            detached: false,
            resume: None,
            has_asked: false,
            effects: VecDeque::new(),
            limits,
        };
        connection.heard(now);
        connection
    }

    /// A text message came.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        if !self.is_open() {
            return;
        }
        self.heard(now);
        // Who has joined has shown a credential, and its SDP may be long.
        let is_joined = self.call == CallLink::Joined;
        let max = if is_joined { self.limits.call_message_bytes_max } else { self.limits.message_bytes_max };
        if text.len() > max {
            return self.close(now, CloseCode::TooBig, "message too long");
        }
        let parsed = match parse(text, self.limits.json_depth_max) {
            Ok(parsed) => parsed,
            Err(_) => return self.close(now, CloseCode::BadMessage, "not a request"),
        };
        let is_message = matches!(&parsed, Parsed::Call(_, request) if request.is_message());
        let (Parsed::Request(id, _) | Parsed::Call(id, _) | Parsed::UnknownType(id) | Parsed::BadFields(id)) = &parsed;
        if !self.within_rate(now, is_message) {
            return self.reply_error(now, &id.clone(), ErrorCode::RateLimited);
        }
        let is_first = !std::mem::replace(&mut self.has_asked, true);
        match parsed {
            Parsed::UnknownType(id) => self.reply_error(now, &id, ErrorCode::UnknownType),
            Parsed::BadFields(id) => self.reply_error(now, &id, ErrorCode::BadRequest),
            Parsed::Request(id, _) | Parsed::Call(id, _) if self.awaits_decision() => {
                self.reply_error(now, &id, ErrorCode::Busy);
            }
            Parsed::Request(id, request) => self.handle_request(now, id, request, is_first),
            Parsed::Call(id, request) => self.handle_call_request(now, id, request),
        }
    }

    /// A binary message came; the subprotocol has none.
    pub fn handle_binary(&mut self, now: Instant) {
        if self.is_open() {
            self.close(now, CloseCode::BadMessage, "binary message");
        }
    }

    /// The peer's message is longer than the socket layer accepts.
    pub fn handle_oversize(&mut self, now: Instant) {
        if self.is_open() {
            self.close(now, CloseCode::TooBig, "message too long");
        }
    }

    /// The peer broke a rule of the WebSocket protocol.
    pub fn handle_violation(&mut self, now: Instant) {
        if self.is_open() {
            self.close(now, CloseCode::BadMessage, "protocol violation");
        }
    }

    /// A ping or pong frame came. They count against the rate as requests do: a flood of pings costs as much.
    pub fn handle_control(&mut self, now: Instant) {
        if self.is_open() {
            self.heard(now);
            self.within_rate(now, false);
        }
    }

    /// The shell found out who this is: the answer to [`Effect::Authenticate`], or what the upgrade request proved.
    pub fn handle_principal(&mut self, now: Instant, outcome: Result<Principal, ErrorCode>) {
        if !self.is_open() {
            return;
        }
        self.timers.clear(Timer::Authentication);
        let request = self.authentication.take();
        match outcome {
            Ok(principal) => {
                if let Some(id) = request {
                    let identity = principal.identity.as_deref();
                    self.reply(now, &Reply::Authenticated { re: &id, ok: true, identity });
                }
                match principal.expires_at {
                    Some(deadline) => self.timers.set(Timer::Credential, deadline),
                    None => self.timers.clear(Timer::Credential),
                }
                self.ask_again();
            }
            Err(code) => {
                if let Some(id) = request {
                    self.reply_error(now, &id, code);
                }
                if code == ErrorCode::Unauthorised {
                    self.authentication_failures += 1;
                }
                if self.authentication_failures >= self.limits.authentication_failures_max {
                    self.close(now, CloseCode::Unauthorised, "too many wrong tokens");
                }
            }
        }
    }

    /// What the principal may do has changed: the shell is asked again about every topic.
    pub fn handle_rights_changed(&mut self) {
        if self.is_open() {
            self.ask_again();
        }
    }

    /// The credential was revoked.
    pub fn handle_revoked(&mut self, now: Instant) {
        self.close(now, CloseCode::Unauthorised, "credential revoked");
    }

    /// The answer to [`Effect::Subscribe`]. After an error the shell must send no more events of the topic.
    pub fn handle_answer(&mut self, now: Instant, topic: &TopicName, ticket: Ticket, answer: Answer) {
        if !self.is_open() {
            return;
        }
        let Some(subscription) = self.subscriptions.get_mut(topic) else { return };
        let Some(asked) = subscription.asked.take_if(|asked| asked.ticket == ticket) else { return };
        match answer {
            Ok(snapshot) => {
                let had_state = subscription.version.replace(snapshot.version).is_some();
                match asked.request {
                    Some(id) => self.reply_subscribed(now, &id, topic, &snapshot),
                    None if had_state => self.push_event(now, Event::whole(topic, &snapshot)),
                    None => {}
                }
            }
            Err(code) => {
                let had_state = subscription.version.is_some();
                self.subscriptions.remove(topic);
                match asked.request {
                    Some(id) => self.reply_error(now, &id, code),
                    None if had_state => self.push_ended(now, topic),
                    None => {}
                }
            }
        }
    }

    /// An event of a topic. What the client already has, or did not ask for, goes no further.
    pub fn handle_event(&mut self, now: Instant, event: &Event) {
        if !self.is_open() {
            return;
        }
        let Some(subscription) = self.subscriptions.get_mut(&event.topic) else { return };
        match &mut subscription.version {
            Some(version) if *version < event.version => *version = event.version,
            _ => return,
        }
        self.push_event(now, event.clone());
    }

    /// A topic's life of this epoch is over for this connection. The shell has already forgotten it. A topic that was
    /// made anew under the same name since is another one.
    pub fn handle_ended(&mut self, now: Instant, topic: &TopicName, epoch: u64) {
        let later = |subscription: &Subscription| subscription.version.is_none_or(|version| version.epoch > epoch);
        if !self.is_open() || self.subscriptions.get(topic).is_none_or(later) {
            return;
        }
        let request = self.subscriptions.remove(topic).and_then(|gone| gone.asked).and_then(|asked| asked.request);
        match request {
            Some(id) => self.reply_error(now, &id, ErrorCode::NotFound),
            None => self.push_ended(now, topic),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Heartbeat => {
                    self.ping_due = true;
                    self.timers.set(Timer::Heartbeat, now + self.limits.heartbeat_interval);
                }
                // The network may be to blame: who has joined a call may come back on another socket.
                Timer::Idle | Timer::Stall if self.is_resumable() => self.detach(now),
                Timer::Idle => self.close(now, CloseCode::Slow, "no answer to pings"),
                Timer::Stall => self.close(now, CloseCode::Slow, "too slow"),
                Timer::Join => self.give_up_join(now),
                Timer::Resume => self.finish(LeaveReason::Timeout),
                Timer::Authentication => self.close(now, CloseCode::Unauthorised, "token could not be checked"),
                Timer::Credential => self.close(now, CloseCode::Unauthorised, "credential expired"),
                Timer::Close => self.life = Life::Finished,
            }
        }
    }

    /// The next thing to write to the socket.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        match self.life {
            Life::Open if self.detached => return None,
            Life::Open if self.ping_due || self.outbox.wants_confirmation() => {
                self.ping_due = false;
                return Some(Output::Ping(self.outbox.ping()));
            }
            Life::Open | Life::Closing(..) => {}
            Life::Closed | Life::Finished => return None,
        }
        if let Some(text) = self.outbox.pop() {
            self.timers.clear(Timer::Stall);
            self.watch_stall(now);
            return Some(Output::Text(text));
        }
        let Life::Closing(code, reason) = self.life else { return None };
        self.life = Life::Closed;
        Some(Output::Close(code, reason))
    }

    /// The next thing for the shell to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Connection::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether the shell should read on. It is false while a token is being checked or a join is decided, so that a
    /// request sent right behind `authenticate` or `join` waits in the socket and is judged by the outcome.
    pub fn wants_input(&self) -> bool {
        !self.awaits_decision() && !self.is_finished()
    }

    /// Whether what the next request may do depends on an answer of the shell.
    fn awaits_decision(&self) -> bool {
        self.authentication.is_some() || self.resume.is_some() || matches!(self.call, CallLink::Joining(_))
    }

    /// Whether [`Connection::poll_output`] has something.
    pub fn has_output(&self) -> bool {
        match self.life {
            Life::Open if self.detached => false,
            Life::Open => self.ping_due || self.outbox.wants_confirmation() || !self.outbox.is_empty(),
            Life::Closing(..) => true,
            Life::Closed | Life::Finished => false,
        }
    }

    /// Whether the connection takes requests and events.
    pub fn is_open(&self) -> bool {
        matches!(self.life, Life::Open)
    }

    /// Whether the client has this topic or waits for it.
    pub fn is_subscribed(&self, topic: &TopicName) -> bool {
        self.subscriptions.contains_key(topic)
    }

    /// Whether the socket has to be dropped, however politely it was closed.
    pub fn is_finished(&self) -> bool {
        matches!(self.life, Life::Finished)
    }

    /// Messages and bytes that wait for the socket.
    pub fn waiting(&self) -> (usize, usize) {
        (self.outbox.len(), self.outbox.bytes())
    }

    /// Events that newer ones superseded before they left.
    pub fn events_coalesced(&self) -> u64 {
        self.outbox.coalesced()
    }
}

fn next_ticket(tickets: &mut u64) -> Ticket {
    *tickets += 1;
    Ticket(*tickets)
}
