//! The one task that owns every room's core and carries out what the cores decide.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use telstar_signaling::room::{Admission, KickReason, Room, RoomConfig, RoomEffect, RoomPhase};
use telstar_store::StreamKeyId;
use telstar_units::{ParticipantId, WallTime};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::ingest::{IngestHandle, IngestRequest, Kick, PublishRefusal};
use super::state::{Publishing, room_state};
use super::telling::Told;
use super::{RoomChanged, RoomEntry, Rooms, STATE_INTERVAL};
use crate::shards::{IngestVia, RoomKey};

/// What others want of the rooms.
pub(super) enum Message {
    Publish {
        entry: Arc<RoomEntry>,
        request: IngestRequest,
        answer: oneshot::Sender<Result<IngestHandle, PublishRefusal>>,
    },
    KeyRevoked {
        key: StreamKeyId,
    },
    Close {
        entry: Arc<RoomEntry>,
        reason: KickReason,
    },
    Barrier {
        done: oneshot::Sender<()>,
    },
}

/// An ingest connection has ended.
pub(super) struct Gone {
    pub(super) room: RoomKey,
    pub(super) participant: ParticipantId,
}

pub(super) struct Actor {
    rooms: Rooms,
    config: RoomConfig,
    active: HashMap<RoomKey, ActiveRoom>,
    stop: CancellationToken,
    gone: (mpsc::UnboundedSender<Gone>, mpsc::UnboundedReceiver<Gone>),
}

/// A room in which somebody publishes, or did a moment ago.
struct ActiveRoom {
    entry: Arc<RoomEntry>,
    core: Room,
    publishing: Option<Publishing>,
    kick: Option<Arc<Kick>>,
    key: Option<StreamKeyId>,
    started_at: Option<WallTime>,
    told: Told,
}

