//! ICE-TCP's framing from a stranger: however the bytes are cut, the frames are the same, and little is held.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_sfu::rfc4571::{FRAME_BYTES_MAX, Rfc4571};

fn frames(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> (Vec<Vec<u8>>, bool) {
    let (mut reader, mut frames) = (Rfc4571::new(), Vec::new());
    for piece in pieces {
        reader.handle_bytes(piece.as_ref());
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX);
                    frames.push(frame.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    let pieces = frames(stream.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, pieces);
});
