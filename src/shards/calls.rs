//! The calls of one media thread: its SFU, and the way of each room's events to the room's owner.
//!
//! In: commands of owners, datagrams, time. Out: datagrams, events. An owner that does not take its events in time loses
//! its call: its channel ends, which is how it learns of it. So does everybody's after a panic outside of one connection,
//! because nobody knows what the SFU was left as.

mod local;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use telstar_media::Codec;
use telstar_sfu::{Command, Counters, Event, Path, PeerId, Sfu, SfuConfig, Transmit};
use telstar_units::TrackId;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::RoomKey;
use super::joint::ForRoom;
use super::net::{Deliver, NetShared};
use local::Source;

/// Events that wait for a room's owner, as a measure for whoever makes the channel. A room of a hundred makes a few
/// hundred at once when somebody joins. When it is full the call is closed.
pub const CALL_EVENTS_MAX: usize = 4_096;

/// A room in which a call may be.
struct Call {
    sink: mpsc::Sender<Event>,
    peers: HashSet<PeerId>,
}

struct Peer {
    room: RoomKey,
    /// The present name fragment and the one before.
    ufrags: Vec<String>,
    /// What it publishes or has offered to.
    tracks: HashSet<TrackId>,
    /// Its latest offer, whose tracks are none if it is refused.
    offered: Option<(u64, Vec<TrackId>)>,
}

/// The calls.
pub(super) struct Calls {
    sfu: Sfu,
    config: SfuConfig,
    index: usize,
    shared: Arc<NetShared>,
    rooms: HashMap<RoomKey, Call>,
    peers: HashMap<PeerId, Peer>,
    tracks: HashMap<TrackId, PeerId>,
    /// Tracks without a connection.
    sources: HashMap<TrackId, Source>,
    /// What published tracks turned out to be.
    codecs: HashMap<TrackId, Codec>,
    /// Tracks that are tapped, and for which room.
    taps: BTreeMap<TrackId, RoomKey>,
    /// What rooms are to be told, until the end of the turn.
    for_rooms: Vec<(RoomKey, ForRoom)>,
    /// Connections as last told to the gauge.
    counted: i64,
    /// The SFU's counters as last added to the threads' own.
    added: Counters,
    now: Instant,
}

impl Calls {
    pub(super) fn new(index: usize, config: SfuConfig, shared: Arc<NetShared>, now: Instant) -> Calls {
        Calls {
            sfu: Sfu::new(config.clone(), now),
            config,
            index,
            shared,
            rooms: HashMap::new(),
            peers: HashMap::new(),
            tracks: HashMap::new(),
            sources: HashMap::new(),
            codecs: HashMap::new(),
            taps: BTreeMap::new(),
            for_rooms: Vec::new(),
            counted: 0,
            added: Counters::default(),
            now,
        }
    }

    /// From now on the room's events go there.
    pub(super) fn open(&mut self, now: Instant, room: RoomKey, sink: mpsc::Sender<Event>) {
        self.close(now, room);
        self.rooms.insert(room, Call { sink, peers: HashSet::new() });
    }

