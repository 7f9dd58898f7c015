//! The alternate: the pictures once more in a codec that every player takes, beside one that not all do.
//!
//! A worker makes it of what the first rendition has, only while somebody asks for playlists, so that it comes and goes while
//! the listing goes on. It is never kept on disk: who goes back further than memory does needs the first rendition.

use std::time::Instant;

use telstar_media::{Codec, Frame, MediaKind, TrackInfo};
use telstar_units::TrackId;

use super::Packager;
use crate::config::ALTERNATE_WAIT;
use crate::follower::{FollowLane, Wish};
use crate::lane::{Boundary, Limits, Moment};
use crate::rendition::{Place, Rendition};
use crate::snapshot::State;

/// What is known of the alternate.
#[derive(Debug, Default)]
pub(super) struct Alternate {
    /// Since when it is wanted.
    wanted: Option<Instant>,
    /// It did not come in time; nobody waits for it any more.
    given_up: bool,
    /// Whose frames it takes.
    track: Option<TrackInfo>,
    pub lane: Option<FollowLane>,
}

impl Packager {
    /// Whether somebody wants a rendition that every player takes. Not any more: it leaves the multivariant playlist, and what
    /// it had is forgotten.
    pub fn want_alternate(&mut self, now: Instant, wanted: bool) {
        if self.alternate.wanted.is_some() == wanted {
            return;
        }
        (self.alternate.wanted, self.alternate.given_up, self.alternate.lane) = (wanted.then_some(now), false, None);
        self.dirty = true;
        self.publish(now);
    }

    /// A worker makes this of the picture; `None`: it does not any more, but another may.
    pub fn set_alternate(&mut self, now: Instant, track: Option<TrackInfo>) {
        self.alternate.track = track;
        // The rendition goes on at the next keyframe that begins a segment.
        if let Some(lane) = &mut self.alternate.lane {
            lane.pause();
            self.dirty = true;
        }
        self.publish(now);
    }

    pub(super) fn is_alternate(&self, track: TrackId) -> bool {
        self.alternate.track.as_ref().is_some_and(|known| known.id == track)
    }

    /// Some players lack the picture's codec, and the rendition for them is not listed, but may be in a moment.
    pub(super) fn lacks_alternate(&self) -> bool {
        let is_lacked = |codec| !matches!(codec, Codec::H264);
        let is_needed = self.video.as_ref().is_some_and(|video| is_lacked(video.config.codec()));
        self.config.h264_beside
            && self.state == State::Live
            && is_needed
            && !self.alternate.given_up
            && self.listed_alternate().is_none()
    }

    pub(super) fn alternate_due(&self) -> Option<Instant> {
        let wait = self.alternate.wanted.filter(|_| self.lacks_alternate());
        wait.map(|since| since + ALTERNATE_WAIT)
    }

    pub(super) fn give_up_alternate_if_due(&mut self, now: Instant) {
        if self.alternate_due().is_some_and(|due| due <= now) {
            self.alternate.given_up = true;
            self.dirty = true;
        }
    }

    /// Once it has a whole segment, because players that know no parts begin with one.
    pub(super) fn listed_alternate(&self) -> Option<&FollowLane> {
        self.alternate.lane.as_ref().filter(|lane| lane.rendition.shelf.oldest().is_some())
    }

    pub(super) fn alternate_rendition(&self) -> Option<&Rendition> {
        self.alternate.lane.as_ref().map(|lane| &lane.rendition)
    }

    pub(super) fn accept_alternate(&mut self, frame: &Frame) {
        if self.alternate.wanted.is_none() || !self.is_running() {
            return;
        }
        if self.alternate.lane.is_none() {
            self.begin_alternate();
        }
        let Some(timescale) = self.alternate_rendition().map(|rendition| rendition.timescale) else { return };
        let dts = self.shift(frame.dts, timescale);
        let Some(lane) = &mut self.alternate.lane else { return };
        match lane.look_at(frame, dts) {
            Wish::Nothing => {}
            Wish::Drop => return,
            Wish::Init => {
                let Some(init) = self.make_init(&frame.config, timescale) else { return };
                if let Some(lane) = &mut self.alternate.lane {
                    lane.add_init(init, &frame.config);
                }
            }
        }
        if let Some(lane) = &mut self.alternate.lane {
            self.dirty |= lane.push(frame, dts);
        }
    }

    /// The picture has ended a segment.
    pub(super) fn bound_alternate(&mut self, boundary: Boundary) {
        if let Some(lane) = &mut self.alternate.lane {
            self.dirty |= lane.push_boundary(boundary);
        }
    }

    /// Joins the segment that the picture is in.
    fn begin_alternate(&mut self) {
        let (Some(track), Some(video)) = (&self.alternate.track, &self.video) else { return };
        let Some(from) = video.rendition.segment_start() else { return };
        let (place, from) = (video.rendition.joining_place(), Moment::new(from, video.rendition.timescale));
        let part_target_ms = video.rendition.part_target_ms;
        let clock = video.clock;
        let mut rendition = Rendition::new(MediaKind::Video, track.timescale, place, self.budget.clone(), None);
        rendition.set_part_target(part_target_ms);
        let limits = self.alternate_limits(&rendition);
        self.alternate.lane = Some(FollowLane::new(rendition, limits, clock, from));
    }

    fn alternate_limits(&self, rendition: &Rendition) -> Limits {
        let target_duration_secs = self.target_duration_secs.unwrap_or(0);
        Limits::new(&self.config, rendition.timescale, target_duration_secs, rendition.part_target_ms)
    }

    /// Another stretch begins at `place`, with the picture's first keyframe at `from`.
    pub(super) fn resume_alternate(&mut self, place: Place, from: Option<Moment>) {
        let Some(mut lane) = self.alternate.lane.take() else { return };
        let (Some(video), Some(from)) = (&self.video, from) else { return };
        let clock = video.clock;
        lane.rendition.set_part_target(video.rendition.part_target_ms);
        let limits = self.alternate_limits(&lane.rendition);
        lane.resume(place, limits, clock, from);
        self.alternate.lane = Some(lane);
    }
}
