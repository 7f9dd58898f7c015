//! One rendition's media: the part being filled, the segment being filled, what is listed and what is still fetchable.
//!
//! Samples go in with decode times of one track; numbered segments come out. It knows nothing of keyframes, of the other
//! rendition or of why a segment ends: the lanes decide that.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::MediaKind;
use telstar_units::{Epoch, Timescale, WallTime};

use crate::budget::Budget;
use crate::config::ENTRY_SPACING_MIN;
use crate::lane::ticks;
use crate::multivariant::CodecFacts;
use crate::segment::{KeyPicture, OpenPart, Part, Sample, Segment};
use crate::shelf::{Shelf, Window};

/// An init segment under its number.
#[derive(Clone, Debug)]
pub struct Init {
    /// The epoch that its URI names.
    pub epoch: Epoch,
    /// The number in its URI.
    pub number: u32,
    /// `ftyp` and `moov`.
    pub bytes: Bytes,
    /// What the multivariant playlist says of it.
    pub facts: CodecFacts,
}

/// Where a rendition begins or goes on: both renditions are given the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub epoch: Epoch,
    pub msn: u64,
    pub discontinuity_sequence: u64,
    pub discontinuity: bool,
    /// The number of the next entry in the I-frame playlist.
    pub entry: u64,
}

#[derive(Debug)]
pub(crate) struct Rendition {
    pub kind: MediaKind,
    pub timescale: Timescale,
    /// PART-TARGET in milliseconds.
    pub part_target_ms: u64,
    /// Parts of older segments are not listed: they are far from the end, or were made for another part target.
    pub parts_from_msn: u64,
    /// The next part is expected to begin a segment.
    pub hint_next_segment: bool,
    place: Place,
    part: OpenPart,
    open: Option<OpenSegment>,
    /// The init segment that was handed over to be kept last.
    pub announced_init: Option<(Epoch, u32)>,
    pub shelf: Shelf,
    inits: Vec<Init>,
    meter: Meter,
    picture_meter: Meter,
}

#[derive(Debug)]
struct OpenSegment {
    segment: Segment,
    start: i64,
    starts_with_key: bool,
}

/// Bitrates of finished segments, for BANDWIDTH and AVERAGE-BANDWIDTH.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    pub peak_bps: f64,
    bits: f64,
    secs: f64,
}

/// Shorter segments say nothing about the peak: one keyframe alone would.
const METER_SECS_MIN: f64 = 0.5;

impl Meter {
    pub fn average_bps(&self) -> f64 {
        if self.secs > 0.0 { self.bits / self.secs } else { 0.0 }
    }

    fn add(&mut self, bytes: u64, secs: f64) {
        let bits = bytes as f64 * 8.0;
        self.bits += bits;
        self.secs += secs;
        if secs >= METER_SECS_MIN {
            self.peak_bps = self.peak_bps.max(bits / secs);
        }
    }
}

impl Rendition {
    pub fn new(kind: MediaKind, timescale: Timescale, place: Place, memory: Budget, disk: Option<Budget>) -> Rendition {
        Rendition {
            kind,
            timescale,
            part_target_ms: 0,
            parts_from_msn: place.msn,
            hint_next_segment: false,
            place,
            part: OpenPart::new(kind, timescale),
            open: None,
            announced_init: None,
            shelf: Shelf::new(memory, disk),
            inits: Vec::new(),
            meter: Meter::default(),
            picture_meter: Meter::default(),
        }
    }

    /// A segment that an earlier run of the server had kept. It is the next one by its numbers.
    pub fn restore(&mut self, segment: Segment) {
        self.place.msn = segment.msn + 1;
        self.place.epoch = segment.epoch;
        self.place.discontinuity_sequence = segment.discontinuity_sequence;
        self.place.entry = segment.first_entry + segment.entries();
        self.parts_from_msn = self.place.msn;
        self.measure(&segment);
        self.shelf.restore(segment);
    }

    /// See [`Rendition::add_init`].
    pub fn restore_init(&mut self, init: Init) {
        self.inits.push(init);
    }

