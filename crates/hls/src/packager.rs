//! The packager of one room: frames in, snapshots out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_media::{Codec, CodecConfig, Frame, MediaKind, TrackInfo};
use telstar_units::{Epoch, Timescale, TrackId, WallTime};

use crate::audio::AudioLane;
use crate::boxes::{InitError, init_segment};
use crate::budget::{Budget, Share};
use crate::config::{
    AUDIO_AHEAD_MAX, AUDIO_LEAD_MAX, ENDED_TARGET_DURATIONS, TARGET_DURATION_SLACK, HELD_FRAMES_MAX, HlsConfig,
    KEYFRAME_INTERVAL_WARN_SECS, PART_FILL_MIN, PART_TARGET_SLACK,
    PART_WINDOW_TARGET_DURATIONS, VIDEO_STALL,
};
use crate::lane::{Boundary, Limits, Moment, WallClock, ticks};
use crate::multivariant::Variant;
use crate::prelude::{Goal, Prelude};
use crate::rendered::Rendered;
use crate::rendition::{Place, Rendition};
use crate::snapshot::{Snapshot, State};
use crate::video::VideoLane;

mod publish;

/// What the shell has to do. Every call that takes `now` is followed by taking effects until there is none.
#[derive(Debug)]
pub enum Effect {
    /// Replace what viewers see.
    Snapshot(Arc<Snapshot>),
    /// Tell whoever administers the room.
    Warning(Warning),
    /// Keyframes come often enough again.
    KeyframeIntervalMended,
}

/// Something about the source that its owner should know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warning {
    /// Keyframes are so far apart that viewers wait for one.
    KeyframeInterval {
        /// Seconds between keyframes, or at least so many when the second one has not come.
        seconds: f64,
    },
    /// A segment was cut at the target duration because no keyframe came. Each one counts.
    LongGopCut,
    /// The byte budget was exceeded and this room's oldest segments went early.
    BudgetEvicted {
        /// How much.
        bytes: u64,
    },
    /// The track cannot be carried in HLS and is left out.
    CodecUnsupported(Codec),
    /// Media time jumped; a discontinuity hides it.
    TimestampsJump {
        /// Seconds, positive forwards.
        seconds: f64,
    },
}

/// Counts since the packager was made. They never go down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Segments cut at the target duration without a keyframe.
    pub long_gop_cuts: u64,
    /// Frames that could not be used: before the first keyframe, out of order, of an unknown or surplus track.
    pub frames_dropped: u64,
    /// Bytes dropped early because of the budget.
    pub evicted_bytes: u64,
    /// Parts made.
    pub parts: u64,
}

/// Packages one room's main picture.
///
/// Drain rule: after every call that takes `now`, call [`Packager::poll_effect`] until it returns `None`, and call
/// [`Packager::handle_timeout`] when [`Packager::poll_timeout`] says so.
///
/// ```
/// use std::time::Instant;
/// use telstar_hls::{Budget, Effect, HlsConfig, Packager, State};
/// use telstar_units::{Epoch, WallTime};
///
/// let now = Instant::now();
/// let unix_secs = 1_795_270_942;
/// let mut packager = Packager::new(HlsConfig::default(), Budget::new(1 << 30), unix_secs, unix_secs);
/// packager.start_epoch(now, Epoch(unix_secs), WallTime(unix_secs as i64 * 1_000_000), Vec::new());
/// let Some(Effect::Snapshot(snapshot)) = packager.poll_effect() else { panic!("a start is visible") };
/// assert_eq!(snapshot.state, State::Waiting);
/// ```
#[derive(Debug)]
pub struct Packager {
    config: HlsConfig,
    budget: Budget,
    share: Share,
    state: State,
    epoch: Option<EpochState>,
    /// Where the next stretch begins.
    next: Place,
    /// Something was listed since the last ENDLIST: the playlist goes on and its target duration stands.
    continues: bool,
    target_duration_secs: Option<u64>,
    prelude: Prelude,
    /// Audio that is ahead of video, with its time of arrival.
    held: VecDeque<(Instant, Frame)>,
    /// Video stopped: audio goes on alone until it comes back.
    video_stalled: bool,
    video: Option<VideoLane>,
    audio: Option<AudioLane>,
    frame_rate: Option<f64>,
    variant: Option<(Variant, Arc<Rendered>)>,
    warned_interval_secs: Option<f64>,
    forget_at: Option<Instant>,
    /// Init segments made so far: their numbers never repeat.
    inits: u32,
    counters: Counters,
    effects: VecDeque<Effect>,
    dirty: bool,
}

