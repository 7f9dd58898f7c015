//! Which track is in which slot of a subscriber, and the offers that make new slots.
//!
//! Slots are never removed and are used for one track after another. A subscriber has at most one offer outstanding;
//! what comes up meanwhile goes into the next.

use telstar_units::TrackId;

use crate::api::{Event, Flow, Kind, RoomId, Source};
use crate::commands::place;
use crate::demux::Key;
use crate::engine::NewSection;
use crate::peer::{Link, Peer};
use crate::room::Viewer;
use crate::select::Selector;
use crate::sfu::{Chore, Sfu};
use crate::subscriber::{Pending, Slot};

/// Slots that a subscriber's first offer has even in an empty room, so that the first track needs no second round of
/// offer and answer: one for sound, one for pictures.
const SLOTS_FIRST: usize = 1;

impl Sfu {
    /// Tracks of a room changed.
    pub(crate) fn assign_room(&mut self, room: RoomId) {
        if let Some(room) = self.rooms.get(&room) {
            self.chores.extend(room.peers.iter().map(|key| Chore::Assign(*key)));
        }
    }

    /// The tracks that a subscriber wants and may have, in the order in which they get slots.
    fn wanted(&self, key: Key) -> [Vec<TrackId>; 2] {
        let mut wanted = [Vec::new(), Vec::new()];
        let Some(peer) = self.peers.get(key) else { return Default::default() };
        let (Some(subscriber), Some(room)) = (peer.as_subscriber(), self.rooms.get(&peer.room)) else {
            return Default::default();
        };
        for id in &room.tracks {
            let Some(track) = self.tracks.get(id) else { continue };
            // Alternates are had in the place of another.
            if track.participant == peer.participant || track.alternate_of.is_some() {
                continue;
            }
            if track.for_viewers && !subscriber.is_viewer {
                continue;
            }
            if let Some(wish) = subscriber.wish(*id) {
                let first = match track.kind {
                    // How loud a source is nobody says, and a room's main sound does not lose its place to talk.
                    Kind::Audio => track.is_source() || room.speakers.slots().contains(id),
                    Kind::Video => track.source == Source::Screen,
                };
                wanted[place(track.kind)].push((wish.priority, first, *id));
            }
        }
        wanted.map(|mut tracks| {
            // Highest priority first, then screens and who speaks, then who came first.
            tracks.sort_by_key(|(priority, first, id)| (u8::MAX - priority, !first, *id));
            tracks.into_iter().map(|(_, _, id)| id).collect()
        })
    }

    /// Brings a subscriber's slots in line with what it wants.
    pub(crate) fn assign(&mut self, key: Key) {
        let Some(subscriber) = self.peers.get(key).and_then(Peer::as_subscriber) else { return };
        let limits = self.config.limits;
        let audio_max = limits.audio_slots.min(limits.slots);
        let most = match subscriber.is_viewer {
            true => [subscriber.count(Kind::Audio), subscriber.count(Kind::Video)],
            false => [audio_max, limits.slots - audio_max],
        };
        let wanted = self.wanted(key);
        let mut missing = [0, 0];
        for kind in [Kind::Audio, Kind::Video] {
            let mut tracks = wanted[place(kind)].clone();
            tracks.truncate(most[place(kind)]);
            self.release(key, kind, &tracks);
            for track in tracks {
                if !self.place(key, kind, track) {
                    missing[place(kind)] += 1;
                }
            }
        }
        if let Some(subscriber) = self.peers.get_mut(key).and_then(Peer::subscriber) {
            let first = subscriber.offers == 0;
            for kind in [Kind::Audio, Kind::Video] {
                let least = if first { SLOTS_FIRST } else { 0 };
                let room = most[place(kind)].saturating_sub(subscriber.count(kind));
                subscriber.wanted[place(kind)] = missing[place(kind)].max(least).min(room);
            }
        }
        self.carry(key);
        self.note_pauses(key);
        self.negotiate(key);
        self.allocate(key);
        self.tell_slots(key);
        self.weigh_feeds_of(key);
    }

