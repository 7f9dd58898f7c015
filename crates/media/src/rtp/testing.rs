//! What the tests of all formats do alike.

use bytes::Bytes;
use proptest::prelude::*;

use super::{Depacketiser, PAYLOAD_LEN_MAX, Packetiser};
use crate::codec::Codec;
use crate::frame::{Frame, Packet};

/// Time, key, payload.
pub(super) fn facts(frames: &[Frame]) -> Vec<(i64, bool, Bytes)> {
    frames.iter().map(|frame| (frame.pts, frame.key, frame.payload.clone())).collect()
}

pub(super) fn packets(codec: Codec, source: &[Frame]) -> Vec<Packet> {
    let (mut packetiser, mut packets) = (Packetiser::new(codec).expect("has one"), Vec::new());
    source.iter().for_each(|frame| packetiser.push(frame, &mut packets));
    packets
}

/// What comes of packets, and how many access units are dropped.
pub(super) fn frames<'a>(codec: Codec, packets: impl IntoIterator<Item = &'a Packet>) -> (Vec<Frame>, u64) {
    let (mut depacketiser, mut frames) = (Depacketiser::new(codec).expect("has one"), Vec::new());
    packets.into_iter().for_each(|packet| depacketiser.push(packet, &mut frames));
    (frames, depacketiser.frames_dropped())
}

/// Frames of which the first is a key frame come out as they went in.
pub(super) fn round_trip(codec: Codec, source: &[Frame]) -> Result<(), TestCaseError> {
    let packets = packets(codec, source);
    prop_assert!(packets.iter().all(|packet| packet.payload.len() <= PAYLOAD_LEN_MAX));
    prop_assert!(packets.iter().zip(0..).all(|(packet, sequence)| packet.sequence == sequence));
    prop_assert_eq!(packets.iter().filter(|packet| packet.marker).count(), source.len());
    let (result, dropped) = frames(codec, &packets);
    prop_assert_eq!(facts(&result), facts(source));
    prop_assert_eq!(dropped, 0);
    prop_assert!(result.iter().zip(source).all(|(result, source)| result.config == source.config));
    Ok(())
}

/// Loses one packet of groups of `gop` pictures: nothing that leaves is changed, nothing leaves between the loss and the
/// next key picture, and all other groups are whole.
pub(super) fn loses_one(codec: Codec, source: &[Frame], gop: usize, lost: usize) -> Result<(), TestCaseError> {
    let all = packets(codec, source);
    let lost = lost % all.len();
    let broken = source.iter().position(|frame| frame.pts == all[lost].time).expect("of a frame");
    let (result, _) = frames(codec, all.iter().filter(|packet| packet.sequence != lost as u64));
    let next_key = (broken / gop + 1) * gop;
    let expect: Vec<Frame> = [&source[..broken], &source[next_key.min(source.len())..]].concat();
    prop_assert_eq!(facts(&result), facts(&expect), "packet {} of picture {}", lost, broken);
    Ok(())
}

/// Payloads that mean nothing, for [`take_all`].
pub(super) fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)
}

pub(super) fn take_all(codec: Codec, payloads: Vec<Vec<u8>>) {
    let packets = payloads.into_iter().enumerate().map(|(at, payload)| Packet {
        sequence: at as u64,
        time: at as i64 / 3,
        marker: at % 3 == 0,
        key: false,
        payload: payload.into(),
    });
    frames(codec, &packets.collect::<Vec<_>>());
}

/// Cuts each packet at every byte: nothing panics, and pictures before the cut one leave as they are.
pub(super) fn truncations(codec: Codec, source: &[Frame]) {
    let whole = packets(codec, source);
    for at in 0..whole.len() {
        let before = source.iter().take_while(|frame| frame.pts < whole[at].time).count();
        for len in 0..whole[at].payload.len() {
            let mut cut = whole.clone();
            cut[at].payload.truncate(len);
            let (result, _) = frames(codec, &cut);
            assert_eq!(facts(&result[..before]), facts(&source[..before]), "packet {at} cut to {len}");
        }
    }
}
