//! AMF0 to the wire.

use bytes::{BufMut, BytesMut};

use super::{Value, marker};

/// Appends `value` to `out`.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            out.put_u8(marker::NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(value) => out.put_slice(&[marker::BOOLEAN, u8::from(*value)]),
        Value::String(text) if text.len() <= usize::from(u16::MAX) => {
            out.put_u8(marker::STRING);
            put_name(text, out);
        }
        Value::String(text) => {
            out.put_u8(marker::LONG_STRING);
            out.put_u32(u32::try_from(text.len()).expect("messages are shorter than 4 GiB"));
            out.put_slice(text.as_bytes());
        }
        Value::Object(properties) => {
            out.put_u8(marker::OBJECT);
            put_properties(properties, out);
        }
        Value::StrictArray(items) => {
            out.put_u8(marker::STRICT_ARRAY);
            out.put_u32(u32::try_from(items.len()).expect("messages are shorter than 4 GiB"));
            for item in items {
                encode(item, out);
            }
        }
        Value::Null => out.put_u8(marker::NULL),
        Value::Undefined => out.put_u8(marker::UNDEFINED),
        Value::Date(millis) => {
            out.put_u8(marker::DATE);
            out.put_f64(*millis);
            out.put_u16(0);
        }
    }
}

/// Appends properties as an ECMA array, which is what players expect of metadata: ffmpeg reads no other type there.
pub fn encode_ecma_array(properties: &[(String, Value)], out: &mut BytesMut) {
    out.put_u8(marker::ECMA_ARRAY);
    out.put_u32(u32::try_from(properties.len()).expect("messages are shorter than 4 GiB"));
    put_properties(properties, out);
}

fn put_properties(properties: &[(String, Value)], out: &mut BytesMut) {
    for (name, value) in properties {
        put_name(name, out);
        encode(value, out);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}

/// A name behind a 16-bit length, cut to what the length can say.
fn put_name(name: &str, out: &mut BytesMut) {
    let end = (0..=name.len().min(usize::from(u16::MAX))).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    out.put_u16(end as u16);
    out.put_slice(&name.as_bytes()[..end]);
}