    /// Slots whose track is to pause.
    fn note_pauses(&mut self, key: Key) {
        let Some(subscriber) = self.peers.get_mut(key).and_then(Peer::subscriber) else { return };
        for index in 0..subscriber.slots.len() {
            let Some(track) = subscriber.slots[index].track else { continue };
            let paused = subscriber.wish(track).is_some_and(|wish| wish.paused);
            subscriber.slots[index].paused = paused;
            if paused {
                subscriber.set_flow(index, Flow::Paused, None);
            } else if subscriber.slots[index].flow == Flow::Paused {
                subscriber.set_flow(index, Flow::Active, None);
            }
        }
    }

    /// Frees the slots whose track is not among those to be kept.
    fn release(&mut self, key: Key, kind: Kind, keep: &[TrackId]) {
        let Some(subscriber) = self.peers.get_mut(key).and_then(Peer::subscriber) else { return };
        for slot in subscriber.slots.iter_mut().filter(|slot| slot.kind == kind) {
            if slot.track.is_some_and(|track| !keep.contains(&track)) {
                slot.track = None;
                subscriber.slots_changed = true;
            }
        }
    }

    /// Gives a track a slot, if it has none and there is a free one. Sound and pictures of one participant go to one
    /// pair when they can.
    fn place(&mut self, key: Key, kind: Kind, id: TrackId) -> bool {
        let Some(track) = self.tracks.get(&id) else { return true };
        let participant = track.participant;
        let others: Vec<TrackId> =
            self.tracks.iter().filter(|(_, other)| other.participant == participant).map(|(id, _)| *id).collect();
        let Some(subscriber) = self.peers.get_mut(key).and_then(Peer::subscriber) else { return true };
        if subscriber.slot_of(id).is_some() {
            return true;
        }
        let partner = |pair: usize| {
            let mut slots = subscriber.slots.iter().filter(|slot| slot.pair == pair && slot.kind != kind);
            slots.find_map(|slot| slot.track)
        };
        let free = subscriber.slots.iter().enumerate().filter(|(_, slot)| slot.kind == kind && slot.track.is_none());
        // First beside the same participant, then beside nobody, then anywhere.
        let best = free.min_by_key(|(_, slot)| match partner(slot.pair) {
            Some(beside) if others.contains(&beside) => 0,
            None => 1,
            Some(_) => 2,
        });
        let Some((index, _)) = best else { return false };
        let wish = subscriber.wish(id).unwrap_or_default();
        let slot = &mut subscriber.slots[index];
        slot.track = Some(id);
        slot.paused = wish.paused;
        subscriber.slots_changed = true;
        true
    }

    /// Brings what a subscriber's slots forward in line with what they are for.
    fn carry(&mut self, key: Key) {
        let now = self.now;
        let slots = self.peers.get(key).and_then(Peer::as_subscriber).map_or(0, |subscriber| subscriber.slots.len());
        for index in 0..slots {
            let carried = self.carried(key, index);
            let Some(subscriber) = self.peers.get_mut(key).and_then(Peer::subscriber) else { return };
            let slot = &mut subscriber.slots[index];
            let before = std::mem::replace(&mut slot.carries, carried);
            if before == carried {
                continue;
            }
            if let Some(track) = before.and_then(|before| self.tracks.get_mut(&before)) {
                track.viewers.retain(|viewer| (viewer.peer, viewer.slot) != (key, index));
            }
            let track = carried.and_then(|carried| self.tracks.get_mut(&carried));
            subscriber.slots_changed = true;
            slot.payload_type = None;
            slot.flow = match &track {
                None => Flow::Paused,
                Some(track) if track.muted => Flow::Silent,
                Some(_) => Flow::Active,
            };
            slot.layer = None;
            slot.source = None;
            (slot.given, slot.begs) = (None, false);
            let shape = track.as_ref().filter(|track| track.kind == Kind::Video).map(|track| track.shape());
            slot.selector = shape.map(Selector::new);
            if let Some(track) = track {
                track.viewers.push(Viewer { peer: key, slot: index });
                // What is sent goes on until it is known what the newcomer's path carries.
                track.rungs.iter_mut().filter(|rung| rung.told).for_each(|rung| rung.wanted = now);
            }
        }
    }

