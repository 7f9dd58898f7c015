//! Doors for tests that see a whole call from outside (`tests/`, `crates/sim`). Only with the feature `probes`; no server has it.

use crate::api::PeerId;
use crate::peer::Peer;
use crate::select::Layer;
use crate::sfu::Sfu;

impl Sfu {
    /// The next call into a peer's engine panics. Returns whether there is such a peer.
    pub fn trip(&mut self, peer: PeerId) -> bool {
        let peer = self.key(peer).and_then(|key| self.peers.get_mut(key));
        peer.map(|peer| peer.trip = true).is_some()
    }

    /// Every picture of a subscriber is of this layer until the next allocation. Returns whether it has one.
    pub fn aim(&mut self, peer: PeerId, rung: u8, temporal: u8) -> bool {
        let peer = self.key(peer).and_then(|key| self.peers.get_mut(key));
        let slots = peer.and_then(Peer::subscriber).into_iter().flat_map(|subscriber| &mut subscriber.slots);
        let selectors = slots.filter_map(|slot| slot.selector.as_mut());
        selectors.map(|selector| selector.set_target(Some(Layer { rung, temporal }))).count() > 0
    }
}
