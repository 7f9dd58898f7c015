//! From a publisher's packet to its subscribers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use str0m::media::Mid;
use telstar_units::TrackId;

use crate::api::{Event, Fault, Flow, Kind};
use crate::demux::Key;
use crate::engine::{Outgoing, Received};
use crate::peer::Peer;
use crate::publisher::Source;
use crate::room::Viewer;
use crate::sfu::{Chore, Sfu};

/// Continues a slot's numbers and times whatever is put into it.
pub(crate) struct Writer {
    switched: bool,
    first: u64,
    base: u64,
    last: u64,
    first_time: u32,
    base_time: u32,
    last_time: u32,
}

impl Writer {
    pub(crate) fn new(_kind: Kind) -> Writer {
        Writer { switched: true, first: 0, base: 1_000, last: 999, first_time: 0, base_time: 0, last_time: 0 }
    }

    pub(crate) fn switch(&mut self) {
        self.switched = true;
    }

    fn forward(&mut self, sequence: u64, time: u32) -> Option<(u64, u32)> {
        if std::mem::take(&mut self.switched) {
            self.first = sequence;
            self.base = self.last + 1;
            self.first_time = time;
            self.base_time = self.last_time.wrapping_add(3_000);
        }
        let sequence = self.base + sequence.checked_sub(self.first)?;
        self.last = self.last.max(sequence);
        self.last_time = self.base_time.wrapping_add(time.wrapping_sub(self.first_time));
        Some((sequence, self.last_time))
    }
}

impl Sfu {
    /// A publisher's packet.
    pub(crate) fn forward(&mut self, peer: &mut Peer, packet: &Received) {
        self.counters.packets_in += 1;
        let Some(source) = self.source(peer, packet) else { return };
        let Some(track) = self.tracks.get_mut(&source.track) else { return };
        if track.muted || packet.payload.is_empty() {
            return;
        }
        // Taken out for the loop, so that viewers can be worked on; nothing in the loop changes the list.
        let viewers = std::mem::take(&mut track.viewers);
        let mut broken = Vec::new();
        for viewer in &viewers {
            let sent = catch_unwind(AssertUnwindSafe(|| self.forward_to(*viewer, &source, packet)));
            if sent.is_err() {
                broken.push(viewer.peer);
            }
        }
        if let Some(track) = self.tracks.get_mut(&source.track) {
            track.viewers = viewers;
        }
        for key in broken {
            self.counters.panics += 1;
            if let Some(peer) = self.peers.take(key) {
                self.bury(key, peer, Some(Fault::Internal));
            }
        }
    }

    fn forward_to(&mut self, viewer: Viewer, source: &Source, packet: &Received) {
        let Some(peer) = self.peers.get_mut(viewer.peer) else { return };
        if !peer.is_up() {
            return;
        }
        let crate::peer::Side::Subscriber(subscriber) = &mut peer.side else { return };
        let Some(slot) = subscriber.slots.get_mut(viewer.slot) else { return };
        let Some(ssrc) = slot.ssrc else { return };
        let payload_type = match slot.payload_type {
            Some((format, payload_type)) if format == source.format => payload_type,
            _ => {
                let payload_type = peer.engine.payload_type(slot.mid, &source.format);
                slot.payload_type = Some((source.format, payload_type));
                payload_type
            }
        };
        let Some(payload_type) = payload_type else { return };
        let Some((sequence, time)) = slot.writer.forward(packet.sequence, packet.time) else { return };
        let sent = peer.engine.send(Outgoing {
            ssrc,
            payload_type,
            sequence,
            time,
            marker: packet.marker,
            wall: self.now,
            payload: packet.payload.clone(),
            patch: None,
            resendable: slot.kind == Kind::Video,
            source: packet,
        });
        if sent {
            self.counters.packets_out += 1;
            if !std::mem::replace(&mut peer.dirty, true) {
                self.dirty.push(viewer.peer);
            }
        }
    }

    /// Which layer of which track a packet belongs to.
    fn source(&mut self, peer: &mut Peer, packet: &Received) -> Option<Source> {
        if let Some(source) = peer.publisher()?.source(packet.ssrc, packet.payload_type) {
            return Some(source);
        }
        let (mid, rid, _) = peer.engine.source(packet.ssrc)?;
        let format = peer.engine.format(packet.payload_type)?;
        let publisher = peer.publisher()?;
        let id = *publisher.sections.get(&*mid)?;
        let track = self.tracks.get_mut(&id)?;
        let layer = track.layer(rid.as_deref())?;
        let source = Source { ssrc: packet.ssrc, track: id, layer, payload_type: packet.payload_type, format };
        publisher.note(source);
        if track.format.map(|format| format.codec) != Some(format.codec) {
            self.events.push_back(Event::Track { track: id, codec: format.codec });
        }
        track.format = Some(format);
        Some(source)
    }

    /// A subscriber cannot decode what a section carries.
    pub(crate) fn keyframe_wanted(&mut self, peer: &mut Peer, mid: Mid) {
        let Some(subscriber) = peer.subscriber() else { return };
        let slot = subscriber.slots.iter().find(|slot| slot.mid == mid);
        if let Some(track) = slot.and_then(|slot| slot.track) {
            let layer = slot.and_then(|slot| slot.layer).unwrap_or(0);
            self.chores.push_back(Chore::Keyframe { track, layer });
        }
    }

    /// A track has a new viewer.
    pub(crate) fn want_keyframe(&mut self, track: TrackId) {
        self.chores.push_back(Chore::Keyframe { track, layer: 0 });
    }

    /// A subscriber's connection is up: what it has slots for begins with keyframes.
    pub(crate) fn connected(&mut self, peer: &mut Peer) {
        let Some(subscriber) = peer.subscriber() else { return };
        let tracks: Vec<TrackId> = subscriber.slots.iter().filter_map(|slot| slot.track).collect();
        for track in tracks {
            self.want_keyframe(track);
        }
    }

    pub(crate) fn mute(&mut self, id: TrackId, muted: bool) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.muted = muted;
        let viewers = track.viewers.clone();
        for viewer in viewers {
            if let Some(subscriber) = self.peers.get_mut(viewer.peer).and_then(Peer::subscriber) {
                let flow = if muted { Flow::Silent } else { Flow::Active };
                subscriber.set_flow(viewer.slot, flow, None);
            }
            self.tell_slots(viewer.peer);
        }
        if !muted {
            self.want_keyframe(id);
        }
    }

    pub(crate) fn chore(&mut self, chore: Chore) {
        match chore {
            Chore::Keyframe { track, layer } => self.ask_keyframe(track, layer),
            Chore::Message { from, data } => self.spread(from, &data),
            Chore::Assign(key) => self.assign(key),
        }
    }

    fn ask_keyframe(&mut self, id: TrackId, layer: u8) {
        let Some(track) = self.tracks.get(&id) else { return };
        if track.kind != Kind::Video {
            return;
        }
        self.touch(track.publisher, |sfu, peer| {
            let Some(ssrc) = peer.publisher().and_then(|publisher| publisher.ssrc(id, layer)) else { return };
            sfu.counters.keyframes_asked += 1;
            peer.engine.ask_keyframe(ssrc);
            peer.engine.advance(sfu.now);
        });
    }

    fn spread(&mut self, _from: Key, _data: &[u8]) {}
}
