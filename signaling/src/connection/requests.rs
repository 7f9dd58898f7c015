//! What a connection does with the requests of its client.

use std::collections::btree_map::Entry;
use std::time::Instant;

use super::{Asked, Connection, Effect, Resume, Subscription, Token, next_ticket};
use crate::timer::Timer;
use crate::topic_name::TopicName;
use crate::wire::{CloseCode, ErrorCode, Reply, Request, RequestId};

impl Connection {
    pub(super) fn handle_request(&mut self, now: Instant, id: RequestId, request: Request, is_first: bool) {
        match request {
            Request::Ping => self.reply(now, &Reply::Done { re: &id, ok: true }),
            Request::Authenticate { token } => {
                self.authentication = Some(id);
                self.timers.set(Timer::Authentication, now + self.limits.authentication_timeout);
                self.effects.push_back(Effect::Authenticate { token: Token(token) });
            }
            Request::Subscribe { topic, watch } => self.subscribe(now, id, &topic, watch),
            Request::Unsubscribe { topic } => self.unsubscribe(now, &id, &topic),
            // Later there would be two histories to tell.
            Request::Resume { .. } if !is_first => self.reply_error(now, &id, ErrorCode::BadRequest),
            Request::Resume { session, secret, seq, pending } => {
                self.resume = Some(id.clone());
                self.timers.set(Timer::Authentication, now + self.limits.authentication_timeout);
                let session = session.into_string();
                self.effects.push_back(Effect::Resume(Resume { id, session, secret, seq, pending }));
            }
        }
    }

    fn subscribe(&mut self, now: Instant, id: RequestId, topic: &str, watch: bool) {
        let Ok(topic) = TopicName::parse(topic) else {
            return self.reply_error(now, &id, ErrorCode::NotFound);
        };
        let count = self.subscriptions.len();
        let subscription = match self.subscriptions.entry(topic.clone()) {
            Entry::Vacant(_) if count >= self.limits.subscriptions_max => {
                return self.reply_error(now, &id, ErrorCode::TooManySubscriptions);
            }
            Entry::Vacant(entry) => entry.insert(Subscription { watch, asked: None, version: None }),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        if subscription.asked.as_ref().is_some_and(|asked| asked.request.is_some()) {
            return self.reply_error(now, &id, ErrorCode::Busy);
        }
        subscription.watch = watch;
        let ticket = next_ticket(&mut self.tickets);
        subscription.asked = Some(Asked { ticket, request: Some(id) });
        self.effects.push_back(Effect::Subscribe { ticket, topic, watch });
    }

    fn unsubscribe(&mut self, now: Instant, id: &RequestId, topic: &str) {
        let removed = TopicName::parse(topic).ok().and_then(|topic| self.subscriptions.remove_entry(&topic));
        let Some((topic, subscription)) = removed else {
            return self.reply_error(now, id, ErrorCode::NotFound);
        };
        if let Some(overtaken) = subscription.asked.and_then(|asked| asked.request) {
            self.reply_error(now, &overtaken, ErrorCode::Cancelled);
        }
        self.outbox.forget(&topic);
        self.effects.push_back(Effect::Unsubscribe { topic });
        self.reply(now, &Reply::Done { re: id, ok: true });
    }

    /// Rights may have changed with the principal: every subscription is decided anew. A request that waits keeps waiting,
    /// now for the new answer.
    pub(super) fn ask_again(&mut self) {
        for (topic, subscription) in &mut self.subscriptions {
            let ticket = next_ticket(&mut self.tickets);
            let request = subscription.asked.take().and_then(|asked| asked.request);
            subscription.asked = Some(Asked { ticket, request });
            self.effects.push_back(Effect::Subscribe { ticket, topic: topic.clone(), watch: subscription.watch });
        }
    }

    pub(super) fn within_rate(&mut self, now: Instant, is_message: bool) -> bool {
        let bucket = if is_message { &mut self.messages } else { &mut self.requests };
        if bucket.take(now) {
            self.overruns = 0;
            return true;
        }
        self.overruns += 1;
        if self.overruns > self.limits.overruns_max {
            self.close(now, CloseCode::TooMany, "too many requests");
        }
        false
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.timers.set(Timer::Heartbeat, now + self.limits.heartbeat_interval);
        self.timers.set(Timer::Idle, now + self.limits.idle_timeout);
    }
}
