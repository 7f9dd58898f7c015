//! Who takes a room's frames over a connection of its own.

use std::sync::Arc;

use super::{RoomEntry, Rooms};
use crate::shards::{ViewerItem, ViewerRing};

/// A viewer's way out of its room. Dropping it says that the viewer is gone.
#[derive(Debug)]
pub struct WatchHandle {
    ring: Arc<ViewerRing>,
}

impl Rooms {
    /// Gives the room's frames to a viewer that was `authorise`d before, now and whenever somebody publishes. `None`: the
    /// server has too much to do, or the room was deleted a moment ago.
    pub fn watch(&self, entry: &Arc<RoomEntry>, buffer_bytes_max: usize) -> Option<WatchHandle> {
        let ring = self.inner.shards.watch(entry.key, buffer_bytes_max, entry.output())?;
        let handle = WatchHandle { ring };
        // Looked at after the shard was told: a room that is deleted from here on takes its viewers along.
        let known = self.known(&entry.facts().name);
        known.is_some_and(|known| Arc::ptr_eq(&known, entry)).then_some(handle)
    }
}

impl WatchHandle {
    /// Moves what came into `items`, and waits for the first; false when the room is gone. Cancel-safe.
    pub async fn next(&self, items: &mut Vec<ViewerItem>) -> bool {
        self.ring.next(items).await
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.ring.abandon();
    }
}
