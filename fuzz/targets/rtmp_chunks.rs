//! Chunks alone, with chunk sizes and aborts between them: memory stays within its limit, and how the bytes are cut makes no
//! difference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_rtmp::chunk::{ChunkReader, Message, message_type};
use telstar_rtmp::limits::Limits;

/// What one buffer may be larger than what it holds.
const SLACK_BYTES: usize = 64 * 1_024;

fuzz_target!(|data: &[u8]| {
    let Some((&piece, data)) = data.split_first() else { return };
    let whole = read(data, data.len().max(1));
    let cut = read(data, usize::from(piece).max(1));
    // What waits for bytes that may be an extended stamp is told apart by them alone, so both see the same messages.
    assert_eq!(whole, cut);
});

fn read(data: &[u8], piece: usize) -> (Vec<Message>, bool) {
    let limits = Limits::default();
    let mut reader = ChunkReader::new(&limits);
    let mut messages = Vec::new();
    for chunk in data.chunks(piece) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let Ok(message) = reader.read(&mut rest) else { return (messages, false) };
            assert!(reader.held_bytes() <= limits.publisher.held_bytes_max + SLACK_BYTES);
            let Some(message) = message else { continue };
            if let Some(value) = message.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) {
                match message.kind {
                    message_type::SET_CHUNK_SIZE if reader.set_chunk_size(value).is_err() => return (messages, false),
                    message_type::ABORT => reader.abort(value),
                    _ => {}
                }
            }
            messages.push(message);
        }
    }
    (messages, true)
}
