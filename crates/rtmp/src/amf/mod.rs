//! AMF0, the value format of commands and metadata ("Action Message Format -- AMF 0", Adobe 2007).
//!
//! Decoding is bounded in depth, in values and in bytes, and allocates nothing from a count that the peer claims.
//! Values hold user content, stream keys among it, so their `Debug` shows shapes only.

mod decode;
mod encode;

pub use decode::{decode, decode_lenient};
pub use encode::{encode, encode_ecma_array};

use std::fmt;

/// Why bytes are not AMF0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// The bytes end inside a value.
    #[error("the AMF0 value is truncated")]
    Truncated,
    /// A type marker that is reserved or of AMF3.
    #[error("AMF0 type marker {0:#04x} is not known")]
    Marker(u8),
    /// Nested deeper than [`AMF_DEPTH_MAX`](crate::limits::AMF_DEPTH_MAX).
    #[error("the AMF0 value is nested too deep")]
    Depth,
    /// More values than [`AMF_VALUES_MAX`](crate::limits::AMF_VALUES_MAX).
    #[error("the AMF0 message has too many values")]
    Values,
    /// Longer than [`AMF_BYTES_MAX`](crate::limits::AMF_BYTES_MAX).
    #[error("the AMF0 message is too long")]
    Bytes,
}

/// A value. References, dates' time zones and class names are not kept: no publisher needs them.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Marker 0x00.
    Number(f64),
    /// Marker 0x01.
    Boolean(bool),
    /// Markers 0x02, 0x0c and 0x0f. Bytes that are not UTF-8 are replaced: some encoders send Latin-1.
    String(String),
    /// Markers 0x03, 0x08 and 0x10: properties in the order of the wire.
    Object(Vec<(String, Value)>),
    /// Marker 0x0a.
    StrictArray(Vec<Value>),
    /// Marker 0x05.
    Null,
    /// Markers 0x06, 0x07 and 0x0d.
    Undefined,
    /// Marker 0x0b: milliseconds since 1970.
    Date(f64),
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, also when an encoder wrote it as text.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A property of an object by name. Names are compared without case: encoders write `tcurl` as well as `tcUrl`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(properties) => {
                properties.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            }
            // Some devices wrap the object into an array.
            Value::StrictArray(items) => items.iter().find_map(|item| match item {
                Value::Object(_) => item.get(name),
                _ => None,
            }),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(formatter, "{number}"),
            Value::Boolean(value) => write!(formatter, "{value}"),
            Value::String(text) => write!(formatter, "string of {} bytes", text.len()),
            Value::Object(properties) => write!(formatter, "object of {} properties", properties.len()),
            Value::StrictArray(items) => write!(formatter, "array of {} items", items.len()),
            Value::Null => formatter.write_str("null"),
            Value::Undefined => formatter.write_str("undefined"),
            Value::Date(millis) => write!(formatter, "date {millis}"),
        }
    }
}

/// Type markers, AMF0 §2.1.
mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const REFERENCE: u8 = 0x07;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0a;
    pub const DATE: u8 = 0x0b;
    pub const LONG_STRING: u8 = 0x0c;
    pub const UNSUPPORTED: u8 = 0x0d;
    pub const XML: u8 = 0x0f;
    pub const TYPED_OBJECT: u8 = 0x10;
}

#[cfg(test)]
mod tests;