    /// Goes on at `place` with a track of its own clock. The segment before must be finished.
    pub fn resume(&mut self, place: Place, timescale: Timescale) {
        assert!(self.open.is_none() && self.part.is_empty(), "a rendition is flushed before it goes on elsewhere");
        assert!(place.msn >= self.place.msn, "media sequence numbers never go back");
        self.place = Place { entry: self.place.entry, ..place };
        self.timescale = timescale;
        self.part = OpenPart::new(self.kind, timescale);
        self.hint_next_segment = false;
    }

    /// See [`OpenPart::set_decode_lead`].
    pub fn set_decode_lead(&mut self, ticks: i64) {
        self.part.set_decode_lead(ticks);
    }

    /// From the next segment on, samples need `bytes`.
    pub fn add_init(&mut self, init: Init) {
        self.inits.push(Init { epoch: self.place.epoch, ..init });
    }

    /// From the next segment on, parts last at most so long. Older ones are not listed any more.
    pub fn set_part_target(&mut self, part_target_ms: u64) {
        if self.part_target_ms != part_target_ms {
            self.part_target_ms = part_target_ms;
            self.parts_from_msn = self.next_msn();
        }
    }

    /// The next segment begins behind a discontinuity.
    pub fn discontinuity_next(&mut self) {
        self.place.discontinuity = true;
    }

    pub fn begin_segment(&mut self, start: i64, wall: WallTime, starts_with_key: bool) {
        let segment = self.make_segment(wall, starts_with_key, false);
        self.open = Some(OpenSegment { segment, start, starts_with_key });
    }

    /// A sample of the open segment may need what comes before it.
    pub fn note_dependent(&mut self) {
        if let Some(open) = &mut self.open {
            open.segment.independent = false;
        }
    }

    fn make_segment(&mut self, wall: WallTime, independent: bool, gap: bool) -> Segment {
        assert!(self.open.is_none(), "a segment ends before the next begins");
        let place = &mut self.place;
        place.discontinuity_sequence += u64::from(place.discontinuity);
        let segment = Segment {
            epoch: place.epoch,
            msn: place.msn,
            init: self.inits.last().map_or(0, |init| init.number),
            discontinuity: std::mem::take(&mut place.discontinuity),
            discontinuity_sequence: place.discontinuity_sequence,
            wall,
            independent,
            gap,
            parts: Vec::new(),
            duration_secs: None,
            timescale: self.timescale,
            first_entry: place.entry,
            pictures: Vec::new(),
            kept: None,
        };
        place.msn += 1;
        self.hint_next_segment = false;
        segment
    }

    pub fn push(&mut self, sample: Sample) {
        assert!(self.open.is_some(), "a sample belongs to a segment");
        self.part.push(sample);
    }

    /// Decode time at which the open part begins.
    pub fn part_start(&self) -> Option<i64> {
        self.part.start()
    }

    /// Decode time at which the open segment begins.
    pub fn segment_start(&self) -> Option<i64> {
        self.open.as_ref().map(|open| open.start)
    }

