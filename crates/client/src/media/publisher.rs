//! The publishing connection: this client offers. In: tracks. Out: offers, and what the server answered applied.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rtc::data_channel::RTCDataChannelInit;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::rtp_transceiver::RtpTransceiver;

use super::engine::{Peer, PeerEvent};
use super::local::{Draft, LocalTrack, LocalTrackOptions};
use super::paths::Paths;
use crate::signal::Signal;
use crate::wire::{Direction, IceServer, NewTrack, Published, Request};
use crate::{Error, LOSSY_BYTES_MAX};

/// The label of the data channel for lossy messages, on both connections.
pub(crate) const LOSSY_LABEL: &str = "lossy";

pub(crate) struct Publisher {
    pub peer: Peer,
    signal: Signal,
    paths: Paths,
    events: mpsc::Sender<PeerEvent>,
    lossy: Arc<dyn DataChannel>,
    negotiated: bool,
    /// The published tracks' sections.
    sections: Vec<(String, Arc<dyn RtpTransceiver>)>,
}

impl Publisher {
    pub async fn new(
        signal: Signal,
        servers: &[IceServer],
        paths: &Paths,
        events: mpsc::Sender<PeerEvent>,
    ) -> Result<Publisher, Error> {
        let peer = Peer::new(Direction::Publish, servers, paths, events.clone()).await?;
        // In the first offer already, so that a lossy message later needs no negotiation.
        let init = RTCDataChannelInit { ordered: false, max_retransmits: Some(0), ..Default::default() };
        let lossy = peer.connection.create_data_channel(LOSSY_LABEL, Some(init)).await?;
        Ok(Publisher { peer, signal, paths: paths.clone(), events, lossy, negotiated: false, sections: Vec::new() })
    }

    /// Adds a track and waits until the server has it.
    pub async fn publish(&mut self, options: LocalTrackOptions) -> Result<LocalTrack, Error> {
        let draft = Draft::new(options)?;
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![],
            send_encodings: vec![],
        };
        let transceiver = self.peer.connection.add_transceiver_from_track(draft.track.clone(), Some(init)).await?;
        let codec = draft.options.codec;
        let codecs = [Some(codec.parameters()), codec.retransmissions()].into_iter().flatten().collect();
        transceiver.set_codec_preferences(codecs).await?;
        match self.negotiate(Some((&draft, &transceiver))).await {
            Ok(published) => self.finish(draft, transceiver, &published).await,
            Err(error) => {
                transceiver.stop().await?;
                Err(error)
            }
        }
    }

    async fn finish(
        &mut self,
        draft: Draft,
        transceiver: Arc<dyn RtpTransceiver>,
        published: &Published,
    ) -> Result<LocalTrack, Error> {
        let mid = transceiver.mid().await?.ok_or_else(|| Error::Protocol("the section has no mid".into()))?;
        let id = published.tracks.iter().find(|track| track.mid == mid);
        let id = id.ok_or_else(|| Error::Protocol("the reply does not name the new track".into()))?.track.clone();
        let sender = transceiver.sender().await?.ok_or_else(|| Error::Protocol("the section sends nothing".into()))?;
        let parameters = sender.get_parameters().await?.rtp_parameters;
        let mime_type = draft.options.codec.parameters().rtp_codec.mime_type;
        let codec = parameters.codecs.iter().find(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(&mime_type));
        let codec = codec.ok_or_else(|| Error::Protocol(format!("the server did not take {mime_type}")))?;
        let track = draft.finish(id, mid, codec.payload_type, parameters.header_extensions);
        self.sections.push((track.id().to_owned(), transceiver));
        Ok(track)
    }

    /// Ends a track's section; the server was told already.
    pub async fn unpublish(&mut self, track: &str) -> Result<(), Error> {
        let Some(index) = self.sections.iter().position(|(id, _)| id == track) else { return Ok(()) };
        let (_, transceiver) = self.sections.swap_remove(index);
        transceiver.stop().await?;
        self.negotiate(None).await.map(|_| ())
    }

    /// New ICE credentials (RFC 8445 §2.4); media goes on over the old path until the new one is there.
    pub async fn restart_ice(&mut self) -> Result<(), Error> {
        if !self.negotiated {
            return Ok(());
        }
        self.peer.connection.restart_ice().await?;
        self.negotiate(None).await.map(|_| ())
    }

    /// Sends to everybody if nobody is named. Waits for nothing: a message that cannot go now is lost.
    pub async fn send_lossy(&mut self, to: &[u32], payload: &[u8]) -> Result<(), Error> {
        let count = u8::try_from(to.len()).map_err(|_| Error::TooLong)?;
        if payload.len() > LOSSY_BYTES_MAX {
            return Err(Error::TooLong);
        }
        if !self.negotiated {
            self.negotiate(None).await?;
        }
        let mut message = BytesMut::with_capacity(1 + 4 * to.len() + payload.len());
        message.put_u8(count);
        to.iter().for_each(|number| message.put_u32(*number));
        message.put_slice(payload);
        Ok(self.lossy.send(message).await?)
    }

    async fn negotiate(&mut self, new: Option<(&Draft, &Arc<dyn RtpTransceiver>)>) -> Result<Published, Error> {
        self.peer.close_gate();
        let offer = self.peer.connection.create_offer(None).await?;
        self.peer.connection.set_local_description(offer.clone()).await?;
        let tracks = match new {
            Some((draft, transceiver)) => vec![self.describe(draft, transceiver).await?],
            None => vec![],
        };
        let pending = self.signal.begin(Request::Publish { sdp: self.paths.of_client(&offer.sdp), tracks }).await?;
        for event in self.peer.open_gate() {
            let _ = self.events.send(event).await; // the call's task is gone: so is the call
        }
        let reply = match pending.reply().await {
            Ok(reply) => reply,
            Err(error) => {
                self.roll_back().await?;
                return Err(error);
            }
        };
        let published: Published =
            serde_json::from_value(reply).map_err(|error| Error::Protocol(format!("reply to publish: {error}")))?;
        let answer = RTCSessionDescription::answer(self.paths.of_server(&published.sdp))?;
        self.peer.connection.set_remote_description(answer).await?;
        self.negotiated = true;
        Ok(published)
    }

    async fn describe(&self, draft: &Draft, transceiver: &Arc<dyn RtpTransceiver>) -> Result<NewTrack, Error> {
        let mid = transceiver.mid().await?.ok_or_else(|| Error::Protocol("the section has no mid".into()))?;
        Ok(NewTrack {
            mid,
            kind: draft.options.codec.kind(),
            source: draft.options.source,
            name: draft.options.name.clone(),
            muted: false,
            layers: draft.options.layers.clone(),
        })
    }

    /// The server refused the offer: back to what was (RFC 9429 §4.1.10.2).
    async fn roll_back(&self) -> Result<(), Error> {
        let mut rollback = RTCSessionDescription::offer(String::new()).unwrap_or_default();
        rollback.sdp_type = rtc::peer_connection::sdp::RTCSdpType::Rollback;
        Ok(self.peer.connection.set_local_description(rollback).await?)
    }
}
