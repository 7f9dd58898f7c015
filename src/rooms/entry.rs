//! One room as the rest of the shell sees it: its durable facts, its live state, its playlists, its viewers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use telstar_hls::Snapshot;
use telstar_signaling::wire::call::Mode;
use telstar_signaling::wire::{self, Conversion, LiveState, RoomState};
use telstar_store::{Room, RoomMode};
use tokio::sync::{Notify, watch};

use super::viewers::{ViewerGuard, ViewerKey, ViewerKind, Viewers};
use crate::shards::{HLS_DEMAND, RoomKey, RoomOutput, ShardStatus};

/// How often a shard is told of demand for playlists while it lasts. More commands, or an end that is noticed later.
const DEMANDS_PER_HLS_DEMAND: u32 = 6;

/// A room of this node.
pub struct RoomEntry {
    pub(super) key: RoomKey,
    facts: ArcSwap<Room>,
    state: watch::Sender<Arc<RoomState>>,
    output: RoomOutput,
    viewers: Mutex<Viewers>,
    conversions: Mutex<Vec<Conversion>>,
    /// How the mix of its call is, while there is one.
    mix: Mutex<Option<Conversion>>,
    /// When the room's shard was told last that playlists are asked for.
    demanded_at: Mutex<Option<Instant>>,
    /// People are in a call of it that can be mixed.
    has_call: AtomicBool,
    deleted: AtomicBool,
}

impl RoomEntry {
    pub(super) fn new(key: RoomKey, room: Room, status_changed: Arc<Notify>) -> RoomEntry {
        let output = RoomOutput {
            room: room.id,
            name: room.name.clone(),
            live: watch::Sender::new(None),
            status: watch::Sender::new(ShardStatus::default()),
            status_changed,
        };
        let state = watch::Sender::new(Arc::new(RoomState::default()));
        RoomEntry {
            key,
            facts: ArcSwap::from_pointee(room),
            state,
            output,
            viewers: Mutex::new(Viewers::default()),
            conversions: Mutex::default(),
            mix: Mutex::default(),
            demanded_at: Mutex::default(),
            has_call: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
        }
    }

    /// Its number within this process.
    pub fn key(&self) -> RoomKey {
        self.key
    }

    /// What the store says.
    pub fn facts(&self) -> Arc<Room> {
        self.facts.load_full()
    }

    /// How the media of its calls travels.
    pub fn mode(&self) -> Mode {
        match self.facts().mode {
            RoomMode::Sfu => Mode::Sfu,
            RoomMode::P2p => Mode::P2p,
        }
    }

    /// The room as its owner sees it.
    pub fn to_wire(&self) -> wire::Room {
        let facts = self.facts();
        wire::Room {
            name: facts.name.to_string(),
            title: facts.title.clone(),
            open: facts.open,
            owner: format!("account:{}", facts.owner),
            embed_origins: facts.embed_origins.clone(),
            mode: self.mode(),
            created_at: facts.created_at.to_rfc3339_millis(),
            live: (*self.state()).clone(),
        }
    }

    /// The live state now.
    pub fn state(&self) -> Arc<RoomState> {
        Arc::clone(&self.state.borrow())
    }

    /// The live state now and its changes.
    pub fn watch(&self) -> watch::Receiver<Arc<RoomState>> {
        self.state.subscribe()
    }

    /// The playlists now and their changes; `None` while there is nothing to play.
    pub fn live(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.output.live.subscribe()
    }

    /// Somebody is publishing or may come back in a moment.
    pub fn is_live(&self) -> bool {
        matches!(self.state.borrow().state, LiveState::Live | LiveState::Reconnecting)
    }

    /// The room is not in the store any more; whoever still holds this entry found it before.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::SeqCst)
    }

    /// Counts a connected viewer until the guard is dropped.
    pub fn viewer(self: &Arc<Self>, key: ViewerKey, kind: ViewerKind) -> ViewerGuard {
        self.viewers().connect(key, kind);
        ViewerGuard::new(Arc::clone(self), key, kind)
    }

    /// Notes a player that fetched a playlist just now; it counts as a viewer for a while.
    pub fn note_player(&self, now: Instant, key: ViewerKey) {
        self.viewers().note(now, key);
    }

    /// Whether people are in a call of it that can be mixed. Its state says so with its next change or tick.
    pub fn note_call(&self, has_call: bool) {
        self.has_call.store(has_call, Ordering::Relaxed);
    }

    pub(super) fn has_call(&self) -> bool {
        self.has_call.load(Ordering::Relaxed)
    }

    /// How its mix and its conversions are.
    pub(super) fn conversions(&self) -> Vec<Conversion> {
        let mix = self.mix.lock().unwrap_or_else(PoisonError::into_inner).clone();
        mix.into_iter().chain(self.conversions.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// True if it differs.
    pub(super) fn set_mix(&self, mix: Option<Conversion>) -> bool {
        let mut current = self.mix.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *current != mix;
        *current = mix;
        changed
    }

    /// True if they differ.
    pub(super) fn set_conversions(&self, conversions: Vec<Conversion>) -> bool {
        let mut current = self.conversions.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *current != conversions;
        *current = conversions;
        changed
    }

    /// The shard would forget before long that playlists are asked for. Few of many requests tell it.
    pub(super) fn is_demand_due(&self, now: Instant) -> bool {
        let told = *self.demanded_at.lock().unwrap_or_else(PoisonError::into_inner);
        told.is_none_or(|told| now.saturating_duration_since(told) >= HLS_DEMAND / DEMANDS_PER_HLS_DEMAND)
    }

    pub(super) fn note_demand(&self, now: Instant) {
        *self.demanded_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(super) fn set_facts(&self, room: Room) {
        self.facts.store(Arc::new(room));
    }

    pub(super) fn output(&self) -> &RoomOutput {
        &self.output
    }

    pub(super) fn viewers(&self) -> MutexGuard<'_, Viewers> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new state; true if it differs.
    pub(super) fn set_state(&self, state: RoomState) -> bool {
        self.state.send_if_modified(|current| {
            let changed = **current != state;
            if changed {
                *current = Arc::new(state);
            }
            changed
        })
    }

    /// Watchers see the room go offline; the name is free for another room.
    pub(super) fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::SeqCst);
        self.set_state(RoomState::default());
        self.output.live.send_replace(None);
    }
}

impl fmt::Debug for RoomEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RoomEntry").field("key", &self.key).finish_non_exhaustive()
    }
}
