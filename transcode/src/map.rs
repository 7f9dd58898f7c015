//! Where an asset's segments begin: one map for its source and every rendition.
//!
//! In: the times of the source's keyframes, from its sample table. Out: the cuts, which every rendition, its sound and its
//! subtitles follow, so that players switch anywhere; or why the source's own keyframes will not do, and then the whole asset is
//! cut evenly and its best rendition is encoded, too.

use serde::{Deserialize, Serialize};

use crate::file::CLOCK;

/// Segments are no shorter, but for the last: more requests, and a larger share of what is said twice.
pub const SEGMENT_MIN_SECS: i64 = 2;
/// Segments are no longer where keyframes allow it: a switch waits for the end of one.
pub const SEGMENT_MAX_SECS: i64 = 6;
/// What a segment aims at, where there is a choice.
const SEGMENT_SECS: i64 = 4;
/// Between keyframes that are further apart nothing can be cut that a player would wait for.
pub const GOP_MAX_SECS: i64 = 10;
/// Cuts of an asset whose source gives none, and the most between two IDR pictures of what is encoded.
pub const EVEN_SECS: i64 = 2;
/// Rarer pictures, in a thousand seconds, say little about where one will be: two in a second.
const RATE_MILLIS_MIN: u32 = 2_000;
/// Segments of one asset: 24 hours of even cuts. A playlist names each.
pub const SEGMENTS_MAX: usize = 43_200;

/// Why the source's keyframes will not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is none at the beginning.
    #[error("the source does not begin with a keyframe")]
    NoKeyframeFirst,
    /// Two are too far apart.
    #[error("keyframes of the source are more than {GOP_MAX_SECS} s apart")]
    GopTooLong,
    /// Times that do not rise, or beyond the end.
    #[error("the times of the source's keyframes are out of order")]
    OutOfOrder,
    /// It is too long.
    #[error("the asset has more than {SEGMENTS_MAX} segments")]
    TooMany,
}

/// The cuts of an asset, in ticks of [`CLOCK`]: each segment reaches from its cut to the next, the last to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct SegmentMap {
    /// Rising, the first is 0.
    cuts: Vec<i64>,
    /// Behind the last, but for an asset of no length.
    end: i64,
}

/// A map as it is written down, which may say anything.
#[derive(Deserialize)]
struct Raw {
    cuts: Vec<i64>,
    end: i64,
}

impl TryFrom<Raw> for SegmentMap {
    type Error = Unusable;

    fn try_from(Raw { cuts, end }: Raw) -> Result<SegmentMap, Unusable> {
        if cuts.first() != Some(&0) {
            return Err(Unusable::NoKeyframeFirst);
        }
        if cuts.windows(2).any(|pair| pair[0] >= pair[1]) || cuts.last().is_some_and(|last| *last > end) {
            return Err(Unusable::OutOfOrder);
        }
        if cuts.len() > SEGMENTS_MAX {
            return Err(Unusable::TooMany);
        }
        Ok(SegmentMap { cuts, end })
    }
}

impl SegmentMap {
    /// Cuts at keyframes, of which the first is at 0; the asset ends at `end`.
    pub fn of_keyframes(keyframes: &[i64], end: i64) -> Result<SegmentMap, Unusable> {
        let secs = |secs: i64| secs * i64::from(CLOCK.hz());
        if keyframes.first() != Some(&0) {
            return Err(Unusable::NoKeyframeFirst);
        }
        if keyframes.windows(2).any(|pair| pair[0] >= pair[1]) || keyframes.last().is_some_and(|last| *last >= end) {
            return Err(Unusable::OutOfOrder);
        }
        let (mut cuts, mut rest) = (vec![0], &keyframes[1..]);
        loop {
            let from = *cuts.last().unwrap_or(&0);
            // What is left makes one segment.
            if end - from <= secs(SEGMENT_MAX_SECS) {
                break;
            }
            rest = &rest[rest.partition_point(|at| at - from < secs(SEGMENT_MIN_SECS))..];
            let near = &rest[..rest.partition_point(|at| at - from <= secs(SEGMENT_MAX_SECS))];
            let best = near.iter().min_by_key(|at| (*at - from - secs(SEGMENT_SECS)).abs());
            // None within reach: the next, as far as it may be; or what is left, if that is no further.
            let next = match (best.or(rest.first()), end - from) {
                (Some(next), _) if next - from <= secs(GOP_MAX_SECS) => *next,
                (None, left) if left <= secs(GOP_MAX_SECS) => break,
                _ => return Err(Unusable::GopTooLong),
            };
            if cuts.len() == SEGMENTS_MAX {
                return Err(Unusable::TooMany);
            }
            cuts.push(next);
        }
        Ok(SegmentMap { cuts, end })
    }

