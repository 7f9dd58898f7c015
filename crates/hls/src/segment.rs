//! Parts and segments: the bytes that players fetch, immutable once they are listed.
//!
//! A part is the header that we wrote and the payloads of its frames, shared with whoever else holds them.
//! A segment is nothing but its parts (RFC 8216bis §4.4.4.9: they carry the same samples), so each byte is held once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use telstar_media::MediaKind;
use telstar_units::{Epoch, Timescale, WallTime};

use telstar_fmp4::SampleEntry;

/// One CMAF chunk: `moof`, `mdat` and what the playlist says about them.
#[derive(Debug)]
pub struct Part {
    chunks: Box<[Bytes]>,
    len: u64,
    ticks: i64,
    timescale: Timescale,
    independent: bool,
    keys: Box<[PartKey]>,
}

/// A keyframe of a part, which the I-frame playlist may name.
#[derive(Clone, Copy, Debug)]
struct PartKey {
    /// Where its payload begins in the part.
    offset: u64,
    size: u32,
    /// Decode time as the lanes count it, and as it is written.
    dts: i64,
    decode_time: u64,
    composition_offset: i64,
}

/// 2^-22: what the last bit of a 64-bit floating-point number of Unix seconds is worth, until 2038.
const LISTED_STEP_SECS: f64 = 1.0 / 4_194_304.0;

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

    /// The same as it is listed: the next multiple of [`LISTED_STEP_SECS`], within the part target. Shaka 5 places each part by the
    /// sum of those before it, beside dates in seconds. Where that falls behind the media by as little as a rounding error, it
    /// sets the buffer's timestamp offset anew, for which it resets the parser, and pictures are dropped up to the next
    /// keyframe. Sums of these multiples are exact, so they only ever run ahead, by a millisecond in twenty minutes or more. EXTINF
    /// is the sum of what is listed of the parts, so that nothing falls back when a segment is finished either.
    pub(crate) fn listed_secs(&self, part_target_ms: u64) -> f64 {
        let steps = (self.duration_secs() / LISTED_STEP_SECS).floor() + 1.0;
        (steps * LISTED_STEP_SECS).min(part_target_ms as f64 / 1e3)
    }

    /// It holds an independent frame.
    pub fn independent(&self) -> bool {
        self.independent
    }
}

/// Names a segment of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentId {
    /// Whose.
    pub kind: MediaKind,
    /// The epoch in its URI.
    pub epoch: Epoch,
    /// Media sequence number.
    pub msn: u64,
}

/// An entry of the I-frame playlist (RFC 8216bis §4.4.3.6): a keyframe as a resource of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPicture {
    /// Where its payload begins in the segment's bytes.
    pub offset: u64,
    /// Bytes of its payload.
    pub size: u32,
    /// `tfdt`, the same as in the segment.
    pub decode_time: u64,
    /// From decoding to showing it, in ticks.
    pub composition_offset: i64,
    /// Ticks to the segment's next entry, or to its end: EXTINF, and the duration of the only sample.
    pub duration: u32,
}

/// Bytes that a request is answered with.
#[derive(Clone, Debug)]
pub enum Content {
    /// They are in memory: these, in order.
    Memory(Vec<Bytes>),
    /// `head`, and behind it a range of the bytes that were kept of a segment, see [`crate::Effect::Keep`].
    Kept {
        /// What comes first; empty but for an entry of the I-frame playlist.
        head: Bytes,
        /// The segment.
        id: SegmentId,
        /// Of the segment's bytes.
        range: Range<u64>,
    },
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
    /// All its samples can be decoded without another segment, as far as it has come.
    pub independent: bool,
    /// There is no media for this stretch of time: EXT-X-GAP.
    pub gap: bool,
    /// Its parts so far; none any more once its bytes are kept outside only.
    pub parts: Vec<Arc<Part>>,
    /// Seconds from its first sample to the next segment's, as listed, once it is finished.
    pub duration_secs: Option<f64>,
    /// The clock of its pictures.
    pub timescale: Timescale,
    /// The number of its first entry in the I-frame playlist. A segment without a picture there has one entry, a gap.
    pub first_entry: u64,
    /// Its entries in the I-frame playlist, once it is finished.
    pub pictures: Vec<KeyPicture>,
    /// The lengths of its parts, once its bytes are kept outside only.
    pub kept: Option<Box<[u32]>>,
}

impl Segment {
    /// Bytes of all parts.
    pub fn len(&self) -> u64 {
        self.part_lens().sum()
    }

    /// Nothing in it yet, or never (a gap).
    pub fn is_empty(&self) -> bool {
        self.part_count() == 0
    }

    /// The lengths of its parts.
    pub fn part_lens(&self) -> impl Iterator<Item = u64> {
        let kept = self.kept.iter().flatten().map(|&len| u64::from(len));
        kept.chain(self.parts.iter().map(|part| part.len()))
    }

