//! What the recent past says about the next video frame: when it comes and whether it is a keyframe.
//!
//! A part should leave with its last frame, but only the next frame tells how long that one lasts.
//! While frames come evenly the answer is known beforehand; otherwise the part waits.

use telstar_units::{Timescale, rescale};

/// Intervals that are looked back on. More notices a change of rate later; fewer takes two equal gaps for a rate. A guess.
const INTERVALS: usize = 8;
/// Fewest intervals before anything is predicted.
const INTERVALS_MIN: usize = 4;
/// Intervals that differ by no more are even. RTMP's clock of whole milliseconds makes 33, 33, 34 of 30 frames per second.
const EVEN_MICROS: i64 = 2_000;

/// The rhythm of a video track.
#[derive(Debug)]
pub(crate) struct Cadence {
    even: i64,
    intervals: [i64; INTERVALS],
    seen: usize,
    last: Option<i64>,
    last_key: Option<i64>,
    frames_since_key: u64,
    gop: Option<Gop>,
    gop_repeated: bool,
}

#[derive(Clone, Copy, Debug)]
struct Gop {
    frames: u64,
    ticks: i64,
}

impl Cadence {
    pub fn new(timescale: Timescale) -> Cadence {
        Cadence {
            even: rescale(EVEN_MICROS, Timescale::MICROS, timescale),
            intervals: [0; INTERVALS],
            seen: 0,
            last: None,
            last_key: None,
            frames_since_key: 0,
            gop: None,
            gop_repeated: false,
        }
    }

    /// Takes the next frame in decode order. Returns the length of the group of pictures that it ends.
    pub fn observe(&mut self, dts: i64, key: bool) -> Option<i64> {
        if let Some(last) = self.last.replace(dts) {
            self.intervals[self.seen % INTERVALS] = dts - last;
            self.seen += 1;
        }
        if !key {
            self.frames_since_key += 1;
            return None;
        }
        let frames = std::mem::replace(&mut self.frames_since_key, 1);
        let ticks = dts - self.last_key.replace(dts)?;
        self.gop_repeated = self.gop.is_some_and(|gop| gop.frames == frames);
        self.gop = Some(Gop { frames, ticks });
        Some(ticks)
    }

    fn recent(&self) -> &[i64] {
        &self.intervals[..self.seen.min(INTERVALS)]
    }

    /// The interval to the next frame, if frames come evenly. It is the shortest of the recent ones: a decode time that is
    /// a fraction of a millisecond early keeps composition offsets positive.
    pub fn steady(&self) -> Option<i64> {
        let (shortest, longest) = (self.shortest()?, self.longest()?);
        (self.recent().len() >= INTERVALS_MIN && longest - shortest <= self.even).then_some(shortest)
    }

    /// The shortest recent interval: the least that the next frame lasts.
    pub fn shortest(&self) -> Option<i64> {
        self.recent().iter().min().copied()
    }

    fn longest(&self) -> Option<i64> {
        self.recent().iter().max().copied()
    }

    /// Groups of pictures have one length and the next frame begins the next one.
    pub fn key_is_next(&self) -> bool {
        self.gop_repeated && self.key_is_likely_next()
    }

    /// The next frame begins another group of pictures if this one is as long as the one before.
    pub fn key_is_likely_next(&self) -> bool {
        self.gop.is_some_and(|gop| gop.frames == self.frames_since_key)
    }

    /// When the next keyframe comes if this group of pictures is as long as the one before.
    pub fn likely_key(&self) -> Option<i64> {
        let gop = self.gop.filter(|gop| self.frames_since_key <= gop.frames)?;
        Some(self.last_key? + gop.ticks)
    }

    /// When the next keyframe comes, if groups of pictures have one length and it is not overdue.
    pub fn next_key(&self) -> Option<i64> {
        self.likely_key().filter(|_| self.gop_repeated)
    }
}

/// What the first frames say about the frame interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    /// Mean ticks; of an even source without its few dropped frames.
    pub ticks: f64,
    pub constant: bool,
}

impl Interval {
    /// Judges the decode times of the first frames. One dropped frame in ten does not make a source uneven.
    pub fn of(decode_times: &[i64], timescale: Timescale) -> Option<Interval> {
        let mut intervals: Vec<i64> = decode_times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        intervals.sort_unstable();
        let median = *intervals.get(intervals.len() / 2)?;
        let even = rescale(EVEN_MICROS, Timescale::MICROS, timescale);
        let usual: Vec<i64> = intervals.iter().copied().filter(|ticks| (ticks - median).abs() <= even).collect();
        let constant = usual.len() * 10 >= intervals.len() * 9;
        let counted = if constant { &usual } else { &intervals };
        let ticks = counted.iter().sum::<i64>() as f64 / counted.len() as f64;
        Some(Interval { ticks, constant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(times: impl IntoIterator<Item = i64>) -> Vec<i64> {
        times.into_iter().map(|ms| ms * 90).collect()
    }

    #[test]
    fn thirty_frames_a_second_on_a_millisecond_clock_are_even() {
        let times = millis((0..60).map(|n| n * 1_000 / 30));
        let mut cadence = Cadence::new(Timescale::VIDEO);
        for &dts in &times {
            cadence.observe(dts, dts == 0);
        }
        assert_eq!(cadence.steady(), Some(33 * 90));
        let interval = Interval::of(&times, Timescale::VIDEO).expect("enough frames");
        assert!(interval.constant && (interval.ticks - 3_000.0).abs() < 5.0, "{interval:?}");
    }

    #[test]
    fn uneven_frames_are_not_predicted() {
        let times = millis([0, 33, 66, 166, 199, 400, 433, 600, 800]);
        let mut cadence = Cadence::new(Timescale::VIDEO);
        for &dts in &times {
            cadence.observe(dts, dts == 0);
        }
        assert_eq!(cadence.steady(), None);
        assert_eq!(cadence.shortest(), Some(33 * 90));
        assert_eq!(Interval::of(&times, Timescale::VIDEO).map(|i| i.constant), Some(false));
    }

    #[test]
    fn the_next_keyframe_is_expected_once_two_groups_were_equal() {
        let mut cadence = Cadence::new(Timescale::VIDEO);
        let mut expected = Vec::new();
        for n in 0..10 {
            cadence.observe(n * 3_000, n % 4 == 0);
            expected.push(cadence.key_is_next());
        }
        // Groups end at frames 4 and 8; the second equal one is known at 8, and frame 11 is followed by a keyframe.
        assert!(expected.iter().all(|&expected| !expected));
        cadence.observe(30_000, false);
        cadence.observe(33_000, false);
        assert!(cadence.key_is_next());
        assert_eq!(cadence.next_key(), Some(36_000));
    }
}
