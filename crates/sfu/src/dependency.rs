//! The dependency descriptor, an RTP header extension (RTP Payload Format For AV1, appendix A).
//!
//! In: the extension's bytes of each packet of one source, in the order they come. Out: the frame's number, layer and
//! where more temporal layers may be taken. The template structure that a keyframe brings is kept for the packets after
//! it. Templates, decode targets and layers are bounded by the widths of their fields; what goes beyond is refused.
//!
//! References are counted but not kept: whoever drops by layer needs none, and the receiver reads them itself.

use telstar_media::codec::BitReader;

/// A.8.1: template ids have six bits.
const TEMPLATES_MAX: usize = 64;
/// A.8.3: `dt_cnt_minus_one` has five bits.
const DECODE_TARGETS_MAX: usize = 32;
/// What two bits of spatial id and three of temporal id in AV1 allow (AV1 §5.3.3); libwebrtc has the same limits.
const SPATIAL_ID_MAX: u8 = 3;
const TEMPORAL_ID_MAX: u8 = 7;
/// A.8.1: flags and template id, then the frame number.
const MANDATORY_LEN: usize = 3;
/// A.8.3: the decode target indication "switch"; 0 is "not present", 1 "discardable", 3 "required".
const SWITCH: u8 = 2;

/// Why a dependency descriptor cannot be used. The packet may be forwarded by what its payload says, or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// It ends too early.
    #[error("the dependency descriptor is truncated")]
    Truncated,
    /// Values that the format does not define, or a template that the structure does not have.
    #[error("the dependency descriptor is invalid")]
    Invalid,
    /// No structure came yet, or the one that came was lost.
    #[error("the dependency descriptor refers to a structure that did not come")]
    NoStructure,
}

/// What the descriptor says of one packet's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// First packet of a frame.
    pub start_of_frame: bool,
    /// Last packet of a frame.
    pub end_of_frame: bool,
    /// Grows by one with each frame, modulo 65,536.
    pub frame_number: u16,
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// The packet brings a structure: receivers can read the descriptors that follow.
    pub has_structure: bool,
    /// The frame refers to no other.
    pub is_intra: bool,
    /// Who receives this frame may take this temporal layer of its spatial layer in what follows.
    pub switch_up: Option<u8>,
    /// Bit d: decode target d can be had. `None` where the packet says nothing about it.
    pub active_targets: Option<u32>,
}

/// Reads the descriptors of one source and keeps its newest structure.
#[derive(Clone, Debug, Default)]
pub struct DependencyReader {
    structure: Option<Structure>,
}

#[derive(Clone, Debug)]
struct Structure {
    /// `template_id_offset`.
    first_id: u8,
    templates: Vec<Template>,
    /// Spatial and temporal layer of each decode target.
    targets: Vec<(u8, u8)>,
    chains: u8,
}

#[derive(Clone, Copy, Debug)]
struct Template {
    spatial: u8,
    temporal: u8,
    /// Two bits for each decode target, the first lowest.
    indications: u64,
    is_intra: bool,
}

impl Template {
    fn indication(&self, target: usize) -> u8 {
        (self.indications >> (2 * target) & 3) as u8
    }
}

/// Another frame number into a written descriptor, when frames of several sources become one stream. Nothing else in
/// the descriptor counts from a fixed origin. False when it is too short to have one.
pub fn set_frame_number(extension: &mut [u8], frame_number: u16) -> bool {
    let Some(bytes) = extension.get_mut(1..MANDATORY_LEN) else { return false };
    bytes.copy_from_slice(&frame_number.to_be_bytes());
    true
}

impl DependencyReader {
    /// Reads one packet's descriptor. A structure that it brings replaces the last one only if all of it is valid.
    pub fn read(&mut self, extension: &[u8]) -> Result<DependencyDescriptor, DependencyError> {
        let mut reader = BitReader::new(extension);
        let mut flag = || reader.bit().ok_or(DependencyError::Truncated);
        let (start_of_frame, end_of_frame) = (flag()?, flag()?);
        let template_id = bits(&mut reader, 6)? as u8;
        let frame_number = bits(&mut reader, 16)? as u16;
        // A.8.2: structure, active decode targets, and the frame's own indications, references and chains.
        let flags = if extension.len() > MANDATORY_LEN { bits(&mut reader, 5)? } else { 0 };
        let has_structure = flags & 0x10 != 0;
        let brought = if has_structure { Some(read_structure(&mut reader)?) } else { None };
        let structure = brought.as_ref().or(self.structure.as_ref()).ok_or(DependencyError::NoStructure)?;
        let active_targets = match flags & 0x08 != 0 {
            true => Some(read_mask(&mut reader, structure.targets.len())?),
            false => has_structure.then(|| u32::MAX >> (DECODE_TARGETS_MAX - structure.targets.len())),
        };
        let template = read_frame(&mut reader, structure, template_id, flags)?;
        let descriptor = DependencyDescriptor {
            start_of_frame,
            end_of_frame,
            frame_number,
            spatial: template.spatial,
            temporal: template.temporal,
            has_structure,
            is_intra: template.is_intra,
            switch_up: switch_up(structure, &template),
            active_targets,
        };
        if brought.is_some() {
            self.structure = brought;
        }
        Ok(descriptor)
    }
}

