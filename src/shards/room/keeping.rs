//! The room's DVR window: from the packager's effects to the disk, and back.

use std::sync::Arc;
use std::time::Instant;

use telstar_hls::{KeptInit, KeptListing, Numbers, Segment, SegmentId};
use telstar_media::MediaKind;

use super::{ShardCounters, ShardRoom, wall_now};
use crate::dvr::{Answer, Dvr};

/// Numbers that are noted before they are used. The note goes the way of the segments and may be late; a crash then must
/// fall on a disk that is more than a segment behind for a number to be used twice, and even so under another address.
/// Higher survives a slower disk, and lists more gaps after every restart. Guess.
const NUMBERS_AHEAD: u64 = 1;

impl ShardRoom {
    /// Lists what an earlier run of the server had kept, until an encoder goes on with it or does not come.
    pub(in super::super) fn restore(&mut self, now: Instant, listing: KeptListing) {
        // An encoder that was faster has begun another listing.
        if self.packager.is_some() {
            return;
        }
        let newest = listing.segments.iter().map(|(_, segment)| segment.epoch).max();
        self.numbers.last_epoch = self.numbers.last_epoch.max(newest);
        self.restored_until = (!listing.ended).then(|| now + self.settings.reconnect_window);
        let mut packager = self.make_packager(wall_now());
        packager.restore(now, listing);
        self.packager = Some(packager);
        self.apply_packager(now);
    }

    /// The disk has answered.
    pub(in super::super) fn handle_kept(&mut self, now: Instant, id: SegmentId, is_kept: bool) {
        if let Some(packager) = &mut self.packager {
            packager.handle_kept(now, id, is_kept);
        }
        self.apply_packager(now);
    }

    /// Nothing of the room is fetchable any more.
    pub(in super::super) fn let_go_of_disk(&self) {
        if let Some(dvr) = self.dvr() {
            dvr.remove(self.output.room);
        }
    }

    pub(super) fn keep_init(&self, init: KeptInit) {
        if let Some(dvr) = self.dvr() {
            dvr.keep_init(self.output.room, init);
        }
    }

    pub(super) fn keep(&self, kind: MediaKind, segment: Arc<Segment>, listed_from: u64) {
        let Some(dvr) = self.dvr() else { return };
        let id = SegmentId { kind, epoch: segment.epoch, msn: segment.msn };
        let sink = self.sink.clone();
        let answer = Answer::new(move |is_kept| sink.tell(id, is_kept));
        dvr.keep(self.output.room, kind, segment, listed_from, answer);
    }

    pub(super) fn discard(&self, kind: MediaKind, below: u64) {
        if let Some(dvr) = self.dvr() {
            dvr.discard(self.output.room, kind, below);
        }
    }

    pub(super) fn listing_over(&self) {
        if let Some(dvr) = self.dvr() {
            dvr.listing_over(self.output.room);
        }
    }

    /// Players are about to see numbers whose segments the disk may never hold.
    pub(super) fn note_next(&self, before: Option<Numbers>) {
        let next = self.numbers.next.map(|next| next.msn);
        if let (Some(dvr), Some(next)) =
            (self.dvr(), next.filter(|next| before.map(|before| before.msn) != Some(*next)))
        {
            dvr.note_next(self.output.room, next + NUMBERS_AHEAD);
        }
    }

    pub(super) fn count_evicted_kept(&mut self) {
        let evicted = self.packager.as_ref().map_or(0, |packager| packager.counters().evicted_kept_bytes);
        let seen = std::mem::replace(&mut self.evicted_kept_seen, evicted);
        ShardCounters::add(&self.counters.evicted_kept_bytes, evicted.saturating_sub(seen));
    }

    fn dvr(&self) -> Option<&Arc<Dvr>> {
        self.settings.dvr.as_ref()
    }
}
