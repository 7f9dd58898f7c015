//! What is where in an output.
//!
//! In: segments as a worker tells them. Out: an index that is true of itself: segments follow each other in bytes and in time, and
//! lie where the map says. Whoever reads an output by it reads no byte twice and none that is not there.

use serde::{Deserialize, Serialize};
use telstar_units::{Timescale, rescale};

use super::CLOCK;
use crate::map::SegmentMap;

/// Bytes of one segment at most. 256 MiB is ten seconds at 200 Mbit/s.
pub const SEGMENT_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
/// Keyframes of one segment at most. A stream of nothing but keyframes at 60 a second has 600 in ten seconds.
const KEYS_MAX: usize = 1_024;
/// A segment may begin so far from where the map has it, in seconds: a frame of sound, or a picture at a low rate.
const CUT_ROOM_SECS: f64 = 1.0;

/// What a rendition is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Pictures, sound or text.
    pub kind: RenditionKind,
    /// As `CODECS` of a playlist names it (RFC 6381); of text `wvtt`.
    pub codecs: String,
    /// Ticks a second of its segments' times.
    pub timescale: u32,
}

/// What is in a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenditionKind {
    /// Pictures of one size.
    Video {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Pictures in a thousand seconds.
        fps_millis: u32,
    },
    /// Sound.
    Audio {
        /// How many.
        channels: u8,
        /// Samples a second.
        sample_rate: u32,
    },
    /// Text.
    Subtitles,
}

/// A segment: one or more fragments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its first byte in the output.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
    /// When it begins, in the rendition's ticks.
    pub start: i64,
    /// How long it lasts, likewise.
    pub duration: i64,
    /// Its pictures that stand alone; none of sound and text.
    pub keys: Vec<Key>,
}

/// A picture that stands alone, as an I-frame playlist names it (RFC 8216 §4.3.3.6): its fragment up to the picture's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Where its fragment begins, from the segment's first byte on.
    pub offset: u64,
    /// Bytes up to its end.
    pub len: u64,
    /// When it is shown, in the rendition's ticks.
    pub start: i64,
}

/// Why a segment does not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// There are more than the map has.
    #[error("a segment is behind the last of the map")]
    TooMany,
    /// Its bytes are not behind those before, or too many.
    #[error("the bytes of a segment are not where they should be")]
    Bytes,
    /// Its time is not behind that before, or not where the map has it.
    #[error("the time of a segment is not what it should be")]
    Time,
    /// A keyframe is not in it.
    #[error("a keyframe is outside of its segment")]
    Key,
}

/// The segments of an output, from the first on without a hole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    segments: Vec<Segment>,
}

