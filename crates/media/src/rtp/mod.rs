//! Between the two views of a track: frames into RTP packets and RTP packets into frames.
//!
//! In flow [`Frame`]s or [`Packet`]s of one layer, out flows the other view with the same times. A converter exists only
//! while something consumes it, once per layer however many consume it. It knows no transport and no SSRC.

mod av1;
mod h264;
mod h265;
pub mod landing;
mod pictures;
#[cfg(test)]
mod testing;
mod vp8;
mod vp9;

use std::sync::Arc;

use crate::codec::{Codec, CodecConfig, OpusConfig, opus_duration};
use crate::frame::{Frame, Packet};

pub use av1::{Av1Depacketiser, Av1Packetiser};
pub use h264::{H264Depacketiser, H264Packetiser};
pub use h265::{H265Depacketiser, H265Packetiser};
pub use vp8::{Vp8Depacketiser, Vp8Packetiser};
pub use vp9::{Vp9Depacketiser, Vp9Packetiser};

/// The largest RTP payload made. 1,200 bytes with headers and SRTP tag stay below every path MTU of WebRTC;
/// higher saves packets and risks IP fragments, lower costs header bytes.
pub const PAYLOAD_LEN_MAX: usize = 1_160;

/// Frames in, packets out.
#[derive(Debug)]
pub enum Packetiser {
    /// RFC 6184.
    H264(H264Packetiser),
    /// RFC 7798.
    H265(H265Packetiser),
    /// RFC 7741.
    Vp8(Vp8Packetiser),
    /// RFC 9628.
    Vp9(Vp9Packetiser),
    /// "RTP Payload Format For AV1" v1.0.
    Av1(Av1Packetiser),
    /// RFC 7587: one Opus packet is one RTP payload.
    Opus {
        /// The next packet's sequence number.
        sequence: u64,
    },
}

impl Packetiser {
    /// A packetiser for `codec`, or `None` when the codec has no RTP form that a viewer could negotiate.
    pub fn new(codec: Codec) -> Option<Packetiser> {
        match codec {
            Codec::H264 => Some(Packetiser::H264(H264Packetiser::default())),
            Codec::H265 => Some(Packetiser::H265(H265Packetiser::default())),
            Codec::Vp8 => Some(Packetiser::Vp8(Vp8Packetiser::default())),
            Codec::Vp9 => Some(Packetiser::Vp9(Vp9Packetiser::default())),
            Codec::Av1 => Some(Packetiser::Av1(Av1Packetiser::default())),
            Codec::Opus => Some(Packetiser::Opus { sequence: 0 }),
            Codec::Aac | Codec::Mp3 | Codec::Flac | Codec::Ac3 | Codec::Eac3 => None,
        }
    }

    /// Appends the packets of `frame` to `packets`.
    pub fn push(&mut self, frame: &Frame, packets: &mut Vec<Packet>) {
        match self {
            Packetiser::H264(packetiser) => packetiser.push(frame, packets),
            Packetiser::H265(packetiser) => packetiser.push(frame, packets),
            Packetiser::Vp8(packetiser) => packetiser.push(frame, packets),
            Packetiser::Vp9(packetiser) => packetiser.push(frame, packets),
            Packetiser::Av1(packetiser) => packetiser.push(frame, packets),
            Packetiser::Opus { sequence } => {
                let payload = frame.payload.clone();
                packets.push(Packet { sequence: *sequence, time: frame.pts, marker: false, key: true, payload });
                *sequence += 1;
            }
        }
    }
}

/// Packets in, frames out.
#[derive(Debug)]
pub enum Depacketiser {
    /// RFC 6184.
    H264(H264Depacketiser),
    /// RFC 7798.
    H265(H265Depacketiser),
    /// RFC 7741.
    Vp8(Vp8Depacketiser),
    /// RFC 9628.
    Vp9(Vp9Depacketiser),
    /// "RTP Payload Format For AV1" v1.0.
    Av1(Av1Depacketiser),
    /// RFC 7587.
    Opus {
        /// What every frame is configured by.
        config: Arc<CodecConfig>,
    },
}

impl Depacketiser {
    /// A depacketiser for `codec`, or `None` when frames of it cannot be made here.
    pub fn new(codec: Codec) -> Option<Depacketiser> {
        match codec {
            Codec::H264 => Some(Depacketiser::H264(H264Depacketiser::default())),
            Codec::H265 => Some(Depacketiser::H265(H265Depacketiser::default())),
            Codec::Vp8 => Some(Depacketiser::Vp8(Vp8Depacketiser::default())),
            Codec::Vp9 => Some(Depacketiser::Vp9(Vp9Depacketiser::default())),
            Codec::Av1 => Some(Depacketiser::Av1(Av1Depacketiser::default())),
            // RFC 7587 §4.4: RTP Opus is described as stereo always, and a live stream starts without pre-skip.
            Codec::Opus => {
                let config = Arc::new(CodecConfig::Opus(OpusConfig::plain(2, 0)));
                Some(Depacketiser::Opus { config })
            }
            Codec::Aac | Codec::Mp3 | Codec::Flac | Codec::Ac3 | Codec::Eac3 => None,
        }
    }

    /// Takes the next packet; appends each access unit that it completes. Packets come in order, gaps are losses.
    pub fn push(&mut self, packet: &Packet, frames: &mut Vec<Frame>) {
        match self {
            Depacketiser::H264(depacketiser) => depacketiser.push(packet, frames),
            Depacketiser::H265(depacketiser) => depacketiser.push(packet, frames),
            Depacketiser::Vp8(depacketiser) => depacketiser.push(packet, frames),
            Depacketiser::Vp9(depacketiser) => depacketiser.push(packet, frames),
            Depacketiser::Av1(depacketiser) => depacketiser.push(packet, frames),
            Depacketiser::Opus { .. } if packet.payload.is_empty() => {}
            Depacketiser::Opus { config } => frames.push(Frame {
                config: Arc::clone(config),
                dts: packet.time,
                pts: packet.time,
                duration: opus_duration(&packet.payload),
                key: true,
                payload: packet.payload.clone(),
            }),
        }
    }

    /// Access units that were thrown away because a part of them was lost or they could not be decoded.
    pub fn frames_dropped(&self) -> u64 {
        match self {
            Depacketiser::H264(depacketiser) => depacketiser.frames_dropped(),
            Depacketiser::H265(depacketiser) => depacketiser.frames_dropped(),
            Depacketiser::Vp8(depacketiser) => depacketiser.frames_dropped(),
            Depacketiser::Vp9(depacketiser) => depacketiser.frames_dropped(),
            Depacketiser::Av1(depacketiser) => depacketiser.frames_dropped(),
            Depacketiser::Opus { .. } => 0,
        }
    }

    /// After a loss nothing leaves until a key picture comes.
    pub fn waits_for_key(&self) -> bool {
        match self {
            Depacketiser::H264(depacketiser) => depacketiser.waits_for_key(),
            Depacketiser::H265(depacketiser) => depacketiser.waits_for_key(),
            Depacketiser::Vp8(depacketiser) => depacketiser.waits_for_key(),
            Depacketiser::Vp9(depacketiser) => depacketiser.waits_for_key(),
            Depacketiser::Av1(depacketiser) => depacketiser.waits_for_key(),
            Depacketiser::Opus { .. } => false,
        }
    }
}
