//! Asking publishers for keyframes, and telling them which layers are wanted at all.

use std::time::Duration;

use telstar_units::TrackId;

use crate::api::{Demand, Event, Kind};
use crate::demux::Key;
use crate::peer::Peer;
use crate::room::Track;
use crate::select::{Selector, Shape};
use crate::sfu::{Chore, Sfu};

/// How long after its last viewer a layer stays wanted. Lower stops and starts encoders at every flicker of a layout,
/// higher costs the publisher's uplink.
pub(crate) const DEMAND_HOLD: Duration = Duration::from_secs(5);

impl Sfu {
    /// Somebody needs a keyframe of a layer.
    pub(crate) fn want_keyframe(&mut self, id: TrackId, rung: u8) {
        let now = self.now;
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if track.kind != Kind::Video {
            return;
        }
        if track.is_source() {
            // Nobody can be asked. What is kept of it will do.
            self.chores.push_back(Chore::Give(id));
            return;
        }
        let stream = if track.shape() == Shape::Svc { 0 } else { rung };
        let Some(rung) = track.rungs.get_mut(usize::from(stream)) else { return };
        // A stream that never came begins with a keyframe by itself.
        if rung.ssrc.is_some() && rung.throttle.request(now) {
            self.chores.push_back(Chore::Keyframe { track: id, layer: stream });
        }
    }

    pub(crate) fn ask_keyframe(&mut self, id: TrackId, layer: u8) {
        let Some(publisher) = self.tracks.get(&id).and_then(Track::publisher) else { return };
        self.touch(publisher, |sfu, peer| {
            let Some(ssrc) = peer.publisher().and_then(|publisher| publisher.ssrc(id, layer)) else { return };
            sfu.counters.keyframes_asked += 1;
            peer.engine.ask_keyframe(ssrc);
            peer.engine.advance(sfu.now);
        });
    }

    /// Asks for what a subscriber's selectors miss.
    pub(crate) fn ask_for_missing(&mut self, key: Key) {
        let now = self.now;
        let Some(peer) = self.peers.get(key).filter(|peer| peer.is_up()) else { return };
        let Some(subscriber) = peer.as_subscriber() else { return };
        let missing: Vec<(TrackId, u8)> = subscriber
            .slots
            .iter()
            .filter(|slot| slot.ssrc.is_some())
            .filter_map(|slot| Some((slot.carries?, slot.selector.as_ref()?.keyframe_wanted(now)?)))
            .collect();
        for (track, rung) in missing {
            self.want_keyframe(track, rung);
        }
    }

    /// Asks again where the first request brought nothing.
    pub(crate) fn repeat_requests(&mut self, id: TrackId) {
        let now = self.now;
        let Some(track) = self.tracks.get_mut(&id) else { return };
        for (index, rung) in track.rungs.iter_mut().enumerate() {
            if track.viewers.is_empty() && track.tap.is_none() {
                rung.throttle.cancel();
            } else if rung.throttle.poll_timeout().is_some_and(|at| at <= now) && rung.throttle.handle_timeout(now) {
                self.chores.push_back(Chore::Keyframe { track: id, layer: index as u8 });
            }
        }
    }

    /// Finds out which layers of a track are wanted, and tells the publisher when that changed. A layer is wanted
    /// at once, and not wanted after a while.
    pub(crate) fn weigh_demand(&mut self, id: TrackId) {
        let now = self.now;
        let Some(track) = self.tracks.get(&id) else { return };
        if track.is_source() {
            return self.weigh_feed(id);
        }
        let shape = track.shape();
        let mut wanted = vec![false; track.rungs.len()];
        for viewer in &track.viewers {
            let slot = self.peers.get(viewer.peer).and_then(Peer::as_subscriber).and_then(|s| s.slots.get(viewer.slot));
            let Some(slot) = slot else { continue };
            if track.kind == Kind::Audio || shape == Shape::Svc {
                wanted[0] |= !slot.paused;
                continue;
            }
            let Some(selector) = &slot.selector else { continue };
            let layers = [selector.target(), Selector::current(selector)];
            for layer in layers.into_iter().flatten() {
                if let Some(wanted) = wanted.get_mut(usize::from(layer.rung)) {
                    *wanted = true;
                }
            }
        }
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if let Some(tap) = &track.tap {
            // The best layer, and those below it as long as nothing comes of that.
            let best = track.rungs.iter().rposition(|rung| rung.is_flowing(now)).unwrap_or(0);
            wanted[best..].fill(true);
            if let Some(wanted) = tap.current().and_then(|layer| wanted.get_mut(usize::from(layer.rung))) {
                *wanted = true;
            }
        }
        let mut changed = false;
        for (rung, wanted) in track.rungs.iter_mut().zip(wanted) {
            if wanted {
                rung.wanted = now;
            }
            let held = now.saturating_duration_since(rung.wanted) < DEMAND_HOLD;
            if std::mem::replace(&mut rung.told, held) != held {
                rung.turned = now;
                rung.resumed = held.then_some(now);
                changed = true;
            }
        }
        if !changed {
            return;
        }
        let rids = track.announced.iter().zip(&track.rungs).filter(|(_, rung)| rung.told);
        let demand = Demand {
            track: id,
            rids: rids.map(|(layer, _)| layer.rid.clone()).collect(),
            wanted: track.rungs.iter().any(|rung| rung.told),
        };
        if let Some(peer) = track.publisher().and_then(|publisher| self.peers.get(publisher)) {
            self.events.push_back(Event::Demand { peer: peer.id, demands: vec![demand] });
        }
    }
}
