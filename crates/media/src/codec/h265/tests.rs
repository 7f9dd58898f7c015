use super::*;

/// Records that libx265 wrote, without its SEI message: 322x180 at 30000/1001, 1080p25 in 10 bits with PQ, 640x362 4:4:4
/// at 60 with full range, 128x96 at 25.
const RECORDS: [(&str, &str, [u32; 3], f64); 4] = [
    (
        "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959409a10001002a42010101600000030090000003000003003ca00a880c1c44f965654a4c2f01680800001f480003a98040a2000100064401c073c189",
        "hvc1.1.6.L60.90",
        [322, 180, 8],
        30_000.0 / 1_001.0,
    ),
    (
        "01022000000090000000000078f000fcfdfafa00000f03a00001001840010c01ffff022000000300900000030000030078959409a100010030420101022000000300900000030000030078a003c0801107cad965654a4c2f016a12201208000003000800000300c840a2000100064401c073c189",
        "hvc1.2.4.L120.90",
        [1_920, 1_080, 10],
        25.0,
    ),
    (
        "0104080000009e08000000005af000fcfff8f800000f03a00001001740010c01ffff0408000003009e0800000300005a959409a10001002b4201010408000003009e0800000300005a9000a0402e3e7cb2b2a5270bc05b020000030002000003007810a2000100084401c07318301890",
        "hvc1.4.10.L90.9E.8",
        [640, 362, 8],
        60.0,
    ),
    (
        "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959409a10001002942010101600000030090000003000003001ea01020616595952930bc05a02000000300200000030321a2000100064401c073c189",
        "hvc1.1.6.L30.90",
        [128, 96, 8],
        25.0,
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn records_of_x265_read_as_it_was_asked() {
    for (hex, codec, [width, height, depth], fps) in RECORDS {
        let config = H265Config::parse(&bytes(hex)).expect(codec);
        assert_eq!(config.rfc6381(), codec);
        assert_eq!([config.width, config.height, config.bit_depth.into()], [width, height, depth], "{codec}");
        let rate = config.frame_rate.expect("x265 writes the timing");
        assert!((rate.fps() - fps).abs() < 1e-9, "{codec}: {rate:?}");
        assert_eq!(config.source_length_size, 4);
    }
    let colour = |at: usize| H265Config::parse(&bytes(RECORDS[at].0)).expect("valid").colour;
    assert_eq!(colour(0), Some(Colour::UNSPECIFIED));
    assert_eq!(colour(1), Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false }));
    assert_eq!(colour(2), Some(Colour { full_range: true, ..Colour::UNSPECIFIED }));
}

#[test]
fn what_is_written_is_for_a_sample_entry_without_sets_in_the_stream() {
    for (hex, codec, ..) in RECORDS {
        let mut record = bytes(hex);
        // As FFmpeg's FLV muxer writes it: sets may also be in the stream.
        for array in [0x20, 0x21, 0x22] {
            let at = record.windows(3).position(|window| window == [0x80 | array, 0, 1]).expect("one of each");
            record[at] = array;
        }
        let config = H265Config::parse(&record).expect(codec);
        assert_eq!(config.hvcc, bytes(hex), "array_completeness is set, all else is as it came");
        assert_eq!(H265Config::parse(&config.hvcc), Ok(config));
    }
}

#[test]
fn the_parameter_set_goes_before_the_header_of_the_record() {
    let good = bytes(RECORDS[1].0);
    let mut record = good.clone();
    record[0] = 0;
    record[1..13].fill(0);
    record[16..19].fill(0);
    assert_eq!(H265Config::parse(&record), H265Config::parse(&good));
}

#[test]
fn a_record_built_from_its_own_parameter_sets_says_the_same() {
    for (hex, ..) in RECORDS {
        let config = H265Config::parse(&bytes(hex)).expect("valid");
        let sets = config.parameter_sets();
        assert_eq!([sets.vps.len(), sets.sps.len(), sets.pps.len()], [1, 1, 1]);
        assert_eq!(H265Config::from_parameter_sets(&sets), Ok(config.clone()), "x265 leaves the rest unknown, too");
        let stream = [&sets.vps, &sets.sps, &sets.pps].map(|units| [&[0, 0, 0, 1], units[0]].concat()).concat();
        assert_eq!(H265Config::parse(&stream), Ok(config.clone()), "between start codes");
        let ids = [sets.vps[0], sets.sps[0], sets.pps[0]].map(h265_parameter_set_id);
        assert_eq!(ids, [Some(0), Some(0), Some(0)]);
    }
}

