//! One rendition's media: the part being filled, the segment being filled, what is listed and what is still fetchable.
//!
//! Samples go in with decode times of one track; numbered segments come out. It knows nothing of keyframes, of the other
//! rendition or of why a segment ends: the lanes decide that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_media::MediaKind;
use telstar_units::{Epoch, Timescale, WallTime};

use crate::budget::Budget;
use crate::segment::{OpenPart, Sample, Segment};

/// An init segment under its number.
#[derive(Clone, Debug)]
pub struct Init {
    /// The epoch that its URI names.
    pub epoch: Epoch,
    /// The number in its URI.
    pub number: u32,
    /// `ftyp` and `moov`.
    pub bytes: Bytes,
}

/// Where a rendition begins or goes on: both renditions are given the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub epoch: Epoch,
    pub msn: u64,
    pub discontinuity_sequence: u64,
    pub discontinuity: bool,
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
    /// Finished segments, oldest first; the first `expiries.len()` of them are not listed any more.
    finished: VecDeque<Arc<Segment>>,
    expiries: VecDeque<Instant>,
    longest_playlist_secs: f64,
    inits: Vec<Init>,
    budget: Budget,
    bytes_held: u64,
    meter: Meter,
}

#[derive(Debug)]
struct OpenSegment {
    segment: Segment,
    start: i64,
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
    pub fn new(kind: MediaKind, timescale: Timescale, place: Place, budget: Budget) -> Rendition {
        Rendition {
            kind,
            timescale,
            part_target_ms: 0,
            parts_from_msn: place.msn,
            hint_next_segment: false,
            place,
            part: OpenPart::new(kind, timescale),
            open: None,
            finished: VecDeque::new(),
            expiries: VecDeque::new(),
            longest_playlist_secs: 0.0,
            inits: Vec::new(),
            budget,
            bytes_held: 0,
            meter: Meter::default(),
        }
    }

    /// Goes on at `place` with a track of its own clock. The segment before must be finished.
    pub fn resume(&mut self, place: Place, timescale: Timescale) {
        assert!(self.open.is_none() && self.part.is_empty(), "a rendition is flushed before it goes on elsewhere");
        assert!(place.msn >= self.place.msn, "media sequence numbers never go back");
        self.place = place;
        self.timescale = timescale;
        self.part = OpenPart::new(self.kind, timescale);
        self.hint_next_segment = false;
    }

    /// See [`OpenPart::set_decode_lead`].
    pub fn set_decode_lead(&mut self, ticks: i64) {
        self.part.set_decode_lead(ticks);
    }

    /// From the next segment on, samples need `bytes`.
    pub fn add_init(&mut self, number: u32, bytes: Bytes) {
        self.inits.push(Init { epoch: self.place.epoch, number, bytes });
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

    /// Forgets the listed segments, but not their bytes: a finished stream is followed by a new one.
    pub fn unlist_all(&mut self, now: Instant) {
        while self.expiries.len() < self.finished.len() {
            self.unlist_oldest(now);
        }
    }

    pub fn begin_segment(&mut self, start: i64, wall: WallTime, starts_independent: bool) {
        let segment = self.make_segment(wall, starts_independent, false);
        self.open = Some(OpenSegment { segment, start });
    }

    fn make_segment(&mut self, wall: WallTime, starts_independent: bool, gap: bool) -> Segment {
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
            starts_independent,
            gap,
            parts: Vec::new(),
            duration_secs: None,
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
            self.budget.charge(part.len());
            self.bytes_held += part.len();
            let open = self.open.as_mut().expect("the part's samples were pushed into a segment");
            open.segment.parts.push(Arc::new(part));
        }
    }

    /// Ends the open part and segment at `end`.
    pub fn close_segment(&mut self, end: i64) {
        self.close_part(end);
        if let Some(OpenSegment { mut segment, start }) = self.open.take() {
            let secs = self.timescale.seconds((end - start).max(0));
            segment.duration_secs = Some(secs);
            segment.gap = segment.parts.is_empty();
            self.meter.add(segment.len(), secs);
            self.finished.push_back(Arc::new(segment));
        }
        self.hint_next_segment = false;
    }

