//! A connection without a socket, and how its client comes back on another one.
//!
//! What was written and may not have arrived is kept in the outbox. The client says how far it got; the rest is written again in
//! its old order and with its old numbers, so that nothing is lost and nothing comes twice.

use std::time::Instant;

use subtle::ConstantTimeEq;

use super::{CallLink, Connection, Effect, Life, Resume};
use crate::timer::Timer;
use crate::wire::call::LeaveReason;
use crate::wire::{CloseCode, ErrorCode, Reply, RequestId, Secret};

impl Connection {
    /// The socket broke: nothing can be read or written any more. A client in a call may come back.
    pub fn handle_socket_lost(&mut self, now: Instant) {
        if self.is_open() && self.is_resumable() {
            self.detach(now);
        } else {
            self.finish(LeaveReason::Timeout);
        }
    }

    /// The peer's close frame came, with its code if it has one (RFC 6455 §7.4). Who goes without a reason of its own (1000, 1001
    /// or none) goes for good; any other means to come back on another socket, and so does a socket that only breaks.
    pub fn handle_peer_close(&mut self, code: Option<u16>) {
        if !matches!(code, None | Some(1000 | 1001)) {
            return;
        }
        self.session = None;
        self.outbox.end_call(&self.limits);
        if self.call != CallLink::None {
            self.call = CallLink::None;
            self.effects.push_back(Effect::CallEnded { reason: LeaveReason::Left });
        }
    }

    /// A client has come back on a new socket, which this connection writes to from now on; its old one, if it still has one,
    /// is to be closed with 4410. `next` is the secret for the next time, drawn at random by the shell.
    pub fn handle_resumed(&mut self, now: Instant, resume: &Resume, next: Secret) -> Result<(), ErrorCode> {
        if !self.is_open() || !self.is_resumable() || !self.is_session(resume) {
            return Err(ErrorCode::Gone);
        }
        self.outbox.resume(resume.seq, &resume.pending).map_err(|_| ErrorCode::Gone)?;
        let unknown = resume.pending.iter().filter(|id| !self.knows(id)).collect();
        let session = self.session.as_mut().ok_or(ErrorCode::Gone)?;
        session.secret = next;
        let reply = Reply::Resumed { re: &resume.id, ok: true, session, unknown };
        self.outbox.push_first(reply.to_text());
        self.timers.clear(Timer::Resume);
        self.timers.clear(Timer::Stall);
        self.ping_due = false;
        self.heard(now);
        if std::mem::take(&mut self.detached) && self.call == CallLink::Joined {
            self.effects.push_back(Effect::CallPresence { away: false });
        }
        self.watch_stall(now);
        Ok(())
    }

    /// There is no session to resume for this client: it is told so and may go on from the beginning. Guesses are limited as
    /// wrong tokens are.
    pub fn handle_resume_refused(&mut self, now: Instant) {
        let Some(id) = self.resume.take() else { return };
        self.timers.clear(Timer::Authentication);
        self.reply_error(now, &id, ErrorCode::Gone);
        self.authentication_failures += 1;
        if self.authentication_failures >= self.limits.authentication_failures_max {
            self.close(now, CloseCode::Unauthorised, "too many wrong tokens");
        }
    }

    /// A pong came. One that we asked for says that everything before its ping has arrived; others count as requests do.
    pub fn handle_pong(&mut self, now: Instant, payload: &[u8]) {
        if self.is_open() {
            self.heard(now);
            if !self.outbox.confirm(payload) {
                self.within_rate(now, false);
            }
        }
    }

    /// Whether there is no socket, and the client may come back.
    pub fn is_detached(&self) -> bool {
        self.detached && matches!(self.life, Life::Open)
    }

    /// The session that this connection can be resumed by.
    pub fn session_id(&self) -> Option<&str> {
        self.session.as_ref().filter(|_| self.is_resumable()).map(|session| session.id.as_str())
    }

    pub(super) fn is_resumable(&self) -> bool {
        self.session.is_some() && !matches!(self.call, CallLink::Joining(_))
    }

    pub(super) fn detach(&mut self, now: Instant) {
        if std::mem::replace(&mut self.detached, true) {
            return;
        }
        for timer in [Timer::Heartbeat, Timer::Idle, Timer::Stall] {
            self.timers.clear(timer);
        }
        self.timers.set(Timer::Resume, now + self.limits.resume_window);
        self.ping_due = false;
        if self.call == CallLink::Joined {
            self.effects.push_back(Effect::CallPresence { away: true });
        }
    }

    /// In constant time, so that a secret cannot be guessed byte by byte.
    fn is_session(&self, resume: &Resume) -> bool {
        self.session.as_ref().is_some_and(|session| {
            let id = session.id.as_str().as_bytes().ct_eq(resume.session.as_bytes());
            let secret = session.secret.as_str().as_bytes().ct_eq(resume.secret.as_str().as_bytes());
            (id & secret).into()
        })
    }

    /// Whether a request has come, and its reply will.
    fn knows(&self, id: &RequestId) -> bool {
        self.outbox.has_reply(id)
            || self.call_requests.values().any(|waiting| waiting == id)
            || self.authentication.as_ref() == Some(id)
            || self
                .subscriptions
                .values()
                .any(|one| one.asked.as_ref().and_then(|asked| asked.request.as_ref()) == Some(id))
    }
}
