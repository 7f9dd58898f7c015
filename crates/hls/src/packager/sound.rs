//! Audio frames on their way into the lane: held while they are ahead of video, late, jumping, or outgrowing a segment.

use std::time::Instant;

use telstar_media::{Frame, MediaKind};
use telstar_units::{Timescale, TrackId};

use super::change::Step;
use super::{Packager, Warning};
use crate::audio::AudioLane;
use crate::config::{
    AUDIO_AHEAD_MAX, AUDIO_LEAD_MAX, HELD_FRAMES_MAX, SEGMENT_TOLERANCE, SOUND_STALL, TARGET_DURATION_SLACK,
    VIDEO_STALL,
};
use crate::lane::{Boundary, Moment, ticks};
use crate::video::VideoLane;

/// A frame of sound that waits.
#[derive(Debug)]
pub(super) struct Held {
    arrived: Instant,
    /// The track that it came from, which may be over.
    pub track: TrackId,
    pub timescale: Timescale,
    pub frame: Frame,
}

/// Whether sound still comes.
#[derive(Debug, Default)]
pub(super) struct SoundWatch {
    /// When the last of it came.
    at: Option<Instant>,
    /// When video ended the segment that sound has not ended.
    bound_at: Option<Instant>,
    /// Video goes on alone until sound comes back.
    missing: bool,
}

impl Packager {
    pub(super) fn accept_audio(&mut self, now: Instant, frame: &Frame) {
        self.sound_watch.at = Some(now);
        self.sound_watch.missing = false;
        let Some((track, _)) = self.track_and_clock(MediaKind::Audio) else { return };
        let (track, timescale, frame) = (track.id, track.timescale, frame.clone());
        self.held.push_back(Held { arrived: now, track, timescale, frame });
        self.release_held(now);
    }

    /// Video has ended a segment.
    pub(super) fn bound_audio(&mut self, now: Instant, boundary: Boundary) {
        let Some(audio) = &mut self.audio else { return };
        self.dirty |= audio.push_boundary(boundary);
        self.sound_watch.bound_at = audio.is_behind().then(|| self.sound_watch.bound_at.unwrap_or(now));
        if self.sound_watch.missing {
            self.go_on_without_sound();
        }
    }

    /// When video goes on without the sound that its last segment lacks.
    pub(super) fn sound_due(&self) -> Option<Instant> {
        let SoundWatch { at, bound_at, .. } = self.sound_watch;
        let is_behind = self.audio.as_ref().is_some_and(AudioLane::is_behind);
        at.max(bound_at).filter(|_| is_behind).map(|since| since + SOUND_STALL)
    }

    /// Numbers what is missing of the sound, so that a player goes on with the picture.
    pub(super) fn go_on_without_sound(&mut self) {
        self.sound_watch.missing = true;
        if let Some(audio) = &mut self.audio {
            audio.take_boundaries();
            self.dirty = true;
        }
    }

    /// When the oldest sound that waits goes on without video.
    pub(super) fn held_due(&self) -> Option<Instant> {
        let held = self.held.front()?;
        // A change waits for video to end its segment, for as long as video comes.
        let since = self.video_at.filter(|_| self.is_other_sound(held)).map_or(held.arrived, |at| at.max(held.arrived));
        Some(since + VIDEO_STALL)
    }

    /// Sends on the audio that is not ahead of video.
    pub(super) fn release_held(&mut self, now: Instant) {
        while let Some(held) = self.held.front().filter(|_| self.is_running()) {
            let wait = self.is_ahead_of_video(held) && !self.video_stalled && self.held.len() <= HELD_FRAMES_MAX;
            let step = if wait { Step::Wait } else { self.next_step(held) };
            if step == Step::Wait {
                return;
            }
            let Some(held) = self.held.pop_front() else { return };
            let usable = match step {
                Step::Pass => {
                    self.resume_old_sound();
                    true
                }
                Step::Convert { forced } => self.convert_sound(&held, forced),
                Step::Drop | Step::Wait => false,
            };
            if usable {
                self.pass_audio(now, &held.frame);
            } else {
                self.counters.frames_dropped += 1;
            }
        }
    }

    fn is_ahead_of_video(&self, held: &Held) -> bool {
        let Some(video) = &self.video else { return false };
        let Some(last) = video.last_moment() else { return true };
        let at = self.moment_of(held);
        // What lies beyond the next boundary must not be written before it is known.
        let beyond = video.likely_boundary().is_some_and(|likely| at.is_at_or_after(likely));
        beyond || at.secs_since(last) > AUDIO_AHEAD_MAX.as_secs_f64()
    }

