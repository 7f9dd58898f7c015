//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) as their clients: publishing and watching over HTTP and WebRTC alone.
//!
//! In: an address and a bearer. Out: tracks to write to, or tracks to read, and the session's requests: trickled candidates,
//! ICE restarts, the end. Works with any server of these protocols.

mod http;

use std::net::SocketAddr;
use std::sync::Arc;

use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::RTCPeerConnectionState;
use webrtc::rtp_transceiver::RtpTransceiver;

use crate::media::engine::{Peer, PeerEvent, default_addresses, engine_kind};
use crate::media::local::{Draft, LocalTrack, LocalTrackOptions, random_name};
use crate::media::paths::Paths;
use crate::media::remote::PACKETS_MAX;
use crate::wire::{Direction, Kind};
use crate::{Codec, Error, RtpPacket, spawn};

pub use http::Http;

/// Events of the connection that wait for this module's task.
const EVENTS_MAX: usize = 64;

/// How a session begins.
#[derive(Clone, Debug, Default)]
pub struct WhxOptions {
    /// A stream key or a token.
    pub bearer: Option<String>,
    /// The local addresses to bind; empty for every interface.
    pub addresses: Vec<SocketAddr>,
    /// Leaves candidates out, so that the server learns where this client is from its checks.
    pub quiet: bool,
}

/// What both sides have: the connection, and the session at the server.
struct Session {
    peer: Peer,
    http: Http,
    /// What the server answered last; restarts change its ICE.
    answer: String,
    /// Whether the server is told candidates.
    trickles: bool,
    state: watch::Receiver<RTCPeerConnectionState>,
}

impl Session {
    async fn prepare(options: &WhxOptions, direction: Direction) -> Result<(Peer, mpsc::Receiver<PeerEvent>), Error> {
        let addresses = if options.addresses.is_empty() { default_addresses(None) } else { options.addresses.clone() };
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let peer = Peer::new(direction, &[], &Paths { addresses, relay: None }, events).await?;
        Ok((peer, inbox))
    }

    /// Offers, and applies the answer. Candidates follow in one PATCH (RFC 9725 §4.3.2).
    async fn open(
        peer: Peer,
        mut inbox: mpsc::Receiver<PeerEvent>,
        endpoint: &str,
        options: &WhxOptions,
        tracks: Option<mpsc::Sender<Arc<dyn TrackRemote>>>,
    ) -> Result<Session, Error> {
        peer.close_gate();
        let offer = peer.connection.create_offer(None).await?;
        peer.connection.set_local_description(offer.clone()).await?;
        let (http, answer) = Http::open(endpoint, options.bearer.clone(), offer.sdp.clone()).await?;
        peer.connection.set_remote_description(RTCSessionDescription::answer(answer.clone())?).await?;
        let (tell, state) = watch::channel(RTCPeerConnectionState::New);
        let trickle = (!options.quiet).then(|| http.clone());
        let waiting = peer.open_gate();
        spawn(async move {
            let mut candidates = candidates_of(waiting);
            loop {
                if let Some(http) = &trickle
                    && !candidates.is_empty()
                {
                    // Others will do, and the server finds this client by its checks.
                    let _ = http.trickle(&std::mem::take(&mut candidates)).await;
                }
                match inbox.recv().await {
                    Some(PeerEvent::State(_, state)) => drop(tell.send(state)),
                    Some(PeerEvent::Track(track)) => {
                        if let Some(tracks) = &tracks {
                            let _ = tracks.send(track).await;
                        }
                    }
                    Some(event @ PeerEvent::Candidate(..)) => candidates = candidates_of(vec![event]),
                    Some(PeerEvent::Channel(_)) => {}
                    None => return,
                }
            }
        });
        Ok(Session { peer, http, answer, trickles: !options.quiet, state })
    }

    /// Waits until ICE and DTLS are up.
    async fn connected(&mut self) -> Result<(), Error> {
        let over = |state: &RTCPeerConnectionState| {
            matches!(state, RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed)
        };
        let state = self.state.wait_for(|state| *state == RTCPeerConnectionState::Connected || over(state)).await;
        match state.as_deref() {
            Ok(RTCPeerConnectionState::Connected) => Ok(()),
            _ => Err(Error::Closed("there is no way to the server".into())),
        }
    }

