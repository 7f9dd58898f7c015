//! Enhanced RTMP's video metadata: `colorInfo`, which says of colour what some streams do not say of themselves.

use telstar_media::codec::Colour;

use crate::amf::{self, Value};

/// The colour that the metadata describes. Outer `None`: it says nothing of colour; inner: it takes back what was said.
///
/// Mastering display and light level are left to the stream, where decoders look for them.
pub(super) fn colour_of(metadata: &[u8]) -> Option<Option<Colour>> {
    let (values, _) = amf::decode_lenient(metadata);
    let name_at = values.iter().position(|value| value.as_str() == Some("colorInfo"))?;
    let info = values.get(name_at + 1)?;
    let Some(config) = info.get("colorConfig") else { return Some(None) };
    let code = |name, default: u8| {
        // H.273 code points are bytes.
        let number = config.get(name).and_then(Value::as_number).filter(|number| (0.0..=255.0).contains(number));
        number.map_or(default, |number| number as u8)
    };
    let unspecified = Colour::UNSPECIFIED;
    Some(Some(Colour {
        primaries: code("colorPrimaries", unspecified.primaries),
        transfer: code("transferCharacteristics", unspecified.transfer),
        matrix: code("matrixCoefficients", unspecified.matrix),
        full_range: false,
    }))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn object(properties: &[(&str, Value)]) -> Value {
        Value::Object(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn check(values: &[Value], expect: Option<Option<Colour>>) {
        let mut bytes = BytesMut::new();
        values.iter().for_each(|value| amf::encode(value, &mut bytes));
        assert_eq!(colour_of(&bytes), expect);
        for len in 0..bytes.len() {
            let _ = colour_of(&bytes[..len]);
        }
    }

    #[test]
    fn code_points_are_read_and_taken_back() {
        let config = |primaries: f64| {
            object(&[
                ("bitDepth", 10.0.into()),
                ("colorPrimaries", primaries.into()),
                ("transferCharacteristics", 16.0.into()),
                ("matrixCoefficients", 9.0.into()),
            ])
        };
        let info = |primaries| {
            object(&[("colorConfig", config(primaries)), ("hdrCll", object(&[("maxCLL", 1_000.0.into())]))])
        };
        let pq = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        check(&["colorInfo".into(), info(9.0)], Some(Some(pq)));
        check(&["colorInfo".into(), info(1e9)], Some(Some(Colour { primaries: 2, ..pq })));
        check(&["colorInfo".into(), info(f64::NAN)], Some(Some(Colour { primaries: 2, ..pq })));
        check(&["colorInfo".into(), Value::Undefined], Some(None));
        check(&["other".into(), info(9.0)], None);
        check(&["colorInfo".into()], None);
        check(&[], None);
    }
}
