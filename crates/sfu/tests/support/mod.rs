//! Clients on the engine's own stack, a network without sockets, and a clock that only tests move.
//!
//! In: what a test wants its clients to do. Out: what they received. Each datagram takes [`World::delay`].

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event as EngineEvent, Input, Output, Rtc};
use telstar_sfu::{
    Certificate, Command, Event, Kind, Limits, LocalCandidate, NewLayer, NewTrack, Path, PeerId, Role, RoomId, Sfu,
    SfuConfig, Source, Transport,
};
use telstar_units::{ParticipantId, TrackId};

/// Where the server is.
pub fn server() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 10_000)
}

/// Something on its way.
struct Flight {
    at: Instant,
    order: u64,
    path: Path,
    bytes: Vec<u8>,
    to_server: bool,
}

/// A packet that a client received.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: Instant,
    pub mid: String,
    pub ssrc: u32,
    pub payload_type: u8,
    pub sequence: u64,
    pub time: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
}

/// A client: one peer connection.
pub struct Client {
    pub id: PeerId,
    pub rtc: Rtc,
    pub address: SocketAddr,
    pub role: Role,
    pub connected: bool,
    /// The server ended the connection.
    pub closed: bool,
    pub got: Vec<Got>,
    pub messages: Vec<Vec<u8>>,
    pub channel: Option<ChannelId>,
    pub keyframe_requests: Vec<(Instant, Mid, Option<Rid>)>,
    /// Sections with their mids, in the order in which they were added.
    pub sections: Vec<(Mid, MediaKind)>,
    pub deadline: Instant,
    /// Datagrams to and from it are lost while set.
    pub cut: bool,
    /// What its downlink carries, in bits per second. What would wait longer than [`QUEUE_MAX`] is lost.
    pub limit_bps: Option<u64>,
    /// Of a thousand datagrams to it so many are lost.
    pub loss_permille: u32,
    /// Bytes of each stream that the server sent to it, lost ones included (RFC 3550 §5.1: the header is in the clear).
    pub sent_to: HashMap<u32, u64>,
    free_at: Instant,
    /// Where the server sees it, when a NAT has given it another address.
    pub seen_as: Option<SocketAddr>,
    /// STUN requests that it sent lately.
    checks: VecDeque<Vec<u8>>,
    transport: Transport,
    pending: Option<SdpPendingOffer>,
    sequences: HashMap<(Mid, Option<Rid>), u64>,
}

/// A server and its clients.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub sfu: Sfu,
    pub clients: BTreeMap<PeerId, Client>,
    pub events: Vec<(Instant, Event)>,
    pub delay: Duration,
    flights: Vec<Flight>,
    order: u64,
    next_ticket: u64,
    seed: u64,
    transport: Transport,
}

/// How long a client's downlink keeps a datagram.
pub const QUEUE_MAX: Duration = Duration::from_millis(300);

/// A shared certificate: making one per test costs more than the test.
pub fn certificate() -> Certificate {
    static ONCE: std::sync::OnceLock<Certificate> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| Certificate::generate().expect("the crypto library makes certificates")).clone()
}

pub fn config() -> SfuConfig {
    SfuConfig {
        candidates: vec![LocalCandidate { transport: Transport::Udp, base: server(), advertised: server() }],
        ice_lite: true,
        limits: Limits::default(),
        certificate: certificate(),
    }
}

impl World {
    pub fn new(config: SfuConfig) -> World {
        let now = Instant::now();
        let transport = config.candidates[0].transport;
        World {
            now,
            start: now,
            sfu: Sfu::new(config, now),
            clients: BTreeMap::new(),
            events: Vec::new(),
            delay: Duration::from_millis(5),
            flights: Vec::new(),
            order: 0,
            next_ticket: 1,
            seed: 1,
            transport,
        }
    }

