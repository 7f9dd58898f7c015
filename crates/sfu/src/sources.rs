//! Tracks without a connection: what the room's owner feeds, and whether it is to.
//!
//! In: packets of sources. Out: whether somebody watches them.
//! A source's packets take the way of a publisher's (`forward.rs`), with one difference: a slot begins with what is kept of the source,
//! all at once, because nobody can be asked for a keyframe.

use std::time::{Duration, Instant};

use telstar_media::MediaKind;
use telstar_units::{ParticipantId, TrackId};

use crate::api::{FeedDemand, FeedFormat, FeedPacket, Flow, Kind, NewSource, NewTrack, RoomId};
use crate::demux::Key;
use crate::engine::{Format, Received, of_feed};
use crate::feed::{Feed, Group, Kept, micros};
use crate::forward::{Packet, Via};
use crate::keyframes::DEMAND_HOLD;
use crate::peer::Peer;
use crate::publisher::Source;
use crate::rewrite::Wall;
use crate::room::{Origin, Room, Track, Viewer};

use crate::sfu::{Chore, Sfu};

/// A slot that was given what is kept of a source is not given it again for so long, whatever its viewer asks for. Lower fills a path
/// that loses packets with more of them, higher leaves a picture standing that was lost. What was given left within that time
/// (`egress/pacer.rs`).
const GIVEN_AGAIN_AFTER: Duration = Duration::from_secs(2);

impl Sfu {
    /// Packets of a source, in order. What lies there when its watching begins is to come before the next `poll_*`, so that viewers
    /// get it as one group that ends at the live edge.
    pub fn handle_feed(&mut self, now: Instant, track: TrackId, format: FeedFormat, packets: &[FeedPacket]) {
        self.set_now(now);
        let Some(format) = of_feed(&format) else {
            self.counters.malformed += packets.len() as u64;
            return;
        };
        if !self.begin_feed(track, format) {
            return;
        }
        let mut waits = false;
        for packet in packets {
            waits |= self.feed(track, format, packet);
        }
        if waits {
            self.chores.push_back(Chore::Give(track));
        }
    }

    /// Where the zero of the times of a source lies, and of all sources of its participant. Otherwise that is found from when their
    /// packets come, which is right as long as those are not behind each other: what a conversion made comes later than what it is
    /// made from, and all at once when it begins.
    pub fn set_zero(&mut self, source: TrackId, zero: Instant) {
        let Some(track) = self.tracks.get(&source).filter(|track| track.is_source()) else { return };
        let (room, participant) = (track.room, track.participant);
        let clocks = self.rooms.get_mut(&room).map(|room| &mut room.clocks);
        if let Some(clock) = clocks.and_then(|clocks| clocks.get_mut(&participant)) {
            clock.set(zero);
        }
    }

    /// The next source whose watching began or ended.
    pub fn poll_feed_demand(&mut self) -> Option<FeedDemand> {
        if self.feed_demands.is_empty() {
            self.flush();
        }
        self.feed_demands.pop_front()
    }

    pub(crate) fn add_source(&mut self, room: RoomId, participant: ParticipantId, source: NewSource) {
        let (id, now, audio_slots) = (source.track, self.now, self.config.limits.audio_slots);
        if self.tracks.contains_key(&id) {
            return;
        }
        let NewSource { track, kind, source, alternate_of, for_viewers } = source;
        let muted = alternate_of.and_then(|primary| self.tracks.get(&primary)).is_some_and(|primary| primary.muted);
        let new = NewTrack { mid: String::new(), track, kind, source, muted, layers: Vec::new() };
        let origin = Origin::Feed(Box::default());
        let track = Track { alternate_of, for_viewers, ..Track::new(now, room, origin, participant, new) };
        self.tracks.insert(id, track);
        let room_of = self.rooms.entry(room).or_insert_with(|| Room::new(audio_slots, now));
        room_of.tracks.insert(id);
        room_of.clocks.entry(participant).or_default();
        if let Some(primary) = alternate_of {
            room_of.alternates.entry(primary).or_default().push(id);
        }
        self.assign_room(room);
    }

