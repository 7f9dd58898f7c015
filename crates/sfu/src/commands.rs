//! What the room's owner wants, carried out.

use std::time::Duration;

use telstar_units::{ParticipantId, TrackId};

use crate::answer::add_candidate;
use crate::api::{Command, Event, Fault, Flow, Kind, PeerId, Quality, Role, RoomId, Subscription};
use crate::demux::Key;
use crate::engine::{Figures, fragment_is_usable};
use crate::peer::{Link, Peer, Side};
use crate::police::{Ingress, IngressLimits, TokenBucket};
use crate::publisher::Publisher;
use crate::room::Room;
use crate::route::Route;
use crate::sdp::Sheet;
use crate::sfu::{Chore, Sfu};
use crate::subscriber::Subscriber;

/// Wishes that one subscriber may have expressed; more than tracks in any room.
const WISHES_MAX: usize = 4_096;
/// What a subscriber may send: RTCP. Reports of 30 streams and transport feedback on 30 Mbit/s stay under a tenth of
/// it. Each four bytes of a NACK (RFC 4585 §6.2.1) make us look for 17 packets: higher lets a flood of them
/// take more of a thread.
const SUBSCRIBER_BITS_PER_SEC: u64 = 1_500_000;
/// As [`SUBSCRIBER_BITS_PER_SEC`]. Chrome sends transport feedback 20 times a second, NACKs and reports beside it.
const SUBSCRIBER_PACKETS_PER_SEC: u64 = 1_000;
/// Packets of streams that were never authenticated. The engine keeps a few bytes for each stream it hears of before
/// it can tell whether the packet is genuine; more lets a forger fill memory, fewer delays genuine new streams.
const NEW_STREAMS_PER_SEC: u64 = 100;
/// Checks on paths that a peer has not shown to be its own, from all addresses together: ten addresses at their own
/// limit (`police.rs`). More lets forged addresses make the server compute more; fewer lets them keep a peer from moving.
const NEW_PATHS_PER_SEC: u64 = 250;
impl Sfu {
    pub(crate) fn command(&mut self, command: Command) {
        match command {
            Command::AddPeer { peer, room, participant, role, auto_subscribe } => {
                self.add_peer(peer, room, participant, role, auto_subscribe);
            }
            Command::RemovePeer { peer } => {
                if let Some(key) = self.key(peer) {
                    self.dismiss(key);
                }
            }
            Command::Offer { peer, ticket, sdp, tracks } => self.offered(peer, ticket, &sdp, tracks),
            Command::Answer { peer, version, sdp } => self.answered(peer, version, &sdp),
            Command::Candidate { peer, candidate } => self.candidate(peer, &candidate),
            Command::RestartIce { peer } => {
                self.with_subscriber(peer, |_, subscriber| subscriber.restart = true);
                if let Some(key) = self.key(peer) {
                    self.negotiate(key);
                }
            }
            Command::AddSource { room, participant, source } => self.add_source(room, participant, source),
            Command::Tap { track, enabled } => self.tap(track, enabled),
            Command::Unpublish { track } => self.end_track(track),
            Command::Mute { track, muted } => self.mute(track, muted),
            Command::Subscribe { peer, track, subscription } => self.subscribe(peer, track, subscription),
            Command::Report { peer, enabled } => {
                self.with_subscriber(peer, |_, subscriber| subscriber.report = enabled);
            }
            Command::CloseRoom { room } => self.close_room(room),
        }
    }

    fn with_subscriber(&mut self, peer: PeerId, act: impl FnOnce(Key, &mut Subscriber)) {
        if let Some(key) = self.key(peer)
            && let Some(subscriber) = self.peers.get_mut(key).and_then(Peer::subscriber)
        {
            act(key, subscriber);
        }
    }

