//! From a publisher's packet to its subscribers.
//!
//! Per packet: which stream of which track (a short scan), what its payload says (once), then for each viewer the
//! verdict of its selector, the numbers of its rewriter, and the egress (`egress.rs`), where it waits for its time. No
//! lock or log on the way, and one allocation for each viewer: the datagram, when it leaves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use telstar_units::TrackId;

use crate::api::{Event, Fault, Flow, Kind};
use crate::budget::renew;
use crate::descriptor::Descriptor;
use crate::egress::Outgoing;
use crate::engine::{Format, Received};
use crate::peer::{Peer, Side};
use crate::publisher::Source;
use crate::rewrite::{Incoming, Patches, Refused, Wall};
use crate::room::{Track, Viewer};
use crate::select::{Layer, Selector, Verdict};
use crate::sfu::{Chore, Sfu};
use crate::subscriber::{Slot, Subscriber};

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// From a publisher: a slot begins with it where it can.
    Peer,
    /// From a source: a slot begins with what is kept of that, which this packet is part of by now.
    Feed,
    /// It was kept.
    Group,
}

/// What all viewers of a packet share.
pub(crate) struct Packet<'a> {
    pub(crate) received: &'a Received,
    pub(crate) source: Source,
    pub(crate) descriptor: Option<Descriptor>,
    pub(crate) wall: Option<Wall>,
    pub(crate) taken: Instant,
    pub(crate) via: Via,
}

impl Packet<'_> {
    fn incoming(&self) -> Incoming<'_> {
        Incoming {
            sequence: self.received.sequence,
            time: self.received.time,
            wall: self.wall,
            descriptor: self.descriptor.as_ref(),
        }
    }
}

impl Sfu {
    /// A publisher's packet.
    pub(crate) fn forward(&mut self, peer: &mut Peer, received: &Received) {
        self.counters.packets_in += 1;
        let Some(source) = self.source(peer, received) else { return };
        let Some(track) = self.tracks.get_mut(&source.track) else { return };
        let Some(rung) = track.rungs.get_mut(usize::from(source.layer)) else { return };
        rung.meter.add(self.now, received.payload.len());
        if received.report != rung.report
            && let Some((ntp, rtp)) = received.report
        {
            rung.report = received.report;
            rung.clock.handle_report(ntp, rtp);
        }
        if track.muted || received.payload.is_empty() {
            return;
        }
        let mut descriptor = None;
        if track.kind == Kind::Video {
            let Ok(read) = Descriptor::read(source.format.codec, &received.payload, received.marker) else {
                self.counters.malformed += 1;
                return;
            };
            if read.key_start {
                rung.throttle.keyframe_seen();
            }
            descriptor = Some(read);
        }
        let is_tapped = track.tap.is_some();
        let micros = rung.clock.micros(received.time);
        let wall = micros.map(|micros| Wall { clock: track.participant.0, micros });
        let room = track.room;
        if track.kind == Kind::Audio
            && let (Some(level), Some(room)) = (received.audio_level, self.rooms.get_mut(&room))
        {
            let voice = received.voice.unwrap_or(false);
            room.speakers.handle_audio(self.now, source.track, level, voice, received.payload.len());
        }
        if is_tapped {
            self.copy(&source, received, descriptor.as_ref());
        }
        let taken = match (micros, peer.publisher()) {
            (Some(micros), Some(publisher)) => publisher.clock.taken(self.now, micros),
            _ => self.now,
        };
        self.forward_to_all(&Packet { received, source, descriptor, wall, taken, via: Via::Peer });
    }

    /// Returns whether somebody waits for what is kept of a source.
    pub(crate) fn forward_to_all(&mut self, packet: &Packet<'_>) -> bool {
        let mut waits = false;
        self.for_each_viewer(packet.source.track, |sfu, viewer| waits |= sfu.forward_to(viewer, packet));
        waits
    }

