//! What a room tells of itself: the ingest as measured, and what was dropped.

use std::time::{Duration, Instant};

use super::{ShardCounters, ShardRoom};

/// How often rates are measured.
pub(super) const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Frames that were dropped and are counted already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dropped {
    by_hub: u64,
    by_packager: u64,
}

impl ShardRoom {
    /// Hub and packager count from their beginning, the status from the connection's.
    pub(super) fn count_drops(&mut self) {
        let by_hub = self.hub.counters().items_dropped;
        let by_packager = self.packager.as_ref().map_or(0, |packager| packager.counters().frames_dropped);
        let seen = std::mem::replace(&mut self.seen, Dropped { by_hub, by_packager });
        let (by_hub, by_packager) = (by_hub - seen.by_hub, by_packager - seen.by_packager);
        ShardCounters::add(&self.counters.frames_dropped, by_hub);
        ShardCounters::add(&self.counters.packager_frames_dropped, by_packager);
        self.status.frames_dropped += by_hub + by_packager;
        self.count_evicted_kept();
    }

    pub(super) fn measure(&mut self, now: Instant) {
        self.next_status = None;
        if let Some(ingest) = &mut self.ingest {
            self.next_status = Some(now + STATUS_INTERVAL);
            self.status.tracks = ingest.stats();
            self.status.warnings = ingest.warnings(now);
            self.publish_status();
        }
    }

    pub(super) fn publish_status(&mut self) {
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
