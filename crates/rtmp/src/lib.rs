//! RTMP as a core without I/O: bytes of one connection go in, media frames and answers come out.
//!
//! [`Session`] is the server side of one connection: handshake, chunks, commands, and the FLV bodies that carry
//! the media. In go the bytes a socket delivered and `now`; out come bytes for the socket and [`Event`]s.
//! It deliberately knows no socket, no clock, no room and no account: who may publish or play is the shell's answer to
//! [`Event::PublishRequested`] and [`Event::PlayRequested`].
//!
//! From the wire inwards, each module knows only the ones before it:
//! [`handshake`] and [`chunk`] (RTMP 1.0 §5), [`amf`] (AMF0), [`flv`] (the bodies of audio and video messages, legacy
//! and Enhanced RTMP), `capabilities` (what a
//! client announces of the latter), [`publish`] (bodies and millisecond stamps to frames on one timeline), [`play`]
//! (frames to bodies for a player), [`session`].
//! Every limit is in [`limits`].

pub mod amf;
mod capabilities;
pub mod chunk;
mod error;
pub mod flv;
pub mod handshake;
pub mod limits;
pub mod play;
pub mod publish;
pub mod session;

pub use error::{Error, ForeignProtocol};
pub use limits::Limits;
pub use play::PlayItem;
pub use publish::{PublishedFrame, TrackAdded, TrackNumber, Warning, WarningKind};
pub use session::{
    Config, Counters, Encoder, EndReason, Event, Metadata, PlayRefusal, PlayRequest, PublishMode, PublishRequest,
    RejectReason, Secret, Session, TimedOut,
};
