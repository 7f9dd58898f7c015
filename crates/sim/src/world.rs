//! A server, its clients, the links between them, and a clock that only the run moves.
//!
//! In: what a run wants its clients to do. Out: what they received, and what the server told the room's owner.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::media::Mid;
use telstar_sfu::{
    Certificate, Command, Event, Kind, Limits, LocalCandidate, NewLayer, NewTrack, Path, PeerId, Role, RoomId, Sfu,
    SfuConfig, Slot, Source, Subscription, Tapped, Transmit, Transport,
};
use telstar_units::{ParticipantId, TrackId};

use crate::client::{Client, Packet};
use crate::random::Random;
use crate::wire::Wire;

/// What each way takes at first.
const DELAY: Duration = Duration::from_millis(5);
/// How long the clock goes on at least: a core that asks to be woken at once again and again does not stop it.
const STEP: Duration = Duration::from_micros(100);

/// Where the server is.
pub fn server() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 10_000)
}

/// A shared certificate: making one per run costs more than the run.
///
/// # Panics
///
/// If the crypto library makes none.
pub fn certificate() -> Certificate {
    static ONCE: std::sync::OnceLock<Certificate> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| Certificate::generate().expect("the crypto library makes certificates")).clone()
}

/// A server that is reached by UDP as it stands.
pub fn config() -> SfuConfig {
    SfuConfig {
        candidates: vec![LocalCandidate { transport: Transport::Udp, base: server(), advertised: server() }],
        ice_lite: true,
        limits: Limits::default(),
        certificate: certificate(),
    }
}

/// Something on its way, ordered by arrival.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    order: u64,
    path: Path,
    bytes: Vec<u8>,
    to_server: bool,
}

/// A server and its clients.
pub struct World {
    /// The clock.
    pub now: Instant,
    /// When it began.
    pub start: Instant,
    /// The server.
    pub sfu: Sfu,
    /// Everybody.
    pub clients: BTreeMap<PeerId, Client>,
    /// What the server told the room's owner.
    pub events: Vec<(Instant, Event)>,
    /// Which sources somebody watches.
    pub fed: BTreeMap<TrackId, bool>,
    /// Copies of what is tapped.
    pub tapped: Vec<Tapped>,
    /// Whether they are taken at once.
    pub takes_taps: bool,
    /// Whether offers are answered, and answers taken, at once. Otherwise somebody else carries them.
    pub negotiates: bool,
    /// What the server put on the wire.
    pub wire: Wire,
    /// What each way of a client takes that is added from now on.
    pub delay: Duration,
    flights: BinaryHeap<Reverse<Flight>>,
    addresses: HashMap<SocketAddr, PeerId>,
    order: u64,
    next_ticket: u64,
    random: Random,
    transport: Transport,
}

impl World {
    /// A world without clients. All that is drawn in it comes from `seed`, also what the engines on this thread draw.
    pub fn new(config: SfuConfig, seed: u64, now: Instant) -> World {
        fastrand::seed(seed);
        let transport = config.candidates[0].transport;
        World {
            now,
            start: now,
            sfu: Sfu::new(config, now),
            clients: BTreeMap::new(),
            events: Vec::new(),
            fed: BTreeMap::new(),
            tapped: Vec::new(),
            takes_taps: true,
            negotiates: true,
            wire: Wire::default(),
            delay: DELAY,
            flights: BinaryHeap::new(),
            addresses: HashMap::new(),
            order: 0,
            next_ticket: 1,
            random: Random::new(seed),
            transport,
        }
    }

    /// A client without a command to the server: somebody else says who it is.
    pub fn add_client(&mut self, peer: PeerId, role: Role) {
        let client = Client::new(peer, role, self.transport, self.now, self.delay);
        self.addresses.insert(client.address, peer);
        self.clients.insert(peer, client);
    }

    /// A client under a number of its own, for somebody else who says who it is.
    pub fn add_seat(&mut self, role: Role) -> PeerId {
        self.next_ticket += 1;
        let peer = PeerId(self.next_ticket);
        self.add_client(peer, role);
        peer
    }

    /// Takes a client out of the world; what is on its way to it is lost.
    pub fn remove_client(&mut self, peer: PeerId) {
        self.clients.remove(&peer);
        self.addresses.retain(|_, other| *other != peer);
    }

    fn join(&mut self, id: u64, room: u64, participant: u64, role: Role) -> PeerId {
        let peer = PeerId(id);
        self.add_client(peer, role);
        self.command(Command::AddPeer {
            peer,
            room: RoomId(room),
            participant: ParticipantId(participant),
            role,
            auto_subscribe: true,
        });
        peer
    }

    /// A publisher in room 1; its participant has the same number.
    pub fn publisher(&mut self, id: u64) -> PeerId {
        self.join(id, 1, id, Role::Publisher)
    }