    /// One viewer's panic is its own.
    pub(crate) fn for_each_viewer(&mut self, track: TrackId, mut act: impl FnMut(&mut Sfu, Viewer)) {
        let Some(known) = self.tracks.get_mut(&track) else { return };
        // Taken out for the loop, so that viewers can be worked on; nothing in the loop changes the list.
        let viewers = std::mem::take(&mut known.viewers);
        let mut broken = Vec::new();
        for viewer in &viewers {
            if catch_unwind(AssertUnwindSafe(|| act(self, *viewer))).is_err() {
                broken.push(viewer.peer);
            }
        }
        if let Some(known) = self.tracks.get_mut(&track) {
            known.viewers = viewers;
        }
        for key in broken {
            self.counters.panics += 1;
            if let Some(peer) = self.peers.take(key) {
                self.bury(key, peer, Some(Fault::Internal));
            }
        }
    }

    /// Returns whether the viewer waits for what is kept of a source.
    pub(crate) fn forward_to(&mut self, viewer: Viewer, packet: &Packet<'_>) -> bool {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(viewer.peer) else { return false };
        #[cfg(test)]
        assert!(!std::mem::take(&mut peer.trip), "tripped by a test");
        if !peer.is_up() {
            return false;
        }
        let Side::Subscriber(subscriber) = &mut peer.side else { return false };
        let Some(slot) = subscriber.slots.get_mut(viewer.slot) else { return false };
        if slot.ssrc.is_none() {
            return false;
        }
        let format = packet.source.format;
        if slot.payload_type.is_none_or(|(known, _)| known != format) {
            slot.payload_type = Some((format, peer.engine.payload_type(slot.mid, &format)));
        }
        let Some((_, Some(payload_type))) = slot.payload_type else {
            subscriber.set_flow(viewer.slot, Flow::Codec, None);
            return false;
        };
        let received = packet.received;
        let incoming = packet.incoming();
        let bits = (received.payload.len() as u64).saturating_mul(8);
        let judged = match judge(slot, now, packet) {
            Judged::Forward { .. } if !subscriber.allowance.take(now, bits) => {
                self.counters.refused += 1;
                // A picture is paused until it is allocated again, which then begins with a keyframe.
                slot.selector.iter_mut().for_each(|selector| selector.set_target(None));
                Err(slot.writer.skip(&incoming))
            }
            Judged::Forward { set_marker } => match slot.writer.forward(now, &incoming) {
                Ok(outgoing) => Ok((outgoing, set_marker)),
                Err(Refused::Dropped { hole }) => Err(hole),
                Err(Refused::Duplicate | Refused::TooOld) => return false,
            },
            Judged::LeaveOut => Err(slot.writer.skip(&incoming)),
            Judged::Ignore => return false,
            Judged::Wait => return true,
        };
        let (outgoing, set_marker) = match judged {
            Ok(judged) => judged,
            // Its number was kept free. Without anything there, decoders that go by sequence numbers (H.264's) wait for
            // it until the next keyframe; an empty payload is padding to them.
            Err(Some(hole)) => {
                let filler = Outgoing {
                    payload_type,
                    sequence: hole,
                    time: slot.writer.newest_time(),
                    marker: false,
                    wall: packet.taken,
                    payload: Arc::from([]),
                    patches: Patches::default(),
                    level: None,
                    orientation: None,
                };
                let sent = subscriber.egress.send(now, viewer.slot, filler);
                if sent && !std::mem::replace(&mut peer.dirty, true) {
                    self.dirty.push_back(viewer.peer);
                }
                return false;
            }
            Err(None) => return false,
        };
        let layer = slot.selector.as_ref().and_then(Selector::current).map(|layer| layer.rung);
        let outgoing = Outgoing {
            payload_type,
            sequence: outgoing.sequence,
            time: outgoing.time,
            marker: received.marker || set_marker,
            wall: packet.taken,
            payload: received.payload.clone(),
            patches: outgoing.patches,
            level: received.audio_level.map(|level| (level.min(127), received.voice.unwrap_or(false))),
            orientation: received.orientation,
        };
        if layer < slot.layer {
            // The path did not carry what came before, and the new keyframe makes it needless.
            subscriber.egress.forget_sent(viewer.slot);
        }
        let sent = subscriber.egress.send(now, viewer.slot, outgoing);
        if sent {
            slot.sent += 1;
            if packet.descriptor.as_ref().is_some_and(|read| read.key_start) {
                slot.key = Some(now);
            }
            subscriber.set_flow(viewer.slot, Flow::Active, layer);
            self.counters.packets_out += 1;
            if !std::mem::replace(&mut peer.dirty, true) {
                self.dirty.push_back(viewer.peer);
            }
        } else {
            self.counters.refused += 1;
        }
        false
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
        let rung = track.rungs.get_mut(usize::from(layer))?;
        rung.ssrc = Some(packet.ssrc);
        rung.throttle.wake();
        rung.turned = self.now;
        let source = Source { ssrc: packet.ssrc, track: id, layer, payload_type: packet.payload_type, format };
        publisher.note(source);
        self.note_format(id, format);
        Some(source)
    }

