//! What was written to a socket and may not have arrived: kept until a ping confirms it, written again on the next socket.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::Limits;
use crate::wire::RequestId;

/// The client asks for something that is not kept any more, or that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A message as it was written.
pub(crate) enum Written {
    /// The reply to a request.
    Reply(RequestId, String),
    /// An event with its number.
    Event(u64, Arc<str>),
}

impl Written {
    /// The text message.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Written::Reply(_, text) => text.clone(),
            Written::Event(seq, tail) => format!("{{\"seq\":{seq},{tail}"),
        }
    }

    fn len(&self) -> usize {
        match self {
            Written::Reply(_, text) => text.len(),
            Written::Event(_, tail) => tail.len(),
        }
    }
}

/// The messages of one connection that were written, in their order.
pub(crate) struct Sent {
    messages_max: usize,
    bytes_max: usize,
    confirm_messages: usize,
    /// Whether anything is kept at all: only a client that can come back will ask.
    keeps: bool,
    /// The first `written` of them are on their way; the rest waits for the new socket.
    messages: VecDeque<(u64, Written)>,
    written: usize,
    bytes: usize,
    /// Counts every message written; what a ping's payload says.
    count: u64,
    /// The count that an unanswered ping carries.
    pinged: Option<u64>,
    /// Everything up to this count has arrived.
    confirmed: u64,
    /// The newest event that is not kept any more.
    dropped_seq: u64,
    /// The newest message that was dropped because there were too many.
    overflowed: u64,
}

impl Sent {
    pub(crate) fn new(limits: &Limits) -> Sent {
        Sent {
            messages_max: limits.resume_messages_max,
            bytes_max: limits.resume_bytes_max,
            confirm_messages: limits.confirm_messages,
            keeps: false,
            messages: VecDeque::new(),
            written: 0,
            bytes: 0,
            count: 0,
            pinged: None,
            confirmed: 0,
            dropped_seq: 0,
            overflowed: 0,
        }
    }

    /// Keeps what is written from now on; the last event before had the number `seq`.
    pub(crate) fn begin(&mut self, seq: u64) {
        if !self.keeps {
            self.keeps = true;
            self.dropped_seq = seq;
            self.confirmed = self.count;
        }
    }

    /// Keeps nothing any more. What waits for the new socket still goes out.
    pub(crate) fn end(&mut self) {
        self.keeps = false;
        self.messages.drain(..self.written);
        self.written = 0;
        self.bytes = self.messages.iter().map(|(_, message)| message.len()).sum();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        (self.written, self.bytes) = (0, 0);
    }

    /// The next message that the old socket may have lost.
    pub(crate) fn pop(&mut self) -> Option<String> {
        let (_, message) = self.messages.get(self.written)?;
        let text = message.to_text();
        if self.keeps {
            self.written += 1;
        } else if let Some((_, message)) = self.messages.pop_front() {
            self.bytes -= message.len();
        }
        Some(text)
    }

    /// Whether nothing waits for the new socket.
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.messages.len()
    }

    /// A message is being written.
    pub(crate) fn push(&mut self, message: Written) {
        self.count += 1;
        if !self.keeps {
            return;
        }
        self.bytes += message.len();
        self.messages.push_back((self.count, message));
        self.written = self.messages.len();
        while self.messages.len() > self.messages_max || self.bytes > self.bytes_max {
            self.overflowed = self.drop_first();
        }
    }

    /// Drops the oldest and returns its count.
    fn drop_first(&mut self) -> u64 {
        let Some((count, message)) = self.messages.pop_front() else { return self.count };
        self.written = self.written.saturating_sub(1);
        self.bytes -= message.len();
        if let Written::Event(seq, _) = message {
            self.dropped_seq = seq;
        }
        count
    }

    /// Whether so much is unconfirmed that a ping is due.
    pub(crate) fn wants_confirmation(&self) -> bool {
        let is_much = self.written >= self.confirm_messages || self.bytes >= self.bytes_max / 4;
        self.keeps && is_much && self.pinged.is_none() && self.is_written()
    }

    /// The payload of a ping that is being written.
    pub(crate) fn ping(&mut self) -> [u8; 8] {
        // Messages that wait for the new socket have counts of their own that are not written yet.
        let count = if self.is_written() { self.count } else { self.confirmed };
        self.pinged = Some(count);
        count.to_be_bytes()
    }

    /// A pong's payload: whether it answers our ping. Then everything before that ping has arrived (RFC 6455 §5.5.3: it repeats
    /// the payload, and TCP keeps the order).
    pub(crate) fn confirm(&mut self, payload: &[u8]) -> bool {
        let count = <[u8; 8]>::try_from(payload).ok().map(u64::from_be_bytes);
        if count.is_none() || count != self.pinged {
            return false;
        }
        self.pinged = None;
        self.confirmed = count.unwrap_or_default();
        while self.messages.front().is_some_and(|(count, _)| *count <= self.confirmed) {
            self.drop_first();
        }
        true
    }

    /// The client is on a new socket and has every event up to `seq`, the last of which was `last`, and no reply of `pending`.
    pub(crate) fn resume(&mut self, seq: u64, last: u64, pending: &[RequestId]) -> Result<(), Gone> {
        let lost_replies = self.overflowed > self.confirmed && !pending.is_empty();
        if seq > last || seq < self.dropped_seq || lost_replies {
            return Err(Gone);
        }
        self.messages.retain(|(_, message)| match message {
            Written::Event(number, _) => *number > seq,
            Written::Reply(id, _) => pending.contains(id),
        });
        self.bytes = self.messages.iter().map(|(_, message)| message.len()).sum();
        (self.written, self.pinged) = (0, None);
        self.dropped_seq = seq;
        Ok(())
    }

    /// Whether a reply is kept.
    pub(crate) fn has_reply(&self, id: &RequestId) -> bool {
        self.messages.iter().any(|(_, message)| matches!(message, Written::Reply(re, _) if re == id))
    }
}
