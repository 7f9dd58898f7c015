//! Where a conversion's frames come from: the shard's ring, and behind it what a next worker would need.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use telstar_media::Frame;
use telstar_units::TrackId;

use crate::shards::{ViewerItem, ViewerRing};
use crate::workers::ConversionJob;
use crate::workers::backlog::Backlog;
use crate::workers::pool::WorkerCounters;

/// How long a media thread takes to move the newest group of pictures into a ring, at most. Higher delays the first frame;
/// lower takes a part of the past for new.
const SETTLES_WITHIN: Duration = Duration::from_millis(20);

/// What is next for the worker.
pub(super) enum Fed {
    /// A frame, and whether it is only to be decoded.
    Frame(Frame, bool),
    /// The stream paused: what the worker holds back shall come out.
    Flush,
}

/// See the module.
pub(super) struct Source {
    ring: Arc<ViewerRing>,
    track: TrackId,
    backlog: Backlog,
    items: Vec<ViewerItem>,
    wants_flush: bool,
    /// Times begin anew: a worker must not put what follows behind what was.
    restarts: bool,
}

impl Source {
    pub(super) fn new(job: &ConversionJob) -> Source {
        Source {
            ring: Arc::clone(&job.frames),
            track: job.track.id,
            backlog: Backlog::new(job.track.kind(), job.track.timescale),
            items: Vec::new(),
            wants_flush: false,
            restarts: false,
        }
    }

    /// Waits for more; false when nothing follows. Cancel-safe: nothing is taken before it completes.
    pub(super) async fn read(&mut self) -> bool {
        let more = self.ring.next(&mut self.items).await;
        self.take();
        more
    }

    /// Keeps what comes until then; false when nothing follows.
    pub(super) async fn keep_until(&mut self, until: Instant, counters: &WorkerCounters) -> bool {
        let deadline = tokio::time::sleep_until(until.into());
        tokio::pin!(deadline);
        loop {
            // Both are cancel-safe.
            tokio::select! {
                () = &mut deadline => return true,
                more = self.read() => if !more { return false },
            }
            counters.dropped_frames.add(self.backlog.take_dropped());
        }
    }

    /// A worker begins: with what is there, of which only the newest is shown; if nothing is, with what comes first. False
    /// when nothing follows.
    pub(super) async fn begin(&mut self) -> bool {
        self.take_ready();
        if !self.backlog.has_any() {
            if !self.read().await {
                return false;
            }
            // The newest group of pictures comes in one go, but not in one piece.
            tokio::time::sleep(SETTLES_WITHIN).await;
            self.take_ready();
        }
        self.restarts = false;
        self.backlog.begin_again();
        true
    }

    fn take_ready(&mut self) {
        while let Some(true) = self.ring.next(&mut self.items).now_or_never() {
            self.take();
        }
    }

    /// What is next for the worker, of what is there.
    pub(super) fn feed(&mut self) -> Option<Fed> {
        if let Some((frame, decode_only)) = self.backlog.feed() {
            return Some(Fed::Frame(frame, decode_only));
        }
        std::mem::take(&mut self.wants_flush).then_some(Fed::Flush)
    }

    /// There is something to feed.
    pub(super) fn has_news(&self) -> bool {
        self.backlog.has_news() || self.wants_flush
    }

    /// Whether times began anew since the last call.
    pub(super) fn take_restart(&mut self) -> bool {
        std::mem::take(&mut self.restarts)
    }

    /// Frames that no worker will see, since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        self.backlog.take_dropped()
    }

    fn take(&mut self) {
        for item in self.items.drain(..) {
            match item {
                ViewerItem::Frame(track, frame) if track == self.track => self.backlog.push(frame),
                ViewerItem::Frame(..) => {}
                ViewerItem::Tracks { restarts: true, .. } => {
                    self.backlog.clear();
                    self.restarts = true;
                }
                ViewerItem::Tracks { .. } => {}
                ViewerItem::Ended => self.wants_flush = true,
            }
        }
    }
}