    /// A command of the room's owner. One for a call that was closed has no effect.
    pub(super) fn handle_command(&mut self, now: Instant, room: RoomKey, command: Command) {
        let Some(call) = self.rooms.get_mut(&room) else { return };
        match &command {
            Command::AddPeer { peer, .. } => {
                call.peers.insert(*peer);
                let made = Peer { room, ufrags: Vec::new(), tracks: HashSet::new(), offered: None };
                self.peers.insert(*peer, made);
            }
            Command::Offer { peer, ticket, tracks, .. } => {
                let Some(known) = self.peers.get_mut(peer) else { return };
                let tracks: Vec<TrackId> = tracks.iter().map(|track| track.track).collect();
                known.tracks.extend(&tracks);
                self.tracks.extend(tracks.iter().map(|track| (*track, *peer)));
                known.offered = Some((*ticket, tracks));
            }
            Command::AddSource { source, .. } => self.note_source(source.track, room),
            Command::Unpublish { track } => self.forget_track(*track),
            Command::CloseRoom { .. } => return self.close(now, room),
            _ => {}
        }
        let removed = if let Command::RemovePeer { peer } = &command { Some(*peer) } else { None };
        self.now = now;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.sfu.handle_command(now, command)));
        removed.iter().for_each(|peer| self.forget_peer(*peer));
        if outcome.is_err() {
            tracing::error!(room = room.0, "a command of a call panicked; the call is closed");
            self.shared.counters.panics.fetch_add(1, Ordering::Relaxed);
            self.close(now, room);
        }
    }

    /// A TCP connection is gone.
    pub(super) fn handle_closed(&mut self, now: Instant, path: Path) {
        self.guarded(now, |sfu| sfu.handle_closed(path));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.guarded(now, |sfu| sfu.handle_timeout(now));
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.guarded(self.now, Sfu::poll_timeout).flatten()
    }

    /// Brings every event to whom it concerns.
    pub(super) fn deliver_events(&mut self, now: Instant) {
        while let Some(event) = self.guarded(now, Sfu::poll_event).flatten() {
            let Some(room) = self.room_of(&event) else { continue };
            if let Event::Ufrag { peer, ufrag } = event {
                self.name(peer, ufrag);
                continue;
            }
            if let Event::Track { track, codec } = &event {
                self.note_codec(room, *track, *codec);
            }
            if let Event::Rejected { peer, ticket: Some(ticket), .. } = &event {
                self.refused(*peer, *ticket);
            }
            let failed = if let Event::Failed { peer, .. } = &event { Some(*peer) } else { None };
            let Some(call) = self.rooms.get(&room) else { continue };
            match call.sink.try_send(event) {
                Ok(()) => failed.iter().for_each(|peer| self.forget_peer(*peer)),
                Err(refused) => {
                    if matches!(refused, TrySendError::Full(_)) {
                        tracing::warn!(room = room.0, "a call was closed: its room did not take its events in time");
                        self.shared.counters.slow_rooms.fetch_add(1, Ordering::Relaxed);
                    }
                    self.close(now, room);
                }
            }
        }
        let peers = i64::try_from(self.peers.len()).unwrap_or(i64::MAX);
        self.shared.counters.peers.fetch_add(peers - self.counted, Ordering::Relaxed);
        self.counted = peers;
        self.add_counters();
    }

    /// What the SFU counted since the last time.
    fn add_counters(&mut self) {
        let (counters, counted) = (&self.shared.counters, self.sfu.counters());
        let added = std::mem::replace(&mut self.added, counted);
        counters.add(&counters.limited_packets, counted.refused - added.refused);
        counters.add(&counters.malformed_packets, counted.malformed - added.malformed);
        counters.add(&counters.published_packets, counted.packets_in - added.packets_in);
        counters.add(&counters.forwarded_packets, counted.packets_out - added.packets_out);
        counters.add(&counters.overflowed_packets, counted.overflowed - added.overflowed);
        counters.add(&counters.dropped_messages, counted.messages_dropped - added.messages_dropped);
        counters.add(&counters.asked_keyframes, counted.keyframes_asked - added.keyframes_asked);
        counters.add(&counters.panicked_peers, counted.panics - added.panics);
    }

    /// Ends every call: the server stops.
    pub(super) fn close_all(&mut self, now: Instant) {
        let rooms: Vec<RoomKey> = self.rooms.keys().copied().collect();
        rooms.into_iter().for_each(|room| self.close(now, room));
    }

    fn room_of(&self, event: &Event) -> Option<RoomKey> {
        match event {
            Event::Answer { peer, .. }
            | Event::Rejected { peer, .. }
            | Event::Offer { peer, .. }
            | Event::Connected { peer }
            | Event::Disconnected { peer }
            | Event::Failed { peer, .. }
            | Event::Slots { peer, .. }
            | Event::Demand { peer, .. }
            | Event::Quality { peer, .. }
            | Event::Bandwidth { peer, .. }
            | Event::Ufrag { peer, .. } => self.peers.get(peer).map(|peer| peer.room),
            Event::Track { track, .. } => match self.tracks.get(track) {
                Some(peer) => self.peers.get(peer).map(|peer| peer.room),
                None => self.sources.get(track).map(Source::room),
            },
            Event::Speakers { room, .. } => Some(RoomKey(room.0)),
        }
    }

    /// The peer is found by this name from now on, whichever thread's socket hears it.
    fn name(&mut self, peer: PeerId, ufrag: String) {
        let Some(peer) = self.peers.get_mut(&peer) else { return };
        self.shared.name(ufrag.clone(), self.index);
        peer.ufrags.push(ufrag);
        if peer.ufrags.len() > 2 {
            self.shared.unname(&peer.ufrags.remove(0));
        }
    }

    /// An offer was not taken: its new tracks never began.
    fn refused(&mut self, peer: PeerId, ticket: u64) {
        let Some(peer) = self.peers.get_mut(&peer) else { return };
        let offered = peer.offered.take_if(|(latest, _)| *latest == ticket);
        offered.into_iter().flat_map(|(_, tracks)| tracks).for_each(|track| self.forget_track(track));
    }

    fn forget_track(&mut self, track: TrackId) {
        self.forget_local(track);
        let peer = self.tracks.remove(&track);
        if let Some(peer) = peer.and_then(|peer| self.peers.get_mut(&peer)) {
            peer.tracks.remove(&track);
        }
    }

    fn forget_peer(&mut self, id: PeerId) {
        let Some(peer) = self.peers.remove(&id) else { return };
        peer.ufrags.iter().for_each(|ufrag| self.shared.unname(ufrag));
        for track in &peer.tracks {
            self.tracks.remove(track);
            self.forget_local(*track);
        }
        if let Some(call) = self.rooms.get_mut(&peer.room) {
            call.peers.remove(&id);
        }
    }

    /// Ends a room's call. Its sink goes, which tells its owner.
    fn close(&mut self, now: Instant, room: RoomKey) {
        let Some(call) = self.rooms.remove(&room) else { return };
        call.peers.into_iter().for_each(|peer| self.forget_peer(peer));
        self.forget_sources(room);
        self.guarded(now, |sfu| sfu.handle_command(now, Command::CloseRoom { room: telstar_sfu::RoomId(room.0) }));
    }

    /// A fault cell (docs/adr/0004). Each connection has one of its own in the SFU; what gets out of those may have left
    /// anything half done, so all calls of this thread begin anew.
    fn guarded<T>(&mut self, now: Instant, act: impl FnOnce(&mut Sfu) -> T) -> Option<T> {
        self.now = self.now.max(now);
        let outcome = catch_unwind(AssertUnwindSafe(|| act(&mut self.sfu)));
        if outcome.is_err() {
            self.start_over();
        }
        outcome.ok()
    }

    fn start_over(&mut self) {
        tracing::error!("the calls of a media thread were closed after a panic");
        self.shared.counters.panics.fetch_add(1, Ordering::Relaxed);
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.forget_peer(peer));
        self.rooms.clear();
        self.tracks.clear();
        self.forget_all_local();
        self.add_counters();
        self.added = Counters::default();
        let broken = std::mem::replace(&mut self.sfu, Sfu::new(self.config.clone(), self.now));
        // What panicked once may panic again while it is taken down.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
    }
}

impl Deliver for Calls {
    fn deliver(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.guarded(now, |sfu| sfu.handle_datagram(now, path, datagram));
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.guarded(self.now, Sfu::poll_transmit).flatten()
    }

    fn recycle(&mut self, payload: Vec<u8>) {
        self.sfu.recycle(payload);
    }
}

#[cfg(test)]
mod tests;
