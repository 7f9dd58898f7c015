//! A client: one peer connection on the engine's own stack, with a link each way.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use telstar_sfu::{Kind, Path, PeerId, Role, Transport};
use telstar_units::TrackId;

use crate::link::Link;
use crate::world::server;

/// STUN requests that are remembered.
const CHECKS_MAX: usize = 16;
/// Turns of a client's engine at one time; then it has to wait.
const ROUNDS_MAX: usize = 100;

/// A packet that a client received.
#[derive(Clone, Debug)]
pub struct Got {
    /// When.
    pub at: Instant,
    /// In which section.
    pub mid: String,
    /// RTP's source.
    pub ssrc: u32,
    /// RTP's payload type.
    pub payload_type: u8,
    /// Extended by the engine.
    pub sequence: u64,
    /// RTP's time.
    pub time: u32,
    /// RTP's marker.
    pub marker: bool,
    /// What it carries.
    pub payload: Vec<u8>,
    /// When its stream's last sender report says that it was taken, in seconds of the sender's clock.
    pub taken: Option<f64>,
}

/// A packet to send.
pub struct Packet<'a> {
    /// What it carries.
    pub codec: Codec,
    /// RTP's time.
    pub time: u32,
    /// RTP's marker.
    pub marker: bool,
    /// The payload.
    pub payload: &'a [u8],
    /// RFC 6464, in -dBov.
    pub audio_level: Option<i8>,
}

/// A client: one peer connection.
pub struct Client {
    /// Its number.
    pub id: PeerId,
    /// The engine.
    pub rtc: Rtc,
    /// Where it is.
    pub address: SocketAddr,
    /// Which direction it is for.
    pub role: Role,
    /// ICE and DTLS are up.
    pub connected: bool,
    /// The server ended the connection.
    pub closed: bool,
    /// What came.
    pub got: Vec<Got>,
    /// Bytes of payloads that came.
    pub media_bytes: u64,
    /// Messages of the data channel.
    pub messages: Vec<Vec<u8>>,
    /// The data channel.
    pub channel: Option<ChannelId>,
    /// What the server asked it for.
    pub keyframe_requests: Vec<(Instant, Mid, Option<Rid>)>,
    /// Sections with their mids, in the order in which they were added.
    pub sections: Vec<(Mid, MediaKind)>,
    /// When its engine wants to go on.
    pub deadline: Instant,
    /// Datagrams to and from it are lost while set.
    pub cut: bool,
    /// Its way to the server.
    pub up: Link,
    /// The server's way to it.
    pub down: Link,
    /// Where the server sees it, when a NAT has given it another address.
    pub seen_as: Option<SocketAddr>,
    /// STUN requests that it sent lately.
    pub(crate) checks: VecDeque<Vec<u8>>,
    transport: Transport,
    pending: Option<SdpPendingOffer>,
    pub(crate) sequences: HashMap<(Mid, Option<Rid>), u64>,
}