    fn join(&mut self, id: u64, room: u64, participant: u64, role: Role) -> PeerId {
        let peer = PeerId(id);
        self.clients.insert(peer, Client::new(peer, role, self.transport, self.now));
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

    pub fn subscriber_in(&mut self, id: u64, room: u64) -> PeerId {
        self.join(id, room, id, Role::Subscriber)
    }

    pub fn client(&mut self, peer: PeerId) -> &mut Client {
        self.clients.get_mut(&peer).expect("the test made this client")
    }

    /// Publishes tracks of these kinds, each with these rids (none: one encoding). Returns their ids and sections.
    pub fn publish(&mut self, peer: PeerId, tracks: &[(TrackId, Kind, &[&str])]) -> Vec<Mid> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let client = self.client(peer);
        let (sdp, mids) = client.offer(tracks);
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

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step(end);
        }
    }

    /// Goes to the next thing that happens, at most to `end`.
    fn step(&mut self, end: Instant) {
        let mut next = end;
        next = self.flights.iter().map(|flight| flight.at).fold(next, Instant::min);
        next = self.clients.values().map(|client| client.deadline).fold(next, Instant::min);
        if let Some(at) = self.sfu.poll_timeout() {
            next = next.min(at);
        }
        // Time goes on even if somebody's deadline has passed.
        self.now = next.max(self.now + Duration::from_micros(100)).min(end.max(self.now));
        self.deliver();
        if self.sfu.poll_timeout().is_some_and(|at| at <= self.now) {
            self.sfu.handle_timeout(self.now);
        }
        self.collect();
        for peer in self.clients.keys().copied().collect::<Vec<_>>() {
            let now = self.now;
            if self.client(peer).deadline <= now {
                self.drive(peer);
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let mut due: Vec<Flight> = Vec::new();
        self.flights.retain_mut(|flight| {
            let arrived = flight.at <= now;
            if arrived {
                let bytes = std::mem::take(&mut flight.bytes);
                due.push(Flight {
                    at: flight.at,
                    order: flight.order,
                    path: flight.path,
                    bytes,
                    to_server: flight.to_server,
                });
            }
            !arrived
        });
        due.sort_by_key(|flight| (flight.at, flight.order));
        for flight in due {
            if flight.to_server {
                self.sfu.handle_datagram(now, flight.path, &flight.bytes);
            } else if let Some(peer) = self
                .clients
                .values()
                .find(|client| client.address == flight.path.remote && !client.cut)
                .map(|client| client.id)
            {
                let client = self.client(peer);
                let protocol = match client.transport {
                    Transport::Udp => Protocol::Udp,
                    Transport::Tcp => Protocol::Tcp,
                };
                if let Ok(receive) = Receive::new(protocol, server(), client.address, &flight.bytes) {
                    client.rtc.handle_input(Input::Receive(now, receive)).expect("the server sends nothing odd");
                }
                self.drive(peer);
            }
        }
        self.collect();
    }

    /// Drains a client and sends what it has.
    pub fn drive(&mut self, peer: PeerId) {
        let now = self.now;
        let delay = self.delay;
        let client = self.client(peer);
        let mut out = Vec::new();
        let mut rounds = 0;
        loop {
            match client.rtc.poll_output().expect("the client works") {
                Output::Timeout(at) if at <= now && rounds < 100 => {
                    rounds += 1;
                    client.rtc.handle_input(Input::Timeout(now)).expect("the client works");
                }
                Output::Timeout(at) => {
                    client.deadline = at.max(now);
                    break;
                }
                Output::Transmit(transmit) => out.push(Vec::from(transmit.contents)),
                Output::Event(event) => client.happened(now, event),
            }
        }
        let path = client.path();
        for bytes in out.iter().filter(|bytes| bytes.starts_with(&[0, 1])) {
            client.checks.push_back(bytes.clone());
            client.checks.truncate(16);
        }
        if client.cut {
            return;
        }
        for bytes in out {
            self.order += 1;
            self.flights.push(Flight { at: now + delay, order: self.order, path, bytes, to_server: true });
        }
    }

    /// Takes what the server has: datagrams into the network, offers and answers to the clients at once.
    fn collect(&mut self) {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.sfu.poll_transmit() {
                idle = false;
                self.order += 1;
                let Some(at) = self.passes(&transmit) else { continue };
                let (path, bytes) = (transmit.path, transmit.payload);
                self.flights.push(Flight { at, order: self.order, path, bytes, to_server: false });
            }
            let mut answers = VecDeque::new();
            while let Some(event) = self.sfu.poll_event() {
                idle = false;
                match &event {
                    Event::Answer { peer, sdp, .. } => {
                        if let Some(client) = self.clients.get_mut(peer) {
                            client.accept(sdp);
                            self.drive(*peer);
                        }
                    }
                    Event::Offer { peer, version, sdp } => {
                        if let Some(client) = self.clients.get_mut(peer) {
                            answers.push_back(Command::Answer {
                                peer: *peer,
                                version: *version,
                                sdp: client.answer(sdp),
                            });
                        }
                    }
                    _ => {}
                }
                self.events.push((self.now, event));
            }
            for answer in answers {
                let Command::Answer { peer, .. } = &answer else { continue };
                let peer = *peer;
                self.sfu.handle_command(self.now, answer);
                self.drive(peer);
            }
            if idle {
                return;
            }
        }
    }

    /// When a datagram to a client arrives, unless it is lost.
    fn passes(&mut self, transmit: &telstar_sfu::Transmit) -> Option<Instant> {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (self.seed >> 33) as u32 % 1_000;
        let (now, delay) = (self.now, self.delay);
        let Some(client) = self.clients.values_mut().find(|client| client.path() == transmit.path) else {
            return Some(now + delay);
        };
        if let [128..192, kind, _, _, _, _, _, _, a, b, c, d, ..] = *transmit.payload
            && !(192..=223).contains(&kind)
        {
            let ssrc = u32::from_be_bytes([a, b, c, d]);
            *client.sent_to.entry(ssrc).or_default() += transmit.payload.len() as u64;
        }
        if random < client.loss_permille {
            return None;
        }
        let Some(limit) = client.limit_bps else { return Some(now + delay) };
        let takes = Duration::from_nanos((transmit.payload.len() as u64 + 28) * 8 * 1_000_000_000 / limit);
        let free_at = client.free_at.max(now) + takes;
        if free_at - now > QUEUE_MAX {
            return None;
        }
        client.free_at = free_at;
        Some(free_at + delay)
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
    pub fn slots(&self, subscriber: PeerId) -> Vec<telstar_sfu::Slot> {
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

    /// A NAT gives a client another address.
    pub fn rebind(&mut self, peer: PeerId, address: SocketAddr) {
        self.client(peer).seen_as = Some(address);
    }

    /// STUN requests that a client sent lately.
    pub fn checks(&self, peer: PeerId) -> Vec<Vec<u8>> {
        self.clients[&peer].checks.iter().cloned().collect()
    }

    pub fn is_connected(&self, peers: &[PeerId]) -> bool {
        peers.iter().all(|peer| self.clients.get(peer).is_some_and(|client| client.connected))
    }

    pub fn failed(&self, gone: PeerId) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Failed { peer, .. } if *peer == gone))
    }
}

