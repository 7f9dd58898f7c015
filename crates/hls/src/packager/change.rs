//! Sound that becomes another: other parameters, another clock, another codec.
//!
//! Another init segment needs a discontinuity in every rendition (RFC 8216bis §4.4.4.3), and behind a discontinuity a
//! browser shows no picture before the next keyframe. So the new sound is held until video ends its segment at a keyframe,
//! and what of it comes before is not heard. Without video, or while it stands still, the change is made at once.

use telstar_media::Frame;

use super::Packager;
use super::sound::Held;
use crate::audio::AudioLane;
use crate::config::HELD_FRAMES_MAX;
use crate::lane::{Boundary, Limits, Moment};

/// How far a change of sound has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum SoundChange {
    None,
    /// The track was replaced: the next keyframe ends the segment.
    Wanted,
    /// Both renditions stand behind the discontinuity, video from here on.
    Cut(Moment),
}

/// What to do with the oldest sound that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It fits what is written.
    Pass,
    Wait,
    Drop,
    /// It is the new sound: go over to it.
    Convert {
        /// No boundary was made for it.
        forced: bool,
    },
}

impl Packager {
    /// The audio track was replaced.
    pub(super) fn expect_sound_change(&mut self) {
        if self.audio.is_some() {
            self.sound_change = SoundChange::Wanted;
        } else {
            self.held.clear();
        }
    }

    /// It does not fit the init segment that sound is written under now.
    pub(super) fn is_other_sound(&self, held: &Held) -> bool {
        let Some(audio) = &self.audio else { return false };
        audio.track != held.track || *audio.config != *held.frame.config
    }

    /// Sound waits, or was announced, for which video should end its segment at `at`.
    pub(super) fn sound_change_is_due(&self, at: Moment) -> bool {
        match self.sound_change {
            SoundChange::Wanted => true,
            SoundChange::Cut(_) => false,
            SoundChange::None => {
                let first = self.held.iter().find(|held| self.is_other_sound(held));
                first.is_some_and(|held| at.is_at_or_after(self.moment_of(held)))
            }
        }
    }

    /// The old sound goes on behind the boundary after all: the new sound needs another one.
    pub(super) fn resume_old_sound(&mut self) {
        if let SoundChange::Cut(_) = self.sound_change {
            self.sound_change = SoundChange::None;
        }
    }

    /// Video has ended its segment for a change of sound: so does sound.
    pub(super) fn cut_for_sound_change(&mut self, boundary: Boundary) {
        if let Some(audio) = &mut self.audio {
            audio.push_boundary(boundary);
            audio.take_boundaries();
            self.sound_change = SoundChange::Cut(boundary.at);
            self.dirty = true;
        }
    }

    pub(super) fn next_step(&self, held: &Held) -> Step {
        let is_other = self.is_other_sound(held);
        match self.sound_change {
            SoundChange::Cut(at) if at.is_at_or_after(self.end_of(held)) => Step::Drop,
            SoundChange::Cut(_) if is_other => Step::Convert { forced: false },
            // The last of the old sound: a segment cannot hold both.
            SoundChange::Cut(_) if self.held.iter().any(|later| self.is_other_sound(later)) => Step::Drop,
            SoundChange::Cut(_) if self.is_replaced() => Step::Drop,
            _ if !is_other => Step::Pass,
            _ if self.video.is_none() || self.video_stalled || self.held.len() > HELD_FRAMES_MAX => {
                Step::Convert { forced: true }
            }
            _ => Step::Wait,
        }
    }

    /// Sound is written for a track that is over.
    fn is_replaced(&self) -> bool {
        let track = self.epoch.as_ref().and_then(|epoch| epoch.audio.as_ref()).map(|track| track.id);
        self.audio.as_ref().is_some_and(|audio| Some(audio.track) != track)
    }

    /// Goes over to the sound of `held`. Returns whether it can be carried.
    pub(super) fn convert_sound(&mut self, held: &Held, forced: bool) -> bool {
        let Some(init) = self.make_init(&held.frame.config, held.timescale) else {
            // The sound is over; what waits, and what comes of this track, is counted as surplus.
            self.counters.frames_dropped += self.held.len() as u64;
            self.held.clear();
            if let Some(epoch) = &mut self.epoch {
                epoch.audio = None;
            }
            return false;
        };
        if forced {
            // Boundaries that the old sound has not reached, it never will.
            self.audio.as_mut().map(AudioLane::take_boundaries);
            self.force_boundary(true);
            self.audio.as_mut().map(AudioLane::take_boundaries);
        }
        self.sound_change = SoundChange::None;
        let part_target_ms = self.audio_part_target_ms(&held.frame, held.timescale);
        let target_duration_secs = self.target_duration_secs.unwrap_or(0);
        let limits = Limits::new(&self.config, held.timescale, target_duration_secs, part_target_ms);
        if let Some(audio) = &mut self.audio {
            audio.convert(held.track, held.timescale, limits, held.frame.config.clone());
            audio.rendition.add_init(init);
            audio.rendition.set_part_target(part_target_ms);
        }
        true
    }

    pub(super) fn moment_of(&self, held: &Held) -> Moment {
        Moment::new(self.shift(held.frame.dts, held.timescale), held.timescale)
    }

    fn end_of(&self, held: &Held) -> Moment {
        let Frame { dts, duration, .. } = held.frame;
        Moment::new(self.shift(dts + i64::from(duration), held.timescale), held.timescale)
    }
}
