//! One room on its media thread: the hub, the packager, and the epochs between them.
//!
//! In: batches of an ingest ring or copies of packets from the SFU, and who needs what. Out: snapshots, the status, the
//! rings of viewers and conversions, and packets for the SFU. Each connection that publishes is an epoch of its own, and so
//! is what follows a jump of its clock.

mod conversions;
mod feed;
mod gate;
mod ingest;
mod keeping;
mod landing;
mod mix;
mod outlets;
mod pace;
mod packaging;
mod status;
mod tracks;
mod viewers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use telstar_hls::{Budget, HlsConfig, Numbers, Packager};
use telstar_media::hub::{Effect as HubEffect, Hub, Item};
use telstar_media::{MediaKind, TrackInfo};
use telstar_units::{Epoch, LayerId, ParticipantId, WallTime};

use super::commands::KeptSink;
use super::joint::ForCall;
use super::meter::TrackMeter;
use super::ring::INGEST_BATCHES_MAX;
use super::{
    IngestItem, IngestRing, IngestVia, IngestWarning, RoomOutput, ShardCounters, ShardStatus, ShardWarning, ViewerRing,
};
use crate::dvr::Dvr;
use conversions::Conversions;
use feed::Feeder;
use gate::Gate;
use ingest::{Ingest, Track};
use landing::Landed;
use mix::Mixing;
use outlets::{Outlet, Packaging};
use status::{Dropped, STATUS_INTERVAL};
use viewers::Viewer;

/// Items in the packager's ring. It is drained after every batch, so only one batch must fit.
const PACKAGER_ITEMS_MAX: usize = 4_096;
/// The one layer that an ingest without simulcast has.
const BASE: LayerId = LayerId(0);
/// Jumps of one connection's clock that begin an epoch. A source that loops a short clip jumps once a round. Beyond it
/// times go on without the jump and without a discontinuity. Higher lets a broken clock make more epochs, whose numbers
/// must not run far ahead of the calendar; lower shows a looping source's later rounds without their dates. Guess.
const CLOCK_RESTARTS_MAX: u32 = 256;

/// How rooms are packaged.
#[derive(Clone, Debug)]
pub struct HlsSettings {
    /// For the packager of each room.
    pub packager: HlsConfig,
    /// The memory that all of them share.
    pub budget: Budget,
    /// Where each room's discontinuities begin to be counted in this run of the server.
    pub first_discontinuity_sequence: u64,
    /// Who keeps segments beyond memory.
    pub dvr: Option<Arc<Dvr>>,
    /// How long what an earlier run had kept waits for its encoder before it ends.
    pub reconnect_window: Duration,
}

/// Behind which numbers the room's next stream goes on. Copied out of a room that is let go, even a broken one: they are
/// written before what has them is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoomNumbers {
    last_epoch: Option<Epoch>,
    next: Option<Numbers>,
}

pub(super) struct ShardRoom {
    settings: HlsSettings,
    output: RoomOutput,
    counters: Arc<ShardCounters>,
    hub: Hub,
    packager: Option<Packager>,
    numbers: RoomNumbers,
    ingest: Option<Ingest>,
    /// What is listed, at most one of each kind.
    outlets: Vec<Outlet>,
    /// What is listed beside the picture.
    alternate: Option<Outlet>,
    /// The tracks of the present epoch that the packager was told of.
    told: Vec<TrackInfo>,
    packaging: Packaging,
    /// Until when the latest request for a playlist counts. Its end is noticed once.
    listed_until: Option<Instant>,
    /// The listing has ended while the ingest goes on, and nobody sees it.
    hides_listing: bool,
    feeder: Feeder,
    conversions: Conversions,
    /// Participants of the call whose frames go to a mix, which is the ingest.
    mixing: Option<Mixing>,
    /// For the SFU, which takes it after each turn.
    for_call: VecDeque<ForCall>,
    viewers: Vec<Viewer>,
    seen: Dropped,
    status: ShardStatus,
    next_status: Option<Instant>,
    items: Vec<Item>,
    /// Tells the shard what the disk has kept.
    sink: KeptSink,
    /// Until when what an earlier run had kept waits for its encoder.
    restored_until: Option<Instant>,
    evicted_kept_seen: u64,
}

