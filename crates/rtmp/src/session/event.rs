//! What a session tells the shell.

use crate::error::Error;
use crate::publish::{PublishedFrame, TrackAdded, Warning};
use crate::session::{Metadata, PlayRefusal, PlayRequest, PublishRequest};

/// Something that happened. Has no `Debug`: requests hold secrets.
pub enum Event {
    /// Someone wants to publish. Input is held until the shell answers.
    PublishRequested(PublishRequest),
    /// Someone wants to play. Input is held until the shell answers.
    PlayRequested(PlayRequest),
    /// A player stopped. The connection may go on, unless `Closed` follows.
    PlayEnded,
    /// A track appeared or changed its codec or clock.
    TrackAdded(TrackAdded),
    /// An access unit.
    Frame(PublishedFrame),
    /// The source's clock jumped here, as one that was restarted does. Times go on without the jump.
    ClockRestarted,
    /// What the encoder says about itself and its streams.
    Metadata(Metadata),
    /// Something that the person at the encoder should know.
    Warning(Warning),
    /// An accepted publish is over. The connection may go on, unless `Closed` follows.
    PublishEnded(EndReason),
    /// The connection is over: send the remaining output and close the socket. Nothing follows.
    Closed(EndReason),
}

/// Why a publish or a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The encoder said so.
    Unpublished,
    /// The socket was closed without a word.
    Disconnected,
    /// A deadline passed.
    TimedOut(TimedOut),
    /// The peer broke the protocol or a limit.
    Error(Error),
    /// The server refused or ended it.
    Refused(RejectReason),
    /// The server refused to play, or ended it.
    NotPlayed(PlayRefusal),
    /// The application of the address does not exist; the encoder was told.
    UnknownApp,
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedOut {
    /// No complete handshake.
    Handshake,
    /// No `connect`.
    Connect,
    /// No `publish`.
    Publish,
    /// Nothing was sent, not even the answer to a ping.
    Idle,
}

/// Why the server refuses a publish or ends one. The encoder is told in words, never with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// No such key, room or right. One answer for all three.
    InvalidKey,
    /// Another encoder publishes, and the room is configured not to be taken over.
    InUse,
    /// Another encoder took over.
    TakenOver,
    /// The key was revoked, or the room deleted.
    Revoked,
    /// A limit of the server is reached.
    Busy,
    /// The stream has more bits per second than the server takes.
    BitrateTooHigh,
    /// The server is shutting down.
    ShuttingDown,
    /// The server cannot decide now.
    Unavailable,
}

impl RejectReason {
    /// The status code that encoders know.
    pub fn code(self) -> &'static str {
        match self {
            RejectReason::InvalidKey
            | RejectReason::InUse
            | RejectReason::TakenOver
            | RejectReason::Revoked
            | RejectReason::Busy
            | RejectReason::BitrateTooHigh
            | RejectReason::Unavailable => "NetStream.Publish.BadName",
            RejectReason::ShuttingDown => "NetConnection.Connect.AppShutdown",
        }
    }

    /// The words that encoders show.
    pub fn description(self) -> &'static str {
        match self {
            RejectReason::InvalidKey => "The stream key is not valid.",
            RejectReason::InUse => "Another encoder is already publishing with this stream key.",
            RejectReason::TakenOver => "Another encoder has taken over this stream.",
            RejectReason::Revoked => "The stream key was revoked.",
            RejectReason::Busy => "The server takes no more streams at the moment.",
            RejectReason::BitrateTooHigh => "The bitrate is higher than the server takes.",
            RejectReason::ShuttingDown => "The server is shutting down.",
            RejectReason::Unavailable => "The server cannot take the stream at the moment.",
        }
    }
}
