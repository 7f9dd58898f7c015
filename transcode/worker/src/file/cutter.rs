//! Samples of one track into segments: fragments that begin with a keyframe, in an output that only grows.
//!
//! In: samples in decode order, on the asset's timeline. Out: bytes, and what is where in them. Presentation times stay
//! what they are; decode times are made anew for each group of pictures, see `order.rs`, so that each fragment begins
//! when its first sample is shown and lasts until the next one's is.

use std::io::{self, Write};

use telstar_fmp4::{SampleEntry, fragment_header};
use telstar_media::MediaKind;
use telstar_transcode::file::{CLOCK, Key, Segment};
use telstar_transcode::map::SegmentMap;
use telstar_units::{Timescale, rescale};

use super::order::decode_times;
use crate::failure::Failure;

/// Bytes of one fragment: what one group of pictures may take in memory before it is written. 256 MiB is what a segment
/// may have.
const FRAGMENT_BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// Samples of one fragment of sound: a segment of ten seconds has 500 frames of AAC.
const FRAGMENT_SAMPLES_MAX: usize = 16_384;

/// A sample of a track, in its ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Decode time.
    pub dts: i64,
    /// Presentation time.
    pub pts: i64,
    /// How long it lasts, if nothing follows.
    pub duration: i64,
    /// It stands alone.
    pub key: bool,
    /// As a fragment carries it.
    pub data: Vec<u8>,
}

/// Cuts one track.
pub struct Cutter<Output> {
    kind: MediaKind,
    timescale: Timescale,
    /// Where segments begin, in the track's ticks.
    cuts: Vec<i64>,
    end: i64,
    output: Output,
    /// Segments that have begun.
    begun: usize,
    /// The fragment under way; its last sample lasts until the next.
    fragment: Vec<Sample>,
    bytes: usize,
    sequence_number: u32,
    segment: Open,
    /// Bytes that are written.
    written: u64,
    /// A sample may begin so much before a cut and still be the first behind it: half of the shortest that matters.
    room: i64,
}

/// The segment under way.
#[derive(Default)]
struct Open {
    offset: u64,
    start: i64,
    keys: Vec<Key>,
}

impl<Output: Write> Cutter<Output> {
    /// Cuts a track of this kind and clock as `map` says, into `output`.
    pub fn new(kind: MediaKind, timescale: Timescale, map: &SegmentMap, output: Output) -> Cutter<Output> {
        let ticks = |time| rescale(time, CLOCK, timescale);
        Cutter {
            kind,
            timescale,
            cuts: map.segments().map(|(from, _)| ticks(from)).collect(),
            end: ticks(map.end()),
            output,
            begun: 0,
            fragment: Vec::new(),
            bytes: 0,
            sequence_number: 0,
            segment: Open::default(),
            written: 0,
            room: i64::from(timescale.hz()) / 200,
        }
    }

    /// Takes the next sample; returns a segment that ended before it.
    pub fn push(&mut self, sample: Sample) -> Result<Option<Segment>, Failure> {
        if self.begun == 0 {
            if !sample.key {
                // Nothing can be shown of it.
                return Ok(None);
            }
            self.begin(sample.pts);
        }
        if let Some(last) = self.fragment.last()
            && sample.dts <= last.dts
        {
            return Err(Failure::broken("track", "its decode times do not rise"));
        }
        let next_cut = self.cuts.get(self.begun).copied();
        let is_cut = sample.key && next_cut.is_some_and(|cut| sample.pts + self.tolerance(&sample) >= cut);
        let mut ended = None;
        if is_cut && !self.fragment.is_empty() {
            self.write_fragment(sample.pts)?;
            ended = Some(self.end_segment(sample.pts)?);
            self.begin(sample.pts);
        } else if sample.key && self.kind == MediaKind::Video && !self.fragment.is_empty() {
            self.write_fragment(sample.pts)?;
        }
        self.bytes += sample.data.len();
        self.fragment.push(sample);
        if self.bytes > FRAGMENT_BYTES_MAX || self.fragment.len() > FRAGMENT_SAMPLES_MAX {
            return Err(Failure::unsupported("a group of pictures is too large"));
        }
        Ok(ended)
    }

    /// Sound is cut at the frame that is nearest; pictures where they are.
    fn tolerance(&self, sample: &Sample) -> i64 {
        match self.kind {
            MediaKind::Audio => sample.duration / 2,
            MediaKind::Video => self.room,
        }
    }

