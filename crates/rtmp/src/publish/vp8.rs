//! VP8: frames as they are. No output carries it, so that nothing but where decoding can start is read.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::codec::Colour;
use telstar_media::{Codec, CodecConfig, Frame};

use super::decoder::{Configured, InForce, Picture, PictureCodec};
use super::output::{Outputs, TrackNumber, WarningKind};
use super::video_clock::VideoClock;

/// The state of one VP8 track.
#[derive(Default)]
pub(super) struct Vp8Track {
    in_force: InForce,
    clock: VideoClock,
}

impl PictureCodec for Vp8Track {
    /// The record repeats what every decoder assumes.
    fn configure(&mut self, _record: &Bytes) -> Configured {
        Ok(None)
    }

    fn configure_in_band(&mut self, payload: &Bytes) -> Option<Arc<CodecConfig>> {
        let config = CodecConfig::Opaque { codec: Codec::Vp8, record: Bytes::new() };
        let is_new = self.in_force.own().is_none() && is_key_frame(payload);
        is_new.then(|| self.in_force.set(config))
    }

    fn describe_colour(&mut self, _colour: Option<Colour>, _now: Instant, _outputs: &mut Outputs) {}

    fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs) {
        let Some(config) = self.in_force.config() else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        if picture.payload.is_empty() {
            return outputs.drop_frame(WarningKind::MalformedFrame);
        }
        let (dts, pts) = self.clock.stamp(picture.wire_ms, picture.nanos, picture.composition_ms, outputs);
        let (key, payload) = (is_key_frame(&picture.payload), outputs.kept(picture.payload));
        outputs.add_frame(track, Frame { config, dts, pts, duration: 0, key, payload });
    }
}

/// RFC 6386 §9.1: the first bit of the frame tag is 0, and a start code follows the tag.
fn is_key_frame(frame: &[u8]) -> bool {
    matches!(frame, [tag, _, _, 0x9d, 0x01, 0x2a, ..] if tag & 1 == 0)
}
