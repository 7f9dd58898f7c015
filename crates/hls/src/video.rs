//! The video lane: turns frames into samples, and decides where parts and segments end.
//!
//! Presentation times are the source's, exactly. Decode times are the source's but for the first sample of some parts:
//! - A part that was closed before its successor came ends where it was said to, and the successor begins there: a fraction
//!   of a millisecond early while frames come evenly.
//! - A part whose last frame lasts beyond the part target (frames come unevenly, or the encoder dropped some) ends at the
//!   part target, and the late successor begins there.
//!
//! The composition offset makes up for it, and the samples after catch up. So the durations of all samples add up to every
//! `tfdt`, which browsers need: a jump in decode time makes them drop frames until the next keyframe (Media Source
//! Extensions §3.5.8, "last decode timestamp"). A segment that begins with a keyframe after a pause is where the gap is
//! shown as one; so does one after a pause in which the sound went on to another segment.

use std::sync::Arc;

use telstar_media::codec::h265_is_skipped_leading;
use telstar_media::{CodecConfig, Frame};
use telstar_units::Timescale;

use crate::cadence::Cadence;
use crate::lane::{Boundary, Limits, Moment, WallClock};
use crate::rendition::Rendition;
use crate::segment::Sample;

#[derive(Debug)]
pub(crate) struct VideoLane {
    pub rendition: Rendition,
    pub limits: Limits,
    pub clock: WallClock,
    pub config: Arc<CodecConfig>,
    cadence: Cadence,
    /// Decode time of the last frame as the source gave it, and as it was written.
    last: Option<Written>,
    /// Where the last part was said to end.
    closed_end: Option<i64>,
    /// When the keyframe is shown that began the open segment, until the next one comes.
    leads_until: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    source: i64,
    out: i64,
}

/// What came of a frame.
#[derive(Debug, Default)]
pub(crate) struct VideoOutcome {
    /// A segment ended here.
    pub boundary: Option<Boundary>,
    /// It ended without a keyframe, because the target duration was reached.
    pub cut: bool,
    /// A group of pictures ended; its length.
    pub gop_ticks: Option<i64>,
    /// Something that a playlist shows has changed.
    pub changed: bool,
}

impl VideoLane {
    pub fn new(rendition: Rendition, limits: Limits, clock: WallClock, config: Arc<CodecConfig>) -> VideoLane {
        let cadence = Cadence::new(rendition.timescale);
        VideoLane { rendition, limits, clock, config, cadence, last: None, closed_end: None, leads_until: None }
    }

    fn timescale(&self) -> Timescale {
        self.rendition.timescale
    }

    /// Time of the last frame.
    pub fn last_moment(&self) -> Option<Moment> {
        self.last.map(|last| Moment::new(last.source, self.timescale()))
    }

    /// Ticks from the last frame to a frame at `dts`.
    pub fn interval_to(&self, dts: i64) -> Option<i64> {
        self.last.map(|last| dts - last.source)
    }

    /// Takes the next frame. `new_config` says that an init segment was added for it, `breaks` that the next segment
    /// should begin soon, behind a discontinuity.
    pub fn push(&mut self, frame: &Frame, dts: i64, pts: i64, new_config: bool, breaks: bool) -> VideoOutcome {
        let mut outcome = VideoOutcome { gop_ticks: self.cadence.observe(dts, frame.key), ..VideoOutcome::default() };
        let discontinuity = new_config || breaks;
        let mut out = self.decode_time(dts);
        if let Some(start) = self.rendition.segment_start() {
            let ends = new_config || frame.key && (breaks || self.ends_segment(dts - start));
            let too_long = !ends && self.reaches_limit(start, out);
            outcome.cut = too_long && !frame.key;
            if ends || too_long {
                self.rendition.close_part(out);
                if frame.key && dts - out > self.limits.jump_min {
                    out = dts;
                }
                self.rendition.close_segment(out.min(start + self.limits.target_duration + self.limits.slack));
                outcome.boundary = Some(Boundary { at: Moment::new(out, self.timescale()), discontinuity });
                outcome.changed = true;
            } else if self.overfills_part(out) {
                self.rendition.close_part(out);
                outcome.changed = true;
            }
        }
        if discontinuity && outcome.boundary.is_some() {
            self.rendition.discontinuity_next();
        }
        if self.rendition.open_segment().is_none() {
            // The segment before was ended for the sound's sake while no video came: the pause is not part of this one.
            if dts - out > self.limits.jump_min {
                out = dts;
            }
            let wall = self.clock.at(Moment::new(out, self.timescale()));
            self.rendition.begin_segment(out, wall, frame.key);
            self.leads_until = frame.key.then_some(pts);
        } else if frame.key {
            self.leads_until = None;
        }
        if self.leads_until.is_some_and(|shown| pts < shown) && refers_back(frame) {
            self.rendition.note_dependent();
        }
        self.rendition.push(Sample { dts: out, pts, sync: frame.key, payload: frame.payload.clone() });
        self.last = Some(Written { source: dts, out });
        // The frame was expected to begin a segment, and does not: whoever waits for what was hinted learns it now.
        outcome.changed |= std::mem::take(&mut self.rendition.hint_next_segment);
        outcome.changed |= self.close_early(out);
        outcome
    }

