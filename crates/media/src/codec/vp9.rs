//! VP9: VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding §"VP Codec Configuration Box") and the
//! uncompressed header of key frames (VP9 Bitstream Specification §6.2).
//!
//! The record knows no size and the header no level, so that a configuration needs a key frame and gains by a record.

use super::bits::BitReader;
use super::colour::Colour;

/// §7.2: frame_marker and frame_sync_code.
const FRAME_MARKER: u32 = 2;
const SYNC_CODE: u32 = 0x49_8342;
/// §7.2.2: color_space.
const CS_RGB: u32 = 7;
/// Version and flags of the box, which some encoders send with the record.
const FULL_BOX_HEADER: [u8; 4] = [1, 0, 0, 0];
/// The record up to codecInitializationDataSize; VP9 has no such data.
const RECORD_LEN: usize = 6;
/// Annex A: the most luma samples of a picture, and the level that the bindings name tenfold. Where two or three
/// levels differ in their rate only, the highest: a level promises what is not exceeded.
const LEVELS: [(u32, u8); 9] = [
    (36_864, 10),
    (73_728, 11),
    (122_880, 20),
    (245_760, 21),
    (552_960, 30),
    (983_040, 31),
    (2_228_224, 41),
    (8_912_896, 52),
    (35_651_584, 62),
];

/// What a VPCodecConfigurationRecord says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9Record {
    /// 0 to 3.
    pub profile: u8,
    /// Ten times the level; 0 where the encoder does not know.
    pub level: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// 0 and 1: 4:2:0, with two places of the chroma samples; 2: 4:2:2; 3: 4:4:4.
    pub chroma: u8,
    /// Code points and range.
    pub colour: Colour,
}

/// A record, completed by a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9Config {
    /// What goes into the `vpcC` box.
    pub record: Vp9Record,
    /// Width in pixels of the key frame as it is to be shown.
    pub width: u32,
    /// Height in pixels of the key frame as it is to be shown.
    pub height: u32,
}

/// Why VP9 configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Vp9Error {
    /// The record or the frame ends too early.
    #[error("the VP9 configuration is truncated")]
    Truncated,
    /// Values that the standard does not define.
    #[error("the VP9 configuration is invalid")]
    Invalid,
}

impl Vp9Record {
    /// Reads a record as RTMP's sequence header holds it, with or without the box's version before it.
    pub fn parse(record: &[u8]) -> Result<Vp9Record, Vp9Error> {
        let record = record.strip_prefix(&FULL_BOX_HEADER).unwrap_or(record);
        let &[profile, level, format, primaries, transfer, matrix] =
            record.first_chunk::<RECORD_LEN>().ok_or(Vp9Error::Truncated)?;
        let (bit_depth, chroma) = (format >> 4, format >> 1 & 7);
        if profile > 3 || !matches!(bit_depth, 8 | 10 | 12) || chroma > 3 {
            return Err(Vp9Error::Invalid);
        }
        let colour = Colour { primaries, transfer, matrix, full_range: format & 1 == 1 };
        Ok(Vp9Record { profile, level, bit_depth, chroma, colour })
    }
}

impl Vp9Config {
    /// Reads the header of a key frame; `None` for every other frame. Level and colour are those of `record` where the
    /// frame cannot say or does not.
    pub fn from_key_frame(frame: &[u8], record: Option<&Vp9Record>) -> Result<Option<Vp9Config>, Vp9Error> {
        let mut reader = BitReader::new(frame);
        let Some(profile) = key_frame_profile(&mut reader).ok_or(Vp9Error::Truncated)? else { return Ok(None) };
        let mut config = key_frame(&mut reader, profile).ok_or(Vp9Error::Truncated)?.ok_or(Vp9Error::Invalid)?;
        let level = || level_of(config.width, config.height);
        config.record.level = record.map(|record| record.level).filter(|level| *level > 0).unwrap_or_else(level);
        // H.273 code points of the container; 0 is reserved there, and what encoders send that do not know them.
        if let Some(record) = record.filter(|record| record.colour.primaries > 0 && record.colour.transfer > 0) {
            config.record.colour = record.colour.or(config.record.colour);
        }
        // H.273: matrix 0 is for RGB, which is 4:4:4; elsewhere it is what encoders send that do not know.
        if config.record.chroma != 3 && config.record.colour.matrix == 0 {
            config.record.colour.matrix = Colour::UNSPECIFIED.matrix;
        }
        // The frame tells 4:2:0 from the others; the record, where its chroma samples lie.
        if let Some(record) = record.filter(|record| record.chroma < 2 && config.record.chroma < 2) {
            config.record.chroma = record.chroma;
        }
        Ok(Some(config))
    }

