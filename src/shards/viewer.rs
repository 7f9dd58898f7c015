//! The way out of a shard for frames: one bounded ring for each subscriber that takes them over a connection of its own.
//!
//! The shard pushes and never waits; a full ring loses its frames up to the next picture that stands alone (ADR 5). The
//! connection takes a little at a time, so that what a slow peer has not taken is still the ring's to drop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use telstar_media::{Frame, MediaKind, TrackInfo};
use telstar_units::TrackId;
use tokio::sync::Notify;

use super::table::Bell;

/// Items in one ring. 30 seconds of 60 pictures and 47 frames of sound a second; what is larger is limited by its bytes.
pub const VIEWER_ITEMS_MAX: usize = 4_096;
/// Bytes that the connection takes at once. Higher: fewer writes for fast peers; lower: less is out of the ring's reach.
const TAKEN_BYTES_MAX: usize = 256 * 1_024;

/// What a subscriber gets.
#[derive(Clone, Debug)]
pub enum ViewerItem {
    /// What there is from here on: at most one picture and one sound.
    Tracks {
        /// The tracks.
        tracks: Vec<TrackInfo>,
        /// Another connection publishes: its times have another zero.
        restarts: bool,
    },
    /// A frame of one of these tracks.
    Frame(TrackId, Frame),
    /// The stream has ended. Another may follow.
    Ended,
}

impl ViewerItem {
    fn bytes(&self) -> usize {
        match self {
            ViewerItem::Frame(_, frame) => frame.payload.len(),
            ViewerItem::Tracks { .. } | ViewerItem::Ended => 0,
        }
    }
}

/// A ring from the shard of a room to one connection.
#[derive(Debug)]
pub struct ViewerRing {
    waiting: Mutex<Waiting>,
    bytes_max: usize,
    changed: Notify,
    reader_gone: AtomicBool,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<ViewerItem>,
    bytes: usize,
    /// Frames were lost: pictures are left out until one that stands alone.
    waits_for_key: bool,
    /// Nothing follows: the room is gone.
    closed: bool,
}

impl Waiting {
    /// Loses every frame, and all but the newest of what says which tracks there are. Returns how many frames were lost.
    fn lose_frames(&mut self) -> u64 {
        let frames = self.items.iter().filter(|item| matches!(item, ViewerItem::Frame(..))).count();
        let restarted = self.items.iter().any(|item| matches!(item, ViewerItem::Tracks { restarts: true, .. }));
        let newest = self.items.drain(..).rfind(|item| !matches!(item, ViewerItem::Frame(..)));
        self.items.extend(newest.map(|item| match item {
            ViewerItem::Tracks { tracks, restarts } => ViewerItem::Tracks { tracks, restarts: restarts || restarted },
            other => other,
        }));
        self.bytes = 0;
        self.waits_for_key = true;
        frames as u64
    }
}

impl ViewerRing {
    pub(super) fn new(bytes_max: usize, bell: Bell) -> ViewerRing {
        let (waiting, changed) = (Mutex::default(), Notify::new());
        ViewerRing { waiting, bytes_max, changed, reader_gone: AtomicBool::new(false), bell }
    }

    /// Takes an item, on the shard. Returns how many frames were lost for it.
    pub(super) fn push(&self, item: ViewerItem) -> u64 {
        let mut waiting = self.waiting();
        let is_full = waiting.bytes + item.bytes() > self.bytes_max || waiting.items.len() >= VIEWER_ITEMS_MAX;
        let lost = if is_full { waiting.lose_frames() } else { 0 };
        if let ViewerItem::Frame(_, frame) = &item {
            if frame.config.codec().kind() == MediaKind::Video {
                waiting.waits_for_key &= !frame.key;
                if waiting.waits_for_key {
                    return lost + 1;
                }
            }
            if item.bytes() > self.bytes_max {
                // It alone is more than may wait.
                waiting.waits_for_key = true;
                return lost + 1;
            }
        }
        waiting.bytes += item.bytes();
        waiting.items.push_back(item);
        drop(waiting);
        self.changed.notify_one();
        lost
    }

