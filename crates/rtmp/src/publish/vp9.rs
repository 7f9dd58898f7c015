//! VP9: a configuration record, completed by key frames, and frames as they are.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::codec::{Colour, Vp9Config, Vp9Record};
use telstar_media::{CodecConfig, Frame};

use super::decoder::{Configured, InForce, Picture, PictureCodec};
use super::output::{Outputs, TrackNumber, WarningKind};
use super::video_clock::VideoClock;

/// The state of one VP9 track.
#[derive(Default)]
pub(super) struct Vp9Track {
    in_force: InForce,
    record: Option<Vp9Record>,
    clock: VideoClock,
}

impl PictureCodec for Vp9Track {
    /// A record knows no size: it counts from the next key frame on.
    fn configure(&mut self, record: &Bytes) -> Configured {
        if !record.is_empty() {
            self.record = Some(Vp9Record::parse(record).map_err(|error| error.to_string())?);
        }
        Ok(None)
    }

    fn configure_in_band(&mut self, payload: &Bytes) -> Option<Arc<CodecConfig>> {
        let config = CodecConfig::Vp9(Vp9Config::from_key_frame(payload, self.record.as_ref()).ok()??);
        (self.in_force.own() != Some(&config)).then(|| self.in_force.set(config))
    }

    fn describe_colour(&mut self, colour: Option<Colour>, now: Instant, outputs: &mut Outputs) {
        self.in_force.describe_colour(colour, now, outputs);
    }

    fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs) {
        let Some(config) = self.in_force.config() else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        let Ok(key_frame) = Vp9Config::from_key_frame(&picture.payload, None) else {
            return outputs.drop_frame(WarningKind::MalformedFrame);
        };
        let (dts, pts) = self.clock.stamp(picture.wire_ms, picture.nanos, picture.composition_ms, outputs);
        let (key, payload) = (key_frame.is_some(), outputs.kept(picture.payload));
        outputs.add_frame(track, Frame { config, dts, pts, duration: 0, key, payload });
    }
}