    /// Whether a track is a source that takes packets of a format, which may be another one than before.
    fn begin_feed(&mut self, id: TrackId, format: Format) -> bool {
        let Some(track) = self.tracks.get_mut(&id) else { return false };
        let is_video = format.codec.kind() == MediaKind::Video;
        let fits = (track.kind == Kind::Video) == is_video;
        let Some(feed) = track.feed().filter(|_| fits) else { return false };
        if feed.format.replace(format) != Some(format) {
            feed.group.clear();
        }
        if track.format != Some(format) {
            self.note_format(id, format);
        }
        true
    }

    /// A packet of a source. Returns whether a viewer waits for what is kept of it.
    fn feed(&mut self, id: TrackId, format: Format, packet: &FeedPacket) -> bool {
        let now = self.now;
        self.counters.packets_in += 1;
        let Some(track) = self.tracks.get_mut(&id) else { return false };
        let (participant, is_video, muted) = (track.participant, track.kind == Kind::Video, track.muted);
        let room = track.room;
        let Origin::Feed(feed) = &mut track.origin else { return false };
        feed.follow(packet.sequence);
        if *feed.began.get_or_insert(now) != now {
            // What lay there when it began says nothing of its rate.
            track.rungs.iter_mut().for_each(|rung| rung.meter.add(now, packet.payload.len()));
        }
        if muted || packet.payload.is_empty() {
            return false;
        }
        let mut descriptor = None;
        if is_video {
            let begins = packet.key && !feed.group.begins_at(packet.time);
            descriptor = Feed::describe(format.codec, &packet.payload, packet.marker, begins);
            if descriptor.is_none() {
                self.counters.malformed += 1;
                return false;
            }
        }
        let kept = Kept {
            sequence: packet.sequence,
            time: packet.time,
            marker: packet.marker,
            payload: packet.payload.clone(),
            descriptor,
        };
        let source = source(id, feed.ssrc, format);
        if is_video {
            feed.group.push(format.clock_rate, kept.clone());
        }
        let (received, micros) = receive(&source, &kept, kept.time);
        let clock = self.rooms.get_mut(&room).and_then(|room| room.clocks.get_mut(&participant));
        let taken = clock.map_or(now, |clock| clock.taken(now, micros));
        let wall = Some(Wall { clock: participant.0, micros });
        self.forward_to_all(&Packet { received: &received, source, descriptor, wall, taken, via: Via::Feed })
    }