    /// A subscriber in room 1 to everything of the others.
    pub fn subscriber(&mut self, id: u64) -> PeerId {
        self.join(id, 1, id, Role::Subscriber)
    }

    /// A subscriber in another room.
    pub fn subscriber_in(&mut self, id: u64, room: u64) -> PeerId {
        self.join(id, room, id, Role::Subscriber)
    }

    /// A viewer in room 1 of sections of these kinds, which gets nothing yet. Returns their names with it.
    pub fn viewer(&mut self, id: u64, kinds: &[Kind]) -> (PeerId, Vec<Mid>) {
        self.viewer_without(id, kinds, "no codec")
    }

    /// A viewer that does not know a codec, by its name in the SDP.
    pub fn viewer_without(&mut self, id: u64, kinds: &[Kind], codec: &str) -> (PeerId, Vec<Mid>) {
        let peer = self.join(id, 1, id, Role::Viewer);
        let (sdp, mids) = self.client(peer).offer_to_view(kinds);
        let sdp = sdp.replace(&format!(" {codec}/"), " unknown/");
        self.command(Command::Offer { peer, ticket: id, sdp, tracks: Vec::new() });
        (peer, mids)
    }

    /// A peer wants a track, as it comes.
    pub fn subscribe(&mut self, peer: PeerId, track: TrackId) {
        self.command(Command::Subscribe { peer, track, subscription: Subscription::default() });
    }

    /// A client.
    ///
    /// # Panics
    ///
    /// If there is none of this number.
    pub fn client(&mut self, peer: PeerId) -> &mut Client {
        self.clients.get_mut(&peer).expect("the run made this client")
    }

