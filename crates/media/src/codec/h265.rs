//! H.265: HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1) and the sequence parameter set (ITU-T H.265
//! §7.3.2.2).
//!
//! What the record's own header says of profile, level and format is replaced by what the sequence parameter set says:
//! decoders go by the latter, and some encoders fill the former with zeros.

use bytes::Bytes;

use super::FrameRate;
use super::bits::{BitReader, without_emulation_prevention};
use super::colour::Colour;
use super::nal::{byte_stream_units, is_byte_stream, nal_units};

mod sps;

/// The longest configuration record accepted. Real ones have 100 bytes, or 2,500 with the SEI message of x265.
const HVCC_LEN_MAX: usize = 16 * 1_024;
/// The record up to `numOfArrays`.
const HEADER_LEN: usize = 22;
/// Bytes of general_profile_space to general_level_idc, alike in record and SPS.
const PROFILE_LEN: usize = 12;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;

/// What an HEVCDecoderConfigurationRecord says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H265Config {
    /// The record as an `hvcC` box of an `hvc1` sample entry holds it: `lengthSizeMinusOne` is 3 because frames in the
    /// hub carry 4-byte lengths, and `array_completeness` is set because they carry no parameter sets.
    pub hvcc: Bytes,
    /// `general_profile_space`, `general_tier_flag` and `general_profile_idc`, as in the record's second byte.
    pub profile: u8,
    /// `general_profile_compatibility_flags`.
    pub compatibility: u32,
    /// `general_constraint_indicator_flags`.
    pub constraints: [u8; 6],
    /// `general_level_idc`, thirty times the level.
    pub level: u8,
    /// Bytes of each NAL unit length in the *source*: 1, 2 or 4.
    pub source_length_size: u8,
    /// Displayed width in pixels, inside the conformance window.
    pub width: u32,
    /// Displayed height in pixels, inside the conformance window.
    pub height: u32,
    /// Bits of a luma sample.
    pub bit_depth: u8,
    /// Pictures per second when the VUI states them.
    pub frame_rate: Option<FrameRate>,
    /// Colour when the VUI states it.
    pub colour: Option<Colour>,
}

/// Why an HEVCDecoderConfigurationRecord cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum H265Error {
    /// The record or its SPS ends too early.
    #[error("the HEVC configuration is truncated")]
    Truncated,
    /// The record is longer than any real one.
    #[error("the HEVC configuration is longer than 16 KiB")]
    TooLong,
    /// `configurationVersion` is neither 1 nor 0.
    #[error("HEVC configuration version {0} is not known")]
    Version(u8),
    /// No sequence or picture parameter set.
    #[error("the HEVC configuration has no parameter sets")]
    NoParameterSets,
    /// The SPS contradicts itself or the standard.
    #[error("the sequence parameter set is invalid")]
    Sps,
    /// NAL unit lengths of 3 bytes do not exist.
    #[error("NAL unit lengths of 3 bytes do not exist")]
    LengthSize,
}

/// Parameter sets without their lengths, in the order of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct H265ParameterSets<'a> {
    /// Video parameter sets.
    pub vps: Vec<&'a [u8]>,
    /// Sequence parameter sets.
    pub sps: Vec<&'a [u8]>,
    /// Picture parameter sets.
    pub pps: Vec<&'a [u8]>,
}

/// The NAL units of one type in the record.
struct Array<'a> {
    nal_type: u8,
    units: Vec<&'a [u8]>,
}

