//! One room on its media thread: the hub, the packager, and the epochs between them.
//!
//! In: batches of an ingest ring. Out: snapshots and the status. Each connection that publishes is an epoch of its own.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use telstar_hls::{Budget, Effect, HlsConfig, Packager, State, Warning};
use telstar_media::hub::{Effect as HubEffect, Hub, Item, Start, SubscriberId, SubscriberSpec, View, WhenFull};
use telstar_media::{Frame, MediaKind, TrackInfo};
use telstar_units::{Epoch, LayerId, ParticipantId, TrackId, WallTime};

use super::meter::TrackMeter;
use super::{IngestItem, IngestRing, IngestWarning, RoomOutput, ShardCounters, ShardStatus, ShardWarning};

/// Items in the packager's ring. It is drained after every batch, so only one batch must fit.
const PACKAGER_ITEMS_MAX: usize = 4_096;
/// The one layer that an ingest without simulcast has.
const BASE: LayerId = LayerId(0);
/// How often rates are measured.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Warnings that are events stay this long in the status.
const EVENT_WARNING_AGE: Duration = Duration::from_secs(60);
/// How long an ingest may have one kind of track only before the streamer is told.
const ONE_KIND_GRACE: Duration = Duration::from_secs(3);

/// How rooms are packaged.
#[derive(Clone, Debug)]
pub struct HlsSettings {
    /// For the packager of each room.
    pub packager: HlsConfig,
    /// The memory that all of them share.
    pub budget: Budget,
    /// Where each room's discontinuities begin to be counted in this run of the server.
    pub first_discontinuity_sequence: u64,
}

pub(super) struct ShardRoom {
    settings: HlsSettings,
    output: RoomOutput,
    counters: Arc<ShardCounters>,
    hub: Hub,
    packager: Option<Packager>,
    /// The packager's last numbers, so that a later stream of the room goes on behind them.
    last_epoch: Option<Epoch>,
    ingest: Option<Ingest>,
    status: ShardStatus,
    next_status: Option<Instant>,
    items: Vec<Item>,
}

/// The connection that publishes now.
struct Ingest {
    ring: Arc<IngestRing>,
    since: Instant,
    tracks: Vec<Track>,
    /// Seconds between keyframes, while they are too far apart.
    keyframe_interval_secs: Option<f64>,
    /// Warnings that are events, with the time of the latest.
    events: Vec<(ShardWarning, Instant)>,
}

struct Track {
    meter: TrackMeter,
    subscriber: SubscriberId,
}

impl ShardRoom {
    pub(super) fn new(settings: HlsSettings, output: RoomOutput, counters: Arc<ShardCounters>) -> ShardRoom {
        ShardRoom {
            settings,
            output,
            counters,
            hub: Hub::new(),
            packager: None,
            last_epoch: None,
            ingest: None,
            status: ShardStatus::default(),
            next_status: None,
            items: Vec::new(),
        }
    }

    /// A new connection takes the room over, in an epoch of its own.
    pub(super) fn attach(&mut self, now: Instant, participant: ParticipantId, ring: Arc<IngestRing>) {
        self.detach(now);
        let (tracks, events) = (Vec::new(), Vec::new());
        self.ingest = Some(Ingest { ring, since: now, tracks, keyframe_interval_secs: None, events });
        self.status = ShardStatus { participant: Some(participant), ..ShardStatus::default() };
        let wall = wall_now();
        let epoch = Epoch::next(self.last_epoch, wall.unix_secs());
        self.last_epoch = Some(epoch);
        let settings = &self.settings;
        let first = (wall.unix_secs(), settings.first_discontinuity_sequence);
        let make = || Packager::new(settings.packager.clone(), settings.budget.clone(), first.0, first.1);
        self.packager.get_or_insert_with(make).start_epoch(now, epoch, wall, Vec::new());
        self.next_status = Some(now + STATUS_INTERVAL);
        self.apply_packager(now);
        self.publish_status();
    }

