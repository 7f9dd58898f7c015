//! The sequence parameter set: profile, size inside the conformance window, formats, and the VUI's colour and timing.

use super::{BitReader, Colour, FrameRate, H265Error, PROFILE_LEN, without_emulation_prevention};
use crate::codec::h264::sps::{skip_aspect_and_overscan, video_signal_type};

/// The largest picture side accepted: level 6.2 reaches 16,888 luma samples (§A.4.1); more is a lie.
const SIDE_MAX: u32 = 16_888;
/// NAL header, sps_video_parameter_set_id to sps_temporal_id_nesting_flag: the profile is aligned behind them.
const PROFILE_AT: usize = 3;
/// §7.4.3.2.1: sps_max_sub_layers_minus1.
const SUB_LAYERS_MINUS1_MAX: u8 = 6;
/// §7.4.3.2.1: num_short_term_ref_pic_sets, and §7.4.8: pictures in one.
const SHORT_TERM_SETS_MAX: u32 = 64;
const REFERENCE_PICTURES_MAX: u32 = 16;
/// §7.4.3.2.1: num_long_term_ref_pics_sps.
const LONG_TERM_PICTURES_MAX: u32 = 32;

/// Where the id surely is: behind the profile and six sub-layers of 11 bytes, with an escape in every third one.
const ID_WITHIN: usize = 160;

pub(super) struct SpsFacts {
    /// From general_profile_space to general_level_idc.
    pub(super) profile_tier_level: [u8; PROFILE_LEN],
    pub(super) temporal_layers: u8,
    pub(super) temporal_id_nested: bool,
    pub(super) chroma_format: u8,
    pub(super) bit_depth_luma: u8,
    pub(super) bit_depth_chroma: u8,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: Option<FrameRate>,
    pub(super) colour: Option<Colour>,
}

/// What stands before the VUI and is needed to get there.
struct Format {
    chroma: u32,
    separate_planes: bool,
    coded: [u32; 2],
    /// Left, right, top and bottom, in units of chroma samples.
    window: [u32; 4],
    depths: [u32; 2],
}

/// Reads an SPS NAL unit, header bytes included.
pub(super) fn parse(unit: &[u8]) -> Result<SpsFacts, H265Error> {
    let rbsp = without_emulation_prevention(unit);
    let profile = rbsp.get(PROFILE_AT..).and_then(|rest| rest.first_chunk()).ok_or(H265Error::Truncated)?;
    let sub_layers_minus1 = rbsp[2] >> 1 & 7;
    if sub_layers_minus1 > SUB_LAYERS_MINUS1_MAX {
        return Err(H265Error::Sps);
    }
    let mut reader = BitReader::new(&rbsp[PROFILE_AT + PROFILE_LEN..]);
    skip_sub_layer_levels(&mut reader, sub_layers_minus1).ok_or(H265Error::Truncated)?;
    reader.ue().ok_or(H265Error::Truncated)?;
    let format = format(&mut reader).ok_or(H265Error::Truncated)?;
    let [width, height] = displayed_size(&format).ok_or(H265Error::Sps)?;
    let mut facts = SpsFacts {
        profile_tier_level: *profile,
        temporal_layers: sub_layers_minus1 + 1,
        temporal_id_nested: rbsp[2] & 1 == 1,
        chroma_format: format.chroma as u8,
        bit_depth_luma: 8 + format.depths[0] as u8,
        bit_depth_chroma: 8 + format.depths[1] as u8,
        width,
        height,
        frame_rate: None,
        colour: None,
    };
    // What is broken behind the size costs colour and timing only, as in H.264.
    let _ = skip_to_vui(&mut reader, sub_layers_minus1).and_then(|()| vui(&mut reader, &mut facts));
    Ok(facts)
}

/// `sps_seq_parameter_set_id`.
pub(super) fn id(unit: &[u8]) -> Option<u32> {
    let rbsp = without_emulation_prevention(&unit[..unit.len().min(ID_WITHIN)]);
    let mut reader = BitReader::new(rbsp.get(PROFILE_AT + PROFILE_LEN..)?);
    skip_sub_layer_levels(&mut reader, rbsp[2] >> 1 & 7)?;
    reader.ue()
}

/// §7.3.3 behind general_level_idc.
fn skip_sub_layer_levels(reader: &mut BitReader<'_>, sub_layers_minus1: u8) -> Option<()> {
    let mut bits = 0;
    for _ in 0..sub_layers_minus1 {
        bits += if reader.bit()? { 88 } else { 0 };
        bits += if reader.bit()? { 8 } else { 0 };
    }
    if sub_layers_minus1 > 0 {
        reader.skip(2 * usize::from(8 - sub_layers_minus1))?;
    }
    reader.skip(bits)
}

