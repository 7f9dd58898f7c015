//! Sounds added up: each where it belongs in time, and never louder than full scale.

use std::collections::VecDeque;

use crate::alignment::{Block, SAMPLE_RATE};

/// Sound that is ahead by more than this is left out: a second. No input is ahead of the clock by more than the mix's delay
/// unless its times are broken, and each second holds 384 KiB.
const AHEAD_MAX: usize = SAMPLE_RATE as usize;
/// The loudest sample that comes out, 0.5 dB below full scale: what an encoder makes of it may be louder.
const LOUDEST: f32 = 0.94;
/// How much of its loudness what was loud keeps from sample to sample: it halves in 150 ms. Slower dims for longer, faster is
/// heard as distortion.
const RELEASE: f32 = 0.999_904;

/// See the module.
pub struct Mixdown {
    /// The place of the first sample that was not taken; `None` before [`Self::begin`].
    next: Option<i64>,
    sum: VecDeque<(f32, f32)>,
    /// How loud it was of late.
    level: f32,
}

impl Mixdown {
    pub fn new() -> Mixdown {
        Mixdown { next: None, sum: VecDeque::new(), level: 0.0 }
    }

    /// What comes out begins at this sample.
    pub fn begin(&mut self, at: i64) {
        self.next.get_or_insert(at);
    }

    /// Adds a piece. False: some of it came too late, or is too far ahead.
    pub fn add(&mut self, block: &Block) -> bool {
        // Before it begins nobody misses anything.
        let Some(next) = self.next else { return true };
        let offset = block.at.saturating_sub(next);
        let mut fits = true;
        for (index, sample) in block.samples.iter().enumerate() {
            let place = usize::try_from(offset.saturating_add(index as i64));
            let Some(place) = place.ok().filter(|place| *place < AHEAD_MAX) else {
                fits = false;
                continue;
            };
            if place >= self.sum.len() {
                self.sum.resize(place + 1, (0.0, 0.0));
            }
            let sum = &mut self.sum[place];
            *sum = (sum.0 + sample.0, sum.1 + sample.1);
        }
        fits
    }

    /// Leaves out what is older than this.
    pub fn skip_to(&mut self, at: i64) {
        let Some(next) = self.next.filter(|next| *next < at) else { return };
        let gone = usize::try_from(at - next).unwrap_or(usize::MAX).min(self.sum.len());
        self.sum.drain(..gone);
        self.next = Some(at);
    }

    /// The next `len` samples if all of them are before `until`.
    pub fn take(&mut self, until: i64, len: usize) -> Option<Block> {
        let at = self.next?;
        let end = at + len as i64;
        if end > until {
            return None;
        }
        self.next = Some(end);
        let there = len.min(self.sum.len());
        let mut samples: Vec<(f32, f32)> = self.sum.drain(..there).collect();
        samples.resize(len, (0.0, 0.0));
        samples.iter_mut().for_each(|sample| *sample = self.limited(*sample));
        Some(Block { at, samples })
    }

    /// Turned down by as much as it would be too loud, at once, and up again slowly. Both sides alike, or voices would move.
    fn limited(&mut self, (left, right): (f32, f32)) -> (f32, f32) {
        let peak = left.abs().max(right.abs());
        // Decoders of hostile streams may give what is no number.
        let peak = if peak.is_finite() { peak } else { return (0.0, 0.0) };
        self.level = (self.level * RELEASE).max(peak);
        let gain = if self.level > LOUDEST { LOUDEST / self.level } else { 1.0 };
        (left * gain, right * gain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(at: i64, value: f32, len: usize) -> Block {
        Block { at, samples: vec![(value, -value); len] }
    }

    #[test]
    fn pieces_are_added_where_they_belong_and_holes_are_silent() {
        let mut mixdown = Mixdown::new();
        mixdown.begin(1_000);
        assert!(mixdown.add(&block(1_002, 0.25, 4)) && mixdown.add(&block(1_004, 0.5, 4)));
        assert!(!mixdown.add(&block(998, 0.125, 4)), "half of it is late");
        assert_eq!(mixdown.take(1_009, 10), None, "not all of it is due");
        let taken = mixdown.take(1_010, 10).expect("it is due");
        let left: Vec<f32> = taken.samples.iter().map(|sample| sample.0).collect();
        assert_eq!((taken.at, left), (1_000, vec![0.125, 0.125, 0.25, 0.25, 0.75, 0.75, 0.5, 0.5, 0.0, 0.0]));
        assert!(!mixdown.add(&block(1_005, 0.5, 4)), "that has gone");
        mixdown.skip_to(5_000);
        assert_eq!(mixdown.take(5_001, 1).map(|block| block.at), Some(5_000));
    }

    #[test]
    fn many_loud_voices_are_turned_down_and_come_back_slowly() {
        let mut mixdown = Mixdown::new();
        mixdown.begin(0);
        for _ in 0..10 {
            mixdown.add(&block(0, 0.5, 4_800));
        }
        mixdown.add(&block(4_800, 0.5, 1));
        let loud = mixdown.take(4_800, 4_800).expect("it is due");
        assert!(loud.samples.iter().all(|(left, right)| *left <= LOUDEST + 1e-6 && *left == -*right && *left > 0.9));
        let quiet = mixdown.take(4_801, 1).expect("it is due");
        assert!(quiet.samples[0].0 < 0.1, "not at once: {:?}", quiet.samples);
        mixdown.begin(0);
        mixdown.take(48_000 * 3, 48_000 * 2);
        let next = mixdown.next.expect("it began");
        mixdown.add(&block(next, 0.5, 1));
        assert_eq!(mixdown.take(next + 1, 1).map(|block| block.samples[0].0), Some(0.5));
    }

    #[test]
    fn what_is_far_ahead_or_no_number_harms_nothing() {
        let mut mixdown = Mixdown::new();
        mixdown.begin(0);
        for at in [i64::MIN, i64::MAX, AHEAD_MAX as i64 - 1] {
            assert!(!mixdown.add(&block(at, 1.0, 2)));
        }
        assert!(mixdown.sum.len() <= AHEAD_MAX);
        mixdown.add(&block(0, f32::NAN, 1));
        mixdown.add(&block(1, 0.5, 1));
        assert_eq!(mixdown.take(2, 2).map(|block| block.samples), Some(vec![(0.0, 0.0), (0.5, -0.5)]));
    }
}
