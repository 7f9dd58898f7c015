//! A track that this client publishes. In: encoded frames or RTP. Out: RTP in the peer connection, and which layers
//! need a keyframe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::packetizer::Payloader;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpHeaderExtensionParameters, RTCRtpRtxParameters,
};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};

use super::engine::{AUDIO_LEVEL_URI, Codec, MID_URI, RID_URI, engine_kind};
use crate::wire::{Layer, Source};
use crate::{Error, RtpPacket, random_u32, spawn};

/// What one RTP payload may carry, so that a packet with header, extensions and SRTP's tag stays below 1,200 bytes and
/// fits every path (RFC 8834 §4.3 leaves the choice to us; browsers use the same).
const PAYLOAD_BYTES_MAX: usize = 1_120;

/// What to publish.
#[derive(Clone, Debug)]
pub struct LocalTrackOptions {
    /// What it is encoded with.
    pub codec: Codec,
    /// What it shows.
    pub source: Source,
    /// For people.
    pub name: String,
    /// Simulcast layers, the lowest first; empty for a single encoding.
    pub layers: Vec<Layer>,
}

/// One encoded frame, or one packet of sound.
#[derive(Clone, Debug)]
pub struct Sample {
    /// A VP8, VP9 or AV1 frame, an H.264 access unit in Annex B, or an Opus packet.
    pub data: Bytes,
    /// When it is shown, counted from any zero that all layers of the track share.
    pub at: Duration,
    /// How loud it is, 0 (loudest) to 127 (silence), for sound (RFC 6464 §3). Without it nobody is seen to speak.
    pub level: Option<u8>,
}

/// A published track. Dropping it stops sending; [`crate::Call::unpublish`] removes it from the call.
pub struct LocalTrack {
    id: String,
    codec: Codec,
    track: Arc<TrackLocalStaticRTP>,
    encodings: Vec<Encoding>,
    state: Arc<[LayerState]>,
    mid: String,
    extensions: Vec<RTCRtpHeaderExtensionParameters>,
    payload_type: u8,
}

struct Encoding {
    rid: String,
    ssrc: u32,
    sequence: u16,
    offset: u32,
    payloader: Box<dyn Payloader>,
}

/// What the server wants of one layer.
pub(crate) struct LayerState {
    pub rid: String,
    pub keyframe: AtomicBool,
    pub wanted: AtomicBool,
}

/// A track before it is negotiated.
pub(crate) struct Draft {
    pub options: LocalTrackOptions,
    pub track: Arc<TrackLocalStaticRTP>,
    encodings: Vec<Encoding>,
}

impl Draft {
    pub fn new(options: LocalTrackOptions) -> Result<Draft, Error> {
        Draft::in_stream(options, random_name())
    }

    /// A track of a media stream (RFC 8830 §2) with others in it.
    pub fn in_stream(options: LocalTrackOptions, stream: String) -> Result<Draft, Error> {
        let rids = match options.layers.len() {
            0 => vec![String::new()],
            _ => options.layers.iter().map(|layer| layer.rid.clone()).collect(),
        };
        let parameters = options.codec.parameters();
        let encodings: Vec<Encoding> = rids
            .into_iter()
            .map(|rid| {
                let payloader = payloader(options.codec);
                Encoding { rid, ssrc: random_u32(), sequence: random_u32() as u16, offset: random_u32(), payloader }
            })
            .collect();
        let single = encodings.len() == 1;
        let codings = encodings.iter().map(|encoding| RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                rid: encoding.rid.clone(),
                ssrc: Some(encoding.ssrc),
                // The engine cannot say which layer a retransmission stream belongs to (RFC 8852 §3.2), so layers are
                // repaired in their own stream.
                rtx: (single && options.codec.retransmissions().is_some())
                    .then(|| RTCRtpRtxParameters { ssrc: random_u32() }),
                fec: None,
            },
            active: true,
            codec: parameters.rtp_codec.clone(),
            ..Default::default()
        });
        let track = MediaStreamTrack::new(
            stream,
            random_name(),
            options.name.clone(),
            engine_kind(options.codec.kind()),
            codings.collect(),
        );
        Ok(Draft { options, track: Arc::new(TrackLocalStaticRTP::new(track)), encodings })
    }

    /// The negotiation is over.
    pub fn finish(
        self,
        id: String,
        mid: String,
        payload_type: u8,
        extensions: Vec<RTCRtpHeaderExtensionParameters>,
    ) -> LocalTrack {
        let state: Arc<[LayerState]> = self
            .encodings
            .iter()
            .map(|encoding| LayerState {
                rid: encoding.rid.clone(),
                keyframe: AtomicBool::new(false),
                wanted: AtomicBool::new(true),
            })
            .collect();
        let ssrcs: Vec<u32> = self.encodings.iter().map(|encoding| encoding.ssrc).collect();
        spawn(watch_feedback(self.track.clone(), ssrcs, state.clone()));
        LocalTrack {
            id,
            codec: self.options.codec,
            track: self.track,
            encodings: self.encodings,
            state,
            mid,
            extensions,
            payload_type,
        }
    }
}

impl LocalTrack {
    /// Its id in the call, such as `t9`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many encodings it has.
    pub fn layers(&self) -> usize {
        self.encodings.len()
    }

