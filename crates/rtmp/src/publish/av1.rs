//! AV1: configuration records, in-band sequence headers, and temporal units as ISO samples.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::codec::{Av1Config, Av1Error, Av1Unit, Colour};
use telstar_media::{CodecConfig, Frame};

use super::decoder::{Configured, InForce, Picture, PictureCodec};
use super::output::{Outputs, TrackNumber, WarningKind};
use super::video_clock::VideoClock;

/// The state of one AV1 track.
#[derive(Default)]
pub(super) struct Av1Track {
    in_force: InForce,
    /// The record as it came, to know it again.
    record: Bytes,
    clock: VideoClock,
}

impl Av1Track {
    fn config(&self) -> Option<&Av1Config> {
        match self.in_force.own() {
            Some(CodecConfig::Av1(av1)) => Some(av1),
            _ => None,
        }
    }

    fn is_reduced(&self) -> bool {
        self.config().is_some_and(|av1| av1.reduced_still_picture)
    }
}

impl PictureCodec for Av1Track {
    fn configure(&mut self, record: &Bytes) -> Configured {
        if record.is_empty() || self.record == *record {
            return Ok(None);
        }
        let av1 = match Av1Config::parse(record) {
            Ok(av1) => av1,
            // The first temporal unit has one.
            Err(Av1Error::NoSequenceHeader) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        self.record = Bytes::copy_from_slice(record);
        Ok(Some(self.in_force.set(CodecConfig::Av1(av1))))
    }

    fn configure_ts(&mut self, descriptor: &Bytes) -> Configured {
        Av1Config::check_ts_descriptor(descriptor).map(|()| None).map_err(|error| error.to_string())
    }

    /// The configuration that a sequence header inside a temporal unit makes, if it is a new one.
    fn configure_in_band(&mut self, payload: &Bytes) -> Option<Arc<CodecConfig>> {
        let unit = Av1Unit::read(payload, self.is_reduced()).ok()?;
        let header = unit.sequence_header?;
        if self.config().is_some_and(|av1| av1.sequence_header() == header.body) {
            return None;
        }
        let av1 = Av1Config::from_sequence_header(&header).ok()?;
        Some(self.in_force.set(CodecConfig::Av1(av1)))
    }

    fn describe_colour(&mut self, colour: Option<Colour>, now: Instant, outputs: &mut Outputs) {
        self.in_force.describe_colour(colour, now, outputs);
    }

    fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs) {
        let Some(config) = self.in_force.config() else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        let unit = Av1Unit::read(&picture.payload, self.is_reduced()).ok().filter(|unit| unit.has_frame);
        let Some(unit) = unit else { return outputs.drop_frame(WarningKind::MalformedFrame) };
        let (dts, pts) = self.clock.stamp(picture.wire_ms, picture.nanos, picture.composition_ms, outputs);
        let payload = outputs.kept(unit.sample(&picture.payload));
        outputs.add_frame(track, Frame { config, dts, pts, duration: 0, key: unit.key, payload });
    }
}