    /// Looks for new paths under new credentials (RFC 9725 §4.3.3).
    async fn restart_ice(&mut self) -> Result<(), Error> {
        self.peer.close_gate();
        self.peer.connection.restart_ice().await?;
        let offer = self.peer.connection.create_offer(None).await?;
        self.peer.connection.set_local_description(offer.clone()).await?;
        let fragment = self.http.restart(http::credentials(&offer.sdp)).await?;
        // Candidates of the new ICE session have waited for its tag.
        let waiting = candidates_of(self.peer.open_gate());
        if self.trickles && !waiting.is_empty() {
            let _ = self.http.trickle(&waiting).await; // others will do
        }
        self.answer = http::with_ice_of(&self.answer, &fragment);
        let answer = RTCSessionDescription::answer(self.answer.clone())?;
        Ok(self.peer.connection.set_remote_description(answer).await?)
    }

    async fn close(self) -> Result<(), Error> {
        let deleted = self.http.delete().await;
        self.peer.connection.close().await?;
        deleted
    }
}

/// The candidates among these events, as `candidate:…`; empty for the end of them.
fn candidates_of(events: Vec<PeerEvent>) -> Vec<String> {
    let candidate = |event| if let PeerEvent::Candidate(_, candidate) = event { Some(candidate) } else { None };
    events.into_iter().filter_map(candidate).collect()
}

/// Tracks that are published over WHIP.
pub struct Publication {
    session: Session,
}

impl Publication {
    /// Publishes these tracks at an endpoint such as `https://host/whip/room`.
    pub async fn open(
        endpoint: &str,
        options: &WhxOptions,
        tracks: Vec<LocalTrackOptions>,
    ) -> Result<(Publication, Vec<LocalTrack>), Error> {
        let (peer, inbox) = Session::prepare(options, Direction::Publish).await?;
        let stream = random_name();
        let mut drafts: Vec<(Draft, Arc<dyn RtpTransceiver>)> = Vec::new();
        for track in tracks {
            let codec = track.codec;
            let draft = Draft::in_stream(track, stream.clone())?;
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Sendonly,
                streams: vec![],
                send_encodings: vec![],
            };
            let transceiver = peer.connection.add_transceiver_from_track(draft.track.clone(), Some(init)).await?;
            let codecs = [Some(codec.parameters()), codec.retransmissions()].into_iter().flatten().collect();
            transceiver.set_codec_preferences(codecs).await?;
            drafts.push((draft, transceiver));
        }
        let session = Session::open(peer, inbox, endpoint, options, None).await?;
        let mut tracks = Vec::new();
        for (draft, transceiver) in drafts {
            tracks.push(finish(draft, &*transceiver).await?);
        }
        Ok((Publication { session }, tracks))
    }

    /// Waits until ICE and DTLS are up.
    pub async fn connected(&mut self) -> Result<(), Error> {
        self.session.connected().await
    }

    /// The session's requests.
    pub fn http(&self) -> &Http {
        &self.session.http
    }

    /// The server's SDP.
    pub fn answer(&self) -> &str {
        &self.session.answer
    }

    /// What the connection is doing, and its changes.
    pub fn state(&self) -> watch::Receiver<RTCPeerConnectionState> {
        self.session.state.clone()
    }

    /// New ICE credentials.
    pub async fn restart_ice(&mut self) -> Result<(), Error> {
        self.session.restart_ice().await
    }

    /// Ends the session at the server and here.
    pub async fn close(self) -> Result<(), Error> {
        self.session.close().await
    }

    /// Ends here alone: the server finds out by itself.
    pub async fn abandon(self) {
        // It is over either way.
        let _ = self.session.peer.connection.close().await;
    }
}

async fn finish(draft: Draft, transceiver: &dyn RtpTransceiver) -> Result<LocalTrack, Error> {
    let mid = transceiver.mid().await?.ok_or_else(|| Error::Protocol("the section has no mid".into()))?;
    let sender = transceiver.sender().await?.ok_or_else(|| Error::Protocol("the section sends nothing".into()))?;
    let parameters = sender.get_parameters().await?.rtp_parameters;
    let mime_type = draft.options.codec.parameters().rtp_codec.mime_type;
    let codec = parameters.codecs.iter().find(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(&mime_type));
    let codec = codec.ok_or_else(|| Error::Protocol(format!("the server did not take {mime_type}")))?;
    Ok(draft.finish(mid.clone(), mid, codec.payload_type, parameters.header_extensions))
}