    /// Publishes tracks of these kinds, each with these rids (none: one encoding). Returns their sections.
    pub fn publish(&mut self, peer: PeerId, tracks: &[(TrackId, Kind, &[&str])]) -> Vec<Mid> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let (sdp, mids) = self.client(peer).offer(tracks);
        let tracks = tracks.iter().zip(&mids).map(|((track, kind, rids), mid)| NewTrack {
            mid: mid.to_string(),
            track: *track,
            kind: *kind,
            source: Source::Person,
            muted: false,
            layers: rids.iter().enumerate().map(|(index, rid)| layer(rid, index)).collect(),
        });
        let tracks = tracks.collect();
        self.command(Command::Offer { peer, ticket, sdp, tracks });
        mids
    }

    /// The room's owner wants something.
    pub fn command(&mut self, command: Command) {
        self.sfu.handle_command(self.now, command);
        self.collect();
    }

    /// Runs until `done`, at most for `limit`. Returns whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            self.step(end);
        }
        done(self)
    }

    /// Runs for a while.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step(end);
        }
    }

    /// Goes to the next thing that happens, at most to `end`.
    pub fn step(&mut self, end: Instant) {
        let mut next = end;
        if let Some(Reverse(flight)) = self.flights.peek() {
            next = next.min(flight.at);
        }
        next = self.clients.values().map(|client| client.deadline).fold(next, Instant::min);
        if let Some(at) = self.sfu.poll_timeout() {
            next = next.min(at);
        }
        self.now = next.max(self.now + STEP).min(end.max(self.now));
        self.deliver();
        if self.sfu.poll_timeout().is_some_and(|at| at <= self.now) {
            self.sfu.handle_timeout(self.now);
        }
        self.collect();
        let due = self.clients.values().filter(|client| client.deadline <= self.now);
        for peer in due.map(|client| client.id).collect::<Vec<_>>() {
            self.drive(peer);
        }
        self.wire.note_estimates(self.now, &self.sfu, &self.clients);
    }

    fn deliver(&mut self) {
        let now = self.now;
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.at <= now) {
            let Some(Reverse(flight)) = self.flights.pop() else { break };
            if flight.to_server {
                self.sfu.handle_datagram(now, flight.path, &flight.bytes);
            } else if let Some(client) = self.at(&flight.path).filter(|client| !client.cut) {
                let peer = client.id;
                client.receive(now, &flight.bytes);
                self.drive(peer);
            }
        }
        self.collect();
    }

    fn at(&mut self, path: &Path) -> Option<&mut Client> {
        let peer = self.addresses.get(&path.remote)?;
        self.clients.get_mut(peer).filter(|client| client.path() == *path)
    }

    /// Drains a client and sends what it has.
    pub fn drive(&mut self, peer: PeerId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&peer) else { return };
        let out = client.drain(now);
        if client.cut {
            return;
        }
        let path = client.path();
        for bytes in out {
            self.wire.fold(now - self.start, peer, &bytes);
            for at in client.up.pass(now, &bytes, &mut self.random).into_iter().flatten() {
                self.order += 1;
                let bytes = bytes.clone();
                self.flights.push(Reverse(Flight { at, order: self.order, path, bytes, to_server: true }));
            }
        }
    }

    /// Takes what the server has: datagrams into the network, offers and answers to the clients at once.
    fn collect(&mut self) {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.sfu.poll_transmit() {
                idle = false;
                self.launch(transmit);
            }
            let mut answers = VecDeque::new();
            while let Some(event) = self.sfu.poll_event() {
                idle = false;
                if self.negotiates {
                    answers.extend(self.negotiate(&event));
                }
                self.events.push((self.now, event));
            }
            while let Some(copy) = self.takes_taps.then(|| self.sfu.poll_tapped()).flatten() {
                self.tapped.push(copy);
            }
            while let Some(demand) = self.sfu.poll_feed_demand() {
                idle = false;
                self.fed.insert(demand.track, demand.wanted);
            }
            for (peer, answer) in answers {
                self.sfu.handle_command(self.now, answer);
                self.drive(peer);
            }
            if idle {
                return;
            }
        }
    }

    fn negotiate(&mut self, event: &Event) -> Option<(PeerId, Command)> {
        match event {
            Event::Answer { peer, sdp, .. } => {
                self.clients.get_mut(peer)?.accept(sdp);
                self.drive(*peer);
                None
            }
            Event::Offer { peer, version, sdp } => {
                let sdp = self.clients.get_mut(peer)?.answer(sdp);
                Some((*peer, Command::Answer { peer: *peer, version: *version, sdp }))
            }
            _ => None,
        }
    }

    /// A datagram of the server sets out.
    fn launch(&mut self, transmit: Transmit) {
        let Transmit { path, payload: bytes } = transmit;
        let now = self.now;
        let Some(client) = self.addresses.get(&path.remote).and_then(|peer| self.clients.get_mut(peer)) else { return };
        self.wire.note(now - self.start, client.id, &bytes);
        let arrivals = client.down.pass(now, &bytes, &mut self.random);
        for at in arrivals.into_iter().flatten() {
            self.order += 1;
            let bytes = bytes.clone();
            self.flights.push(Reverse(Flight { at, order: self.order, path, bytes, to_server: false }));
        }
    }

    /// Sends a packet of a section.
    pub fn send(&mut self, peer: PeerId, mid: Mid, rid: Option<&str>, packet: Packet<'_>) {
        let now = self.now;
        self.client(peer).write(now, mid, rid, packet);
        self.drive(peer);
    }

    /// What [`World::send`] numbers the next packet of a section with.
    pub fn number(&mut self, peer: PeerId, mid: Mid, sequence: u64) {
        self.client(peer).sequences.insert((mid, None), sequence - 1);
    }

    /// The last list of slots that a subscriber was told.
    pub fn slots(&self, subscriber: PeerId) -> Vec<Slot> {
        let last = self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Slots { peer, slots, .. } if *peer == subscriber => Some(slots.clone()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    /// How the server sees a client.
    pub fn path(&self, peer: PeerId) -> Path {
        self.clients[&peer].path()
    }

    /// A NAT gives a client another address; what is on its way to the old one is lost.
    pub fn rebind(&mut self, peer: PeerId, address: SocketAddr) {
        self.addresses.insert(address, peer);
        let client = self.client(peer);
        client.seen_as = Some(address);
        (client.up.is_spoilt, client.down.is_spoilt) = (true, true);
    }

    /// Whether no path ever did more to a datagram than to take time.
    pub fn is_unspoilt(&self) -> bool {
        let is_spoilt = |client: &Client| client.cut || client.up.is_spoilt || client.down.is_spoilt;
        !self.clients.values().any(is_spoilt)
    }

    /// STUN requests that a client sent lately.
    pub fn checks(&self, peer: PeerId) -> Vec<Vec<u8>> {
        self.clients[&peer].checks.iter().cloned().collect()
    }

    /// Whether all of them are connected.
    pub fn is_connected(&self, peers: &[PeerId]) -> bool {
        peers.iter().all(|peer| self.clients.get(peer).is_some_and(|client| client.connected))
    }

    /// Whether the server gave a connection up.
    pub fn failed(&self, gone: PeerId) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Failed { peer, .. } if *peer == gone))
    }
}

/// Layers as a browser's camera has them.
pub fn layer(rid: &str, index: usize) -> NewLayer {
    let scale = 1 << index.min(2);
    let (width, height) = (320 * scale, 180 * scale);
    let bitrate_bps = [150_000, 500_000, 1_700_000][index.min(2)];
    NewLayer { rid: rid.to_owned(), width, height, frame_rate: 30, bitrate_bps }
}
