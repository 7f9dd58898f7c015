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
    /// More than a lossy message may carry.
    #[error("a lossy message carries at most {} bytes", crate::LOSSY_BYTES_MAX)]
    TooLong,
}

impl Error {
    /// The server's word for its refusal, if it was one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }
}