impl Client {
    /// A client that has not connected.
    ///
    /// # Panics
    ///
    /// If the engine cannot be made.
    pub fn new(id: PeerId, role: Role, transport: Transport, now: Instant, delay: Duration) -> Client {
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
            media_bytes: 0,
            messages: Vec::new(),
            channel: None,
            keyframe_requests: Vec::new(),
            sections: Vec::new(),
            deadline: now,
            cut: false,
            up: Link::new(delay),
            down: Link::new(delay),
            seen_as: None,
            checks: VecDeque::new(),
            transport,
            pending: None,
            sequences: HashMap::new(),
        }
    }

    /// How the server sees it.
    pub fn path(&self) -> Path {
        let remote = self.seen_as.unwrap_or(self.address);
        Path { transport: self.transport, local: server(), remote }
    }

    /// Offers new sections. Returns the offer and their names.
    ///
    /// # Panics
    ///
    /// If there is nothing new.
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

    /// Offers to receive in sections of these kinds, and in no others. Returns the offer and their names.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn offer_to_view(&mut self, kinds: &[Kind]) -> (String, Vec<Mid>) {
        let mut api = self.rtc.sdp_api();
        let mut mids = Vec::new();
        for kind in kinds {
            let kind = match kind {
                Kind::Audio => MediaKind::Audio,
                Kind::Video => MediaKind::Video,
            };
            let mid = api.add_media(kind, Direction::RecvOnly, None, None, None);
            self.sections.push((mid, kind));
            mids.push(mid);
        }
        let (offer, pending) = api.apply().expect("something is new");
        self.pending = Some(pending);
        (offer.to_sdp_string(), mids)
    }

    /// Offers the same again with new ICE credentials.
    ///
    /// # Panics
    ///
    /// If there was no offer before.
    pub fn offer_restart(&mut self) -> String {
        let mut api = self.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().expect("a restart is a change");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// Takes the server's answer.
    ///
    /// # Panics
    ///
    /// If it does not fit: the server is not to send such.
    pub fn accept(&mut self, sdp: &str) {
        let answer = SdpAnswer::from_sdp_string(sdp).expect("the server's answer is SDP");
        let pending = self.pending.take().expect("the client offered");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("the server's answer fits");
    }

    /// Answers the server's offer.
    ///
    /// # Panics
    ///
    /// If it does not fit: the server is not to send such.
    pub fn answer(&mut self, sdp: &str) -> String {
        let offer = SdpOffer::from_sdp_string(sdp).expect("the server's offer is SDP");
        self.rtc.sdp_api().accept_offer(offer).expect("the server's offer fits").to_sdp_string()
    }

    /// Says that a picture cannot be decoded.
    pub fn ask_keyframe(&mut self, ssrc: u32) {
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// A datagram came.
    ///
    /// # Panics
    ///
    /// If the engine cannot take it: the server is not to send such.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let protocol = match self.transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        if let Ok(receive) = Receive::new(protocol, server(), self.address, bytes) {
            self.rtc.handle_input(Input::Receive(now, receive)).expect("the server sends nothing odd");
        }
    }

    /// Everything that the engine has to say; returns the datagrams.
    ///
    /// # Panics
    ///
    /// If the engine fails.
    pub fn drain(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut rounds = 0;
        loop {
            match self.rtc.poll_output().expect("the client works") {
                Output::Timeout(at) if at <= now && rounds < ROUNDS_MAX => {
                    rounds += 1;
                    self.rtc.handle_input(Input::Timeout(now)).expect("the client works");
                }
                Output::Timeout(at) => {
                    self.deadline = at.max(now);
                    break;
                }
                Output::Transmit(transmit) => out.push(Vec::from(transmit.contents)),
                Output::Event(event) => self.happened(now, event),
            }
        }
        for bytes in out.iter().filter(|bytes| bytes.starts_with(&[0, 1])) {
            self.checks.push_back(bytes.clone());
            self.checks.truncate(CHECKS_MAX);
        }
        out
    }

    fn happened(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::Closed => self.closed = true,
            Event::ChannelOpen(channel, _) => self.channel = Some(channel),
            Event::ChannelData(data) => self.messages.push(data.data),
            Event::KeyframeRequest(request) => self.keyframe_requests.push((now, request.mid, request.rid)),
            Event::RtpPacket(packet) => self.take(now, packet),
            _ => {}
        }
    }

    fn take(&mut self, at: Instant, packet: RtpPacket) {
        let ssrc = packet.header.ssrc;
        let mid = match self.rtc.direct_api().stream_rx(&ssrc) {
            Some(stream) => stream.mid().to_string(),
            None => return,
        };
        self.media_bytes += packet.payload.len() as u64;
        let taken = packet.last_sender_info.and_then(|info| {
            let ntp = info.ntp_time.duration_since(std::time::UNIX_EPOCH).ok()?;
            let ticks = packet.header.timestamp.wrapping_sub(info.rtp_time.numer() as u32) as i32;
            Some(ntp.as_secs_f64() + f64::from(ticks) / packet.time.frequency().get() as f64)
        });
        self.got.push(Got {
            at,
            mid,
            ssrc: *ssrc,
            payload_type: *packet.header.payload_type,
            sequence: *packet.seq_no,
            time: packet.header.timestamp,
            marker: packet.header.marker,
            payload: packet.payload.to_vec(),
            taken,
        });
    }

    pub(crate) fn write(&mut self, now: Instant, mid: Mid, rid: Option<&str>, packet: Packet<'_>) {
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