impl ShardRoom {
    pub(super) fn new(
        settings: HlsSettings,
        output: RoomOutput,
        counters: Arc<ShardCounters>,
        numbers: RoomNumbers,
        sink: KeptSink,
    ) -> ShardRoom {
        ShardRoom {
            settings,
            output,
            counters,
            hub: Hub::new(),
            packager: None,
            numbers,
            ingest: None,
            outlets: Vec::new(),
            alternate: None,
            told: Vec::new(),
            packaging: Packaging::Off,
            listed_until: None,
            hides_listing: false,
            feeder: Feeder::default(),
            conversions: Conversions::default(),
            mixing: None,
            for_call: VecDeque::new(),
            viewers: Vec::new(),
            seen: Dropped::default(),
            status: ShardStatus::default(),
            next_status: None,
            items: Vec::new(),
            sink,
            restored_until: None,
            evicted_kept_seen: 0,
        }
    }

    pub(super) fn numbers(&self) -> RoomNumbers {
        self.numbers
    }

    /// Nobody publishes and nothing is fetchable: only the numbers are worth keeping.
    pub(super) fn is_idle(&self) -> bool {
        self.ingest.is_none()
            && !self.has_viewers()
            && !self.feeder.is_bound()
            && self.packager.as_ref().is_none_or(Packager::is_idle)
    }

    /// A new connection takes the room over, in an epoch of its own.
    pub(super) fn attach(&mut self, now: Instant, participant: ParticipantId, ring: Arc<IngestRing>, via: IngestVia) {
        self.detach(now);
        self.restored_until = None;
        self.ingest = Some(Ingest::new(now, participant, ring, via));
        self.status = ShardStatus { participant: Some(participant), ..ShardStatus::default() };
        self.begin_feed_timeline();
        match via {
            IngestVia::Ring => {
                self.packaging = Packaging::Running;
                self.start_epoch(now, Duration::ZERO, Vec::new());
            }
            // The listing goes on, or begins, with the next request for a playlist.
            IngestVia::Call if self.is_listed(now) => {}
            IngestVia::Call => self.hide_listing(now),
            // Begun for those who ask for it: a listing of what was before is not what they want.
            IngestVia::Mix => {
                self.hide_listing(now);
                // Should an encoder take its place, its viewers see that instead.
                self.demand_hls(now);
                self.packaging = Packaging::Held(Gate::new(now, vec![MediaKind::Video, MediaKind::Audio]));
            }
        }
        self.next_status = Some(now + STATUS_INTERVAL);
        self.publish_status();
    }

    /// Takes what came in, up to `batches_max` batches. True: more is waiting.
    pub(super) fn turn(&mut self, now: Instant, batches_max: usize) -> bool {
        let mut more = self.take_batches(now, batches_max);
        more |= self.take_converted(now, batches_max);
        if self.ingest.as_ref().is_some_and(|ingest| ingest.ring.is_over()) {
            self.detach(now);
        }
        if self.restored_until.is_some_and(|until| until <= now) {
            self.finish(now);
        }
        if let Some(packager) = &mut self.packager {
            packager.handle_timeout(now);
        }
        self.apply_packager(now);
        self.forget_viewers();
        self.listed_until = self.listed_until.filter(|until| *until > now);
        self.update_landing(now);
        self.update_mixing(now);
        self.pass_on(now);
        self.update_alternate(now);
        self.update_conversions(now);
        self.route_feed();
        self.collect_feed(now);
        if self.next_status.is_some_and(|at| at <= now) {
            self.measure(now);
        }
        more
    }

    fn take_batches(&mut self, now: Instant, batches_max: usize) -> bool {
        let Some(ring) = self.ingest.as_ref().map(|ingest| Arc::clone(&ingest.ring)) else { return false };
        ring.answer();
        for _ in 0..batches_max {
            let Some(batch) = ring.take() else { break };
            self.take_batch(now, batch);
            self.pass_on(now);
        }
        ring.has_batches()
    }

    /// Tracks go on to the packager as they are interleaved. A batch of a stream of few bits that had come to a halt holds
    /// many seconds: with all its pictures first, the sound would count as missing.
    fn take_batch(&mut self, now: Instant, batch: Vec<IngestItem>) {
        let mut last = None;
        for item in batch {
            if let IngestItem::Frame(track, _) = &item
                && last.replace(*track).is_some_and(|last| last != *track)
            {
                self.drain_hub(now);
            }
            self.handle_item(now, item);
        }
        self.drain_hub(now);
    }