    /// What is left: the last segment, whose last sample lasts until the end of the asset, so that all renditions have one
    /// range. Sound that ends a little before the last cuts has a sample for each of them none the less: whoever reads
    /// the index needs as many segments as the map has.
    pub fn finish(&mut self) -> Result<Vec<Segment>, Failure> {
        let missing = self.cuts.len().saturating_sub(self.begun);
        let kept = self.fragment.len().saturating_sub(missing);
        let spread = match self.kind {
            MediaKind::Audio if kept > 0 => self.fragment.split_off(kept),
            _ => Vec::new(),
        };
        let mut ended = Vec::new();
        for sample in spread {
            self.write_fragment(sample.pts)?;
            ended.push(self.end_segment(sample.pts)?);
            self.begin(sample.pts);
            self.fragment.push(sample);
        }
        // Where pictures wait for others, the last to be shown is not the last to be decoded.
        let Some(last) = self.fragment.iter().max_by_key(|sample| sample.pts) else { return Ok(ended) };
        let shown_until = match self.kind {
            MediaKind::Video => self.end.max(last.pts + last.duration.max(1)),
            MediaKind::Audio => last.pts + last.duration.max(1),
        };
        self.write_fragment(shown_until)?;
        ended.push(self.end_segment(shown_until)?);
        Ok(ended)
    }

    /// Ticks a second of its times.
    pub fn timescale(&self) -> Timescale {
        self.timescale
    }

    fn begin(&mut self, start: i64) {
        self.segment = Open { offset: self.written, start, keys: Vec::new() };
        // A cut that no keyframe stood at is skipped with those behind it: whoever reads the index sees that one is
        // missing.
        self.begun += 1;
    }

    fn end_segment(&mut self, until: i64) -> Result<Segment, Failure> {
        // Whoever is told of it may read it.
        self.output.flush().map_err(|error| unwritten(&error))?;
        let Open { offset, start, keys } = std::mem::take(&mut self.segment);
        Ok(Segment { offset, len: self.written - offset, start, duration: until - start, keys })
    }

