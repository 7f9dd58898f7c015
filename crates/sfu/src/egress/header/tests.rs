use proptest::prelude::*;

use super::*;

/// A reader of its own: RFC 3550 §5.1, RFC 8285 §4.2 and §4.3. Returns the fields, whether elements have two-byte headers,
/// and the elements.
type Read = (Fields, Option<bool>, Vec<(u8, Vec<u8>)>);

fn read(bytes: &[u8]) -> Read {
    assert_eq!(bytes[0] & 0b1110_1111, 0b1000_0000, "version 2, no padding, no contributing sources");
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let fields = Fields {
        payload_type: bytes[1] & 0x7f,
        marker: bytes[1] & 0x80 != 0,
        sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
        time: word(4),
        ssrc: word(8),
    };
    if bytes[0] & 0x10 == 0 {
        assert_eq!(bytes.len(), 12);
        return (fields, None, Vec::new());
    }
    let two_byte = match word(12) >> 16 {
        0xbede => false,
        0x1000 => true,
        other => panic!("no profile: {other:x}"),
    };
    assert_eq!(bytes.len(), 16 + (word(12) & 0xffff) as usize * 4);
    let (mut elements, mut rest) = (Vec::new(), &bytes[16..]);
    while let Some((first, tail)) = rest.split_first() {
        if *first == 0 {
            rest = tail;
            continue;
        }
        let (id, length, tail) = match two_byte {
            true => (*first, usize::from(tail[0]), &tail[1..]),
            false => (first >> 4, usize::from(first & 15) + 1, tail),
        };
        elements.push((id, tail[..length].to_vec()));
        rest = &tail[length..];
    }
    (fields, Some(two_byte), elements)
}

fn fields() -> impl Strategy<Value = Fields> {
    (0u8..128, any::<bool>(), any::<u16>(), any::<u32>(), any::<u32>())
        .prop_map(|(payload_type, marker, sequence, time, ssrc)| Fields { payload_type, marker, sequence, time, ssrc })
}

proptest! {
    #[test]
    fn what_is_written_is_what_a_reader_finds(
        fields in fields(),
        prefix in 0usize..3,
        mid in proptest::option::of((1u8..=255, any::<[u8; 4]>(), 1u8..=4)),
        ids in (proptest::option::of(1u8..=20), proptest::option::of(1u8..=20), proptest::option::of(1u8..=20)),
        transport in any::<u16>(),
        level in proptest::option::of((0u8..128, any::<bool>())),
        orientation in any::<Option<u8>>(),
    ) {
        let extensions = Extensions { mid, transport: ids.0, level: ids.1, orientation: ids.2 };
        let values = Values { transport, level, orientation };
        let mut bytes = vec![7; prefix];
        let length = write(&mut bytes, &fields, &extensions, &values);
        prop_assert_eq!(bytes.len(), prefix + length);
        prop_assert!(length.is_multiple_of(4) && length <= HEADER_BYTES_MAX);
        let mut expected = Vec::new();
        expected.extend(ids.0.map(|id| (id, transport.to_be_bytes().to_vec())));
        expected.extend(mid.map(|(id, value, length)| (id, value[..usize::from(length)].to_vec())));
        expected.extend(ids.1.zip(level).map(|(id, (level, voice))| (id, vec![level + if voice { 128 } else { 0 }])));
        expected.extend(ids.2.zip(orientation).map(|(id, orientation)| (id, vec![orientation])));
        let two_byte = [mid.map(|mid| mid.0), ids.0, ids.1, ids.2].iter().flatten().any(|id| *id > 14);
        let (found, form, elements) = read(&bytes[prefix..]);
        prop_assert_eq!(found, fields);
        prop_assert_eq!(form, (!expected.is_empty()).then_some(two_byte));
        prop_assert_eq!(elements, expected);
    }

    #[test]
    fn values_that_make_no_sense_are_left_out_or_cut(
        fields in fields(), extensions in (any::<Option<(u8, [u8; 4], u8)>>(), any::<[Option<u8>; 3]>()),
        values in (any::<u16>(), any::<Option<(u8, bool)>>(), any::<Option<u8>>()),
    ) {
        let (mid, [transport, level, orientation]) = extensions;
        let mut bytes = Vec::new();
        let values = Values { transport: values.0, level: values.1, orientation: values.2 };
        write(&mut bytes, &fields, &Extensions { mid, transport, level, orientation }, &values);
        let (_, _, elements) = read(&bytes);
        prop_assert!(elements.iter().all(|(id, value)| *id != 0 && (1..=4).contains(&value.len())));
    }
}

#[test]
fn a_header_without_extensions_has_twelve_bytes() {
    let fields = Fields { payload_type: 111, marker: true, sequence: 0x1234, time: 0x0506_0708, ssrc: 0x090a_0b0c };
    let mut bytes = Vec::new();
    assert_eq!(write(&mut bytes, &fields, &Extensions::default(), &Values::default()), 12);
    assert_eq!(bytes, [0x80, 0xef, 0x12, 0x34, 5, 6, 7, 8, 9, 10, 11, 12]);
}

#[test]
fn a_usual_header_is_the_one_of_rfc_8285() {
    let fields = Fields { payload_type: 96, marker: false, sequence: 1, time: 2, ssrc: 3 };
    let extensions =
        Extensions { mid: Some((4, *b"12\0\0", 2)), transport: Some(3), level: None, orientation: Some(13) };
    let values = Values { transport: 0xabcd, level: Some((1, true)), orientation: None };
    let mut bytes = Vec::with_capacity(64);
    let room = bytes.as_ptr();
    assert_eq!(write(&mut bytes, &fields, &extensions, &values), 24);
    assert_eq!(bytes[..12], [0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    assert_eq!(bytes[12..], [0xbe, 0xde, 0, 2, 0x31, 0xab, 0xcd, 0x41, b'1', b'2', 0, 0]);
    assert_eq!(bytes.as_ptr(), room, "no allocation");
}
