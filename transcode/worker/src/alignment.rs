//! Sound on its timeline: decoded pieces with times of their own become an unbroken run of samples whose place in time is
//! known, cut into the blocks that an encoder takes.
//!
//! Inside a run time is counted in samples, because receivers play stamps that jitter as gaps. A source whose clock drifts
//! against its own stamps is followed by stretching a piece a little; what is further away is a gap and begins anew.

use std::collections::VecDeque;

/// What comes out is sampled at this rate; times are in samples.
pub const SAMPLE_RATE: u32 = 48_000;
/// Further ahead than this is a gap, as elsewhere in this program (50 ms). Higher: sound runs away from its picture;
/// lower: jitter of stamps becomes clicks.
const GAP: i64 = 2_400;
/// A gap up to this becomes silence: half a second. Browsers play on over a short hole in what they have of a track as if it were
/// not there, and sound is early from then on by what was missing. Over a longer one players jump, and are in step behind it.
const FILLED: i64 = 24_000;
/// Closer than this needs no correction: 2 ms. What is not corrected is an error between sound and picture.
const NEAR: i64 = 96;
/// One sample in so many is added or left out while correcting: 0.5 %, a twelfth of a semitone.
const STRETCH: i64 = 200;

/// Times are brought inside this, so that none overflows: 760,000 years.
const FARTHEST: i64 = 1 << 60;

/// A block for the encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Time of its first sample.
    pub at: i64,
    /// Left and right samples.
    pub samples: Vec<(f32, f32)>,
}

/// See the module.
#[derive(Debug)]
pub struct Alignment {
    block_len: usize,
    /// Where the next piece belongs, once there was one.
    next: Option<i64>,
    /// Behind the last block, up to `next`.
    waiting: VecDeque<(f32, f32)>,
    blocks: VecDeque<Block>,
}

impl Alignment {
    /// Blocks of `block_len` samples.
    pub fn new(block_len: usize) -> Alignment {
        Alignment { block_len: block_len.max(1), next: None, waiting: VecDeque::new(), blocks: VecDeque::new() }
    }

    /// Takes the samples that begin at `at`. False: they are from before what was taken.
    pub fn push(&mut self, at: i64, mut samples: Vec<(f32, f32)>) -> bool {
        let at = at.clamp(-FARTHEST, FARTHEST);
        let next = *self.next.get_or_insert(at);
        let mut ahead = at.saturating_sub(next);
        if (GAP..=FILLED).contains(&ahead) {
            self.waiting.extend(std::iter::repeat_n((0.0, 0.0), ahead as usize));
            self.next = Some(at);
            self.cut();
            ahead = 0;
        }
        if ahead > GAP {
            self.fill();
            // What the encoder holds back of this run comes out with silence behind it instead of the sound behind the gap.
            self.next = self.next.map(|next| next + self.block_len as i64);
            self.waiting.extend(std::iter::repeat_n((0.0, 0.0), self.block_len));
            self.cut();
            self.next = Some(at);
        } else if ahead < -GAP {
            let known = usize::try_from(ahead.unsigned_abs()).unwrap_or(usize::MAX);
            if known >= samples.len() {
                return false;
            }
            samples.drain(..known);
        } else if ahead.abs() > NEAR {
            let most = samples.len() as i64 / STRETCH;
            let len = samples.len() as i64 + ahead.clamp(-most, most);
            samples = stretched(&samples, len.max(0) as usize);
        }
        self.next = self.next.map(|next| next + samples.len() as i64);
        self.waiting.extend(samples);
        self.cut();
        true
    }

    /// Ends the run: what waits comes out with silence behind it.
    pub fn fill(&mut self) {
        let rest = self.waiting.len() % self.block_len;
        if rest > 0 {
            let missing = self.block_len - rest;
            self.waiting.extend(std::iter::repeat_n((0.0, 0.0), missing));
            self.next = self.next.map(|next| next + missing as i64);
            self.cut();
        }
    }

    /// The next block.
    pub fn poll(&mut self) -> Option<Block> {
        self.blocks.pop_front()
    }

    fn cut(&mut self) {
        let Some(next) = self.next else { return };
        while self.waiting.len() >= self.block_len {
            let at = next - self.waiting.len() as i64;
            self.blocks.push_back(Block { at, samples: self.waiting.drain(..self.block_len).collect() });
        }
    }
}