#[test]
fn truncation_at_every_byte_and_every_flipped_byte_never_panics() {
    for (hex, ..) in RECORDS {
        let whole = bytes(hex);
        for len in 0..whole.len() {
            assert!(H265Config::parse(&whole[..len]).is_err(), "{len}");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] ^= flip;
                if let Ok(config) = H265Config::parse(&broken) {
                    let _ = (config.parameter_sets(), config.rfc6381());
                }
            }
        }
    }
}

#[test]
fn bad_records_say_what_is_wrong() {
    let good = bytes(RECORDS[0].0);
    let with = |at: usize, value: u8| {
        let mut record = good.clone();
        record[at] = value;
        H265Config::parse(&record)
    };
    assert_eq!(with(0, 2), Err(H265Error::Version(2)));
    assert_eq!(with(21, 0x0e), Err(H265Error::LengthSize));
    assert_eq!(with(22, 0), Err(H265Error::NoParameterSets));
    assert_eq!(with(22, 2), Err(H265Error::NoParameterSets), "no picture parameter set");
    assert_eq!(with(22, 4), Err(H265Error::Truncated));
    assert_eq!(H265Config::parse(&[1; HVCC_LEN_MAX + 1]), Err(H265Error::TooLong));
    assert_eq!(H265Config::parse(&[0, 0, 1]), Err(H265Error::NoParameterSets));
}

/// Bits from the front, as the standard's tables list them.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn u(&mut self, count: u32, value: u64) -> &mut Bits {
        self.0.extend((0..count).rev().map(|at| value >> at & 1 == 1));
        self
    }

    fn ue(&mut self, value: u64) -> &mut Bits {
        let bits = u64::BITS - (value + 1).leading_zeros();
        self.u(bits - 1, 0).u(bits, value + 1)
    }

    fn ues(&mut self, values: &[u64]) -> &mut Bits {
        for value in values {
            self.ue(*value);
        }
        self
    }

    /// As a NAL unit, with emulation prevention.
    fn unit(&self) -> Vec<u8> {
        let mut unit = Vec::new();
        for byte in self.0.chunks(8) {
            let byte = byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | u8::from(*bit) << (7 - at));
            if byte < 4 && unit.ends_with(&[0, 0]) {
                unit.push(3);
            }
            unit.push(byte);
        }
        unit
    }
}

/// What x265 never writes: sub-layers with levels of their own, a window on all sides, scaling lists, PCM, reference
/// picture sets of both kinds, long-term pictures, an extended aspect ratio, a default window.
fn everything() -> Bits {
    let mut sps = Bits::default();
    sps.u(16, 0x4201).u(4, 0).u(3, 2).u(1, 1);
    sps.u(8, 0x22).u(32, 0x2000_0000).u(48, 0x9000_0000_0000).u(8, 123);
    // Two sub-layers: the first has profile and level, the second a level.
    sps.u(4, 0b1101).u(12, 0).u(44, 0).u(44, 0).u(8, 90).u(8, 93);
    sps.ues(&[3, 1, 1_936, 1_104]).u(1, 1).ues(&[4, 4, 6, 6, 2, 2, 4]);
    // Ordering for each of three sub-layers, and block sizes.
    sps.u(1, 1).ues(&[4, 2, 0, 4, 2, 0, 4, 2, 0, 0, 3, 0, 3, 1, 1]);
    sps.u(1, 1).u(1, 1);
    for (size, matrices) in [(0, 6), (1, 6), (2, 6), (3, 2)] {
        for matrix in 0..matrices {
            if matrix % 2 == 0 {
                sps.u(1, 0).ue(0);
                continue;
            }
            sps.u(1, 1);
            for at in 0..if size == 0 { 16 } else { 64 } + u64::from(size > 1) {
                sps.ue(at % 5);
            }
        }
    }
    // AMP, SAO, PCM.
    sps.u(2, 3).u(1, 1).u(8, 0x77).ues(&[0, 2]).u(1, 1);
    // Three short-term sets: 2 + 1 pictures, predicted keeping 3 of 4, 0 + 1.
    sps.ue(3).ues(&[2, 1]).ue(0).u(1, 1).ue(1).u(1, 1).ue(0).u(1, 1);
    sps.u(1, 1).u(1, 1).ue(0).u(1, 1).u(2, 0b01).u(2, 0b00).u(1, 1);
    sps.u(1, 0).ues(&[0, 1]).ue(0).u(1, 0);
    // Two long-term pictures of 8 bits, temporal motion vectors, smoothing.
    sps.u(1, 1).ue(2).u(9, 5).u(9, 7).u(2, 3);
    // VUI: extended aspect ratio, overscan, colour, chroma location, three flags, default window, timing.
    sps.u(1, 1).u(1, 1).u(8, 255).u(32, 0x0004_0003).u(2, 3);
    sps.u(1, 1).u(3, 5).u(1, 1).u(1, 1).u(8, 9).u(8, 18).u(8, 9);
    sps.u(1, 1).ues(&[2, 2]).u(3, 0).u(1, 1).ues(&[0, 0, 0, 0]);
    sps.u(1, 1).u(32, 1_001).u(32, 60_000).u(1, 0).u(1, 0).u(1, 0).u(1, 1);
    sps
}

