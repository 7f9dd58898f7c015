//! From a source's clock to the participant's timeline: i64 ticks per track from one common zero.
//!
//! In flow wire timestamps (32-bit milliseconds of RTMP, 32-bit RTP times); out come extended ticks. The rules and
//! their reasons are in docs/adr/0003-clocks-and-timelines.md. This module knows no wall clock but what it is given.

use telstar_units::{Timescale, rescale};

mod rtp_clock;
pub use rtp_clock::{RtpClock, SLEW_PPM_MAX, SenderReport};

/// How far regenerated audio time may drift from the encoder's stamps before it is re-anchored.
///
/// Higher hides real gaps and lets sound run away from the picture; lower re-anchors on the jitter of millisecond
/// stamps. RTMP's stamps are rounded to 1 ms, encoders add up to two AAC frames (43 ms): design, "One timeline".
pub const AUDIO_REANCHOR_MS: i64 = 50;

/// A jump of the wire clock beyond this is a broken or restarted source, not jitter.
///
/// Higher lets one bad stamp stretch a segment; lower cuts streams that pause. 10 s is what nginx-rtmp and ffmpeg use
/// for their own discontinuity checks (`-dts_delta_threshold` 10).
pub const JUMP_MS: i64 = 10_000;

/// Extends a 32-bit clock to 64 bits. RTMP §5.3.1.1 and RTP both wrap at 2^32.
///
/// Each stamp is taken as the nearest one to the last: small steps back stay steps back, a wrap in either direction is
/// followed. The first stamp becomes itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct WrapExtender {
    last: Option<i64>,
}

impl WrapExtender {
    /// The extended value of `stamp`.
    pub fn extend(&mut self, stamp: u32) -> i64 {
        let extended = match self.last {
            None => i64::from(stamp),
            Some(last) => last + i64::from(stamp.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(extended);
        extended
    }
}

/// What [`AudioClock::stamp`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioStamp {
    /// The frame follows the previous one without a gap.
    Continuous,
    /// The first frame, or the source was silent (or jumped) for `ticks` beyond what was expected: an explicit gap.
    Gap {
        /// Ticks of the audio clock that are missing; negative when the source jumped back.
        ticks: i64,
    },
}

/// Regenerates audio time from sample counts, because RTMP's millisecond stamps cannot carry 44.1 kHz exactly.
///
/// A frame's time is the previous frame's plus its samples. Only when the wire disagrees by more than
/// [`AUDIO_REANCHOR_MS`] is the clock set anew, and that is told as a gap.
#[derive(Clone, Copy, Debug)]
pub struct AudioClock {
    timescale: Timescale,
    next: Option<i64>,
}

impl AudioClock {
    /// A clock of `timescale` (the sample rate) that has seen nothing.
    pub fn new(timescale: Timescale) -> AudioClock {
        AudioClock { timescale, next: None }
    }

    /// The time in ticks of a frame of `samples` samples that the wire stamps with `wire_ms` (already extended).
    pub fn stamp(&mut self, wire_ms: i64, samples: u32) -> (i64, AudioStamp) {
        let wire = rescale(wire_ms, Timescale::MILLIS, self.timescale);
        let limit = rescale(AUDIO_REANCHOR_MS, Timescale::MILLIS, self.timescale);
        let (time, stamp) = match self.next {
            None => (wire, AudioStamp::Continuous),
            Some(next) if (wire - next).abs() > limit => (wire, AudioStamp::Gap { ticks: wire - next }),
            Some(next) => (next, AudioStamp::Continuous),
        };
        self.next = Some(time + i64::from(samples));
        (time, stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_32_bit_clock_is_followed_over_its_wrap_in_both_directions() {
        let mut clock = WrapExtender::default();
        let stamps = [u32::MAX - 10, 5, u32::MAX - 2, 20];
        let times: Vec<i64> = stamps.iter().map(|stamp| clock.extend(*stamp)).collect();
        let base = i64::from(u32::MAX) - 10;
        assert_eq!(times, [base, base + 16, base + 8, base + 31]);
    }

    #[test]
    fn cd_audio_on_a_millisecond_clock_never_drifts() {
        let cd = Timescale::new(44_100).expect("not zero");
        let mut clock = AudioClock::new(cd);
        // Three hours of 1,024-sample frames with stamps truncated to milliseconds, as encoders write them.
        for frame in 0..465_000i64 {
            let exact = frame * 1_024;
            let (time, stamp) = clock.stamp(exact * 1_000 / 44_100, 1_024);
            assert_eq!((time, stamp), (exact, AudioStamp::Continuous));
        }
    }

    #[test]
    fn an_encoder_whose_clock_drifts_is_re_anchored_beyond_50_ms_only() {
        let rate = Timescale::new(48_000).expect("not zero");
        let mut clock = AudioClock::new(rate);
        let mut gaps = 0;
        // Samples come 0.1 % slower than the stamps say: 50 ms are reached every 50 s.
        for frame in 0..10_000i64 {
            let wire_ms = (frame as f64 * 1_024.0 / 48.0 * 1.001) as i64;
            let (time, stamp) = clock.stamp(wire_ms, 1_024);
            assert!((time - wire_ms * 48).abs() <= 51 * 48, "frame {frame}");
            gaps += i64::from(stamp != AudioStamp::Continuous);
        }
        assert_eq!(gaps, 10_000 * 1_024 / 48_000 / 50);
    }

    #[test]
    fn silence_is_an_explicit_gap() {
        let mut clock = AudioClock::new(Timescale::new(48_000).expect("not zero"));
        assert_eq!(clock.stamp(1_000, 1_024), (48_000, AudioStamp::Continuous));
        assert_eq!(clock.stamp(1_071, 1_024), (49_024, AudioStamp::Continuous));
        assert_eq!(clock.stamp(3_000, 1_024), (144_000, AudioStamp::Gap { ticks: 93_952 }));
        assert_eq!(clock.stamp(2_000, 1_024), (96_000, AudioStamp::Gap { ticks: -49_024 }));
    }
}
