//! AV1: AV1CodecConfigurationRecord (AV1-ISOBMFF §2.3), the sequence header (AV1 §5.5) and temporal units as samples.
//!
//! As with H.265, the record's four bytes are written anew from the sequence header that it carries.

use bytes::Bytes;

use super::FrameRate;
use super::colour::Colour;

mod obu;
mod sequence;

pub use obu::{Av1Unit, Obu, ObuKind, obus};
pub(crate) use obu::{leb128, put_leb128};
use sequence::SequenceHeader;

/// The longest configuration record accepted. Real ones have 4 to 60 bytes; metadata OBUs may add to it.
const AV1C_LEN_MAX: usize = 4 * 1_024;
/// `marker` and `version`, AV1-ISOBMFF §2.3.3.
const MARKER_AND_VERSION: u8 = 0x81;
/// The record up to `configOBUs`.
const HEADER_LEN: usize = 4;
/// AV1-in-MPEG-2-TS §2.1: descriptor_tag.
const TS_DESCRIPTOR_TAG: u8 = 0x80;

/// What an AV1CodecConfigurationRecord says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1Config {
    /// The record, with the sequence header in it.
    pub av1c: Bytes,
    /// `seq_profile`: 0 main, 1 high, 2 professional.
    pub profile: u8,
    /// `seq_level_idx[0]`.
    pub level: u8,
    /// `seq_tier[0]`.
    pub high_tier: bool,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// `mono_chrome`.
    pub monochrome: bool,
    /// `subsampling_x` and `subsampling_y`.
    pub subsampling: [bool; 2],
    /// `chroma_sample_position`.
    pub chroma_position: u8,
    /// `reduced_still_picture_header`: every frame is a key frame and does not say so.
    pub reduced_still_picture: bool,
    /// The largest width in pixels.
    pub width: u32,
    /// The largest height in pixels.
    pub height: u32,
    /// Frames per second when the timing information states them.
    pub frame_rate: Option<FrameRate>,
    /// Colour as the sequence header describes it.
    pub colour: Colour,
}

/// Why AV1 configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Av1Error {
    /// The record, an OBU or the sequence header ends too early.
    #[error("the AV1 configuration is truncated")]
    Truncated,
    /// The record is longer than any real one.
    #[error("the AV1 configuration is longer than 4 KiB")]
    TooLong,
    /// The first byte is not that of a record of version 1.
    #[error("the AV1 configuration begins with {0:#04x} instead of 0x81")]
    Version(u8),
    /// The record carries no sequence header, which is allowed: the first temporal unit has one.
    #[error("the AV1 configuration has no sequence header")]
    NoSequenceHeader,
    /// The sequence header contradicts itself or the standard.
    #[error("the AV1 sequence header is invalid")]
    SequenceHeader,
    /// An OBU with a reserved bit set or a size that overruns.
    #[error("an AV1 OBU is invalid")]
    Obu,
    /// An MPEG-2 TS descriptor of something else.
    #[error("the MPEG-2 TS descriptor {0:#04x} is not AV1's")]
    Descriptor(u8),
}

impl Av1Config {
    /// Reads a configuration record, as RTMP's sequence header and an `av1C` box hold it.
    pub fn parse(record: &[u8]) -> Result<Av1Config, Av1Error> {
        if record.len() > AV1C_LEN_MAX {
            return Err(Av1Error::TooLong);
        }
        let (header, config_obus) = record.split_first_chunk::<HEADER_LEN>().ok_or(Av1Error::Truncated)?;
        if header[0] != MARKER_AND_VERSION {
            return Err(Av1Error::Version(header[0]));
        }
        build(header[3] & 0x1f, config_obus)
    }

    /// Builds the record from a sequence header OBU found in the stream.
    pub fn from_sequence_header(obu: &Obu<'_>) -> Result<Av1Config, Av1Error> {
        // In a record every OBU says how long it is (§2.3.4).
        let mut sized = Vec::with_capacity(obu.body.len() + 4);
        obu.write_sized(&mut sized);
        if sized.len() + HEADER_LEN > AV1C_LEN_MAX {
            return Err(Av1Error::TooLong);
        }
        build(0, &sized)
    }

