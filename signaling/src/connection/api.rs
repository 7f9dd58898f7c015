//! What goes between a connection and the shell.

use std::fmt;
use std::time::Instant;

use crate::topic::Snapshot;
use crate::topic_name::TopicName;
use crate::wire::call::LeaveReason;
use crate::wire::{CallRequest, CloseCode, ErrorCode, RequestId, Secret};

/// Ties the shell's answer to the question, so that an answer that was overtaken is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A credential as it came from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// Who a connection belongs to, as far as this core has to know.
#[derive(Clone)]
pub struct Principal {
    /// What the client is told that it is; `None` for a credential that names nobody.
    pub identity: Option<String>,
    /// When the credential ends; the connection then closes with 4401.
    pub expires_at: Option<Instant>,
}

/// What the shell is asked to do.
#[derive(Debug)]
pub enum Effect {
    /// Find out whose token this is and call [`Connection::handle_principal`].
    Authenticate {
        /// The token.
        token: Token,
    },
    /// Decide whether the connection's principal may see the topic, send the topic's events from now on (or with the new
    /// principal's view, if it sends them already), and call [`Connection::handle_answer`].
    Subscribe {
        /// To be given back with the answer.
        ticket: Ticket,
        /// The topic.
        topic: TopicName,
        /// Whether the connection counts as a viewer.
        watch: bool,
    },
    /// Stop sending a topic's events.
    Unsubscribe {
        /// The topic.
        topic: TopicName,
    },
    /// Hand this to the call, and its answer to [`Connection::handle_call_reply`]. For `join`: find the room, decide whether the
    /// principal may join it, and call [`Connection::handle_session`] before the answer.
    Call {
        /// To be given back with the answer.
        ticket: Ticket,
        /// What is asked.
        request: CallRequest,
    },
    /// Tell the call that the client's socket is gone, or back.
    CallPresence {
        /// Gone.
        away: bool,
    },
    /// Tell the call that this connection is not there any more.
    CallEnded {
        /// Why.
        reason: LeaveReason,
    },
    /// Find the connection of this session, have it check the rest with [`Connection::handle_resumed`], and give it this
    /// connection's socket; this connection is then dropped. If there is none or it refuses, call
    /// [`Connection::handle_resume_refused`].
    Resume(Resume),
}

/// What a client comes back with.
#[derive(Clone, PartialEq)]
pub struct Resume {
    pub(super) id: RequestId,
    /// Which session.
    pub session: String,
    pub(super) secret: Secret,
    pub(super) seq: u64,
    pub(super) pending: Vec<RequestId>,
}

impl fmt::Debug for Resume {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Resume(…)")
    }
}

/// What goes to the socket, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// A text message.
    Text(String),
    /// A WebSocket ping (RFC 6455 §5.5.2) with this payload: how far the messages before it go.
    Ping([u8; 8]),
    /// A close frame; nothing follows it.
    Close(CloseCode, &'static str),
}

/// The shell's answer to [`Effect::Subscribe`].
pub type Answer = Result<Snapshot, ErrorCode>;