    /// Cuts every [`EVEN_SECS`], for what is encoded anyway. What is said to end before it begins has no length.
    pub fn even(end: i64) -> Result<SegmentMap, Unusable> {
        let end = end.max(0);
        let step = EVEN_SECS * i64::from(CLOCK.hz());
        let count = usize::try_from((end.max(1) - 1) / step + 1).unwrap_or(usize::MAX);
        if count > SEGMENTS_MAX {
            return Err(Unusable::TooMany);
        }
        let cuts = (0..count as i64).map(|index| index * step).collect();
        Ok(SegmentMap { cuts, end })
    }

    /// Cuts at pictures that come evenly, `fps_millis` in a thousand seconds, of which one is shown at `first`, so that what is
    /// encoded begins its segments where sound does. Segments have as many pictures as come nearest to [`EVEN_SECS`]; the
    /// first may have fewer. Pictures that are too rare for that are repeated at even cuts.
    pub fn of_rate(first: i64, fps_millis: u32, end: i64) -> Result<SegmentMap, Unusable> {
        if fps_millis < RATE_MILLIS_MIN || !(0..end).contains(&first) {
            return SegmentMap::even(end);
        }
        let (pictures, secs) = rate(fps_millis);
        let (first, hz, even_secs) = (i128::from(first), i128::from(CLOCK.hz()), i128::from(EVEN_SECS));
        let step = (even_secs * pictures * 2 + secs) / (secs * 2);
        // The last that is shown in the first seconds, counted from the first picture.
        let start = ((even_secs * hz - first) * pictures).div_euclid(secs * hz);
        let times = (0..).map(|index| first + (start + step * index) * secs * hz / pictures);
        let cuts: Vec<i64> = times
            .take_while(|time| *time < i128::from(end))
            .take(SEGMENTS_MAX)
            .filter_map(|time| i64::try_from(time).ok())
            .collect();
        if cuts.len() == SEGMENTS_MAX {
            return Err(Unusable::TooMany);
        }
        Ok(SegmentMap { cuts: [0].into_iter().chain(cuts).collect(), end })
    }

    /// How many segments there are; never none.
    pub fn count(&self) -> usize {
        self.cuts.len()
    }

    /// The end of the last.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Where segments begin, and where they end.
    pub fn segments(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let ends = self.cuts.iter().skip(1).copied().chain([self.end]);
        self.cuts.iter().copied().zip(ends)
    }

    /// In which segment a time is; times beyond either end are in the segment there.
    pub fn segment_at(&self, time: i64) -> usize {
        self.cuts.partition_point(|cut| *cut <= time).saturating_sub(1)
    }

    /// The longest segment in whole seconds, rounded up: EXT-X-TARGETDURATION (RFC 8216 §4.3.3.1 rounds to the nearest, which
    /// this is never below).
    pub fn target_duration_secs(&self) -> i64 {
        let longest = self.segments().map(|(from, to)| to - from).max().unwrap_or(1);
        let hz = i64::from(CLOCK.hz());
        ((longest + hz - 1) / hz).max(1)
    }
}

