//! The public face: what goes in and what comes out, and the one way to work on a peer.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use telstar_units::TrackId;

use crate::api::{Command, Event, FeedDemand, Path, PeerId, RoomId, Tapped, Transmit};
use crate::config::SfuConfig;
use crate::demux::{Demux, Key, Sort, nominates, sort};
use crate::egress::buffers::Buffers;
use crate::engine::Engine;
use crate::peer::{Peer, Side};
use crate::peers::Peers;
use crate::police::Sources;
use crate::room::{Room, Track};

/// The largest datagram that is looked at: more than any path carries at once, and what TCP framing could bring is
/// cut to it.
const DATAGRAM_BYTES_MAX: usize = 1_500;
/// How often allocation, demand and silence are looked after.
const TICK: Duration = Duration::from_millis(100);

/// Work that a peer caused for others, done when it is out of the hand.
pub(crate) enum Chore {
    /// Ask a publisher for a keyframe.
    Keyframe { track: TrackId, layer: u8 },
    /// A lossy message to the room.
    Message { from: Key, data: Vec<u8> },
    /// Tracks or wishes changed.
    Assign(Key),
    /// A path carries less than was thought.
    Allocate(Key),
    /// Slots may want what is kept of a source.
    Give(TrackId),
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams for nobody here.
    pub strangers: u64,
    /// Datagrams dropped because of a limit.
    pub refused: u64,
    /// Media packets from publishers.
    pub packets_in: u64,
    /// Media packets handed to subscribers' connections.
    pub packets_out: u64,
    /// Packets that no codec rule could read.
    pub malformed: u64,
    /// Datagrams that the shell did not take in time.
    pub overflowed: u64,
    /// Lossy messages that a receiver had no room for.
    pub messages_dropped: u64,
    /// Peers that were dropped because of a panic.
    pub panics: u64,
    /// Keyframes asked for.
    pub keyframes_asked: u64,
    /// Copies that the room's owner did not take in time.
    pub tapped_dropped: u64,
}

/// A subscriber's share of its path, in bits per second.
///
/// What is allocated is at most the estimate. The one exception: the lowest layers of what is wanted may take what is lent as well
/// (`credit.rs`), and sound is never held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// What the path is believed to carry.
    pub estimate_bps: u64,
    /// How far the lowest layers may go beyond it.
    pub lent_bps: u64,
    /// What of the allocated are lowest layers and sound.
    pub lowest_bps: u64,
    /// All that is allocated.
    pub allocated_bps: u64,
}

/// All rooms of one media thread.
///
/// Verbs: `handle_*` take what came, with the time; then `poll_*` until each has nothing more. Nothing happens
/// between calls, and no order of calls can break it. Dropping it drops every connection without a word to the peers; [`Command::CloseRoom`] tells
/// them.
pub struct Sfu {
    pub(crate) config: SfuConfig,
    pub(crate) now: Instant,
    pub(crate) peers: Peers,
    pub(crate) demux: Demux,
    pub(crate) rooms: BTreeMap<RoomId, Room>,
    pub(crate) tracks: HashMap<TrackId, Track>,
    pub(crate) transmits: VecDeque<Transmit>,
    pub(crate) buffers: Buffers,
    pub(crate) events: VecDeque<Event>,
    /// Copies for the room's owner.
    pub(crate) tapped: VecDeque<Tapped>,
    /// At most one for each source.
    pub(crate) feed_demands: VecDeque<FeedDemand>,
    pub(crate) chores: VecDeque<Chore>,
    /// Subscribers with packets that wait for `Egress::poll_datagram`.
    pub(crate) dirty: VecDeque<Key>,
    next_tick: Option<Instant>,
    sources: Sources,
    pub(crate) counters: Counters,
}

impl Sfu {
    /// An empty one.
    pub fn new(config: SfuConfig, now: Instant) -> Sfu {
        Sfu {
            config,
            now,
            peers: Peers::default(),
            demux: Demux::default(),
            rooms: BTreeMap::new(),
            tracks: HashMap::new(),
            transmits: VecDeque::new(),
            buffers: Buffers::default(),
            events: VecDeque::new(),
            tapped: VecDeque::new(),
            feed_demands: VecDeque::new(),
            chores: VecDeque::new(),
            dirty: VecDeque::new(),
            next_tick: None,
            sources: Sources::new(now),
            counters: Counters::default(),
        }
    }