impl H265Config {
    /// Reads a configuration record as RTMP's sequence header and an `hvcC` box hold it, or parameter sets between
    /// start codes, which some encoders send in its place.
    pub fn parse(record: &[u8]) -> Result<H265Config, H265Error> {
        if record.len() > HVCC_LEN_MAX {
            return Err(H265Error::TooLong);
        }
        if is_byte_stream(record) {
            let mut sets = H265ParameterSets::default();
            for unit in byte_stream_units(record) {
                match H265NalKind::of(unit) {
                    H265NalKind::Vps => sets.vps.push(unit),
                    H265NalKind::Sps => sets.sps.push(unit),
                    H265NalKind::Pps => sets.pps.push(unit),
                    _ => {}
                }
            }
            return H265Config::from_parameter_sets(&sets);
        }
        let (header, rest) = record.split_first_chunk::<HEADER_LEN>().ok_or(H265Error::Truncated)?;
        // FFmpeg reads version 0 too: encoders wrote it before the standard was final.
        if header[0] > 1 {
            return Err(H265Error::Version(header[0]));
        }
        let source_length_size = (header[21] & 3) + 1;
        if source_length_size == 3 {
            return Err(H265Error::LengthSize);
        }
        let (&array_count, rest) = rest.split_first().ok_or(H265Error::Truncated)?;
        build(*header, &arrays(rest, array_count)?, source_length_size)
    }

    /// Builds the record from parameter sets found in the stream (without start codes or lengths).
    pub fn from_parameter_sets(sets: &H265ParameterSets<'_>) -> Result<H265Config, H265Error> {
        let array = |nal_type, units: &Vec<_>| Array { nal_type, units: units.clone() };
        let arrays = [array(VPS, &sets.vps), array(SPS, &sets.sps), array(PPS, &sets.pps)];
        let facts = sps::parse(sets.sps.first().ok_or(H265Error::NoParameterSets)?)?;
        let mut header = [0; HEADER_LEN];
        // numTemporalLayers and temporalIdNested; segmentation, parallelism and frame rate stay "unknown".
        header[21] = (facts.temporal_layers & 7) << 3 | u8::from(facts.temporal_id_nested) << 2;
        build(header, &arrays, 4)
    }

    /// The parameter sets of the record, in order.
    pub fn parameter_sets(&self) -> H265ParameterSets<'_> {
        let mut sets = H265ParameterSets::default();
        let arrays = arrays(&self.hvcc[HEADER_LEN + 1..], self.hvcc[HEADER_LEN]);
        for array in arrays.expect("the record was written when this value was made") {
            match array.nal_type {
                VPS => sets.vps.extend(array.units),
                SPS => sets.sps.extend(array.units),
                PPS => sets.pps.extend(array.units),
                _ => {}
            }
        }
        sets
    }

    /// `hvc1.PROFILE.COMPATIBILITY.TIERLEVEL.CONSTRAINTS`, ISO/IEC 14496-15 Annex E.3.
    pub fn rfc6381(&self) -> String {
        let space = ["", "A", "B", "C"][usize::from(self.profile >> 6)];
        let tier = if self.profile & 0x20 == 0 { 'L' } else { 'H' };
        let profile = self.profile & 0x1f;
        let mut text = format!("hvc1.{space}{profile}.{:X}.{tier}{}", self.compatibility.reverse_bits(), self.level);
        // Trailing zero bytes are left out.
        let used = self.constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.constraints[..used].iter().for_each(|byte| text.push_str(&format!(".{byte:X}")));
        text
    }
}

