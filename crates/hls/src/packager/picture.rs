//! Video frames on their way into the lane, and what their keyframes say about the source.

use std::time::Instant;

use telstar_media::{Frame, MediaKind};

use super::{Effect, Packager, Warning};
use crate::config::{KEYFRAME_INTERVAL_WARN_SECS, REORDER_DELAY_MAX_SECS};
use crate::lane::{Boundary, Moment};

impl Packager {
    /// The frame with its decode time put off by what the epoch's first keyframe is shown after it is decoded.
    pub(super) fn put_off(&mut self, frame: &Frame) -> Frame {
        let Some(epoch) = &mut self.epoch else { return frame.clone() };
        if frame.key && epoch.reorder_delay.is_none() {
            let second = epoch.video.as_ref().map_or(0, |track| i64::from(track.timescale.hz()));
            epoch.reorder_delay = Some((frame.pts - frame.dts).clamp(0, REORDER_DELAY_MAX_SECS * second));
        }
        Frame { dts: frame.dts + epoch.reorder_delay.unwrap_or(0), ..frame.clone() }
    }

    pub(super) fn accept_video(&mut self, now: Instant, frame: &Frame) {
        let Some(video) = &self.video else {
            return self.accept_late_video(now, frame);
        };
        let timescale = video.rendition.timescale;
        let (dts, pts) = (self.shift(frame.dts, timescale), self.shift(frame.pts, timescale));
        let interval = video.interval_to(dts);
        if dts < 0 || interval.is_some_and(|ticks| ticks <= 0) {
            self.counters.frames_dropped += 1;
            return;
        }
        let target_secs = timescale.seconds(video.limits.target_duration);
        if let Some(ticks) = interval.filter(|&ticks| ticks > video.limits.target_duration) {
            // No segment may last so long: what comes next is a new stretch.
            let sound = video.last_moment().map_or_else(Vec::new, |last| self.take_held_beyond(last, target_secs));
            self.warn(Warning::TimestampsJump { seconds: timescale.seconds(ticks) });
            self.restart_stretch(now);
            self.accept(now, MediaKind::Video, frame);
            for frame in sound {
                self.accept(now, MediaKind::Audio, &frame);
            }
            return;
        }
        let sound_changes = self.sound_change_is_due(Moment::new(dts, timescale));
        if sound_changes {
            self.release_held(now);
        }
        let Some(video) = &self.video else { return };
        let new_config = *video.config != *frame.config;
        let init = if new_config { self.make_init(&frame.config, timescale) } else { None };
        let Some(video) = &mut self.video else { return };
        if new_config {
            video.config = frame.config.clone();
        }
        let has_init = init.is_some();
        if let Some(init) = init {
            video.rendition.add_init(init);
        }
        let outcome = video.push(frame, dts, pts, has_init, sound_changes);
        self.dirty |= outcome.changed;
        self.video_stalled = false;
        self.video_at = Some(now);
        if outcome.cut {
            self.counters.long_gop_cuts += 1;
            self.warn(Warning::LongGopCut);
        }
        if let Some(ticks) = outcome.gop_ticks {
            self.note_keyframe_interval(Some(timescale.seconds(ticks)));
        }
        if let Some(boundary) = outcome.boundary {
            // Pictures that the keyframe precedes and that are shown before it belong to the segment before: in order of showing
            // there is nothing open.
            let shown = if frame.key { Moment::new(pts, timescale) } else { boundary.at };
            self.bound_alternate(Boundary { at: shown, ..boundary });
        }
        match outcome.boundary {
            Some(boundary) if sound_changes => self.cut_for_sound_change(boundary),
            Some(boundary) => self.bound_audio(now, boundary),
            None => {}
        }
        self.release_held(now);
    }

    /// Video after an audio-only playlist began: from here on it decides where segments end.
    fn accept_late_video(&mut self, now: Instant, frame: &Frame) {
        if !frame.key {
            self.counters.frames_dropped += 1;
            return;
        }
        self.restart_stretch(now);
        self.accept_early(now, MediaKind::Video, frame);
    }

    /// Ends the stretch where it stands; the epoch goes on behind a discontinuity.
    pub(super) fn restart_stretch(&mut self, now: Instant) {
        self.flush(now);
        if let Some(epoch) = &mut self.epoch {
            epoch.running = false;
            epoch.clock = None;
        }
    }

    pub(super) fn note_keyframe_interval(&mut self, secs: Option<f64>) {
        // A change of less than a twentieth is not worth another message.
        const NOTABLE: f64 = 0.05;
        let Some(secs) = secs else { return };
        if secs <= KEYFRAME_INTERVAL_WARN_SECS {
            if self.warned_interval_secs.take().is_some() {
                self.effects.push_back(Effect::KeyframeIntervalMended);
            }
            return;
        }
        let notable = self.warned_interval_secs.is_none_or(|warned| (secs - warned).abs() > warned * NOTABLE);
        if notable {
            self.warned_interval_secs = Some(secs);
            self.warn(Warning::KeyframeInterval { seconds: secs });
        }
    }
}
