//! Media messages of every codec on their way to frames: the hub's promises hold whatever comes.
#![no_main]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_rtmp::publish::{Output, Publication};

fuzz_target!(|data: &[u8]| {
    let mut publication = Publication::default();
    let (mut now, mut stamp_ms) = (Instant::now(), 0u32);
    let mut last = BTreeMap::new();
    let mut rest = data;
    // Each message: a byte for medium and distance, two for its length, the body.
    while let [kind, high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low]) & 0x0fff).min(tail.len());
        let (body, after) = tail.split_at(len);
        rest = after;
        stamp_ms = stamp_ms.wrapping_add(u32::from(kind >> 1));
        now += Duration::from_millis(u64::from(kind >> 1));
        let body = Bytes::copy_from_slice(body);
        match kind & 1 {
            0 => publication.video(now, stamp_ms, body),
            _ => publication.audio(now, stamp_ms, body),
        }
        while let Some(output) = publication.poll() {
            let Output::Frame(published) = output else { continue };
            let frame = published.frame;
            assert!(frame.pts >= frame.dts && frame.dts >= 0);
            let before = last.insert(published.track, frame.dts);
            assert!(before.is_none_or(|before| before < frame.dts), "decode times increase");
        }
    }
});