    /// Takes what came in, up to `batches_max` batches. True: more is waiting.
    pub(super) fn turn(&mut self, now: Instant, batches_max: usize) -> bool {
        let mut more = false;
        if let Some(ring) = self.ingest.as_ref().map(|ingest| Arc::clone(&ingest.ring)) {
            for _ in 0..batches_max {
                let Some(batch) = ring.take() else { break };
                batch.into_iter().for_each(|item| self.handle_item(now, item));
                self.drain_hub(now);
            }
            more = !ring.is_over() && self.ingest.as_ref().is_some_and(|ingest| ingest.ring.has_batches());
            if ring.is_over() {
                self.detach(now);
            }
        }
        if let Some(packager) = &mut self.packager {
            packager.handle_timeout(now);
        }
        self.apply_packager(now);
        if self.next_status.is_some_and(|at| at <= now) {
            self.measure(now);
        }
        more
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let packager = self.packager.as_ref().and_then(Packager::poll_timeout);
        [packager, self.next_status].into_iter().flatten().min()
    }

    /// Ends the stream: the last parts and ENDLIST.
    pub(super) fn finish(&mut self, now: Instant) {
        self.detach(now);
        if let Some(packager) = &mut self.packager {
            packager.finish(now);
        }
        self.apply_packager(now);
    }

    /// Lets go of everything, without a word to the players: the room does not exist any more.
    pub(super) fn release(self) {
        if let Some(ingest) = &self.ingest {
            ingest.ring.detach();
        }
        self.output.live.send_replace(None);
        self.output.status.send_replace(ShardStatus::default());
        self.output.status_changed.notify_one();
    }

    fn detach(&mut self, now: Instant) {
        let Some(ingest) = self.ingest.take() else { return };
        ingest.ring.detach();
        for track in ingest.tracks {
            self.hub.unsubscribe(track.subscriber);
            self.hub.remove_track(track.meter.info().id);
        }
        self.apply_hub();
        if let Some(packager) = &mut self.packager {
            packager.end_epoch(now);
        }
        self.apply_packager(now);
        self.next_status = None;
        self.status = ShardStatus::default();
        self.publish_status();
    }

    fn handle_item(&mut self, now: Instant, item: IngestItem) {
        match item {
            IngestItem::Track(info) => self.add_track(now, info),
            IngestItem::Frame(track, frame) => self.handle_frame(track, &frame),
            IngestItem::Warning(warning) => {
                let warning = match warning {
                    IngestWarning::TimestampsJump => ShardWarning::TimestampsJump,
                    IngestWarning::AudioGap => ShardWarning::AudioGap,
                    IngestWarning::CodecUnsupported(codec) => ShardWarning::CodecUnsupported(codec),
                };
                self.note(now, warning);
            }
        }
    }

    fn add_track(&mut self, now: Instant, info: TrackInfo) {
        let Some(ingest) = &mut self.ingest else { return };
        let id = info.id;
        let spec = SubscriberSpec {
            track: id,
            layer: BASE,
            view: View::Frames,
            start: Start::Keyframe,
            when_full: WhenFull::DropToKeyframe,
            items_max: PACKAGER_ITEMS_MAX,
        };
        let added = self
            .hub
            .add_track(info.clone())
            .and_then(|()| self.hub.add_layer(id, BASE, View::Frames))
            .and_then(|()| self.hub.subscribe(spec));
        match added {
            Ok(subscriber) => {
                ingest.tracks.push(Track { meter: TrackMeter::new(info.clone()), subscriber });
                if let Some(packager) = &mut self.packager {
                    packager.add_track(now, info);
                }
            }
            Err(error) => tracing::warn!(%error, "a track was not taken"),
        }
        self.apply_hub();
    }

    fn handle_frame(&mut self, id: TrackId, frame: &Frame) {
        let Some(ingest) = &mut self.ingest else { return };
        let Some(track) = ingest.tracks.iter_mut().find(|track| track.meter.info().id == id) else { return };
        track.meter.handle_frame(frame);
        ShardCounters::add(&self.counters.frames, 1);
        ShardCounters::add(&self.counters.bytes, frame.payload.len() as u64);
        if let Err(error) = self.hub.push_frame(id, BASE, frame) {
            // The track was found above and has its base layer from the start.
            tracing::error!(%error, "the hub lost a track");
        }
    }

