//! The room's packager: its epochs, and what it does as far as the rest of the room and the players are concerned.

use std::time::{Duration, Instant};

use telstar_hls::{Effect, Packager, State, Warning};
use telstar_media::TrackInfo;
use telstar_units::{Epoch, WallTime};

use super::super::{IngestVia, ShardWarning};
use super::{ShardCounters, ShardRoom, landing, wall_now};

impl ShardRoom {
    /// An epoch begins whose first frame came `age` ago.
    pub(super) fn start_epoch(&mut self, now: Instant, age: Duration, tracks: Vec<TrackInfo>) {
        let wall = wall_now();
        let epoch = Epoch::next(self.numbers.last_epoch, wall.unix_secs());
        self.numbers.last_epoch = Some(epoch);
        self.hides_listing = false;
        self.told.clone_from(&tracks);
        let packager = self.packager.take();
        let made = packager.is_none();
        let mut packager = packager.unwrap_or_else(|| self.make_packager(wall));
        if made && let Some(dvr) = &self.settings.dvr {
            dvr.begin(self.output.room, self.output.name.clone());
        }
        let from_call = self.ingest.as_ref().is_some_and(|ingest| ingest.via != IngestVia::Ring);
        packager.require_target_duration(if from_call { landing::TARGET_DURATION_SECS } else { 0 });
        let began = wall.plus_micros(-i64::try_from(age.as_micros()).unwrap_or_default());
        packager.start_epoch(now, epoch, began, tracks);
        packager.set_alternate(now, self.alternate.as_ref().map(|outlet| outlet.info.clone()));
        self.packager = Some(packager);
        self.apply_packager(now);
    }

    pub(super) fn make_packager(&self, wall: WallTime) -> Packager {
        let settings = &self.settings;
        let (msn, sequence) = self.numbers.next.map_or((0, 0), |next| (next.msn, next.discontinuity_sequence));
        let msn = msn.max(wall.unix_secs());
        let sequence = sequence.max(settings.first_discontinuity_sequence);
        let packager = Packager::new(settings.packager.clone(), settings.budget.clone(), msn, sequence);
        match &settings.dvr {
            Some(dvr) => packager.with_disk(dvr.budget().clone()),
            None => packager,
        }
    }

    pub(super) fn apply_packager(&mut self, now: Instant) {
        let mut changed = false;
        while let Some(effect) = self.packager.as_mut().and_then(Packager::poll_effect) {
            match effect {
                Effect::Snapshot(snapshot) => {
                    ShardCounters::add(&self.counters.snapshots, 1);
                    changed |= self.note_state(snapshot.state);
                    let before = self.numbers.next;
                    self.numbers.next = self.packager.as_ref().map(Packager::next_numbers);
                    self.note_next(before);
                    if !self.hides_listing {
                        self.output.live.send_replace(Some(snapshot));
                    }
                }
                Effect::Warning(warning) => self.handle_warning(now, warning),
                Effect::KeyframeIntervalMended => {
                    if let Some(ingest) = &mut self.ingest {
                        ingest.keyframe_interval_secs = None;
                    }
                }
                Effect::KeepInit(init) => self.keep_init(init),
                Effect::Keep { kind, segment, listed_from } => self.keep(kind, segment, listed_from),
                Effect::Discard { kind, below } => self.discard(kind, below),
                Effect::ListingOver => self.listing_over(),
            }
        }
        self.count_drops();
        if changed {
            self.publish_status();
        }
    }

    /// Whether there is something to watch; what landed says so by itself, because it is watched without a listing, too.
    fn note_state(&mut self, state: State) -> bool {
        if self.ingest.as_ref().is_some_and(|ingest| ingest.landed.is_some()) {
            return false;
        }
        let playable = self.ingest.is_some() && state == State::Live;
        let before = std::mem::replace(&mut self.status.playable, playable);
        before != playable
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
            Warning::CodecUnsupported(codec) => self.note(now, ShardWarning::CodecUnsupported(codec.name())),
            Warning::TimestampsJump { .. } => self.note(now, ShardWarning::TimestampsJump),
        }
    }
}
