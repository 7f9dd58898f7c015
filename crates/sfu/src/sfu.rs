//! The public face: what goes in and what comes out, and the one way to work on a peer.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use telstar_units::TrackId;

use crate::api::{Command, Event, Fault, Path, PeerId, RoomId, Transmit};
use crate::config::SfuConfig;
use crate::demux::{Demux, Key, Sort, Told, nominates, sort, told};
use crate::egress::buffers::Buffers;
use crate::engine::{Engine, Figures, Happened, Output, Pair};
use crate::peer::{Link, Peer, Side};
use crate::peers::Peers;
use crate::police::Sources;
use crate::room::{Room, Track};

/// The largest datagram that is looked at: more than any path carries at once, and what TCP framing could bring is
/// cut to it.
const DATAGRAM_BYTES_MAX: usize = 1_500;
/// Datagrams waiting for the shell. It takes them after each batch; if it does not, new ones are dropped, as a full
/// socket would.
const TRANSMITS_MAX: usize = 65_536;
/// Rounds of one peer's engine at one time. An engine asks to be called again at once while a handshake goes on; a defect
/// that asks for ever must not stop the others.
const ROUNDS_MAX: usize = 4_096;
/// How long an engine waits that had all its rounds.
const PAUSE: Duration = Duration::from_millis(1);
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
    buffers: Buffers,
    pub(crate) events: VecDeque<Event>,
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
        if self.peers.len() == 0 {
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

    fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.next_tick.is_none() {
            self.next_tick = Some(self.now + TICK);
        }
    }

    /// The only way to work on a peer's engine: `act`, then everything that the engine then has to say. A peer whose
    /// engine gives up or panics is gone afterwards, and nobody else notices.
    pub(crate) fn touch<R>(&mut self, key: Key, act: impl FnOnce(&mut Sfu, &mut Peer) -> R) -> Option<R> {
        self.touch_with(key, |sfu, peer| {
            let result = act(sfu, peer);
            sfu.drain(key, peer).map(|()| result)
        })
    }

    /// As [`Sfu::touch`], for what concerns media towards a subscriber only: the engine is left alone.
    pub(crate) fn touch_media(&mut self, key: Key, act: impl FnOnce(&mut Sfu, &mut Peer)) {
        self.touch_with(key, |sfu, peer| {
            act(sfu, peer);
            Ok(())
        });
    }

    fn touch_with<R>(&mut self, key: Key, act: impl FnOnce(&mut Sfu, &mut Peer) -> Result<R, Fault>) -> Option<R> {
        let mut peer = self.peers.take(key)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(feature = "probes")]
            assert!(!std::mem::take(&mut peer.trip), "tripped by a test");
            let result = act(self, &mut peer)?;
            self.drain_media(key, &mut peer);
            Ok(result)
        }));
        match outcome {
            Ok(Ok(result)) => {
                self.peers.put(key, peer);
                Some(result)
            }
            Ok(Err(fault)) => {
                // DTLS gives up on its own when ICE has no way for it.
                let fault = if fault == Fault::Handshake && peer.paths.is_empty() { Fault::NoPath } else { fault };
                self.bury(key, peer, Some(fault));
                None
            }
            Err(_) => {
                self.counters.panics += 1;
                tracing::error!(peer = peer.id.0, "a panic ended a connection");
                self.bury(key, peer, Some(Fault::Internal));
                None
            }
        }
    }

    fn drain(&mut self, key: Key, peer: &mut Peer) -> Result<(), Fault> {
        let mut rounds = 0;
        loop {
            match peer.engine.poll()? {
                Output::Transmit(transmit) => self.transmit(key, peer, transmit),
                Output::Happened(happened) => self.happened(key, peer, happened)?,
                Output::Idle(at) if at <= self.now && rounds < ROUNDS_MAX => {
                    rounds += 1;
                    peer.engine.advance(self.now);
                }
                Output::Idle(at) => {
                    // Later if it would not stop, so that others get their turn.
                    peer.engine_at = if at > self.now { at } else { self.now + PAUSE };
                    return if peer.engine.is_alive() { Ok(()) } else { Err(Fault::Handshake) };
                }
            }
        }
    }

    /// What leaves towards a subscriber now, and what is known of its path. Sets the peer's deadline.
    fn drain_media(&mut self, key: Key, peer: &mut Peer) {
        let now = self.now;
        peer.deadline = peer.engine_at;
        let Peer { side: Side::Subscriber(subscriber), .. } = peer else { return };
        subscriber.egress.handle_timeout(now);
        let known = subscriber.egress.poll_known();
        while let Some(slot) = subscriber.egress.poll_keyframe() {
            self.keyframe_wanted(subscriber, slot);
        }
        if let Some(known) = known {
            self.sample(key, peer, &known);
            self.figures(peer, Figures::of(&known));
        }
        let Peer { side: Side::Subscriber(subscriber), route, .. } = peer else { return };
        if let Some(path) = route.present() {
            while let Some(payload) = subscriber.egress.poll_datagram(now, &mut self.buffers) {
                self.push(Transmit { path, payload });
            }
        }
        if let Some(at) = subscriber.egress.poll_timeout() {
            peer.deadline = peer.deadline.min(if at > now { at } else { now + PAUSE });
        }
    }

    fn transmit(&mut self, key: Key, peer: &mut Peer, mut transmit: Transmit) {
        match told(&transmit.payload) {
            Told::Answered => {
                peer.heard = self.now;
                if self.demux.bind(self.now, transmit.path, key, &mut peer.paths) {
                    peer.route.checked(self.now, transmit.path, peer.nominates);
                }
            }
            Told::Asked(transaction) => self.demux.expect_answer(transaction, key),
            Told::Refused => {}
            Told::Nothing => transmit.path = peer.route.path(self.now, transmit.path),
        }
        self.push(transmit);
    }

    fn push(&mut self, transmit: Transmit) {
        if self.transmits.len() < TRANSMITS_MAX {
            self.transmits.push_back(transmit);
        } else {
            self.counters.overflowed += 1;
        }
    }

    fn happened(&mut self, key: Key, peer: &mut Peer, happened: Happened) -> Result<(), Fault> {
        match happened {
            Happened::Connected => {
                peer.link = Link::Up;
                peer.heard = self.now;
                self.events.push_back(Event::Connected { peer: peer.id });
                if let Peer { engine, side: Side::Subscriber(subscriber), .. } = peer {
                    if let Some(Pair { ours, theirs }) = engine.keys() {
                        subscriber.egress.open(self.now, ours, theirs);
                    }
                    // What its slots carry begins with keyframes.
                    subscriber.allocate_at = self.now;
                    self.chores.push_back(Chore::Assign(key));
                }
            }
            Happened::Packet(packet) => self.forward(peer, &packet),
            Happened::ChannelOpen(channel, label) => {
                if peer.channel.is_none() && label == crate::engine::CHANNEL {
                    peer.channel = Some(channel);
                }
            }
            Happened::ChannelClosed(channel) => peer.channel = peer.channel.filter(|open| *open != channel),
            Happened::Message(channel, data) => {
                if peer.channel == Some(channel) && matches!(peer.side, Side::Publisher(_)) {
                    self.chores.push_back(Chore::Message { from: key, data });
                }
            }
            Happened::Figures(figures) => self.figures(peer, figures),
            Happened::Over => return Err(Fault::NoPath),
        }
        Ok(())
    }

    fn chore(&mut self, chore: Chore) {
        match chore {
            Chore::Keyframe { track, layer } => self.ask_keyframe(track, layer),
            Chore::Message { from, data } => self.spread(from, data),
            Chore::Assign(key) => self.assign(key),
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

    /// A peer is gone: everything that refers to it goes with it.
    pub(crate) fn bury(&mut self, key: Key, peer: Box<Peer>, fault: Option<Fault>) {
        self.peers.remove(key, peer.id);
        self.demux.forget(key, &peer.paths, &peer.fragments);
        if let Some(fault) = fault {
            self.events.push_back(Event::Failed { peer: peer.id, fault });
        }
        self.left(key, &peer);
        // What panicked once may panic again while it is taken down.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(peer)));
    }

    /// Ends a connection that is not wanted any more, and tells the peer.
    pub(crate) fn dismiss(&mut self, key: Key) {
        let Some(mut peer) = self.peers.take(key) else { return };
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let path = peer.route.present();
            if let (Some(path), Some(payload)) =
                (path, peer.subscriber().and_then(|subscriber| subscriber.egress.bye()))
            {
                self.push(Transmit { path, payload });
            }
            peer.engine.close();
            // What else happens in there is of no interest any more.
            while let Ok(output) = peer.engine.poll() {
                match output {
                    Output::Transmit(transmit) => self.transmit(key, &mut peer, transmit),
                    Output::Happened(_) => {}
                    Output::Idle(_) => break,
                }
            }
        }));
        self.bury(key, peer, None);
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
