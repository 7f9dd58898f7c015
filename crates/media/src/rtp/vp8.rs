//! VP8 over RTP, RFC 7741: a payload descriptor before each piece of a frame.

use bytes::{BufMut, BytesMut};

use super::PAYLOAD_LEN_MAX;
use super::pictures::{Assembly, Ending, PictureDepacketiser, PictureFormat};
use crate::codec::{CodecConfig, Vp8Config};
use crate::frame::{Frame, Packet};

/// §4.2: X, the extension byte is present; S, a partition begins; PID, which one.
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;
/// I, L, T and K of the extension byte.
const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0_PICTURE: u8 = 0x40;
const HAS_LAYER_OR_KEY_INDEX: u8 = 0x30;
/// M: the picture id has 15 bits.
const LONG_PICTURE_ID: u8 = 0x80;
/// The descriptor that is written: both flag bytes and a picture id of 15 bits.
const DESCRIPTOR_LEN: usize = 4;

/// Frames into packets.
#[derive(Debug, Default)]
pub struct Vp8Packetiser {
    sequence: u64,
    picture_id: u16,
}

impl Vp8Packetiser {
    /// Appends the packets of one frame.
    pub fn push(&mut self, frame: &Frame, packets: &mut Vec<Packet>) {
        let chunk_len = PAYLOAD_LEN_MAX - DESCRIPTOR_LEN;
        let count = frame.payload.len().div_ceil(chunk_len);
        for (index, chunk) in frame.payload.chunks(chunk_len).enumerate() {
            let mut payload = BytesMut::with_capacity(DESCRIPTOR_LEN + chunk.len());
            // All is sent as the first partition: where others begin, only a receiver that skips partitions would ask.
            payload.put_u8(EXTENDED | if index == 0 { START } else { 0 });
            payload.put_u8(HAS_PICTURE_ID);
            payload.put_u16(u16::from(LONG_PICTURE_ID) << 8 | self.picture_id);
            payload.put_slice(chunk);
            let (sequence, marker, payload) = (self.sequence, index + 1 == count, payload.freeze());
            packets.push(Packet { sequence, time: frame.pts, marker, key: frame.key, payload });
            self.sequence += 1;
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
    }
}

/// Packets into frames.
pub type Vp8Depacketiser = PictureDepacketiser<Vp8Pictures>;

/// How VP8's payloads make a frame.
#[derive(Debug, Default)]
pub struct Vp8Pictures;

impl PictureFormat for Vp8Pictures {
    fn begins(payload: &[u8]) -> bool {
        payload.first().is_some_and(|flags| flags & (START | PARTITION) == START)
    }

    fn take(&mut self, payload: &[u8], picture: &mut Assembly) {
        match body(payload) {
            Some(body) if !picture.bytes.is_empty() || Self::begins(payload) => picture.append(body),
            _ => picture.damaged = true,
        }
    }

    fn finish(&mut self, picture: &mut Assembly) -> Ending {
        // RFC 6386 §9.1: the first bit is 0 for a key frame.
        let key = picture.bytes.first().is_some_and(|tag| tag & 1 == 0);
        let config = Vp8Config::from_key_frame(&picture.bytes);
        picture.damaged |= key && config.is_none();
        Ending { key, config: config.map(CodecConfig::Vp8) }
    }
}

/// What stands behind the descriptor, §4.2. `None`: nothing does.
fn body(payload: &[u8]) -> Option<&[u8]> {
    let (&flags, mut rest) = payload.split_first()?;
    if flags & EXTENDED != 0 {
        let (&extension, behind) = rest.split_first()?;
        let id_len = match behind.first() {
            _ if extension & HAS_PICTURE_ID == 0 => 0,
            Some(id) if id & LONG_PICTURE_ID != 0 => 2,
            _ => 1,
        };
        let tl0_len = usize::from(extension & HAS_TL0_PICTURE != 0);
        let layer_len = usize::from(extension & HAS_LAYER_OR_KEY_INDEX != 0);
        rest = behind.get(id_len + tl0_len + layer_len..)?;
    }
    Some(rest).filter(|body| !body.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::testing;
    use super::*;
    use crate::codec::Codec;

    /// A key frame's header, 320x180.
    const KEY: [u8; 10] = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00];

    fn frame(index: i64, key: bool, len: usize) -> Frame {
        let mut payload = if key { KEY.to_vec() } else { vec![0x51] };
        payload.extend((0..len).map(|at| (at as i64 * 7 + index) as u8));
        let pts = index * 3_000;
        let config = Arc::new(CodecConfig::Vp8(Vp8Config { width: 320, height: 180 }));
        Frame { config, dts: pts, pts, duration: 0, key, payload: payload.into() }
    }

    proptest! {
        #[test]
        fn packets_of_frames_become_the_same_frames(lens in prop::collection::vec(0usize..6_000, 1..12)) {
            let source: Vec<_> = lens.iter().zip(0..).map(|(len, at)| frame(at, at % 4 == 0, *len)).collect();
            testing::round_trip(Codec::Vp8, &source)?;
        }

        #[test]
        fn after_a_loss_nothing_leaves_until_the_next_key_frame(lost in 0usize..200) {
            let source: Vec<_> = (0..40).map(|at| frame(at, at % 10 == 0, 3_000)).collect();
            testing::loses_one(Codec::Vp8, &source, 10, lost)?;
        }

        #[test]
        fn arbitrary_payloads_never_panic(payloads in testing::payloads()) {
            testing::take_all(Codec::Vp8, payloads);
        }
    }

    #[test]
    fn truncation_at_every_byte_spares_what_came_before() {
        testing::truncations(Codec::Vp8, &[frame(0, true, 30), frame(1, false, 1_200), frame(2, true, 30)]);
    }

    #[test]
    fn descriptors_of_every_length_are_passed_over() {
        let check = |payload: &[u8], expect: Option<&[u8]>| assert_eq!(body(payload), expect, "{payload:02x?}");
        check(&[0x10, 7, 8], Some(&[7, 8]));
        check(&[0x90, 0x00, 7, 8], Some(&[7, 8]));
        check(&[0x90, 0x80, 0x11, 7], Some(&[7]));
        check(&[0x90, 0x80, 0x91, 0x11, 7], Some(&[7]));
        check(&[0x90, 0xe0, 0x91, 0x11, 0x22, 0x40, 7], Some(&[7]));
        check(&[0x90, 0xf0, 0x91, 0x11, 0x22, 0x40, 7], Some(&[7]));
        check(&[0x90, 0x10, 0x03, 7], Some(&[7]));
        for truncated in [&[][..], &[0x10], &[0x90], &[0x90, 0x80], &[0x90, 0x80, 0x91, 0x11], &[0x90, 0x40, 1]] {
            check(truncated, None);
        }
    }
}