    fn add_peer(&mut self, id: PeerId, room: RoomId, participant: ParticipantId, role: Role, auto_subscribe: bool) {
        if self.key(id).is_some() {
            return;
        }
        let now = self.now;
        let side = match role {
            Role::Publisher => Side::Publisher(Publisher::default()),
            Role::Subscriber | Role::Viewer => {
                let is_viewer = role == Role::Viewer;
                Side::Subscriber(Subscriber::new(now, is_viewer, auto_subscribe, self.config.limits.send_bps_max))
            }
        };
        let mut peer = Box::new(Peer {
            id,
            room,
            participant,
            engine: self.engine(role),
            side,
            link: Link::New,
            heard: now,
            paths: Vec::new(),
            route: Route::new(self.config.ice_lite),
            nominates: false,
            fragments: Vec::new(),
            candidates: 0,
            agreed: Vec::new(),
            channel: None,
            figures: Figures::default(),
            counted: self.now,
            quality: None,
            trend: (Quality::Excellent, 0),
            ingress: Ingress::new(self.ingress_limits(role), now),
            new_streams: TokenBucket::new(NEW_STREAMS_PER_SEC, NEW_STREAMS_PER_SEC * 2, now),
            new_paths: TokenBucket::new(NEW_PATHS_PER_SEC, NEW_PATHS_PER_SEC * 2, now),
            engine_at: now,
            deadline: now + Duration::from_secs(1),
            armed: None,
            dirty: false,
            #[cfg(feature = "probes")]
            trip: false,
        });
        let fragment = peer.engine.fragment();
        debug_assert!(fragment_is_usable(&fragment), "ICE fragments are long enough to tell peers apart");
        let key = self.peers.insert(id, peer);
        let audio_slots = self.config.limits.audio_slots;
        self.rooms.entry(room).or_insert_with(|| Room::new(audio_slots, now)).peers.insert(key);
        self.touch(key, |sfu, peer| {
            sfu.name(key, peer, fragment);
            peer.engine.advance(sfu.now);
        });
        if role == Role::Subscriber {
            self.chores.push_back(Chore::Assign(key));
        }
    }

    fn ingress_limits(&self, role: Role) -> IngressLimits {
        let limits = &self.config.limits;
        match role {
            Role::Publisher => {
                IngressLimits { bits_per_sec: limits.receive_bps_max, packets_per_sec: limits.receive_packets_max }
            }
            Role::Subscriber | Role::Viewer => {
                IngressLimits { bits_per_sec: SUBSCRIBER_BITS_PER_SEC, packets_per_sec: SUBSCRIBER_PACKETS_PER_SEC }
            }
        }
    }

    /// A track ends: its slots become free.
    pub(crate) fn end_track(&mut self, id: TrackId) {
        let Some(track) = self.tracks.remove(&id) else { return };
        let publisher = track.publisher().and_then(|key| self.peers.get_mut(key));
        if let Some(publisher) = publisher.and_then(Peer::publisher) {
            publisher.forget(id);
        }
        self.feed_demands.retain(|demand| demand.track != id);
        if let Some(room) = self.rooms.get_mut(&track.room) {
            room.tracks.remove(&id);
            room.alternates.remove(&id);
            room.alternates.values_mut().for_each(|alternates| alternates.retain(|other| *other != id));
            room.speakers.remove(id);
            if room.peers.is_empty() && room.tracks.is_empty() {
                self.rooms.remove(&track.room);
                return;
            }
            let mut others = room.tracks.iter().filter_map(|other| self.tracks.get(other));
            if !others.any(|other| other.is_source() && other.participant == track.participant) {
                room.clocks.remove(&track.participant);
            }
            let peers: Vec<Key> = room.peers.iter().copied().collect();
            for key in peers {
                if let Some(subscriber) = self.peers.get_mut(key).and_then(Peer::subscriber) {
                    subscriber.wishes.remove(&id);
                }
            }
        }
        self.assign_room(track.room);
    }

    fn subscribe(&mut self, peer: PeerId, track: TrackId, subscription: Subscription) {
        let Some(key) = self.key(peer) else { return };
        let room = self.peers.get(key).map(|peer| peer.room);
        // Tracks of other rooms do not exist for this peer.
        if self.tracks.get(&track).map(|track| track.room) != room {
            return;
        }
        self.with_subscriber(peer, |_, subscriber| {
            if subscriber.wishes.len() < WISHES_MAX || subscriber.wishes.contains_key(&track) {
                subscriber.wishes.insert(track, subscription);
            }
        });
        self.chores.push_back(Chore::Assign(key));
    }

