//! The synthetic stream: which part, segment and sample there is, as a function of its number.
//!
//! Parts of half a second, four to a segment, twenty pictures and fifty packets of sound a second, a keyframe every
//! second. Numbers begin at [`FIRST_MSN`], and before the origin starts a while has passed already.

use super::boxes::{self, Sample};
use super::fault::Fault;

pub const TARGET_SECS: usize = 2;
pub const PART_MS: u64 = 500;
pub const PARTS_PER_SEGMENT: usize = 4;
pub const FIRST_MSN: usize = 100;
/// Parts that there are when the origin starts: a full window and more.
pub const PARTS_AT_START: usize = 18 * PARTS_PER_SEGMENT + 1;
/// Segments that are listed.
pub const WINDOW: usize = 12;
/// The segment with an EXT-X-DISCONTINUITY. It leaves the window while a client watches.
pub const DISCONTINUITY_AT: usize = FIRST_MSN + 8;
/// Number of the discontinuity before it.
pub const DISCONTINUITY_SEQUENCE: usize = 5;
/// When the stream began, in milliseconds since 1970: 2026-01-01.
pub const BEGAN_MS: u64 = 1_767_225_600_000;

/// A rendition of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    Video,
    Audio,
    IFrames,
}

impl Track {
    pub const ALL: [Track; 3] = [Track::Video, Track::Audio, Track::IFrames];

    pub fn name(self) -> &'static str {
        match self {
            Track::Video => "video",
            Track::Audio => "audio",
            Track::IFrames => "i-frames",
        }
    }

    fn timescale(self) -> u32 {
        if self == Track::Audio { 48_000 } else { 20_000 }
    }

    /// Ticks of a sample and samples of a part.
    fn samples(self) -> (u32, usize) {
        if self == Track::Audio { (960, 25) } else { (1_000, 10) }
    }

    /// Segments in a segment of the other renditions.
    pub fn segments_per_segment(self) -> usize {
        if self == Track::IFrames { 2 } else { 1 }
    }

    pub fn init(self, fault: Fault) -> Vec<u8> {
        let entry = match self {
            Track::Audio => b"Opus",
            _ if fault == Fault::InBandParameterSets => b"avc3",
            _ => b"avc1",
        };
        boxes::init(self.timescale(), entry)
    }

    /// The part with index `part` of segment `msn`, both as they are numbered in addresses.
    pub fn part(self, fault: Fault, msn: usize, part: usize) -> Vec<u8> {
        let index = (msn - FIRST_MSN) * PARTS_PER_SEGMENT + part;
        self.fragment(fault, msn, index, &|_| true, true)
    }

    /// A whole segment.
    pub fn segment(self, fault: Fault, msn: usize) -> Vec<u8> {
        if self == Track::IFrames {
            // Each of them is one picture that is shown for a second, the beginning of every other part.
            let index = (msn - FIRST_MSN) * PARTS_PER_SEGMENT / 2;
            return self.fragment(fault, msn, index, &|at| at == 0, false);
        }
        let first = (msn - FIRST_MSN) * PARTS_PER_SEGMENT;
        let parts = (first..first + PARTS_PER_SEGMENT).map(|index| self.fragment(fault, msn, index, &|_| true, false));
        parts.collect::<Vec<_>>().concat()
    }

    /// The samples of the stream's part number `index` for which `holds`.
    fn fragment(self, fault: Fault, msn: usize, index: usize, holds: &dyn Fn(usize) -> bool, is_part: bool) -> Vec<u8> {
        let (ticks, count) = self.samples();
        let first = index * count;
        let sample = |at: usize| Sample {
            duration: if self == Track::IFrames { self.timescale() } else { ticks },
            sync: self.is_sync(fault, first + at),
            payload: self.payload(first + at, fault == Fault::PartsDiffer && is_part && at == 3),
        };
        let samples: Vec<Sample> = (0..count).filter(|at| holds(*at)).map(sample).collect();
        let late = if fault == Fault::MediaGap && self == Track::Video && msn % 2 == 1 { 600 } else { 0 };
        let apart = if fault == Fault::ClocksApart && self == Track::Audio { self.timescale() / 2 } else { 0 };
        let decode_time = first as u64 * u64::from(ticks) + u64::from(late + apart);
        let claimed = if fault == Fault::SampleTooLong && is_part { 4 } else { 0 };
        boxes::fragment(decode_time, &samples, claimed)
    }

    fn is_sync(self, fault: Fault, sample: usize) -> bool {
        let in_segment = sample % 40;
        match self {
            Track::Video if fault == Fault::NoKeyframeAtStart => in_segment == 20,
            Track::Video => in_segment.is_multiple_of(20),
            Track::Audio | Track::IFrames => true,
        }
    }

    /// The part holds an independent frame.
    pub fn is_independent(self, fault: Fault, part: usize) -> bool {
        let (_, count) = self.samples();
        (part * count..(part + 1) * count).any(|sample| self.is_sync(fault, sample))
    }

    /// Bytes that name their sample.
    fn payload(self, sample: usize, other: bool) -> Vec<u8> {
        let len = match self {
            Track::Audio => 120,
            _ if sample.is_multiple_of(20) => 3_000,
            _ => 400,
        };
        let mut payload = format!("{} {sample}{}", self.name(), if other { " other" } else { "" }).into_bytes();
        payload.resize(len, b'.');
        payload
    }
}
