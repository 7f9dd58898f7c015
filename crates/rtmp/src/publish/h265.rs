//! H.265: configuration records, in-band parameter sets, and access units as ISO samples.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::codec::{Colour, H265Config, H265NalKind, h265_parameter_set_id, nal_units};
use telstar_media::{CodecConfig, Frame};

use super::decoder::{Configured, InForce, Picture, PictureCodec};
use super::nal_sample::{FRONT_UNITS_MAX, LENGTH_SIZE, Role, iso_sample, put_parameter_set};
use super::output::{Outputs, TrackNumber, WarningKind};
use super::video_clock::VideoClock;

/// The state of one H.265 track.
pub(super) struct H265Track {
    in_force: InForce,
    /// The record as it came, to know it again.
    record: Bytes,
    /// Bytes of each NAL unit length on the wire; in-band parameter sets do not change it.
    length_size: u8,
    clock: VideoClock,
}

impl Default for H265Track {
    fn default() -> H265Track {
        let (in_force, clock) = (InForce::default(), VideoClock::default());
        H265Track { in_force, record: Bytes::new(), length_size: LENGTH_SIZE, clock }
    }
}

impl PictureCodec for H265Track {
    fn configure(&mut self, record: &Bytes) -> Configured {
        if record.is_empty() || self.record == *record {
            return Ok(None);
        }
        let h265 = H265Config::parse(record).map_err(|error| error.to_string())?;
        self.length_size = h265.source_length_size;
        self.record = Bytes::copy_from_slice(record);
        Ok(Some(self.in_force.set(CodecConfig::H265(h265))))
    }

    /// The configuration that parameter sets inside an access unit make, if it is a new one.
    fn configure_in_band(&mut self, payload: &Bytes) -> Option<Arc<CodecConfig>> {
        // As in H.264: parameter sets come before the picture, and most access units have none.
        let before_picture = || {
            nal_units(payload, self.length_size)
                .map_while(Result::ok)
                .map(|unit| (H265NalKind::of(unit), unit))
                .take_while(|(kind, _)| !matches!(kind, H265NalKind::Slice | H265NalKind::RandomAccess))
                .take(FRONT_UNITS_MAX)
        };
        let is_set = |kind| matches!(kind, H265NalKind::Vps | H265NalKind::Sps | H265NalKind::Pps);
        if !before_picture().any(|(kind, _)| is_set(kind)) {
            return None;
        }
        let mut sets = match self.in_force.own() {
            Some(CodecConfig::H265(h265)) => h265.parameter_sets(),
            _ => Default::default(),
        };
        let mut changed = false;
        for (kind, unit) in before_picture() {
            let known = match kind {
                H265NalKind::Vps => &mut sets.vps,
                H265NalKind::Sps => &mut sets.sps,
                H265NalKind::Pps => &mut sets.pps,
                _ => continue,
            };
            changed |= put_parameter_set(known, unit, h265_parameter_set_id);
        }
        if !changed {
            return None;
        }
        // Sets that do not make a valid configuration are dropped like the rest of the in-band ones.
        let h265 = H265Config::from_parameter_sets(&sets).ok()?;
        Some(self.in_force.set(CodecConfig::H265(h265)))
    }

    fn describe_colour(&mut self, colour: Option<Colour>, now: Instant, outputs: &mut Outputs) {
        self.in_force.describe_colour(colour, now, outputs);
    }

    fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs) {
        let Some(config) = self.in_force.config() else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        // Whatever the FLV header claims: decoding starts at a random access point or not at all.
        let mut key = false;
        let sample = iso_sample(&picture.payload, self.length_size, role, &mut |slice| {
            key |= H265NalKind::of(slice) == H265NalKind::RandomAccess;
        });
        let Some(payload) = sample else { return outputs.drop_frame(WarningKind::MalformedFrame) };
        let (dts, pts) = self.clock.stamp(picture.wire_ms, picture.nanos, picture.composition_ms, outputs);
        let payload = outputs.kept(payload);
        outputs.add_frame(track, Frame { config, dts, pts, duration: 0, key, payload });
    }
}

fn role(unit: &[u8]) -> Role {
    match H265NalKind::of(unit) {
        H265NalKind::Delimiter | H265NalKind::Vps | H265NalKind::Sps | H265NalKind::Pps => Role::Leaves,
        H265NalKind::Slice | H265NalKind::RandomAccess => Role::Picture,
        H265NalKind::Other(_) => Role::Stays,
    }
}