    /// Says that nothing follows, on the shard.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_one();
    }

    /// Nobody reads any more, on the shard.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reader_gone.load(Ordering::Acquire)
    }

    /// Moves the oldest items into `items`, and waits for the first; false when nothing follows. Cancel-safe: nothing is
    /// taken before it completes.
    pub async fn next(&self, items: &mut Vec<ViewerItem>) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let mut waiting = self.waiting();
                let mut taken = 0;
                while let Some(item) = waiting.items.pop_front() {
                    waiting.bytes -= item.bytes();
                    taken += item.bytes();
                    items.push(item);
                    if taken >= TAKEN_BYTES_MAX {
                        break;
                    }
                }
                if !items.is_empty() || waiting.closed {
                    return !items.is_empty();
                }
            }
            changed.await;
        }
    }

    /// Says that nobody reads any more.
    pub fn abandon(&self) {
        self.reader_gone.store(true, Ordering::Release);
        self.bell.ring();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use telstar_media::{Codec, CodecConfig};

    use super::*;

    fn ring(bytes_max: usize) -> ViewerRing {
        ViewerRing::new(bytes_max, Bell::for_tests())
    }

    fn frame(codec: Codec, dts: i64, key: bool, len: usize) -> ViewerItem {
        let config = Arc::new(CodecConfig::Opaque { codec, record: Bytes::new() });
        let payload = Bytes::from(vec![0; len]);
        ViewerItem::Frame(TrackId(1), Frame { config, dts, pts: dts, duration: 0, key, payload })
    }

    fn tracks(restarts: bool) -> ViewerItem {
        ViewerItem::Tracks { tracks: Vec::new(), restarts }
    }

    /// What waits, as words.
    fn words(ring: &ViewerRing) -> Vec<String> {
        let waiting = ring.waiting();
        let word = |item: &ViewerItem| match item {
            ViewerItem::Tracks { restarts, .. } => format!("tracks {restarts}"),
            ViewerItem::Frame(_, frame) => format!("{}", frame.dts),
            ViewerItem::Ended => "ended".to_owned(),
        };
        waiting.items.iter().map(word).collect()
    }

    #[test]
    fn a_full_ring_loses_its_frames_up_to_the_next_key_frame() {
        let ring = ring(1_000);
        ring.push(tracks(true));
        assert_eq!((0..4).map(|n| ring.push(frame(Codec::H264, n, n == 0, 250))).sum::<u64>(), 0);
        assert_eq!(ring.push(frame(Codec::H264, 4, false, 250)), 5);
        assert_eq!(ring.push(frame(Codec::H264, 5, false, 250)), 1);
        assert_eq!(ring.push(frame(Codec::Aac, 6, true, 10)), 0, "sound goes on");
        assert_eq!(ring.push(frame(Codec::H264, 7, true, 250)), 0);
        assert_eq!(words(&ring), ["tracks true", "6", "7"]);
    }

    #[test]
    fn what_there_is_to_play_is_never_lost() {
        let ring = ring(1_000);
        for item in [tracks(true), frame(Codec::H264, 0, true, 600), ViewerItem::Ended, tracks(false)] {
            ring.push(item);
        }
        assert_eq!(ring.push(frame(Codec::H264, 1, true, 600)), 1);
        assert_eq!(words(&ring), ["tracks true", "1"]);
        ring.push(ViewerItem::Ended);
        ring.push(frame(Codec::H264, 2, false, 600));
        assert_eq!(words(&ring), ["ended"]);
    }

    #[test]
    fn a_frame_that_is_larger_than_the_ring_is_lost_alone() {
        let ring = ring(1_000);
        assert_eq!(ring.push(frame(Codec::H264, 0, true, 1_001)), 1);
        assert_eq!(ring.push(frame(Codec::H264, 1, false, 1)), 1);
        assert_eq!(ring.push(frame(Codec::H264, 2, true, 1)), 0);
        assert_eq!(ring.waiting().bytes, 1);
    }

    #[test]
    fn the_number_of_items_is_limited_as_well() {
        let ring = ring(usize::MAX);
        let lost: u64 = (0..3 * VIEWER_ITEMS_MAX as i64).map(|n| ring.push(frame(Codec::Aac, n, true, 0))).sum();
        assert!(lost >= VIEWER_ITEMS_MAX as u64);
        // An encoder that changes its tracks and sends no frame in between.
        for item in (0..3 * VIEWER_ITEMS_MAX).map(|_| tracks(false)) {
            ring.push(item);
        }
        assert!(ring.waiting().items.len() <= VIEWER_ITEMS_MAX);
    }

    #[tokio::test]
    async fn a_reader_takes_a_little_at_a_time_and_sees_the_end() {
        let ring = ring(usize::MAX);
        for n in 0..4 {
            ring.push(frame(Codec::H264, n, true, TAKEN_BYTES_MAX / 2));
        }
        let mut items = Vec::new();
        assert!(ring.next(&mut items).await);
        assert_eq!((items.len(), words(&ring).len()), (2, 2));
        items.clear();
        ring.close();
        assert!(ring.next(&mut items).await, "what waits comes first");
        items.clear();
        assert!(!ring.next(&mut items).await);
    }
}