    /// Brings what came to everybody who takes frames.
    fn pass_on(&mut self, now: Instant) {
        self.drain_hub(now);
        self.drain_viewers();
        self.drain_conversions();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let landed = self.ingest.as_ref().and_then(|ingest| ingest.landed.as_ref());
        let landed = landed.and_then(Landed::poll_timeout);
        let own = [self.packaging_timeout(), self.next_status, self.restored_until];
        let mixing = self.mixing.as_ref().and_then(Mixing::poll_timeout);
        own.into_iter().chain([self.listed_until, landed, mixing, self.conversions.poll_timeout()]).flatten().min()
    }

    /// The next thing for the SFU of this thread.
    pub(super) fn poll_for_call(&mut self) -> Option<ForCall> {
        self.for_call.pop_front()
    }

    /// The listing ends and the connection stays: what it brings is a stream of its own.
    pub(super) fn restart(&mut self, now: Instant) {
        let Some(ingest) = &self.ingest else { return };
        if ingest.landed.is_some() {
            return self.hide_listing(now);
        }
        if let Some(packager) = &mut self.packager {
            packager.finish(now);
        }
        self.apply_packager(now);
        self.start_epoch(now, Duration::ZERO, self.listed_tracks());
    }

    /// Ends the stream: the last parts and ENDLIST.
    pub(super) fn finish(&mut self, now: Instant) {
        self.detach(now);
        self.end_for_viewers();
        self.restored_until = None;
        self.finish_listing(now);
    }

    /// Lets go of everything, without a word to the players: the room does not exist any more.
    pub(super) fn release(self) {
        self.let_go_of_disk();
        if let Some(ingest) = &self.ingest {
            ingest.ring.detach();
        }
        self.close_viewers();
        self.conversions.close();
        self.mixing.iter().for_each(Mixing::close);
        self.output.live.send_replace(None);
        self.output.status.send_replace(ShardStatus::default());
        self.output.status_changed.notify_one();
    }

    fn detach(&mut self, now: Instant) {
        // What has arrived is part of the stream. No more than fits: a connection that is sent away may go on sending.
        self.take_batches(now, INGEST_BATCHES_MAX);
        let Some(ingest) = self.ingest.take() else { return };
        ingest.ring.detach();
        self.end_mixing();
        self.take_tracks_from_viewers();
        for track in &ingest.tracks {
            self.let_go(now, track.meter.info().id);
        }
        if let Some(landed) = &ingest.landed {
            self.end_landing(landed);
        }
        self.apply_hub();
        self.packaging = Packaging::Off;
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
            IngestItem::Track(info) => self.add_track(now, info, None),
            IngestItem::TrackReplaced { old, by } => {
                // What came before belongs to the old track.
                self.pass_on(now);
                self.add_track(now, by, Some(old));
            }
            IngestItem::ClockRestarted => self.restart_clock(now),
            IngestItem::Dropped(frames) => {
                ShardCounters::add(&self.counters.ingest_frames_dropped, frames);
                self.status.frames_dropped += frames;
            }
            IngestItem::Frame(track, frame) => self.handle_frame(now, track, &frame),
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

    /// The source's clock jumped: what follows has a calendar date of its own, and players must not reckon over the jump.
    fn restart_clock(&mut self, now: Instant) {
        // What came before belongs to the epoch that ends.
        self.drain_hub(now);
        let (Some(ingest), Some(packager)) = (&mut self.ingest, &mut self.packager) else { return };
        if ingest.clock_restarts >= CLOCK_RESTARTS_MAX {
            return;
        }
        ingest.clock_restarts += 1;
        packager.end_epoch(now);
        self.start_epoch(now, Duration::ZERO, self.listed_tracks());
    }

    fn note(&mut self, now: Instant, warning: ShardWarning) {
        if let Some(ingest) = &mut self.ingest {
            ingest.note(now, warning);
        }
    }

    fn apply_hub(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                // RTMP can neither pause a layer nor be asked for a keyframe.
                HubEffect::Demand { .. } => {}
                HubEffect::KeyframeWanted { track, .. } => self.want_keyframe(track),
                HubEffect::Closed { subscriber } => tracing::debug!(?subscriber, "a subscriber was closed"),
            }
        }
    }
}

fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(since.as_micros() as i64)
}

#[cfg(test)]
mod tests;
