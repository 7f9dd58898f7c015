//! Framing of datagrams on a byte stream (RFC 4571 §2), as ICE-TCP carries them (RFC 6544 §10.1).
//!
//! In: bytes as they come. Out: whole frames. A frame is two bytes of length, most significant first, and that many bytes.

/// Bytes of the length that stands before each frame.
const LENGTH_BYTES: usize = 2;
/// The largest frame that is taken. What peers send over TCP they could as well send over UDP, so it fits an MTU of 1,500;
/// the rest is for networks with a little more. Higher lets each of many connections hold more memory before it is known.
pub const FRAME_BYTES_MAX: usize = 2_048;

/// Why a stream is given up: nothing behind the wrong length can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes, of which there may be {FRAME_BYTES_MAX}")]
pub struct FrameTooLong {
    /// What the length said.
    pub length: usize,
}

/// Cuts one stream into frames. Holds less than one frame beyond what was last given.
#[derive(Debug, Default)]
pub struct Rfc4571 {
    /// What has arrived and was not given out, from `start` on.
    bytes: Vec<u8>,
    start: usize,
}

impl Rfc4571 {
    /// At the beginning of a stream.
    pub fn new() -> Rfc4571 {
        Rfc4571::default()
    }

    /// Takes bytes as they come. To be followed by [`Self::next_frame`] until there is none, which keeps what is held
    /// below one frame.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame. Empty frames carry nothing and are passed over. After an error the stream has no more.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        loop {
            let Some(&[high, low]) = self.bytes.get(self.start..self.start + LENGTH_BYTES) else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length > FRAME_BYTES_MAX {
                return Err(FrameTooLong { length });
            }
            let begin = self.start + LENGTH_BYTES;
            if self.bytes.len() < begin + length {
                return Ok(None);
            }
            self.start = begin + length;
            if length > 0 {
                return Ok(Some(&self.bytes[begin..begin + length]));
            }
        }
    }

    /// A frame has begun and is not whole.
    pub fn is_within_frame(&self) -> bool {
        self.start < self.bytes.len()
    }
}

/// Puts a frame behind `out`. False: it is longer than a length can say, and nothing was written.
pub fn write_frame(frame: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(frame.len()) else { return false };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(frame);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(reader: &mut Rfc4571) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame().expect("no frame is too long") {
            frames.push(frame.to_vec());
        }
        frames
    }

    #[test]
    fn a_stream_cut_at_every_byte_gives_the_same_frames() {
        let expect = [vec![1], vec![2; 300], vec![3; FRAME_BYTES_MAX]];
        let mut stream = Vec::new();
        expect.iter().for_each(|frame| assert!(write_frame(frame, &mut stream)));
        for cut in 0..=stream.len() {
            let mut reader = Rfc4571::new();
            reader.handle_bytes(&stream[..cut]);
            let mut got = frames(&mut reader);
            let whole: usize = got.iter().map(|frame| frame.len() + LENGTH_BYTES).sum();
            assert_eq!(reader.is_within_frame(), cut > whole, "cut at {cut}");
            reader.handle_bytes(&stream[cut..]);
            got.extend(frames(&mut reader));
            assert_eq!(got, expect, "cut at {cut}");
            assert!(!reader.is_within_frame());
        }
    }

    #[test]
    fn a_frame_beyond_the_cap_ends_the_stream_before_its_bytes_are_held() {
        let mut reader = Rfc4571::new();
        reader.handle_bytes(&[0, 0, 0xff, 0xff, 1, 2, 3]);
        assert_eq!(reader.next_frame(), Err(FrameTooLong { length: 65_535 }));
        assert_eq!(reader.next_frame(), Err(FrameTooLong { length: 65_535 }));
        assert!(!write_frame(&vec![0; 65_536], &mut Vec::new()));
    }

    proptest! {
        #[test]
        fn whatever_was_framed_comes_out_however_it_is_cut(
            expect in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=FRAME_BYTES_MAX), 0..8),
            cut in 1_usize..3_000,
        ) {
            let mut stream = Vec::new();
            expect.iter().for_each(|frame| assert!(write_frame(frame, &mut stream)));
            let mut reader = Rfc4571::new();
            let mut got = Vec::new();
            for bytes in stream.chunks(cut) {
                reader.handle_bytes(bytes);
                got.extend(frames(&mut reader));
                prop_assert!(reader.bytes.len() - reader.start < FRAME_BYTES_MAX + LENGTH_BYTES);
            }
            prop_assert_eq!(got, expect);
        }

        #[test]
        fn no_bytes_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..64)) {
            let mut reader = Rfc4571::new();
            for piece in pieces {
                reader.handle_bytes(&piece);
                while let Ok(Some(frame)) = reader.next_frame() {
                    prop_assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX);
                }
            }
        }
    }
}