impl Index {
    /// Takes the next segment, of a rendition of so many ticks a second.
    pub fn push(&mut self, segment: Segment, timescale: Timescale, map: &SegmentMap) -> Result<(), IndexError> {
        let Some((from, _)) = map.segments().nth(self.segments.len()) else { return Err(IndexError::TooMany) };
        let (offset, start) =
            self.segments.last().map_or((0, None), |last| (last.offset + last.len, Some(last.start + last.duration)));
        if segment.offset != offset || segment.len == 0 || segment.len > SEGMENT_BYTES_MAX {
            return Err(IndexError::Bytes);
        }
        let room = (CUT_ROOM_SECS * f64::from(timescale.hz())) as i64;
        let is_near = |at: i64| (at - rescale(from, CLOCK, timescale)).abs() <= room;
        if segment.start < 0 || segment.duration <= 0 || segment.start.checked_add(segment.duration).is_none() {
            return Err(IndexError::Time);
        }
        if start.is_some_and(|start| start != segment.start) || !is_near(segment.start) {
            return Err(IndexError::Time);
        }
        let is_inside = |key: &Key| {
            key.len > 0
                && key.offset.checked_add(key.len).is_some_and(|end| end <= segment.len)
                && (segment.start..segment.start + segment.duration).contains(&key.start)
        };
        let rise = segment.keys.windows(2).all(|pair| pair[0].offset < pair[1].offset && pair[0].start < pair[1].start);
        if segment.keys.len() > KEYS_MAX || !rise || !segment.keys.iter().all(is_inside) {
            return Err(IndexError::Key);
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Those that are there.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes of all of them.
    pub fn len(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.offset + last.len)
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Every segment of the map is there.
    pub fn is_whole(&self, map: &SegmentMap) -> bool {
        self.segments.len() == map.count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 90_000;

    fn map() -> SegmentMap {
        SegmentMap::even(7 * SECOND).expect("short")
    }

    fn segment(offset: u64, start: i64, duration: i64) -> Segment {
        let keys = vec![Key { offset: 0, len: 50, start }, Key { offset: 60, len: 40, start: start + 1 }];
        Segment { offset, len: 100, start, duration, keys }
    }

    #[test]
    fn segments_follow_each_other_as_the_map_has_them() {
        let (map, mut index) = (map(), Index::default());
        for number in 0..3 {
            assert!(!index.is_whole(&map));
            let at = number * 2 * SECOND;
            assert_eq!(index.push(segment(number as u64 * 100, at, 2 * SECOND), CLOCK, &map), Ok(()));
        }
        assert_eq!(index.push(segment(300, 6 * SECOND, SECOND), CLOCK, &map), Ok(()));
        assert!(index.is_whole(&map) && index.len() == 400);
        assert_eq!(index.push(segment(400, 7 * SECOND, 1), CLOCK, &map), Err(IndexError::TooMany));
    }

    #[test]
    fn what_is_not_where_it_should_be_is_refused() {
        let refused = |change: &dyn Fn(&mut Segment)| {
            let mut index = Index::default();
            index.push(segment(0, 0, 2 * SECOND), CLOCK, &map()).expect("the first");
            let mut second = segment(100, 2 * SECOND, 2 * SECOND);
            change(&mut second);
            index.push(second, CLOCK, &map()).err()
        };
        assert_eq!(refused(&|_| ()), None);
        assert_eq!(refused(&|segment| segment.offset = 99), Some(IndexError::Bytes));
        assert_eq!(refused(&|segment| segment.len = 0), Some(IndexError::Bytes));
        assert_eq!(refused(&|segment| segment.len = SEGMENT_BYTES_MAX + 1), Some(IndexError::Bytes));
        assert_eq!(refused(&|segment| segment.start += 1), Some(IndexError::Time));
        assert_eq!(refused(&|segment| segment.duration = 0), Some(IndexError::Time));
        assert_eq!(refused(&|segment| segment.duration = i64::MAX), Some(IndexError::Time));
        assert_eq!(refused(&|segment| segment.keys[1].len = 41), Some(IndexError::Key));
        assert_eq!(refused(&|segment| segment.keys[1].offset = u64::MAX), Some(IndexError::Key));
        assert_eq!(refused(&|segment| segment.keys[1].start = 4 * SECOND), Some(IndexError::Key));
        assert_eq!(refused(&|segment| segment.keys.reverse()), Some(IndexError::Key));
        let mut index = Index::default();
        assert_eq!(
            index.push(segment(0, 2 * SECOND, SECOND), CLOCK, &map()),
            Err(IndexError::Time),
            "the map begins at 0"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_told_an_index_stays_true_of_itself(told in prop::collection::vec(
            (0..300_u64, 0..150_u64, 0..7 * SECOND, 0..3 * SECOND, 0..200_u64), 0..12)) {
            let (map, mut index) = (map(), Index::default());
            for (offset, len, start, duration, key) in told {
                let keys = vec![Key { offset: key, len: 10, start }];
                let _ = index.push(Segment { offset, len, start, duration, keys }, CLOCK, &map);
            }
            let mut end = (0, None);
            for segment in index.segments() {
                prop_assert_eq!(segment.offset, end.0);
                prop_assert!(end.1.is_none_or(|time| time == segment.start));
                prop_assert!(segment.keys.iter().all(|key| key.offset + key.len <= segment.len));
                end = (segment.offset + segment.len, Some(segment.start + segment.duration));
            }
            prop_assert_eq!(index.len(), end.0);
        }
    }
}