    /// The same with another size, for a picture of several layers, whose uppermost one is not a key frame by itself.
    pub(crate) fn of_size(mut self, width: u32, height: u32) -> Vp9Config {
        self.record.level = self.record.level.max(level_of(width, height));
        Vp9Config { width, height, ..self }
    }

    /// `vp09.PP.LL.DD`, and the long form where colour or sampling is not what the short one implies (the binding's
    /// §"Codecs Parameter String").
    pub fn rfc6381(&self) -> String {
        let Vp9Record { profile, level, bit_depth, chroma, colour } = self.record;
        let mut text = format!("vp09.{profile:02}.{level:02}.{bit_depth:02}");
        let colour = colour.or(Colour::BT709);
        if chroma > 1 || colour != Colour::BT709 {
            let Colour { primaries, transfer, matrix, full_range } = colour;
            let range = u8::from(full_range);
            text.push_str(&format!(".{chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{range:02}"));
        }
        text
    }
}

/// §6.2 up to error_resilient_mode. Outer `None`: truncated; inner: not a key frame of VP9.
fn key_frame_profile(reader: &mut BitReader<'_>) -> Option<Option<u8>> {
    if reader.bits(2)? != FRAME_MARKER {
        return Some(None);
    }
    let (low, high) = (u8::from(reader.bit()?), u8::from(reader.bit()?));
    let profile = high << 1 | low;
    // reserved_zero, then show_existing_frame, frame_type (0 is a key frame), show_frame and error_resilient_mode.
    if profile == 3 && reader.bit()? || reader.bit()? || reader.bit()? {
        return Some(None);
    }
    reader.skip(2)?;
    Some(Some(profile))
}

/// §6.2 from frame_sync_code to render_size, §6.2.2 to §6.2.4. Outer `None`: truncated; inner: invalid.
fn key_frame(reader: &mut BitReader<'_>, profile: u8) -> Option<Option<Vp9Config>> {
    if reader.bits(24)? != SYNC_CODE {
        return Some(None);
    }
    let bit_depth = match profile >= 2 {
        true if reader.bit()? => 12,
        true => 10,
        false => 8,
    };
    let space = reader.bits(3)?;
    let mut colour = colour_of(space, bit_depth);
    let mut chroma = 1;
    if space == CS_RGB {
        // §7.2.2: RGB is 4:4:4 and not for profiles 0 and 2.
        if profile & 1 == 0 {
            return Some(None);
        }
        (colour.full_range, chroma) = (true, 3);
        reader.skip(1)?;
    } else {
        colour.full_range = reader.bit()?;
        if profile & 1 == 1 {
            chroma = match (reader.bit()?, reader.bit()?) {
                (false, false) => 3,
                (true, false) => 2,
                // 4:4:0, and 4:2:0 in a profile that is not for it: the box has no value for them.
                _ => return Some(None),
            };
            reader.skip(1)?;
        }
    }
    let mut size = [reader.bits(16)? + 1, reader.bits(16)? + 1];
    if reader.bit()? {
        size = [reader.bits(16)? + 1, reader.bits(16)? + 1];
    }
    let [width, height] = size;
    // Level 6.2 ends at 16,384 a side (Annex A); more is a lie.
    if width > 16_384 || height > 16_384 {
        return Some(None);
    }
    let record = Vp9Record { profile, level: 0, bit_depth, chroma, colour };
    Some(Some(Vp9Config { record, width, height }))
}

fn level_of(width: u32, height: u32) -> u8 {
    let samples = width * height;
    LEVELS.iter().find(|(most, _)| samples <= *most).map_or(62, |(_, level)| *level)
}

/// §7.2.2 color_space as code points of ITU-T H.273.
fn colour_of(space: u32, bit_depth: u8) -> Colour {
    let [primaries, transfer, matrix] = match space {
        1 | 3 => [6, 6, 6],
        2 => [1, 1, 1],
        4 => [7, 7, 7],
        5 if bit_depth == 12 => [9, 15, 9],
        5 => [9, 14, 9],
        CS_RGB => [1, 13, 0],
        _ => return Colour::UNSPECIFIED,
    };
    Colour { primaries, transfer, matrix, full_range: false }
}

#[cfg(test)]
mod tests;
