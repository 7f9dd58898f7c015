//! The way out of a shard for a mix: frames of many tracks in one bounded ring, to one worker's task.
//!
//! The shard pushes and never waits. A full ring loses what it holds, and then each picture's frames up to one that stands
//! alone (ADR 5): a mix that is behind is of no use to anybody.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telstar_media::{Frame, MediaKind};
use telstar_units::{ParticipantId, Timescale, TrackId};
use tokio::sync::Notify;

use super::table::Bell;

/// Tracks of one mix at most: `transcode.mix_pictures_max` and `transcode.mix_sounds_max` at their highest.
pub const MIX_TRACKS_MAX: usize = 80;
/// Frames that wait for a worker: a second of 80 tracks of 50 frames. Higher bears a worker that is slower for longer, and
/// lets it be further behind.
pub const MIX_ITEMS_MAX: usize = 4_096;
/// Bytes of them: ten seconds of six pictures of 1 Mbit/s each.
pub const MIX_BYTES_MAX: usize = 8 << 20;

/// A track of a call that is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixTrack {
    /// Which.
    pub track: TrackId,
    /// Whose: tracks of one participant stay in step by its sender reports.
    pub participant: ParticipantId,
    /// Picture or sound.
    pub kind: MediaKind,
}

/// A frame of one of the tracks.
#[derive(Clone, Debug)]
pub struct MixItem {
    /// Of which track.
    pub track: TrackId,
    /// The clock of its times, which count from the mix's zero.
    pub timescale: Timescale,
    /// The frame.
    pub frame: Frame,
}

/// A ring from the shard of a room to the task of its mix.
#[derive(Debug)]
pub(super) struct MixRing {
    waiting: Mutex<Waiting>,
    changed: Notify,
    reader_gone: AtomicBool,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<MixItem>,
    bytes: usize,
    /// Pictures of which frames were lost, until one that stands alone.
    wait_for_key: BTreeSet<TrackId>,
    /// Nothing follows.
    closed: bool,
}

impl MixRing {
    pub(super) fn new(bell: Bell) -> MixRing {
        MixRing { waiting: Mutex::default(), changed: Notify::new(), reader_gone: AtomicBool::new(false), bell }
    }

    /// Takes a frame. Returns how many were lost for it.
    pub(super) fn push(&self, item: MixItem) -> u64 {
        let mut waiting = self.waiting();
        let mut lost = 0;
        let len = item.frame.payload.len();
        if waiting.items.len() >= MIX_ITEMS_MAX || waiting.bytes + len > MIX_BYTES_MAX {
            lost = waiting.items.len() as u64;
            let pictures: Vec<TrackId> =
                waiting.items.drain(..).filter(MixItem::is_picture).map(|item| item.track).collect();
            waiting.wait_for_key.extend(pictures);
            waiting.bytes = 0;
        }
        if item.is_picture() {
            if item.frame.key {
                waiting.wait_for_key.remove(&item.track);
            } else if waiting.wait_for_key.contains(&item.track) {
                return lost + 1;
            }
        }
        waiting.bytes += len;
        waiting.items.push_back(item);
        drop(waiting);
        self.changed.notify_one();
        lost
    }

    /// The track is over: its id does not come again.
    pub(super) fn forget(&self, track: TrackId) {
        self.waiting().wait_for_key.remove(&track);
    }

    /// Says that nothing follows.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_one();
    }

    /// Nobody reads any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reader_gone.load(Ordering::Acquire)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MixItem {
    fn is_picture(&self) -> bool {
        self.frame.config.codec().kind() == MediaKind::Video
    }
}

/// The frames of a mix's tracks. Dropping it says that nobody wants them.
#[derive(Debug)]
pub struct MixFrames(Arc<MixRing>);

impl MixFrames {
    pub(super) fn new(ring: Arc<MixRing>) -> MixFrames {
        MixFrames(ring)
    }

    /// Moves what waits into `items`, and waits for the first; false when nothing follows. Cancel-safe: nothing is taken
    /// before it completes.
    pub async fn next(&self, items: &mut Vec<MixItem>) -> bool {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut waiting = self.0.waiting();
                items.extend(waiting.items.drain(..));
                waiting.bytes = 0;
                if !items.is_empty() || waiting.closed {
                    return !items.is_empty();
                }
            }
            changed.await;
        }
    }
}

impl Drop for MixFrames {
    fn drop(&mut self) {
        self.0.reader_gone.store(true, Ordering::Release);
        self.0.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use telstar_media::{Codec, CodecConfig};

    use super::*;

    fn item(track: u64, codec: Codec, dts: i64, key: bool, len: usize) -> MixItem {
        let config = Arc::new(CodecConfig::Opaque { codec, record: Bytes::new() });
        let frame = Frame { config, dts, pts: dts, duration: 0, key, payload: Bytes::from(vec![0; len]) };
        MixItem { track: TrackId(track), timescale: Timescale::VIDEO, frame }
    }

    #[tokio::test]
    async fn a_full_ring_loses_what_it_holds_and_each_picture_waits_for_its_own_keyframe() {
        let ring = Arc::new(MixRing::new(Bell::for_tests()));
        let frames = MixFrames::new(Arc::clone(&ring));
        let half = MIX_BYTES_MAX / 2;
        assert_eq!(ring.push(item(1, Codec::Vp8, 0, true, half)), 0);
        assert_eq!(ring.push(item(2, Codec::Vp8, 0, true, half)), 0);
        assert_eq!(ring.push(item(1, Codec::Vp8, 1, false, 1)), 3, "both, and what cannot be decoded without");
        assert_eq!(ring.push(item(2, Codec::Vp8, 2, true, 1)), 0);
        assert_eq!(ring.push(item(1, Codec::Vp8, 3, false, 1)), 1, "another picture's keyframe does not help");
        assert_eq!(ring.push(item(3, Codec::Opus, 4, true, 1)), 0);
        ring.close();
        let mut items = Vec::new();
        assert!(frames.next(&mut items).await);
        assert_eq!(items.drain(..).map(|item| item.frame.dts).collect::<Vec<_>>(), [2, 4]);
        assert!(!frames.next(&mut items).await);
        drop(frames);
        assert!(ring.is_abandoned());
    }
}