fn layer(rid: &str, index: usize) -> NewLayer {
    let scale = 1 << index.min(2);
    let (width, height) = (320 * scale, 180 * scale);
    let bitrate_bps = [150_000, 500_000, 1_700_000][index.min(2)];
    NewLayer { rid: rid.to_owned(), width, height, frame_rate: 30, bitrate_bps }
}

/// A packet to send.
pub struct Packet<'a> {
    pub codec: Codec,
    pub time: u32,
    pub marker: bool,
    pub payload: &'a [u8],
    pub audio_level: Option<i8>,
}

impl Client {
    fn path(&self) -> Path {
        let remote = self.seen_as.unwrap_or(self.address);
        Path { transport: self.transport, local: server(), remote }
    }

    fn new(id: PeerId, role: Role, transport: Transport, now: Instant) -> Client {
        let number = id.0 as u16;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 20_000 + number);
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        let candidate = match transport {
            Transport::Udp => Candidate::host(address, Protocol::Udp),
            Transport::Tcp => Candidate::builder().tcp().host(address).tcptype(TcpType::Active).build(),
        };
        rtc.add_local_candidate(candidate.expect("a literal address"));
        Client {
            id,
            rtc,
            address,
            role,
            connected: false,
            closed: false,
            got: Vec::new(),
            messages: Vec::new(),
            channel: None,
            keyframe_requests: Vec::new(),
            sections: Vec::new(),
            deadline: now,
            cut: false,
            limit_bps: None,
            loss_permille: 0,
            sent_to: HashMap::new(),
            free_at: now,
            seen_as: None,
            checks: VecDeque::new(),
            transport,
            pending: None,
            sequences: HashMap::new(),
        }
    }

    pub fn offer(&mut self, tracks: &[(TrackId, Kind, &[&str])]) -> (String, Vec<Mid>) {
        let first = self.sections.is_empty();
        let mut api = self.rtc.sdp_api();
        let mut mids = Vec::new();
        for (_, kind, rids) in tracks {
            let kind = match kind {
                Kind::Audio => MediaKind::Audio,
                Kind::Video => MediaKind::Video,
            };
            let simulcast = (!rids.is_empty()).then(|| {
                let mut simulcast = Simulcast::new();
                rids.iter().for_each(|rid| simulcast.add_send_layer(SimulcastLayer::new(rid)));
                simulcast
            });
            let mid = api.add_media(kind, Direction::SendOnly, None, None, simulcast);
            self.sections.push((mid, kind));
            mids.push(mid);
        }
        if first {
            api.add_channel_with_config(ChannelConfig {
                label: "lossy".to_owned(),
                ordered: false,
                reliability: Reliability::MaxRetransmits { retransmits: 0 },
                ..ChannelConfig::default()
            });
        }
        let (offer, pending) = api.apply().expect("something is new");
        self.pending = Some(pending);
        (offer.to_sdp_string(), mids)
    }

    /// Offers the same again with new ICE credentials.
    pub fn offer_restart(&mut self) -> String {
        let mut api = self.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().expect("a restart is a change");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    fn accept(&mut self, sdp: &str) {
        let answer = SdpAnswer::from_sdp_string(sdp).expect("the server's answer is SDP");
        let pending = self.pending.take().expect("the client offered");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("the server's answer fits");
    }

    fn answer(&mut self, sdp: &str) -> String {
        let offer = SdpOffer::from_sdp_string(sdp).expect("the server's offer is SDP");
        self.rtc.sdp_api().accept_offer(offer).expect("the server's offer fits").to_sdp_string()
    }

    fn happened(&mut self, now: Instant, event: EngineEvent) {
        match event {
            EngineEvent::Connected => self.connected = true,
            EngineEvent::Closed => self.closed = true,
            EngineEvent::ChannelOpen(channel, _) => self.channel = Some(channel),
            EngineEvent::ChannelData(data) => self.messages.push(data.data),
            EngineEvent::KeyframeRequest(request) => self.keyframe_requests.push((now, request.mid, request.rid)),
            EngineEvent::RtpPacket(packet) => self.take(now, packet),
            _ => {}
        }
    }

    fn take(&mut self, at: Instant, packet: RtpPacket) {
        let ssrc = packet.header.ssrc;
        let mid = match self.rtc.direct_api().stream_rx(&ssrc) {
            Some(stream) => stream.mid().to_string(),
            None => return,
        };
        self.got.push(Got {
            at,
            mid,
            ssrc: *ssrc,
            payload_type: *packet.header.payload_type,
            sequence: *packet.seq_no,
            time: packet.header.timestamp,
            marker: packet.header.marker,
            payload: packet.payload.to_vec(),
        });
    }

    fn write(&mut self, now: Instant, mid: Mid, rid: Option<&str>, packet: Packet<'_>) {
        let rid = rid.map(Rid::from);
        let sequence = self.sequences.entry((mid, rid)).or_insert(1_000);
        *sequence += 1;
        let sequence = *sequence;
        let payload_type = self
            .rtc
            .codec_config()
            .find(|params| params.spec().codec == packet.codec)
            .map(|params| params.pt())
            .expect("the codec was negotiated");
        let extensions = ExtensionValues {
            audio_level: packet.audio_level,
            voice_activity: packet.audio_level.map(|_| true),
            ..ExtensionValues::default()
        };
        let payload: Arc<[u8]> = packet.payload.into();
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, rid).expect("the section sends");
        stream.write_rtp(
            RtpWrite::new(payload_type, sequence.into(), packet.time, now, payload)
                .marker(packet.marker)
                .nackable(packet.codec != Codec::Opus)
                .ext_vals(extensions),
        );
        self.rtc.handle_input(Input::Timeout(now)).expect("the client works");
    }
}

