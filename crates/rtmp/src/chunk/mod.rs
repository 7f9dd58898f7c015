//! The chunk stream, RTMP 1.0 §5.3: bytes to messages ([`ChunkReader`]) and back ([`ChunkWriter`]).
//!
//! A message is one [`Bytes`], copied once from the socket's buffer; everything later slices it.
//! This module knows the three control messages that change framing (chunk size, abort) only as calls.

mod reader;
mod writer;

pub use reader::ChunkReader;
pub use writer::ChunkWriter;

use std::fmt;

use bytes::Bytes;

/// The chunk size of both directions until it is changed, RTMP §5.4.1.
pub const CHUNK_SIZE_DEFAULT: u32 = 128;
/// The largest value of the 24-bit timestamp field; it announces an extended timestamp, RTMP §5.3.1.3.
pub(crate) const TIMESTAMP_24_MAX: u32 = 0xff_ffff;

/// A message as RTMP §6.1 defines it.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Milliseconds, wrapping at 2^32.
    pub timestamp_ms: u32,
    /// One of [`message_type`].
    pub kind: u8,
    /// The message stream: 0 for the connection itself, else what `createStream` returned.
    pub stream_id: u32,
    /// The body.
    pub payload: Bytes,
}

/// The body stays out: it may hold a stream key.
impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { timestamp_ms, kind, stream_id, payload } = self;
        write!(formatter, "Message {{ type {kind}, stream {stream_id}, {timestamp_ms} ms, {} bytes }}", payload.len())
    }
}

/// Message type ids, RTMP §5.4, §7.1.
pub mod message_type {
    /// Set Chunk Size, §5.4.1.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message, §5.4.2.
    pub const ABORT: u8 = 2;
    /// Acknowledgement, §5.4.3.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control Messages, §6.2.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size, §5.4.4.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth, §5.4.5.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio, §7.1.4.
    pub const AUDIO: u8 = 8;
    /// Video, §7.1.5.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3, §7.1.2.
    pub const DATA_AMF3: u8 = 15;
    /// Command in AMF3, §7.1.1.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0, §7.1.2.
    pub const DATA_AMF0: u8 = 18;
    /// Command in AMF0, §7.1.1.
    pub const COMMAND_AMF0: u8 = 20;
    /// Several FLV tags in one message, §7.1.6.
    pub const AGGREGATE: u8 = 22;
}

#[cfg(test)]
mod tests;
