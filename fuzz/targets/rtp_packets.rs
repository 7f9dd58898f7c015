//! What the targets of RTP payloads do alike; no target by itself.

use bytes::Bytes;
use telstar_media::rtp::{Depacketiser, Packetiser};
use telstar_media::{Codec, Frame, Packet};

/// Payloads in any order, with losses. Frames that come of them go out and in again.
pub fn take(codec: Codec, data: &[u8]) {
    let (mut depacketiser, mut frames) = (Depacketiser::new(codec).expect("has one"), Vec::new());
    let (mut sequence, mut time) = (0u64, 0i64);
    let mut rest = data;
    let mut all: Vec<Frame> = Vec::new();
    // Each packet: a byte of flags and distance, a length, the payload.
    while let [flags, len, tail @ ..] = rest {
        let (payload, after) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = after;
        sequence += 1 + u64::from(flags & 0b11);
        time += i64::from((flags >> 2) & 0b11) * 3_000;
        let marker = flags & 0x80 != 0;
        let packet = Packet { sequence, time, marker, key: false, payload: Bytes::copy_from_slice(payload) };
        depacketiser.push(&packet, &mut frames);
        for frame in frames.drain(..) {
            assert!(frame.payload.len() <= data.len() * 4 + 64, "a frame is made of what came");
            all.push(frame);
        }
    }
    let (mut packetiser, mut packets) = (Packetiser::new(codec).expect("has one"), Vec::new());
    all.iter().for_each(|frame| packetiser.push(frame, &mut packets));
    let mut again = Depacketiser::new(codec).expect("has one");
    packets.iter().for_each(|packet| again.push(packet, &mut frames));
}
