//! One WebRTC connection on str0m.
//!
//! In: datagrams, SDP, packets to send, `now`. Out: datagrams, what happened, the next deadline.
//! str0m's rule is that every mutation is followed by a full drain. It is kept in one place: whoever holds an
//! [`Engine`] got it from `Sfu::touch`, which calls [`Engine::poll`] until it says [`Output::Idle`].
//! No other module of this crate names an `Rtc`.

mod codecs;
pub(crate) mod dtls;
mod happened;
mod keys;

use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, IceCreds, Input, Rtc, RtcConfig};

use crate::api::{Fault, Kind, LocalCandidate, Path, Role, Transmit, Transport};
use crate::config::SfuConfig;
use crate::egress::Section;
use crate::egress::header::Extensions;
use crate::room::clock_rate;

pub(crate) use codecs::{Format, of_feed};
pub(crate) use happened::{Figures, Happened, Received};
pub(crate) use keys::Pair;

/// The label of the data channel (`docs/protocol.md`).
pub(crate) const CHANNEL: &str = "lossy";
/// Where the estimate of a subscriber's bandwidth starts. Higher shows good pictures sooner on good paths and floods
/// bad ones for the first second; lower leaves a picture of one encoding black until probes have raised the estimate
/// (at 300 kbit/s, libwebrtc's own start, 5 s for one of 300 kbit/s).
pub(crate) const ESTIMATE_START_BPS: u64 = 1_000_000;
/// Bytes that a data channel holds for a slow receiver. Lossy messages beyond are dropped: older news is worth less.
const CHANNEL_BUFFER_BYTES: usize = 64 * 1024;
/// The longest message of a data channel, with its list of receivers.
const CHANNEL_MESSAGE_BYTES_MAX: u32 = 18 * 1024;
/// How often str0m reports its figures of a publisher.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// How often str0m writes reports about media of a subscriber, which it does not send: never.
const NO_REPORTS: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What every peer's DTLS shows (RFC 8122). Made once per process.
#[derive(Clone)]
pub struct Certificate(str0m::config::DtlsCert);

impl Certificate {
    /// Makes one, self-signed.
    pub fn generate() -> Option<Certificate> {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate().map(Certificate)
    }
}

/// The next thing that an engine has.
#[derive(Debug)]
pub(crate) enum Output {
    Transmit(Transmit),
    Happened(Happened),
    /// Nothing more; wants [`Engine::advance`] at this time.
    Idle(Instant),
}

/// An offer that waits for its answer.
pub(crate) struct PendingOffer(SdpPendingOffer);

/// A section to be offered.
#[derive(Clone)]
pub(crate) struct NewSection {
    pub(crate) kind: Kind,
    /// Sections with the same name are played in step by browsers (RFC 8830).
    pub(crate) stream: String,
}

/// One WebRTC connection.
pub(crate) struct Engine {
    rtc: Rtc,
    /// Of a subscriber: where its handshake leaves SRTP's keys.
    keys: Option<keys::Cell>,
    ice_lite: bool,
}

impl Engine {
    pub(crate) fn new(config: &SfuConfig, role: Role, now: Instant) -> Engine {
        let mut builder: RtcConfig = Rtc::builder()
            .set_rtp_mode(true)
            .set_ice_lite(config.ice_lite)
            .set_dtls_cert(config.certificate.0.clone())
            .set_sctp_max_buffered_amount(CHANNEL_BUFFER_BYTES)
            .set_sctp_max_message_size(CHANNEL_MESSAGE_BYTES_MAX);
        codecs::configure(builder.codec_config());
        builder = match role {
            Role::Publisher => {
                builder.set_crypto_provider(keys::provider_with_srtp()).set_stats_interval(Some(STATISTICS_INTERVAL))
            }
            Role::Subscriber | Role::Viewer => builder
                .set_crypto_provider(keys::provider())
                .set_rtcp_report_interval_audio(NO_REPORTS)
                .set_rtcp_report_interval_video(NO_REPORTS),
        };
        let mut rtc = builder.build(now);
        let keys = (role != Role::Publisher).then(keys::newest);
        for local in &config.candidates {
            if let Some(candidate) = candidate(local) {
                rtc.add_local_candidate(candidate);
            }
        }
        Engine { rtc, keys, ice_lite: config.ice_lite }
    }

