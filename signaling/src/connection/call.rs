//! The call that a connection takes part in: its requests, their replies, its events.

use std::sync::Arc;
use std::time::Instant;

use super::{CallLink, Connection, Effect, Ticket, next_ticket};
use crate::call::{CallEvent, CallReply, CallSubject};
use crate::timer::Timer;
use crate::wire::call::{IceServer, LeaveReason, Session};
use crate::wire::{CallRequest, ErrorCode, ParticipantRef, PublishedMid, Reply, RequestId, Secret, TrackRef};

impl Connection {
    pub(super) fn handle_call_request(&mut self, now: Instant, id: RequestId, request: CallRequest) {
        let is_join = matches!(request, CallRequest::Join(_));
        let refusal = match self.call {
            CallLink::None if !is_join => Some(ErrorCode::NotJoined),
            CallLink::Joined | CallLink::Joining(_) if is_join => Some(ErrorCode::AlreadyJoined),
            _ if self.call_requests.len() >= self.limits.call_requests_max => Some(ErrorCode::Busy),
            _ => None,
        };
        if let Some(code) = refusal {
            return self.reply_error(now, &id, code);
        }
        let ticket = next_ticket(&mut self.tickets);
        self.call_requests.insert(ticket, id);
        if is_join {
            self.call = CallLink::Joining(ticket);
            self.timers.set(Timer::Join, now + self.limits.join_timeout);
        }
        self.effects.push_back(Effect::Call { ticket, request });
    }

    /// What the client of a join that is about to succeed can come back with, drawn at random by the shell, and what it can find
    /// a way for its media with.
    pub fn handle_session(&mut self, id: Secret, secret: Secret, ice_servers: Vec<IceServer>) {
        if matches!(self.call, CallLink::Joining(_)) {
            let resume_secs = self.limits.resume_window.as_secs();
            self.session = Some(Session { id, secret, resume_secs });
            self.ice_servers = ice_servers;
        }
    }

    /// The answer to [`Effect::Call`]; one that comes too late, or twice, goes no further.
    ///
    /// # Panics
    ///
    /// If a join succeeds for which [`Connection::handle_session`] was not called.
    pub fn handle_call_reply(&mut self, now: Instant, ticket: Ticket, reply: Result<CallReply, ErrorCode>) {
        let Some(id) = self.call_requests.remove(&ticket) else { return };
        let is_join = self.call == CallLink::Joining(ticket);
        if is_join {
            self.timers.clear(Timer::Join);
            self.call = if reply.is_ok() { CallLink::Joined } else { CallLink::None };
        }
        match reply {
            Ok(reply) => self.reply_done(now, &id, reply),
            Err(code) => {
                if is_join {
                    self.session = None;
                }
                self.reply_error(now, &id, code);
            }
        }
    }

    fn reply_done(&mut self, now: Instant, id: &RequestId, reply: CallReply) {
        match reply {
            CallReply::Joined { participant, topic, version, state } => {
                self.outbox.begin_call(&self.limits);
                self.call_topic = Arc::clone(&topic);
                let session = self.session.clone().expect("the shell draws a session before it answers a join");
                let ice_servers = std::mem::take(&mut self.ice_servers);
                self.reply(
                    now,
                    &Reply::Joined {
                        re: id,
                        ok: true,
                        topic: &topic,
                        offset: version.offset,
                        epoch: version.epoch,
                        participant: ParticipantRef(participant),
                        session: &session,
                        ice_servers: &ice_servers,
                        state: &state,
                    },
                );
            }
            CallReply::Left => {
                self.call = CallLink::None;
                self.reply(now, &Reply::Done { re: id, ok: true });
                // There is nothing to come back to; who is away by now never hears this.
                self.session = None;
                self.outbox.end_call(&self.limits);
                if self.detached {
                    self.finish(LeaveReason::Left);
                }
            }
            CallReply::Published { sdp, tracks } => {
                let tracks =
                    tracks.into_iter().map(|(mid, track)| PublishedMid { mid, track: TrackRef(track) }).collect();
                self.reply(now, &Reply::Published { re: id, ok: true, sdp: &sdp, tracks });
            }
            // Those who watch without taking part have no connection of this kind.
            CallReply::Done | CallReply::Watching { .. } => self.reply(now, &Reply::Done { re: id, ok: true }),
        }
    }

    /// An event of the call. Those of a call that is over go no further.
    pub fn handle_call_event(&mut self, now: Instant, event: &CallEvent) {
        if self.call != CallLink::Joined || !self.is_open() {
            return;
        }
        if event.subject == CallSubject::Left {
            // The session stays, so that a client that is away now still learns why.
            self.call = CallLink::None;
        }
        let pushed = self.outbox.push_call_event(event.clone());
        self.pushed(now, pushed);
    }

    /// The shell did not answer a join. Should the answer come, it is nobody's: the call is told to forget it.
    pub(super) fn give_up_join(&mut self, now: Instant) {
        let CallLink::Joining(ticket) = self.call else { return };
        self.call = CallLink::None;
        self.session = None;
        self.effects.push_back(Effect::CallEnded { reason: LeaveReason::Timeout });
        if let Some(id) = self.call_requests.remove(&ticket) {
            self.reply_error(now, &id, ErrorCode::Unavailable);
        }
    }
}
