//! VP8: frames as they are. Key frames say their size; the record says nothing.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::codec::{Colour, Vp8Config};
use telstar_media::{CodecConfig, Frame};

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
        let config = CodecConfig::Vp8(Vp8Config::from_key_frame(payload)?);
        (self.in_force.own() != Some(&config)).then(|| self.in_force.set(config))
    }

    fn describe_colour(&mut self, _colour: Option<Colour>, _now: Instant, _outputs: &mut Outputs) {}

    fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs) {
        let Some(config) = self.in_force.config() else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        if picture.payload.is_empty() {
            return outputs.drop_frame(WarningKind::MalformedFrame);
        }
        let (dts, pts) = self.clock.stamp(picture.wire_ms, picture.nanos, picture.composition_ms, outputs);
        let key = Vp8Config::from_key_frame(&picture.payload).is_some();
        let payload = outputs.kept(picture.payload);
        outputs.add_frame(track, Frame { config, dts, pts, duration: 0, key, payload });
    }
}
