//! The fields of one message: read from the front, nothing may be left, nothing is allocated that is not there.

use bytes::{Buf, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use telstar_media::Codec;
use telstar_units::{Timescale, TrackId};

use super::{LOG_BYTES_MAX, WireError};
use crate::Target;
use crate::record::{CodecRecord, RECORD_BYTES_MAX};

/// The longest value that is derived. It holds the keyframes of a day, four a second. Higher: a worker that was taken over makes the
/// server hold more, up to 24 bytes for each of these; lower: long assets are not passed on as they are.
const VALUE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// What is left of a message.
#[derive(Debug)]
pub struct Fields {
    kind: u8,
    rest: Bytes,
}

/// The numbers of codecs on the wire.
const CODECS: [Codec; 11] = [
    Codec::H264,
    Codec::H265,
    Codec::Av1,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Aac,
    Codec::Opus,
    Codec::Mp3,
    Codec::Flac,
    Codec::Ac3,
    Codec::Eac3,
];

impl Fields {
    pub(super) fn new(kind: u8, rest: Bytes) -> Fields {
        Fields { kind, rest }
    }

    pub(super) fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.invalid()) }
    }

    pub(super) fn invalid(&self) -> WireError {
        WireError::Invalid(self.kind)
    }

    fn bytes(&mut self, len: usize) -> Result<Bytes, WireError> {
        if len > self.rest.len() {
            return Err(WireError::Truncated(self.kind));
        }
        Ok(self.rest.split_to(len))
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], WireError> {
        let array = *self.rest.first_chunk::<LEN>().ok_or(WireError::Truncated(self.kind))?;
        self.rest.advance(LEN);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, WireError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Flags below the `count`th; a higher one is invalid.
    pub(super) fn flags<const COUNT: usize>(&mut self) -> Result<[bool; COUNT], WireError> {
        let byte = self.u8()?;
        if u32::from(byte) >> COUNT != 0 {
            return Err(self.invalid());
        }
        Ok(std::array::from_fn(|index| byte >> index & 1 == 1))
    }

    pub(super) fn track(&mut self) -> Result<TrackId, WireError> {
        self.u64().map(TrackId)
    }

    pub(super) fn codec(&mut self) -> Result<Codec, WireError> {
        let number = self.u8()?;
        CODECS.get(usize::from(number)).copied().ok_or(self.invalid())
    }

    pub(super) fn target(&mut self) -> Result<Target, WireError> {
        let number = self.u8()?;
        Target::ALL.get(usize::from(number)).copied().ok_or(self.invalid())
    }

    pub(super) fn timescale(&mut self) -> Result<Timescale, WireError> {
        Timescale::new(self.u32()?).ok_or(self.invalid())
    }

    pub(super) fn record(&mut self) -> Result<CodecRecord, WireError> {
        let codec = self.codec()?;
        let len = self.u32()? as usize;
        if len > RECORD_BYTES_MAX {
            return Err(self.invalid());
        }
        Ok(CodecRecord { codec, record: self.bytes(len)? })
    }

    /// A short list.
    pub(super) fn list<T>(&mut self, item: impl Fn(&mut Fields) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
        let count = self.u8()?;
        (0..count).map(|_| item(self)).collect()
    }

    /// All that is left.
    pub(super) fn payload(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// All that is left, as a value that is derived.
    pub(super) fn value<T: DeserializeOwned>(&mut self) -> Result<T, WireError> {
        let bytes = self.payload();
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(self.invalid());
        }
        match postcard::take_from_bytes(&bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(self.invalid()),
            Err(postcard::Error::DeserializeUnexpectedEnd) => Err(WireError::Truncated(self.kind)),
            Err(_) => Err(self.invalid()),
        }
    }

    /// All that is left, as text; what is no UTF-8 is replaced.
    pub(super) fn text(&mut self) -> Result<String, WireError> {
        let bytes = self.payload();
        if bytes.len() > LOG_BYTES_MAX {
            return Err(self.invalid());
        }
        // What replaces a broken character may be longer.
        Ok(cut(&String::from_utf8_lossy(&bytes)).to_owned())
    }
}

/// A value that is too long is read as an invalid one.
pub(super) fn write_value(out: &mut Vec<u8>, value: &impl Serialize) {
    let bytes = postcard::to_allocvec(value).expect("no map, no set, no sequence of unknown length");
    out.extend(bytes);
}

pub(super) fn write_flags(out: &mut Vec<u8>, flags: &[bool]) {
    out.push(flags.iter().enumerate().fold(0, |byte, (index, flag)| byte | u8::from(*flag) << index));
}

pub(super) fn write_codec(out: &mut Vec<u8>, codec: Codec) {
    let number = CODECS.iter().position(|known| *known == codec).expect("the table has every codec");
    out.push(number as u8);
}

pub(super) fn write_target(out: &mut Vec<u8>, target: Target) {
    let number = Target::ALL.iter().position(|known| *known == target).expect("the table has every target");
    out.push(number as u8);
}

/// A record beyond the limit comes from no config of `telstar-media`, and is written as none.
pub(super) fn write_record(out: &mut Vec<u8>, record: &CodecRecord) {
    let bytes = if record.record.len() > RECORD_BYTES_MAX { &[][..] } else { &record.record[..] };
    write_codec(out, record.codec);
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Cut to the limit.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(cut(text).as_bytes());
}

/// As much of `text` as the limit takes, up to the end of a character.
fn cut(text: &str) -> &str {
    let end = (0..=LOG_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
