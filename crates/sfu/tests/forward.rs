//! Publishers, subscribers and the server between them, under a clock of their own.

use std::time::{Duration, Instant};

use str0m::format::Codec;
use telstar_sfu::{Event, Kind, Limits, PeerId, SfuConfig};
use telstar_sim::{Packet, World, config, vp8};
use telstar_units::TrackId;

const CONNECT: Duration = Duration::from_secs(3);

#[test]
fn every_packet_reaches_both_subscribers_in_order() {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let viewers = [world.subscriber(2), world.subscriber(3)];
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[]), (TrackId(2), Kind::Audio, &[])]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewers[0], viewers[1]])));
    for number in 0..100u16 {
        let payload = vp8(number == 0, number, &[number as u8; 500]);
        let packet = Packet {
            codec: Codec::Vp8,
            time: u32::from(number) * 3_000,
            marker: true,
            payload: &payload,
            audio_level: None,
        };
        world.send(publisher, mids[0], None, packet);
        let packet = Packet {
            codec: Codec::Opus,
            time: u32::from(number) * 960,
            marker: false,
            payload: &[number as u8; 60],
            audio_level: Some(-30),
        };
        world.send(publisher, mids[1], None, packet);
        world.run(Duration::from_millis(20));
    }
    world.run(Duration::from_millis(500));
    for viewer in viewers {
        for (codec, size) in [("video", 500), ("audio", 60)] {
            let got: Vec<_> =
                world.client(viewer).got.iter().filter(|got| (got.payload.len() > 400) == (size > 400)).collect();
            assert_eq!(got.len(), 100, "{codec} packets at {viewer:?}");
            assert!(got.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1), "{codec} numbers have no gap");
            assert!(
                got.iter().enumerate().all(|(index, got)| got.payload.last() == Some(&(index as u8))),
                "{codec} in order"
            );
        }
    }
}

#[test]
fn every_codec_is_forwarded_from_its_first_keyframe_on() {
    let cases: [(Codec, telstar_media::Codec, &[u8], &[u8]); 3] = [
        // A parameter set, as an encoder sends before each IDR picture; then a slice (RFC 6184 §5.4).
        (Codec::H264, telstar_media::Codec::H264, &[0x67, 0x42, 0xe0, 0x1f, 0x8c], &[0x41, 0x9a, 0, 0]),
        // Flexible mode without and with prediction from other frames (RFC 9628 §4.2).
        (Codec::Vp9, telstar_media::Codec::Vp9, &[0x8c, 0x01, 0x82, 0x49, 0x83, 0x42], &[0xcc, 0x02, 0x86, 0, 0]),
        // A sequence header in a packet that begins a coded video sequence; then a frame.
        (Codec::Av1, telstar_media::Codec::Av1, &[0x18, 0x08, 0x00, 0x00, 0x00], &[0x10, 0x30, 0x10, 0x00]),
    ];
    for (codec, named, key, delta) in cases {
        let mut world = World::new(config(), 1, Instant::now());
        let publisher = world.publisher(1);
        let viewer = world.subscriber(2);
        let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
        assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])));
        for number in 0..60u32 {
            let payload = if number == 20 { key } else { delta };
            let packet = Packet { codec, time: number * 3_000, marker: true, payload, audio_level: None };
            world.send(publisher, mids[0], None, packet);
            world.run(Duration::from_millis(33));
        }
        world.run(Duration::from_millis(500));
        let got = &world.client(viewer).got;
        assert_eq!(got.len(), 40, "{codec:?} from the keyframe on");
        assert!(got.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
        let told = |event: &Event| matches!(event, Event::Track { codec, .. } if *codec == named);
        assert!(world.events.iter().any(|(_, event)| told(event)), "{codec:?} is told");
        assert!(!world.client(publisher).keyframe_requests.is_empty(), "a keyframe was asked for");
    }
}

#[test]
fn in_a_large_room_who_speaks_is_heard() {
    let limits = Limits { audio_slots: 3, ..Limits::default() };
    let mut world = World::new(SfuConfig { limits, ..config() }, 1, Instant::now());
    let publishers: Vec<PeerId> = (1..=6).map(|id| world.publisher(id)).collect();
    let viewer = world.subscriber(50);
    let mut mids = Vec::new();
    for (index, publisher) in publishers.iter().enumerate() {
        mids.push(world.publish(*publisher, &[(TrackId(index as u64 + 1), Kind::Audio, &[])])[0]);
    }
    let mut everybody = publishers.clone();
    everybody.push(viewer);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&everybody)));
    let talk = |world: &mut World, speaker: usize| {
        for number in 0..250u32 {
            for (index, publisher) in publishers.iter().enumerate() {
                let speaks = index == speaker;
                let payload: &[u8] = if speaks { &[1; 80] } else { &[1; 2] };
                let level = if speaks { -25 - (number * 7 % 20) as i8 } else { -120 };
                let time = number * 960;
                let packet = Packet { codec: Codec::Opus, time, marker: false, payload, audio_level: Some(level) };
                world.send(*publisher, mids[index], None, packet);
            }
            world.run(Duration::from_millis(20));
        }
    };
    for speaker in [5, 0, 4] {
        talk(&mut world, speaker);
        let slots = world.slots(viewer);
        let has = slots.iter().any(|slot| slot.track == Some(TrackId(speaker as u64 + 1)));
        assert!(has, "speaker {speaker} has a slot: {slots:?}");
        assert!(slots.iter().filter(|slot| slot.track.is_some()).count() <= 3);
        let got = world.client(viewer).got.iter().rev().take(300).filter(|got| got.payload.len() == 80).count();
        assert!(got > 90, "speaker {speaker} is heard: {got}");
    }
}

/// A frame of VP8 in one packet with picture id, TL0PICIDX and temporal layer (RFC 7741 §4.2).
fn layered(number: u8, temporal: u8) -> Vec<u8> {
    let kind: &[u8] = if number == 1 { &[0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0] } else { &[0x11, 0, 0] };
    [&[0x90, 0xe0, 0x80, number, 1, temporal << 6][..], kind, &[number; 50]].concat()
}

#[test]
fn a_late_packet_that_is_left_out_leaves_padding_in_its_place() {
    let mut world = World::new(config(), 1, Instant::now());
    let (publisher, viewer) = (world.publisher(1), world.subscriber(2));
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])));
    // Frame 3 is late; it is of a layer that the viewer does not get.
    for (number, temporal) in [(1u8, 0), (2, 0), (4, 0), (3, 1), (5, 0)] {
        world.number(publisher, mids[0], 1_000 + u64::from(number));
        let payload = layered(number, temporal);
        let time = 3_000 * u32::from(number);
        let packet = Packet { codec: Codec::Vp8, time, marker: true, payload: &payload, audio_level: None };
        world.send(publisher, mids[0], None, packet);
        world.run(Duration::from_millis(10));
        assert!(world.sfu.aim(viewer, 0, 0));
    }
    world.run(Duration::from_millis(200));
    let mut got: Vec<_> =
        world.client(viewer).got.iter().map(|got| (got.sequence, got.payload.last().copied())).collect();
    got.sort_unstable();
    let numbers: Vec<u64> = got.iter().map(|(sequence, _)| sequence - got[0].0).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4], "nothing is missing: {got:?}");
    let frames: Vec<_> = got.iter().map(|(_, frame)| *frame).collect();
    assert_eq!(frames, [Some(1), Some(2), None, Some(4), Some(5)]);
}