/// A room that is watched over WHEP.
pub struct View {
    session: Session,
    tracks: mpsc::Receiver<Arc<dyn TrackRemote>>,
}

impl View {
    /// Watches at an endpoint such as `https://host/whep/room`: a section for each kind, with these codecs in their order.
    pub async fn open(endpoint: &str, options: &WhxOptions, codecs: &[Codec]) -> Result<View, Error> {
        let (peer, inbox) = Session::prepare(options, Direction::Subscribe).await?;
        for kind in [Kind::Video, Kind::Audio] {
            let wanted: Vec<Codec> = codecs.iter().copied().filter(|codec| codec.kind() == kind).collect();
            if wanted.is_empty() {
                continue;
            }
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                streams: vec![],
                send_encodings: vec![],
            };
            let transceiver = peer.connection.add_transceiver_from_kind(engine_kind(kind), Some(init)).await?;
            let each = wanted.into_iter().flat_map(|codec| [Some(codec.parameters()), codec.retransmissions()]);
            transceiver.set_codec_preferences(each.flatten().collect()).await?;
        }
        let (sender, tracks) = mpsc::channel(2);
        let session = Session::open(peer, inbox, endpoint, options, Some(sender)).await?;
        Ok(View { session, tracks })
    }

    /// Waits until ICE and DTLS are up.
    pub async fn connected(&mut self) -> Result<(), Error> {
        self.session.connected().await
    }

    /// The next track of which something came; `None` when the connection has ended.
    pub async fn track(&mut self) -> Option<ViewedTrack> {
        let source = self.tracks.recv().await?;
        let kind = if source.kind().await == engine_kind(Kind::Audio) { Kind::Audio } else { Kind::Video };
        let (sender, packets) = mpsc::channel(PACKETS_MAX);
        spawn(read(source.clone(), sender));
        Some(ViewedTrack { kind, source, packets, ssrc: 0 })
    }

    /// The session's requests.
    pub fn http(&self) -> &Http {
        &self.session.http
    }

    /// The server's SDP.
    pub fn answer(&self) -> &str {
        &self.session.answer
    }

    /// What the connection is doing, and its changes.
    pub fn state(&self) -> watch::Receiver<RTCPeerConnectionState> {
        self.session.state.clone()
    }

    /// New ICE credentials.
    pub async fn restart_ice(&mut self) -> Result<(), Error> {
        self.session.restart_ice().await
    }

    /// Ends the session at the server and here.
    pub async fn close(self) -> Result<(), Error> {
        self.session.close().await
    }
}

/// A track of a room that is watched.
pub struct ViewedTrack {
    kind: Kind,
    source: Arc<dyn TrackRemote>,
    packets: mpsc::Receiver<RtpPacket>,
    ssrc: u32,
}

impl ViewedTrack {
    /// Pictures or sound.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The next packet in the order of arrival; `None` when the track has ended.
    pub async fn recv(&mut self) -> Option<RtpPacket> {
        let packet = self.packets.recv().await?;
        self.ssrc = packet.header.ssrc;
        Some(packet)
    }

    /// What it is encoded with, such as `video/VP8`, once something came.
    pub async fn codec(&self) -> Option<String> {
        self.source.codec(self.ssrc).await.map(|codec| codec.mime_type)
    }

    /// Asks for a keyframe (PLI, RFC 4585 §6.3.1).
    pub async fn request_keyframe(&self) -> Result<(), Error> {
        let request = PictureLossIndication { sender_ssrc: 0, media_ssrc: self.ssrc };
        Ok(self.source.write_rtcp(vec![Box::new(request)]).await?)
    }
}

/// Packets that nobody reads in time are lost: a reader that far behind needs a keyframe anyway.
async fn read(source: Arc<dyn TrackRemote>, packets: mpsc::Sender<RtpPacket>) {
    while let Some(event) = source.poll().await {
        match event {
            TrackRemoteEvent::OnRtpPacket(packet) => drop(packets.try_send(packet)),
            TrackRemoteEvent::OnEnded => return,
            _ => {}
        }
    }
}
