//! The packager of one room: frames in, snapshots out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use telstar_media::{Frame, MediaKind, TrackInfo};
use telstar_units::{Epoch, TrackId, WallTime};

use crate::audio::AudioLane;
use crate::budget::{Budget, Share};
use crate::config::HlsConfig;
use crate::lane::WallClock;
use crate::multivariant::Variant;
use crate::prelude::Prelude;
use crate::rendered::Rendered;
use crate::rendition::{Place, Rendition};
use crate::snapshot::State;
use crate::video::VideoLane;

mod alternate;
mod change;
mod dvr;
mod effect;
mod ends;
mod picture;
mod publish;
mod sound;
mod stretch;
mod tracks;

use self::alternate::Alternate;
use self::change::SoundChange;
use self::dvr::Disk;
pub use self::dvr::{KeptInit, KeptListing};
pub use self::effect::{Counters, Effect, Numbers, Warning};
use self::sound::{Held, SoundWatch};

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
    /// Of the listings that begin from now on, at least.
    target_duration_secs_min: u64,
    prelude: Prelude,
    /// Audio that is ahead of video, or waits for a place where it may be another.
    held: VecDeque<Held>,
    sound_change: SoundChange,
    sound_watch: SoundWatch,
    /// When the last frame of video came.
    video_at: Option<Instant>,
    /// Video stopped: audio goes on alone until it comes back.
    video_stalled: bool,
    video: Option<VideoLane>,
    audio: Option<AudioLane>,
    alternate: Alternate,
    /// Renditions of an earlier run that no source has taken up yet.
    parked: Vec<Rendition>,
    /// Who keeps segments beyond memory.
    disk: Option<Disk>,
    /// Nothing that was listed has left the list.
    is_event: bool,
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
    /// What video's decode times are put off by, see [`Packager::handle_frame`]; `None` until its first keyframe.
    reorder_delay: Option<i64>,
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
                entry: dvr::first_entry(first_msn),
            },
            continues: false,
            target_duration_secs: None,
            target_duration_secs_min: 0,
            prelude: Prelude::default(),
            held: VecDeque::new(),
            sound_change: SoundChange::None,
            sound_watch: SoundWatch::default(),
            video_at: None,
            video_stalled: false,
            video: None,
            audio: None,
            alternate: Alternate::default(),
            parked: Vec::new(),
            disk: None,
            is_event: false,
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
            reorder_delay: None,
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

    /// Listings that begin from now on have at least this target duration: for a source whose keyframes come when they are
    /// asked for, and some of them later than that. 0 leaves it to what comes.
    pub fn require_target_duration(&mut self, secs: u64) {
        self.target_duration_secs_min = secs;
    }

    /// The next frame of a track, in decode order.
    ///
    /// An encoder with B-frames stamps each keyframe's decode time a few frames before its presentation time. Inside,
    /// video's decode times are put off by that much, so that a segment begins when its keyframe is shown: its program
    /// date time and the place where audio is cut are then those of the picture. hls.js, which places renditions by their
    /// dates, otherwise looks for sound behind the end of what there is, and stalls. What is written into boxes are the
    /// source's own times.
    pub fn handle_frame(&mut self, now: Instant, track: TrackId, frame: &Frame) {
        let kind = self.epoch.as_ref().and_then(|epoch| {
            let of = |info: &Option<TrackInfo>| info.as_ref().filter(|info| info.id == track).map(TrackInfo::kind);
            of(&epoch.video).or(of(&epoch.audio))
        });
        match kind {
            None if self.is_alternate(track) => self.accept_alternate(frame),
            None => self.counters.frames_dropped += 1,
            Some(MediaKind::Audio) => self.accept(now, MediaKind::Audio, frame),
            Some(MediaKind::Video) => {
                let frame = self.put_off(frame);
                self.accept(now, MediaKind::Video, &frame);
            }
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
            self.forget_at = Some(now + self.retention());
        } else {
            self.set_state(State::Offline);
        }
        self.publish(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.held_due().is_some_and(|due| due <= now) {
            self.video_stalled = true;
            self.release_held(now);
        }
        if self.sound_due().is_some_and(|due| due <= now) {
            self.go_on_without_sound();
        }
        self.give_up_alternate_if_due(now);
        if self.forget_at.is_some_and(|at| at <= now) {
            self.forget_at = None;
            self.forget_listing(now);
            let kinds: Vec<MediaKind> = self.renditions().map(|rendition| rendition.kind).collect();
            (self.video, self.audio, self.alternate.lane) = (None, None, None);
            self.parked.clear();
            self.discard_missing(&kinds);
            self.set_state(State::Offline);
        }
        self.expire(now);
        self.publish(now);
    }

    /// When [`Packager::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiries = self.all_renditions().filter_map(|rendition| rendition.shelf.next_expiry());
        let dues = [self.held_due(), self.sound_due(), self.alternate_due(), self.forget_at];
        dues.into_iter().flatten().chain(expiries).min()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Nothing is going on and nothing is held: a packager that begins behind [`Packager::next_numbers`] does as well.
    pub fn is_idle(&self) -> bool {
        let is_empty = |rendition: &Rendition| rendition.shelf.bytes_held() + rendition.shelf.bytes_kept() == 0;
        let holds_nothing = self.all_renditions().all(is_empty);
        self.state == State::Offline && self.epoch.is_none() && self.forget_at.is_none() && holds_nothing
    }

    /// Numbers beyond all that were used here, for another packager of the same room.
    pub fn next_numbers(&self) -> Numbers {
        let places = || self.renditions().map(Rendition::place).chain([self.next]);
        let msn = places().map(|place| place.msn).max().unwrap_or(0);
        let sequence = places().map(|place| place.discontinuity_sequence).max().unwrap_or(0);
        Numbers { msn, discontinuity_sequence: sequence + 1 }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Those of the source's tracks, which players list, and a disk keeps, whether or not there is an alternate.
    fn renditions(&self) -> impl Iterator<Item = &Rendition> {
        let video = self.video.as_ref().map(|lane| &lane.rendition);
        video.into_iter().chain(self.audio.as_ref().map(|lane| &lane.rendition)).chain(&self.parked)
    }

    fn renditions_mut(&mut self) -> impl Iterator<Item = &mut Rendition> {
        let video = self.video.as_mut().map(|lane| &mut lane.rendition);
        video.into_iter().chain(self.audio.as_mut().map(|lane| &mut lane.rendition)).chain(&mut self.parked)
    }

    fn all_renditions(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions().chain(self.alternate_rendition())
    }

    fn all_renditions_mut(&mut self) -> impl Iterator<Item = &mut Rendition> {
        let video = self.video.as_mut().map(|lane| &mut lane.rendition);
        let audio = self.audio.as_mut().map(|lane| &mut lane.rendition);
        let alternate = self.alternate.lane.as_mut().map(|lane| &mut lane.rendition);
        video.into_iter().chain(audio).chain(&mut self.parked).chain(alternate)
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
        self.all_renditions_mut().for_each(|rendition| rendition.shelf.unlist_all(now));
        if self.continues && self.disk.is_some() {
            self.effects.push_back(Effect::ListingOver);
        }
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
}
