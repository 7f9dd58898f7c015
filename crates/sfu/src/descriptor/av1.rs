//! AV1's aggregation header and OBU elements (RTP Payload Format For AV1 §4.4, §4.5).

use super::{Descriptor, Malformed, Reader};

/// Aggregation header: first element continues, last element goes on, count of elements, new coded video sequence.
const Z: u8 = 0x80;
const Y: u8 = 0x40;
const N: u8 = 0x08;
/// The first byte of an OBU (AV1 §5.3.2).
const FORBIDDEN: u8 = 0x80;
const HAS_EXTENSION: u8 = 0x04;
/// AV1 §6.2.2.
const OBU_SEQUENCE_HEADER: u8 = 1;
/// AV1 §4.10.5: leb128 within 32 bits.
const LEB128_LEN_MAX: usize = 8;

pub(super) fn read(payload: &[u8], marker: bool) -> Result<Descriptor, Malformed> {
    let mut reader = Reader::new(payload);
    let head = reader.byte()?;
    let count = head >> 4 & 0x3;
    let (continues, new_sequence) = (head & Z != 0, head & N != 0);
    // §4.4: a packet that begins a coded video sequence cannot continue an element.
    if reader.rest().is_empty() || (continues && new_sequence) {
        return Err(Malformed);
    }
    let mut descriptor = Descriptor { start: !continues, end: marker && head & Y == 0, ..Descriptor::default() };
    let mut index = 0u8;
    let mut sequence_header = false;
    while !reader.rest().is_empty() {
        index = index.saturating_add(1);
        // §4.4: with a count the last element has no length; without, each has one.
        let len = if count == index { reader.rest().len() } else { leb128(&mut reader)? };
        let element = reader.take(len)?;
        if count != 0 && index > count {
            return Err(Malformed);
        }
        if index == 1 && continues {
            continue;
        }
        if let Some(header) = element.first() {
            if header & FORBIDDEN != 0 {
                return Err(Malformed);
            }
            sequence_header |= header >> 3 & 0xf == OBU_SEQUENCE_HEADER;
            read_layers(&mut descriptor, element);
        }
    }
    if index < count {
        return Err(Malformed);
    }
    descriptor.key = new_sequence;
    // N promises a keyframe with its sequence header; one that has none cannot start a decoder.
    descriptor.key_start = new_sequence && sequence_header;
    Ok(descriptor)
}

/// AV1 §5.3.3: temporal and spatial id of the extension. The last OBU of a packet says what the packet is for; temporal
/// delimiters and sequence headers before it have none.
fn read_layers(descriptor: &mut Descriptor, obu: &[u8]) {
    if let [header, extension, ..] = *obu
        && header & HAS_EXTENSION != 0
    {
        descriptor.temporal = extension >> 5;
        descriptor.spatial = extension >> 3 & 0x3;
    }
}

fn leb128(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    let mut value = 0u64;
    for at in 0..LEB128_LEN_MAX {
        let byte = reader.byte()?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map(|value| value as usize).map_err(|_| Malformed);
        }
    }
    Err(Malformed)
}
