use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::limits::{AMF_DEPTH_MAX, AMF_VALUES_MAX};

fn check(bytes: &[u8], expect: Result<Vec<Value>, AmfError>) {
    assert_eq!(decode(bytes), expect);
}

fn object(properties: &[(&str, Value)]) -> Value {
    Value::Object(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

#[test]
fn every_marker_of_real_encoders_is_read() {
    check(&[0, 0x40, 0x59, 0, 0, 0, 0, 0, 0], Ok(vec![100.0.into()]));
    check(
        &[1, 1, 5, 6, 13, 7, 0, 1],
        Ok(vec![Value::Boolean(true), Value::Null, Value::Undefined, Value::Undefined, Value::Undefined]),
    );
    check(b"\x02\x00\x02ab\x0c\x00\x00\x00\x01c\x0f\x00\x00\x00\x01d", Ok(vec!["ab".into(), "c".into(), "d".into()]));
    check(b"\x03\x00\x01a\x05\x00\x00\x09", Ok(vec![object(&[("a", Value::Null)])]));
    check(b"\x10\x00\x01X\x00\x01a\x05\x00\x00\x09", Ok(vec![object(&[("a", Value::Null)])]));
    check(b"\x0b\0\0\0\0\0\0\0\0\x00\x00", Ok(vec![Value::Date(0.0)]));
    check(b"\x0a\0\0\0\x02\x05\x06", Ok(vec![Value::StrictArray(vec![Value::Null, Value::Undefined])]));
}

#[test]
fn the_count_of_an_ecma_array_is_ignored() {
    for count in [0u32, 1, 7, u32::MAX] {
        let bytes = [&[8], &count.to_be_bytes()[..], b"\x00\x01a\x05\x00\x00\x09\x05"].concat();
        check(&bytes, Ok(vec![object(&[("a", Value::Null)]), Value::Null]));
    }
}

#[test]
fn a_missing_last_end_marker_and_an_empty_name_are_tolerated() {
    check(b"\x08\0\0\0\x01\x00\x01a\x05", Ok(vec![object(&[("a", Value::Null)])]));
    check(b"\x03\x00\x00\x05\x00\x00\x09", Ok(vec![object(&[("", Value::Null)])]));
}

#[test]
fn text_that_is_not_utf_8_is_replaced() {
    check(b"\x02\x00\x01\xe9", Ok(vec!["\u{fffd}".into()]));
}

#[test]
fn depth_and_count_bombs_are_refused_cheaply() {
    let nested: Vec<u8> = b"\x03\x00\x01a".repeat(10_000);
    check(&nested, Err(AmfError::Depth));
    let nested: Vec<u8> = b"\x0a\x00\x00\x00\x01".repeat(10_000);
    check(&nested, Err(AmfError::Depth));
    check(b"\x0a\xff\xff\xff\xff\x05\x05", Err(AmfError::Truncated));
    let many = [&b"\x0a\xff\xff\xff\xff"[..], &[5; 2 * AMF_VALUES_MAX]].concat();
    check(&many, Err(AmfError::Values));
    check(&[5; 2 * AMF_VALUES_MAX], Err(AmfError::Values));
    check(&[5; 70_000], Err(AmfError::Bytes));
    check(b"\x0c\xff\xff\xff\xffabc", Err(AmfError::Truncated));
}

#[test]
fn the_deepest_allowed_value_is_read() {
    let mut bytes = b"\x0a\x00\x00\x00\x01".repeat(AMF_DEPTH_MAX - 1);
    bytes.push(5);
    assert!(decode(&bytes).is_ok());
    bytes.splice(0..0, *b"\x0a\x00\x00\x00\x01");
    check(&bytes, Err(AmfError::Depth));
}

#[test]
fn unknown_markers_are_named() {
    for marker in [0x04, 0x09, 0x0e, 0x11, 0xff] {
        check(&[marker, 0, 0], Err(AmfError::Marker(marker)));
    }
}

#[test]
fn properties_are_found_without_case_and_inside_an_array() {
    let value = object(&[("tcurl", "rtmp://h/live".into()), ("n", "12".into())]);
    assert_eq!(value.get("tcUrl").and_then(Value::as_str), Some("rtmp://h/live"));
    assert_eq!(value.get("n").and_then(Value::as_number), Some(12.0));
    assert_eq!(Value::StrictArray(vec![Value::Null, value]).get("N").and_then(Value::as_number), Some(12.0));
}

#[test]
fn values_never_print_their_content() {
    let value = object(&[("sk_name", "sk_secret".into())]);
    assert!(!format!("{value:?} {:?}", Value::from("sk_secret")).contains("sk_"));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter("NaN differs from itself", |number| !number.is_nan()).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::String),
        Just(Value::Null),
        Just(Value::Undefined),
        (-1e12..1e12).prop_map(Value::Date),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(("[a-z]{1,8}", inner.clone()), 0..6).prop_map(Value::Object),
            proptest::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(values in proptest::collection::vec(values(), 0..4)) {
        let mut bytes = BytesMut::new();
        values.iter().for_each(|value| encode(value, &mut bytes));
        prop_assert_eq!(decode(&bytes), Ok(values));
        for len in 0..bytes.len() {
            let _ = decode(&bytes[..len]);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = decode(&bytes);
    }
}
