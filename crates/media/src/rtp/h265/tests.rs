use std::sync::Arc;

use proptest::prelude::*;

use super::super::testing;
use super::*;
use crate::codec::Codec;

/// Parameter sets of libx265, 128x96 at 25.
const VPS: &str = "40010c01ffff01600000030090000003000003001e959409";
const SPS: &str = "42010101600000030090000003000003001ea01020616595952930bc05a02000000300200000030321";
const PPS: &str = "4401c073c189";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn config(sps: &[u8]) -> Arc<CodecConfig> {
    let (vps, pps) = (bytes(VPS), bytes(PPS));
    let sets = H265ParameterSets { vps: vec![&vps], sps: vec![sps], pps: vec![&pps] };
    Arc::new(CodecConfig::H265(H265Config::from_parameter_sets(&sets).expect("valid")))
}

/// Slices of an IDR (type 19) or of a picture that refers to others (type 1).
fn frame(index: i64, key: bool, unit_lens: &[usize]) -> Frame {
    let mut payload = BytesMut::new();
    for len in unit_lens {
        payload.put_u32(*len as u32);
        payload.extend(if key { [0x26, 0x01] } else { [0x02, 0x01] });
        payload.extend((2..*len).map(|at| (at as i64 * 7 + index) as u8));
    }
    let pts = index * 3_000;
    Frame { config: config(&bytes(SPS)), dts: pts, pts, duration: 0, key, payload: payload.freeze() }
}

proptest! {
    #[test]
    fn packets_of_frames_become_the_same_frames(
        lens in prop::collection::vec(prop::collection::vec(2usize..5_000, 1..4), 1..12),
    ) {
        let source: Vec<_> = lens.iter().zip(0..).map(|(lens, at)| frame(at, at % 4 == 0, lens)).collect();
        testing::round_trip(Codec::H265, &source)?;
    }

    #[test]
    fn after_a_loss_nothing_leaves_until_the_next_key_picture(lost in 0usize..200) {
        let source: Vec<_> = (0..40).map(|at| frame(at, at % 10 == 0, &[3_000])).collect();
        testing::loses_one(Codec::H265, &source, 10, lost)?;
    }

    #[test]
    fn arbitrary_payloads_never_panic(payloads in testing::payloads()) {
        testing::take_all(Codec::H265, payloads);
    }
}

#[test]
fn truncation_at_every_byte_spares_what_came_before() {
    let source = [frame(0, true, &[30, 1_200]), frame(1, false, &[1_300]), frame(2, true, &[9])];
    testing::truncations(Codec::H265, &source);
}

#[test]
fn parameter_sets_go_together_before_each_key_picture_in_fragments_if_need_be() {
    let packets = testing::packets(Codec::H265, &[frame(0, true, &[9]), frame(1, false, &[9])]);
    let kinds: Vec<_> = packets.iter().map(|packet| packet.payload[0] >> 1).collect();
    assert_eq!(kinds, [AGGREGATION, 19, 1]);
    // Padding behind the set's end makes it long.
    let mut long = bytes(SPS);
    long.extend([0xff; PAYLOAD_LEN_MAX]);
    let source = Frame { config: config(&long), ..frame(0, true, &[9]) };
    let packets = testing::packets(Codec::H265, std::slice::from_ref(&source));
    assert!(packets.iter().all(|packet| packet.payload.len() <= PAYLOAD_LEN_MAX));
    let kinds: Vec<_> = packets.iter().map(|packet| packet.payload[0] >> 1).collect();
    assert_eq!(kinds, [32, FRAGMENT, FRAGMENT, 34, 19]);
    let (frames, _) = testing::frames(Codec::H265, &packets);
    assert_eq!(testing::facts(&frames), testing::facts(std::slice::from_ref(&source)));
    assert_eq!(frames[0].config, source.config);
}

#[test]
fn a_picture_behind_a_hole_begins_with_its_first_slice_or_what_stands_before_it() {
    let check = |payload: &[u8], expect: bool| assert_eq!(H265Pictures::begins(payload), expect, "{payload:02x?}");
    check(&[0x26, 0x01, 0x80], true);
    check(&[0x26, 0x01, 0x00], false);
    check(&[0x40, 0x01], true);
    check(&[0x62, 0x01, 0x93, 0x80], true);
    check(&[0x62, 0x01, 0x93, 0x00], false);
    check(&[0x62, 0x01, 0x13, 0x80], false);
    check(&[0x62, 0x01], false);
    check(&[0x60, 0x01, 0, 3, 0x26, 0x01, 0x80], true);
    check(&[0x60, 0x01, 0, 3, 0x26, 0x01, 0x00], false);
    check(&[0x60, 0x01, 0, 3, 0x42, 0x01, 0x00], true);
    check(&[0x60, 0x01, 0], false);
}
