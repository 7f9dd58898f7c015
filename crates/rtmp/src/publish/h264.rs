//! H.264: configuration records, in-band parameter sets, and access units as ISO samples.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use telstar_media::codec::{H264Config, H264Error, NalKind, nal_kinds};
use telstar_media::{CodecConfig, Frame};

use super::exp_golomb::{parameter_set_id, slice_is_intra};
use super::output::{Outputs, TrackNumber, WarningKind};
use super::video_clock::VideoClock;

/// Bytes of a NAL unit length in the hub and, before any record came, on the wire.
const LENGTH_SIZE: u8 = 4;

/// The state of one H.264 track.
#[derive(Default)]
pub(super) struct H264Track {
    current: Option<Current>,
    clock: VideoClock,
}

struct Current {
    /// The record as it came, to know it again.
    record: Bytes,
    /// Bytes of each NAL unit length on the wire; in-band parameter sets do not change it.
    length_size: u8,
    config: Arc<CodecConfig>,
}

/// One access unit on its way to a frame.
pub(super) struct Picture {
    pub(super) wire_ms: i64,
    pub(super) nanos: u32,
    pub(super) composition_ms: i32,
    /// What the FLV header claims.
    pub(super) key: bool,
    pub(super) payload: Bytes,
}

impl H264Track {
    /// A sequence header; the configuration if it is a new one. An empty one says nothing (some encoders send it).
    pub(super) fn configure(&mut self, record: &Bytes) -> Result<Option<Arc<CodecConfig>>, H264Error> {
        if record.is_empty() || self.current.as_ref().is_some_and(|current| current.record == *record) {
            return Ok(None);
        }
        let h264 = H264Config::parse(record)?;
        let length_size = h264.source_length_size;
        let config = Arc::new(CodecConfig::H264(h264));
        self.current = Some(Current { record: Bytes::copy_from_slice(record), length_size, config: config.clone() });
        Ok(Some(config))
    }

    /// The configuration that parameter sets inside an access unit make, if it is a new one.
    pub(super) fn configure_in_band(&mut self, payload: &[u8]) -> Option<Arc<CodecConfig>> {
        let length_size = self.current.as_ref().map_or(LENGTH_SIZE, |current| current.length_size);
        // Parameter sets come before the picture; a slice ends the search. Most access units have none.
        let before_picture = || {
            nal_kinds(payload, length_size)
                .map_while(Result::ok)
                .take_while(|(kind, _)| !matches!(kind, NalKind::Slice | NalKind::Idr))
        };
        if !before_picture().any(|(kind, _)| matches!(kind, NalKind::Sps | NalKind::Pps)) {
            return None;
        }
        let known = self.current.as_ref().and_then(|current| match current.config.as_ref() {
            CodecConfig::H264(h264) => Some(h264.parameter_sets()),
            _ => None,
        });
        let (known_sps, known_pps) = known.unwrap_or_default();
        let (mut sps, mut pps) = (known_sps.clone(), known_pps.clone());
        let mut changed = false;
        for (kind, unit) in before_picture() {
            match kind {
                NalKind::Sps => changed |= put_parameter_set(&mut sps, unit, 4),
                NalKind::Pps => changed |= put_parameter_set(&mut pps, unit, 1),
                NalKind::Slice | NalKind::Idr | NalKind::Sei | NalKind::Delimiter | NalKind::Other(_) => {}
            }
        }
        if !changed {
            return None;
        }
        // Sets that do not make a valid configuration are dropped like the rest of the in-band ones.
        let h264 = H264Config::from_parameter_sets(&sps, &pps).ok()?;
        let config = Arc::new(CodecConfig::H264(h264));
        let record = self.current.take().map_or_else(Bytes::new, |current| current.record);
        self.current = Some(Current { record, length_size, config: config.clone() });
        Some(config)
    }

    /// An access unit.
    pub(super) fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs) {
        let Some(current) = &self.current else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        let Some(sample) = iso_sample(&picture.payload, current.length_size, picture.key) else {
            return outputs.drop_frame(WarningKind::MalformedFrame);
        };
        let (dts, pts) = self.clock.stamp(picture.wire_ms, picture.nanos, picture.composition_ms, outputs);
        let config = current.config.clone();
        outputs.add_frame(track, Frame { config, dts, pts, duration: 0, key: sample.key, payload: sample.payload });
    }
}

/// Replaces the set with the same id or appends; false when nothing changed.
fn put_parameter_set<'a>(sets: &mut Vec<&'a [u8]>, unit: &'a [u8], id_offset: usize) -> bool {
    if sets.contains(&unit) {
        return false;
    }
    let Some(id) = parameter_set_id(unit, id_offset) else { return false };
    match sets.iter_mut().find(|set| parameter_set_id(set, id_offset) == Some(id)) {
        Some(set) => *set = unit,
        None => sets.push(unit),
    }
    true
}

struct Sample {
    payload: Bytes,
    key: bool,
}

/// The access unit with 4-byte lengths and without delimiters and parameter sets, which the configuration carries;
/// `None` when a length overruns or no picture is left. Copied only when something behind the front must go.
fn iso_sample(payload: &Bytes, length_size: u8, claimed_key: bool) -> Option<Sample> {
    let mut facts = Facts::default();
    let mut front = 0;
    let mut position = 0;
    for unit in nal_kinds(payload, length_size) {
        let (kind, unit) = unit.ok()?;
        position += usize::from(length_size) + unit.len();
        let leaves = matches!(kind, NalKind::Delimiter | NalKind::Sps | NalKind::Pps) || unit.is_empty();
        match leaves {
            true if facts.kept == 0 => front = position,
            true => facts.leaves_behind_front = true,
            false => facts.keep(kind, unit),
        }
    }
    if !facts.has_picture {
        return None;
    }
    let rest = payload.slice(front..);
    let copies = length_size != LENGTH_SIZE || facts.leaves_behind_front;
    let payload = if copies { copy_kept(&rest, length_size, &facts) } else { rest };
    // Some encoders mark every picture as a key, and some forget to: an IDR is one, a picture of intra slices may be.
    Some(Sample { payload, key: facts.has_idr || claimed_key && facts.first_slice_is_intra == Some(true) })
}

/// What one walk over an access unit finds.
#[derive(Default)]
struct Facts {
    kept: usize,
    kept_bytes: usize,
    leaves_behind_front: bool,
    has_picture: bool,
    has_idr: bool,
    first_slice_is_intra: Option<bool>,
}

impl Facts {
    fn keep(&mut self, kind: NalKind, unit: &[u8]) {
        self.kept += 1;
        self.kept_bytes += unit.len();
        if matches!(kind, NalKind::Slice | NalKind::Idr) {
            self.has_picture = true;
            self.has_idr |= kind == NalKind::Idr;
            self.first_slice_is_intra.get_or_insert_with(|| slice_is_intra(unit));
        }
    }
}

fn copy_kept(payload: &[u8], length_size: u8, facts: &Facts) -> Bytes {
    let mut sample = BytesMut::with_capacity(facts.kept_bytes + facts.kept * usize::from(LENGTH_SIZE));
    for (kind, unit) in nal_kinds(payload, length_size).map_while(Result::ok) {
        if !unit.is_empty() && !matches!(kind, NalKind::Delimiter | NalKind::Sps | NalKind::Pps) {
            sample.put_u32(u32::try_from(unit.len()).expect("a message is shorter than 4 GiB"));
            sample.put_slice(unit);
        }
    }
    sample.freeze()
}
