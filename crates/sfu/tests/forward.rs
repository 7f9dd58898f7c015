//! Publishers, subscribers and the server between them, under a clock of their own.

mod support;

use std::time::Duration;

use str0m::format::Codec;
use support::{Packet, World, config, vp8};
use telstar_sfu::Kind;
use telstar_units::TrackId;

const CONNECT: Duration = Duration::from_secs(3);

#[test]
fn every_packet_reaches_both_subscribers_in_order() {
    let mut world = World::new(config());
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
