//! H.264 payloads (RFC 6184): single units, STAP-A (§5.7.1) and FU-A (§5.8), as packetization-mode 1 has them.
//!
//! There is no layer in it: temporal layers of H.264 would need SVC's prefix units or the dependency descriptor.

use telstar_media::codec::NalKind;

use super::{Descriptor, Malformed, Reader};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;

pub(super) fn read(payload: &[u8], marker: bool) -> Result<Descriptor, Malformed> {
    let mut descriptor = Descriptor { end: marker, ..Descriptor::default() };
    let mut reader = Reader::new(payload);
    let header = reader.byte()?;
    match header & 0x1f {
        1..=23 => take_unit(&mut descriptor, header, reader.rest()),
        STAP_A => {
            if reader.rest().is_empty() {
                return Err(Malformed);
            }
            while !reader.rest().is_empty() {
                let len = u16::from_be_bytes([reader.byte()?, reader.byte()?]);
                let (&header, body) = reader.take(len.into())?.split_first().ok_or(Malformed)?;
                take_unit(&mut descriptor, header, body);
            }
        }
        FU_A => {
            let fragment = reader.byte()?;
            let unit = header & 0xe0 | fragment & 0x1f;
            let first = fragment & FU_START != 0;
            descriptor.key = NalKind::of(unit) == NalKind::Idr;
            if first {
                take_unit(&mut descriptor, unit, reader.rest());
            }
        }
        // §5.2: everything else belongs to packetization-mode 2, which nobody negotiates.
        _ => return Err(Malformed),
    }
    Ok(descriptor)
}

fn take_unit(descriptor: &mut Descriptor, header: u8, body: &[u8]) {
    match NalKind::of(header) {
        // Encoders for WebRTC repeat their parameter sets before each IDR picture; an IDR picture without them does not
        // show a new decoder its size. LiveKit and Janus take the SPS for the keyframe as well.
        NalKind::Sps => {
            descriptor.key = true;
            descriptor.key_start = true;
            descriptor.start = true;
        }
        NalKind::Idr => {
            descriptor.key = true;
            descriptor.start |= is_first_slice(body);
        }
        NalKind::Delimiter => descriptor.start = true,
        _ if matches!(header & 0x1f, 1..=4) => descriptor.start |= is_first_slice(body),
        _ => {}
    }
}

/// ITU-T H.264 §7.3.3: a slice header begins with first_mb_in_slice as ue(v), of which 0 is a single set bit.
fn is_first_slice(body: &[u8]) -> bool {
    body.first().is_some_and(|byte| byte & 0x80 != 0)
}
