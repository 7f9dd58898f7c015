//! Parts and segments: the bytes that players fetch, immutable once they are listed.
//!
//! A part is the header that we wrote and the payloads of its frames, shared with whoever else holds them.
//! A segment is nothing but its parts (RFC 8216bis §4.4.4.9: they carry the same samples), so each byte is held once.

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::MediaKind;
use telstar_units::{Epoch, Timescale, WallTime};

use crate::boxes::{self, SampleEntry};

/// One CMAF chunk: `moof`, `mdat` and what the playlist says about them.
#[derive(Debug)]
pub struct Part {
    chunks: Box<[Bytes]>,
    len: u64,
    ticks: i64,
    timescale: Timescale,
    independent: bool,
}

impl Part {
    /// The bytes in order, as they lie in memory.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never true: a part has a header at least.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sum of its sample durations in seconds.
    pub fn duration_secs(&self) -> f64 {
        self.timescale.seconds(self.ticks)
    }

    /// It holds an independent frame.
    pub fn independent(&self) -> bool {
        self.independent
    }
}

/// A segment, finished or still growing.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The epoch that its URI names.
    pub epoch: Epoch,
    /// Media sequence number.
    pub msn: u64,
    /// Which init segment its samples need.
    pub init: u32,
    /// An EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Discontinuity sequence number, its own discontinuity included.
    pub discontinuity_sequence: u64,
    /// Calendar time of its first sample.
    pub wall: WallTime,
    /// Its first sample is independent.
    pub starts_independent: bool,
    /// There is no media for this stretch of time: EXT-X-GAP.
    pub gap: bool,
    /// Its parts so far.
    pub parts: Vec<Arc<Part>>,
    /// Seconds from its first sample to the next segment's, once it is finished.
    pub duration_secs: Option<f64>,
}

impl Segment {
    /// Bytes of all parts.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Nothing in it yet, or never (a gap).
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The bytes of all parts in order.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().flat_map(|part| part.chunks())
    }
}

/// A sample whose duration is not known before its successor or the end of its part.
#[derive(Debug)]
pub(crate) struct Sample {
    pub dts: i64,
    pub pts: i64,
    pub sync: bool,
    pub payload: Bytes,
}

/// The part that is being filled.
#[derive(Debug)]
pub(crate) struct OpenPart {
    kind: MediaKind,
    timescale: Timescale,
    sequence_number: u32,
    samples: Vec<Sample>,
    /// What the decode times that are written lie before those that the lanes count with.
    decode_lead: i64,
}

impl OpenPart {
    pub fn new(kind: MediaKind, timescale: Timescale) -> OpenPart {
        OpenPart { kind, timescale, sequence_number: 0, samples: Vec::new(), decode_lead: 0 }
    }

    /// From now on decode times are written `ticks` earlier, and composition offsets are that much greater.
    pub fn set_decode_lead(&mut self, ticks: i64) {
        self.decode_lead = ticks;
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Decode time of its first sample.
    pub fn start(&self) -> Option<i64> {
        self.samples.first().map(|sample| sample.dts)
    }

    pub fn push(&mut self, sample: Sample) {
        assert!(
            self.samples.last().is_none_or(|last| last.dts < sample.dts),
            "the lanes hand over samples in strictly increasing decode order"
        );
        self.samples.push(sample);
    }

    /// Makes a part of what is there. Each sample lasts until the next one, the last until `end`, so that the durations
    /// add up to the `tfdt` of the part that starts at `end`.
    pub fn close(&mut self, end: i64) -> Option<Part> {
        let start = self.start()?;
        let samples = std::mem::take(&mut self.samples);
        let ends = samples.iter().skip(1).map(|next| next.dts).chain([end]);
        let entries: Vec<SampleEntry> = samples
            .iter()
            .zip(ends)
            .map(|(sample, end)| SampleEntry {
                duration: u32::try_from((end - sample.dts).max(0)).unwrap_or(u32::MAX),
                size: u32::try_from(sample.payload.len()).expect("frames are limited to far below 4 GiB"),
                sync: sample.sync,
                composition_offset: sample.pts - sample.dts + self.decode_lead,
            })
            .collect();
        let decode_time =
            u64::try_from(start - self.decode_lead).expect("the packager shifts an epoch so that no time is negative");
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let header = boxes::part_header(self.kind, self.sequence_number, decode_time, &entries);
        let independent = samples.iter().any(|sample| sample.sync);
        let chunks: Box<[Bytes]> = std::iter::once(header).chain(samples.into_iter().map(|s| s.payload)).collect();
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Some(Part { chunks, len, ticks: (end - start).max(0), timescale: self.timescale, independent })
    }
}
