//! The sequence header OBU, AV1 §5.5.

use super::super::bits::BitReader;
use super::{Av1Error, Colour, FrameRate};

/// The largest picture side accepted: level 6.3 reaches 16,384 (§A.3); more is a lie. The field has 16 bits.
const SIDE_MAX: u32 = 16_384;
/// `SELECT_SCREEN_CONTENT_TOOLS`, §3.
const SELECT_SCREEN_CONTENT_TOOLS: bool = true;
/// Code points of ITU-T H.273 that together mean sRGB without a matrix, §5.5.2.
const SRGB: [u8; 3] = [1, 13, 0];

pub(super) struct SequenceHeader {
    pub(super) profile: u8,
    pub(super) level: u8,
    pub(super) high_tier: bool,
    pub(super) reduced_still_picture: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bit_depth: u8,
    pub(super) monochrome: bool,
    pub(super) subsampling: [bool; 2],
    pub(super) chroma_position: u8,
    pub(super) colour: Colour,
    pub(super) frame_rate: Option<FrameRate>,
}

/// §5.5.2.
struct ColourConfig {
    bit_depth: u8,
    monochrome: bool,
    subsampling: [bool; 2],
    chroma_position: u8,
    colour: Colour,
}

/// Level, tier and timing: what stands before the size.
#[derive(Default)]
struct Operation {
    level: u8,
    high_tier: bool,
    frame_rate: Option<FrameRate>,
}

impl SequenceHeader {
    /// Reads the body of a sequence header OBU.
    pub(super) fn parse(body: &[u8]) -> Result<SequenceHeader, Av1Error> {
        let header = read(&mut BitReader::new(body)).ok_or(Av1Error::Truncated)?;
        let in_range = |side| (1..=SIDE_MAX).contains(&side);
        if header.profile > 2 || !in_range(header.width) || !in_range(header.height) {
            return Err(Av1Error::SequenceHeader);
        }
        Ok(header)
    }
}

/// §5.5.1.
fn read(reader: &mut BitReader<'_>) -> Option<SequenceHeader> {
    let profile = reader.bits(3)? as u8;
    reader.skip(1)?;
    let reduced = reader.bit()?;
    let operation =
        if reduced { Operation { level: reader.bits(5)? as u8, ..Operation::default() } } else { operation(reader)? };
    let (width_bits, height_bits) = (reader.bits(4)? + 1, reader.bits(4)? + 1);
    let (width, height) = (reader.bits(width_bits)? + 1, reader.bits(height_bits)? + 1);
    if !reduced && reader.bit()? {
        reader.skip(7)?;
    }
    reader.skip(3)?;
    if !reduced {
        skip_tools(reader)?;
    }
    reader.skip(3)?;
    let ColourConfig { bit_depth, monochrome, subsampling, chroma_position, colour } = colour_config(reader, profile)?;
    let Operation { level, high_tier, frame_rate } = operation;
    Some(SequenceHeader {
        profile,
        level,
        high_tier,
        reduced_still_picture: reduced,
        width,
        height,
        bit_depth,
        monochrome,
        subsampling,
        chroma_position,
        colour,
        frame_rate,
    })
}

/// From timing_info_present_flag to the last operating point; the first one counts.
fn operation(reader: &mut BitReader<'_>) -> Option<Operation> {
    let mut first = Operation::default();
    let mut delay_bits = None;
    if reader.bit()? {
        let (units_in_tick, time_scale) = (reader.bits(32)?, reader.bits(32)?);
        let equal_interval = reader.bit()?;
        if equal_interval {
            // uvlc(), §4.10.3, which for less than 32 zeros is ue(v).
            let ticks = reader.ue()?.checked_add(1)?;
            let units = units_in_tick.checked_mul(ticks);
            first.frame_rate = units.and_then(|units| FrameRate::new(time_scale, units, true));
        }
        if reader.bit()? {
            delay_bits = Some(reader.bits(5)? as usize + 1);
            reader.skip(32 + 5 + 5)?;
        }
    }
    let has_display_delay = reader.bit()?;
    for index in 0..=reader.bits(5)? {
        reader.skip(12)?;
        let level = reader.bits(5)? as u8;
        let high_tier = level > 7 && reader.bit()?;
        if index == 0 {
            (first.level, first.high_tier) = (level, high_tier);
        }
        if let Some(bits) = delay_bits
            && reader.bit()?
        {
            reader.skip(2 * bits + 1)?;
        }
        if has_display_delay && reader.bit()? {
            reader.skip(4)?;
        }
    }
    Some(first)
}

/// From enable_interintra_compound to order_hint_bits_minus_1.
fn skip_tools(reader: &mut BitReader<'_>) -> Option<()> {
    reader.skip(4)?;
    let order_hint = reader.bit()?;
    if order_hint {
        reader.skip(2)?;
    }
    let screen_content = if reader.bit()? { SELECT_SCREEN_CONTENT_TOOLS } else { reader.bit()? };
    if screen_content && !reader.bit()? {
        reader.skip(1)?;
    }
    if order_hint {
        reader.skip(3)?;
    }
    Some(())
}

/// §5.5.2.
fn colour_config(reader: &mut BitReader<'_>, profile: u8) -> Option<ColourConfig> {
    let high_bit_depth = reader.bit()?;
    let bit_depth = match high_bit_depth {
        true if profile == 2 && reader.bit()? => 12,
        true => 10,
        false => 8,
    };
    let monochrome = profile != 1 && reader.bit()?;
    let mut colour = Colour::UNSPECIFIED;
    if reader.bit()? {
        let mut code = || reader.bits(8).map(|code| code as u8);
        colour = Colour { primaries: code()?, transfer: code()?, matrix: code()?, full_range: false };
    }
    let is_srgb = [colour.primaries, colour.transfer, colour.matrix] == SRGB;
    colour.full_range = if is_srgb && !monochrome { true } else { reader.bit()? };
    let subsampling = match profile {
        _ if monochrome => [true, true],
        _ if is_srgb => [false, false],
        0 => [true, true],
        1 => [false, false],
        _ if bit_depth == 12 => {
            let x = reader.bit()?;
            [x, x && reader.bit()?]
        }
        _ => [true, false],
    };
    let has_position = !monochrome && subsampling == [true, true];
    let chroma_position = if has_position { reader.bits(2)? as u8 } else { 0 };
    Some(ColourConfig { bit_depth, monochrome, subsampling, chroma_position, colour })
}
