//! Copies of what publishers send, for the room's owner.
//!
//! In: packets of a track that is tapped, as they come. Out: those of its best layer. A track that is not costs a look at an `Option`.

use std::time::Instant;

use telstar_units::TrackId;

use crate::api::Tapped;
use crate::descriptor::Descriptor;
use crate::engine::Received;
use crate::publisher::Source;
use crate::select::{Selector, Shape, Verdict};
use crate::sfu::Sfu;

/// Copies that wait for the owner, of all tracks together. It takes them after each batch. Higher bears a longer pause of the thread, at a
/// payload each; lower loses pictures. Five seconds of 8 Mbit/s.
const TAPPED_MAX: usize = 4_096;

impl Sfu {
    /// The owner needs a keyframe of a track that it taps. As often as a viewer would get one.
    pub fn handle_keyframe_request(&mut self, now: Instant, track: TrackId) {
        self.set_now(now);
        let Some(known) = self.tracks.get(&track) else { return };
        let Some(tap) = &known.tap else { return };
        let top = known.rungs.len() as u8 - 1;
        let rung = Selector::current(tap).map_or(top, |layer| layer.rung.min(top));
        self.want_keyframe(track, rung);
    }

    /// The next copy of a packet of a tapped track.
    pub fn poll_tapped(&mut self) -> Option<Tapped> {
        self.tapped.pop_front()
    }

    pub(crate) fn tap(&mut self, id: TrackId, enabled: bool) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        // The owner has what it feeds.
        if track.is_source() || track.tap.is_some() == enabled {
            return;
        }
        track.tap = enabled.then(|| Selector::new(Shape::Simulcast));
        track.retap();
        self.weigh_demand(id);
        self.ask_for_tapped(id);
    }

    /// Asks for the keyframe that a tap misses.
    pub(crate) fn ask_for_tapped(&mut self, id: TrackId) {
        let missing = self.tracks.get(&id).and_then(|track| track.tap.as_ref()?.keyframe_wanted(self.now));
        if let Some(rung) = missing {
            self.want_keyframe(id, rung);
        }
    }

    /// A packet of a tapped track.
    pub(crate) fn copy(&mut self, source: &Source, received: &Received, descriptor: Option<&Descriptor>) {
        let now = self.now;
        let Some(tap) = self.tracks.get_mut(&source.track).and_then(|track| track.tap.as_mut()) else { return };
        let verdict = descriptor.map(|read| tap.handle_packet(now, source.layer, received.sequence, read));
        if !matches!(verdict, None | Some(Verdict::Forward { .. })) {
            return;
        }
        if self.tapped.len() >= TAPPED_MAX {
            self.tapped.pop_front();
            self.counters.tapped_dropped += 1;
        }
        self.tapped.push_back(Tapped {
            track: source.track,
            codec: source.format.codec,
            ssrc: source.ssrc,
            sequence: received.sequence,
            time: received.time,
            marker: received.marker,
            payload: received.payload.clone(),
            report: received.report,
            arrived: now,
        });
    }
}
