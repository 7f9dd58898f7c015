//! Sound on the asset's timeline: whole from its zero to its end, with silence where the source has none.
//!
//! Pieces with times of their own go in, blocks of one length come out. As elsewhere in this program time is counted in
//! samples; a source whose clock drifts is followed by stretching a piece a little, and what is further away is a hole,
//! or is said twice.

use std::collections::VecDeque;

use super::decoded::Planes;

/// Further ahead than this is a hole (20 ms). Higher: sound runs away from its picture; lower: rounded times become
/// clicks.
const HOLE: i64 = 960;
/// Closer than this needs no correction: 2 ms.
const NEAR: i64 = 96;
/// One sample in so many is added or left out while correcting: 0.5 %, a twelfth of a semitone.
const STRETCH: i64 = 200;

/// See the module.
#[derive(Debug)]
pub struct Samples {
    channels: usize,
    block_len: usize,
    /// Where the next piece belongs.
    next: i64,
    end: i64,
    has_begun: bool,
    waiting: VecDeque<Part>,
    waiting_len: usize,
}

/// What waits to become part of a block.
#[derive(Debug)]
enum Part {
    Silence(usize),
    Sound { planes: Planes, taken: usize },
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Part::Silence(len) => *len,
            Part::Sound { planes, taken } => planes.first().map_or(0, Vec::len) - taken,
        }
    }
}

impl Samples {
    /// Of so many channels, in blocks of so many samples, up to `end`.
    pub fn new(channels: usize, block_len: usize, end: i64) -> Samples {
        let (waiting, waiting_len) = (VecDeque::new(), 0);
        Samples { channels, block_len: block_len.max(1), next: 0, end, has_begun: false, waiting, waiting_len }
    }

    /// Takes a piece that begins at `at`, or where the last ended.
    pub fn push(&mut self, at: Option<i64>, mut planes: Planes) {
        planes.resize_with(self.channels, Vec::new);
        let len = planes.iter().map(Vec::len).min().unwrap_or(0);
        planes.iter_mut().for_each(|plane| plane.truncate(len));
        // Whatever is broken is inside this, and no sum overflows.
        let at = at.unwrap_or(self.next).clamp(-self.end - len as i64, self.end);
        let ahead = at - self.next;
        if ahead > HOLE || ahead > 0 && !self.has_begun {
            self.silence(ahead);
        } else if ahead < -HOLE || ahead < 0 && !self.has_begun {
            let known = usize::try_from(-ahead).unwrap_or(usize::MAX).min(len);
            planes.iter_mut().for_each(|plane| drop(plane.drain(..known)));
        } else if ahead.abs() > NEAR {
            let most = len as i64 / STRETCH;
            let wanted = (len as i64 + ahead.clamp(-most, most)).max(0) as usize;
            planes.iter_mut().for_each(|plane| *plane = stretched(plane, wanted));
        }
        self.has_begun = true;
        let left = usize::try_from(self.end - self.next).unwrap_or(0);
        planes.iter_mut().for_each(|plane| plane.truncate(left));
        let part = Part::Sound { planes, taken: 0 };
        self.queue(part);
    }

    /// There is no further piece: silence up to the end, and to the end of the last block.
    pub fn finish(&mut self) {
        self.silence(self.end - self.next);
        let rest = self.waiting_len % self.block_len;
        if rest > 0 {
            self.queue(Part::Silence(self.block_len - rest));
        }
    }

    /// The next block.
    pub fn poll(&mut self) -> Option<Planes> {
        if self.waiting_len < self.block_len {
            return None;
        }
        let mut block = vec![Vec::with_capacity(self.block_len); self.channels];
        while let Some(missing) = Some(self.block_len - block.first().map_or(0, Vec::len)).filter(|len| *len > 0) {
            let Some(part) = self.waiting.front_mut() else { break };
            let len = part.len().min(missing);
            match part {
                Part::Silence(left) => {
                    block.iter_mut().for_each(|plane| plane.resize(plane.len() + len, 0.0));
                    *left -= len;
                }
                Part::Sound { planes, taken } => {
                    for (to, from) in block.iter_mut().zip(planes) {
                        to.extend_from_slice(&from[*taken..*taken + len]);
                    }
                    *taken += len;
                }
            }
            if part.len() == 0 {
                self.waiting.pop_front();
            }
        }
        self.waiting_len -= self.block_len;
        Some(block)
    }

