//! H.264: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1) and the sequence parameter set (ITU-T H.264 §7.3.2.1).

use bytes::Bytes;

use super::bits::{BitReader, without_emulation_prevention};
use super::colour::Colour;
use super::nal::nal_units;

pub(super) mod sps;

/// The longest configuration record accepted. Parameter sets of real encoders stay below 300 bytes.
const AVCC_LEN_MAX: usize = 8 * 1_024;

/// What an AVCDecoderConfigurationRecord says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Config {
    /// The record, with `lengthSizeMinusOne` set to 3 because frames in the hub carry 4-byte lengths.
    pub avcc: Bytes,
    /// `profile_idc`.
    pub profile: u8,
    /// The constraint flags byte.
    pub compatibility: u8,
    /// `level_idc`.
    pub level: u8,
    /// Bytes of each NAL unit length in the *source*: 1, 2 or 4.
    pub source_length_size: u8,
    /// Displayed width in pixels, after cropping.
    pub width: u32,
    /// Displayed height in pixels, after cropping.
    pub height: u32,
    /// Frames per second when the VUI states a fixed or nominal rate.
    pub frame_rate: Option<FrameRate>,
    /// Colour when the VUI states it.
    pub colour: Option<Colour>,
}

/// A frame rate as the VUI states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// `time_scale`.
    pub numerator: u32,
    /// `num_units_in_tick`, of one frame.
    pub denominator: u32,
    /// Whether every frame lasts equally long, as far as the parameter set says so.
    pub fixed: bool,
}

impl FrameRate {
    /// `None` for a rate that no picture has: between 0.1 and 1,000 frames per second.
    pub(super) fn new(numerator: u32, denominator: u32, fixed: bool) -> Option<FrameRate> {
        let rate = FrameRate { numerator, denominator, fixed };
        Some(rate).filter(|rate| denominator > 0 && (0.1..=1_000.0).contains(&rate.fps()))
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

/// Why an AVCDecoderConfigurationRecord cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum H264Error {
    /// The record or its SPS ends too early.
    #[error("the AVC configuration is truncated")]
    Truncated,
    /// The record is longer than any real one.
    #[error("the AVC configuration is longer than 8 KiB")]
    TooLong,
    /// `configurationVersion` is not 1.
    #[error("AVC configuration version {0} is not known")]
    Version(u8),
    /// No sequence or picture parameter set.
    #[error("the AVC configuration has no parameter sets")]
    NoParameterSets,
    /// The SPS contradicts itself or the standard.
    #[error("the sequence parameter set is invalid")]
    Sps,
    /// NAL unit lengths of 3 bytes do not exist.
    #[error("NAL unit lengths of 3 bytes do not exist")]
    LengthSize,
}

impl H264Config {
    /// Reads an AVCDecoderConfigurationRecord, as RTMP's sequence header and an `avcC` box hold it.
    pub fn parse(record: &[u8]) -> Result<H264Config, H264Error> {
        if record.len() > AVCC_LEN_MAX {
            return Err(H264Error::TooLong);
        }
        let &[version, profile, compatibility, level, length_size, sps_count, ref rest @ ..] = record else {
            return Err(H264Error::Truncated);
        };
        if version != 1 {
            return Err(H264Error::Version(version));
        }
        let source_length_size = (length_size & 3) + 1;
        if source_length_size == 3 {
            return Err(H264Error::LengthSize);
        }
        let (sps_list, rest) = parameter_sets(rest, sps_count & 0x1f)?;
        let (&pps_count, rest) = rest.split_first().ok_or(H264Error::Truncated)?;
        let (pps_list, _extension) = parameter_sets(rest, pps_count)?;
        let (Some(sps), Some(_)) = (sps_list.first(), pps_list.first()) else {
            return Err(H264Error::NoParameterSets);
        };
        let facts = sps::parse(sps)?;
        let mut avcc = record.to_vec();
        avcc[4] |= 3;
        Ok(H264Config {
            avcc: avcc.into(),
            profile,
            compatibility,
            level,
            source_length_size,
            width: facts.width,
            height: facts.height,
            frame_rate: facts.frame_rate,
            colour: facts.colour,
        })
    }

