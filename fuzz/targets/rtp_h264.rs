//! H.264 out of RTP: aggregation and fragments in any order, with losses.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_media::Packet;
use telstar_media::rtp::H264Depacketiser;

fuzz_target!(|data: &[u8]| {
    let mut depacketiser = H264Depacketiser::default();
    let mut frames = Vec::new();
    let (mut sequence, mut time) = (0u64, 0i64);
    let mut rest = data;
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
            assert!(frame.payload.len() <= data.len() * 4, "a frame is made of what came");
        }
    }
});