    /// The decode time that is written for a frame with the source's `dts`.
    fn decode_time(&mut self, dts: i64) -> i64 {
        let mut out = self.closed_end.take().unwrap_or(dts);
        if let Some(start) = self.rendition.part_start()
            && dts - (start + self.limits.part_target) <= self.limits.decode_early_max
        {
            out = out.min(start + self.limits.part_target);
        }
        if let Some(start) = self.rendition.segment_start() {
            out = out.min(start + self.limits.target_duration + self.limits.slack);
        }
        out.max(self.last.map_or(i64::MIN, |last| last.out + 1))
    }

    /// A keyframe ends a segment of at least the least length, and any that does not itself begin with a keyframe: players
    /// can start only at one.
    fn ends_segment(&self, elapsed: i64) -> bool {
        let late_enough = elapsed >= self.limits.segment_min - self.limits.tolerance;
        late_enough || self.rendition.starts_without_key()
    }

    /// A frame at `out` would carry the segment that began at `start` over the target duration. The tolerance is
    /// granted unless the next keyframe is known to come later still.
    fn reaches_limit(&self, start: i64, out: i64) -> bool {
        let Limits { target_duration, tolerance, .. } = self.limits;
        let length = self.cadence.shortest().unwrap_or(0);
        let key_comes_later = self.cadence.next_key().is_some_and(|key| key > start + target_duration + tolerance);
        let (limit, slack) = if key_comes_later { (target_duration, length / 2) } else { (target_duration, tolerance) };
        out + length > start + limit + slack
    }

    /// A frame at `out` would carry the open part over the part target.
    fn overfills_part(&self, out: i64) -> bool {
        let length = self.cadence.shortest().unwrap_or(0);
        self.rendition.part_start().is_some_and(|start| out + length - start > self.limits.part_target)
    }

    /// Closes the part with the frame just pushed if no other fits behind it, without waiting for the next one to say how
    /// long it lasts. Only while frames come evenly.
    fn close_early(&mut self, out: i64) -> bool {
        let (Some(length), Some(start)) = (self.cadence.steady(), self.rendition.segment_start()) else {
            return false;
        };
        let end = out + length;
        let may_end = self.ends_segment(end - start);
        let segment_ends = may_end && self.cadence.key_is_next() || self.reaches_limit(start, end);
        if !segment_ends && !self.overfills_part(end) {
            return false;
        }
        self.rendition.close_part(end);
        // One group of pictures is enough to guess where the next part will be, not to make a part that is too short.
        self.rendition.hint_next_segment = segment_ends || may_end && self.cadence.key_is_likely_next();
        self.closed_end = Some(end);
        true
    }

    /// When the open segment ends if this group of pictures is as long as the one before.
    pub fn likely_boundary(&self) -> Option<Moment> {
        let start = self.rendition.segment_start()?;
        let key = self.cadence.likely_key()?;
        self.ends_segment(key - start).then(|| Moment::new(key, self.timescale()))
    }

    /// Numbers what is missing up to `end`, so that both renditions go on with the segment `next_msn`.
    pub fn fill_gaps(&mut self, next_msn: u64, end: Moment) {
        while self.rendition.next_msn() < next_msn {
            let from = Moment::new(self.closed_end.unwrap_or(0), self.timescale());
            self.rendition.push_gap(end.secs_since(from).clamp(0.0, self.target_secs()), self.clock.at(from));
        }
    }

    fn target_secs(&self) -> f64 {
        self.timescale().seconds(self.limits.target_duration)
    }

    /// Ends the open part and segment where they stand. Returns where that is.
    pub fn flush(&mut self) -> Option<Moment> {
        let last = self.last?;
        let length = self.cadence.shortest().unwrap_or(1).min(self.limits.part_target).max(1);
        let end = self.closed_end.unwrap_or(last.out + length);
        self.rendition.close_segment(end);
        self.closed_end = Some(end);
        Some(Moment::new(end, self.timescale()))
    }
}

/// Whether a picture that is shown before the keyframe it came behind may need what was decoded before that keyframe, as
/// in an open group of pictures. HEVC says it of each picture. In H.264 no picture is shown before the IDR that it follows
/// (§7.4.1.2.4), so the keyframe was another intra picture.
fn refers_back(frame: &Frame) -> bool {
    match &*frame.config {
        CodecConfig::H265(_) => h265_is_skipped_leading(&frame.payload),
        _ => true,
    }
}