    /// Reads the AV1 video descriptor of MPEG-2 TS (AV1-in-MPEG-2-TS §2.1). It has the record's first bytes but no
    /// sequence header, so that nothing but its soundness comes of it: the stream's first temporal unit configures.
    pub fn check_ts_descriptor(descriptor: &[u8]) -> Result<(), Av1Error> {
        let &[tag, len, ref body @ ..] = descriptor else { return Err(Av1Error::Truncated) };
        if tag != TS_DESCRIPTOR_TAG {
            return Err(Av1Error::Descriptor(tag));
        }
        match body.get(..usize::from(len)) {
            Some([MARKER_AND_VERSION, _, _, _, ..]) => Ok(()),
            Some([version, _, _, _, ..]) => Err(Av1Error::Version(*version)),
            _ => Err(Av1Error::Truncated),
        }
    }

    /// The sequence header in the record, to know it again in the stream.
    pub fn sequence_header(&self) -> &[u8] {
        let is_header = |obu: &Obu<'_>| obu.kind == ObuKind::SequenceHeader;
        let header = obus(&self.av1c[HEADER_LEN..]).filter_map(Result::ok).find(is_header);
        header.expect("the record was written around one when this value was made").body
    }

    /// `av01.P.LLT.DD`, and the long form where colour or sampling is not what the short one implies (AV1-ISOBMFF §5).
    pub fn rfc6381(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        let mut text = format!("av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.bit_depth);
        let colour = self.colour.or(Colour::BT709);
        if self.monochrome || self.subsampling != [true, true] || colour != Colour::BT709 {
            let [x, y] = self.subsampling.map(u8::from);
            let Colour { primaries, transfer, matrix, full_range } = colour;
            text.push_str(&format!(
                ".{}.{x}{y}{}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
                u8::from(self.monochrome),
                self.chroma_position,
                u8::from(full_range)
            ));
        }
        text
    }
}

/// Writes the record around the first sequence header in `config_obus`.
fn build(presentation_delay: u8, config_obus: &[u8]) -> Result<Av1Config, Av1Error> {
    let mut sequence = None;
    for obu in obus(config_obus) {
        let obu = obu?;
        if obu.kind == ObuKind::SequenceHeader && sequence.is_none() {
            sequence = Some(SequenceHeader::parse(obu.body)?);
        }
    }
    let sequence = sequence.ok_or(Av1Error::NoSequenceHeader)?;
    let bit = |flag: bool, at: u8| u8::from(flag) << at;
    let mut av1c = vec![
        MARKER_AND_VERSION,
        sequence.profile << 5 | sequence.level,
        bit(sequence.high_tier, 7)
            | bit(sequence.bit_depth > 8, 6)
            | bit(sequence.bit_depth == 12, 5)
            | bit(sequence.monochrome, 4)
            | bit(sequence.subsampling[0], 3)
            | bit(sequence.subsampling[1], 2)
            | sequence.chroma_position,
        // initial_presentation_delay is four bits that mean something only behind their flag.
        if presentation_delay & 0x10 == 0 { 0 } else { presentation_delay },
    ];
    av1c.extend_from_slice(config_obus);
    Ok(Av1Config {
        av1c: av1c.into(),
        profile: sequence.profile,
        level: sequence.level,
        high_tier: sequence.high_tier,
        bit_depth: sequence.bit_depth,
        monochrome: sequence.monochrome,
        subsampling: sequence.subsampling,
        chroma_position: sequence.chroma_position,
        reduced_still_picture: sequence.reduced_still_picture,
        width: sequence.width,
        height: sequence.height,
        frame_rate: sequence.frame_rate,
        colour: sequence.colour,
    })
}

#[cfg(test)]
mod tests;
