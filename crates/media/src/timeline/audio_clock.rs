//! Audio time from sample counts, and what the wire's stamps may say against it.

use std::collections::VecDeque;

use telstar_units::{Timescale, rescale};

/// How far regenerated audio time may drift from the encoder's stamps before it is re-anchored.
///
/// Higher hides real gaps and lets sound run away from the picture; lower re-anchors on the jitter of millisecond
/// stamps. RTMP's stamps are rounded to 1 ms, encoders add up to two AAC frames (43 ms): design, "One timeline".
pub const AUDIO_REANCHOR_MS: i64 = 50;
/// How long stamps must stay ahead of the count before that is a gap. GStreamer's `flvmux` never stamps sound before the
/// last picture (`enforce-increasing-timestamps`): sound that is late into the muxer gets stamps that are too late, for a
/// burst that catches up within a few frames. Higher: sound behind a real gap waits as long. Lower: a burst that spans a
/// picture looks like a gap; a picture is up to 40 ms.
const GAP_CONFIRM_MS: i64 = 150;
/// Sound that waits at most, in media time; beyond, it goes on by the count.
const WAIT_MAX_MS: i64 = 1_000;
/// Frames that wait at most, however short they are: WAIT_MAX_MS of Opus at 5 ms.
const WAIT_FRAMES_MAX: usize = 200;

/// Regenerates audio time from sample counts, because RTMP's millisecond stamps cannot carry 44.1 kHz exactly.
///
/// A frame's time is the previous frame's plus its samples. Only when the wire disagrees by more than
/// [`AUDIO_REANCHOR_MS`], and goes on to disagree, is the clock set anew, and that is told as a gap. Frames wait until
/// that is known; frames from before what was passed on come back as overlapping, because time never goes back.
///
/// After each [`push`](Self::push) drain [`poll`](Self::poll).
#[derive(Clone, Debug)]
pub struct AudioClock<F> {
    timescale: Timescale,
    next: Option<i64>,
    waiting: VecDeque<Waiting<F>>,
    waiting_samples: i64,
    ready: VecDeque<Timed<F>>,
}

/// What comes out of an [`AudioClock`], in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timed<F> {
    /// A frame and its time in ticks.
    Frame(i64, F),
    /// Between the frames around this, so many ticks of sound are missing.
    Gap(i64),
    /// The frame lies before what was passed on.
    Overlap(F),
}

#[derive(Clone, Debug)]
struct Waiting<F> {
    frame: F,
    samples: u32,
    /// Ticks by which its stamp is ahead of the count.
    ahead: i64,
}

impl<F> AudioClock<F> {
    /// A clock of `timescale` (the sample rate) that has seen nothing.
    pub fn new(timescale: Timescale) -> AudioClock<F> {
        AudioClock { timescale, next: None, waiting: VecDeque::new(), waiting_samples: 0, ready: VecDeque::new() }
    }

    /// A frame of `samples` samples that the wire stamps with `wire_ms` (already extended).
    pub fn push(&mut self, wire_ms: i64, samples: u32, frame: F) {
        let wire = self.ticks(wire_ms);
        let expected = *self.next.get_or_insert(wire) + self.waiting_samples;
        let (ahead, limit) = (wire - expected, self.ticks(AUDIO_REANCHOR_MS));
        if ahead < -limit {
            return self.ready.push_back(Timed::Overlap(frame));
        }
        self.waiting.push_back(Waiting { frame, samples, ahead });
        self.waiting_samples += i64::from(samples);
        if ahead <= limit {
            self.release();
        } else if self.is_gap(ahead) {
            self.confirm_gap();
        } else if self.waiting_samples >= self.ticks(WAIT_MAX_MS) || self.waiting.len() >= WAIT_FRAMES_MAX {
            self.release();
        }
    }

