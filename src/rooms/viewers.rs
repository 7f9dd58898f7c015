//! Who watches a room: connections that say so, and players that are only seen fetching playlists.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::RoomEntry;

/// Different players counted per room; further ones are served and not counted.
pub const VIEWERS_PER_ROOM_MAX: usize = 100_000;
/// How long a player counts after its last playlist. A low-latency player asks every third of a second, a plain one
/// every target duration; three usual target durations of 6 s bridge a slow one.
const PLAYER_AGE_MAX: Duration = Duration::from_secs(18);

/// A viewer's likeness: a keyed hash of address and user agent, so that one browser's socket and player are one viewer
/// and nothing about the person is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewerKey(pub u64);

/// What a viewer's connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerKind {
    /// A socket that says so: a page of ours, which plays by other means.
    Page,
    /// Media comes over it: WHEP, RTMP.
    Media,
}

#[derive(Debug, Default)]
pub(super) struct Viewers {
    connections: HashMap<ViewerKey, Connections>,
    players: HashMap<ViewerKey, Instant>,
}

/// Those of one likeness.
#[derive(Debug, Default)]
struct Connections {
    pages: u64,
    media: u64,
}

impl Connections {
    fn of(&mut self, kind: ViewerKind) -> &mut u64 {
        match kind {
            ViewerKind::Page => &mut self.pages,
            ViewerKind::Media => &mut self.media,
        }
    }
}

impl Viewers {
    pub(super) fn connect(&mut self, key: ViewerKey, kind: ViewerKind) {
        *self.connections.entry(key).or_default().of(kind) += 1;
    }

    pub(super) fn disconnect(&mut self, key: ViewerKey, kind: ViewerKind) {
        if let Some(connections) = self.connections.get_mut(&key) {
            *connections.of(kind) -= 1;
            if (connections.pages, connections.media) == (0, 0) {
                self.connections.remove(&key);
            }
        }
    }

    pub(super) fn note(&mut self, now: Instant, key: ViewerKey) {
        if self.players.len() < VIEWERS_PER_ROOM_MAX || self.players.contains_key(&key) {
            self.players.insert(key, now);
        }
    }

    /// Connections, of which a page and what it plays are one, and players that belong to none of them.
    pub(super) fn count(&mut self, now: Instant) -> u64 {
        self.players.retain(|_, seen| now.saturating_duration_since(*seen) < PLAYER_AGE_MAX);
        let alone = self.players.keys().filter(|key| !self.connections.contains_key(key)).count();
        self.connections.values().map(|of| of.pages.max(of.media)).sum::<u64>() + alone as u64
    }
}

/// Counts one viewer while it lives.
#[derive(Debug)]
pub struct ViewerGuard {
    room: Arc<RoomEntry>,
    key: ViewerKey,
    kind: ViewerKind,
}

impl ViewerGuard {
    pub(super) fn new(room: Arc<RoomEntry>, key: ViewerKey, kind: ViewerKind) -> ViewerGuard {
        ViewerGuard { room, key, kind }
    }
}

impl Drop for ViewerGuard {
    fn drop(&mut self) {
        self.room.viewers().disconnect(self.key, self.kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browsers_socket_and_its_player_are_one_viewer() {
        let now = Instant::now();
        let mut viewers = Viewers::default();
        viewers.connect(ViewerKey(1), ViewerKind::Page);
        viewers.connect(ViewerKey(1), ViewerKind::Page);
        viewers.note(now, ViewerKey(1));
        viewers.note(now, ViewerKey(2));
        assert_eq!(viewers.count(now), 3, "two tabs and one other player");
        viewers.disconnect(ViewerKey(1), ViewerKind::Page);
        assert_eq!(viewers.count(now + PLAYER_AGE_MAX), 1, "the player has stopped asking");
        viewers.disconnect(ViewerKey(1), ViewerKind::Page);
        assert_eq!(viewers.count(now + PLAYER_AGE_MAX), 0);
    }

    #[test]
    fn a_page_that_plays_over_webrtc_is_one_viewer() {
        let now = Instant::now();
        let mut viewers = Viewers::default();
        viewers.connect(ViewerKey(1), ViewerKind::Page);
        viewers.connect(ViewerKey(1), ViewerKind::Media);
        viewers.connect(ViewerKey(2), ViewerKind::Media);
        assert_eq!(viewers.count(now), 2, "a page, and a player of its own");
        viewers.disconnect(ViewerKey(1), ViewerKind::Page);
        assert_eq!(viewers.count(now), 2, "its picture still comes");
        viewers.disconnect(ViewerKey(1), ViewerKind::Media);
        viewers.disconnect(ViewerKey(2), ViewerKind::Media);
        assert_eq!(viewers.count(now), 0);
    }
}
