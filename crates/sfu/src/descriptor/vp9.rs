//! VP9 payload descriptor (RFC 9628 §4.2).

use super::{Descriptor, LAYERS_MAX, Malformed, PictureId, Reader, SwitchUp, Tl0};

/// First byte: picture id, inter-picture predicted, layer indices, flexible mode, begin and end of frame, structure.
const I: u8 = 0x80;
const P: u8 = 0x40;
const L: u8 = 0x20;
const F: u8 = 0x10;
const B: u8 = 0x08;
const E: u8 = 0x04;
const V: u8 = 0x02;
/// In the byte of layer indices: switching-up point, inter-layer dependency.
const U: u8 = 0x10;
const D: u8 = 0x01;
/// §4.2: at most three references, each but the last with N set.
const REFERENCES_MAX: usize = 3;

pub(super) fn read(payload: &[u8]) -> Result<Descriptor, Malformed> {
    let mut reader = Reader::new(payload);
    let first = reader.byte()?;
    let flag = |bit: u8| first & bit != 0;
    let mut descriptor = Descriptor { start: flag(B), end: flag(E), ..Descriptor::default() };
    if flag(I) {
        descriptor.picture_id = Some(PictureId::read(&mut reader)?);
    }
    let mut inter_layer = false;
    if flag(L) {
        let layers = reader.byte()?;
        descriptor.temporal = layers >> 5;
        descriptor.spatial = layers >> 1 & 0x7;
        inter_layer = layers & D != 0;
        if layers & U != 0 {
            descriptor.switch_up = SwitchUp::After(LAYERS_MAX as u8 - 1);
        }
        if !flag(F) {
            descriptor.tl0 = Some(Tl0 { at: reader.at_u8(), value: reader.byte()? });
        }
    }
    if flag(F) && flag(P) {
        skip_references(&mut reader)?;
    }
    if flag(V) {
        skip_structure(&mut reader)?;
    }
    if reader.rest().is_empty() {
        return Err(Malformed);
    }
    // Without P a frame refers to no earlier picture; only one without the layer below is a keyframe.
    descriptor.key = !flag(P);
    descriptor.key_start = descriptor.key && flag(B) && !inter_layer && descriptor.spatial == 0;
    Ok(descriptor)
}

/// P_DIFF with N, §4.2.
fn skip_references(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    for _ in 0..REFERENCES_MAX {
        if reader.byte()? & 0x01 == 0 {
            return Ok(());
        }
    }
    Err(Malformed)
}

/// The scalability structure, §4.2.1. At most 255 pictures with three references each: read in no more steps than the
/// packet has bytes.
fn skip_structure(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let head = reader.byte()?;
    let spatial_layers = usize::from(head >> 5) + 1;
    if head & 0x10 != 0 {
        reader.skip(spatial_layers * 4)?;
    }
    if head & 0x08 != 0 {
        for _ in 0..reader.byte()? {
            let references = usize::from(reader.byte()? >> 2 & 0x3);
            reader.skip(references)?;
        }
    }
    Ok(())
}
