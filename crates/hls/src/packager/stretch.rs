//! Beginning a stretch of the timeline: keeping the first frames back, fixing what the first playlist fixes, making lanes.

use std::time::{Duration, Instant};

use telstar_media::{CodecConfig, Frame, MediaKind, TrackInfo};
use telstar_units::Timescale;

use super::{Packager, Warning};
use crate::audio::AudioLane;
use crate::config::{DvrWindow, PART_FILL_MIN, PART_TARGET_SLACK};
use crate::lane::{Limits, Moment, WallClock};
use crate::multivariant::CodecFacts;
use crate::prelude::{Goal, Prelude};
use crate::rendition::{Init, Place, Rendition};
use crate::snapshot::State;
use crate::video::VideoLane;
use telstar_fmp4::{InitError, init_segment};

impl Packager {
    pub(super) fn accept_early(&mut self, now: Instant, kind: MediaKind, frame: &Frame) {
        let Some(epoch) = &mut self.epoch else { return };
        let Some(timescale) = epoch.track(kind).as_ref().map(|track| track.timescale) else { return };
        if !self.prelude.push(&self.config, kind, timescale, frame) {
            self.counters.frames_dropped += 1;
            return;
        }
        let (has_video, has_audio) = (epoch.video.is_some(), epoch.audio.is_some());
        let gop_max = Duration::from_secs(self.target_duration_secs.filter(|_| self.continues).unwrap_or(0));
        let goal = Goal { first: !self.continues, has_video, has_audio, gop_max };
        let moment = Moment::new(frame.dts, timescale);
        epoch.clock.get_or_insert(WallClock {
            wall: epoch.anchor.plus_micros(now.saturating_duration_since(epoch.anchored).as_micros() as i64),
            media_micros: moment.micros(),
        });
        if self.prelude.is_ready(&self.config, goal) {
            self.begin_stretch(now);
        }
    }

    /// Fixes what the first playlist fixes, makes the lanes and sends the kept frames through them.
    pub(super) fn begin_stretch(&mut self, now: Instant) {
        let Some(mut epoch) = self.epoch.take() else { return };
        let found = self.prelude.target_duration_secs(&self.config).max(self.target_duration_secs_min);
        let target_duration_secs = self.target_duration_secs.unwrap_or(found);
        self.target_duration_secs = Some(target_duration_secs);
        let video_hz = epoch.video.as_ref().map_or(1, |track| track.timescale.hz());
        let lead_secs = epoch.reorder_delay.unwrap_or(0) as f64 / f64::from(video_hz);
        let shift = *epoch.shift_secs.get_or_insert((-self.prelude.earliest_secs(lead_secs)).ceil() as i64);
        if let Some(clock) = &mut epoch.clock {
            clock.media_micros += shift * 1_000_000;
        }
        if !self.continues {
            self.is_event = self.disk.is_some() && self.config.dvr_window == DvrWindow::Event;
        }
        self.next.discontinuity |= self.continues;
        self.epoch = Some(epoch);
        let before: Vec<MediaKind> = self.renditions().map(|rendition| rendition.kind).collect();
        self.begin_video_lane(target_duration_secs);
        self.resume_alternate(self.next, self.prelude.video_start().map(|start| self.shifted_moment(start)));
        self.begin_audio_lane(target_duration_secs);
        self.discard_missing(&before);
        if self.video.is_none() && self.audio.is_none() {
            // Neither track can be carried; the frames are of no use.
            self.prelude = Prelude::default();
            return;
        }
        self.note_keyframe_interval(self.prelude.keyframe_interval_secs());
        if let Some(epoch) = &mut self.epoch {
            epoch.running = true;
        }
        self.continues = true;
        self.set_state(State::Live);
        self.dirty = true;
        for (kind, frame) in self.prelude.take_sorted() {
            self.accept(now, kind, &frame);
        }
    }

    fn begin_video_lane(&mut self, target_duration_secs: u64) {
        let previous = self.take_rendition(MediaKind::Video);
        let (Some(frame), Some(interval)) = (self.prelude.first(MediaKind::Video), self.prelude.interval()) else {
            return;
        };
        let config = frame.config.clone();
        let Some((track, clock)) = self.track_and_clock(MediaKind::Video) else { return };
        let Some(init) = self.make_init(&config, track.timescale) else {
            return self.leave_out(MediaKind::Video);
        };
        let interval_secs = interval.ticks / f64::from(track.timescale.hz());
        let old_target_ms = previous.as_ref().map(|rendition| rendition.part_target_ms);
        let part_target_ms = self.video_part_target_ms(interval_secs, old_target_ms);
        let mut rendition = self.continue_rendition(previous, MediaKind::Video, track.timescale);
        rendition.add_init(init);
        rendition.set_part_target(part_target_ms);
        rendition.set_decode_lead(self.epoch.as_ref().and_then(|epoch| epoch.reorder_delay).unwrap_or(0));
        self.frame_rate = Some((1_000.0 / interval_secs).round() / 1_000.0).filter(|rate| rate.is_finite());
        let limits = Limits::new(&self.config, track.timescale, target_duration_secs, part_target_ms);
        self.video = Some(VideoLane::new(rendition, limits, clock, config));
    }