#[derive(Debug)]
struct EpochState {
    anchor: WallTime,
    anchored: Instant,
    video: Option<TrackInfo>,
    audio: Option<TrackInfo>,
    /// Frames flow into lanes, not into the prelude.
    running: bool,
    /// Seconds added to every time so that none is negative, the same for all tracks.
    shift_secs: Option<i64>,
    clock: Option<WallClock>,
}

impl EpochState {
    fn track(&self, kind: MediaKind) -> &Option<TrackInfo> {
        match kind {
            MediaKind::Video => &self.video,
            MediaKind::Audio => &self.audio,
        }
    }
}

impl Packager {
    /// A packager for a room. Both numbers must be beyond any that the room has used before: Unix seconds are.
    pub fn new(config: HlsConfig, budget: Budget, first_msn: u64, first_discontinuity_sequence: u64) -> Packager {
        Packager {
            config,
            share: budget.share(),
            budget,
            state: State::Offline,
            epoch: None,
            next: Place {
                epoch: Epoch(0),
                msn: first_msn,
                discontinuity_sequence: first_discontinuity_sequence,
                discontinuity: false,
            },
            continues: false,
            target_duration_secs: None,
            prelude: Prelude::default(),
            held: VecDeque::new(),
            video_stalled: false,
            video: None,
            audio: None,
            frame_rate: None,
            variant: None,
            warned_interval_secs: None,
            forget_at: None,
            inits: 0,
            counters: Counters::default(),
            effects: VecDeque::new(),
            dirty: false,
        }
    }

    /// A source begins to publish. `wall` is the calendar time of `now`; the first frame is dated by its arrival.
    /// After [`Packager::end_epoch`] the playlists go on behind a discontinuity, after [`Packager::finish`] anew.
    pub fn start_epoch(&mut self, now: Instant, epoch: Epoch, wall: WallTime, tracks: Vec<TrackInfo>) {
        self.flush(now);
        if self.state == State::Ended {
            self.forget_listing(now);
        }
        self.forget_at = None;
        self.next.epoch = epoch;
        self.epoch = Some(EpochState {
            anchor: wall,
            anchored: now,
            video: None,
            audio: None,
            running: false,
            shift_secs: None,
            clock: None,
        });
        for track in tracks {
            self.add_track(now, track);
        }
        // A continued stream is announced as live with its first new part.
        if self.state != State::Reconnecting {
            self.set_state(State::Waiting);
        }
        self.publish(now);
    }

    /// A track of the running epoch. Before the first playlist it simply takes part. Audio that comes later appears as a
    /// rendition from the open segment on, without a discontinuity. Video that comes later begins a discontinuity,
    /// because from then on it decides where segments end. A second track of a kind is left out.
    pub fn add_track(&mut self, _now: Instant, track: TrackInfo) {
        let Some(epoch) = &mut self.epoch else { return };
        let slot = match track.kind() {
            MediaKind::Video => &mut epoch.video,
            MediaKind::Audio => &mut epoch.audio,
        };
        slot.get_or_insert(track);
    }

    /// The next frame of a track, in decode order.
    pub fn handle_frame(&mut self, now: Instant, track: TrackId, frame: &Frame) {
        let kind = self.epoch.as_ref().and_then(|epoch| {
            let of = |info: &Option<TrackInfo>| info.as_ref().filter(|info| info.id == track).map(TrackInfo::kind);
            of(&epoch.video).or(of(&epoch.audio))
        });
        match kind {
            None => self.counters.frames_dropped += 1,
            Some(kind) => self.accept(now, kind, frame),
        }
        self.expire(now);
        self.publish(now);
    }

