use super::*;

/// Records of libaom (322x180; 320x180 in 4:4:4) and SVT-AV1 (640x360 in 10 bits with HLG).
const RECORDS: [(&str, &str, [u32; 3]); 3] = [
    ("81000c000a0b000000043d06ccdaf90040", "av01.0.00M.08", [322, 180, 8]),
    ("81014c000a0e0000000cc4ff6700be1424482410", "av01.0.01M.10.0.110.09.18.09.0", [640, 360, 10]),
    ("812000000a0a200000043cfeccdaf902", "av01.1.00M.08.0.000.01.01.01.0", [320, 180, 8]),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn read(hex: &str) -> Av1Config {
    Av1Config::parse(&bytes(hex)).expect("valid")
}

#[test]
fn records_of_encoders_read_as_they_were_asked() {
    for (hex, codec, [width, height, depth]) in RECORDS {
        let config = read(hex);
        assert_eq!(config.rfc6381(), codec);
        assert_eq!([config.width, config.height, config.bit_depth.into()], [width, height, depth], "{codec}");
        assert_eq!(config.av1c, bytes(hex), "the encoder's first bytes are what its sequence header says");
    }
    assert_eq!(read(RECORDS[1].0).colour, Colour { primaries: 9, transfer: 18, matrix: 9, full_range: false });
    assert_eq!(read(RECORDS[0].0).colour, Colour::UNSPECIFIED);
}

#[test]
fn a_record_built_from_its_own_sequence_header_says_the_same() {
    for (hex, ..) in RECORDS {
        let config = read(hex);
        let header = obus(&config.av1c[4..]).next().expect("one").expect("whole");
        assert_eq!(config.sequence_header(), header.body);
        assert_eq!(Av1Config::from_sequence_header(&header), Ok(config.clone()));
        // The last OBU of a temporal unit may leave its size out; in a record it may not.
        let unsized_obu = [&[0x08], header.body].concat();
        let unsized_obu = obus(&unsized_obu).next().expect("one").expect("whole");
        assert_eq!(Av1Config::from_sequence_header(&unsized_obu), Ok(config));
    }
}

#[test]
fn truncation_at_every_byte_and_every_flipped_byte_never_panics() {
    for (hex, ..) in RECORDS {
        let whole = bytes(hex);
        for len in 0..whole.len() {
            assert!(Av1Config::parse(&whole[..len]).is_err(), "{len}");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] ^= flip;
                if let Ok(config) = Av1Config::parse(&broken) {
                    let _ = (config.rfc6381(), config.sequence_header());
                }
            }
        }
    }
}

#[test]
fn bad_records_say_what_is_wrong() {
    assert_eq!(Av1Config::parse(&[0x80, 0, 0, 0]), Err(Av1Error::Version(0x80)));
    assert_eq!(Av1Config::parse(&[0x81, 0, 0x0c, 0]), Err(Av1Error::NoSequenceHeader));
    assert_eq!(Av1Config::parse(&[0x81, 0, 0x0c, 0, 0x8a, 0]), Err(Av1Error::Obu), "the forbidden bit");
    assert_eq!(Av1Config::parse(&[0x81, 0, 0x0c, 0, 0x0a, 1, 0xe0]), Err(Av1Error::Truncated));
    assert_eq!(Av1Config::parse(&[0x81; AV1C_LEN_MAX + 1]), Err(Av1Error::TooLong));
    // A picture of 65,536 pixels a side is more than any level has.
    let huge = [0, 0, 0, 0x07, 0xff, 0xff, 0xff, 0xff, 0xf8, 0, 0, 0, 0, 0, 0];
    assert_eq!(SequenceHeader::parse(&huge).err(), Some(Av1Error::SequenceHeader));
}