    /// No more comes: what waits is taken for the beginning behind a gap.
    pub fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.confirm_gap();
        }
    }

    /// What became of the frames.
    pub fn poll(&mut self) -> Option<Timed<F>> {
        self.ready.pop_front()
    }

    /// The stamps have stayed ahead for long enough, and do not fall back to the count as those of a burst do.
    fn is_gap(&self, ahead: i64) -> bool {
        let (Some(first), Some(last)) = (self.waiting.front(), self.waiting.back()) else { return false };
        let elapsed = self.waiting_samples - i64::from(last.samples);
        elapsed >= self.ticks(GAP_CONFIRM_MS) && (first.ahead - ahead) * 2 < elapsed
    }

    fn confirm_gap(&mut self) {
        if let (Some(first), Some(next)) = (self.waiting.front(), &mut self.next) {
            *next += first.ahead;
            self.ready.push_back(Timed::Gap(first.ahead));
        }
        self.release();
    }

    /// What waits goes on by the count.
    pub fn release(&mut self) {
        let Some(mut next) = self.next else { return };
        for Waiting { frame, samples, .. } in self.waiting.drain(..) {
            self.ready.push_back(Timed::Frame(next, frame));
            next += i64::from(samples);
        }
        (self.next, self.waiting_samples) = (Some(next), 0);
    }

    fn ticks(&self, ms: i64) -> i64 {
        rescale(ms, Timescale::MILLIS, self.timescale)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CD: u32 = 44_100;
    const FRAME: u32 = 1_024;

    fn clock(hz: u32) -> AudioClock<usize> {
        AudioClock::new(Timescale::new(hz).expect("not zero"))
    }

    /// Everything that comes of frames with these stamps, each frame being its number.
    fn timed(hz: u32, stamps: impl IntoIterator<Item = i64>) -> Vec<Timed<usize>> {
        let mut clock = clock(hz);
        let mut out = Vec::new();
        for (number, wire_ms) in stamps.into_iter().enumerate() {
            clock.push(wire_ms, FRAME, number);
            out.extend(std::iter::from_fn(|| clock.poll()));
        }
        clock.flush();
        out.extend(std::iter::from_fn(|| clock.poll()));
        out
    }

    fn exact_ms(number: usize, hz: u32) -> i64 {
        number as i64 * i64::from(FRAME) * 1_000 / i64::from(hz)
    }

    #[test]
    fn cd_audio_on_a_millisecond_clock_never_drifts() {
        // Three hours with stamps truncated to milliseconds, as encoders write them.
        let frames = timed(CD, (0..465_000).map(|number| exact_ms(number, CD)));
        let continuous = (0..465_000).map(|number| Timed::Frame(number as i64 * 1_024, number));
        assert!(frames.into_iter().eq(continuous));
    }

    #[test]
    fn an_encoder_whose_clock_drifts_is_re_anchored_beyond_50_ms_only() {
        // Samples come 0.1 % slower than the stamps say: 50 ms are reached every 50 s.
        let stamps: Vec<i64> = (0..10_000).map(|n| (f64::from(n) * 1_024.0 / 48.0 * 1.001) as i64).collect();
        let mut gaps = 0;
        for timed in timed(48_000, stamps.iter().copied()) {
            match timed {
                Timed::Frame(time, number) => assert!((time - stamps[number] * 48).abs() <= 51 * 48, "frame {number}"),
                Timed::Gap(_) => gaps += 1,
                Timed::Overlap(number) => panic!("frame {number}"),
            }
        }
        assert_eq!(gaps, 10_000 * 1_024 / 48_000 / 50);
    }

    #[test]
    fn silence_is_an_explicit_gap_before_the_first_frame_behind_it() {
        let stamps = (0..3).map(|n| exact_ms(n, 48_000)).chain((0..12).map(|n| 3_000 + exact_ms(n, 48_000)));
        let out = timed(48_000, stamps);
        assert_eq!(out[3], Timed::Gap(144_000 - 3 * 1_024));
        let behind = (0..12).map(|n| Timed::Frame(144_000 + n as i64 * 1_024, 3 + n));
        assert!(out[4..].iter().cloned().eq(behind));
    }

    #[test]
    fn a_gap_is_one_even_if_the_sound_ends_before_it_is_certain() {
        assert_eq!(timed(48_000, [0, 3_000]), [Timed::Frame(0, 0), Timed::Gap(142_976), Timed::Frame(144_000, 1)]);
    }

    /// GStreamer's muxer when its sound is late: no stamp before the last picture's.
    fn bumped(frames: usize, late_from: usize, late_to: usize, arrives_per_picture: usize) -> Vec<i64> {
        let until = exact_ms(late_to, CD) / 33 * 33;
        let stamp = |number: usize| {
            let exact = exact_ms(number, CD);
            if !(late_from..late_to).contains(&number) {
                return exact;
            }
            let pictures = (number - late_from) / arrives_per_picture;
            exact.max(until + 33 * pictures as i64)
        };
        (0..frames).map(stamp).collect()
    }

    #[test]
    fn late_stamps_of_a_burst_are_no_gap() {
        for (late_from, late_to, per_picture) in [(10, 14, 9), (10, 40, 9), (10, 40, 4), (100, 125, 3)] {
            let out = timed(CD, bumped(200, late_from, late_to, per_picture));
            let continuous = (0..200).map(|number| Timed::Frame(number as i64 * 1_024, number));
            assert!(out.into_iter().eq(continuous), "frames {late_from} to {late_to}, {per_picture} a picture");
        }
    }

    #[test]
    fn a_frame_from_before_what_was_passed_on_overlaps() {
        assert_eq!(timed(48_000, [1_000, 1_021, 900]).last(), Some(&Timed::Overlap(2)));
    }

    proptest! {
        #[test]
        fn every_frame_comes_out_once_in_order_and_time_never_goes_back(
            steps in proptest::collection::vec((-100i64..2_000, prop::sample::select(vec![120u32, 960, 1_024])), 1..300),
        ) {
            let mut clock = clock(48_000);
            let (mut wire_ms, mut end, mut seen) = (0, i64::MIN, Vec::new());
            for (number, (step, samples)) in steps.iter().enumerate() {
                clock.push(wire_ms, *samples, number);
                prop_assert!(clock.waiting.len() <= WAIT_FRAMES_MAX);
                wire_ms += step / 20;
            }
            clock.flush();
            while let Some(timed) = clock.poll() {
                match timed {
                    Timed::Frame(time, number) => {
                        prop_assert!(time >= end);
                        end = time + i64::from(steps[number].1);
                        seen.push(number);
                    }
                    Timed::Gap(ticks) => prop_assert!(ticks > 0),
                    Timed::Overlap(number) => seen.push(number),
                }
            }
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..steps.len()));
        }
    }
}