    /// The source is gone but may come back: what is there is listed, and the playlists stay open.
    pub fn end_epoch(&mut self, now: Instant) {
        self.flush(now);
        self.epoch = None;
        self.set_state(if self.continues { State::Reconnecting } else { State::Offline });
        self.publish(now);
    }

    /// The stream is over: ENDLIST. What is listed stays fetchable for a while.
    pub fn finish(&mut self, now: Instant) {
        self.flush(now);
        self.epoch = None;
        if self.continues {
            self.set_state(State::Ended);
            let target = Duration::from_secs(self.target_duration_secs.unwrap_or(0));
            self.forget_at = Some(now + target * ENDED_TARGET_DURATIONS);
        } else {
            self.set_state(State::Offline);
        }
        self.publish(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.held.front().is_some_and(|(arrived, _)| *arrived + VIDEO_STALL <= now) {
            self.video_stalled = true;
            self.release_held(now);
        }
        if self.forget_at.is_some_and(|at| at <= now) {
            self.forget_at = None;
            self.forget_listing(now);
            (self.video, self.audio) = (None, None);
            self.set_state(State::Offline);
        }
        self.expire(now);
        self.publish(now);
    }

    /// When [`Packager::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let held = self.held.front().map(|(arrived, _)| *arrived + VIDEO_STALL);
        let expiries = self.renditions().filter_map(Rendition::next_expiry);
        held.into_iter().chain(self.forget_at).chain(expiries).min()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn renditions(&self) -> impl Iterator<Item = &Rendition> {
        let video = self.video.as_ref().map(|lane| &lane.rendition);
        video.into_iter().chain(self.audio.as_ref().map(|lane| &lane.rendition))
    }

    fn renditions_mut(&mut self) -> impl Iterator<Item = &mut Rendition> {
        let video = self.video.as_mut().map(|lane| &mut lane.rendition);
        video.into_iter().chain(self.audio.as_mut().map(|lane| &mut lane.rendition))
    }

    fn is_running(&self) -> bool {
        self.epoch.as_ref().is_some_and(|epoch| epoch.running)
    }

    fn set_state(&mut self, state: State) {
        self.dirty |= self.state != state;
        self.state = state;
    }

    fn warn(&mut self, warning: Warning) {
        self.effects.push_back(Effect::Warning(warning));
    }

    /// The listing is over: the next one has its own target duration.
    fn forget_listing(&mut self, now: Instant) {
        self.renditions_mut().for_each(|rendition| rendition.unlist_all(now));
        if self.continues {
            self.next.discontinuity_sequence += 1;
        }
        self.continues = false;
        self.target_duration_secs = None;
        self.variant = None;
        self.dirty = true;
    }

    fn accept(&mut self, now: Instant, kind: MediaKind, frame: &Frame) {
        if !self.is_running() {
            return self.accept_early(now, kind, frame);
        }
        match kind {
            MediaKind::Video => self.accept_video(now, frame),
            MediaKind::Audio => self.accept_audio(now, frame),
        }
    }

    // ---- before the first playlist of a stretch -------------------------------------------------------------------

    fn accept_early(&mut self, now: Instant, kind: MediaKind, frame: &Frame) {
        let Some(epoch) = &mut self.epoch else { return };
        let Some(timescale) = epoch.track(kind).as_ref().map(|track| track.timescale) else { return };
        if !self.prelude.push(&self.config, kind, timescale, frame) {
            self.counters.frames_dropped += 1;
            return;
        }
        let (has_video, has_audio) = (epoch.video.is_some(), epoch.audio.is_some());
        let goal = Goal { first: !self.continues, has_video, has_audio };
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
    fn begin_stretch(&mut self, now: Instant) {
        let Some(mut epoch) = self.epoch.take() else { return };
        let target_duration_secs = self.target_duration_secs.unwrap_or(self.prelude.target_duration_secs(&self.config));
        self.target_duration_secs = Some(target_duration_secs);
        let shift = *epoch.shift_secs.get_or_insert((-self.prelude.earliest_secs()).ceil() as i64);
        if let Some(clock) = &mut epoch.clock {
            clock.media_micros += shift * 1_000_000;
        }
        self.next.discontinuity |= self.continues;
        self.epoch = Some(epoch);
        self.begin_video_lane(target_duration_secs);
        self.begin_audio_lane(target_duration_secs);
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
        let previous = self.video.take().map(|lane| lane.rendition);
        let (Some(frame), Some(interval)) = (self.prelude.first(MediaKind::Video), self.prelude.interval()) else { return };
        let config = frame.config.clone();
        let Some((track, clock)) = self.track_and_clock(MediaKind::Video) else { return };
        let Some((number, init)) = self.make_init(&config, track.timescale) else { return };
        let interval_secs = interval.ticks / f64::from(track.timescale.hz());
        let old_target_ms = previous.as_ref().map(|rendition| rendition.part_target_ms);
        let part_target_ms = self.video_part_target_ms(interval_secs, old_target_ms);
        let mut rendition = self.continue_rendition(previous, MediaKind::Video, track.timescale);
        rendition.add_init(number, init);
        set_part_target(&mut rendition, part_target_ms);
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
        let previous = self.audio.take().map(|lane| lane.rendition);
        let Some(first) = self.prelude.first(MediaKind::Audio).cloned() else { return };
        let place = self.next;
        self.make_audio_lane(previous, &first, place, target_duration_secs);
    }

    fn make_audio_lane(&mut self, previous: Option<Rendition>, first: &Frame, place: Place, target_duration_secs: u64) {
        let Some((track, clock)) = self.track_and_clock(MediaKind::Audio) else { return };
        let Some((number, init)) = self.make_init(&first.config, track.timescale) else { return };
        let frame_secs = f64::from(first.duration.max(1)) / f64::from(track.timescale.hz());
        let frames = (self.config.part.as_secs_f64() / frame_secs).ceil().max(1.0);
        let part_target_ms = (frames * frame_secs * 1_000.0).ceil() as u64;
        let next = std::mem::replace(&mut self.next, place);
        let mut rendition = self.continue_rendition(previous, MediaKind::Audio, track.timescale);
        self.next = next;
        rendition.add_init(number, init);
        set_part_target(&mut rendition, part_target_ms);
        let limits = Limits::new(&self.config, track.timescale, target_duration_secs, part_target_ms);
        let video_start = self.video.as_ref().and_then(|video| {
            let start = video.rendition.segment_start()?;
            Some(Moment::new(start, video.rendition.timescale))
        });
        let start = video_start
            .or(self.prelude.video_start().map(|start| self.shifted_moment(start)))
            .unwrap_or(self.shifted_moment(Moment::new(first.dts, track.timescale)));
        let alone = self.video.is_none();
        self.audio = Some(AudioLane::new(rendition, limits, clock, first.config.clone(), alone, start));
    }

    fn continue_rendition(&self, previous: Option<Rendition>, kind: MediaKind, timescale: Timescale) -> Rendition {
        match previous {
            Some(mut rendition) => {
                rendition.resume(self.next, timescale);
                rendition
            }
            None => Rendition::new(kind, timescale, self.next, self.budget.clone()),
        }
    }

    fn track_and_clock(&self, kind: MediaKind) -> Option<(TrackInfo, WallClock)> {
        let epoch = self.epoch.as_ref()?;
        Some((epoch.track(kind).clone()?, epoch.clock?))
    }

    fn make_init(&mut self, config: &CodecConfig, timescale: Timescale) -> Option<(u32, Bytes)> {
        match init_segment(config, timescale) {
            Ok(bytes) => {
                self.inits += 1;
                Some((self.inits, bytes))
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

    fn shift(&self, ticks: i64, timescale: Timescale) -> i64 {
        let secs = self.epoch.as_ref().and_then(|epoch| epoch.shift_secs).unwrap_or(0);
        ticks.saturating_add(secs.saturating_mul(timescale.hz().into()))
    }

    fn shifted_moment(&self, moment: Moment) -> Moment {
        Moment::new(self.shift(moment.ticks, moment.timescale), moment.timescale)
    }

    // ---- video ----------------------------------------------------------------------------------------------------

    fn accept_video(&mut self, now: Instant, frame: &Frame) {
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
        if let Some(ticks) = interval.filter(|&ticks| ticks > video.limits.target_duration) {
            // No segment may last so long: what comes next is a new stretch.
            self.warn(Warning::TimestampsJump { seconds: timescale.seconds(ticks) });
            self.restart_stretch(now);
            return self.accept_early(now, MediaKind::Video, frame);
        }
        let new_config = *video.config != *frame.config;
        let init = if new_config { self.make_init(&frame.config, timescale) } else { None };
        let Some(video) = &mut self.video else { return };
        if new_config {
            video.config = frame.config.clone();
        }
        let has_init = init.is_some();
        if let Some((number, init)) = init {
            video.rendition.add_init(number, init);
        }
        let outcome = video.push(frame, dts, pts, has_init);
        self.dirty |= outcome.changed;
        self.video_stalled = false;
        if outcome.cut {
            self.counters.long_gop_cuts += 1;
            self.warn(Warning::LongGopCut);
        }
        if let Some(ticks) = outcome.gop_ticks {
            self.note_keyframe_interval(Some(timescale.seconds(ticks)));
        }
        if let Some(boundary) = outcome.boundary {
            self.bound_audio(boundary);
        }
        self.release_held(now);
    }

    fn bound_audio(&mut self, boundary: Boundary) {
        if let Some(audio) = &mut self.audio {
            self.dirty |= audio.push_boundary(boundary);
        }
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
    fn restart_stretch(&mut self, now: Instant) {
        self.flush(now);
        if let Some(epoch) = &mut self.epoch {
            epoch.running = false;
            epoch.clock = None;
        }
    }

    fn note_keyframe_interval(&mut self, secs: Option<f64>) {
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

    // ---- audio ----------------------------------------------------------------------------------------------------

    fn accept_audio(&mut self, now: Instant, frame: &Frame) {
        self.held.push_back((now, frame.clone()));
        self.release_held(now);
    }

    /// Sends on the audio that is not ahead of video.
    fn release_held(&mut self, now: Instant) {
        while let Some((_, frame)) = self.held.front() {
            let wait = self.is_ahead_of_video(frame) && !self.video_stalled && self.held.len() <= HELD_FRAMES_MAX;
            if wait || !self.is_running() {
                return;
            }
            if let Some((_, frame)) = self.held.pop_front() {
                self.pass_audio(now, &frame);
            }
        }
    }

    fn is_ahead_of_video(&self, frame: &Frame) -> bool {
        let Some((track, _)) = self.track_and_clock(MediaKind::Audio) else { return false };
        let Some(video) = &self.video else { return false };
        let Some(last) = video.last_moment() else { return true };
        let at = Moment::new(self.shift(frame.dts, track.timescale), track.timescale);
        // What lies beyond the next boundary must not be written before it is known.
        let beyond = video.likely_boundary().is_some_and(|likely| at.is_at_or_after(likely));
        beyond || at.secs_since(last) > AUDIO_AHEAD_MAX.as_secs_f64()
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
        self.change_audio_config(frame, timescale);
        self.force_boundary_if_due(Moment::new(dts, timescale));
        let expected = self.video.as_ref().and_then(VideoLane::likely_boundary);
        let Some(audio) = &mut self.audio else { return };
        self.dirty |= audio.push(frame, dts);
        audio.expect_boundary(expected);
    }

    /// In order, and not long before the picture begins.
    fn audio_is_usable(&self, at: Moment) -> bool {
        let Some(audio) = &self.audio else { return false };
        let in_order = audio.last_dts().is_none_or(|last| at.ticks > last);
        let early = audio.last_dts().is_none() && {
            let lead = audio.segment_from().secs_since(at);
            self.video.is_some() && lead > AUDIO_LEAD_MAX.as_secs_f64()
        };
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

    /// Other sound parameters need another init segment, so every rendition breaks here (RFC 8216bis §4.4.4.3).
    fn change_audio_config(&mut self, frame: &Frame, timescale: Timescale) {
        let changed = self.audio.as_ref().is_some_and(|audio| *audio.config != *frame.config);
        if !changed {
            return;
        }
        let init = self.make_init(&frame.config, timescale);
        if init.is_some() {
            self.force_boundary(true);
        }
        if let Some(audio) = &mut self.audio {
            audio.config = frame.config.clone();
            if let Some((number, init)) = init {
                audio.rendition.add_init(number, init);
            }
        }
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

    fn force_boundary(&mut self, discontinuity: bool) {
        let Some(audio) = &mut self.audio else { return };
        let at = audio.end().unwrap_or(audio.segment_from());
        match &mut self.video {
            Some(video) => {
                let from = audio.segment_from();
                if video.rendition.open_segment().is_some() {
                    video.flush();
                } else {
                    video.rendition.push_gap(at.secs_since(from).max(0.0), video.clock.at(from));
                }
                if discontinuity {
                    video.rendition.discontinuity_next();
                }
                audio.push_boundary(Boundary { at, discontinuity });
            }
            None => {
                audio.rendition.close_segment(at.ticks);
                audio.rendition.discontinuity_next();
            }
        }
        self.dirty = true;
    }

    // ---- ends -----------------------------------------------------------------------------------------------------

    /// Lists everything that has come, ends both renditions with the same segment number and notes where to go on.
    fn flush(&mut self, now: Instant) {
        if self.epoch.is_some() && !self.is_running() && !self.prelude.is_empty() {
            self.begin_stretch(now);
        }
        self.video_stalled = true;
        self.release_held(now);
        self.held.clear();
        self.video_stalled = false;
        self.prelude = Prelude::default();
        let video_end = self.video.as_mut().and_then(VideoLane::flush);
        let places = self.renditions().map(Rendition::place);
        if let Some(furthest) = places.max_by_key(|place| place.msn) {
            if let Some(audio) = &mut self.audio {
                audio.flush(furthest.msn, video_end);
                if let (Some(video), Some(end)) = (&mut self.video, audio.end()) {
                    video.fill_gaps(furthest.msn, end);
                }
            }
            self.next.msn = furthest.msn.max(self.next.msn);
        }
        let sequence = self.renditions().map(|rendition| rendition.place().discontinuity_sequence).max();
        self.next.discontinuity_sequence = self.next.discontinuity_sequence.max(sequence.unwrap_or(0));
        self.next.discontinuity = false;
        self.dirty = true;
        if let Some(epoch) = &mut self.epoch {
            epoch.running = false;
        }
    }

    fn expire(&mut self, now: Instant) {
        let mut gone = false;
        self.renditions_mut().for_each(|rendition| gone |= rendition.expire(now));
        // Nobody is told: what went was not listed. But the bytes are only free once no snapshot refers to them.
        self.dirty |= gone;
    }

    /// Takes what left the window off the lists, and more if the server holds too much.
    fn slide(&mut self, now: Instant) {
        let target_secs = self.target_duration_secs.unwrap_or(0) as f64;
        let window_secs = target_secs * f64::from(self.config.window_target_durations);
        let part_window_secs = target_secs * PART_WINDOW_TARGET_DURATIONS;
        self.renditions_mut().for_each(|rendition| rendition.slide(now, window_secs, part_window_secs));
        let held = self.renditions().map(Rendition::bytes_held).sum();
        let owed = self.share.owes(held);
        if owed > 0 {
            self.evict(owed);
        }
    }

    fn evict(&mut self, owed: u64) {
        let mut bytes = 0;
        self.renditions_mut().for_each(|rendition| bytes += rendition.evict(owed.saturating_sub(bytes)));
        if bytes > 0 {
            self.counters.evicted_bytes += bytes;
            self.warn(Warning::BudgetEvicted { bytes });
            self.dirty = true;
        }
    }
}

fn set_part_target(rendition: &mut Rendition, part_target_ms: u64) {
    if rendition.part_target_ms != part_target_ms {
        rendition.part_target_ms = part_target_ms;
        rendition.parts_from_msn = rendition.next_msn();
    }
}
