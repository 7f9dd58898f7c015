use super::*;

/// Records that libx264 wrote for: 1080p30 High (cropped from 1088), 576i25 High, 321x123 4:4:4 at 30000/1001, 180p15 Baseline.
const RECORDS: [(&str, &str, u32, u32, f64); 4] = [
    (
        "01640028ffe1001b67640028acd940780227e5c044000003000400000300f03c60c65801000668ebe3cb22c0fdf8f800",
        "avc1.640028",
        1920,
        1080,
        30.0,
    ),
    (
        "0164001effe100186764001eacd940b424d8088000000300800000190f8a14cb01000668fba3cb22c0fdf8f800",
        "avc1.64001e",
        720,
        576,
        25.0,
    ),
    (
        "01f4000cffe1001967f4000c919b282a23c2136022000007d20001d4c01e28532c01000668ebe3c44844fff8f800",
        "avc1.f4000c",
        321,
        123,
        30_000.0 / 1_001.0,
    ),
    (
        "0142c00cffe100196742c00cd901419f9f0110000003001000000301e0f142a48001000568cb83cb20",
        "avc1.42c00c",
        320,
        180,
        15.0,
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn records_of_x264_read_as_it_was_asked() {
    for (hex, codec, width, height, fps) in RECORDS {
        let config = H264Config::parse(&bytes(hex)).expect(codec);
        assert_eq!((config.rfc6381().as_str(), config.width, config.height), (codec, width, height));
        let rate = config.frame_rate.expect("x264 writes the timing");
        assert!((rate.fps() - fps).abs() < 1e-9, "{codec}: {rate:?}");
        assert_eq!(config.source_length_size, 4);
    }
}

#[test]
fn a_record_built_from_its_own_parameter_sets_says_the_same() {
    for (hex, ..) in RECORDS {
        let config = H264Config::parse(&bytes(hex)).expect("valid");
        let (sps, pps) = config.parameter_sets();
        let rebuilt = H264Config::from_parameter_sets(&sps, &pps).expect("valid");
        assert_eq!(rebuilt.parameter_sets(), config.parameter_sets());
        assert_eq!(
            (rebuilt.width, rebuilt.height, rebuilt.frame_rate),
            (config.width, config.height, config.frame_rate)
        );
    }
}

#[test]
fn truncation_at_every_byte_and_every_flipped_byte_never_panics() {
    for (hex, ..) in RECORDS {
        let whole = bytes(hex);
        for len in 0..whole.len() {
            let _ = H264Config::parse(&whole[..len]);
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] ^= flip;
                if let Ok(config) = H264Config::parse(&broken) {
                    let _ = config.parameter_sets();
                }
            }
        }
    }
}

#[test]
fn a_scaling_list_that_overflows_is_read_to_its_end() {
    // Found by fuzzing: a delta of nearly 2^31 in a scaling list.
    let record = include_bytes!("../../../../../fuzz/seeds/h264_config/scaling-list-overflow");
    let _ = H264Config::parse(record);
}

#[test]
fn bad_records_say_what_is_wrong() {
    let good = bytes(RECORDS[0].0);
    let with = |at: usize, value: u8| {
        let mut record = good.clone();
        record[at] = value;
        H264Config::parse(&record)
    };
    assert_eq!(with(0, 2), Err(H264Error::Version(2)));
    assert_eq!(with(4, 0xfe), Err(H264Error::LengthSize));
    assert_eq!(with(5, 0xe0), Err(H264Error::NoParameterSets));
    assert_eq!(H264Config::parse(&[0; AVCC_LEN_MAX + 1]), Err(H264Error::TooLong));
}

#[test]
fn units_are_walked_until_a_length_overruns() {
    let payload = [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 0x06, 0, 0, 0, 9, 1];
    let kinds: Vec<_> = nal_kinds(&payload, 4).map(|unit| unit.map(|(kind, _)| kind)).collect();
    assert_eq!(kinds, [Ok(NalKind::Idr), Ok(NalKind::Sei), Err(H264Error::Truncated)]);
}