    /// The room's owner wants something.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        self.set_now(now);
        self.command(command);
        self.flush();
    }

    /// A datagram came. Returns whether it was for one of ours. What it causes is complete after the next `poll_*`.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, bytes: &[u8]) -> bool {
        self.set_now(now);
        let sort = sort(bytes);
        let Some(key) = self.demux.find(&path, sort) else {
            self.counters.strangers += 1;
            return false;
        };
        if bytes.len() > DATAGRAM_BYTES_MAX || !self.admit(key, &path, sort, bytes) {
            self.counters.refused += 1;
            return true;
        }
        if let (Sort::Media, Some(Side::Subscriber(_))) = (sort, self.peers.get(key).map(|peer| &peer.side)) {
            self.touch_media(key, |sfu, peer| {
                peer.route.hear(sfu.now, &path);
                if let Some(subscriber) = peer.subscriber() {
                    subscriber.egress.handle_datagram(sfu.now, bytes);
                }
            });
            return true;
        }
        self.touch(key, |sfu, peer| {
            peer.route.hear(sfu.now, &path);
            match sort {
                Sort::Request(_) => peer.nominates = nominates(bytes),
                Sort::Response(_) if peer.engine.takes(sfu.now, &path, bytes) => {
                    peer.heard = sfu.now;
                    peer.route.proved(sfu.now, path);
                }
                _ => {}
            }
            peer.engine.receive(sfu.now, &path, bytes);
        });
        true
    }

    /// Whether a datagram is within its peer's limits. Nothing of it is believed yet.
    fn admit(&mut self, key: Key, path: &Path, sort: Sort<'_>, bytes: &[u8]) -> bool {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(key) else { return false };
        if matches!(sort, Sort::Request(_)) && !self.demux.is_bound(path, key) {
            // Not charged to the peer's own traffic: whoever has seen its name could use that up.
            return self.demux.admits(now, path, key, &peer.paths)
                && self.sources.admit(now, path.remote.ip(), key)
                && peer.new_paths.take(now, 1);
        }
        if !peer.ingress.admit(now, bytes.len()) {
            return false;
        }
        match sort {
            Sort::Media if !is_rtcp(bytes) => {
                let Some(ssrc) = bytes.get(8..12).and_then(|ssrc| ssrc.try_into().ok()).map(u32::from_be_bytes) else {
                    return false;
                };
                match &peer.side {
                    Side::Publisher(publisher) => publisher.knows(ssrc) || peer.new_streams.take(now, 1),
                    // Subscribers send reports only.
                    Side::Subscriber(_) => false,
                }
            }
            _ => true,
        }
    }

    /// A TCP connection ended.
    pub fn handle_closed(&mut self, path: Path) {
        if let Some(key) = self.demux.unbind(&path)
            && let Some(peer) = self.peers.get_mut(key)
        {
            peer.paths.retain(|other| *other != path);
            peer.route.closed(&path);
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.set_now(now);
        while let Some(key) = self.peers.due(now) {
            if self.peers.get(key).is_some_and(|peer| peer.engine_at > now) {
                self.touch_media(key, |_, _| {});
            } else {
                self.touch(key, |sfu, peer| peer.engine.advance(sfu.now));
            }
        }
        if self.next_tick.is_some_and(|at| at <= now) {
            self.next_tick = Some(now + TICK);
            self.tick();
        }
        self.flush();
        // Sources are watched for a while after their last viewer.
        if self.peers.len() == 0 && !self.tracks.values().any(Track::is_fed) {
            self.next_tick = None;
        }
    }

    /// When [`Sfu::handle_timeout`] is to be called.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.flush();
        [self.peers.deadline(), self.next_tick].into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        // Peer by peer, so that a batch of packets for many does not lie here as a whole.
        while self.transmits.is_empty() && self.flush_one() {}
        self.transmits.pop_front()
    }

    /// The memory of a datagram that left, to be used again.
    pub fn recycle(&mut self, payload: Vec<u8>) {
        self.buffers.give_back(payload);
    }

    /// The next thing to tell the room's owner.
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.flush();
        }
        self.events.pop_front()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What a subscriber's path is believed to carry, and what of it is allocated. The estimate is the newest; what is
    /// allocated follows it at the next turn of the clock.
    pub fn allocated(&self, peer: PeerId) -> Option<Allocated> {
        let subscriber = self.peers.get(self.key(peer)?)?.as_subscriber()?;
        Some(Allocated {
            estimate_bps: match subscriber.estimate_bps {
                0 => crate::engine::ESTIMATE_START_BPS,
                bps => bps,
            },
            lent_bps: subscriber.lent_bps,
            lowest_bps: subscriber.allocator.lowest_bps(),
            allocated_bps: subscriber.allocated_bps,
        })
    }

    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.next_tick.is_none() {
            self.next_tick = Some(self.now + TICK);
        }
    }

    fn chore(&mut self, chore: Chore) {
        match chore {
            Chore::Keyframe { track, layer } => self.ask_keyframe(track, layer),
            Chore::Message { from, data } => self.spread(from, data),
            Chore::Assign(key) => self.assign(key),
            Chore::Give(track) => self.give(track),
            Chore::Allocate(key) => {
                self.allocate(key);
                self.tell_slots(key);
            }
        }
    }

    /// Finishes what the last calls began: queued packets leave, and what peers want from each other is done.
    pub(crate) fn flush(&mut self) {
        while self.flush_one() {}
    }

    /// One step of [`Sfu::flush`]; false when nothing is left to do.
    fn flush_one(&mut self) -> bool {
        if let Some(chore) = self.chores.pop_front() {
            self.chore(chore);
            return true;
        }
        let Some(key) = self.dirty.pop_front() else { return false };
        self.touch_media(key, |_, peer| peer.dirty = false);
        true
    }

    pub(crate) fn key(&self, peer: PeerId) -> Option<Key> {
        self.peers.key(peer)
    }

    /// Makes a peer's current name fragment known.
    pub(crate) fn name(&mut self, key: Key, peer: &mut Peer, fragment: String) {
        if peer.fragments.contains(&fragment) {
            return;
        }
        self.demux.name(fragment.clone(), key);
        self.events.push_back(Event::Ufrag { peer: peer.id, ufrag: fragment.clone() });
        peer.fragments.push(fragment);
        // The one before the last restart is not used any more.
        while peer.fragments.len() > 2 {
            let old = peer.fragments.remove(0);
            self.demux.unname(&old);
        }
    }

    pub(crate) fn engine(&self, role: crate::api::Role) -> Engine {
        Engine::new(&self.config, role, self.now)
    }
}

/// RFC 5761 §4: payload types 64 to 95 are RTCP's.
fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|second| (64..96).contains(&(second & 0x7f)))
}