    /// Writes the fragment under way, which lasts until `until`.
    fn write_fragment(&mut self, until: i64) -> Result<(), Failure> {
        let samples = std::mem::take(&mut self.fragment);
        self.bytes = 0;
        let Some(first) = samples.first() else { return Ok(()) };
        let times = decode_times(&samples, until);
        let ends = times.iter().skip(1).chain([&until]);
        let entries: Vec<SampleEntry> = samples
            .iter()
            .zip(times.iter().zip(ends))
            .map(|(sample, (time, end))| SampleEntry {
                duration: u32::try_from(end - time).unwrap_or(u32::MAX),
                size: sample.data.len() as u32,
                sync: sample.key,
                composition_offset: sample.pts - time,
            })
            .collect();
        self.sequence_number += 1;
        let decode_time = u64::try_from(first.pts).unwrap_or(0);
        let header = fragment_header(self.kind, self.sequence_number, decode_time, &entries);
        let offset = self.written - self.segment.offset;
        if self.kind == MediaKind::Video && first.key {
            let len = (header.len() + first.data.len()) as u64;
            self.segment.keys.push(Key { offset, len, start: first.pts });
        }
        self.write(&header)?;
        samples.iter().try_for_each(|sample| self.write(&sample.data))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.output.write_all(bytes).map_err(|error| unwritten(&error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Why an output cannot be written.
pub fn unwritten(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::broken("output", "the disk is full"),
        io::ErrorKind::FileTooLarge => Failure::source("what would be made of the file is larger than is allowed"),
        _ => Failure::broken("output", error),
    }
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Decode, Moof};

    use super::*;

    const SECOND: i64 = 90_000;
    const FRAME: i64 = 3_600;

    fn map(cuts: &[i64], end: i64) -> SegmentMap {
        let keyframes: Vec<i64> = cuts.iter().map(|cut| cut * SECOND).collect();
        SegmentMap::of_keyframes(&keyframes, end).expect("they can be cut at")
    }

    /// Pictures at 25 a second with a B-frame behind each P-frame, a keyframe every two seconds.
    fn pictures(count: i64) -> Vec<Sample> {
        (0..count)
            .map(|index| {
                let in_group = index % 50;
                // Decode order: I P B P B …; presentation: I B P B P …
                let shown = match in_group {
                    0 => 0,
                    odd if odd % 2 == 1 => (odd + 1).min(49),
                    even => even - 1,
                };
                let pts = (index - in_group + shown) * FRAME;
                let (dts, key, data) = ((index - 1) * FRAME, in_group == 0, vec![index as u8; 10]);
                Sample { dts, pts, duration: FRAME, key, data }
            })
            .collect()
    }

    #[test]
    fn segments_are_cut_where_the_map_says_and_nothing_is_lost() {
        let (map, mut bytes) = (map(&[0, 2, 4, 6, 8], 9 * SECOND), Vec::new());
        let mut cutter = Cutter::new(MediaKind::Video, CLOCK, &map, &mut bytes);
        let mut segments = Vec::new();
        for sample in pictures(225) {
            segments.extend(cutter.push(sample).expect("in order"));
        }
        segments.extend(cutter.finish().expect("the rest"));
        drop(cutter);
        let spans: Vec<(i64, i64)> = segments.iter().map(|one| (one.start / SECOND, one.duration / SECOND)).collect();
        assert_eq!(spans, [(0, 4), (4, 5)], "the map aims at four seconds");
        assert_eq!(segments.iter().map(|one| one.keys.len()).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(segments.iter().map(|one| one.len).sum::<u64>(), bytes.len() as u64);
        let mut index = telstar_transcode::file::Index::default();
        for segment in &segments {
            index.push(segment.clone(), CLOCK, &map).expect("true of itself");
            for key in &segment.keys {
                let at = (segment.offset + key.offset) as usize;
                assert_eq!(&bytes[at + 4..at + 8], b"moof");
                let number = bytes[at + key.len as usize - 1];
                assert_eq!(number % 50, 0, "it ends with the keyframe");
            }
        }
        assert!(index.is_whole(&map));
    }

    #[test]
    fn each_fragment_begins_when_its_first_picture_is_shown_and_none_is_shown_before_it_is_decoded() {
        let (map, mut bytes) = (map(&[0, 2, 4, 6, 8], 9 * SECOND), Vec::new());
        let mut cutter = Cutter::new(MediaKind::Video, CLOCK, &map, &mut bytes);
        for sample in pictures(225) {
            cutter.push(sample).expect("in order");
        }
        cutter.finish().expect("the rest");
        drop(cutter);
        let (mut rest, mut begins, mut shown) = (&bytes[..], Vec::new(), Vec::new());
        while !rest.is_empty() {
            let moof = Moof::decode(&mut rest).expect("our own box");
            let mut time = moof.traf[0].tfdt.as_ref().expect("it says when").base_media_decode_time as i64;
            assert_eq!(begins.last().map_or(0, |(_, end)| *end), time, "they follow each other");
            let (begin, mut len) = (time, 8);
            for sample in moof.traf[0].trun[0].samples.iter() {
                let offset = sample.cts.expect("pictures have one");
                assert!(offset >= 0, "{offset} at {time}");
                shown.push(time + offset);
                time += i64::from(sample.duration.expect("each has one"));
                len += sample.size.expect("each has one") as usize;
            }
            begins.push((begin, time));
            rest = &rest[len..];
        }
        let secs: Vec<(i64, i64)> = begins.iter().map(|(begin, end)| (begin / SECOND, end / SECOND)).collect();
        assert_eq!(secs, [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9)]);
        let mut expect: Vec<i64> = pictures(225).iter().map(|sample| sample.pts).collect();
        expect.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, expect);
    }

    #[test]
    fn sound_is_cut_at_the_nearest_frame() {
        let hz = Timescale::new(48_000).expect("not zero");
        let (map, mut bytes) = (map(&[0, 3, 7], 9 * SECOND), Vec::new());
        let mut cutter = Cutter::new(MediaKind::Audio, hz, &map, &mut bytes);
        let mut segments = Vec::new();
        for index in 0..420 {
            let at = index * 1_024;
            let sample = Sample { dts: at, pts: at, duration: 1_024, key: true, data: vec![1; 5] };
            segments.extend(cutter.push(sample).expect("in order"));
        }
        segments.extend(cutter.finish().expect("the rest"));
        assert_eq!(segments.len(), map.count());
        for (segment, (from, _)) in segments.iter().zip(map.segments()) {
            assert!((segment.start - rescale(from, CLOCK, hz)).abs() <= 512, "{segment:?}");
            assert!(segment.keys.is_empty());
        }
    }

    #[test]
    fn sound_that_ends_before_the_last_cut_has_a_segment_for_it() {
        let hz = Timescale::new(48_000).expect("not zero");
        let (map, mut bytes) = (map(&[0, 6], 6 * SECOND + 900), Vec::new());
        assert_eq!(map.count(), 2);
        let mut cutter = Cutter::new(MediaKind::Audio, hz, &map, &mut bytes);
        for at in (0..270).map(|index| index * 1_024) {
            let sample = Sample { dts: at, pts: at, duration: 1_024, key: true, data: vec![1] };
            assert_eq!(cutter.push(sample).expect("in order"), None);
        }
        let segments = cutter.finish().expect("the rest");
        let spans: Vec<(i64, i64)> = segments.iter().map(|one| (one.start, one.duration)).collect();
        assert_eq!(spans, [(0, 269 * 1_024), (269 * 1_024, 1_024)]);
        let mut index = telstar_transcode::file::Index::default();
        segments.into_iter().for_each(|segment| index.push(segment, hz, &map).expect("near enough"));
        assert!(index.is_whole(&map));
    }

    #[test]
    fn times_that_do_not_rise_and_what_stands_before_a_keyframe() {
        let (map, mut bytes) = (map(&[0], SECOND), Vec::new());
        let mut cutter = Cutter::new(MediaKind::Video, CLOCK, &map, &mut bytes);
        let sample = |dts, key| Sample { dts, pts: dts, duration: 1, key, data: vec![0] };
        assert_eq!(cutter.push(sample(-5, false)).expect("left out"), None);
        cutter.push(sample(0, true)).expect("the first");
        assert!(cutter.push(sample(0, false)).is_err());
    }
}
