//! AMF0 from the wire.

use super::{AmfError, Value, marker};
use crate::limits::{AMF_BYTES_MAX, AMF_DEPTH_MAX, AMF_VALUES_MAX};

/// All values of a message body.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, AmfError> {
    let (values, error) = decode_lenient(bytes);
    error.map_or(Ok(values), Err)
}

/// The values up to the first error, and that error: what a broken device said before it broke is often enough.
pub fn decode_lenient(bytes: &[u8]) -> (Vec<Value>, Option<AmfError>) {
    if bytes.len() > AMF_BYTES_MAX {
        return (Vec::new(), Some(AmfError::Bytes));
    }
    let mut decoder = Decoder { rest: bytes, values: 0 };
    let mut values = Vec::new();
    while !decoder.rest.is_empty() {
        match decoder.value(0) {
            Ok(value) => values.push(value),
            Err(error) => return (values, Some(error)),
        }
    }
    (values, None)
}

struct Decoder<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Decoder<'a> {
    /// Recursion is bounded by [`AMF_DEPTH_MAX`].
    fn value(&mut self, depth: usize) -> Result<Value, AmfError> {
        self.count_value()?;
        if depth >= AMF_DEPTH_MAX {
            return Err(AmfError::Depth);
        }
        Ok(match self.byte()? {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => Value::Boolean(self.byte()? != 0),
            marker::STRING => Value::String(self.short_string()?),
            marker::OBJECT => Value::Object(self.properties(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::REFERENCE => {
                self.take(2)?;
                Value::Undefined
            }
            marker::ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker decides.
                self.take(4)?;
                Value::Object(self.properties(depth)?)
            }
            marker::STRICT_ARRAY => Value::StrictArray(self.items(depth)?),
            marker::DATE => {
                let millis = self.number()?;
                self.take(2)?;
                Value::Date(millis)
            }
            marker::LONG_STRING | marker::XML => {
                let len = self.u32()? as usize;
                Value::String(text(self.take(len)?))
            }
            marker::TYPED_OBJECT => {
                self.short_string()?;
                Value::Object(self.properties(depth)?)
            }
            other => return Err(AmfError::Marker(other)),
        })
    }

    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, AmfError> {
        let mut properties = Vec::new();
        loop {
            // Some encoders leave out the last end marker of a message.
            if self.rest.is_empty() && depth == 0 {
                return Ok(properties);
            }
            let name = self.short_string()?;
            if name.is_empty() && self.rest.first() == Some(&marker::OBJECT_END) {
                self.rest = &self.rest[1..];
                return Ok(properties);
            }
            properties.push((name, self.value(depth + 1)?));
        }
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Value>, AmfError> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn count_value(&mut self) -> Result<(), AmfError> {
        self.values += 1;
        if self.values > AMF_VALUES_MAX { Err(AmfError::Values) } else { Ok(()) }
    }

    fn short_string(&mut self) -> Result<String, AmfError> {
        let len = self.take(2)?;
        let len = u16::from_be_bytes([len[0], len[1]]);
        Ok(text(self.take(len.into())?))
    }

    fn number(&mut self) -> Result<f64, AmfError> {
        let bytes = self.take(8)?;
        Ok(f64::from_be_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    fn u32(&mut self) -> Result<u32, AmfError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    fn byte(&mut self) -> Result<u8, AmfError> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], AmfError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
