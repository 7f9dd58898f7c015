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

/// Watches whether the pictures of a track come in another order than they are shown, as with B-frames, which WebRTC
/// cannot carry. That presentation is later than decoding says nothing: it may be so by the same time for all frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reordering {
    last_dts: Option<i64>,
    latest_pts: Option<i64>,
    seen: bool,
}

impl Reordering {
    /// Takes the next frame. Returns whether this one or any before it came out of order.
    pub fn note(&mut self, frame: &Frame) -> bool {
        if self.last_dts.is_some_and(|last| frame.dts < last) {
            // Another epoch.
            self.latest_pts = None;
        }
        self.seen |= self.latest_pts.is_some_and(|latest| frame.pts < latest);
        self.latest_pts = self.latest_pts.max(Some(frame.pts));
        self.last_dts = Some(frame.dts);
        self.seen
    }

    /// Whether any frame came out of order.
    pub fn seen(&self) -> bool {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_that_overtake_each_other_are_reordered() {
        let config = Arc::new(CodecConfig::Opaque { codec: Codec::H264, record: Bytes::new() });
        let check = |times: &[(i64, i64)], expect: bool| {
            let mut reordering = Reordering::default();
            for &(dts, pts) in times {
                let payload = Bytes::new();
                reordering.note(&Frame { config: Arc::clone(&config), dts, pts, duration: 0, key: false, payload });
            }
            assert_eq!(reordering.seen(), expect, "{times:?}");
        };
        check(&[(0, 0), (40, 40), (80, 80)], false);
        check(&[(0, 80), (40, 120), (80, 160)], false);
        check(&[(0, 80), (40, 200), (80, 120), (120, 160)], true);
        check(&[(500, 500), (540, 540), (0, 0), (40, 40)], false);
        check(&[(0, 80), (40, 200), (80, 120), (0, 0)], true);
    }
}
