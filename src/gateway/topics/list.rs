//! The topic of one account's rooms.
//!
//! The list comes from the store once; what changes while it is read is remembered and applied behind it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use telstar_signaling::wire::{ErrorCode, Room};
use telstar_signaling::{ListTopic, TopicLimits};
use telstar_units::RoomName;

use super::{Delivery, SnapshotAnswer, Subscriber};
use crate::rooms::{RoomChanged, RoomEntry};

pub(super) struct RoomsTopic {
    epoch: u64,
    /// `None` until the store has answered.
    core: Option<ListTopic>,
    /// What changed since the store was asked, newest by name; `None` while nobody asks it. Bounded by the account's rooms.
    missed: Option<BTreeMap<RoomName, RoomChanged>>,
    /// Changes were lost while the store was being asked: its answer may be older than they were.
    stale: bool,
    waiting: Vec<(Subscriber, SnapshotAnswer)>,
    subscribers: HashMap<u64, Subscriber>,
}

impl RoomsTopic {
    /// A list that is being read from the store.
    pub(super) fn new(epoch: u64) -> RoomsTopic {
        RoomsTopic { epoch, core: None, missed: None, stale: false, waiting: Vec::new(), subscribers: HashMap::new() }
    }

    /// Which life of the topic this is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// If the store is not being asked already, the caller has to, and bring [`Self::loaded`] or [`Self::failed`] to this epoch.
    pub(super) fn begin_load(&mut self) -> Option<u64> {
        if self.missed.is_some() {
            return None;
        }
        self.missed = Some(BTreeMap::new());
        self.stale = false;
        Some(self.epoch)
    }

    /// Changes were lost.
    pub(super) fn lost_changes(&mut self) {
        self.stale = true;
    }

    /// Whether changes were lost since the store was asked.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn subscribe(&mut self, subscriber: Subscriber, answer: SnapshotAnswer) {
        match &self.core {
            None => self.waiting.push((subscriber, answer)),
            Some(core) => {
                // Nobody waits for the answer any more: then nobody wants the events either.
                if answer.send(Ok(core.snapshot())).is_ok() {
                    self.subscribers.insert(subscriber.id, subscriber);
                }
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, id: u64) {
        self.subscribers.remove(&id);
        self.waiting.retain(|(subscriber, _)| subscriber.id != id);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.subscribers.is_empty() && self.waiting.is_empty()
    }

    /// The store has answered.
    pub(super) fn loaded(&mut self, now: Instant, rooms: &[Arc<RoomEntry>]) -> Option<Instant> {
        let missed = self.missed.take().unwrap_or_default();
        match &mut self.core {
            None => {
                let rooms: Vec<Room> = rooms.iter().map(|entry| entry.to_wire()).collect();
                let named = rooms.iter().map(|room| (room.name.as_str(), room));
                self.core = Some(ListTopic::new(TopicLimits::default(), now, self.epoch, named));
            }
            Some(core) => {
                let present: HashSet<String> = rooms.iter().map(|entry| entry.facts().name.to_string()).collect();
                let gone: Vec<String> =
                    core.names().filter(|name| !present.contains(*name)).map(str::to_owned).collect();
                gone.iter().for_each(|name| core.handle_deleted(name));
                for entry in rooms {
                    core.handle_room(entry.facts().name.as_str(), &entry.to_wire());
                }
            }
        }
        missed.values().for_each(|change| self.apply(change));
        let next = self.flush(now);
        for (subscriber, answer) in std::mem::take(&mut self.waiting) {
            self.subscribe(subscriber, answer);
        }
        next
    }

    /// The store could not be asked.
    pub(super) fn failed(&mut self) {
        self.missed = None;
        for (_, answer) in self.waiting.drain(..) {
            let _ = answer.send(Err(ErrorCode::Unavailable));
        }
    }

    /// One of the account's rooms changed.
    pub(super) fn changed(&mut self, now: Instant, change: RoomChanged) -> Option<Instant> {
        self.apply(&change);
        if let Some(missed) = &mut self.missed {
            let (RoomChanged::Changed(entry) | RoomChanged::Deleted(entry)) = &change;
            missed.insert(entry.facts().name.clone(), change);
        }
        self.flush(now)
    }

    fn apply(&mut self, change: &RoomChanged) {
        let Some(core) = &mut self.core else { return };
        match change {
            RoomChanged::Changed(entry) => core.handle_room(entry.facts().name.as_str(), &entry.to_wire()),
            RoomChanged::Deleted(entry) => core.handle_deleted(entry.facts().name.as_str()),
        }
    }

    /// Delivers what is due. Returns when to come back.
    pub(super) fn flush(&mut self, now: Instant) -> Option<Instant> {
        let core = self.core.as_mut()?;
        while let Some(event) = core.poll_event(now) {
            self.subscribers.retain(|_, subscriber| subscriber.deliver(Delivery::Event(event.clone())));
        }
        core.poll_timeout()
    }
}