    /// Takes back the waiting sound that is more than `secs` after `last`: it came first from behind a jump.
    pub(super) fn take_held_beyond(&mut self, last: Moment, secs: f64) -> Vec<Frame> {
        let beyond = self.held.iter().position(|held| self.moment_of(held).secs_since(last) > secs);
        let Some(beyond) = beyond else { return Vec::new() };
        let track = self.track_and_clock(MediaKind::Audio).map(|(track, _)| track.id);
        let taken = self.held.split_off(beyond).into_iter();
        taken.filter(|held| Some(held.track) == track).map(|held| held.frame).collect()
    }

    fn pass_audio(&mut self, now: Instant, frame: &Frame) {
        if self.audio.is_none() && !self.begin_late_audio(frame) {
            self.counters.frames_dropped += 1;
            return;
        }
        let Some(timescale) = self.audio.as_ref().map(|audio| audio.rendition.timescale) else { return };
        let dts = self.shift(frame.dts, timescale);
        if !self.audio_is_usable(Moment::new(dts, timescale)) {
            self.counters.frames_dropped += 1;
            return;
        }
        if self.video.is_none() && self.audio_jumps(now, dts, timescale) {
            return self.accept_early(now, MediaKind::Audio, frame);
        }
        self.force_boundary_if_due(Moment::new(dts, timescale));
        let expected = self.video.as_ref().and_then(VideoLane::likely_boundary);
        let Some(audio) = &mut self.audio else { return };
        self.dirty |= audio.push(frame, dts);
        audio.expect_boundary(expected);
    }

    /// In order, and neither long before the picture begins nor from a time that was given up as a gap.
    fn audio_is_usable(&self, at: Moment) -> bool {
        let Some(audio) = &self.audio else { return false };
        let in_order = audio.last_dts().is_none_or(|last| at.ticks > last);
        let lead_max = if audio.last_dts().is_none() { AUDIO_LEAD_MAX } else { SEGMENT_TOLERANCE };
        let begins = self.video.is_some() && audio.rendition.open_segment().is_none();
        let early = begins && audio.segment_from().secs_since(at) > lead_max.as_secs_f64();
        at.ticks >= 0 && in_order && !early
    }

    /// Audio alone: a jump of more than a target duration begins a new stretch.
    fn audio_jumps(&mut self, now: Instant, dts: i64, timescale: Timescale) -> bool {
        let Some(audio) = &self.audio else { return false };
        let jump = audio.last_dts().map(|last| dts - last).filter(|&ticks| ticks > audio.limits.target_duration);
        if let Some(ticks) = jump {
            self.warn(Warning::TimestampsJump { seconds: timescale.seconds(ticks) });
            self.restart_stretch(now);
        }
        jump.is_some()
    }

    /// Audio that first comes while the playlist runs: a rendition that begins with the segment video is in.
    fn begin_late_audio(&mut self, frame: &Frame) -> bool {
        let Some(target_duration_secs) = self.target_duration_secs else { return false };
        let Some(place) = self.video.as_ref().map(|video| video.rendition.joining_place()) else { return false };
        self.make_audio_lane(None, frame, place, target_duration_secs);
        self.dirty |= self.audio.is_some();
        self.audio.is_some()
    }

    /// Audio outgrows its segment because video has stopped: both go on to the next.
    fn force_boundary_if_due(&mut self, at: Moment) {
        let Some(audio) = self.audio.as_ref().filter(|_| self.video.is_some()) else { return };
        let limit = audio.limits.target_duration + ticks(TARGET_DURATION_SLACK, at.timescale);
        let due = audio.rendition.segment_start().is_some_and(|start| at.ticks - start > limit);
        if due {
            self.force_boundary(false);
        }
    }

    pub(super) fn force_boundary(&mut self, discontinuity: bool) {
        let Some(audio) = &mut self.audio else { return };
        let at = audio.end().unwrap_or(audio.segment_from());
        match &mut self.video {
            Some(video) => {
                let from = audio.segment_from();
                let mut video_end = None;
                if video.rendition.open_segment().is_some() {
                    video_end = video.flush();
                } else {
                    video.rendition.push_gap(at.secs_since(from).max(0.0), video.clock.at(from));
                }
                if discontinuity {
                    video.rendition.discontinuity_next();
                }
                audio.push_boundary(Boundary { at, discontinuity });
                self.bound_alternate(Boundary { at: video_end.unwrap_or(at), discontinuity });
            }
            None => {
                audio.rendition.close_segment(at.ticks);
                audio.rendition.discontinuity_next();
            }
        }
        self.dirty = true;
    }
}
