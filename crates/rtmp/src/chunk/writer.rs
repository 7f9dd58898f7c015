//! Messages to bytes. Answers are few and small, so every message gets a full header.

use bytes::{BufMut, BytesMut};

use super::{CHUNK_SIZE_DEFAULT, Message, TIMESTAMP_24_MAX};

/// Cuts the messages of one direction of a connection into chunks.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
}

impl Default for ChunkWriter {
    fn default() -> ChunkWriter {
        ChunkWriter { chunk_size: CHUNK_SIZE_DEFAULT as usize }
    }
}

impl ChunkWriter {
    /// In force from the next message on; the peer must have been told with Set Chunk Size before.
    pub fn set_chunk_size(&mut self, size: u32) {
        assert!(size > 0, "a chunk carries at least one byte");
        self.chunk_size = size as usize;
    }

    /// Appends `message` to `out` on chunk stream `csid` (2 to 63).
    pub fn write(&self, csid: u8, message: &Message, out: &mut BytesMut) {
        assert!((2..64).contains(&csid), "chunk stream ids of one byte are 2 to 63, RTMP §5.3.1.1");
        assert!(message.payload.len() <= TIMESTAMP_24_MAX as usize, "the length field has 24 bits");
        let extended = message.timestamp_ms >= TIMESTAMP_24_MAX;
        out.put_u8(csid);
        out.put_uint(u64::from(message.timestamp_ms.min(TIMESTAMP_24_MAX)), 3);
        out.put_uint(message.payload.len() as u64, 3);
        out.put_u8(message.kind);
        out.put_u32_le(message.stream_id);
        if extended {
            out.put_u32(message.timestamp_ms);
        }
        for (index, chunk) in message.payload.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                out.put_u8(0b1100_0000 | csid);
                if extended {
                    out.put_u32(message.timestamp_ms);
                }
            }
            out.put_slice(chunk);
        }
    }
}