/// How many pictures come in how many seconds: the rates of NTSC are not the thousandths that they are called by.
fn rate(fps_millis: u32) -> (i128, i128) {
    let millis = i128::from(fps_millis);
    let nominal = (millis * 1_001 + 500_000) / 1_000_000;
    let is_ntsc = millis % 1_000 != 0 && (nominal * 1_000_000 / 1_001 - millis).abs() <= 1;
    if is_ntsc { (nominal * 1_000, 1_001) } else { (millis, 1_000) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: f64) -> i64 {
        (secs * 90_000.0) as i64
    }

    fn cuts(keyframes: &[f64], end: f64) -> Result<Vec<f64>, Unusable> {
        let keyframes: Vec<i64> = keyframes.iter().copied().map(at).collect();
        let map = SegmentMap::of_keyframes(&keyframes, at(end))?;
        Ok(map.segments().map(|(from, _)| from as f64 / 90_000.0).collect())
    }

    #[test]
    fn cuts_are_the_keyframes_nearest_to_what_is_aimed_at() {
        let each_half: Vec<f64> = (0..40).map(|index| f64::from(index) / 2.0).collect();
        assert_eq!(cuts(&each_half, 20.0), Ok(vec![0.0, 4.0, 8.0, 12.0, 16.0]));
        assert_eq!(cuts(&[0.0, 5.0, 10.0, 15.0], 20.0), Ok(vec![0.0, 5.0, 10.0, 15.0]));
        assert_eq!(cuts(&[0.0, 1.9, 5.9, 9.0], 13.0), Ok(vec![0.0, 5.9, 9.0]), "nothing below two seconds");
        assert_eq!(cuts(&[0.0, 8.0, 17.0], 20.0), Ok(vec![0.0, 8.0, 17.0]), "long, and bearable");
        assert_eq!(cuts(&[0.0], 9.0), Ok(vec![0.0]));
        assert_eq!(cuts(&[0.0], 0.04), Ok(vec![0.0]), "one picture");
    }

    #[test]
    fn a_source_that_cannot_be_cut_is_said_to_be() {
        assert_eq!(cuts(&[0.0, 10.5], 20.0), Err(Unusable::GopTooLong));
        assert_eq!(cuts(&[0.0, 4.0], 15.0), Err(Unusable::GopTooLong), "at the end");
        assert_eq!(cuts(&[0.5, 4.0], 6.0), Err(Unusable::NoKeyframeFirst));
        assert_eq!(cuts(&[], 6.0), Err(Unusable::NoKeyframeFirst));
        assert_eq!(cuts(&[0.0, 4.0, 4.0], 6.0), Err(Unusable::OutOfOrder));
        assert_eq!(cuts(&[0.0, 4.0, 6.0], 6.0), Err(Unusable::OutOfOrder));
        assert_eq!(SegmentMap::even(i64::MAX), Err(Unusable::TooMany));
    }

    #[test]
    fn even_cuts_reach_to_the_end() {
        let map = SegmentMap::even(at(7.0)).expect("short");
        assert_eq!(
            map.segments().collect::<Vec<_>>(),
            [(0, at(2.0)), (at(2.0), at(4.0)), (at(4.0), at(6.0)), (at(6.0), at(7.0))]
        );
        assert_eq!(map.target_duration_secs(), 2);
        assert_eq!([-1, 0, at(1.99), at(2.0), at(99.0)].map(|time| map.segment_at(time)), [0, 0, 0, 1, 3]);
        assert_eq!(SegmentMap::even(0).expect("one").segments().count(), 1);
        assert_eq!(SegmentMap::even(i64::MIN), SegmentMap::even(0), "less than no length");
    }

    #[test]
    fn cuts_are_where_pictures_are_shown() {
        let cuts = |first: f64, fps_millis, end: f64| -> Vec<i64> {
            let map = SegmentMap::of_rate(at(first), fps_millis, at(end)).expect("short");
            map.segments().map(|(from, _)| from).collect()
        };
        assert_eq!(cuts(0.0, 25_000, 5.0), [0, at(2.0), at(4.0)]);
        assert_eq!(
            cuts(0.1, 25_000, 5.0),
            [0, at(1.98), at(3.98)],
            "the third picture is shown at 0.18 s, not at 0.16"
        );
        let ntsc = cuts(0.03, 29_970, 7_200.0);
        let pictures = |cut: &i64| (cut - at(0.03)) as f64 / 90_000.0 * 30_000.0 / 1_001.0;
        assert!(ntsc[1..].iter().all(|cut| (pictures(cut) - pictures(cut).round()).abs() < 0.001), "for two hours");
        assert_eq!(ntsc.len(), 3_597, "sixty pictures each");
        for (first, fps_millis) in [(0.03, 1_000), (9.0, 25_000), (-1.0, 25_000)] {
            assert_eq!(cuts(first, fps_millis, 5.0), [0, at(2.0), at(4.0)], "what says nothing");
        }
        assert_eq!(cuts(3.0, 25_000, 5.0), [0, at(2.0), at(4.0)], "sound begins long before");
        assert_eq!(SegmentMap::of_rate(0, 25_000, i64::MAX), Err(Unusable::TooMany));
        assert!(SegmentMap::of_rate(0, u32::MAX, at(9.0)).is_ok());
    }

    #[test]
    fn a_map_that_was_written_down_is_looked_at_again() {
        let read = |text: &str| serde_json::from_str::<SegmentMap>(text).map_err(|error| error.to_string());
        let map = SegmentMap::even(at(7.0)).expect("short");
        assert_eq!(read(&serde_json::to_string(&map).expect("plain")), Ok(map));
        for wrong in [
            r#"{"cuts":[],"end":5}"#,
            r#"{"cuts":[1],"end":5}"#,
            r#"{"cuts":[0,3,3],"end":5}"#,
            r#"{"cuts":[0,6],"end":5}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn cuts_of_any_rate_rise(first in -9 * 90_000..99 * 90_000_i64, fps_millis in 0..300_000_u32, end in 0..999 * 90_000_i64) {
            let map = SegmentMap::of_rate(first, fps_millis, end).expect("short");
            let read = SegmentMap::try_from(Raw { cuts: map.cuts.clone(), end });
            prop_assert_eq!(read, Ok(map.clone()));
            let lengths: Vec<i64> = map.segments().map(|(from, to)| to - from).collect();
            prop_assert!(lengths.iter().all(|length| *length <= at(2.5)));
            prop_assert!(lengths.iter().rev().skip(1).all(|length| *length >= at(1.5)));
        }

        #[test]
        fn a_map_covers_the_asset_and_keeps_its_limits(gaps in prop::collection::vec(1..11 * 90_000_i64, 0..200), tail in 1..11 * 90_000_i64) {
            let mut keyframes = vec![0];
            for gap in gaps {
                keyframes.push(keyframes.last().unwrap_or(&0) + gap);
            }
            let end = keyframes.last().unwrap_or(&0) + tail;
            if let Ok(map) = SegmentMap::of_keyframes(&keyframes, end) {
                let segments: Vec<(i64, i64)> = map.segments().collect();
                prop_assert_eq!((segments[0].0, segments[segments.len() - 1].1), (0, end));
                for (index, (from, to)) in segments.iter().enumerate() {
                    prop_assert!(keyframes.contains(from));
                    prop_assert!(to - from <= at(10.0));
                    prop_assert!(index + 1 == segments.len() || to - from >= at(2.0));
                    prop_assert_eq!((map.segment_at(*from), map.segment_at(to - 1)), (index, index));
                }
            } else {
                let longest = keyframes.windows(2).map(|pair| pair[1] - pair[0]).chain([tail]).max();
                prop_assert!(longest > Some(at(4.0)), "short GOPs always do");
            }
        }
    }
}
