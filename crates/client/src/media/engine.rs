//! How a peer connection is made: codecs, header extensions, feedback, addresses. In: a configuration. Out: a [`Peer`]
//! and its [`PeerEvent`]s.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtc::interceptor::{Attribute, Interceptor, Packet, Registry, Slot, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::configuration::{RTCConfigurationBuilder, RTCIceServer};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sansio::Protocol;
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState,
};

use super::paths::Paths;
use crate::Error;
use crate::wire::{Direction, IceServer, Kind};

/// `a=extmap` of the mid (RFC 9143 §14) and of the simulcast layer (RFC 8852 §3.1).
pub(crate) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub(crate) const RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// `a=extmap` of the audio level (RFC 6464).
pub(crate) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// Where the interceptor that hands keyframe requests to the application stands: behind all others.
const KEYFRAME_REQUESTS_SLOT: usize = 14_000;

/// What a track is encoded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// RFC 7741.
    Vp8,
    /// Constrained baseline in Annex B with packetization mode 1 (RFC 6184).
    H264,
    /// Profile 0 (RFC 9628).
    Vp9,
    /// Profile 0.
    Av1,
    /// RFC 7587.
    Opus,
}

impl Codec {
    /// Audio or video.
    pub fn kind(self) -> Kind {
        if self == Codec::Opus { Kind::Audio } else { Kind::Video }
    }

    pub(crate) fn clock_rate(self) -> u32 {
        if self == Codec::Opus { 48_000 } else { 90_000 }
    }

    /// Name, payload type and parameters.
    fn description(self) -> (&'static str, u8, &'static str) {
        match self {
            Codec::Vp8 => ("video/VP8", 96, ""),
            Codec::H264 => {
                ("video/H264", 102, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
            }
            Codec::Vp9 => ("video/VP9", 98, "profile-id=0"),
            Codec::Av1 => ("video/AV1", 45, ""),
            Codec::Opus => ("audio/opus", 111, "minptime=10;useinbandfec=1"),
        }
    }

    /// Its description for the engine.
    pub fn parameters(self) -> RTCRtpCodecParameters {
        let (mime_type, payload_type, fmtp) = self.description();
        let feedback = match self.kind() {
            Kind::Audio => vec![],
            Kind::Video => [("ccm", "fir"), ("nack", ""), ("nack", "pli")]
                .map(|(typ, parameter)| RTCPFeedback { typ: typ.into(), parameter: parameter.into() })
                .to_vec(),
        };
        RTCRtpCodecParameters {
            rtp_codec: RTCRtpCodec {
                mime_type: mime_type.into(),
                clock_rate: self.clock_rate(),
                channels: if self == Codec::Opus { 2 } else { 0 },
                sdp_fmtp_line: fmtp.into(),
                rtcp_feedback: feedback,
            },
            payload_type,
        }
    }

    /// Its retransmissions (RFC 4588).
    pub(crate) fn retransmissions(self) -> Option<RTCRtpCodecParameters> {
        let (_, payload_type, _) = self.description();
        (self.kind() == Kind::Video).then(|| RTCRtpCodecParameters {
            rtp_codec: RTCRtpCodec {
                mime_type: "video/rtx".into(),
                clock_rate: self.clock_rate(),
                channels: 0,
                sdp_fmtp_line: format!("apt={payload_type}"),
                rtcp_feedback: vec![],
            },
            payload_type: payload_type + 1,
        })
    }
}

/// The engine's word for it.
pub(crate) fn engine_kind(kind: Kind) -> RtpCodecKind {
    match kind {
        Kind::Audio => RtpCodecKind::Audio,
        Kind::Video => RtpCodecKind::Video,
    }
}

/// What happens on a peer connection.
pub(crate) enum PeerEvent {
    /// An own candidate; empty for the end of them.
    Candidate(Direction, String),
    /// ICE and DTLS together.
    State(Direction, RTCPeerConnectionState),
    /// Media arrived in a section for the first time.
    Track(Arc<dyn TrackRemote>),
    /// The server opened a data channel.
    Channel(Arc<dyn DataChannel>),
}

/// One peer connection.
#[derive(Clone)]
pub(crate) struct Peer {
    pub connection: Arc<dyn PeerConnection>,
    gate: Arc<Mutex<Gate>>,
}

/// Candidates may only follow the description that they belong to, so they wait here until it was sent.
#[derive(Default)]
struct Gate {
    open: bool,
    waiting: Vec<PeerEvent>,
}

impl Peer {
    pub async fn new(
        direction: Direction,
        servers: &[IceServer],
        paths: &Paths,
        events: mpsc::Sender<PeerEvent>,
    ) -> Result<Peer, Error> {
        let (engine, registry) = media_engine()?;
        let servers = servers.iter().map(|server| RTCIceServer {
            urls: server.urls.clone(),
            username: server.username.clone().unwrap_or_default(),
            credential: server.credential.clone().unwrap_or_default(),
        });
        let gate = Arc::<Mutex<Gate>>::default();
        let handler = Handler { direction, events, gate: gate.clone() };
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::default().with_ice_servers(servers.collect()).build())
            .with_media_engine(engine)
            .with_setting_engine(settings(&paths.addresses))
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(handler))
            .with_udp_addrs(paths.addresses.clone())
            .build()
            .await?;
        Ok(Peer { connection: Arc::new(connection), gate })
    }

    /// Keeps candidates back until [`Peer::open_gate`].
    pub fn close_gate(&self) {
        self.gate.lock().expect("no one panics with it").open = false;
    }

    /// The description was sent: gives the candidates that waited, and lets the others through.
    pub fn open_gate(&self) -> Vec<PeerEvent> {
        let mut gate = self.gate.lock().expect("no one panics with it");
        gate.open = true;
        std::mem::take(&mut gate.waiting)
    }
}

