//! H.264: configuration records, in-band parameter sets, and access units as ISO samples.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::codec::{Colour, H264Config, NalKind, nal_kinds};
use telstar_media::{CodecConfig, Frame};

use super::decoder::{Configured, InForce, Picture, PictureCodec};
use super::exp_golomb::{parameter_set_id, slice_is_intra};
use super::nal_sample::{FRONT_UNITS_MAX, LENGTH_SIZE, Role, iso_sample, put_parameter_set};
use super::output::{Outputs, TrackNumber, WarningKind};
use super::video_clock::VideoClock;

/// The state of one H.264 track.
pub(super) struct H264Track {
    in_force: InForce,
    /// The record as it came, to know it again.
    record: Bytes,
    /// Bytes of each NAL unit length on the wire; in-band parameter sets do not change it.
    length_size: u8,
    clock: VideoClock,
}

impl Default for H264Track {
    fn default() -> H264Track {
        let (in_force, clock) = (InForce::default(), VideoClock::default());
        H264Track { in_force, record: Bytes::new(), length_size: LENGTH_SIZE, clock }
    }
}

impl PictureCodec for H264Track {
    fn configure(&mut self, record: &Bytes) -> Configured {
        if record.is_empty() || self.record == *record {
            return Ok(None);
        }
        let h264 = H264Config::parse(record).map_err(|error| error.to_string())?;
        self.length_size = h264.source_length_size;
        self.record = Bytes::copy_from_slice(record);
        Ok(Some(self.in_force.set(CodecConfig::H264(h264))))
    }

    /// The configuration that parameter sets inside an access unit make, if it is a new one.
    fn configure_in_band(&mut self, payload: &Bytes) -> Option<Arc<CodecConfig>> {
        // Parameter sets come before the picture; a slice ends the search. Most access units have none.
        let before_picture = || {
            nal_kinds(payload, self.length_size)
                .map_while(Result::ok)
                .take_while(|(kind, _)| !matches!(kind, NalKind::Slice | NalKind::Idr))
                .take(FRONT_UNITS_MAX)
        };
        if !before_picture().any(|(kind, _)| matches!(kind, NalKind::Sps | NalKind::Pps)) {
            return None;
        }
        let (mut sps, mut pps) = match self.in_force.own() {
            Some(CodecConfig::H264(h264)) => h264.parameter_sets(),
            _ => Default::default(),
        };
        let mut changed = false;
        for (kind, unit) in before_picture() {
            match kind {
                NalKind::Sps => changed |= put_parameter_set(&mut sps, unit, |unit| parameter_set_id(unit, 4)),
                NalKind::Pps => changed |= put_parameter_set(&mut pps, unit, |unit| parameter_set_id(unit, 1)),
                NalKind::Slice | NalKind::Idr | NalKind::Sei | NalKind::Delimiter | NalKind::Other(_) => {}
            }
        }
        if !changed {
            return None;
        }
        // Sets that do not make a valid configuration are dropped like the rest of the in-band ones.
        let h264 = H264Config::from_parameter_sets(&sps, &pps).ok()?;
        Some(self.in_force.set(CodecConfig::H264(h264)))
    }

    fn describe_colour(&mut self, colour: Option<Colour>, now: Instant, outputs: &mut Outputs) {
        self.in_force.describe_colour(colour, now, outputs);
    }

    fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs) {
        let Some(config) = self.in_force.config() else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        let mut has_idr = false;
        let mut first_slice_is_intra = None;
        let sample = iso_sample(&picture.payload, self.length_size, role, &mut |slice| {
            has_idr |= NalKind::of(slice[0]) == NalKind::Idr;
            first_slice_is_intra.get_or_insert_with(|| slice_is_intra(slice));
        });
        let Some(payload) = sample else { return outputs.drop_frame(WarningKind::MalformedFrame) };
        // Some encoders mark every picture as a key, and some forget to: an IDR is one, a picture of intra slices may be.
        let key = has_idr || picture.key && first_slice_is_intra == Some(true);
        let (dts, pts) = self.clock.stamp(picture.wire_ms, picture.nanos, picture.composition_ms, outputs);
        let payload = outputs.kept(payload);
        outputs.add_frame(track, Frame { config, dts, pts, duration: 0, key, payload });
    }
}

fn role(unit: &[u8]) -> Role {
    match NalKind::of(unit[0]) {
        NalKind::Delimiter | NalKind::Sps | NalKind::Pps => Role::Leaves,
        NalKind::Slice | NalKind::Idr => Role::Picture,
        NalKind::Sei | NalKind::Other(_) => Role::Stays,
    }
}