#[test]
fn descriptors_of_transport_streams_are_read_or_refused() {
    assert_eq!(Av1Config::check_ts_descriptor(&[0x80, 4, 0x81, 0, 0x0c, 0]), Ok(()));
    assert_eq!(Av1Config::check_ts_descriptor(&[0x80, 4, 0x82, 0, 0x0c, 0]), Err(Av1Error::Version(0x82)));
    assert_eq!(Av1Config::check_ts_descriptor(&[0x05, 4, b'A', b'V', b'0', b'1']), Err(Av1Error::Descriptor(5)));
    for len in 0..6 {
        assert_eq!(Av1Config::check_ts_descriptor(&[0x80, 4, 0x81, 0, 0x0c, 0][..len]), Err(Av1Error::Truncated));
    }
}

const DELIMITER: &[u8] = &[0x12, 0x00];
const PADDING: &[u8] = &[0x7a, 0x01, 0x80];
/// Frames of three bytes: a key frame that is shown, one that is not, an inter frame, one that shows an earlier one.
const KEY: &[u8] = &[0x32, 0x03, 0x10, 0xaa, 0xbb];
const HIDDEN_KEY: &[u8] = &[0x32, 0x03, 0x00, 0xaa, 0xbb];
const INTER: &[u8] = &[0x32, 0x03, 0x30, 0xaa, 0xbb];
const SHOW_EXISTING: &[u8] = &[0x1a, 0x01, 0x80];

#[test]
fn a_sample_begins_decoding_only_with_a_key_frame_that_is_shown() {
    let header = &bytes(RECORDS[0].0)[4..];
    let key = |obus: &[&[u8]], reduced| Av1Unit::read(&obus.concat(), reduced).map(|unit| unit.key);
    assert_eq!(key(&[DELIMITER, header, KEY], false), Ok(true));
    assert_eq!(key(&[KEY], false), Ok(true));
    assert_eq!(key(&[HIDDEN_KEY, INTER], false), Ok(false));
    assert_eq!(key(&[INTER, KEY], false), Ok(false), "the first frame counts");
    assert_eq!(key(&[SHOW_EXISTING], false), Ok(false));
    assert_eq!(key(&[INTER], true), Ok(true), "a still picture's header has no frame type");
    assert_eq!(key(&[header, INTER], true), Ok(false), "the unit's own header says that it is none");
    assert!(Av1Unit::read(&[DELIMITER, header].concat(), false).is_ok_and(|unit| !unit.has_frame));
    assert_eq!(key(&[KEY, &[0x32, 9]], false), Err(Av1Error::Truncated));
}

#[test]
fn delimiters_and_padding_leave_and_all_else_stays() {
    let check = |obus: &[&[u8]], expect: &[&[u8]], copied: bool| {
        let unit = Bytes::from(obus.concat());
        let sample = Av1Unit::read(&unit, false).expect("whole").sample(&unit);
        assert_eq!(sample, expect.concat());
        assert_eq!(!unit.as_ptr_range().contains(&sample.as_ptr()), copied, "{obus:02x?}");
    };
    check(&[DELIMITER, KEY], &[KEY], false);
    check(&[DELIMITER, PADDING, KEY, INTER], &[KEY, INTER], false);
    check(&[DELIMITER, KEY, PADDING, INTER], &[KEY, INTER], true);
    check(&[KEY, DELIMITER], &[KEY], true);
    // Extension bytes, and a last OBU without a size.
    check(
        &[&[0x16, 0x08, 0x00], &[0x36, 0x08, 0x01, 0x30], &[0x30, 0x30, 1, 2]],
        &[&[0x36, 0x08, 0x01, 0x30], &[0x30, 0x30, 1, 2]],
        false,
    );
}

#[test]
fn sizes_of_obus_end_somewhere() {
    let first = |bytes: &'static [u8]| obus(bytes).next().expect("not empty").map(|obu| obu.body.len());
    assert_eq!(first(&[0x32, 0x81, 0x00, 7]), Ok(1), "a number may be longer than it has to");
    assert_eq!(first(&[0x32, 0x81]), Err(Av1Error::Truncated));
    assert_eq!(first(&[0x32, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), Err(Av1Error::Obu));
    assert_eq!(first(&[0x32, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(Av1Error::Obu), "more than 32 bits");
    assert_eq!(first(&[0x32, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Av1Error::Truncated));
    assert_eq!(first(&[0x36]), Err(Av1Error::Truncated));
}
