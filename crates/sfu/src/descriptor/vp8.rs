//! VP8 payload descriptor (RFC 7741 §4.2) and the first byte of the payload header (§4.3).

use super::{Descriptor, Malformed, PictureId, Reader, SwitchUp, Tl0};

/// First byte: extension, non-reference, start of partition, partition index.
const X: u8 = 0x80;
const S: u8 = 0x10;
const PID: u8 = 0x07;
/// Extension byte: picture id, TL0PICIDX, temporal id, key index.
const I: u8 = 0x80;
const L: u8 = 0x40;
const T: u8 = 0x20;
const K: u8 = 0x10;
/// In the byte of temporal id and key index: layer sync.
const Y: u8 = 0x20;
/// First byte of the payload header: inverse key frame flag.
const P: u8 = 0x01;

pub(super) fn read(payload: &[u8], marker: bool) -> Result<Descriptor, Malformed> {
    let mut reader = Reader::new(payload);
    let first = reader.byte()?;
    let start = first & S != 0 && first & PID == 0;
    let mut descriptor = Descriptor { start, end: marker, contiguous_ids: true, ..Descriptor::default() };
    if first & X != 0 {
        read_extension(&mut reader, &mut descriptor)?;
    }
    // §4.2: the payload header follows only the descriptor of a frame's first packet.
    let head = *reader.rest().first().ok_or(Malformed)?;
    descriptor.key = start && head & P == 0;
    descriptor.key_start = descriptor.key;
    Ok(descriptor)
}

fn read_extension(reader: &mut Reader<'_>, descriptor: &mut Descriptor) -> Result<(), Malformed> {
    let extension = reader.byte()?;
    if extension & I != 0 {
        descriptor.picture_id = Some(PictureId::read(reader)?);
    }
    if extension & L != 0 {
        descriptor.tl0 = Some(Tl0 { at: reader.at_u8(), value: reader.byte()? });
    }
    if extension & (T | K) != 0 {
        let layer = reader.byte()?;
        if extension & T != 0 {
            descriptor.temporal = layer >> 6;
            if layer & Y != 0 && descriptor.temporal > 0 {
                descriptor.switch_up = SwitchUp::Here;
            }
        }
    }
    Ok(())
}
