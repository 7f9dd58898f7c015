//! The rooms of this node: the only place that applies one core's effects to the others.
//!
//! In: encoders that want to publish, credentials and rooms that change in the store, viewers that come and go, status
//! of the shards. Out: admissions, kicks, each room's state for pages, each room's playlists for players.
//! `signaling::Room` decides, the shards carry the media, the store knows what is durable; this file joins them.

mod actor;
mod entry;
mod ingest;
mod news;
mod state;
mod telling;
mod viewers;
mod watching;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use telstar_hls::KeptListing;
use telstar_signaling::room::{KickReason, RoomConfig};
use telstar_signaling::wire::Conversion;
use telstar_store::{Room, Store, StoreError, StreamKeyId};
use telstar_units::RoomName;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use crate::shards::{RoomKey, Shards};
use crate::tasks::Tasks;
use news::Board;

pub use entry::RoomEntry;
pub use ingest::{IngestHandle, IngestRequest, IngestVia, PublishRefusal};
pub use news::{FedIngest, IngestNews, Ingests, Latest, Wanted};
pub use viewers::{VIEWERS_PER_ROOM_MAX, ViewerGuard, ViewerKey, ViewerKind};
pub use watching::WatchHandle;

/// Messages that wait for the rooms' task. Each is one encoder or one change of a room; when it is full the encoder is
/// refused as busy, and a change waits.
const MAILBOX_MAX: usize = 1_024;
/// Changes kept for a subscriber of [`Rooms::changes`] that is behind; one that is further behind reads the list anew.
const CHANGES_MAX: usize = 1_024;
/// How often viewer counts and measured rates are brought into the rooms' states.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// What changed, for lists of rooms.
#[derive(Clone, Debug)]
pub enum RoomChanged {
    /// A room was made, or its facts or live state changed.
    Changed(Arc<RoomEntry>),
    /// A room is gone.
    Deleted(Arc<RoomEntry>),
}

/// The rooms of this node. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    shards: Arc<Shards>,
    /// Rooms that were asked for. Bounded by the rooms in the store: no entry is made for a room that does not exist.
    entries: Mutex<HashMap<RoomName, Arc<RoomEntry>>>,
    /// How many rooms were deleted, so that an answer of the store from before a deletion is not taken for the truth.
    deletions: AtomicU64,
    next_key: AtomicU64,
    mailbox: mpsc::Sender<actor::Message>,
    changes: broadcast::Sender<RoomChanged>,
    status_changed: Arc<Notify>,
    ingests: Arc<Board<IngestNews>>,
    wanted: Arc<Board<Wanted>>,
    /// Of the last participant. Shared with the calls, so that an encoder has one number in both.
    participants: Arc<AtomicU64>,
}

impl Rooms {
    /// Starts the rooms' task.
    pub fn start(store: Arc<dyn Store>, shards: Arc<Shards>, config: RoomConfig, tasks: &Tasks) -> Rooms {
        let (mailbox, inbox) = mpsc::channel(MAILBOX_MAX);
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let inner = Inner {
            store,
            shards,
            entries: Mutex::new(HashMap::new()),
            deletions: AtomicU64::new(0),
            next_key: AtomicU64::new(0),
            mailbox,
            changes,
            status_changed: Arc::new(Notify::new()),
            ingests: Arc::default(),
            wanted: Arc::default(),
            participants: Arc::default(),
        };
        let rooms = Rooms { inner: Arc::new(inner) };
        let actor = actor::Actor::new(rooms.clone(), config, tasks.child_token());
        tasks.spawn("rooms", actor.run(inbox));
        rooms
    }

    /// The room of this name, if the store has it.
    pub async fn get(&self, name: &RoomName) -> Result<Option<Arc<RoomEntry>>, StoreError> {
        loop {
            if let Some(entry) = self.known(name) {
                return Ok(Some(entry));
            }
            let deletions = self.inner.deletions.load(Ordering::SeqCst);
            let Some(room) = self.inner.store.room(name.clone()).await? else { return Ok(None) };
            if let Some(entry) = self.remember(room, deletions) {
                return Ok(Some(entry));
            }
            // A room was deleted while the store answered. If it was this one, the store now says so.
        }
    }

    /// The room if it was asked for before: without the store.
    pub fn known(&self, name: &RoomName) -> Option<Arc<RoomEntry>> {
        self.entries().get(name).cloned()
    }

    /// A room that was made or changed in the store; to be called after the commit, and in the order of the commits.
    pub fn room_changed(&self, room: Room) -> Arc<RoomEntry> {
        let entry = self.entry_of(&mut self.entries(), &room);
        entry.set_facts(room);
        self.announce(RoomChanged::Changed(Arc::clone(&entry)));
        entry
    }

    /// A room that was deleted from the store: its publisher is sent away, its stream ends, watchers are told.
    pub async fn room_deleted(&self, name: &RoomName) {
        let entry = {
            let mut entries = self.entries();
            // Under the lock, so that whoever asked the store before the commit does not put the room back.
            self.inner.deletions.fetch_add(1, Ordering::SeqCst);
            entries.remove(name)
        };
        if let Some(entry) = entry {
            self.tell(actor::Message::Close { entry, reason: KickReason::RoomDeleted }).await;
            self.barrier().await;
        }
    }

    /// A stream key was revoked: whoever publishes with it is sent away at once.
    pub async fn key_revoked(&self, key: StreamKeyId) {
        self.tell(actor::Message::KeyRevoked { key }).await;
    }