    /// The smallest whole number of frames of at least the configured part. A continued playlist keeps its part target
    /// if the new frame rate fills it well enough, because players have planned for it.
    fn video_part_target_ms(&self, interval_secs: f64, old_target_ms: Option<u64>) -> u64 {
        // A hundredth of a frame is forgiven: 10 frames of 33.3 ms are 333 ms, not less.
        const FORGIVEN: f64 = 0.01;
        let part_secs = self.config.part.as_secs_f64();
        let frames = (part_secs / interval_secs - FORGIVEN).ceil().max(1.0);
        let ideal_ms = (frames * interval_secs * 1_000.0).ceil() as u64 + PART_TARGET_SLACK.as_millis() as u64;
        let fills = |&old_ms: &u64| {
            let usable_secs = (old_ms.saturating_sub(PART_TARGET_SLACK.as_millis() as u64)) as f64 / 1_000.0;
            let frames = (usable_secs / interval_secs + FORGIVEN).floor();
            frames >= 1.0 && frames * interval_secs >= PART_FILL_MIN * old_ms as f64 / 1_000.0
        };
        old_target_ms.filter(|_| self.continues).filter(fills).unwrap_or(ideal_ms)
    }

    fn begin_audio_lane(&mut self, target_duration_secs: u64) {
        let previous = self.take_rendition(MediaKind::Audio);
        let Some(first) = self.prelude.first(MediaKind::Audio).cloned() else { return };
        let place = self.next;
        self.make_audio_lane(previous, &first, place, target_duration_secs);
    }

    pub(super) fn make_audio_lane(
        &mut self,
        previous: Option<Rendition>,
        first: &Frame,
        place: Place,
        target_duration_secs: u64,
    ) {
        let Some((track, clock)) = self.track_and_clock(MediaKind::Audio) else { return };
        let Some(init) = self.make_init(&first.config, track.timescale) else {
            return self.leave_out(MediaKind::Audio);
        };
        let part_target_ms = self.audio_part_target_ms(first, track.timescale);
        let next = std::mem::replace(&mut self.next, place);
        let mut rendition = self.continue_rendition(previous, MediaKind::Audio, track.timescale);
        self.next = next;
        rendition.add_init(init);
        rendition.set_part_target(part_target_ms);
        let limits = Limits::new(&self.config, track.timescale, target_duration_secs, part_target_ms);
        let video_start = self.video.as_ref().and_then(|video| {
            let start = video.rendition.segment_start()?;
            Some(Moment::new(start, video.rendition.timescale))
        });
        let start = video_start
            .or(self.prelude.video_start().map(|start| self.shifted_moment(start)))
            .unwrap_or(self.shifted_moment(Moment::new(first.dts, track.timescale)));
        let alone = self.video.is_none();
        self.audio = Some(AudioLane::new(track.id, rendition, limits, clock, first.config.clone(), alone, start));
    }

    /// The smallest whole number of frames of at least the configured part, and never exactly: parts stay below their target.
    pub(super) fn audio_part_target_ms(&self, first: &Frame, timescale: Timescale) -> u64 {
        let frame_secs = f64::from(first.duration.max(1)) / f64::from(timescale.hz());
        let frames = (self.config.part.as_secs_f64() / frame_secs).ceil().max(1.0);
        (frames * frame_secs * 1_000.0).floor() as u64 + 1
    }

    fn continue_rendition(&self, previous: Option<Rendition>, kind: MediaKind, timescale: Timescale) -> Rendition {
        match previous {
            Some(mut rendition) => {
                rendition.resume(self.next, timescale);
                rendition
            }
            None => {
                let disk = self.disk.as_ref().map(|disk| disk.budget.clone());
                Rendition::new(kind, timescale, self.next, self.budget.clone(), disk)
            }
        }
    }

    pub(super) fn track_and_clock(&self, kind: MediaKind) -> Option<(TrackInfo, WallClock)> {
        let epoch = self.epoch.as_ref()?;
        Some((epoch.track(kind).clone()?, epoch.clock?))
    }

    /// An init segment under a number of its own. Whoever takes it says of which epoch it is.
    pub(super) fn make_init(&mut self, config: &CodecConfig, timescale: Timescale) -> Option<Init> {
        match init_segment(config, timescale) {
            Ok(bytes) => {
                self.inits += 1;
                Some(Init { epoch: self.next.epoch, number: self.inits, bytes, facts: CodecFacts::of(config) })
            }
            Err(InitError::Codec(codec)) => {
                self.warn(Warning::CodecUnsupported(codec));
                None
            }
            Err(InitError::Record) => {
                self.warn(Warning::CodecUnsupported(config.codec()));
                None
            }
        }
    }

    /// A track that cannot be carried: what waits of it, and what comes of it, is surplus.
    fn leave_out(&mut self, kind: MediaKind) {
        self.prelude.forget(kind);
        if let Some(epoch) = &mut self.epoch {
            match kind {
                MediaKind::Video => epoch.video = None,
                MediaKind::Audio => epoch.audio = None,
            }
        }
    }

    pub(super) fn shift(&self, ticks: i64, timescale: Timescale) -> i64 {
        let secs = self.epoch.as_ref().and_then(|epoch| epoch.shift_secs).unwrap_or(0);
        ticks.saturating_add(secs.saturating_mul(timescale.hz().into()))
    }

    fn shifted_moment(&self, moment: Moment) -> Moment {
        Moment::new(self.shift(moment.ticks, moment.timescale), moment.timescale)
    }
}
