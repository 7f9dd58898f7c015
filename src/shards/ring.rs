//! The one way into a shard for media: a bounded ring of batches per ingest connection.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use telstar_media::{Frame, TrackInfo};
use telstar_units::TrackId;
use tokio::sync::Notify;

use super::table::Bell;

/// Batches in one ring. A batch is what one read of a socket brought; 256 of them bridge a shard that is busy for a
/// quarter of a second at 1,000 reads a second. When it is full the connection stops reading, so that TCP slows the
/// encoder down ([`IngestRing::send`] waits); nothing is dropped.
pub const INGEST_BATCHES_MAX: usize = 256;

/// What an ingest connection delivers.
#[derive(Debug)]
pub enum IngestItem {
    /// A track that begins here.
    Track(TrackInfo),
    /// A track that goes on where another ends: the source changed codec or clock.
    TrackReplaced {
        /// The track that ends.
        old: TrackId,
        /// The one that begins.
        by: TrackInfo,
    },
    /// A frame of a track.
    Frame(TrackId, Frame),
    /// The source's clock jumped here. Times go on without the jump.
    ClockRestarted,
    /// Frames that came here and could not be used.
    Dropped(u64),
    /// Something the streamer should know.
    Warning(IngestWarning),
}

/// What an ingest adapter noticed of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestWarning {
    /// The source's clock jumped.
    TimestampsJump,
    /// Sound is missing in between.
    AudioGap,
    /// A track cannot be taken; the name of its codec.
    CodecUnsupported(&'static str),
}

/// The shard has detached the ring: another connection took the room, or the room is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the room does not take this connection's media any more")]
pub struct RingClosed;

/// A ring from one ingest connection to the shard of its room.
#[derive(Debug)]
pub struct IngestRing {
    batches: ArrayQueue<Vec<IngestItem>>,
    space: Notify,
    producer_gone: AtomicBool,
    detached: AtomicBool,
    bell: Bell,
}

impl IngestRing {
    pub(super) fn new(bell: Bell) -> IngestRing {
        IngestRing {
            batches: ArrayQueue::new(INGEST_BATCHES_MAX),
            space: Notify::new(),
            producer_gone: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            bell,
        }
    }

    /// Hands a batch over; waits while the ring is full. Cancel-safe only in the sense that a cancelled batch is lost,
    /// so callers end the connection then.
    pub async fn send(&self, batch: Vec<IngestItem>) -> Result<(), RingClosed> {
        let mut batch = batch;
        loop {
            let space = self.space.notified();
            if self.detached.load(Ordering::Acquire) {
                return Err(RingClosed);
            }
            match self.batches.push(batch) {
                Ok(()) => {
                    self.bell.ring();
                    return Ok(());
                }
                Err(full) => batch = full,
            }
            space.await;
        }
    }

    /// Says that nothing follows. The shard takes what is in the ring first.
    pub fn finish(&self) {
        self.producer_gone.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// The shard looks at what is in the ring: what comes later rings the bell again.
    pub(super) fn answer(&self) {
        self.bell.answer();
    }

    /// The next batch, on the shard.
    pub(super) fn take(&self) -> Option<Vec<IngestItem>> {
        let batch = self.batches.pop();
        if batch.is_some() {
            self.space.notify_one();
        }
        batch
    }

    /// Something is left, on the shard.
    pub(super) fn has_batches(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Nothing follows and nothing is left, on the shard.
    pub(super) fn is_over(&self) -> bool {
        // The order matters: what was pushed before the flag is seen after it.
        self.producer_gone.load(Ordering::Acquire) && self.batches.is_empty()
    }

    /// Lets the producer go, on the shard.
    pub(super) fn detach(&self) {
        self.detached.store(true, Ordering::Release);
        self.space.notify_one();
    }
}