/// The highest temporal layer of the frame's spatial layer that can be switched to with it.
fn switch_up(structure: &Structure, template: &Template) -> Option<u8> {
    let targets = structure.targets.iter().enumerate();
    let switchable =
        targets.filter(|(index, (spatial, _))| *spatial == template.spatial && template.indication(*index) == SWITCH);
    switchable.map(|(_, (_, temporal))| *temporal).max()
}

/// A.8.4: the frame's template with what the frame says itself.
fn read_frame(
    reader: &mut BitReader<'_>,
    structure: &Structure,
    template_id: u8,
    flags: u32,
) -> Result<Template, DependencyError> {
    let index = template_id.wrapping_sub(structure.first_id) & 0x3f;
    let mut template = *structure.templates.get(usize::from(index)).ok_or(DependencyError::Invalid)?;
    if flags & 0x04 != 0 {
        template.indications = read_indications(reader, structure.targets.len())?;
    }
    if flags & 0x02 != 0 {
        template.is_intra = true;
        // Each has at least six bits, so that the extension's length bounds them.
        while let size @ 1.. = bits(reader, 2)? {
            bits(reader, 4 * size)?;
            template.is_intra = false;
        }
    }
    if flags & 0x01 != 0 {
        reader.skip(8 * usize::from(structure.chains)).ok_or(DependencyError::Truncated)?;
    }
    Ok(template)
}

/// A.8.3: `template_dependency_structure()`.
fn read_structure(reader: &mut BitReader<'_>) -> Result<Structure, DependencyError> {
    let first_id = bits(reader, 6)? as u8;
    let target_count = bits(reader, 5)? as usize + 1;
    let mut templates = read_layers(reader)?;
    for template in &mut templates {
        template.indications = read_indications(reader, target_count)?;
    }
    for template in &mut templates {
        while bits(reader, 1)? == 1 {
            bits(reader, 4)?;
            template.is_intra = false;
        }
    }
    let chains = non_symmetric(reader, target_count as u32 + 1)?;
    if chains > 0 {
        for _ in 0..target_count {
            non_symmetric(reader, chains)?;
        }
        reader.skip(4 * templates.len() * chains as usize).ok_or(DependencyError::Truncated)?;
    }
    let spatial_layers = templates.last().map_or(0, |template| usize::from(template.spatial)) + 1;
    if bits(reader, 1)? == 1 {
        reader.skip(32 * spatial_layers).ok_or(DependencyError::Truncated)?;
    }
    // A.8.3.5: a decode target is the highest layer of all templates that it needs.
    let target = |index: usize| {
        let needed = || templates.iter().filter(|template| template.indication(index) != 0);
        let spatial = needed().map(|template| template.spatial).max().unwrap_or(0);
        (spatial, needed().map(|template| template.temporal).max().unwrap_or(0))
    };
    let targets = (0..target_count).map(target).collect();
    Ok(Structure { first_id, targets, templates, chains: chains as u8 })
}

/// A.8.3.1: `template_layers()`.
fn read_layers(reader: &mut BitReader<'_>) -> Result<Vec<Template>, DependencyError> {
    let mut templates = Vec::new();
    let (mut spatial, mut temporal) = (0, 0);
    loop {
        if templates.len() == TEMPLATES_MAX {
            return Err(DependencyError::Invalid);
        }
        templates.push(Template { spatial, temporal, indications: 0, is_intra: true });
        match bits(reader, 2)? {
            0 => {}
            1 => temporal += 1,
            2 => (spatial, temporal) = (spatial + 1, 0),
            _ => return Ok(templates),
        }
        if spatial > SPATIAL_ID_MAX || temporal > TEMPORAL_ID_MAX {
            return Err(DependencyError::Invalid);
        }
    }
}

fn read_indications(reader: &mut BitReader<'_>, targets: usize) -> Result<u64, DependencyError> {
    let mut indications = 0;
    for target in 0..targets {
        indications |= u64::from(bits(reader, 2)?) << (2 * target);
    }
    Ok(indications)
}

/// `active_decode_targets_bitmask`: the last decode target comes first.
fn read_mask(reader: &mut BitReader<'_>, targets: usize) -> Result<u32, DependencyError> {
    bits(reader, targets as u32)
}

/// A.8: ns(n), a number below `count` in as few bits as there need be.
fn non_symmetric(reader: &mut BitReader<'_>, count: u32) -> Result<u32, DependencyError> {
    let width = count.ilog2() + 1;
    let short = (1 << width) - count;
    let value = bits(reader, width - 1)?;
    if value < short {
        return Ok(value);
    }
    Ok((value << 1) - short + bits(reader, 1)?)
}

fn bits(reader: &mut BitReader<'_>, count: u32) -> Result<u32, DependencyError> {
    reader.bits(count).ok_or(DependencyError::Truncated)
}

#[cfg(test)]
mod tests;
