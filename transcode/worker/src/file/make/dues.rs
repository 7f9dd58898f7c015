//! Where pictures have to stand alone: at every cut of the map, and often enough between two.

use telstar_transcode::map::{EVEN_SECS, SegmentMap};

use crate::file::clock::HZ;

/// A picture so little before the time is the one: 5 ms, what the cutter takes.
const ROOM: i64 = HZ / 200;
/// Between two cuts that are so little further apart than the most nothing more is due: the first cut is at zero, and the first picture
/// a little behind it, where sound begins earlier.
const MORE: i64 = HZ / 9;
/// A picture that comes so much later than it should is too late: the one before is shown again at the right time. So long
/// is half a frame of sound, which is cut at the frame that is nearest: the two are never further apart than one. A rate that
/// is even has its pictures at the cuts, so that this is for those that are not.
const CUT_LATE: i64 = HZ / 100;
/// So late may be what nothing else is cut at: the first picture, before which sound is heard without one, and those
/// between two cuts.
const LATE: i64 = HZ / 2;

/// See the module.
#[derive(Debug)]
pub struct Dues {
    /// Each with what is too late for it.
    times: Vec<(i64, i64)>,
    next: usize,
}

impl Dues {
    /// Of an asset that is cut so.
    pub fn new(map: &SegmentMap) -> Dues {
        let most = EVEN_SECS * HZ;
        let even = |(from, to): (i64, i64)| {
            // As many equal parts as keep within the most; a little more is no further part.
            let parts = ((to - from - MORE).max(0) / most + 1).max(1);
            let late = move |part| if part == 0 && from > 0 { CUT_LATE } else { LATE };
            (0..parts).map(move |part| (from + (to - from) * part / parts, late(part)))
        };
        Dues { times: map.segments().flat_map(even).collect(), next: 0 }
    }

    /// Whether the picture at this time stands alone. It is asked once for each, in order.
    pub fn take(&mut self, at: i64) -> bool {
        let before = self.next;
        while self.times.get(self.next).is_some_and(|(due, _)| *due <= at + ROOM) {
            self.next += 1;
        }
        self.next > before
    }

    /// A time that the picture at `at` is too late for. To be asked again until there is none.
    pub fn missed(&self, at: i64) -> Option<i64> {
        self.times.get(self.next).filter(|(due, late)| at - due > *late).map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 90_000;

    #[test]
    fn pictures_stand_alone_at_each_cut_and_every_two_seconds() {
        let keyframes: Vec<i64> = [0, 5, 10].map(|secs| secs * SECOND).to_vec();
        let map = SegmentMap::of_keyframes(&keyframes, 12 * SECOND).expect("short");
        let mut dues = Dues::new(&map);
        let keys: Vec<i64> = (0..360).map(|n| 900 + n * 3_000).filter(|at| dues.take(*at)).collect();
        let expect = [0.0, 5.0 / 3.0, 10.0 / 3.0, 5.0, 20.0 / 3.0, 25.0 / 3.0, 10.0];
        assert_eq!(keys.len(), expect.len(), "{keys:?}");
        for (key, due) in keys.iter().zip(expect) {
            assert!((*key as f64 / 90_000.0 - due).abs() < 0.05, "{key} for {due}");
        }
    }

    #[test]
    fn a_first_segment_that_begins_with_the_sound_has_no_more_of_them() {
        let map = SegmentMap::of_keyframes(&[0, 4 * SECOND + 1_920], 8 * SECOND + 1_920).expect("short");
        let mut dues = Dues::new(&map);
        let keys: Vec<i64> = (0..240).map(|n| n * 3_000).filter(|at| dues.take(at + 1_920)).collect();
        assert_eq!(keys, [0, 2 * SECOND, 4 * SECOND, 6 * SECOND]);
    }

    #[test]
    fn what_comes_unevenly_is_cut_on_time_all_the_same() {
        let mut dues = Dues::new(&SegmentMap::even(7 * SECOND).expect("short"));
        let late = HZ / 30;
        assert!(dues.missed(late).is_none() && dues.take(late), "the first comes when it comes");
        assert_eq!(dues.missed(2 * SECOND + HZ / 120), None);
        assert_eq!(dues.missed(2 * SECOND + HZ / 60), Some(2 * SECOND));
    }

    #[test]
    fn between_two_cuts_nothing_is_shown_twice_for_a_moment() {
        let map = SegmentMap::of_keyframes(&[0, 4 * SECOND + 1_920], 8 * SECOND).expect("short");
        let mut dues = Dues::new(&map);
        assert!(dues.take(1_920));
        // Half way to the cut lies half of the first picture's delay before a picture.
        assert_eq!(dues.missed(2 * SECOND + 1_920), None);
        assert!(dues.take(2 * SECOND + 1_920));
        assert_eq!(dues.missed(4 * SECOND + 1_920 + HZ / 60), Some(4 * SECOND + 1_920));
    }

    #[test]
    fn what_a_hole_misses_is_known() {
        let mut dues = Dues::new(&SegmentMap::even(7 * SECOND).expect("short"));
        assert_eq!(dues.missed(2 * SECOND), Some(0), "the first picture comes late");
        assert!(dues.take(0));
        assert_eq!(dues.missed(2 * SECOND), None);
        let mut repeated = Vec::new();
        while let Some(due) = dues.missed(i64::MAX / 2) {
            assert!(dues.take(due));
            repeated.push(due / SECOND);
        }
        assert_eq!(repeated, [2, 4, 6]);
    }
}
