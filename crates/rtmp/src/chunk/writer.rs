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
        let Message { timestamp_ms, kind, stream_id, payload } = message;
        self.write_parts(csid, *timestamp_ms, *kind, *stream_id, [payload, &[]], out);
    }

    /// Appends a message whose body lies in two places, so that a frame is copied once and not twice.
    pub fn write_parts(
        &self,
        csid: u8,
        timestamp_ms: u32,
        kind: u8,
        stream_id: u32,
        parts: [&[u8]; 2],
        out: &mut BytesMut,
    ) {
        let len = parts[0].len() + parts[1].len();
        assert!((2..64).contains(&csid), "chunk stream ids of one byte are 2 to 63, RTMP §5.3.1.1");
        assert!(len <= TIMESTAMP_24_MAX as usize, "the length field has 24 bits");
        let extended = timestamp_ms >= TIMESTAMP_24_MAX;
        // Every further chunk has one byte of header, or five.
        out.reserve(16 + len + len / self.chunk_size * 5);
        out.put_u8(csid);
        out.put_uint(u64::from(timestamp_ms.min(TIMESTAMP_24_MAX)), 3);
        out.put_uint(len as u64, 3);
        out.put_u8(kind);
        out.put_u32_le(stream_id);
        if extended {
            out.put_u32(timestamp_ms);
        }
        let mut room = self.chunk_size;
        for mut part in parts {
            while !part.is_empty() {
                if room == 0 {
                    out.put_u8(0b1100_0000 | csid);
                    if extended {
                        out.put_u32(timestamp_ms);
                    }
                    room = self.chunk_size;
                }
                let (now, later) = part.split_at(part.len().min(room));
                out.put_slice(now);
                room -= now.len();
                part = later;
            }
        }
    }
}