    fn answered(&mut self, id: PeerId, version: u32, sdp: &str) {
        let Some(key) = self.key(id) else { return };
        let slots_max = self.config.limits.slots;
        let outcome = self.touch(key, |sfu, peer| {
            let subscriber = peer.subscriber().ok_or(Fault::BadSdp)?;
            if subscriber.pending.as_ref().map(|pending| pending.version) != Some(version) {
                // An answer to what is not asked any more.
                return Ok(false);
            }
            let sheet = Sheet::read(sdp, slots_max + 1)?;
            let answer = crate::engine::Engine::read_answer(&sheet.write(|_| true))?;
            let Some(pending) = peer.subscriber().and_then(|subscriber| subscriber.pending.take()) else {
                return Ok(false);
            };
            peer.engine.accept(pending.offer, answer)?;
            for candidate in &sheet.candidates {
                add_candidate(peer, candidate);
            }
            if peer.link == Link::New {
                peer.link = Link::Connecting(sfu.now);
            }
            peer.engine.advance(sfu.now);
            let Peer { engine, side: Side::Subscriber(subscriber), .. } = peer else { return Ok(false) };
            subscriber.read_sections(engine);
            Ok(true)
        });
        match outcome {
            Some(Ok(true)) => {
                self.chores.push_back(Chore::Assign(key));
                self.negotiate(key);
            }
            Some(Err(fault)) => {
                self.events.push_back(Event::Rejected { peer: id, ticket: None, fault });
                // With the offer used up there is no way back to a common view.
                let used_up = self.peers.get(key).and_then(Peer::as_subscriber).is_some_and(|s| s.pending.is_none());
                if used_up && let Some(peer) = self.peers.take(key) {
                    self.bury(key, peer, Some(fault));
                }
            }
            Some(Ok(false)) | None => {}
        }
    }

    fn candidate(&mut self, peer: PeerId, candidate: &str) {
        if let Some(key) = self.key(peer) {
            self.touch(key, |sfu, peer| {
                add_candidate(peer, candidate);
                peer.engine.advance(sfu.now);
            });
        }
    }

    fn mute(&mut self, id: TrackId, muted: bool) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if std::mem::replace(&mut track.muted, muted) == muted {
            return;
        }
        if let Some(feed) = track.feed() {
            feed.group.clear();
        }
        for viewer in track.viewers.clone() {
            if let Some(subscriber) = self.peers.get_mut(viewer.peer).and_then(Peer::subscriber) {
                let slot = &mut subscriber.slots[viewer.slot];
                // What comes after a pause begins anew: with a keyframe, and behind what was sent.
                slot.source = None;
                if let Some(selector) = &mut slot.selector {
                    selector.set_target(None);
                }
                if muted {
                    subscriber.set_flow(viewer.slot, Flow::Silent, None);
                }
            }
            self.allocate(viewer.peer);
            self.tell_slots(viewer.peer);
        }
        for alternate in self.alternates(id) {
            self.mute(alternate, muted);
        }
    }

    /// The alternates of a track.
    pub(crate) fn alternates(&self, id: TrackId) -> Vec<TrackId> {
        let room = self.tracks.get(&id).and_then(|track| self.rooms.get(&track.room));
        room.and_then(|room| room.alternates.get(&id)).cloned().unwrap_or_default()
    }

    fn close_room(&mut self, room: RoomId) {
        let Some(gone) = self.rooms.get(&room) else { return };
        let peers: Vec<Key> = gone.peers.iter().copied().collect();
        for key in peers {
            self.dismiss(key);
        }
        // What is left has no connection.
        let sources: Vec<TrackId> =
            self.rooms.get(&room).map_or_else(Vec::new, |room| room.tracks.iter().copied().collect());
        for source in sources {
            self.end_track(source);
        }
        self.rooms.remove(&room);
    }

    /// What of a room ends with a peer.
    pub(crate) fn left(&mut self, key: Key, peer: &Peer) {
        if let Side::Publisher(publisher) = &peer.side {
            let tracks: Vec<TrackId> = publisher.sections.values().copied().collect();
            for track in tracks {
                self.end_track(track);
            }
        }
        if let Side::Subscriber(subscriber) = &peer.side {
            for track in subscriber.slots.iter().filter_map(|slot| slot.carries) {
                if let Some(track) = self.tracks.get_mut(&track) {
                    track.viewers.retain(|viewer| viewer.peer != key);
                }
            }
        }
        if let Some(room) = self.rooms.get_mut(&peer.room) {
            room.peers.remove(&key);
            if room.peers.is_empty() && room.tracks.is_empty() {
                self.rooms.remove(&peer.room);
            }
        }
    }
}

/// The index of a kind in tables by kind.
pub(crate) fn place(kind: Kind) -> usize {
    match kind {
        Kind::Audio => 0,
        Kind::Video => 1,
    }
}
