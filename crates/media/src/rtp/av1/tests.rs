use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::testing;
use super::*;
use crate::codec::Codec;

/// A record of libaom, 322x180, and one of 320x180 in 4:4:4.
const RECORD: [u8; 17] =
    [0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3d, 0x06, 0xcc, 0xda, 0xf9, 0x00, 0x40];
const OTHER_RECORD: [u8; 16] =
    [0x81, 0x20, 0x00, 0x00, 0x0a, 0x0a, 0x20, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0x02];

fn config(record: &[u8]) -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Av1(Av1Config::parse(record).expect("valid")))
}

/// A temporal unit: the sequence header before key pictures, a frame, and an OBU with an extension for each length more.
fn frame(index: i64, key: bool, lens: &[usize]) -> Frame {
    let mut payload = if key { RECORD[4..].to_vec() } else { Vec::new() };
    for (number, len) in lens.iter().enumerate() {
        let head: &[u8] = if number == 0 { &[0x32] } else { &[0x26, 0x08] };
        payload.extend_from_slice(head);
        put_leb128(&mut payload, len + 1);
        payload.push(if key { 0x10 } else { 0x30 });
        payload.extend((0..*len).map(|at| (at as i64 * 7 + index) as u8));
    }
    let pts = index * 3_000;
    Frame { config: config(&RECORD), dts: pts, pts, duration: 0, key, payload: payload.into() }
}

proptest! {
    #[test]
    fn packets_of_units_become_the_same_units(
        lens in prop::collection::vec(prop::collection::vec(0usize..4_000, 1..5), 1..12),
    ) {
        let source: Vec<_> = lens.iter().zip(0..).map(|(lens, at)| frame(at, at % 4 == 0, lens)).collect();
        testing::round_trip(Codec::Av1, &source)?;
    }

    #[test]
    fn after_a_loss_nothing_leaves_until_the_next_key_picture(lost in 0usize..200) {
        let source: Vec<_> = (0..40).map(|at| frame(at, at % 10 == 0, &[3_000, 20])).collect();
        testing::loses_one(Codec::Av1, &source, 10, lost)?;
    }

    #[test]
    fn arbitrary_payloads_never_panic(payloads in testing::payloads()) {
        testing::take_all(Codec::Av1, payloads);
    }
}

#[test]
fn truncation_at_every_byte_spares_what_came_before() {
    let source = [frame(0, true, &[30]), frame(1, false, &[1_200, 5]), frame(2, true, &[3, 3])];
    testing::truncations(Codec::Av1, &source);
}

#[test]
fn a_key_picture_gets_the_sequence_header_that_it_lacks_and_leaves_out_delimiters() {
    let whole = frame(0, true, &[30]);
    let bare = whole.payload.slice(RECORD.len() - 4..);
    let delimited = Bytes::from([&[0x12, 0x00], &bare[..]].concat());
    let packets = testing::packets(Codec::Av1, &[Frame { payload: delimited, ..whole.clone() }]);
    assert_eq!(packets[0].payload[..3], [BEGINS_SEQUENCE, 12, SEQUENCE_HEADER]);
    let (frames, _) = testing::frames(Codec::Av1, &packets);
    assert_eq!(testing::facts(&frames), testing::facts(&[whole]));
}

#[test]
fn another_sequence_header_is_another_configuration() {
    let mut source = [frame(0, true, &[30]), frame(1, true, &[30]), frame(2, false, &[30])];
    source[1].payload = [&OTHER_RECORD[4..], &source[1].payload[RECORD.len() - 4..]].concat().into();
    let (frames, _) = testing::frames(Codec::Av1, &testing::packets(Codec::Av1, &source));
    let widths: Vec<_> = frames.iter().filter_map(|frame| frame.config.picture_size()).map(|size| size.0).collect();
    assert_eq!(widths, [322, 320, 320]);
}

/// Key pictures of packets of one time each with these payloads.
fn units(payloads: &[&[u8]]) -> Vec<Bytes> {
    let packets = payloads.iter().zip(0..).map(|(payload, sequence)| Packet {
        sequence,
        time: 7,
        marker: sequence as usize + 1 == payloads.len(),
        key: false,
        payload: Bytes::copy_from_slice(payload),
    });
    testing::frames(Codec::Av1, &packets.collect::<Vec<_>>()).0.into_iter().map(|frame| frame.payload).collect()
}

#[test]
fn elements_with_and_without_lengths_are_put_together() {
    let header = &RECORD[6..];
    let sequence_header = [&[SEQUENCE_HEADER], header].concat();
    let expect = Bytes::from([&RECORD[4..], &[0x32, 4, 0x10, 1, 2, 3]].concat());
    // As libwebrtc writes it: two elements, the last without a length, in two packets.
    let first = [&[0x68, 12], &sequence_header[..], &[0x30, 0x10, 1]].concat();
    assert_eq!(units(&[&first, &[0x90, 2, 3]]), std::slice::from_ref(&expect));
    // With sizes inside, a delimiter, and lengths for all.
    let first = [&[0x08, 2, 0x12, 0, 13], &RECORD[4..], &[6, 0x32, 4, 0x10, 1, 2, 3]].concat();
    assert_eq!(units(&[&first]), [expect]);
    // The second packet continues nothing, or the first one's end is missing.
    assert_eq!(units(&[&[&[0x28, 12], &sequence_header[..], &[0x30, 0x10, 1]].concat(), &[0x90, 2, 3]]).len(), 0);
    assert_eq!(units(&[&[&[0x68, 12], &sequence_header[..], &[0x30, 0x10, 1]].concat()]).len(), 0);
    assert_eq!(units(&[&[0x18, 12, 7]]).len(), 0);
}