    /// Numbers a stretch of time for which there is no media.
    pub fn push_gap(&mut self, secs: f64, wall: WallTime) {
        let mut segment = self.make_segment(wall, true, true);
        segment.duration_secs = Some(secs);
        self.finished.push_back(Arc::new(segment));
    }

    pub fn bytes_held(&self) -> u64 {
        self.bytes_held
    }

    pub fn meter(&self) -> Meter {
        self.meter
    }

    pub fn inits(&self) -> &[Init] {
        &self.inits
    }

    /// All finished segments that are fetchable, oldest first, and how many of them are not listed.
    pub fn finished(&self) -> (&VecDeque<Arc<Segment>>, usize) {
        (&self.finished, self.expiries.len())
    }

    fn listed_secs(&self) -> f64 {
        self.finished.iter().skip(self.expiries.len()).filter_map(|segment| segment.duration_secs).sum()
    }

    /// Takes segments off the list that leave at least `window_secs` behind them, and parts that are further from the end
    /// than `part_window_secs` (RFC 8216bis §4.4.4.9).
    pub fn slide(&mut self, now: Instant, window_secs: f64, part_window_secs: f64) {
        let open = self.open_segment().into_iter().flat_map(|open| &open.parts);
        let mut after_secs: f64 = open.map(|part| part.duration_secs()).sum();
        for segment in self.finished.iter().rev() {
            if after_secs > part_window_secs {
                self.parts_from_msn = self.parts_from_msn.max(segment.msn + 1);
                break;
            }
            after_secs += segment.duration_secs.unwrap_or(0.0);
        }
        let mut listed_secs = self.listed_secs();
        self.longest_playlist_secs = self.longest_playlist_secs.max(listed_secs);
        while let Some(oldest) = self.finished.get(self.expiries.len()) {
            listed_secs -= oldest.duration_secs.unwrap_or(0.0);
            if listed_secs < window_secs {
                break;
            }
            self.unlist_oldest(now);
        }
    }

    /// RFC 8216bis §6.2.2: a segment stays available after its removal for its own duration and that of the longest
    /// playlist that listed it. That is more than the three target durations that its parts need (§4.4.4.9).
    fn unlist_oldest(&mut self, now: Instant) {
        if let Some(oldest) = self.finished.get(self.expiries.len()) {
            let secs = oldest.duration_secs.unwrap_or(0.0) + self.longest_playlist_secs;
            let expiry = now + Duration::from_secs_f64(secs);
            // Removed in order: never before one that was removed earlier.
            let expiry = self.expiries.back().map_or(expiry, |&last| last.max(expiry));
            self.expiries.push_back(expiry);
        }
    }

    /// When the oldest unlisted segment may go.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().copied()
    }

    /// Drops what has expired. Returns whether anything went.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.finished.len();
        while self.next_expiry().is_some_and(|expiry| expiry <= now) {
            self.drop_oldest();
        }
        self.finished.len() < before
    }

    /// Drops segments until `bytes` are given back: unlisted ones first, then listed ones, but never the newest.
    /// Returns the bytes.
    pub fn evict(&mut self, bytes: u64) -> u64 {
        let before = self.bytes_held;
        while before - self.bytes_held < bytes && self.finished.len() > 1 {
            self.drop_oldest();
        }
        before - self.bytes_held
    }

    fn drop_oldest(&mut self) {
        if let Some(segment) = self.finished.pop_front() {
            self.expiries.pop_front();
            self.release(segment.len());
        }
        let oldest_used = self.finished.front().map(|segment| segment.init);
        let oldest_used = oldest_used.or(self.open_segment().map(|segment| segment.init));
        let newest = self.inits.last().map(|init| init.number);
        self.inits
            .retain(|init| Some(init.number) == newest || oldest_used.is_some_and(|oldest| init.number >= oldest));
    }

    fn release(&mut self, bytes: u64) {
        self.bytes_held -= bytes;
        self.budget.give_back(bytes);
    }
}

impl Drop for Rendition {
    fn drop(&mut self) {
        self.release(self.bytes_held);
    }
}
