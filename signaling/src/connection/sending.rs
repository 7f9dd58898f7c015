//! How replies, events and the end of a connection get into its outbox.

use std::time::Instant;

use super::{Connection, Life};
use crate::outbox::Full;
use crate::timer::Timer;
use crate::topic::{Event, Snapshot, Version};
use crate::topic_name::TopicName;
use crate::wire::{CloseCode, ErrorCode, EventBody, EventKind, Reply, RequestId};

impl Connection {
    pub(super) fn reply(&mut self, now: Instant, reply: &Reply<'_>) {
        if self.is_open() {
            let pushed = self.outbox.push_reply(reply.to_text());
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

    fn pushed(&mut self, now: Instant, outcome: Result<(), Full>) {
        match outcome {
            Ok(()) => self.watch_stall(now),
            Err(Full) => self.close(now, CloseCode::Slow, "too slow"),
        }
    }

    pub(super) fn watch_stall(&mut self, now: Instant) {
        if self.is_open() && !self.outbox.is_empty() && !self.timers.is_set(Timer::Stall) {
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
        self.life = Life::Closing(code, reason);
        self.authentication = None;
        self.subscriptions.clear();
        self.effects.clear();
        self.timers.clear_all();
        self.timers.set(Timer::Close, now + self.limits.close_timeout);
    }
}