    /// Parts so far.
    pub fn part_count(&self) -> usize {
        self.kept.as_ref().map_or(self.parts.len(), |lens| lens.len())
    }

    /// Entries in the I-frame playlist.
    pub(crate) fn entries(&self) -> u64 {
        (self.pictures.len() as u64).max(1)
    }

    /// Bytes that it holds in memory.
    pub(crate) fn memory_len(&self) -> u64 {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// The same without its bytes.
    pub(crate) fn without_bytes(&self) -> Segment {
        let lens = self.part_lens().map(|len| u32::try_from(len).expect("a part is far below 4 GiB"));
        Segment { kept: Some(lens.collect()), parts: Vec::new(), ..self.clone() }
    }

    /// Where a part lies in the segment's bytes.
    pub(crate) fn part_range(&self, part: u32) -> Option<Range<u64>> {
        let mut lens = self.part_lens();
        let start = lens.by_ref().take(part as usize).sum();
        Some(start..start + lens.next()?)
    }

    /// `head` and a range of the segment's bytes.
    pub(crate) fn content(&self, kind: MediaKind, head: Bytes, range: Range<u64>) -> Content {
        if self.kept.is_some() {
            return Content::Kept { head, id: SegmentId { kind, epoch: self.epoch, msn: self.msn }, range };
        }
        let mut at = 0;
        let clip = |chunk: &Bytes| {
            let (start, end) = (at, at + chunk.len() as u64);
            at = end;
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            (from < to).then(|| chunk.slice((from - start) as usize..(to - start) as usize))
        };
        let body = self.chunks().filter_map(clip);
        Content::Memory(std::iter::once(head).filter(|head| !head.is_empty()).chain(body).collect())
    }

    /// One entry of the I-frame playlist: a header for this picture alone, and its payload.
    pub(crate) fn picture(&self, kind: MediaKind, index: usize) -> Option<Content> {
        let picture = self.pictures.get(index)?;
        let entry = SampleEntry {
            duration: picture.duration,
            size: picture.size,
            sync: true,
            composition_offset: picture.composition_offset,
        };
        let number = u32::try_from(index).unwrap_or(u32::MAX).wrapping_add(1);
        let head = telstar_fmp4::fragment_header(kind, number, picture.decode_time, &[entry]);
        Some(self.content(kind, head, picture.offset..picture.offset + u64::from(picture.size)))
    }

    /// Finds its entries of the I-frame playlist, none of which is shown for less than `spacing_min` unless the segment is
    /// that short. It ends at `end`, and begins with a keyframe.
    pub(crate) fn find_pictures(&mut self, end: i64, spacing_min: i64) {
        let mut keys: Vec<(u64, &PartKey)> = Vec::new();
        let mut at = 0;
        for part in &self.parts {
            for key in &part.keys {
                let is_apart =
                    |(_, last): &(u64, &PartKey)| key.dts - last.dts >= spacing_min && end - key.dts >= spacing_min;
                if keys.last().is_none_or(is_apart) {
                    keys.push((at, key));
                }
            }
            at += part.len();
        }
        let ends = keys.iter().skip(1).map(|(_, key)| key.dts).chain([end]);
        let picture = |((at, key), end): (&(u64, &PartKey), i64)| KeyPicture {
            offset: at + key.offset,
            size: key.size,
            decode_time: key.decode_time,
            composition_offset: key.composition_offset,
            duration: u32::try_from((end - key.dts).max(1)).unwrap_or(u32::MAX),
        };
        let pictures = keys.iter().zip(ends).map(picture).collect();
        self.pictures = pictures;
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
        let header = telstar_fmp4::fragment_header(self.kind, self.sequence_number, decode_time, &entries);
        let independent = samples.iter().any(|sample| sample.sync);
        let keys = self.keys_of(&samples, header.len() as u64);
        let chunks: Box<[Bytes]> = std::iter::once(header).chain(samples.into_iter().map(|s| s.payload)).collect();
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Some(Part { chunks, len, ticks: (end - start).max(0), timescale: self.timescale, independent, keys })
    }

    fn keys_of(&self, samples: &[Sample], header_len: u64) -> Box<[PartKey]> {
        let mut at = header_len;
        let mut keys = Vec::new();
        for sample in samples {
            let size = u32::try_from(sample.payload.len()).expect("frames are limited to far below 4 GiB");
            if sample.sync && self.kind == MediaKind::Video {
                keys.push(PartKey {
                    offset: at,
                    size,
                    dts: sample.dts,
                    decode_time: u64::try_from(sample.dts - self.decode_lead).unwrap_or(0),
                    composition_offset: sample.pts - sample.dts + self.decode_lead,
                });
            }
            at += u64::from(size);
        }
        keys.into()
    }
}
