//! One peer connection on the sans-IO core `rtc`, with a socket of its own.
//!
//! A receiver does what a server needs to go on sending: ICE with consent, DTLS, reports and transport-wide feedback.
//! It does not decrypt media, except what comes before the first picture is whole and a sample for the delay: counts and
//! feedback come from the RTP headers.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mio::net::UdpSocket;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::RTCPeerConnection;
use rtc::peer_connection::RTCPeerConnectionBuilder;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate, RTCIceCandidateInit};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use telstar_client::RtpPacket;

use crate::receiver::Receiver;
use crate::socket::{self, Batch};
use crate::stream::{Plan, Source, stamp};

const LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub struct Peer {
    pc: RTCPeerConnection,
    pub socket: UdpSocket,
    local: SocketAddr,
    pub deadline: Instant,
    connected: bool,
    /// Candidates of the server that came before its description.
    early: Vec<String>,
    role: Role,
}

enum Role {
    Sender(Vec<Track>),
    Receiver(Box<Receiver>),
}

/// One published track.
struct Track {
    id: String,
    sender: RTCRtpSenderId,
    clock: u32,
    mid: String,
    encodings: Vec<Encoding>,
}

struct Encoding {
    plan: Plan,
    ssrc: u32,
    sequence: u16,
    source: Option<Source>,
}

impl Peer {
    fn new(ip: IpAddr, registry: Registry, role: Role) -> Fallible<Peer> {
        let now = Instant::now();
        let socket = socket::bind(ip)?;
        let local = socket.local_addr()?;
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(true)
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            // One suite, so that servers can be compared.
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
            .build();
        let (engine, _) = telstar_client::media_engine()?;
        let pc = RTCPeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_setting_engine(settings)
            .with_interceptor_registry(registry)
            .build(now)?;
        Ok(Peer { pc, socket, local, deadline: now, connected: false, early: vec![], role })
    }

    /// A publisher, and its offer.
    pub fn sender(ip: IpAddr, tracks: &[Vec<Plan>]) -> Fallible<(Peer, String)> {
        // All of the engine's chain: it answers NACKs, reports, and hands out keyframe requests.
        let (_, registry) = telstar_client::media_engine()?;
        let mut peer = Peer::new(ip, registry, Role::Sender(Vec::new()))?;
        let tracks = tracks.iter().enumerate().map(|(index, plans)| peer.add_track(index, plans));
        let tracks = tracks.collect::<Fallible<Vec<Track>>>()?;
        peer.role = Role::Sender(tracks);
        peer.gather()?;
        let offer = peer.pc.create_offer(None)?;
        peer.pc.set_local_description(Instant::now(), offer)?;
        let Role::Sender(tracks) = &mut peer.role else { unreachable!("it was just made") };
        for track in tracks {
            let transceiver = track.sender.into();
            let transceiver = peer.pc.rtp_transceiver(transceiver).ok_or("the section is there")?;
            track.mid = transceiver.mid().clone().ok_or("the section has a mid")?;
        }
        let sdp = peer.pc.local_description().ok_or("it was just set")?.sdp;
        Ok((peer, sdp))
    }

    /// The mids of a publisher's tracks.
    pub fn mids(&self) -> Vec<String> {
        match &self.role {
            Role::Sender(tracks) => tracks.iter().map(|track| track.mid.clone()).collect(),
            Role::Receiver(_) => vec![],
        }
    }

