use std::sync::Arc;

use proptest::prelude::*;

use super::super::testing;
use super::*;
use crate::codec::Codec;

/// libx264's record for 320x180 Baseline.
const RECORD: [u8; 41] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb,
    0x83, 0xcb, 0x20,
];

/// libx264's record for 1920x1080 High.
const OTHER_RECORD: [u8; 47] = [
    0x01, 0x64, 0x00, 0x28, 0xff, 0xe1, 0x00, 0x1b, 0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5,
    0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58, 0x01, 0x00, 0x06,
    0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8,
];

fn config() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::H264(H264Config::parse(&RECORD).expect("valid")))
}

fn frame(index: i64, key: bool, unit_lens: &[usize]) -> Frame {
    let mut payload = BytesMut::new();
    for len in unit_lens {
        payload.put_u32(*len as u32);
        payload.put_u8(if key { 0x65 } else { 0x41 });
        payload.extend((1..*len).map(|at| (at as i64 * 7 + index) as u8));
    }
    let pts = index * 3_000;
    Frame { config: config(), dts: pts, pts, duration: 0, key, payload: payload.freeze() }
}

proptest! {
    #[test]
    fn packets_of_frames_become_the_same_frames(lens in prop::collection::vec(prop::collection::vec(1usize..5_000, 1..4), 1..12)) {
        let source: Vec<Frame> = lens.iter().enumerate().map(|(at, lens)| frame(at as i64, at % 4 == 0, lens)).collect();
        testing::round_trip(Codec::H264, &source)?;
    }

    #[test]
    fn after_a_loss_nothing_leaves_until_the_next_key_picture(lost in 0usize..200) {
        let source: Vec<Frame> = (0..40).map(|at| frame(at, at % 10 == 0, &[3_000])).collect();
        testing::loses_one(Codec::H264, &source, 10, lost)?;
    }

    #[test]
    fn arbitrary_payloads_never_panic(payloads in testing::payloads()) {
        testing::take_all(Codec::H264, payloads);
    }
}

#[test]
fn truncation_at_every_byte_spares_what_came_before() {
    testing::truncations(Codec::H264, &[frame(0, true, &[30, 1_200]), frame(1, false, &[1_300]), frame(2, true, &[9])]);
}

/// Pictures of the packets with these payloads, a time for each, all with the marker.
fn pictures(payloads: &[(i64, &[u8])]) -> Vec<(i64, bool, Bytes)> {
    let packets = payloads.iter().zip(0..).map(|((time, payload), sequence)| {
        let payload = Bytes::copy_from_slice(payload);
        Packet { sequence, time: *time, marker: payload[0] & 0x1f < 6, key: false, payload }
    });
    testing::facts(&testing::frames(Codec::H264, &packets.collect::<Vec<_>>()).0)
}

#[test]
fn parameter_sets_in_fragments_are_no_part_of_the_picture() {
    let (sps, pps) = (&RECORD[8..33], &RECORD[36..]);
    let first = [&[0x7c, 0x80 | sps[0] & 0x1f], &sps[1..9]].concat();
    let last = [&[0x7c, 0x40 | sps[0] & 0x1f], &sps[9..]].concat();
    let idr = [0x65, 0x88, 1, 2];
    let result = pictures(&[(7, &first), (7, &last), (7, pps), (7, &idr)]);
    assert_eq!(result, [(7, true, Bytes::from_static(&[0, 0, 0, 4, 0x65, 0x88, 1, 2]))]);
}

#[test]
fn other_parameter_sets_are_another_configuration() {
    let other = H264Config::parse(&OTHER_RECORD).expect("valid");
    let mut source = [frame(0, true, &[30]), frame(1, true, &[30]), frame(2, true, &[30])];
    source[1].config = Arc::new(CodecConfig::H264(other));
    let (result, _) = testing::frames(Codec::H264, &testing::packets(Codec::H264, &source));
    let sizes: Vec<_> = result.iter().map(|frame| frame.config.picture_size()).collect();
    assert_eq!(sizes, [Some((320, 180)), Some((1_920, 1_080)), Some((320, 180))]);
}

#[test]
fn an_idr_whose_parameter_sets_were_lost_is_none_unless_the_sender_never_repeats_them() {
    let source: Vec<Frame> = (0..3).map(|at| frame(at, true, &[30])).collect();
    let mut packets = testing::packets(Codec::H264, &source);
    // The slices say that they are the first.
    for packet in packets.iter_mut().filter(|packet| packet.marker) {
        let mut payload = packet.payload.to_vec();
        payload[1] |= 0x80;
        packet.payload = payload.into();
    }
    let times =
        |packets: &[Packet]| testing::frames(Codec::H264, packets).0.iter().map(|frame| frame.pts).collect::<Vec<_>>();
    let mut lost = packets.clone();
    lost.remove(2);
    assert_eq!(times(&lost), [0, 6_000], "they may have changed");
    // Only the first brings sets; of the last, the packet before is lost.
    let never: Vec<Packet> = [&packets[..2], &packets[3..4], &packets[5..]].concat();
    let never: Vec<Packet> =
        never.into_iter().zip([0, 1, 2, 4]).map(|(packet, sequence)| Packet { sequence, ..packet }).collect();
    assert_eq!(times(&never), [0, 3_000, 6_000]);
}