    /// Builds the record from parameter sets found in the stream (without start codes or lengths).
    pub fn from_parameter_sets(sps: &[&[u8]], pps: &[&[u8]]) -> Result<H264Config, H264Error> {
        let first = *sps.first().ok_or(H264Error::NoParameterSets)?;
        let &[_, profile, compatibility, level, ..] = first else {
            return Err(H264Error::Truncated);
        };
        if sps.len() > 31 || pps.len() > 255 {
            return Err(H264Error::TooLong);
        }
        let mut record = vec![1, profile, compatibility, level, 0xff, 0xe0 | sps.len() as u8];
        for (index, set) in sps.iter().chain(pps).enumerate() {
            if index == sps.len() {
                record.push(pps.len() as u8);
            }
            let len = u16::try_from(set.len()).map_err(|_| H264Error::TooLong)?;
            record.extend_from_slice(&len.to_be_bytes());
            record.extend_from_slice(set);
        }
        if pps.is_empty() {
            return Err(H264Error::NoParameterSets);
        }
        // High profiles carry chroma format and bit depths behind the sets; readers accept their absence for 4:2:0 8 bit.
        H264Config::parse(&record)
    }

    /// The sequence and picture parameter sets of the record, in order.
    pub fn parameter_sets(&self) -> (ParameterSets<'_>, ParameterSets<'_>) {
        let split = || -> Result<(ParameterSets<'_>, ParameterSets<'_>), H264Error> {
            let (sps, rest) = parameter_sets(&self.avcc[6..], self.avcc[5] & 0x1f)?;
            let (&count, rest) = rest.split_first().ok_or(H264Error::Truncated)?;
            Ok((sps, parameter_sets(rest, count)?.0))
        };
        split().expect("the record was parsed when this value was made")
    }

    /// `avc1.PPCCLL`, RFC 6381 §3.3.
    pub fn rfc6381(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.profile, self.compatibility, self.level)
    }
}

/// NAL units without their lengths.
pub type ParameterSets<'a> = Vec<&'a [u8]>;

/// Splits `count` parameter sets, each behind a 16-bit length, from the front of `bytes`.
fn parameter_sets(mut bytes: &[u8], count: u8) -> Result<(ParameterSets<'_>, &[u8]), H264Error> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let (len, rest) = bytes.split_first_chunk::<2>().ok_or(H264Error::Truncated)?;
        let (set, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(H264Error::Truncated)?;
        sets.push(set);
        bytes = rest;
    }
    Ok((sets, bytes))
}

/// `nal_unit_type`s that the server looks at, ITU-T H.264 table 7-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalKind {
    /// 1 to 4: a slice of a picture that depends on others (or may).
    Slice,
    /// 5: a slice of an instantaneous decoder refresh.
    Idr,
    /// 6.
    Sei,
    /// 7.
    Sps,
    /// 8.
    Pps,
    /// 9: access unit delimiter.
    Delimiter,
    /// Everything else.
    Other(u8),
}

impl NalKind {
    /// From the first byte of a NAL unit.
    pub fn of(header: u8) -> NalKind {
        match header & 0x1f {
            1..=4 => NalKind::Slice,
            5 => NalKind::Idr,
            6 => NalKind::Sei,
            7 => NalKind::Sps,
            8 => NalKind::Pps,
            9 => NalKind::Delimiter,
            other => NalKind::Other(other),
        }
    }
}

/// Walks NAL units behind `length_size`-byte lengths. Stops with an error item at the first length that overruns.
pub fn nal_kinds(payload: &[u8], length_size: u8) -> impl Iterator<Item = Result<(NalKind, &[u8]), H264Error>> {
    nal_units(payload, length_size).map(|unit| {
        let unit = unit.map_err(|_| H264Error::Truncated)?;
        Ok((unit.first().map_or(NalKind::Other(0), |header| NalKind::of(*header)), unit))
    })
}

/// The id of a parameter set unit, by which a later one replaces it; `None` for one that ends before it.
pub fn h264_parameter_set_id(unit: &[u8]) -> Option<u32> {
    match NalKind::of(*unit.first()?) {
        // profile_idc, the constraint flags and level_idc stand before seq_parameter_set_id.
        NalKind::Sps => BitReader::new(unit.get(4..)?).ue(),
        NalKind::Pps => BitReader::new(unit.get(1..)?).ue(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
