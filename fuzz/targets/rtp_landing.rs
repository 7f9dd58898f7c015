//! A publisher's packets on their way to frames: two tracks, three streams, any numbers, times and reports.
#![no_main]

use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_media::Codec;
use telstar_media::rtp::landing::{Arrived, Landed, Landing};
use telstar_units::TrackId;

fuzz_target!(|data: &[u8]| {
    let zero = Instant::now();
    let mut landing = Landing::new(zero);
    landing.add_track(TrackId(0), Codec::Vp8);
    landing.add_track(TrackId(1), Codec::Opus);
    let (mut now, mut last) = (zero, [None::<i64>; 2]);
    let mut rest = data;
    // Each packet: flags, steps of number, time and clock, a length, the payload; with a report eight bytes before it.
    let mut time = 0u32;
    while let [flags, number, step, elapsed, len, tail @ ..] = rest {
        now += Duration::from_millis(u64::from(*elapsed));
        time = time.wrapping_add(u32::from(*step) << (flags >> 5 & 7) * 3);
        let (report, tail) = match tail.split_first_chunk::<8>() {
            Some((bytes, tail)) if flags & 8 != 0 => (Some((u64::from_be_bytes(*bytes), time)), tail),
            _ => (None, tail),
        };
        let (payload, after) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = after;
        let packet = Arrived {
            ssrc: u32::from(flags & 3),
            sequence: u64::from(*number),
            time,
            marker: flags & 4 != 0,
            payload: Bytes::copy_from_slice(payload),
            report,
            arrived: now,
        };
        landing.push(now, TrackId(u64::from(flags >> 4 & 1)), packet);
        while let Some(landed) = landing.poll(now) {
            if let Landed::Frame(track, frame) = landed {
                let last = &mut last[usize::from(track == TrackId(1))];
                assert!(last.is_none_or(|last| frame.dts > last), "times increase");
                *last = Some(frame.dts);
            }
        }
        assert!(landing.poll_timeout().is_none_or(|timeout| timeout > now), "what is due is done");
    }
});
