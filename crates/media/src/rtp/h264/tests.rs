use proptest::prelude::*;

use super::*;

/// libx264's record for 320x180 Baseline.
const RECORD: [u8; 41] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb,
    0x83, 0xcb, 0x20,
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

fn packets(frames: &[Frame]) -> Vec<Packet> {
    let mut packetiser = H264Packetiser::default();
    let mut packets = Vec::new();
    frames.iter().for_each(|frame| packetiser.push(frame, &mut packets));
    packets
}

fn frames(packets: impl IntoIterator<Item = Packet>) -> (Vec<Frame>, u64) {
    let mut depacketiser = H264Depacketiser::default();
    let mut frames = Vec::new();
    packets.into_iter().for_each(|packet| depacketiser.push(&packet, &mut frames));
    (frames, depacketiser.frames_dropped())
}

fn facts(frames: &[Frame]) -> Vec<(i64, bool, Bytes)> {
    frames.iter().map(|frame| (frame.pts, frame.key, frame.payload.clone())).collect()
}

proptest! {
    #[test]
    fn packets_of_frames_become_the_same_frames(lens in prop::collection::vec(prop::collection::vec(1usize..5_000, 1..4), 1..12)) {
        let source: Vec<Frame> = lens.iter().enumerate().map(|(at, lens)| frame(at as i64, at % 4 == 0, lens)).collect();
        let packets = packets(&source);
        prop_assert!(packets.iter().all(|packet| packet.payload.len() <= PAYLOAD_LEN_MAX));
        let (result, dropped) = frames(packets);
        prop_assert_eq!(facts(&result), facts(&source));
        prop_assert_eq!(dropped, 0);
        prop_assert_eq!(&result[0].config, &source[0].config);
    }

    #[test]
    fn after_a_loss_nothing_leaves_until_the_next_key_picture(lost in 0usize..200) {
        let source: Vec<Frame> = (0..40).map(|at| frame(at, at % 10 == 0, &[3_000])).collect();
        let all = packets(&source);
        let lost = lost % all.len();
        let broken_gop = all[lost].time / 3_000 / 10;
        let (result, _) = frames(all.into_iter().filter(|packet| packet.sequence != lost as u64));
        for (pts, _, payload) in facts(&result) {
            let index = pts / 3_000;
            prop_assert_eq!(&payload, &source[index as usize].payload);
            prop_assert!(index / 10 != broken_gop || pts < (lost as i64) * 3_000);
        }
        // Whole GOPs after the broken one are all there.
        let after = result.iter().filter(|frame| frame.pts / 30_000 > broken_gop).count() as i64;
        prop_assert_eq!(after, (3 - broken_gop) * 10);
    }

    #[test]
    fn arbitrary_payloads_never_panic(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let _ = frames(payloads.into_iter().enumerate().map(|(at, payload)| Packet {
            sequence: at as u64, time: at as i64 / 3, marker: at % 3 == 0, key: false, payload: payload.into(),
        }));
    }
}
