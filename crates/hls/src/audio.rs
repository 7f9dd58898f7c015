//! The audio lane: frames of known duration, cut where video is cut.
//!
//! Audio never waits for a successor: each frame says how long it lasts, so a part leaves with its last frame.
//! Times are the source's, exactly. With video in the room its segments end at the first frame at or after each video
//! boundary; alone, it cuts itself.

use std::collections::VecDeque;
use std::sync::Arc;

use telstar_media::{CodecConfig, Frame};
use telstar_units::{Timescale, TrackId};

use crate::config::BOUNDARIES_MAX;
use crate::lane::{Boundary, Limits, Moment, WallClock};
use crate::rendition::Rendition;
use crate::segment::Sample;

#[derive(Debug)]
pub(crate) struct AudioLane {
    /// Whose frames it takes.
    pub track: TrackId,
    pub rendition: Rendition,
    pub limits: Limits,
    pub clock: WallClock,
    pub config: Arc<CodecConfig>,
    /// There is no video: it cuts its own segments.
    alone: bool,
    /// Ends of video segments that audio has not reached.
    boundaries: VecDeque<Boundary>,
    /// Where the segment before ended for video, to measure a gap by.
    segment_from: Moment,
    last_dts: Option<i64>,
    /// Where the last frame ends.
    end: Option<i64>,
}

impl AudioLane {
    /// `from` is where its first segment begins for video.
    pub fn new(
        track: TrackId,
        rendition: Rendition,
        limits: Limits,
        clock: WallClock,
        config: Arc<CodecConfig>,
        alone: bool,
        from: Moment,
    ) -> AudioLane {
        AudioLane {
            track,
            rendition,
            limits,
            clock,
            config,
            alone,
            boundaries: VecDeque::new(),
            segment_from: from,
            last_dts: None,
            end: None,
        }
    }

    /// Goes on with other sound, from the next segment on. The one before is over.
    pub fn convert(&mut self, track: TrackId, timescale: Timescale, limits: Limits, config: Arc<CodecConfig>) {
        if let Some(end) = self.end {
            self.rendition.close_segment(end);
        }
        let place = self.rendition.place();
        self.rendition.resume(place, timescale);
        (self.track, self.limits, self.config) = (track, limits, config);
        (self.last_dts, self.end) = (None, None);
    }

    fn timescale(&self) -> Timescale {
        self.rendition.timescale
    }

    fn moment(&self, ticks: i64) -> Moment {
        Moment::new(ticks, self.timescale())
    }

    pub fn last_dts(&self) -> Option<i64> {
        self.last_dts
    }

    /// Where the last frame ends.
    pub fn end(&self) -> Option<Moment> {
        self.end.map(|end| self.moment(end))
    }

    /// Where the open segment began for video, or for itself when there is none.
    pub fn segment_from(&self) -> Moment {
        self.segment_from
    }

    /// Takes the next frame. Returns whether a playlist shows a change.
    pub fn push(&mut self, frame: &Frame, dts: i64) -> bool {
        let mut changed = self.reach(self.moment(dts));
        let length = i64::from(frame.duration).max(1);
        // A jump forward: the part ends where the sound did, unless the silence fits into it.
        if let (Some(end), Some(start)) = (self.end, self.rendition.part_start())
            && dts + length - start > self.limits.part_target
        {
            self.rendition.close_part(end.min(dts));
            changed = true;
        }
        if self.rendition.open_segment().is_none() {
            let wall = self.clock.at(self.moment(dts));
            self.rendition.begin_segment(dts, wall, true);
        }
        self.rendition.push(Sample { dts, pts: dts, sync: true, payload: frame.payload.clone() });
        self.last_dts = Some(dts);
        let end = dts + length;
        self.end = Some(end);
        changed |= self.reach(self.moment(end));
        changed | self.close_full(end, length)
    }

    /// A video segment ended.
    pub fn push_boundary(&mut self, boundary: Boundary) -> bool {
        self.boundaries.push_back(boundary);
        let mut changed = self.end.is_some_and(|end| self.reach(self.moment(end)));
        while self.boundaries.len() > BOUNDARIES_MAX {
            changed |= self.take_boundary();
        }
        changed
    }

    /// Ends the segments whose boundaries lie at or before `moment`.
    fn reach(&mut self, moment: Moment) -> bool {
        let mut changed = false;
        while self.boundaries.front().is_some_and(|boundary| moment.is_at_or_after(boundary.at)) {
            changed |= self.take_boundary();
        }
        changed
    }

    /// Video has ended a segment that sound has not.
    pub fn is_behind(&self) -> bool {
        !self.boundaries.is_empty()
    }

    /// Ends every segment that video has ended.
    pub fn take_boundaries(&mut self) {
        while self.take_boundary() {}
    }

    fn take_boundary(&mut self) -> bool {
        let Some(boundary) = self.boundaries.pop_front() else { return false };
        match self.end.filter(|_| self.rendition.open_segment().is_some()) {
            Some(end) => self.rendition.close_segment(end),
            None => {
                let secs = boundary.at.secs_since(self.segment_from).max(0.0);
                self.rendition.push_gap(secs, self.clock.at(self.segment_from));
            }
        }
        self.segment_from = boundary.at;
        if boundary.discontinuity {
            self.rendition.discontinuity_next();
        }
        true
    }

    /// Closes the part that ends at `end` if no further frame fits; alone, also the segment that is long enough.
    fn close_full(&mut self, end: i64, length: i64) -> bool {
        let Some(segment_start) = self.rendition.segment_start() else { return false };
        if self.alone && end - segment_start >= self.limits.segment_min {
            self.rendition.close_segment(end);
            self.segment_from = self.moment(end);
            return true;
        }
        let full = self.rendition.part_start().is_some_and(|start| end + length - start > self.limits.part_target);
        if full {
            self.rendition.close_part(end);
        }
        full
    }

    /// Says which segment the next part belongs to, from where video is expected to end its own.
    pub fn expect_boundary(&mut self, expected: Option<Moment>) {
        let Some(end) = self.end else { return };
        let part_open = self.rendition.part_start().is_some();
        let ends = expected.is_some_and(|expected| self.moment(end).is_at_or_after(expected));
        self.rendition.hint_next_segment = ends && !part_open && self.rendition.open_segment().is_some();
    }

    /// Ends everything where it stands, with as many segments as video has. `end` is where video ended.
    pub fn flush(&mut self, next_msn: u64, video_end: Option<Moment>) {
        self.take_boundaries();
        if let Some(end) = self.end {
            self.rendition.close_segment(end);
        }
        while self.rendition.next_msn() < next_msn {
            let target_secs = self.timescale().seconds(self.limits.target_duration);
            let secs = video_end.map_or(0.0, |end| end.secs_since(self.segment_from).clamp(0.0, target_secs));
            self.rendition.push_gap(secs, self.clock.at(self.segment_from));
        }
    }
}
