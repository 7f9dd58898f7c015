//! The two views of a track: frames (access units) and packets (RTP), and the description of the track itself.

use std::sync::Arc;

use bytes::Bytes;
use telstar_units::{Timescale, TrackId};

use crate::codec::{Codec, CodecConfig, MediaKind};

/// What a track is, fixed for its life. A change of codec or clock is another track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    /// Unique within the room's hub.
    pub id: TrackId,
    /// The codec of every layer of the track.
    pub codec: Codec,
    /// The clock of all times of the track: 90 kHz for video, the sample rate for audio.
    pub timescale: Timescale,
    /// How keyframes come about.
    pub keyframes: KeyframeMode,
    /// Who made it.
    pub origin: Origin,
}

impl TrackInfo {
    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.codec.kind()
    }
}

/// How a keyframe can be had from a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyframeMode {
    /// The source answers a request (a WebRTC publisher, a worker).
    OnRequest,
    /// The source sends them on its own schedule and cannot be asked (RTMP).
    Periodic,
    /// There are none: every frame stands alone (audio).
    None,
}

/// Who made a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It came from the publishing connection as it is.
    Publisher,
    /// A worker of ours made it from another layer.
    Worker,
}

/// One access unit: a picture, or one audio frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Codec configuration in force for this frame. A new `Arc` with other content means that parameters changed here.
    pub config: Arc<CodecConfig>,
    /// Decode time in ticks of the track's timescale. Strictly increasing within a layer and an epoch.
    pub dts: i64,
    /// Presentation time in ticks. `pts >= dts`.
    pub pts: i64,
    /// Duration in ticks when the source states it (audio: samples per frame); 0 when only the next frame tells.
    pub duration: u32,
    /// An independent frame: decoding can start here. True for every audio frame.
    pub key: bool,
    /// The bytes as ISO BMFF samples hold them: H.264/H.265 NAL units each behind a 4-byte length, without parameter
    /// sets of their own; an AV1 temporal unit without its delimiter; a VP8 or VP9 frame or superframe; AAC without
    /// ADTS; one Opus packet; one FLAC or MP3 frame; the sync frames of one AC-3 or E-AC-3 access unit.
    pub payload: Bytes,
}

/// One RTP packet of a layer, already decrypted and without its transport.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Sequence number, extended to 64 bits at the door.
    pub sequence: u64,
    /// Time in ticks of the track's timescale on the participant's timeline (extended, never wrapped).
    pub time: i64,
    /// RTP marker bit: the last packet of a picture.
    pub marker: bool,
    /// The packet begins an independent picture (or is audio).
    pub key: bool,
    /// RTP payload.
    pub payload: Bytes,
}