    fn silence(&mut self, len: i64) {
        let len = len.min(self.end - self.next);
        self.queue(Part::Silence(usize::try_from(len).unwrap_or(0)));
    }

    fn queue(&mut self, part: Part) {
        let len = part.len();
        if len > 0 {
            self.next += len as i64;
            self.waiting_len += len;
            self.waiting.push_back(part);
        }
    }
}

/// The same sound in `len` samples, by straight lines between its samples.
fn stretched(samples: &[f32], len: usize) -> Vec<f32> {
    let (Some(last), true) = (samples.len().checked_sub(1), len > 1) else { return samples.to_vec() };
    let step = last as f64 / (len - 1) as f64;
    let at = |index: usize| {
        let place = index as f64 * step;
        let (left, part) = (place as usize, place.fract() as f32);
        let (a, b) = (samples[left.min(last)], samples[(left + 1).min(last)]);
        a + (b - a) * part
    };
    (0..len).map(at).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that comes out of pieces of one channel, in one run.
    fn run(pieces: &[(Option<i64>, usize)], end: i64) -> Vec<f32> {
        let mut samples = Samples::new(1, 100, end);
        let mut out = Vec::new();
        for (at, len) in pieces {
            samples.push(*at, vec![vec![1.0; *len]]);
            out.extend(std::iter::from_fn(|| samples.poll()).flatten().flatten());
        }
        samples.finish();
        out.extend(std::iter::from_fn(|| samples.poll()).flatten().flatten());
        out
    }

    fn sounding(samples: &[f32]) -> Vec<(usize, usize)> {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for (index, _) in samples.iter().enumerate().filter(|(_, sample)| **sample > 0.5) {
            match spans.last_mut() {
                Some(span) if span.1 == index => span.1 += 1,
                _ => spans.push((index, index + 1)),
            }
        }
        spans
    }

    #[test]
    fn sound_is_whole_from_zero_to_the_end() {
        let out = run(&[(Some(1_024), 1_000), (Some(2_024), 1_000), (Some(9_000), 500)], 10_000);
        assert_eq!(out.len(), 10_000);
        assert_eq!(sounding(&out), [(1_024, 3_024), (9_000, 9_500)]);
        assert_eq!(sounding(&run(&[(None, 50)], 1_010)), [(0, 50)]);
        assert_eq!(run(&[(None, 50)], 1_010).len(), 1_100, "the last block is full");
    }

    #[test]
    fn what_is_before_zero_behind_the_end_or_said_twice_is_left_out() {
        let out = run(&[(Some(-300), 1_000), (Some(700), 20_000), (Some(2_000), 9_000)], 25_000);
        assert_eq!(sounding(&out), [(0, 20_700)]);
        assert_eq!(sounding(&run(&[(Some(900), 1_000)], 1_000)), [(900, 1_000)]);
    }

    #[test]
    fn a_drifting_source_is_followed_without_a_hole() {
        let pieces: Vec<(Option<i64>, usize)> = (0..2_000).map(|n| (Some(n * 1_024 * 1_001 / 1_000), 1_024)).collect();
        let out = run(&pieces, 2_000 * 1_025);
        let spans = sounding(&out);
        assert_eq!(spans.len(), 1);
        assert!(spans[0].1.abs_diff(2_000 * 1_024 * 1_001 / 1_000) < 200, "{spans:?}");
    }

    proptest! {
        #[test]
        fn whatever_goes_in_the_length_is_right(
            pieces in prop::collection::vec((any::<Option<i64>>(), 0..3_000_usize), 0..20),
            end in 0..50_000_i64,
        ) {
            prop_assert_eq!(run(&pieces, end).len(), (end as usize).div_ceil(100) * 100);
        }
    }
}