    /// What a track turned out to be, or became.
    pub(crate) fn note_format(&mut self, id: TrackId, format: Format) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let before = track.format.replace(format);
        if before.map(|before| before.codec) == Some(format.codec) {
            return;
        }
        self.events.push_back(Event::Track { track: id, codec: format.codec });
        let (shape, viewers) = (track.shape(), track.viewers.clone());
        track.retap();
        // Who decodes it and who does not is another question now.
        let primary = track.alternate_of.unwrap_or(id);
        let mut others = self.alternates(primary);
        if !others.is_empty() {
            others.push(primary);
            for other in others.iter().filter_map(|other| self.tracks.get(other)) {
                self.chores.extend(other.viewers.iter().map(|viewer| Chore::Assign(viewer.peer)));
            }
        }
        for viewer in viewers {
            let subscriber = self.peers.get_mut(viewer.peer).and_then(Peer::subscriber);
            let slot = subscriber.and_then(|subscriber| subscriber.slots.get_mut(viewer.slot));
            if let Some(selector) = slot.and_then(|slot| slot.selector.as_mut()) {
                renew(selector, shape);
            }
        }
    }

    /// A subscriber cannot decode what a section carries. The throttle merges requests until the publisher answers; one that
    /// crosses the answer on the viewer's path is answered by that, and would otherwise cost everybody a second keyframe.
    /// Viewers repeat what brings nothing, as requests are lost as well.
    pub(crate) fn keyframe_wanted(&mut self, subscriber: &mut Subscriber, index: usize) {
        let now = self.now;
        let Some(slot) = subscriber.slots.get(index) else { return };
        if subscriber.is_key_coming(now, slot) {
            return;
        }
        let rung = slot.selector.as_ref().and_then(Selector::current).map_or(0, |layer| layer.rung);
        let Some(track) = slot.carries.filter(|_| subscriber.requests.admit(now)) else { return };
        if self.tracks.get(&track).is_some_and(Track::is_source) {
            subscriber.slots[index].begs = true;
        }
        self.want_keyframe(track, rung);
    }
}

/// What becomes of a packet in a slot.
enum Judged {
    /// It goes out; whether it ends a picture there.
    Forward { set_marker: bool },
    /// It is left out of what goes out.
    LeaveOut,
    /// It is of another source.
    Ignore,
    /// The slot begins with what is kept of its source.
    Wait,
}

/// Judges a packet. Moves the slot's source.
fn judge(slot: &mut Slot, now: Instant, packet: &Packet<'_>) -> Judged {
    let ssrc = packet.source.ssrc;
    let Some(descriptor) = &packet.descriptor else {
        if slot.paused {
            slot.source = None;
            return Judged::Ignore;
        }
        if slot.source.replace(ssrc) != Some(ssrc) {
            slot.writer.switch();
        }
        return Judged::Forward { set_marker: false };
    };
    let Some(selector) = slot.selector.as_mut() else { return Judged::Ignore };
    let is_current = selector.current().is_some_and(|current| current.rung == packet.source.layer);
    if is_current && slot.source != Some(ssrc) {
        // The publisher's encoder began anew under another name: it continues at a keyframe.
        let target: Option<Layer> = selector.target();
        selector.set_target(None);
        selector.set_target(target);
    }
    if packet.via == Via::Feed && selector.current().is_none() {
        return if selector.target().is_some() { Judged::Wait } else { Judged::Ignore };
    }
    match selector.handle_packet(now, packet.source.layer, packet.received.sequence, descriptor) {
        Verdict::Forward { switched, set_marker } => {
            if switched {
                slot.source = Some(ssrc);
                slot.began = Some(now);
                slot.writer.switch();
            }
            Judged::Forward { set_marker }
        }
        Verdict::Skip => Judged::LeaveOut,
        Verdict::Ignore => Judged::Ignore,
    }
}