    /// Gives what is kept of a source to the slots that begin with it, and to those whose viewers lost it.
    pub(crate) fn give(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id).filter(|track| !track.muted) else { return };
        let (room, participant) = (track.room, track.participant);
        let Origin::Feed(feed) = &mut track.origin else { return };
        let is_fed = feed.next.is_some();
        let (Some(format), Some(key)) = (feed.format, feed.group.key()) else {
            if is_fed {
                self.for_each_viewer(id, Sfu::note_wait);
            }
            return;
        };
        let source = source(id, feed.ssrc, format);
        // Taken out for the loop, as the viewers are; nothing in the loop looks for it.
        let group = std::mem::take(&mut feed.group);
        self.for_each_viewer(id, |sfu, viewer| {
            if sfu.takes_group(viewer, &source, group.len(), key) {
                sfu.give_to(viewer, &source, &group, (room, participant));
            }
        });
        if let Some(feed) = self.tracks.get_mut(&id).and_then(Track::feed) {
            feed.group = group;
        }
    }

    /// A slot waits for the next keyframe of a source that is under way: nothing is kept, because it would be too much.
    fn note_wait(&mut self, viewer: Viewer) {
        let Some(subscriber) = self.peers.get_mut(viewer.peer).and_then(Peer::subscriber) else { return };
        let Some(slot) = subscriber.slots.get(viewer.slot) else { return };
        let waits = slot.selector.as_ref().is_some_and(|selector| selector.current().is_none());
        if waits && slot.flow == Flow::Active {
            subscriber.set_flow(viewer.slot, Flow::Silent, None);
        }
    }

    /// Whether a slot is to be given a group, and ready for it.
    fn takes_group(&mut self, viewer: Viewer, source: &Source, packets: usize, key: u64) -> bool {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(viewer.peer).filter(|peer| peer.is_up()) else { return false };
        let Some(subscriber) = peer.subscriber() else { return false };
        let room = subscriber.egress.room();
        let Some(slot) = subscriber.slots.get_mut(viewer.slot) else { return false };
        let begs = std::mem::take(&mut slot.begs);
        let Some(selector) = slot.selector.as_mut().filter(|selector| selector.target().is_some()) else {
            return false;
        };
        let begins = selector.current().is_none() || slot.source != Some(source.ssrc);
        let is_fresh = slot.given.is_some_and(|(at, _)| now.saturating_duration_since(at) < GIVEN_AGAIN_AFTER);
        let is_known = slot.given.is_some_and(|(_, of)| of == key);
        if slot.ssrc.is_none() || packets > room || !(begs || begins) || (is_fresh && (is_known || !begins)) {
            return false;
        }
        slot.given = Some((now, key));
        let target = selector.target();
        selector.set_target(None);
        selector.set_target(target);
        true
    }

    fn give_to(
        &mut self,
        viewer: Viewer,
        source: &Source,
        group: &Group,
        (room, participant): (RoomId, ParticipantId),
    ) {
        let now = self.now;
        let slot = |peer: &Peer| Some(peer.as_subscriber()?.slots.get(viewer.slot)?.source);
        let carried = self.peers.get(viewer.peer).and_then(slot).flatten();
        for (time, kept) in group.compressed(source.format.clock_rate, carried == Some(source.ssrc)) {
            let (received, micros) = receive(source, kept, time);
            let clock = self.rooms.get_mut(&room).and_then(|room| room.clocks.get_mut(&participant));
            let taken = clock.map_or(now, |clock| clock.taken(now, micros));
            let wall = Some(Wall { clock: participant.0, micros });
            let descriptor = kept.descriptor;
            let packet = Packet { received: &received, source: *source, descriptor, wall, taken, via: Via::Group };
            self.forward_to(viewer, &packet);
        }
    }

    /// Finds out whether somebody has a slot for a source, and tells the owner when that changed: at once when somebody has, after a
    /// while when nobody has any more.
    pub(crate) fn weigh_feed(&mut self, id: TrackId) {
        let now = self.now;
        let Some(track) = self.tracks.get(&id) else { return };
        let is_watched = track.viewers.iter().any(|viewer| {
            let slots = self.peers.get(viewer.peer).and_then(Peer::as_subscriber).map(|subscriber| &subscriber.slots);
            slots.and_then(|slots| slots.get(viewer.slot)).is_some_and(|slot| !slot.paused)
        });
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(feed) = track.feed() else { return };
        if is_watched {
            feed.watched = Some(now);
        }
        let wanted = feed.watched.is_some_and(|at| now.saturating_duration_since(at) < DEMAND_HOLD);
        if std::mem::replace(&mut feed.told, wanted) == wanted {
            return;
        }
        if !wanted {
            feed.rest();
        }
        for rung in &mut track.rungs {
            (rung.told, rung.turned) = (wanted, now);
        }
        self.feed_demands.retain(|demand| demand.track != id);
        self.feed_demands.push_back(FeedDemand { track: id, wanted });
    }

    /// As [`Sfu::weigh_feed`], for the sources that a subscriber has slots for.
    pub(crate) fn weigh_feeds_of(&mut self, key: Key) {
        let Some(subscriber) = self.peers.get(key).and_then(Peer::as_subscriber) else { return };
        let carried: Vec<TrackId> = subscriber.slots.iter().filter_map(|slot| slot.carries).collect();
        for track in carried {
            if self.tracks.get(&track).is_some_and(|track| track.is_source() && !track.is_fed()) {
                self.weigh_feed(track);
            }
        }
    }
}

/// The stream that a source's packets are of.
fn source(track: TrackId, ssrc: u32, format: Format) -> Source {
    Source { ssrc, track, layer: 0, payload_type: 0, format }
}

/// A packet as if a publisher had sent it at this time, and the time in microseconds from the participant's zero.
fn receive(source: &Source, kept: &Kept, time: i64) -> (Received, i64) {
    let received = Received {
        ssrc: source.ssrc,
        payload_type: 0,
        sequence: kept.sequence,
        // RTP's times go round.
        time: time as u32,
        marker: kept.marker,
        payload: kept.payload.clone(),
        audio_level: None,
        voice: None,
        orientation: None,
        report: None,
    };
    (received, micros(time, source.format.clock_rate))
}
