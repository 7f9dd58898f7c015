//! What can go wrong.

use crate::wire::Refusal;

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The WebSocket could not be opened.
    #[error("cannot connect: {0}")]
    Connect(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// The address is not one of a WebSocket.
    #[error("not an address of a WebSocket (ws:// or wss://): {0}")]
    Address(String),
    /// The connection ended, and could not be resumed.
    #[error("the connection is over: {0}")]
    Closed(String),
    /// The server refused a request.
    #[error("refused ({}): {}", .0.code, .0.detail)]
    Refused(Refusal),
    /// The server sent something that is not of the protocol.
    #[error("the server sent something unexpected: {0}")]
    Protocol(String),
    /// The media engine refused.
    #[error("media: {0}")]
    Media(#[from] webrtc::error::Error),
    /// A clip cannot be read.
    #[error("clip: {0}")]
    Clip(String),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// A request of WHIP or WHEP got no answer.
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    /// A request of WHIP or WHEP was answered by something else than success.
    #[error("answered {status} ({code}): {detail}")]
    Status {
        /// The status.
        status: u16,
        /// The server's word for it (RFC 9457), if it gave one.
        code: String,
        /// What it says.
        detail: String,
    },
    /// More than a lossy message may carry.
    #[error("a lossy message carries at most {} bytes", crate::LOSSY_BYTES_MAX)]
    TooLong,
}

impl Error {
    /// The server's word for its refusal, if it was one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused(refusal) => Some(&refusal.code),
            Error::Status { code, .. } => Some(code),
            _ => None,
        }
    }
}