    /// Whether somebody needs a keyframe of this layer (RFC 4585 §6.3.1); asking clears it.
    pub fn take_keyframe_request(&self, layer: usize) -> bool {
        self.state.get(layer).is_some_and(|state| state.keyframe.swap(false, Ordering::Relaxed))
    }

    /// Whether anybody watches this layer. What is written to the others is not sent.
    pub fn is_wanted(&self, layer: usize) -> bool {
        self.state.get(layer).is_some_and(|state| state.wanted.load(Ordering::Relaxed))
    }

    pub(crate) fn state(&self) -> Arc<[LayerState]> {
        self.state.clone()
    }

    /// Packetises and sends a frame of a layer (0 is the lowest, and the only one without simulcast).
    pub async fn write_sample(&mut self, layer: usize, sample: &Sample) -> Result<(), Error> {
        if !self.is_wanted(layer) {
            return Ok(());
        }
        let Some(encoding) = self.encodings.get_mut(layer) else { return Ok(()) };
        let ticks = sample.at.as_nanos() * u128::from(self.codec.clock_rate()) / 1_000_000_000;
        let payloads = encoding.payloader.payload(PAYLOAD_BYTES_MAX, &sample.data)?;
        let last = payloads.len().saturating_sub(1);
        for (index, payload) in payloads.into_iter().enumerate() {
            let mut packet = RtpPacket { payload, ..Default::default() };
            packet.header.marker = index == last && self.codec != Codec::Opus;
            // Truncation is the wrap of RFC 3550 §5.1.
            packet.header.timestamp = (ticks as u32).wrapping_add(encoding.offset);
            packet.header.sequence_number = encoding.sequence;
            encoding.sequence = encoding.sequence.wrapping_add(1);
            if let Some(level) = sample.level {
                set_extension(&mut packet, &self.extensions, AUDIO_LEVEL_URI, vec![0x80 | level.min(127)])?;
            }
            send(&self.track, &self.extensions, &self.mid, self.payload_type, encoding, packet).await?;
        }
        Ok(())
    }

    /// Sends a packet of a layer as it is, except for its SSRC, payload type and extensions, which are the track's.
    pub async fn write_rtp(&mut self, layer: usize, packet: RtpPacket) -> Result<(), Error> {
        let Some(encoding) = self.encodings.get(layer) else { return Ok(()) };
        if !self.is_wanted(layer) {
            return Ok(());
        }
        send(&self.track, &self.extensions, &self.mid, self.payload_type, encoding, packet).await
    }
}

async fn send(
    track: &TrackLocalStaticRTP,
    extensions: &[RTCRtpHeaderExtensionParameters],
    mid: &str,
    payload_type: u8,
    encoding: &Encoding,
    mut packet: RtpPacket,
) -> Result<(), Error> {
    packet.header.version = 2;
    packet.header.ssrc = encoding.ssrc;
    packet.header.payload_type = payload_type;
    if !encoding.rid.is_empty() {
        set_extension(&mut packet, extensions, MID_URI, mid.as_bytes().to_vec())?;
        set_extension(&mut packet, extensions, RID_URI, encoding.rid.as_bytes().to_vec())?;
    }
    Ok(track.write_rtp(packet).await?)
}

fn set_extension(
    packet: &mut RtpPacket,
    extensions: &[RTCRtpHeaderExtensionParameters],
    uri: &str,
    value: Vec<u8>,
) -> Result<(), Error> {
    if let Some(extension) = extensions.iter().find(|extension| extension.uri == uri) {
        packet.header.set_extension(extension.id as u8, value.into())?;
    }
    Ok(())
}

/// The name of a stream or a track.
pub(crate) fn random_name() -> String {
    format!("{:08x}{:08x}", random_u32(), random_u32())
}

fn payloader(codec: Codec) -> Box<dyn Payloader> {
    use rtc::rtp::codec::{av1, h264, opus, vp8, vp9};
    match codec {
        Codec::Vp8 => {
            let mut payloader = vp8::Vp8Payloader::default();
            payloader.enable_picture_id = true;
            Box::new(payloader)
        }
        Codec::H264 => Box::new(h264::H264Payloader::default()),
        Codec::Vp9 => Box::new(vp9::Vp9Payloader::default()),
        Codec::Av1 => Box::new(av1::Av1Payloader::default()),
        Codec::Opus => Box::new(opus::OpusPayloader),
    }
}

/// Notes keyframe requests until the connection ends.
async fn watch_feedback(track: Arc<TrackLocalStaticRTP>, ssrcs: Vec<u32>, state: Arc<[LayerState]>) {
    while let Some(event) = track.poll().await {
        let TrackLocalEvent::OnRtcpPacket(packets) = event else { continue };
        for packet in packets {
            let packet = packet.as_any();
            let mut wanted = Vec::new();
            if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                wanted.push(pli.media_ssrc);
            } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                wanted.extend(fir.fir.iter().map(|entry| entry.ssrc));
            }
            for (_, state) in ssrcs.iter().zip(state.iter()).filter(|(ssrc, _)| wanted.contains(ssrc)) {
                state.keyframe.store(true, Ordering::Relaxed);
            }
        }
    }
}