#[test]
fn everything_that_may_stand_before_colour_and_timing_is_passed_over() {
    let unit = everything().unit();
    let facts = sps::parse(&unit).expect("valid");
    assert_eq!([facts.width, facts.height], [1_936 - 16, 1_104 - 24]);
    assert_eq!(
        [facts.bit_depth_luma, facts.bit_depth_chroma, facts.chroma_format, facts.temporal_layers],
        [10, 10, 1, 3]
    );
    assert_eq!(facts.colour, Some(Colour { primaries: 9, transfer: 18, matrix: 9, full_range: true }));
    assert_eq!(facts.frame_rate.map(|rate| (rate.numerator, rate.denominator)), Some((60_000, 1_001)));
    assert_eq!(h265_parameter_set_id(&unit), Some(3));
    for len in 0..unit.len() {
        let _ = sps::parse(&unit[..len]);
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let with = |values: [u64; 8]| {
        let mut sps = Bits::default();
        let [chroma, width, height, left, right, top, luma, chroma_depth] = values;
        sps.u(24, 0x42_0101).u(64, 0x0160_0000_0090_0000).u(32, 0x1e).ues(&[0, chroma]);
        sps.ues(&[width, height]).u(1, 1).ues(&[left, right, top, 0, luma, chroma_depth]).u(32, 0);
        sps::parse(&sps.unit()).map(|facts| (facts.width, facts.height))
    };
    assert_eq!(with([1, 64, 64, 1, 2, 3, 0, 0]), Ok((58, 58)));
    assert_eq!(with([2, 64, 64, 1, 2, 3, 0, 0]), Ok((58, 61)));
    assert_eq!(with([0, 64, 64, 1, 2, 3, 0, 0]), Ok((61, 61)));
    for values in [
        [4, 64, 64, 0, 0, 0, 0, 0],
        [1, 0, 64, 0, 0, 0, 0, 0],
        [1, 16_889, 64, 0, 0, 0, 0, 0],
        [1, 64, 64, 16, 16, 0, 0, 0],
        [1, 64, 64, 0xffff_fffe, 1, 0, 0, 0],
        [1, 64, 64, 0, 0, 0x7fff_ffff, 0, 0],
        [1, 64, 64, 0, 0, 0, 9, 0],
        [1, 64, 64, 0, 0, 0, 0, 99],
    ] {
        assert_eq!(with(values), Err(H265Error::Sps), "{values:?}");
    }
}

#[test]
fn units_are_known_by_their_type() {
    let kind = |nal_type: u8| H265NalKind::of(&[nal_type << 1, 1]);
    assert_eq!((kind(0), kind(9), kind(15)), (H265NalKind::Slice, H265NalKind::Slice, H265NalKind::Slice));
    assert!((16..=23).all(|nal_type| kind(nal_type) == H265NalKind::RandomAccess));
    assert_eq!((kind(32), kind(33), kind(34)), (H265NalKind::Vps, H265NalKind::Sps, H265NalKind::Pps));
    assert_eq!((kind(35), kind(39)), (H265NalKind::Delimiter, H265NalKind::Other(39)));
    assert_eq!(H265NalKind::of(&[0x26]), H265NalKind::Other(63), "shorter than a header");
}

#[test]
fn pictures_that_need_what_comes_before_a_random_access_point_are_known() {
    let sample =
        |nal_types: &[u8]| nal_types.iter().flat_map(|kind| [0, 0, 0, 3, kind << 1, 1, 0x80]).collect::<Vec<_>>();
    for (nal_types, expect) in [
        (&[8][..], true),
        (&[39, 9, 9], true),
        (&[6], false),
        (&[7], false),
        (&[1], false),
        (&[21], false),
        (&[], false),
    ] {
        assert_eq!(h265_is_skipped_leading(&sample(nal_types)), expect, "{nal_types:?}");
    }
    assert!(!h265_is_skipped_leading(&[0, 0, 0, 9, 8 << 1]), "an overrun says nothing");
}
