//! The rooms of one media thread, and which of them have work: a turn walks those and no others.
//!
//! In: bells that others ring, times that rooms ask for. Out: rooms in turn, each once however often its bell rang.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::RoomKey;
use super::room::ShardRoom;
use super::thread::ShardWaker;

/// Rooms whose bells rang since the thread last looked. Bounded by the bells: each is in it at most once.
#[derive(Debug, Default)]
pub(super) struct Rung(Mutex<Vec<RoomKey>>);

impl Rung {
    fn push(&self, room: RoomKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(room);
    }

    pub(super) fn take_into(&self, rooms: &mut Vec<RoomKey>) {
        rooms.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Says to a media thread that one of its rooms has work.
#[derive(Debug)]
pub(super) struct Bell {
    room: RoomKey,
    has_rung: AtomicBool,
    rung: Arc<Rung>,
    waker: Arc<ShardWaker>,
}

impl Bell {
    pub(super) fn new(room: RoomKey, rung: Arc<Rung>, waker: Arc<ShardWaker>) -> Bell {
        Bell { room, has_rung: AtomicBool::new(false), rung, waker }
    }

    /// One that nobody listens to.
    #[cfg(test)]
    pub(super) fn for_tests() -> Bell {
        Bell::new(RoomKey(0), Arc::default(), ShardWaker::for_tests())
    }

    /// After something was left for the room.
    pub(super) fn ring(&self) {
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            self.rung.push(self.room);
        }
        self.waker.wake();
    }

    /// Before the thread looks at what was left: what comes later rings again.
    pub(super) fn answer(&self) {
        self.has_rung.store(false, Ordering::Release);
    }
}

struct Entry {
    room: ShardRoom,
    timer: Option<Instant>,
    has_work: bool,
}

/// The rooms.
#[derive(Default)]
pub(super) struct Table {
    rooms: BTreeMap<RoomKey, Entry>,
    timers: BTreeSet<(Instant, RoomKey)>,
    /// Rooms with work, in turn; each once, and some that are gone.
    work: VecDeque<RoomKey>,
}

impl Table {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    pub(super) fn keys(&self) -> Vec<RoomKey> {
        self.rooms.keys().copied().collect()
    }

    pub(super) fn contains(&self, key: RoomKey) -> bool {
        self.rooms.contains_key(&key)
    }

    pub(super) fn get_mut(&mut self, key: RoomKey) -> Option<&mut ShardRoom> {
        self.rooms.get_mut(&key).map(|entry| &mut entry.room)
    }

    pub(super) fn get_or_insert_with(&mut self, key: RoomKey, make: impl FnOnce() -> ShardRoom) {
        self.rooms.entry(key).or_insert_with(|| Entry { room: make(), timer: None, has_work: false });
    }

    pub(super) fn remove(&mut self, key: RoomKey) -> Option<ShardRoom> {
        let entry = self.rooms.remove(&key)?;
        entry.timer.iter().for_each(|at| {
            self.timers.remove(&(*at, key));
        });
        Some(entry.room)
    }

    /// The room has work.
    pub(super) fn mark(&mut self, key: RoomKey) {
        if let Some(entry) = self.rooms.get_mut(&key)
            && !std::mem::replace(&mut entry.has_work, true)
        {
            self.work.push_back(key);
        }
    }

    /// Time passed: rooms that asked for it have work.
    pub(super) fn mark_due(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, key));
            if let Some(entry) = self.rooms.get_mut(&key) {
                entry.timer = None;
            }
            self.mark(key);
        }
    }

    /// How many rooms have work.
    pub(super) fn work_len(&self) -> usize {
        self.work.len()
    }

    /// The next room with work. To be followed by [`Self::settle`].
    pub(super) fn next(&mut self) -> Option<(RoomKey, &mut ShardRoom)> {
        loop {
            let key = self.work.pop_front()?;
            if self.rooms.contains_key(&key) {
                let entry = self.rooms.get_mut(&key)?;
                entry.has_work = false;
                return Some((key, &mut entry.room));
            }
        }
    }

    /// The room was worked on: asks when it wants to be again.
    pub(super) fn settle(&mut self, key: RoomKey) {
        let Some(entry) = self.rooms.get_mut(&key) else { return };
        let timer = entry.room.poll_timeout();
        let old = std::mem::replace(&mut entry.timer, timer);
        if old != timer {
            old.iter().for_each(|at| {
                self.timers.remove(&(*at, key));
            });
            self.timers.extend(timer.map(|at| (at, key)));
        }
    }

    /// When the next room wants to be worked on.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
}