    /// The name fragment that the peer's checks carry.
    pub(crate) fn fragment(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Whether it can still be used.
    pub(crate) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// A random number of the engine's generator; this crate has none of its own.
    pub(crate) fn random(&mut self) -> u32 {
        *self.rtc.direct_api().new_ssrc()
    }

    /// A datagram came. What the engine cannot use it ignores, and so do we: the peer is not at fault for what
    /// others send in its name.
    pub(crate) fn receive(&mut self, now: Instant, path: &Path, bytes: &[u8]) {
        if let Ok(receive) = Receive::new(protocol(path.transport), path.remote, path.local, bytes) {
            let _ = self.rtc.handle_input(Input::Receive(now, receive));
        }
    }

    /// Whether a STUN message is of this connection and signed with its password.
    pub(crate) fn takes(&self, now: Instant, path: &Path, bytes: &[u8]) -> bool {
        let receive = Receive::new(protocol(path.transport), path.remote, path.local, bytes);
        receive.is_ok_and(|receive| self.rtc.accepts(&Input::Receive(now, receive)))
    }

    /// Time passed; it never goes back.
    pub(crate) fn advance(&mut self, now: Instant) {
        // An error here is one of DTLS after which the engine says that it is not alive; `poll` sees it.
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(%error, "the engine cannot go on");
        }
    }

    /// Ends the connection: what is drained after it tells the peer (RTCP BYE, DTLS close_notify).
    pub(crate) fn close(&mut self) {
        if let Err(error) = self.rtc.close() {
            tracing::debug!(%error, "closed without a word");
        }
    }

    /// The next output. To be called until [`Output::Idle`] after everything else.
    pub(crate) fn poll(&mut self) -> Result<Output, Fault> {
        loop {
            return match self.rtc.poll_output() {
                Ok(str0m::Output::Timeout(at)) => Ok(Output::Idle(at)),
                Ok(str0m::Output::Transmit(transmit)) => {
                    let transport = match transmit.proto {
                        Protocol::Udp => Transport::Udp,
                        _ => Transport::Tcp,
                    };
                    let path = Path { transport, local: transmit.source, remote: transmit.destination };
                    Ok(Output::Transmit(Transmit { path, payload: transmit.contents.into() }))
                }
                Ok(str0m::Output::Event(event)) => match happened::happened(event) {
                    Some(happened) => Ok(Output::Happened(happened)),
                    None => continue,
                },
                Err(error) => {
                    tracing::debug!(%error, "the engine gave up");
                    Err(Fault::Handshake)
                }
            };
        }
    }

    /// Answers an offer.
    pub(crate) fn answer(&mut self, offer: &str) -> Result<String, Fault> {
        let offer = SdpOffer::from_sdp_string(offer).map_err(|_| Fault::BadSdp)?;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(|error| {
            tracing::debug!(%error, "offer refused");
            Fault::BadSdp
        })?;
        Ok(answer.to_sdp_string())
    }

    /// Makes an offer with new sections; the data channel is in the first.
    pub(crate) fn offer(
        &mut self,
        sections: &[NewSection],
        channel: bool,
        restart: bool,
    ) -> Option<(String, PendingOffer, Vec<Mid>, Option<String>)> {
        let mut api = self.rtc.sdp_api();
        let fragment = restart.then(|| api.ice_restart(true).ufrag);
        let mut mids = Vec::with_capacity(sections.len());
        for section in sections {
            let kind = match section.kind {
                Kind::Audio => MediaKind::Audio,
                Kind::Video => MediaKind::Video,
            };
            mids.push(api.add_media(kind, Direction::SendOnly, Some(section.stream.clone()), None, None));
        }
        if channel {
            api.add_channel_with_config(ChannelConfig {
                label: CHANNEL.to_owned(),
                ordered: false,
                reliability: Reliability::MaxRetransmits { retransmits: 0 },
                negotiated: None,
                protocol: String::new(),
            });
        }
        let (offer, pending) = api.apply()?;
        Some((offer.to_sdp_string(), PendingOffer(pending), mids, fragment))
    }

    /// Reads an answer without using it.
    pub(crate) fn read_answer(answer: &str) -> Result<SdpAnswer, Fault> {
        SdpAnswer::from_sdp_string(answer).map_err(|_| Fault::BadSdp)
    }

    /// Uses an answer. After an error the connection is unusable.
    pub(crate) fn accept(&mut self, pending: PendingOffer, answer: SdpAnswer) -> Result<(), Fault> {
        self.rtc.sdp_api().accept_answer(pending.0, answer).map_err(|error| {
            tracing::debug!(%error, "answer refused");
            Fault::BadSdp
        })
    }