/// §7.3.2.2.1 from chroma_format_idc to bit_depth_chroma_minus8.
fn format(reader: &mut BitReader<'_>) -> Option<Format> {
    let chroma = reader.ue()?;
    let separate_planes = chroma == 3 && reader.bit()?;
    let coded = [reader.ue()?, reader.ue()?];
    let window = if reader.bit()? { [reader.ue()?, reader.ue()?, reader.ue()?, reader.ue()?] } else { [0; 4] };
    Some(Format { chroma, separate_planes, coded, window, depths: [reader.ue()?, reader.ue()?] })
}

/// §7.4.3.2.1: the conformance window cuts `SubWidthC` and `SubHeightC` times its offsets (table 6-1).
fn displayed_size(format: &Format) -> Option<[u32; 2]> {
    let units = match format.chroma {
        1 => [2, 2],
        2 => [2, 1],
        0 | 3 => [1, 1],
        _ => return None,
    };
    let units = if format.separate_planes { [1, 1] } else { units };
    if format.depths.iter().any(|depth| *depth > 8) {
        return None;
    }
    let side = |at: usize| {
        let cut = format.window[2 * at].checked_add(format.window[2 * at + 1])?.checked_mul(units[at])?;
        let full = Some(format.coded[at]).filter(|full| *full <= SIDE_MAX)?;
        full.checked_sub(cut).filter(|side| *side > 0)
    };
    Some([side(0)?, side(1)?])
}

/// §7.3.2.2.1 from log2_max_pic_order_cnt_lsb_minus4 to strong_intra_smoothing_enabled_flag.
fn skip_to_vui(reader: &mut BitReader<'_>, sub_layers_minus1: u8) -> Option<()> {
    let order_bits = 4 + reader.ue().filter(|bits| *bits <= 12)?;
    let levels = if reader.bit()? { sub_layers_minus1 + 1 } else { 1 };
    // Three codes for each sub-layer, then six block sizes and depths.
    for _ in 0..3 * u32::from(levels) + 6 {
        reader.ue()?;
    }
    if reader.bit()? && reader.bit()? {
        skip_scaling_lists(reader)?;
    }
    reader.skip(2)?;
    if reader.bit()? {
        reader.skip(8)?;
        reader.ue()?;
        reader.ue()?;
        reader.skip(1)?;
    }
    skip_short_term_sets(reader)?;
    if reader.bit()? {
        for _ in 0..reader.ue().filter(|count| *count <= LONG_TERM_PICTURES_MAX)? {
            reader.skip(order_bits as usize + 1)?;
        }
    }
    reader.skip(2)
}

/// §7.3.4.
fn skip_scaling_lists(reader: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !reader.bit()? {
                reader.ue()?;
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            for _ in 0..coefficients + u32::from(size > 1) {
                reader.se()?;
            }
        }
    }
    Some(())
}

/// §7.3.7, once for each set of the SPS.
fn skip_short_term_sets(reader: &mut BitReader<'_>) -> Option<()> {
    let mut pictures = 0;
    for index in 0..reader.ue().filter(|count| *count <= SHORT_TERM_SETS_MAX)? {
        if index > 0 && reader.bit()? {
            // Predicted from the set before: a flag or two for each of its pictures and one more.
            reader.bit()?;
            reader.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                kept += u32::from(reader.bit()? || reader.bit()?);
            }
            pictures = kept;
        } else {
            let (negative, positive) = (reader.ue()?, reader.ue()?);
            pictures = negative.checked_add(positive).filter(|count| *count <= REFERENCE_PICTURES_MAX)?;
            for _ in 0..pictures {
                reader.ue()?;
                reader.bit()?;
            }
        }
    }
    Some(())
}

/// §E.2.1 up to the timing. `None`: truncated; what was read until then stays.
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
    reader.skip(3)?;
    if reader.bit()? {
        for _ in 0..4 {
            reader.ue()?;
        }
    }
    if reader.bit()? {
        let units_in_tick = reader.bits(32)?;
        let time_scale = reader.bits(32)?;
        // §E.3.1: a tick is a picture. Whether all last equally long is said elsewhere, for each sub-layer.
        facts.frame_rate = FrameRate::new(time_scale, units_in_tick, false);
    }
    Some(())
}