    /// Admits an encoder whose credential was found good, or says why not.
    pub async fn open_ingest(&self, request: IngestRequest) -> Result<IngestHandle, PublishRefusal> {
        let entry = match self.get(&request.room).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Err(PublishRefusal::NoRoom),
            Err(_) => return Err(PublishRefusal::Busy),
        };
        let (answer, decided) = oneshot::channel();
        let publish = actor::Message::Publish { entry, request, answer };
        self.inner.mailbox.try_send(publish).map_err(|_| PublishRefusal::Busy)?;
        decided.await.unwrap_or(Err(PublishRefusal::Busy))
    }

    /// Lists what an earlier run of the server had kept of a room.
    pub fn restore(&self, entry: &RoomEntry, listing: KeptListing) {
        self.inner.shards.restore(entry.key, entry.output(), listing);
    }

    /// Changes of all rooms, from now on.
    pub fn changes(&self) -> broadcast::Receiver<RoomChanged> {
        self.inner.changes.subscribe()
    }

    /// The ingests that come as frames and can be fed to calls, now and as they change.
    pub fn ingests(&self) -> Ingests {
        Latest { board: Arc::clone(&self.inner.ingests) }
    }

    /// The conversions that rooms want, now and as they change.
    pub fn wanted(&self) -> Latest<Wanted> {
        Latest { board: Arc::clone(&self.inner.wanted) }
    }

    /// How the conversions of a room are, for who may administer it.
    pub fn conversions_changed(&self, entry: &RoomEntry, conversions: Vec<Conversion>) {
        if entry.set_conversions(conversions) {
            self.inner.status_changed.notify_one();
        }
    }

    /// How the mix of a room's call is, for who may administer it; `None` when there is none any more.
    pub fn mix_changed(&self, entry: &RoomEntry, mix: Option<Conversion>) {
        if entry.set_mix(mix) {
            self.inner.status_changed.notify_one();
        }
    }

    /// Somebody who may watch the room asks for a playlist. An ingest that comes by the SFU is listed for as long as somebody
    /// does.
    pub fn demand_hls(&self, entry: &RoomEntry) {
        let now = Instant::now();
        if entry.is_demand_due(now) && self.inner.shards.demand_hls(entry.key) {
            entry.note_demand(now);
        }
    }

    /// A moderator removed a room's encoder: it is sent away and the stream ends.
    pub async fn remove_ingest(&self, entry: &Arc<RoomEntry>) {
        self.tell(actor::Message::Close { entry: Arc::clone(entry), reason: KickReason::Removed }).await;
    }

    /// The number of the last participant, for whoever else numbers them.
    pub fn participant_numbers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.inner.participants)
    }

    /// The threads that carry the rooms' media run.
    pub fn media_is_running(&self) -> bool {
        self.inner.shards.are_running()
    }

    /// Rooms that are live or reconnecting now.
    pub fn live_count(&self) -> usize {
        self.entries().values().filter(|entry| entry.is_live()).count()
    }

    /// Viewers of all rooms.
    pub fn viewer_count(&self) -> u64 {
        self.entries().values().map(|entry| entry.state().viewers).sum()
    }

    /// Sends every publisher away and ends every stream. Part of the shutdown.
    pub async fn close_all(&self) {
        let entries: Vec<_> = self.entries().values().cloned().collect();
        for entry in entries {
            self.tell(actor::Message::Close { entry, reason: KickReason::Shutdown }).await;
        }
        self.barrier().await;
    }

    /// Waits until the rooms' task has done what it was told.
    async fn barrier(&self) {
        let (done, reached) = oneshot::channel();
        self.tell(actor::Message::Barrier { done }).await;
        // An error means that the task has ended already, which is as good.
        let _ = reached.await;
    }

    async fn tell(&self, message: actor::Message) {
        // The task ends only in the shutdown; then nobody is left to be told.
        let _ = self.inner.mailbox.send(message).await;
    }

    fn announce(&self, change: RoomChanged) {
        // No subscriber is no error.
        let _ = self.inner.changes.send(change);
    }

    /// Keeps what the store answered, unless a room was deleted since `deletions` was read.
    fn remember(&self, room: Room, deletions: u64) -> Option<Arc<RoomEntry>> {
        let mut entries = self.entries();
        let is_current = self.inner.deletions.load(Ordering::SeqCst) == deletions;
        is_current.then(|| self.entry_of(&mut entries, &room))
    }

    fn entry_of(&self, entries: &mut HashMap<RoomName, Arc<RoomEntry>>, room: &Room) -> Arc<RoomEntry> {
        let make = || {
            let key = RoomKey(self.inner.next_key.fetch_add(1, Ordering::Relaxed));
            Arc::new(RoomEntry::new(key, room.clone(), Arc::clone(&self.inner.status_changed)))
        };
        Arc::clone(entries.entry(room.name.clone()).or_insert_with(make))
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<RoomName, Arc<RoomEntry>>> {
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::server;

    #[tokio::test]
    async fn an_answer_from_before_a_deletion_does_not_bring_the_room_back() {
        let (running, _folder) = server().await;
        let state = running.state();
        let name = RoomName::parse("demo").expect("a room name");
        let deletions = state.rooms.inner.deletions.load(Ordering::SeqCst);
        let answered = state.store.room(name.clone()).await.expect("answered").expect("the first room");
        state.store.delete_room(name.clone(), state.authority.now()).await.expect("deleted");
        state.rooms.room_deleted(&name).await;
        assert!(state.rooms.remember(answered, deletions).is_none());
        assert!(state.rooms.get(&name).await.expect("answered").is_none());
        assert!(state.rooms.known(&name).is_none());
    }
}
