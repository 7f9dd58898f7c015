//! The lane of the alternate: the same pictures in another codec, cut where the first rendition is cut.
//!
//! A worker makes them, so that they come later than the first rendition's, and each keyframe of the source stands alone here,
//! too. Presentation times are the source's, exactly. Segments end where the first rendition's next one begins to be shown, so
//! that both list the same durations, but for what an open group of pictures shows before its keyframe. What does not come in
//! time, or stops coming, is a gap under the number that it would have had.

use std::collections::VecDeque;
use std::sync::Arc;

use telstar_media::{CodecConfig, Frame};
use telstar_units::{Timescale, rescale};

use crate::cadence::Cadence;
use crate::config::BOUNDARIES_MAX;
use crate::lane::{Boundary, Limits, Moment, WallClock};
use crate::rendition::{Init, Place, Rendition};
use crate::segment::Sample;

#[derive(Debug)]
pub(crate) struct FollowLane {
    pub rendition: Rendition,
    limits: Limits,
    clock: WallClock,
    /// What its samples are; `None` before the first.
    config: Option<Arc<CodecConfig>>,
    cadence: Cadence,
    /// Ends of the first rendition's segments that it has not reached.
    boundaries: VecDeque<Boundary>,
    /// Where the first rendition began the segment that this one is in, or will be.
    segment_from: Moment,
    /// Nothing was listed yet: what is missing before the first picture is not listed as gaps.
    begins: bool,
    /// Pictures are missing: what follows cannot be decoded before the next keyframe at the beginning of a segment.
    waits_for_key: bool,
    last: Option<i64>,
}

/// What a frame needs before it can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It is taken.
    Nothing,
    /// An init segment of its own.
    Init,
    /// It cannot be used.
    Drop,
}

impl FollowLane {
    /// `from` is where the first rendition began the segment that the rendition stands at.
    pub fn new(rendition: Rendition, limits: Limits, clock: WallClock, from: Moment) -> FollowLane {
        FollowLane {
            cadence: Cadence::new(rendition.timescale),
            rendition,
            limits,
            clock,
            config: None,
            boundaries: VecDeque::new(),
            segment_from: from,
            begins: true,
            waits_for_key: true,
            last: None,
        }
    }

    /// Goes on at `place`, in another stretch of the timeline. It was flushed.
    pub fn resume(&mut self, place: Place, limits: Limits, clock: WallClock, from: Moment) {
        self.rendition.resume(place, self.rendition.timescale);
        (self.limits, self.clock, self.segment_from) = (limits, clock, from);
        self.cadence = Cadence::new(self.rendition.timescale);
        (self.waits_for_key, self.last) = (true, None);
    }

    /// No frame comes for now.
    pub fn pause(&mut self) {
        if let Some(last) = self.last {
            self.rendition.close_part(last + self.frame_ticks());
        }
        self.waits_for_key = true;
    }

    fn timescale(&self) -> Timescale {
        self.rendition.timescale
    }

    fn moment(&self, ticks: i64) -> Moment {
        Moment::new(ticks, self.timescale())
    }

    fn ticks(&self, moment: Moment) -> i64 {
        rescale(moment.ticks, moment.timescale, self.timescale())
    }

    fn frame_ticks(&self) -> i64 {
        self.cadence.shortest().unwrap_or(1).max(1)
    }

    /// What a frame at `dts` needs. Ends the segments that lie before it.
    pub fn look_at(&mut self, frame: &Frame, dts: i64) -> Wish {
        let is_behind = self.last.is_some_and(|last| dts <= last) || dts < self.ticks(self.segment_from);
        if is_behind {
            return Wish::Drop;
        }
        self.reach(dts);
        let is_known = self.config.as_deref() == Some(&*frame.config);
        // In the middle of a segment nothing else can begin.
        let at_start = self.rendition.open_segment().is_none();
        self.waits_for_key |= !is_known && !at_start;
        if !self.waits_for_key {
            return if is_known { Wish::Nothing } else { Wish::Init };
        }
        let is_whole = dts - self.ticks(self.segment_from) <= self.limits.jump_min;
        match frame.key && at_start && is_whole {
            true if is_known => Wish::Nothing,
            true => Wish::Init,
            false => Wish::Drop,
        }
    }

    /// From the next segment on, samples are these.
    pub fn add_init(&mut self, init: Init, config: &Arc<CodecConfig>) {
        self.rendition.add_init(init);
        self.config = Some(Arc::clone(config));
    }

