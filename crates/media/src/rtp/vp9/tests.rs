use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::testing;
use super::*;
use crate::codec::Codec;

/// A key frame of libvpx, 322x180.
const KEY: [u8; 16] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x14, 0x10, 0x0b, 0x36, 0x06, 0x38, 0x24, 0x1c, 0x18, 0x4a, 0x00];
const INTER_FRAME: [u8; 3] = [0x86, 0x00, 0x40];

fn frame(index: i64, key: bool, len: usize) -> Frame {
    let mut payload = if key { KEY.to_vec() } else { INTER_FRAME.to_vec() };
    payload.extend((0..len).map(|at| (at as i64 * 7 + index) as u8));
    let pts = index * 3_000;
    let config = Vp9Config::from_key_frame(&KEY, None).expect("valid").expect("a key frame");
    let config = Arc::new(CodecConfig::Vp9(config));
    Frame { config, dts: pts, pts, duration: 0, key, payload: payload.into() }
}

proptest! {
    #[test]
    fn packets_of_frames_become_the_same_frames(lens in prop::collection::vec(0usize..6_000, 1..12)) {
        let source: Vec<_> = lens.iter().zip(0..).map(|(len, at)| frame(at, at % 4 == 0, *len)).collect();
        testing::round_trip(Codec::Vp9, &source)?;
    }

    #[test]
    fn after_a_loss_nothing_leaves_until_the_next_key_frame(lost in 0usize..200) {
        let source: Vec<_> = (0..40).map(|at| frame(at, at % 10 == 0, 3_000)).collect();
        testing::loses_one(Codec::Vp9, &source, 10, lost)?;
    }

    #[test]
    fn arbitrary_payloads_never_panic(payloads in testing::payloads()) {
        testing::take_all(Codec::Vp9, payloads);
    }
}

#[test]
fn truncation_at_every_byte_spares_what_came_before() {
    testing::truncations(Codec::Vp9, &[frame(0, true, 30), frame(1, false, 1_200), frame(2, true, 30)]);
}

#[test]
fn key_frames_say_their_size_and_all_frames_are_numbered() {
    let packets = testing::packets(Codec::Vp9, &[frame(0, true, 2_000), frame(1, false, 5)]);
    let heads: Vec<_> = packets.iter().map(|packet| packet.payload.slice(..8)).collect();
    let expect: [&[u8]; 3] = [
        &[0x8a, 0x80, 0, 0x10, 0x01, 0x42, 0x00, 0xb4],
        &[0x84, 0x80, 0, packets[1].payload[3], packets[1].payload[4], heads[1][5], heads[1][6], heads[1][7]],
        &[0xcc, 0x80, 1, 0x86, 0x00, 0x40, 1, 8],
    ];
    assert_eq!(heads, expect);
}

#[test]
fn descriptors_of_every_length_are_passed_over() {
    type Read<'a> = (bool, u8, Option<(u32, u32)>, &'a [u8]);
    let check = |payload: &[u8], expect: Option<Read<'_>>| {
        let expect = expect.map(|(starts, spatial_layer, size, body)| Descriptor { starts, spatial_layer, size, body });
        assert_eq!(descriptor(payload), expect, "{payload:02x?}");
    };
    check(&[0x08, 7], Some((true, 0, None, &[7])));
    check(&[0x80, 0x11, 7], Some((false, 0, None, &[7])));
    check(&[0x80, 0x91, 0x11, 7], Some((false, 0, None, &[7])));
    // A layer in both modes, references in one of them.
    check(&[0x28, 0x02, 0x55, 7], Some((true, 1, None, &[7])));
    check(&[0x78, 0x04, 0x03, 0x05, 0x06, 7], Some((true, 2, None, &[7])));
    check(&[0x78, 0x04, 0x03, 0x05, 0x07, 0x06, 7], None);
    // Two sizes and a group of two pictures with one and two references.
    let structure = [0x0a, 0x38, 0, 64, 0, 32, 1, 64, 0, 180, 2, 0x04, 1, 0x28, 1, 2, 7];
    check(&structure, Some((true, 0, Some((320, 180)), &[7])));
    for len in 0..structure.len() {
        check(&structure[..len], None);
    }
}

#[test]
fn layers_of_one_picture_are_a_superframe_of_the_uppermost_size() {
    let base = [&[0x2a, 0x00, 0x01, 0x30, 0, 64, 0, 32, 2, 128, 1, 104][..], &KEY].concat();
    let upper = [&[0x24, 0x03, 0x01, 0x99], &[0x55; 300][..]].concat();
    let upper_start = [0x28, 0x03, 0x01, 0x88];
    let packet = |sequence, payload: &[u8], marker| Packet {
        sequence,
        time: 9,
        marker,
        key: false,
        payload: Bytes::copy_from_slice(payload),
    };
    let packets = [packet(0, &base, false), packet(1, &upper_start, false), packet(2, &upper, true)];
    let (frames, _) = testing::frames(Codec::Vp9, &packets);
    let index = [0xc9, 16, 0, 302u16 as u8, 1, 0xc9];
    let expect = [&KEY[..], &[0x88, 0x99], &[0x55; 300], &index].concat();
    assert_eq!(testing::facts(&frames), [(9, true, Bytes::from(expect))]);
    assert_eq!(frames[0].config.picture_size(), Some((640, 360)));
}
