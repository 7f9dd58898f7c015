//! The peers of a shard by key, and when each wants to be called next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use crate::api::PeerId;
use crate::demux::Key;
use crate::peer::Peer;

/// The peers. A peer that is being worked on is taken out, so that the rest stays usable meanwhile.
#[derive(Default)]
pub(crate) struct Peers {
    places: Vec<Option<Box<Peer>>>,
    free: Vec<Key>,
    keys: HashMap<PeerId, Key>,
    /// Deadlines, earliest first. Entries that a peer no longer stands by are skipped when they come up.
    deadlines: BinaryHeap<Reverse<(Instant, Key)>>,
}

impl Peers {
    /// Adds a peer; `make` gets its key.
    pub(crate) fn insert(&mut self, id: PeerId, peer: Box<Peer>) -> Key {
        let key = match self.free.pop() {
            Some(key) => key,
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        };
        self.keys.insert(id, key);
        self.places[key] = Some(peer);
        key
    }

    pub(crate) fn key(&self, id: PeerId) -> Option<Key> {
        self.keys.get(&id).copied()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Peer> {
        self.places.get(key)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Peer> {
        self.places.get_mut(key)?.as_deref_mut()
    }

    /// Takes a peer out for a while.
    pub(crate) fn take(&mut self, key: Key) -> Option<Box<Peer>> {
        self.places.get_mut(key)?.take()
    }

    /// Puts it back and sets its alarm. An earlier alarm stays: it finds nothing to do and sets the right one, which
    /// is cheaper than changing the heap with each packet.
    pub(crate) fn put(&mut self, key: Key, mut peer: Box<Peer>) {
        if peer.armed.is_none_or(|armed| peer.deadline < armed) {
            peer.armed = Some(peer.deadline);
            self.deadlines.push(Reverse((peer.deadline, key)));
        }
        self.places[key] = Some(peer);
    }

    /// A peer that was taken out does not come back.
    pub(crate) fn remove(&mut self, key: Key, id: PeerId) {
        self.keys.remove(&id);
        self.free.push(key);
    }

    /// A key whose deadline has come.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Key> {
        while let Some(Reverse((at, key))) = self.deadlines.peek().copied() {
            if at > now {
                return None;
            }
            self.deadlines.pop();
            let Some(peer) = self.get_mut(key) else { continue };
            if peer.armed != Some(at) {
                continue;
            }
            peer.armed = None;
            if peer.deadline <= now {
                return Some(key);
            }
            let deadline = peer.deadline;
            peer.armed = Some(deadline);
            self.deadlines.push(Reverse((deadline, key)));
        }
        None
    }

    /// When [`Peers::due`] is to be asked again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// Every key that is in use, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = Key> + use<> {
        let used: Vec<Key> =
            self.places.iter().enumerate().filter(|(_, place)| place.is_some()).map(|(key, _)| key).collect();
        used.into_iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