fn settings(addresses: &[SocketAddr]) -> rtc::peer_connection::configuration::setting_engine::SettingEngine {
    let loopback = addresses.iter().any(|address| address.ip().is_loopback());
    SettingEngineBuilder::new()
        .with_include_loopback_candidate(loopback)
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        // Disconnected after 5 s, failed after 30 s, consent every 2 s: a failure is answered by an ICE restart.
        .with_ice_timeouts(Some(Duration::from_secs(5)), Some(Duration::from_secs(30)), Some(Duration::from_secs(2)))
        .build()
}

/// The addresses to bind: every interface, and loopback when the server is there.
pub(crate) fn default_addresses(server: Option<IpAddr>) -> Vec<SocketAddr> {
    match server {
        Some(ip) if ip.is_loopback() => vec![SocketAddr::new(ip, 0), SocketAddr::from(([0, 0, 0, 0], 0))],
        _ => vec![SocketAddr::from(([0, 0, 0, 0], 0))],
    }
}

/// The engine's codecs, header extensions and interceptors as [`crate::Call`] uses them, for programs that make their own
/// connections.
pub fn media_engine() -> Result<(MediaEngine, Registry), Error> {
    let mut engine = MediaEngine::default();
    for codec in [Codec::Opus, Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1] {
        for parameters in [Some(codec.parameters()), codec.retransmissions()].into_iter().flatten() {
            engine.register_codec(parameters, engine_kind(codec.kind()))?;
        }
    }
    for (uri, kind) in [(AUDIO_LEVEL_URI, RtpCodecKind::Audio), (MID_URI, RtpCodecKind::Audio)] {
        engine.register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.into() }, kind, None)?;
    }
    let registry = register_default_interceptors(Registry::new(), &mut engine)?;
    Ok((engine, registry.with(Slot::from(KEYFRAME_REQUESTS_SLOT), KeyframeRequests::default())))
}

struct Handler {
    direction: Direction,
    events: mpsc::Sender<PeerEvent>,
    gate: Arc<Mutex<Gate>>,
}

impl Handler {
    /// The engine's driver calls this and must not wait: when the call's task is that far behind, the event is lost.
    /// A lost candidate costs a path, and there are others.
    fn tell(&self, event: PeerEvent) {
        let _ = self.events.try_send(event);
    }

    fn tell_candidate(&self, candidate: String) {
        let event = PeerEvent::Candidate(self.direction, candidate);
        let mut gate = self.gate.lock().expect("no one panics with it");
        if gate.open {
            self.tell(event);
        } else {
            gate.waiting.push(event);
        }
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json()
            && !candidate.candidate.is_empty()
        {
            self.tell_candidate(candidate.candidate);
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.tell_candidate(String::new());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.tell(PeerEvent::State(self.direction, state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.tell(PeerEvent::Channel(channel));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        self.tell(PeerEvent::Track(track));
    }
}

/// Hands PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1) to the application; the engine keeps RTCP to itself otherwise.
#[derive(Default)]
struct KeyframeRequests {
    incoming: std::collections::VecDeque<TaggedPacket>,
    outgoing: std::collections::VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for KeyframeRequests {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = std::time::Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(packets) = &mut message.message.packet {
            packets.retain(|packet| {
                let packet = packet.as_any();
                packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
            });
            if packets.is_empty() {
                return Ok(());
            }
            message.message.add(Attribute::DeliverToApplication);
        }
        self.incoming.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<Self::Rout> {
        self.incoming.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        self.outgoing.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<Self::Wout> {
        self.outgoing.pop_front()
    }
}

impl Interceptor for KeyframeRequests {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