/// The same sound in `len` samples, by straight lines between its samples.
fn stretched(samples: &[(f32, f32)], len: usize) -> Vec<(f32, f32)> {
    let (Some(last), true) = (samples.len().checked_sub(1), len > 1) else { return samples.to_vec() };
    let step = last as f64 / (len - 1) as f64;
    let at = |index: usize| {
        let place = index as f64 * step;
        let (left, part) = (place as usize, place.fract() as f32);
        let (a, b) = (samples[left.min(last)], samples[(left + 1).min(last)]);
        (a.0 + (b.0 - a.0) * part, a.1 + (b.1 - a.1) * part)
    };
    (0..len).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the blocks begin that come of pieces of 1,024 samples at these times, and whether each has sound at its end.
    fn blocks(times: impl IntoIterator<Item = i64>) -> Vec<(i64, bool)> {
        let mut alignment = Alignment::new(960);
        for at in times {
            alignment.push(at, vec![(1.0, -1.0); 1_024]);
        }
        std::iter::from_fn(|| alignment.poll())
            .map(|block| (block.at, block.samples.last() == Some(&(1.0, -1.0))))
            .collect()
    }

    #[test]
    fn an_unbroken_source_is_counted() {
        let found = blocks((0..30).map(|n| 7_000 + n * 1_024));
        let expect: Vec<(i64, bool)> = (0..32).map(|n| (7_000 + n * 960, true)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_gap_begins_anew_where_its_sound_is_and_silence_stands_before_it() {
        let found = blocks([0, 48_000, 49_024]);
        assert_eq!(found, [(0, true), (960, false), (1_920, false), (48_000, true), (48_960, true)]);
    }

    #[test]
    fn a_short_gap_is_silence_of_its_length_and_what_follows_is_where_it_belongs() {
        let mut alignment = Alignment::new(960);
        for at in [0, 1_024, 2_048 + 12_288, 3_072 + 12_288] {
            assert!(alignment.push(at, vec![(1.0, -1.0); 1_024]));
        }
        alignment.fill();
        let blocks: Vec<Block> = std::iter::from_fn(|| alignment.poll()).collect();
        assert!(blocks.iter().enumerate().all(|(n, block)| block.at == n as i64 * 960), "unbroken");
        let samples: Vec<f32> = blocks.iter().flat_map(|block| block.samples.iter().map(|(left, _)| *left)).collect();
        let silent = samples.iter().position(|sample| *sample == 0.0);
        let silence = samples[2_048..].iter().position(|sample| *sample > 0.0);
        assert_eq!((silent, silence), (Some(2_048), Some(12_288)));
    }

    #[test]
    fn what_comes_twice_is_left_out_and_time_never_goes_back() {
        let mut alignment = Alignment::new(960);
        assert!(alignment.push(10_000, vec![(0.0, 0.0); 9_600]));
        assert!(!alignment.push(10_000, vec![(0.0, 0.0); 960]));
        assert!(alignment.push(14_800, vec![(0.5, 0.5); 9_600]), "half of it is new");
        let times: Vec<i64> = std::iter::from_fn(|| alignment.poll()).map(|block| block.at).collect();
        assert_eq!(times, (0..15).map(|n| 10_000 + n * 960).collect::<Vec<_>>());
    }

    #[test]
    fn a_source_whose_clock_drifts_is_followed_without_a_gap() {
        for per_mille in [999, 1_001] {
            let mut alignment = Alignment::new(960);
            let (mut ended, mut worst) = (0, 0);
            for n in 0..5_000i64 {
                let at = n * 1_024 * per_mille / 1_000;
                worst = worst.max((alignment.next.unwrap_or(0) - at).abs());
                assert!(alignment.push(at, vec![(0.0, 0.0); 1_024]));
                while let Some(block) = alignment.poll() {
                    assert_eq!(block.at, ended, "unbroken");
                    ended = block.at + 960;
                }
            }
            assert!(worst <= NEAR + 8, "{worst} samples");
        }
    }

    #[test]
    fn stretching_keeps_both_ends_and_hostile_times_are_survived() {
        let line: Vec<(f32, f32)> = (0..1_000).map(|n| (n as f32, -(n as f32))).collect();
        let longer = stretched(&line, 1_005);
        assert_eq!((longer.len(), longer[0], longer[1_004]), (1_005, (0.0, -0.0), (999.0, -999.0)));
        let mut alignment = Alignment::new(960);
        for at in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN] {
            alignment.push(at, vec![(0.0, 0.0); 100]);
        }
    }
}
