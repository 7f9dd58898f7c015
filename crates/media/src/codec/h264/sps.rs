//! The sequence parameter set: size after cropping, and the VUI's colour and frame rate.

use super::{BitReader, Colour, FrameRate, H264Error, without_emulation_prevention};

/// The largest picture side accepted: level 6.2 reaches 16,384 luma samples (table A-1); more is a lie.
const SIDE_MAX: u32 = 16_384;

pub(super) struct SpsFacts {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: Option<Colour>,
    pub(super) frame_rate: Option<FrameRate>,
}

/// Reads an SPS NAL unit, header byte included.
pub(super) fn parse(unit: &[u8]) -> Result<SpsFacts, H264Error> {
    let rbsp = without_emulation_prevention(unit.get(1..).ok_or(H264Error::Truncated)?);
    let mut reader = BitReader::new(&rbsp);
    let size = picture_size(&mut reader).ok_or(H264Error::Truncated)??;
    // A broken VUI costs what it says only: real encoders have shipped truncated ones.
    let mut facts = SpsFacts { width: size.0, height: size.1, colour: None, frame_rate: None };
    let _ = vui(&mut reader, &mut facts);
    Ok(facts)
}

/// §7.3.2.1.1 up to and with the cropping. Outer `None`: truncated.
fn picture_size(reader: &mut BitReader<'_>) -> Option<Result<(u32, u32), H264Error>> {
    let profile = reader.bits(8)?;
    reader.bits(16)?;
    reader.ue()?;
    let mut chroma_format = 1;
    let mut separate_planes = false;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = reader.ue()?;
        if chroma_format == 3 {
            separate_planes = reader.bit()?;
        }
        reader.ue()?;
        reader.ue()?;
        reader.bit()?;
        if reader.bit()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if reader.bit()? {
                    skip_scaling_list(reader, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    reader.ue()?;
    match reader.ue()? {
        0 => {
            reader.ue()?;
        }
        1 => {
            reader.bit()?;
            reader.se()?;
            reader.se()?;
            let cycle = reader.ue()?;
            if cycle > 255 {
                return Some(Err(H264Error::Sps));
            }
            for _ in 0..cycle {
                reader.se()?;
            }
        }
        _ => {}
    }
    reader.ue()?;
    reader.bit()?;
    let width_mbs = reader.ue()?.checked_add(1)?;
    let height_units = reader.ue()?.checked_add(1)?;
    let frame_mbs_only = reader.bit()?;
    if !frame_mbs_only {
        reader.bit()?;
    }
    reader.bit()?;
    let crop = if reader.bit()? { [reader.ue()?, reader.ue()?, reader.ue()?, reader.ue()?] } else { [0; 4] };
    Some(cropped_size(width_mbs, height_units, frame_mbs_only, chroma_format, separate_planes, crop))
}

fn cropped_size(
    width_mbs: u32,
    height_units: u32,
    frame_mbs_only: bool,
    chroma_format: u32,
    separate_planes: bool,
    crop: [u32; 4],
) -> Result<(u32, u32), H264Error> {
    if width_mbs > SIDE_MAX / 16 || height_units > SIDE_MAX / 16 || chroma_format > 3 {
        return Err(H264Error::Sps);
    }
    let fields = if frame_mbs_only { 1 } else { 2 };
    // Table 6-1: SubWidthC and SubHeightC; 1 for monochrome and separate planes.
    let (sub_width, sub_height) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        3 if !separate_planes => (1, 1),
        _ => (1, 1),
    };
    let side = |full: u32, unit: u32, before: u32, after: u32| {
        let cut = before.checked_add(after)?.checked_mul(unit)?;
        full.checked_sub(cut).filter(|side| (1..=SIDE_MAX).contains(side))
    };
    let width = side(width_mbs * 16, sub_width, crop[0], crop[1]);
    let height = side(height_units * 16 * fields, sub_height * fields, crop[2], crop[3]);
    width.zip(height).ok_or(H264Error::Sps)
}

fn skip_scaling_list(reader: &mut BitReader<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            // §7.4.2.1.1.1 allows -128 to 127; what lies outside of it wraps, as in decoders.
            next = last.wrapping_add(reader.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// §E.1.1 up to the timing. `None`: truncated; what was read until then stays.
fn vui(reader: &mut BitReader<'_>, facts: &mut SpsFacts) -> Option<()> {
    if !reader.bit()? {
        return Some(());
    }
    skip_aspect_and_overscan(reader)?;
    facts.colour = video_signal_type(reader)?;
    if reader.bit()? {
        reader.ue()?;
        reader.ue()?;
    }
    if reader.bit()? {
        let units_in_tick = reader.bits(32)?;
        let time_scale = reader.bits(32)?;
        let fixed = reader.bit()?;
        // §E.2.1: a frame is two fields, each one tick; compared in fields so that odd time scales lose nothing.
        facts.frame_rate = units_in_tick.checked_mul(2).and_then(|units| FrameRate::new(time_scale, units, fixed));
    }
    Some(())
}

/// The same in H.264 §E.1.1 and H.265 §E.2.1: aspect_ratio and overscan.
pub(in crate::codec) fn skip_aspect_and_overscan(reader: &mut BitReader<'_>) -> Option<()> {
    const EXTENDED_SAR: u32 = 255;
    if reader.bit()? && reader.bits(8)? == EXTENDED_SAR {
        reader.bits(32)?;
    }
    if reader.bit()? {
        reader.bit()?;
    }
    Some(())
}

/// The same in H.264 §E.1.1 and H.265 §E.2.1: video_signal_type. Outer `None`: truncated.
pub(in crate::codec) fn video_signal_type(reader: &mut BitReader<'_>) -> Option<Option<Colour>> {
    if !reader.bit()? {
        return Some(None);
    }
    reader.bits(3)?;
    let full_range = reader.bit()?;
    if !reader.bit()? {
        return Some(Some(Colour { full_range, ..Colour::UNSPECIFIED }));
    }
    let mut code = || reader.bits(8).map(|code| code as u8);
    Some(Some(Colour { primaries: code()?, transfer: code()?, matrix: code()?, full_range }))
}