    /// The open segment is one that no player can start with.
    pub fn starts_without_key(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.starts_with_key)
    }

    pub fn open_segment(&self) -> Option<&Segment> {
        self.open.as_ref().map(|open| &open.segment)
    }

    /// Where the open segment stands, for a rendition that joins it; else where the next one will.
    pub fn joining_place(&self) -> Place {
        match &self.open {
            None => self.place,
            Some(OpenSegment { segment, .. }) => Place {
                epoch: segment.epoch,
                msn: segment.msn,
                discontinuity_sequence: segment.discontinuity_sequence - u64::from(segment.discontinuity),
                discontinuity: segment.discontinuity,
                entry: self.place.entry,
            },
        }
    }

    /// The number of the next segment.
    pub fn next_msn(&self) -> u64 {
        self.place.msn
    }

    /// Where the next segment will stand.
    pub fn place(&self) -> Place {
        self.place
    }

    pub fn close_part(&mut self, end: i64) {
        if let Some(part) = self.part.close(end) {
            self.shelf.charge(part.len());
            let open = self.open.as_mut().expect("the part's samples were pushed into a segment");
            open.segment.parts.push(Arc::new(part));
        }
    }

    /// Ends the open part and segment at `end`.
    pub fn close_segment(&mut self, end: i64) {
        self.close_part(end);
        if let Some(OpenSegment { mut segment, start, starts_with_key }) = self.open.take() {
            let secs = self.timescale.seconds((end - start).max(0));
            let more = |part: &Arc<Part>| (part.listed_secs(self.part_target_ms) - part.duration_secs()).max(0.0);
            segment.duration_secs = Some(secs + segment.parts.iter().map(more).sum::<f64>());
            segment.gap = segment.parts.is_empty();
            // Without a keyframe at its beginning it is a gap there: each entry says how long it is shown, from its beginning on.
            if self.kind == MediaKind::Video && starts_with_key {
                segment.find_pictures(end, ticks(ENTRY_SPACING_MIN, self.timescale));
            }
            self.place.entry += segment.entries();
            self.measure(&segment);
            self.shelf.push(segment);
        }
        self.hint_next_segment = false;
    }

    /// Leaves out a number before anything is listed.
    pub fn skip_segment(&mut self) {
        assert!(self.open.is_none() && self.shelf.oldest().is_none(), "what is listed has consecutive numbers");
        let place = &mut self.place;
        place.discontinuity_sequence += u64::from(std::mem::take(&mut place.discontinuity));
        place.msn += 1;
        self.parts_from_msn = place.msn;
    }

    /// Numbers a stretch of time for which there is no media.
    pub fn push_gap(&mut self, secs: f64, wall: WallTime) {
        let mut segment = self.make_segment(wall, true, true);
        segment.duration_secs = Some(secs);
        self.place.entry += segment.entries();
        self.shelf.push(segment);
    }

    fn measure(&mut self, segment: &Segment) {
        self.meter.add(segment.len(), segment.duration_secs.unwrap_or(0.0));
        for KeyPicture { size, duration, .. } in &segment.pictures {
            self.picture_meter.add(u64::from(*size), segment.timescale.seconds((*duration).into()));
        }
    }

    pub fn meter(&self) -> Meter {
        self.meter
    }

    /// Of the I-frame playlist.
    pub fn picture_meter(&self) -> Meter {
        self.picture_meter
    }

    pub fn inits(&self) -> &[Init] {
        &self.inits
    }

    /// What its newest samples are.
    pub fn facts(&self) -> Option<&CodecFacts> {
        self.inits.last().map(|init| &init.facts)
    }

    /// The segments that are listed, the open one last.
    pub fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.shelf.listed().chain(self.open_segment())
    }

    /// Every segment of the listing can be decoded by itself (RFC 8216bis §4.4.2.1).
    pub fn all_independent(&self) -> bool {
        self.shelf.all_independent() && self.open_segment().is_none_or(|open| open.independent)
    }

    /// Takes what has left the window off the list, see [`Shelf::slide`].
    pub fn slide(&mut self, now: Instant, window: Window) {
        let open = self.open_segment().into_iter().flat_map(|open| &open.parts);
        let open_secs = open.map(|part| part.duration_secs()).sum();
        if let Some(parts_from) = self.shelf.slide(now, open_secs, window) {
            self.parts_from_msn = self.parts_from_msn.max(parts_from);
        }
    }

    /// Drops what has expired. Returns whether anything went.
    pub fn expire(&mut self, now: Instant) -> bool {
        let gone = self.shelf.expire(now);
        if gone {
            self.drop_inits();
        }
        gone
    }

    /// Gives back `bytes` of memory, see [`Shelf::evict`].
    pub fn evict(&mut self, bytes: u64) -> u64 {
        let (freed, parts_from) = self.shelf.evict(bytes);
        self.parts_from_msn = self.parts_from_msn.max(parts_from.unwrap_or(0));
        self.drop_inits();
        freed
    }

    /// Gives back `bytes` of disk, see [`Shelf::evict_kept`].
    pub fn evict_kept(&mut self, bytes: u64) -> u64 {
        let freed = self.shelf.evict_kept(bytes);
        self.drop_inits();
        freed
    }

    fn drop_inits(&mut self) {
        let oldest_used = self.shelf.oldest().or(self.open_segment()).map(|segment| segment.init);
        let newest = self.inits.last().map(|init| init.number);
        self.inits
            .retain(|init| Some(init.number) == newest || oldest_used.is_some_and(|oldest| init.number >= oldest));
    }
}
