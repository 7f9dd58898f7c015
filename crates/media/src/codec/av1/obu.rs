//! Open bitstream units (AV1 §5.3) and temporal units as ISO samples hold them (AV1-ISOBMFF §2.4).

use bytes::{BufMut, Bytes, BytesMut};

use super::Av1Error;

/// `obu_has_size_field` and the forbidden bit in the first byte of an OBU; `obu_extension_flag` between them.
const HAS_SIZE: u8 = 0x02;
const HAS_EXTENSION: u8 = 0x04;
const FORBIDDEN: u8 = 0x80;
/// §4.10.5: leb128() has at most eight bytes.
const LEB128_LEN_MAX: usize = 8;

/// `obu_type`s that the server looks at, §6.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObuKind {
    /// 1.
    SequenceHeader,
    /// 2.
    TemporalDelimiter,
    /// 3: a frame header whose tiles follow in OBUs of their own.
    FrameHeader,
    /// 6: a frame header and its tiles.
    Frame,
    /// 8 and 15: tile lists and padding, which samples should not hold.
    Surplus,
    /// Everything else.
    Other(u8),
}

/// One OBU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obu<'a> {
    /// What it is.
    pub kind: ObuKind,
    /// All of it, header and size included.
    pub whole: &'a [u8],
    /// What follows header and size.
    pub body: &'a [u8],
}

impl Obu<'_> {
    /// A sample does not hold it (AV1-ISOBMFF §2.4), nor does RTP send it.
    pub(crate) fn is_left_out(&self) -> bool {
        leaves(self.kind)
    }

    /// The header without a size, and how many bytes of it there are.
    pub(crate) fn unsized_header(&self) -> ([u8; 2], usize) {
        let extension = (self.whole[0] & HAS_EXTENSION != 0).then(|| self.whole[1]);
        ([self.whole[0] & !HAS_SIZE, extension.unwrap_or(0)], 1 + usize::from(extension.is_some()))
    }

    /// Appends the OBU with a size, if it had none.
    pub(crate) fn write_sized(&self, bytes: &mut impl BufMut) {
        let header = self.whole[0];
        if header & HAS_SIZE != 0 {
            return bytes.put_slice(self.whole);
        }
        bytes.put_u8(header | HAS_SIZE);
        bytes.put_slice(&self.whole[1..self.whole.len() - self.body.len()]);
        put_leb128(bytes, self.body.len());
        bytes.put_slice(self.body);
    }
}

/// §4.10.5, in as few bytes as it can be said.
pub(crate) fn put_leb128(bytes: &mut impl BufMut, mut value: usize) {
    while value >= 0x80 {
        bytes.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}

/// Walks OBUs in the low-overhead format (§5.2). Only the last may have no size. Stops with an error item at the first
/// one that is broken.
pub fn obus(bytes: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, Av1Error>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let obu = next_obu(rest);
        rest = obu.as_ref().map_or(&[], |obu| &rest[obu.whole.len()..]);
        Some(obu)
    })
}

fn next_obu(bytes: &[u8]) -> Result<Obu<'_>, Av1Error> {
    let header = *bytes.first().ok_or(Av1Error::Truncated)?;
    if header & FORBIDDEN != 0 {
        return Err(Av1Error::Obu);
    }
    let head_len = 1 + usize::from(header & HAS_EXTENSION != 0);
    let rest = bytes.get(head_len..).ok_or(Av1Error::Truncated)?;
    let (body_at, body_len) = if header & HAS_SIZE == 0 { (0, rest.len()) } else { leb128(rest)? };
    let body = rest[body_at..].get(..body_len).ok_or(Av1Error::Truncated)?;
    let kind = match header >> 3 & 0xf {
        1 => ObuKind::SequenceHeader,
        2 => ObuKind::TemporalDelimiter,
        3 => ObuKind::FrameHeader,
        6 => ObuKind::Frame,
        8 | 15 => ObuKind::Surplus,
        other => ObuKind::Other(other),
    };
    Ok(Obu { kind, whole: &bytes[..head_len + body_at + body_len], body })
}

/// §4.10.5: how many bytes the number takes, and the number.
pub(crate) fn leb128(bytes: &[u8]) -> Result<(usize, usize), Av1Error> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(LEB128_LEN_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            // §4.10.5: a value above 2^32 - 1 is not allowed.
            let value = u32::try_from(value).map_err(|_| Av1Error::Obu)?;
            return Ok((at + 1, value as usize));
        }
    }
    Err(if bytes.len() < LEB128_LEN_MAX { Av1Error::Truncated } else { Av1Error::Obu })
}

/// What a temporal unit holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1Unit<'a> {
    /// Its first sequence header.
    pub sequence_header: Option<Obu<'a>>,
    /// Its first frame is a key frame that is shown: decoding can start here (AV1-ISOBMFF §2.4, "sync sample").
    pub key: bool,
    /// There is a frame in it.
    pub has_frame: bool,
    /// Bytes of OBUs at its front that a sample does not hold.
    front: usize,
    /// Such OBUs stand further behind as well.
    leaves_behind_front: bool,
}

impl<'a> Av1Unit<'a> {
    /// Walks a temporal unit. `reduced_still_picture` is what the sequence header in force says; one in the unit goes
    /// before it.
    pub fn read(unit: &'a [u8], reduced_still_picture: bool) -> Result<Av1Unit<'a>, Av1Error> {
        let (mut sequence_header, mut key, mut has_frame) = (None, false, false);
        let (mut front, mut kept, mut leaves_behind_front, mut position) = (0, 0, false, 0);
        let mut reduced = reduced_still_picture;
        for obu in obus(unit) {
            let obu = obu?;
            position += obu.whole.len();
            match leaves(obu.kind) {
                true if kept == 0 => front = position,
                true => leaves_behind_front = true,
                false => kept += 1,
            }
            match obu.kind {
                ObuKind::SequenceHeader if sequence_header.is_none() => {
                    sequence_header = Some(obu);
                    // seq_profile, still_picture, reduced_still_picture_header: the first five bits.
                    reduced = obu.body.first().is_some_and(|byte| byte & 0x08 != 0);
                }
                ObuKind::Frame | ObuKind::FrameHeader if !has_frame => {
                    has_frame = true;
                    key = reduced || obu.body.first().is_some_and(|byte| is_shown_key_frame(*byte));
                }
                _ => {}
            }
        }
        Ok(Av1Unit { sequence_header, key, has_frame, front, leaves_behind_front })
    }

    /// The unit as an ISO sample: without temporal delimiters, tile lists and padding (AV1-ISOBMFF §2.4). `unit` is
    /// what was read; it is copied only when something behind its front must go.
    pub fn sample(&self, unit: &Bytes) -> Bytes {
        let rest = unit.slice(self.front..);
        if !self.leaves_behind_front {
            return rest;
        }
        let mut sample = BytesMut::with_capacity(rest.len());
        for obu in obus(&rest).map_while(Result::ok).filter(|obu| !leaves(obu.kind)) {
            sample.extend_from_slice(obu.whole);
        }
        sample.freeze()
    }
}

fn leaves(kind: ObuKind) -> bool {
    matches!(kind, ObuKind::TemporalDelimiter | ObuKind::Surplus)
}

/// §5.9.2: show_existing_frame (1 bit) is 0, frame_type (2) is KEY_FRAME, show_frame (1) is 1.
fn is_shown_key_frame(byte: u8) -> bool {
    byte >> 4 == 0b0001
}