    /// Moves what the hub has for the packager, in the order of the tracks' times: the packager waits for no track.
    fn drain_hub(&mut self, now: Instant) {
        let (Some(ingest), Some(packager)) = (&self.ingest, &mut self.packager) else { return };
        for track in &ingest.tracks {
            self.hub.drain(track.subscriber, &mut self.items);
            for item in self.items.drain(..) {
                if let Item::Frame(_, frame) = item {
                    packager.handle_frame(now, track.meter.info().id, &frame);
                }
            }
        }
        self.apply_hub();
        self.apply_packager(now);
    }

    fn note(&mut self, now: Instant, warning: ShardWarning) {
        let Some(ingest) = &mut self.ingest else { return };
        ingest.events.retain(|(known, _)| *known != warning);
        ingest.events.push((warning, now));
    }

    fn apply_packager(&mut self, now: Instant) {
        let mut changed = false;
        while let Some(effect) = self.packager.as_mut().and_then(Packager::poll_effect) {
            match effect {
                Effect::Snapshot(snapshot) => {
                    ShardCounters::add(&self.counters.snapshots, 1);
                    let playable = self.ingest.is_some() && snapshot.state == State::Live;
                    changed |= playable != self.status.playable;
                    self.status.playable = playable;
                    self.output.live.send_replace(Some(snapshot));
                }
                Effect::Warning(warning) => self.handle_warning(now, warning),
                Effect::KeyframeIntervalMended => {
                    if let Some(ingest) = &mut self.ingest {
                        ingest.keyframe_interval_secs = None;
                    }
                }
            }
        }
        if changed {
            self.publish_status();
        }
    }

    fn handle_warning(&mut self, now: Instant, warning: Warning) {
        match warning {
            Warning::KeyframeInterval { seconds } => {
                if let Some(ingest) = &mut self.ingest {
                    ingest.keyframe_interval_secs = Some((seconds * 10.0).round() / 10.0);
                }
            }
            Warning::LongGopCut => ShardCounters::add(&self.counters.long_gop_cuts, 1),
            Warning::BudgetEvicted { bytes } => ShardCounters::add(&self.counters.evicted_bytes, bytes),
            Warning::CodecUnsupported(codec) => self.note(now, ShardWarning::CodecUnsupported(codec)),
            Warning::TimestampsJump { .. } => self.note(now, ShardWarning::TimestampsJump),
        }
    }

    fn apply_hub(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                // RTMP can neither pause a layer nor be asked for a keyframe.
                HubEffect::Demand { .. } | HubEffect::KeyframeWanted { .. } => {}
                HubEffect::Closed { subscriber } => tracing::debug!(?subscriber, "a subscriber was closed"),
            }
        }
        let dropped = self.hub.counters().items_dropped;
        let before = std::mem::replace(&mut self.status.frames_dropped, dropped);
        ShardCounters::add(&self.counters.frames_dropped, dropped.saturating_sub(before));
    }

    fn measure(&mut self, now: Instant) {
        self.next_status = None;
        if let Some(ingest) = &mut self.ingest {
            self.next_status = Some(now + STATUS_INTERVAL);
            self.status.tracks = ingest.tracks.iter().map(|track| track.meter.stats()).collect();
            self.status.warnings = ingest.warnings(now);
            self.publish_status();
        }
    }

    fn publish_status(&mut self) {
        let status = &self.status;
        let changed = self.output.status.send_if_modified(|current| {
            let changed = current != status;
            if changed {
                current.clone_from(status);
            }
            changed
        });
        if changed {
            self.output.status_changed.notify_one();
        }
    }
}

impl Ingest {
    fn warnings(&self, now: Instant) -> Vec<ShardWarning> {
        let mut warnings = Vec::new();
        warnings.extend(self.keyframe_interval_secs.map(|seconds| ShardWarning::KeyframeInterval { seconds }));
        let has = |kind| self.tracks.iter().any(|track| track.meter.info().kind() == kind);
        if now.saturating_duration_since(self.since) >= ONE_KIND_GRACE && !self.tracks.is_empty() {
            if !has(MediaKind::Audio) {
                warnings.push(ShardWarning::NoAudio);
            }
            if !has(MediaKind::Video) {
                warnings.push(ShardWarning::NoVideo);
            }
        }
        let recent = |at: Instant| now.saturating_duration_since(at) < EVENT_WARNING_AGE;
        warnings.extend(self.events.iter().filter(|(_, at)| recent(*at)).map(|(warning, _)| *warning));
        warnings
    }
}

fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(since.as_micros() as i64)
}
