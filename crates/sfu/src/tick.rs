//! What is looked after ten times a second: silence, time limits.

use crate::api::{Event, Fault};
use crate::engine::Figures;
use crate::peer::{Link, Peer, SILENCE};
use crate::sfu::Sfu;

impl Sfu {
    pub(crate) fn tick(&mut self) {
        for key in self.peers.all() {
            if let Some(fault) = self.supervise(key)
                && let Some(peer) = self.peers.take(key)
            {
                self.bury(key, peer, Some(fault));
                continue;
            }
            self.tell_slots(key);
        }
    }

    /// Whether a connection has to be given up.
    fn supervise(&mut self, key: usize) -> Option<Fault> {
        let limits = self.config.limits;
        let now = self.now;
        let peer = self.peers.get_mut(key)?;
        let quiet = now.saturating_duration_since(peer.heard);
        match peer.link {
            Link::New => {}
            Link::Connecting(since) => {
                if now.saturating_duration_since(since) >= limits.connect_timeout {
                    return Some(if peer.paths.is_empty() { Fault::NoPath } else { Fault::Handshake });
                }
            }
            Link::Up if quiet >= SILENCE => {
                peer.link = Link::Silent;
                self.events.push_back(Event::Disconnected { peer: peer.id });
            }
            Link::Silent if quiet < SILENCE => {
                peer.link = Link::Up;
                self.events.push_back(Event::Connected { peer: peer.id });
            }
            // RFC 7675 §5.1: without consent nothing is sent any more.
            Link::Silent if quiet >= limits.consent_timeout => return Some(Fault::NoPath),
            Link::Up | Link::Silent => {}
        }
        None
    }

    pub(crate) fn figures(&mut self, peer: &mut Peer, figures: Figures) {
        peer.figures = figures;
    }
}