    fn add_track(&mut self, index: usize, plans: &[Plan]) -> Fallible<Track> {
        let audio = plans[0].is_audio();
        let codec = if audio { telstar_client::Codec::Opus } else { telstar_client::Codec::Vp8 };
        let parameters = codec.parameters();
        let encodings: Vec<Encoding> = plans
            .iter()
            .map(|plan| Encoding { plan: plan.clone(), ssrc: random(), sequence: random() as u16, source: None })
            .collect();
        let codings = encodings.iter().map(|encoding| RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                rid: encoding.plan.rid.to_owned(),
                ssrc: Some(encoding.ssrc),
                ..Default::default()
            },
            active: true,
            codec: parameters.rtp_codec.clone(),
            ..Default::default()
        });
        let id = format!("load-{index}");
        let kind = if audio { RtpCodecKind::Audio } else { RtpCodecKind::Video };
        let track = MediaStreamTrack::new("load".into(), id.clone(), id.clone(), kind, codings.collect());
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            ..RTCRtpTransceiverInit::default()
        };
        let transceiver = self.pc.add_transceiver_from_track(track, Some(init))?;
        let mut section = self.pc.rtp_transceiver(transceiver).ok_or("the section is there")?;
        section.set_codec_preferences(vec![parameters.clone()])?;
        let clock = parameters.rtp_codec.clock_rate;
        Ok(Track { id, sender: transceiver.into(), clock, mid: String::new(), encodings })
    }

    /// A subscriber.
    pub fn receiver(ip: IpAddr, joined: Instant) -> Fallible<Peer> {
        // No chain in the engine itself: it sees a sample of the packets only, and would take the rest for lost.
        Peer::new(ip, Registry::new(), Role::Receiver(Box::new(Receiver::new(joined))))
    }

    /// Takes the server's offer; gives the answer.
    pub fn answer(&mut self, offer: String) -> Fallible<String> {
        let first = self.pc.remote_description().is_none();
        self.pc.set_remote_description(Instant::now(), RTCSessionDescription::offer(offer)?)?;
        if first {
            self.gather()?;
        }
        let answer = self.pc.create_answer(None)?;
        self.pc.set_local_description(Instant::now(), answer)?;
        let sdp = self.pc.local_description().ok_or("it was just set")?.sdp;
        let reporter = self.pc.get_receivers().next();
        if let Role::Receiver(receiver) = &mut self.role {
            receiver.learn(&sdp, reporter);
        }
        self.add_early();
        Ok(sdp)
    }

    /// Takes the server's answer.
    pub fn accept(&mut self, answer: String) -> Fallible<()> {
        self.pc.set_remote_description(Instant::now(), RTCSessionDescription::answer(answer)?)?;
        self.add_early();
        Ok(())
    }

    fn add_early(&mut self) {
        for candidate in std::mem::take(&mut self.early) {
            self.add_candidate(candidate);
        }
        self.drive();
    }

    pub fn add_candidate(&mut self, candidate: String) {
        if self.pc.remote_description().is_none() {
            return self.early.push(candidate);
        }
        let _ = self.pc.add_remote_candidate(RTCIceCandidateInit { candidate, ..Default::default() }); // no path
        self.drive();
    }

    fn gather(&mut self) -> Fallible<()> {
        let base_config = CandidateConfig {
            network: "udp".into(),
            address: self.local.ip().to_string(),
            port: self.local.port(),
            component: 1,
            ..Default::default()
        };
        let candidate = CandidateHostConfig { base_config, ..Default::default() }.new_candidate_host()?;
        self.pc.add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
        Ok(self.pc.add_local_candidate(RTCIceCandidateInit::default())?)
    }

    /// What it has seen, if it receives.
    pub fn seen(&mut self) -> Option<&mut Receiver> {
        match &mut self.role {
            Role::Receiver(receiver) => Some(receiver),
            Role::Sender(_) => None,
        }
    }

    /// Takes what the socket has.
    pub fn readable(&mut self, batch: &mut Batch) {
        let mut for_engine = false;
        while batch.receive(&self.socket) {
            for (came, from, packet) in batch.datagrams() {
                if let Role::Receiver(receiver) = &mut self.role
                    && !receiver.take(came, packet)
                {
                    continue;
                }
                for_engine = true;
                let transport = TransportContext {
                    local_addr: self.local,
                    peer_addr: from,
                    ecn: None,
                    transport_protocol: TransportProtocol::UDP,
                };
                let message = TaggedBytesMut { now: came, transport, message: BytesMut::from(packet) };
                let _ = self.pc.handle_read(message); // what the engine cannot read is counted as lost
            }
            if !batch.was_full() {
                break;
            }
        }
        if for_engine {
            self.drive();
        }
    }

    /// Does what is due and sends what is to be sent.
    pub fn drive(&mut self) {
        let now = Instant::now();
        if self.pc.poll_timeout().is_some_and(|at| at <= now) {
            let _ = self.pc.handle_timeout(now); // a failed connection shows in the counts
        }
        if let Role::Receiver(receiver) = &mut self.role {
            receiver.report(now, &mut self.pc);
        } else if self.connected {
            self.send_frames(now);
        }
        flush(&mut self.pc, &self.socket);
        while let Some(event) = self.pc.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.connected = state == RTCPeerConnectionState::Connected;
                if self.connected {
                    self.start_sources(now);
                }
            }
        }
        while let Some(TaggedRTCMessage { now, message }) = self.pc.poll_read() {
            self.take_message(now, message);
        }
        self.deadline = self.next_deadline(now);
    }

    fn next_deadline(&mut self, now: Instant) -> Instant {
        let idle = now + Duration::from_millis(500);
        let mut deadline = self.pc.poll_timeout().unwrap_or(idle).min(idle);
        match &mut self.role {
            Role::Receiver(receiver) => deadline = receiver.due().min(deadline),
            Role::Sender(tracks) => {
                for source in tracks.iter().flat_map(|track| &track.encodings).filter_map(|one| one.source.as_ref()) {
                    deadline = deadline.min(source.next());
                }
            }
        }
        deadline
    }

    fn start_sources(&mut self, now: Instant) {
        let Role::Sender(tracks) = &mut self.role else { return };
        for encoding in tracks.iter_mut().flat_map(|track| &mut track.encodings) {
            let begin = now + Duration::from_micros(u64::from(random() % 20_000));
            encoding.source.get_or_insert_with(|| Source::new(encoding.plan.clone(), begin));
        }
    }

    fn send_frames(&mut self, now: Instant) {
        let Role::Sender(tracks) = &mut self.role else { return };
        for track in tracks {
            if track.encodings.iter().all(|one| one.source.as_ref().is_none_or(|source| source.next() > now)) {
                continue;
            }
            let Some(mut sender) = self.pc.rtp_sender(track.sender) else { continue };
            let parameters = sender.get_parameters().rtp_parameters.clone();
            let Some(payload_type) = parameters.codecs.first().map(|codec| codec.payload_type) else { continue };
            let id_of =
                |uri: &str| parameters.header_extensions.iter().find(|one| one.uri == uri).map(|one| one.id as u8);
            for encoding in &mut track.encodings {
                let Some(frame) = encoding.source.as_mut().and_then(|source| source.take(now)) else { continue };
                let last = frame.payloads.len() - 1;
                for (index, mut payload) in frame.payloads.into_iter().enumerate() {
                    stamp(&mut payload, Instant::now());
                    let mut packet = RtpPacket { payload: payload.into(), ..Default::default() };
                    packet.header.version = 2;
                    packet.header.ssrc = encoding.ssrc;
                    packet.header.payload_type = payload_type;
                    packet.header.marker = index == last && !encoding.plan.is_audio();
                    packet.header.sequence_number = encoding.sequence;
                    encoding.sequence = encoding.sequence.wrapping_add(1);
                    packet.header.timestamp = (frame.at.as_nanos() * u128::from(track.clock) / 1_000_000_000) as u32;
                    let extensions = match (encoding.plan.is_audio(), encoding.plan.rid) {
                        (true, _) => vec![(LEVEL_URI, vec![0x80 | 30])],
                        (false, "") => vec![],
                        (false, rid) => vec![(MID_URI, track.mid.clone().into_bytes()), (RID_URI, rid.into())],
                    };
                    for (uri, value) in extensions {
                        if let Some(id) = id_of(uri) {
                            let _ = packet.header.set_extension(id, value.into()); // of legal length
                        }
                    }
                    let Some(mut sender) = self.pc.rtp_sender(track.sender) else { continue };
                    let _ = sender.write_rtp(now, packet); // refused: shows in the counts
                    flush(&mut self.pc, &self.socket);
                }
            }
        }
    }

    fn take_message(&mut self, now: Instant, message: RTCMessage) {
        match (&mut self.role, message) {
            (Role::Receiver(receiver), RTCMessage::RtpPacket(_, packet)) => {
                receiver.look(now, &packet);
            }
            (Role::Sender(tracks), RTCMessage::RtcpPacket(id, packets)) => {
                let Some(track) = tracks.iter_mut().find(|track| track.id == id) else { return };
                for packet in packets {
                    let packet = packet.as_any();
                    let pli = packet.downcast_ref::<PictureLossIndication>().map(|pli| pli.media_ssrc);
                    let fir = packet.downcast_ref::<FullIntraRequest>();
                    let fir = fir.iter().flat_map(|fir| fir.fir.iter().map(|entry| entry.ssrc));
                    let wanted: Vec<u32> = pli.into_iter().chain(fir).collect();
                    for encoding in track.encodings.iter_mut().filter(|one| wanted.contains(&one.ssrc)) {
                        encoding.source.iter_mut().for_each(|source| source.keyframe_wanted = true);
                    }
                }
            }
            _ => {}
        }
    }
}

fn flush(pc: &mut RTCPeerConnection, socket: &UdpSocket) {
    while let Some(message) = pc.poll_write() {
        let _ = socket.send_to(&message.message, message.transport.peer_addr); // full: lost, as on a network
    }
}

pub fn random() -> u32 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u32::from_le_bytes(bytes)
}