    /// A candidate of the peer. With ICE-lite they are of no use: the peer's checks show where it is. Otherwise only
    /// literal UDP addresses are taken; a passive TCP side has nobody to connect to.
    pub(crate) fn add_candidate(&mut self, candidate: &str) -> bool {
        if self.ice_lite {
            return false;
        }
        match Candidate::from_sdp_string(candidate) {
            Ok(candidate) if candidate.proto() == Protocol::Udp => {
                self.rtc.add_remote_candidate(candidate);
                true
            }
            _ => false,
        }
    }

    /// The section and encoding of a stream that the peer sends, and its repair stream.
    pub(crate) fn source(&mut self, ssrc: u32) -> Option<(Mid, Option<String>, Option<u32>)> {
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc.into())?;
        Some((stream.mid(), stream.rid().map(|rid| rid.to_string()), stream.rtx().map(|rtx| *rtx)))
    }

    /// Asks the peer for a keyframe of a stream (RFC 4585 §6.3.1).
    pub(crate) fn ask_keyframe(&mut self, ssrc: u32) {
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// What a payload type of this connection means.
    pub(crate) fn format(&self, payload_type: u8) -> Option<Format> {
        codecs::format(self.rtc.codec_config(), payload_type)
    }

    /// The payload type in a section that a peer understands `format` by.
    pub(crate) fn payload_type(&self, mid: Mid, format: &Format) -> Option<u8> {
        let media = self.rtc.media(mid)?;
        codecs::payload_type(self.rtc.codec_config(), media.remote_pts(), format)
    }

    /// Whether there is a codec in a section that both sides know.
    pub(crate) fn has_codec(&self, mid: &str) -> bool {
        self.rtc.media(mid.into()).is_some_and(|media| !media.remote_pts().is_empty())
    }

    /// What was negotiated for the media that a section sends.
    pub(crate) fn section(&mut self, mid: Mid, kind: Kind) -> Option<Section> {
        let media = self.rtc.media(mid)?;
        if media.stopped() || !media.direction().is_sending() {
            return None;
        }
        let extensions = extensions(mid, media.remote_extmap());
        let resend_types = codecs::resend_types(self.rtc.codec_config(), media.remote_pts());
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None)?;
        Some(Section {
            ssrc: *stream.ssrc(),
            resend: stream.rtx().map(|ssrc| *ssrc),
            resend_types,
            extensions,
            clock_rate: clock_rate(kind),
            is_video: kind == Kind::Video,
        })
    }

    /// The keys that the handshake made, of a subscriber that is connected.
    pub(crate) fn keys(&self) -> Option<&Pair> {
        self.keys.as_ref()?.get()
    }

    /// Sends a message, if there is room for it.
    pub(crate) fn send_message(&mut self, channel: ChannelId, message: &[u8]) -> bool {
        match self.rtc.channel(channel) {
            Some(mut channel) => matches!(channel.write(true, message), Ok(true)),
            None => false,
        }
    }
}

/// The ids of the header extensions that a peer accepted for a section.
fn extensions(mid: Mid, accepted: &ExtensionMap) -> Extensions {
    let name = mid.as_bytes();
    let mut bytes = [0; 4];
    let fits = name.len() <= bytes.len();
    if fits {
        bytes[..name.len()].copy_from_slice(name);
    }
    Extensions {
        mid: accepted.id_of(Extension::RtpMid).filter(|_| fits).map(|id| (id, bytes, name.len() as u8)),
        transport: accepted.id_of(Extension::TransportSequenceNumber),
        level: accepted.id_of(Extension::AudioLevel),
        orientation: accepted.id_of(Extension::VideoOrientation),
    }
}

fn candidate(local: &LocalCandidate) -> Option<Candidate> {
    match local.transport {
        Transport::Udp => Candidate::host(local.advertised, Protocol::Udp).ok(),
        Transport::Tcp => Candidate::builder().tcp().host(local.advertised).tcptype(TcpType::Passive).build().ok(),
    }
}

fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    }
}

/// ICE credentials are random; two peers with the same fragment would take each other's checks.
pub(crate) fn fragment_is_usable(fragment: &str) -> bool {
    fragment.len() >= IceCreds::new().ufrag.len()
}
