//! How replies, events and the end of a connection get into its outbox.

use std::time::Instant;

use super::{CallLink, Connection, Effect, Life};
use crate::call::{CallEvent, CallSubject};
use crate::outbox::Full;
use crate::timer::Timer;
use crate::topic::{Event, Snapshot, Version};
use crate::topic_name::TopicName;
use crate::wire::call::LeaveReason;
use crate::wire::{CallEventKind, CloseCode, ErrorCode, EventBody, EventKind, Reply, RequestId};

impl Connection {
    /// The shell could not hand over an event because this connection's mailbox is full.
    pub fn handle_overflow(&mut self, now: Instant) {
        self.close(now, CloseCode::Slow, "too slow");
    }

    /// There are more connections than the server allows: this one is told and closed.
    pub fn handle_refused(&mut self, now: Instant) {
        self.close(now, CloseCode::TooMany, "too many connections");
    }

    /// The server shuts down.
    pub fn handle_shutdown(&mut self, now: Instant) {
        self.close(now, CloseCode::GoingAway, "server shuts down");
    }

    pub(super) fn reply(&mut self, now: Instant, reply: &Reply<'_>) {
        if self.is_open() {
            let pushed = self.outbox.push_reply(reply.re().clone(), reply.to_text());
            self.pushed(now, pushed);
        }
    }

    pub(super) fn reply_error(&mut self, now: Instant, id: &RequestId, code: ErrorCode) {
        self.reply(now, &Reply::Error { re: id, ok: false, error: code.into() });
    }

    pub(super) fn reply_subscribed(&mut self, now: Instant, id: &RequestId, topic: &TopicName, snapshot: &Snapshot) {
        // The snapshot contains what still waits.
        self.outbox.forget(topic);
        let Version { epoch, offset } = snapshot.version;
        let topic = topic.to_string();
        let state = &snapshot.state;
        self.reply(now, &Reply::Subscribed { re: id, ok: true, topic: &topic, offset, epoch, state });
    }

    pub(super) fn push_event(&mut self, now: Instant, event: Event) {
        let pushed = self.outbox.push_event(event);
        self.pushed(now, pushed);
    }

    pub(super) fn push_ended(&mut self, now: Instant, topic: &TopicName) {
        let name = topic.to_string();
        let body = EventBody { topic: &name, kind: EventKind::Ended, offset: None, epoch: None };
        let pushed = self.outbox.push_ended(topic, body.to_tail());
        self.pushed(now, pushed);
    }

    pub(super) fn pushed(&mut self, now: Instant, outcome: Result<(), Full>) {
        match outcome {
            Ok(()) => self.watch_stall(now),
            Err(Full) => self.close(now, CloseCode::Slow, "too slow"),
        }
    }

    pub(super) fn watch_stall(&mut self, now: Instant) {
        if self.is_open() && !self.detached && !self.outbox.is_empty() && !self.timers.is_set(Timer::Stall) {
            self.timers.set(Timer::Stall, now + self.limits.stall_timeout);
        }
    }

    pub(super) fn close(&mut self, now: Instant, code: CloseCode, reason: &'static str) {
        if !self.is_open() {
            return;
        }
        if code == CloseCode::Slow {
            // It would not read what waits: only the close frame is worth a try.
            self.outbox.clear();
        }
        if self.detached {
            return self.finish(reason_of(code));
        }
        if matches!(code, CloseCode::GoingAway | CloseCode::Unauthorised) {
            self.say_left(reason_of(code));
        }
        self.end(reason_of(code));
        self.life = Life::Closing(code, reason);
        self.timers.set(Timer::Close, now + self.limits.close_timeout);
    }

    /// Who is in a call hears why it is over for it before the close frame. The call itself may have said so already.
    fn say_left(&mut self, reason: LeaveReason) {
        if self.call == CallLink::Joined {
            let kind = CallEventKind::Left { reason };
            let body = EventBody { topic: &self.call_topic, kind, offset: None, epoch: None };
            let event = CallEvent { subject: CallSubject::Left, version: None, tail: body.to_tail().into() };
            // A client that reads so little that there is no room for it has the close frame.
            let _ = self.outbox.push_call_event(event);
        }
    }

    /// Ends without a socket to say it on.
    pub(super) fn finish(&mut self, reason: LeaveReason) {
        if self.is_open() {
            self.end(reason);
        }
        self.timers.clear_all();
        self.life = Life::Finished;
    }

    fn end(&mut self, reason: LeaveReason) {
        self.authentication = None;
        self.resume = None;
        self.subscriptions.clear();
        // Nothing of it is wanted any more, but that the call is told.
        self.effects.retain(|effect| matches!(effect, Effect::CallEnded { .. }));
        self.timers.clear_all();
        self.call_requests.clear();
        self.session = None;
        self.outbox.end_call(&self.limits);
        if self.call != CallLink::None {
            self.call = CallLink::None;
            self.effects.push_back(Effect::CallEnded { reason });
        }
    }
}

/// What the other participants are told of a connection that closed.
fn reason_of(code: CloseCode) -> LeaveReason {
    match code {
        CloseCode::GoingAway => LeaveReason::Shutdown,
        CloseCode::Unauthorised => LeaveReason::CredentialEnded,
        CloseCode::Slow => LeaveReason::Slow,
        CloseCode::TooBig | CloseCode::BadMessage | CloseCode::TooMany | CloseCode::Replaced => LeaveReason::Removed,
    }
}