    /// Takes a frame that [`FollowLane::look_at`] lets in, in the order in which frames are shown. Returns whether a playlist
    /// shows a change.
    pub fn push(&mut self, frame: &Frame, dts: i64) -> bool {
        self.cadence.observe(dts, frame.key);
        (self.begins, self.waits_for_key) = (false, false);
        let mut out = self.decode_time(dts);
        let mut changed = false;
        if self.rendition.open_segment().is_none() {
            let from = self.ticks(self.segment_from);
            out = if dts - from > self.limits.jump_min { dts } else { from };
            out = out.max(self.last.map_or(i64::MIN, |last| last + 1));
            self.rendition.begin_segment(out, self.clock.at(self.moment(out)), frame.key);
            // The segment before has its last part now.
            changed = true;
        } else if self.overfills_part(out) {
            self.rendition.close_part(out);
            changed = true;
        }
        self.rendition.push(Sample { dts: out, pts: dts, sync: frame.key, payload: frame.payload.clone() });
        self.last = Some(out);
        changed
    }

    /// As the first lane does: a late frame does not stretch a part beyond the part target.
    fn decode_time(&self, dts: i64) -> i64 {
        let part_end = self.rendition.part_start().map(|start| start + self.limits.part_target);
        let out = part_end.filter(|end| dts - end <= self.limits.decode_early_max).map_or(dts, |end| end.min(dts));
        out.max(self.last.map_or(i64::MIN, |last| last + 1))
    }

    /// A frame at `out` would carry the open part over the part target.
    fn overfills_part(&self, out: i64) -> bool {
        let length = self.cadence.shortest().unwrap_or(0);
        self.rendition.part_start().is_some_and(|start| out + length - start > self.limits.part_target)
    }

    /// The first rendition has ended a segment. Returns whether a playlist shows a change.
    pub fn push_boundary(&mut self, boundary: Boundary) -> bool {
        self.boundaries.push_back(boundary);
        let mut changed = false;
        while self.boundaries.len() > BOUNDARIES_MAX {
            changed = true;
            // What comes of it after all is of the past.
            self.waits_for_key = true;
            self.take_boundary();
        }
        changed
    }

    /// Ends the segments whose boundaries lie at or before a time.
    fn reach(&mut self, dts: i64) {
        while self.boundaries.front().is_some_and(|boundary| self.moment(dts).is_at_or_after(boundary.at)) {
            self.take_boundary();
        }
    }

    fn take_boundary(&mut self) {
        let Some(boundary) = self.boundaries.pop_front() else { return };
        let end = self.ticks(boundary.at);
        if self.rendition.open_segment().is_some() {
            let starts = self.rendition.part_start();
            if let (Some(last), true) = (self.last, starts.is_some_and(|start| end - start > self.limits.part_target)) {
                // Pictures are missing before the boundary.
                self.rendition.close_part(end.min(last + self.frame_ticks()));
            }
            self.rendition.close_segment(end.max(self.last.map_or(i64::MIN, |last| last + 1)));
        } else {
            self.lack(boundary.at);
        }
        self.segment_from = boundary.at;
        if boundary.discontinuity {
            self.rendition.discontinuity_next();
        }
    }

    /// Numbers what is missing of the first rendition's segment that ends at `end`.
    fn lack(&mut self, end: Moment) {
        if self.begins {
            return self.rendition.skip_segment();
        }
        let target_secs = self.timescale().seconds(self.limits.target_duration + self.limits.slack);
        let secs = end.secs_since(self.segment_from).clamp(0.0, target_secs);
        self.rendition.push_gap(secs, self.clock.at(self.segment_from));
    }

    /// Ends everything where it stands, with as many segments as the first rendition has. `end` is where that ended.
    pub fn flush(&mut self, next_msn: u64, end: Option<Moment>) {
        while !self.boundaries.is_empty() {
            self.take_boundary();
        }
        let known_end = end.map(|end| self.ticks(end));
        if let Some(last) = self.last.filter(|_| self.rendition.open_segment().is_some()) {
            self.rendition.close_segment(known_end.unwrap_or(last + self.frame_ticks()).max(last + 1));
        }
        while self.rendition.next_msn() < next_msn {
            self.lack(end.unwrap_or(self.segment_from));
        }
        self.waits_for_key = true;
    }
}