/// A VP8 packet: a whole frame with a picture id (RFC 7741 §4.2, §4.3).
pub fn vp8(key: bool, picture_id: u16, body: &[u8]) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80, 0x80 | (picture_id >> 8) as u8, picture_id as u8];
    payload.push(if key { 0x10 } else { 0x11 });
    if key {
        payload.extend_from_slice(&[0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
    }
    payload.extend_from_slice(body);
    payload
}

/// A camera with VP8 layers: 30 frames a second, a keyframe first and whenever one is asked for.
pub struct Camera {
    pub publisher: PeerId,
    pub mid: Mid,
    /// Rids with their bits per second; none for one encoding.
    pub layers: Vec<(Option<&'static str>, u64)>,
    /// Layers that are not sent, by index.
    pub off: Vec<usize>,
    frame: u32,
    seen: usize,
    started: Vec<bool>,
}

impl Camera {
    pub fn new(publisher: PeerId, mid: Mid, layers: &[(Option<&'static str>, u64)]) -> Camera {
        let started = vec![false; layers.len()];
        Camera { publisher, mid, layers: layers.to_vec(), off: Vec::new(), frame: 0, seen: 0, started }
    }

    /// Sends the next frame of each layer. The last byte of each packet is the layer, the four before it the frame.
    pub fn shoot(&mut self, world: &mut World) {
        let requests: Vec<_> = world.client(self.publisher).keyframe_requests[self.seen..].to_vec();
        self.seen += requests.len();
        for index in 0..self.layers.len() {
            let (rid, bps) = self.layers[index];
            if self.off.contains(&index) {
                self.started[index] = false;
                continue;
            }
            let asked = requests.iter().any(|(_, mid, wanted)| *mid == self.mid && wanted.as_deref() == rid);
            let key = asked || !std::mem::replace(&mut self.started[index], true);
            let packets = ((bps / 30 / 8) as usize).div_ceil(1_000).max(1);
            let size = (bps / 30 / 8) as usize / packets;
            for part in 0..packets {
                let mut payload = vp8_part(key, part == 0, self.frame as u16 & 0x7fff, size);
                payload.extend_from_slice(&self.frame.to_be_bytes());
                payload.push(index as u8);
                let packet = Packet {
                    codec: Codec::Vp8,
                    time: self.frame * 3_000,
                    marker: part + 1 == packets,
                    payload: &payload,
                    audio_level: None,
                };
                world.send(self.publisher, self.mid, rid, packet);
            }
        }
        self.frame += 1;
    }

    /// Films for a while.
    pub fn film(&mut self, world: &mut World, time: Duration) {
        let end = world.now + time;
        while world.now < end {
            self.shoot(world);
            world.run(Duration::from_millis(33));
        }
    }
}

/// A part of a VP8 frame.
pub fn vp8_part(key: bool, first: bool, picture_id: u16, size: usize) -> Vec<u8> {
    if first {
        return vp8(key, picture_id, &vec![0; size]);
    }
    let mut payload = vec![0x80, 0x80, 0x80 | (picture_id >> 8) as u8, picture_id as u8];
    payload.resize(size.max(8), 7);
    payload
}

/// The layer of a packet of [`Camera`].
pub fn layer_of(got: &Got) -> u8 {
    got.payload.last().copied().unwrap_or(u8::MAX)
}

/// Whether a packet of [`Camera`] begins a keyframe.
pub fn begins_key(got: &Got) -> bool {
    got.payload.first() == Some(&0x90) && got.payload.get(4).is_some_and(|byte| byte & 1 == 0)
}

/// Fails unless a decoder is content with what came: numbers without gap, times that do not go back, picture ids that
/// go up by one, layers that begin with a keyframe.
pub fn assert_decodable(got: &[Got]) {
    assert!(got.first().is_none_or(begins_key), "begins with a keyframe");
    for pair in got.windows(2) {
        let (last, next) = (&pair[0], &pair[1]);
        assert_eq!(next.sequence, last.sequence + 1, "sequence numbers have no gap");
        assert!(next.time.wrapping_sub(last.time) as i32 >= 0, "times do not go back");
        let id = |got: &Got| u16::from_be_bytes([got.payload[2] & 0x7f, got.payload[3]]);
        let step = id(next).wrapping_sub(id(last)) & 0x7fff;
        assert!(step <= 1, "picture ids are contiguous, not {} then {}", id(last), id(next));
        assert_eq!(step == 1, next.time != last.time, "a picture id belongs to a time");
        assert!(layer_of(last) == layer_of(next) || begins_key(next), "layers begin with keyframes");
    }
}
