//! RTP headers with their extensions (RFC 3550 §5.1, RFC 8285).
//!
//! In: what a packet says about itself, and the ids that a section negotiated for extensions. Out: bytes in front of a
//! payload. It allocates nothing of its own and knows no payload, no number of its own, no crypto.

/// "defined by profile" of one-byte extension headers (RFC 8285 §4.2).
const ONE_BYTE: [u8; 2] = [0xbe, 0xde];
/// And of two-byte ones, with `appbits` of zero (RFC 8285 §4.3).
const TWO_BYTE: [u8; 2] = [0x10, 0x00];
/// The highest id that a one-byte header can say; 15 is reserved there (RFC 8285 §4.2).
const ONE_BYTE_ID_MAX: u8 = 14;
/// Without extensions and contributing sources (RFC 3550 §5.1).
const FIXED_BYTES: usize = 12;
/// The longest header: the fixed part, four bytes of the extension's own header, and all four values with two bytes each
/// in front: mid (2 + 4), transport (2 + 2), level (2 + 1), orientation (2 + 1), which is a multiple of four.
pub(crate) const HEADER_BYTES_MAX: usize = FIXED_BYTES + 4 + 16;

/// The ids that one section negotiated for header extensions. An id of 0 counts as none: it means padding (RFC 8285 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The section's own name (RFC 9143): id, value, its length.
    pub mid: Option<(u8, [u8; 4], u8)>,
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01 §2.
    pub transport: Option<u8>,
    /// RFC 6464.
    pub level: Option<u8>,
    /// 3GPP TS 26.114 §7.4.5.
    pub orientation: Option<u8>,
}

/// The fixed part of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Seven bits.
    pub payload_type: u8,
    /// The last packet of a picture, the first of speech.
    pub marker: bool,
    /// The low bits of the stream's number.
    pub sequence: u16,
    /// RTP timestamp.
    pub time: u32,
    /// Whose it is.
    pub ssrc: u32,
}

/// What header extensions say of one packet. A value leaves if its id was negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The connection's number of the packet.
    pub transport: u16,
    /// 0 is the loudest, 127 silence; whether it is voice.
    pub level: Option<(u8, bool)>,
    /// The byte as it came.
    pub orientation: Option<u8>,
}

/// Appends a header and returns its length, which is a multiple of four.
pub fn write(into: &mut Vec<u8>, fields: &Fields, extensions: &Extensions, values: &Values) -> usize {
    let mut header =
        Header { bytes: [0; HEADER_BYTES_MAX + 4], length: FIXED_BYTES + 4, two_byte: needs_two(extensions) };
    header.bytes[0] = 2 << 6;
    header.bytes[1] = u8::from(fields.marker) << 7 | fields.payload_type & 0x7f;
    header.bytes[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    header.bytes[4..8].copy_from_slice(&fields.time.to_be_bytes());
    header.bytes[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
    // The transport's number comes first, where whoever reads only that finds it at once.
    if let Some(id) = extensions.transport {
        header.push(id, values.transport.to_be_bytes(), 2);
    }
    if let Some((id, value, length)) = extensions.mid {
        header.push(id, value, usize::from(length).min(value.len()));
    }
    if let (Some(id), Some((level, voice))) = (extensions.level, values.level) {
        header.push(id, [u8::from(voice) << 7 | level.min(127)], 1);
    }
    if let (Some(id), Some(orientation)) = (extensions.orientation, values.orientation) {
        header.push(id, [orientation], 1);
    }
    let length = header.finish();
    into.extend_from_slice(&header.bytes[..length]);
    length
}

/// Whether an id does not fit a one-byte header. It depends on the section alone, so that all its packets are alike.
fn needs_two(extensions: &Extensions) -> bool {
    let mid = extensions.mid.map(|(id, ..)| id);
    [mid, extensions.transport, extensions.level, extensions.orientation]
        .into_iter()
        .flatten()
        .any(|id| id > ONE_BYTE_ID_MAX)
}

/// A header that is being written.
struct Header {
    bytes: [u8; HEADER_BYTES_MAX + 4],
    length: usize,
    two_byte: bool,
}

impl Header {
    /// Appends one element: the first bytes of a value. At most four values of at most four bytes come here, so there is
    /// room. All of a value is copied, because that takes one instruction; what follows overwrites the rest, or
    /// [`Header::finish`] does.
    #[inline]
    fn push<const BYTES: usize>(&mut self, id: u8, value: [u8; BYTES], length: usize) {
        // A one-byte header cannot say that a value is empty, and a two-byte one would say nothing by it.
        if id == 0 || length == 0 {
            return;
        }
        if self.two_byte {
            self.bytes[self.length] = id;
            self.bytes[self.length + 1] = length as u8;
            self.length += 2;
        } else {
            self.bytes[self.length] = id << 4 | (length - 1) as u8;
            self.length += 1;
        }
        self.bytes[self.length..self.length + BYTES].copy_from_slice(&value);
        self.length += length;
    }

    /// The header's length. It is padded to whole words with zeros (RFC 8285 §4.1).
    fn finish(&mut self) -> usize {
        let elements = self.length - FIXED_BYTES - 4;
        if elements == 0 {
            return FIXED_BYTES;
        }
        let words = elements.div_ceil(4);
        // No more than three bytes are needed, and four always have room.
        self.bytes[self.length..self.length + 4].copy_from_slice(&[0; 4]);
        self.bytes[0] |= 1 << 4;
        self.bytes[FIXED_BYTES..FIXED_BYTES + 2].copy_from_slice(if self.two_byte { &TWO_BYTE } else { &ONE_BYTE });
        self.bytes[FIXED_BYTES + 2..FIXED_BYTES + 4].copy_from_slice(&(words as u16).to_be_bytes());
        FIXED_BYTES + 4 + words * 4
    }
}

#[cfg(test)]
mod tests;