/// Writes the record anew around what the first sequence parameter set says.
fn build(mut header: [u8; HEADER_LEN], arrays: &[Array<'_>], length_size: u8) -> Result<H265Config, H265Error> {
    let first =
        |nal_type| arrays.iter().filter(|array| array.nal_type == nal_type).flat_map(|array| &array.units).next();
    let (Some(sps), Some(_)) = (first(SPS), first(PPS)) else { return Err(H265Error::NoParameterSets) };
    let facts = sps::parse(sps)?;
    header[0] = 1;
    header[1..=PROFILE_LEN].copy_from_slice(&facts.profile_tier_level);
    header[13] |= 0xf0;
    header[15] |= 0xfc;
    header[16] = 0xfc | facts.chroma_format;
    header[17] = 0xf8 | (facts.bit_depth_luma - 8);
    header[18] = 0xf8 | (facts.bit_depth_chroma - 8);
    header[21] |= 3;
    let mut hvcc = header.to_vec();
    hvcc.push(u8::try_from(arrays.len()).map_err(|_| H265Error::TooLong)?);
    for array in arrays {
        // §8.4.1.1.1: in `hvc1`, parameter sets are in the sample entry only.
        let complete = if matches!(array.nal_type, VPS | SPS | PPS) { 0x80 } else { 0 };
        hvcc.push(complete | array.nal_type);
        hvcc.extend(u16::try_from(array.units.len()).map_err(|_| H265Error::TooLong)?.to_be_bytes());
        for unit in &array.units {
            hvcc.extend(u16::try_from(unit.len()).map_err(|_| H265Error::TooLong)?.to_be_bytes());
            hvcc.extend_from_slice(unit);
        }
    }
    if hvcc.len() > HVCC_LEN_MAX {
        return Err(H265Error::TooLong);
    }
    let [profile, c0, c1, c2, c3, constraints @ .., level] = facts.profile_tier_level;
    Ok(H265Config {
        hvcc: hvcc.into(),
        profile,
        compatibility: u32::from_be_bytes([c0, c1, c2, c3]),
        constraints,
        level,
        source_length_size: length_size,
        width: facts.width,
        height: facts.height,
        bit_depth: facts.bit_depth_luma,
        frame_rate: facts.frame_rate,
        colour: facts.colour,
    })
}

fn arrays(mut bytes: &[u8], count: u8) -> Result<Vec<Array<'_>>, H265Error> {
    let mut arrays = Vec::new();
    for _ in 0..count {
        let (&[kind, high, low], mut rest) = bytes.split_first_chunk().ok_or(H265Error::Truncated)?;
        let mut units = Vec::new();
        for _ in 0..u16::from_be_bytes([high, low]) {
            let (len, behind) = rest.split_first_chunk().ok_or(H265Error::Truncated)?;
            let len = usize::from(u16::from_be_bytes(*len));
            let (unit, behind) = behind.split_at_checked(len).ok_or(H265Error::Truncated)?;
            units.push(unit);
            rest = behind;
        }
        arrays.push(Array { nal_type: kind & 0x3f, units });
        bytes = rest;
    }
    Ok(arrays)
}

/// `nal_unit_type`s that the server looks at, ITU-T H.265 table 7-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H265NalKind {
    /// 0 to 15 and 24 to 31: a slice of a picture that decoding cannot start at.
    Slice,
    /// 16 to 23: a slice of an intra random access point (IDR, CRA, BLA).
    RandomAccess,
    /// 32.
    Vps,
    /// 33.
    Sps,
    /// 34.
    Pps,
    /// 35: access unit delimiter.
    Delimiter,
    /// Everything else.
    Other(u8),
}

impl H265NalKind {
    /// From a NAL unit; what is too short for its two bytes of header is nothing.
    pub fn of(unit: &[u8]) -> H265NalKind {
        let &[header, _, ..] = unit else { return H265NalKind::Other(63) };
        match header >> 1 & 0x3f {
            16..=23 => H265NalKind::RandomAccess,
            0..=31 => H265NalKind::Slice,
            VPS => H265NalKind::Vps,
            SPS => H265NalKind::Sps,
            PPS => H265NalKind::Pps,
            35 => H265NalKind::Delimiter,
            other => H265NalKind::Other(other),
        }
    }
}

/// Whether a sample is a picture that may refer to what comes before the random access point that it belongs to: who starts
/// there skips it (RASL: `nal_unit_type` 8 and 9, ITU-T H.265 §3.1 and table 7-1).
pub fn h265_is_skipped_leading(sample: &[u8]) -> bool {
    let mut slices =
        nal_units(sample, 4).map_while(Result::ok).filter(|unit| H265NalKind::of(unit) == H265NalKind::Slice);
    slices.next().is_some_and(|unit| matches!(unit[0] >> 1 & 0x3f, 8 | 9))
}

/// The id of a parameter set unit, by which a later one replaces it; `None` for one that ends before it.
pub fn h265_parameter_set_id(unit: &[u8]) -> Option<u32> {
    match H265NalKind::of(unit) {
        // vps_video_parameter_set_id: the first four bits.
        H265NalKind::Vps => unit.get(2).map(|byte| u32::from(byte >> 4)),
        H265NalKind::Sps => sps::id(unit),
        H265NalKind::Pps => BitReader::new(unit.get(2..)?).ue(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