    /// What a slot is to forward of the track that it is for: the track, or, when its viewer decodes nothing of its format, the first
    /// alternate that it does. One of which nothing is known yet counts: it begins when it is watched.
    fn carried(&self, key: Key, index: usize) -> Option<TrackId> {
        let peer = self.peers.get(key)?;
        let slot = peer.as_subscriber()?.slots.get(index)?;
        let id = slot.track?;
        let decodes = |id: &TrackId| {
            let format = self.tracks.get(id).and_then(|track| track.format);
            format.map(|format| peer.engine.payload_type(slot.mid, &format).is_some())
        };
        let alternates = self.rooms.get(&peer.room).and_then(|room| room.alternates.get(&id));
        let Some(alternates) = alternates.filter(|_| slot.ssrc.is_some() && decodes(&id) == Some(false)) else {
            return Some(id);
        };
        let known = alternates.iter().find(|other| decodes(other) == Some(true));
        let other = known.or_else(|| alternates.iter().find(|other| decodes(other).is_none()));
        Some(other.copied().unwrap_or(id))
    }

    /// Offers what is to be offered, unless an answer is awaited.
    pub(crate) fn negotiate(&mut self, key: Key) {
        self.touch(key, |sfu, peer| {
            let (wanted, channel, restart) = {
                let Some(subscriber) = peer.subscriber() else { return };
                if subscriber.is_viewer || subscriber.pending.is_some() {
                    return;
                }
                (subscriber.wanted, subscriber.offers == 0, subscriber.restart)
            };
            if wanted == [0, 0] && !channel && !restart {
                return;
            }
            let sections = new_sections(peer, wanted);
            let Some((sdp, offer, mids, fragment)) = peer.engine.offer(
                &sections.iter().map(|(section, _)| section.clone()).collect::<Vec<_>>(),
                channel,
                restart,
            ) else {
                return;
            };
            if let Some(fragment) = fragment {
                sfu.name(key, peer, fragment);
                peer.candidates = 0;
            }
            if peer.link == Link::New {
                peer.link = Link::Connecting(sfu.now);
            }
            let id = peer.id;
            let random: Vec<u32> = mids.iter().map(|_| peer.engine.random()).collect();
            let Some(subscriber) = peer.subscriber() else { return };
            for (((section, pair), mid), random) in sections.into_iter().zip(mids).zip(random) {
                subscriber.slots.push(Slot::new(mid, section.kind, pair, random));
            }
            subscriber.wanted = [0, 0];
            subscriber.restart = false;
            subscriber.offers += 1;
            let version = subscriber.offers;
            subscriber.pending = Some(Pending { version, offer });
            sfu.events.push_back(Event::Offer { peer: id, version, sdp });
        });
    }

    /// Tells a subscriber what its slots carry, if that changed.
    pub(crate) fn tell_slots(&mut self, key: Key) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let id = peer.id;
        if let Some(subscriber) = peer.subscriber()
            && std::mem::take(&mut subscriber.slots_changed)
        {
            subscriber.slots_version += 1;
            let (version, slots) = (subscriber.slots_version, subscriber.slots());
            self.events.push_back(Event::Slots { peer: id, version, slots });
        }
    }
}

/// Sections for new slots, with their pair: the n-th for sound and the n-th for pictures are one.
fn new_sections(peer: &mut Peer, wanted: [usize; 2]) -> Vec<(NewSection, usize)> {
    let Some(subscriber) = peer.subscriber() else { return Vec::new() };
    let mut sections = Vec::new();
    for kind in [Kind::Audio, Kind::Video] {
        let have = subscriber.count(kind);
        for pair in have..have + wanted[place(kind)] {
            sections.push((NewSection { kind, stream: format!("pair{pair}") }, pair));
        }
    }
    sections
}
