//! Why a connection ends. Everything here is the peer's doing and closes that one connection.

use crate::amf::AmfError;

/// A protocol error of the peer. The session is closed after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first byte is not RTMP's version 3, but is the start of a protocol that clients try by mistake.
    #[error("this is {protocol}, not RTMP (first byte {first_byte}): {}", .protocol.advice())]
    ForeignProtocol {
        /// What it looks like.
        protocol: ForeignProtocol,
        /// The byte.
        first_byte: u8,
    },
    /// The first byte is not RTMP's version 3.
    #[error("unexpected RTMP version: {0}")]
    Version(u8),
    /// A chunk of type 2 or 3 (or 1 with a type 2 stream) on a chunk stream that never had a full header.
    #[error("chunk stream {csid} begins with a type {format} chunk, which has no length to inherit")]
    NoPreviousHeader {
        /// The chunk stream.
        csid: u32,
        /// The chunk type.
        format: u8,
    },
    /// More chunk streams than allowed.
    #[error("more than {max} chunk streams")]
    ChunkStreams {
        /// The limit.
        max: usize,
    },
    /// A chunk size below the configured floor, or with its first bit set.
    #[error("chunk size {size} is outside {min}..=2147483647")]
    ChunkSize {
        /// What the peer asked for.
        size: u32,
        /// The floor.
        min: u32,
    },
    /// A message longer than allowed at this point of the connection.
    #[error("a message of {bytes} bytes is longer than the allowed {max}")]
    MessageTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Too much in unfinished messages.
    #[error("more than {max} bytes in unfinished messages")]
    Held {
        /// The limit.
        max: usize,
    },
    /// Too many bytes before a publish request.
    #[error("more than {max} bytes before a publish request")]
    StrangerBytes {
        /// The limit.
        max: u64,
    },
    /// A long run of messages without media or commands.
    #[error("{0} messages in a row carried neither media nor a command")]
    UselessMessages(u32),
    /// A protocol control message of the wrong size.
    #[error("protocol control message {0} is malformed")]
    Control(u8),
    /// A command that cannot be decoded.
    #[error("a command cannot be decoded: {0}")]
    Command(#[from] AmfError),
    /// A command before `connect`, or a second `connect`.
    #[error("a command came out of order")]
    CommandOrder,
    /// A name longer than allowed.
    #[error("an application or stream name is longer than {max} bytes")]
    NameTooLong {
        /// The limit.
        max: usize,
    },
}

/// Protocols whose clients find their way to an RTMP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignProtocol {
    /// TLS: RTMPS sent to the plain port, or HTTPS.
    Tls,
    /// HTTP, or RTMP tunnelled through it. OBS probes with it.
    Http,
    /// RTMPE, Adobe's obsolete encryption.
    Rtmpe,
}

impl ForeignProtocol {
    /// What `first_byte` begins, if it is known.
    pub(crate) fn of(first_byte: u8) -> Option<ForeignProtocol> {
        match first_byte {
            // RFC 8446 §5.1: ContentType handshake.
            0x16 => Some(ForeignProtocol::Tls),
            // CONNECT, DELETE, GET, HEAD, OPTIONS, POST, PUT, PATCH, TRACE.
            b'C' | b'D' | b'G' | b'H' | b'O' | b'P' | b'T' => Some(ForeignProtocol::Http),
            6 | 8 => Some(ForeignProtocol::Rtmpe),
            _ => None,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            ForeignProtocol::Tls => "use the rtmps address, or rtmp without s for this port",
            ForeignProtocol::Http => "pages and playlists are on the HTTP address",
            ForeignProtocol::Rtmpe => "use rtmp or rtmps",
        }
    }
}

impl std::fmt::Display for ForeignProtocol {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            ForeignProtocol::Tls => "TLS",
            ForeignProtocol::Http => "HTTP",
            ForeignProtocol::Rtmpe => "RTMPE",
        })
    }
}