impl Actor {
    pub(super) fn new(rooms: Rooms, config: RoomConfig, stop: CancellationToken) -> Actor {
        // Bounded by construction: one message per ingest connection, whose number is limited where they are accepted.
        #[expect(clippy::disallowed_methods, reason = "dropping a handle cannot wait, and each sends one message")]
        let gone = mpsc::unbounded_channel();
        Actor { rooms, config, active: HashMap::new(), stop, gone }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let status_changed = Arc::clone(&self.rooms.inner.status_changed);
        let mut tick = tokio::time::interval(STATE_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let deadline = self.active.values().filter_map(|room| room.core.poll_timeout()).min();
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            // Every branch is cancel-safe: channel receives, a Notify, an interval and a sleep. An encoder that ends a
            // publish and begins another must be gone before it comes, so ends go first. The status goes last: while many
            // rooms are live there may always be a new one.
            tokio::select! {
                biased;
                Some(gone) = self.gone.1.recv() => self.handle_gone(gone),
                () = timeout => self.handle_timeout(),
                _ = tick.tick() => self.refresh_all(),
                message = inbox.recv() => match message {
                    Some(message) => self.handle_message(message),
                    None => return,
                },
                () = self.stop.cancelled() => return,
                () = status_changed.notified() => self.handle_status(),
            }
        }
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            Message::Publish { entry, request, answer } => {
                let decision = self.publish(entry, request);
                // A dropped receiver drops the handle, which says that the encoder is gone.
                let _ = answer.send(decision);
            }
            Message::KeyRevoked { key } => {
                let of_key = |room: &&mut ActiveRoom| room.key == Some(key) && room.core.publisher().is_some();
                for room in self.active.values_mut().filter(of_key) {
                    room.core.handle_close(KickReason::KeyRevoked);
                }
                self.apply_all();
            }
            Message::Close { entry, reason } => {
                if let Some(room) = self.active.get_mut(&entry.key) {
                    room.core.handle_close(reason);
                    self.apply(entry.key);
                }
                if reason == KickReason::RoomDeleted {
                    if let Some(mut room) = self.active.remove(&entry.key) {
                        room.told.end(&self.rooms, &entry);
                    }
                    self.rooms.inner.shards.forget(entry.key);
                    // Announced here, so that no change of its state can follow its end.
                    entry.mark_deleted();
                    self.rooms.announce(RoomChanged::Deleted(entry));
                }
            }
            Message::Barrier { done } => {
                let _ = done.send(());
            }
        }
    }

    fn publish(&mut self, entry: Arc<RoomEntry>, request: IngestRequest) -> Result<IngestHandle, PublishRefusal> {
        // It may have been deleted while the encoder waited here.
        if !self.rooms.known(&request.room).is_some_and(|known| Arc::ptr_eq(&known, &entry)) {
            return Err(PublishRefusal::NoRoom);
        }
        let key = entry.key;
        let participant = ParticipantId(self.rooms.inner.participants.fetch_add(1, Ordering::Relaxed) + 1);
        let config = self.config;
        let room = self.active.entry(key).or_insert_with(|| ActiveRoom {
            entry: Arc::clone(&entry),
            core: Room::new(config),
            publishing: None,
            kick: None,
            key: None,
            started_at: None,
            told: Told::default(),
        });
        let admission = match request.via {
            IngestVia::Mix => room.core.handle_mix(participant),
            IngestVia::Ring | IngestVia::Call => room.core.handle_publish(Instant::now(), participant),
        };
        let Admission::Admitted { continues } = admission else {
            return Err(PublishRefusal::InUse);
        };
        // The one who is replaced is kicked before its kick handle is replaced below.
        self.apply(key);
        let Some(ring) = self.rooms.inner.shards.attach(key, participant, request.via, entry.output()) else {
            if let Some(room) = self.active.get_mut(&key) {
                room.core.handle_gone(Instant::now(), participant);
            }
            self.apply(key);
            return Err(PublishRefusal::Busy);
        };
        let kick = Arc::new(Kick::default());
        if let Some(room) = self.active.get_mut(&key) {
            room.kick = Some(Arc::clone(&kick));
            room.key = request.key;
            let (protocol, encoder) = (request.protocol, request.encoder);
            room.publishing = Some(Publishing { participant, protocol, encoder, via: request.via });
            if !continues {
                // Another stream than the one before, even if nobody has looked since that one ended.
                room.told.end(&self.rooms, &entry);
                room.started_at = Some(wall_now());
            }
        }
        self.refresh(key);
        tracing::info!(room = %entry.facts().name, %participant, continues, "an encoder publishes");
        let (gone, shards) = (self.gone.0.clone(), Arc::clone(&self.rooms.inner.shards));
        Ok(IngestHandle { participant, ring, kick, gone, room: key, shards })
    }

    fn handle_gone(&mut self, gone: Gone) {
        if let Some(room) = self.active.get_mut(&gone.room) {
            room.core.handle_gone(Instant::now(), gone.participant);
            if room.publishing.as_ref().is_some_and(|publishing| publishing.participant == gone.participant) {
                room.publishing = None;
                room.kick = None;
                room.key = None;
                tracing::info!(room = %room.entry.facts().name, participant = %gone.participant, "an encoder is gone");
            }
            self.apply(gone.room);
        }
    }

    fn handle_status(&mut self) {
        self.take_playable();
        self.apply_all();
        self.refresh_active();
    }

    fn take_playable(&mut self) {
        for room in self.active.values_mut() {
            let status = room.entry.output().status.borrow().clone();
            if let (true, Some(participant)) = (status.playable, status.participant) {
                room.core.handle_playable(participant);
            }
        }
    }

    fn handle_timeout(&mut self) {
        // A picture that came just in time is not to be missed for the order in which this task wakes.
        self.take_playable();
        let now = Instant::now();
        self.active.values_mut().for_each(|room| room.core.handle_timeout(now));
        self.apply_all();
    }

    fn apply_all(&mut self) {
        let keys: Vec<RoomKey> = self.active.keys().copied().collect();
        keys.into_iter().for_each(|key| self.apply(key));
    }

    /// Carries out what a room's core decided.
    fn apply(&mut self, key: RoomKey) {
        let Some(room) = self.active.get_mut(&key) else { return };
        let mut changed = false;
        while let Some(effect) = room.core.poll_effect() {
            match effect {
                RoomEffect::Kick { participant, reason } => {
                    if let Some(kick) = room.kick.take() {
                        let _ = kick.reason.set(reason);
                        kick.token.cancel();
                    }
                    tracing::info!(%participant, ?reason, "an encoder is sent away");
                }
                RoomEffect::FinishStream => {
                    room.started_at = None;
                    self.rooms.inner.shards.finish(key);
                }
                RoomEffect::RestartStream => {
                    room.started_at = Some(wall_now());
                    self.rooms.inner.shards.restart(key);
                }
                RoomEffect::PhaseChanged => changed = true,
            }
        }
        if changed {
            self.refresh(key);
        }
    }

    /// Viewer counts of rooms in which nothing is live change as well, which may wait for a tick.
    fn refresh_all(&mut self) {
        self.refresh_active();
        let entries: Vec<_> = self.rooms.entries().values().cloned().collect();
        for entry in entries.iter().filter(|entry| !self.active.contains_key(&entry.key)) {
            self.put(entry, &Room::new(self.config), None, None);
        }
    }

    fn refresh_active(&mut self) {
        self.active.keys().for_each(|key| self.refresh(*key));
        self.active.values_mut().for_each(|room| room.tell(&self.rooms));
        // An offline room needs no core: the next publisher makes a new one.
        self.active.retain(|_, room| {
            let stays = room.core.phase() != RoomPhase::Offline || room.publishing.is_some();
            if !stays {
                room.told.end(&self.rooms, &room.entry);
            }
            stays
        });
    }

    fn refresh(&self, key: RoomKey) {
        if let Some(room) = self.active.get(&key) {
            self.put(&room.entry, &room.core, room.publishing.as_ref(), room.started_at);
        }
    }

    fn put(&self, entry: &Arc<RoomEntry>, core: &Room, publishing: Option<&Publishing>, started_at: Option<WallTime>) {
        let viewers = entry.viewers().count(Instant::now());
        // One that was sent away is no news, even while its connection is still being closed.
        let publishing = publishing.filter(|publishing| core.publisher() == Some(publishing.participant));
        let state = room_state(entry, core.phase(), publishing, started_at, viewers);
        if entry.set_state(state) {
            self.rooms.announce(RoomChanged::Changed(Arc::clone(entry)));
        }
    }
}

impl ActiveRoom {
    /// Tells those who follow rooms what has changed.
    fn tell(&mut self, rooms: &Rooms) {
        let status = self.entry.output().status.borrow().clone();
        self.told.follow(rooms, &self.entry, self.core.phase(), self.publishing.as_ref(), &status);
    }
}

fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(since.as_micros() as i64)
}
