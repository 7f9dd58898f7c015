//! What the room's owner gets copies of: all of the best layer, and nothing unless it asked.

use std::time::{Duration, Instant};

use str0m::format::Codec;
use telstar_sfu::{Command, Event, Kind, PeerId, Tapped};
use telstar_sim::{Camera, Packet, World, config};
use telstar_units::TrackId;

const CONNECT: Duration = Duration::from_secs(3);
const TRACK: TrackId = TrackId(1);
const THREE: [&str; 3] = ["l", "m", "h"];
const LAYERS: [(Option<&str>, u64); 3] = [(Some("l"), 120_000), (Some("m"), 400_000), (Some("h"), 1_200_000)];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn published(kind: Kind, rids: &[&str]) -> (World, Camera) {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let mids = world.publish(publisher, &[(TRACK, kind, rids)]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher])));
    (world, Camera::new(publisher, mids[0], &LAYERS))
}

fn tap(world: &mut World, enabled: bool) {
    world.command(Command::Tap { track: TRACK, enabled });
}

fn layer(copy: &Tapped) -> u8 {
    copy.payload.last().copied().unwrap_or(u8::MAX)
}

fn demanded(world: &World) -> Option<Vec<String>> {
    world.events.iter().rev().find_map(|(_, event)| match event {
        Event::Demand { demands, .. } => Some(demands[0].rids.clone()),
        _ => None,
    })
}

/// Every packet of one stream, in order, from a keyframe on.
fn assert_whole(copies: &[Tapped]) {
    assert!(copies.first().is_some_and(|first| first.payload[0] == 0x90 && first.payload[4] & 1 == 0), "a keyframe");
    assert!(copies.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1 && pair[1].ssrc == pair[0].ssrc));
}

#[test]
fn the_owner_gets_every_packet_of_the_top_layer_and_only_that_is_wanted_of_the_publisher() {
    let (mut world, mut camera) = published(Kind::Video, &THREE);
    camera.film(&mut world, seconds(6));
    assert!(world.tapped.is_empty(), "nobody asked");
    assert_eq!(demanded(&world), Some(vec![]), "and nobody watches");
    tap(&mut world, true);
    let from = world.now;
    for _ in 0..12 {
        camera.obey(&world, TRACK);
        camera.film(&mut world, seconds(1));
    }
    assert_eq!(demanded(&world), Some(vec!["h".to_owned()]));
    let top = world.tapped.iter().position(|copy| layer(copy) == 2).expect("the top layer comes");
    assert!(world.tapped[top].arrived - from < seconds(1), "after {:?}", world.tapped[top].arrived - from);
    let copies = world.tapped[top..].to_vec();
    assert_whole(&copies);
    assert!(copies.iter().all(|copy| layer(copy) == 2 && copy.codec == telstar_media::Codec::Vp8));
    let sent = (1_200_000 / 30 / 8usize).div_ceil(1_000) * 30 * 11;
    assert!(copies.len() >= sent - 40, "{} of {sent}", copies.len());
    assert!(copies.last().expect("some").report.is_some(), "with what its sender reported");
    tap(&mut world, false);
    world.tapped.clear();
    camera.film(&mut world, seconds(6));
    assert!(world.tapped.is_empty());
    assert_eq!(demanded(&world), Some(vec![]));
}

#[test]
fn when_the_top_layer_falls_silent_the_next_one_is_taken_and_the_top_one_again_when_it_is_back() {
    let (mut world, mut camera) = published(Kind::Video, &THREE);
    tap(&mut world, true);
    camera.film(&mut world, seconds(3));
    assert_eq!(world.tapped.last().map(layer), Some(2));
    camera.off = vec![2];
    world.tapped.clear();
    let silent = world.now;
    camera.film(&mut world, seconds(3));
    let middle = world.tapped.iter().position(|copy| layer(copy) == 1).expect("the next one");
    assert!(world.tapped[middle].arrived - silent < Duration::from_millis(1_500));
    assert_whole(&world.tapped[middle..]);
    camera.off.clear();
    world.tapped.clear();
    camera.film(&mut world, seconds(3));
    let top = world.tapped.iter().position(|copy| layer(copy) == 2).expect("the top one again");
    assert_whole(&world.tapped[top..]);
}

#[test]
fn keyframes_are_asked_for_through_the_throttle() {
    let (mut world, mut camera) = published(Kind::Video, &[]);
    camera.layers = vec![(None, 300_000)];
    let asked = |world: &mut World| world.client(PeerId(1)).keyframe_requests.len();
    camera.film(&mut world, seconds(1));
    let now = world.now;
    world.sfu.handle_keyframe_request(now, TRACK);
    camera.film(&mut world, seconds(1));
    assert_eq!(asked(&mut world), 0, "it is not tapped");
    tap(&mut world, true);
    camera.film(&mut world, seconds(1));
    let before = asked(&mut world);
    assert_eq!(before, 1, "to begin with");
    for _ in 0..60 {
        let now = world.now;
        world.sfu.handle_keyframe_request(now, TRACK);
        camera.film(&mut world, Duration::from_millis(33));
    }
    let more = asked(&mut world) - before;
    assert!((3..=5).contains(&more), "{more} in two seconds");
}

#[test]
fn sound_is_copied_and_a_muted_track_is_not() {
    let (mut world, camera) = published(Kind::Audio, &[]);
    tap(&mut world, true);
    let speak = |world: &mut World, from: u32| {
        for number in from..from + 50 {
            let packet =
                Packet { codec: Codec::Opus, time: number * 960, marker: false, payload: &[1; 80], audio_level: None };
            world.send(camera.publisher, camera.mid, None, packet);
            world.run(Duration::from_millis(20));
        }
    };
    speak(&mut world, 0);
    assert_eq!(world.tapped.len(), 50);
    world.command(Command::Mute { track: TRACK, muted: true });
    speak(&mut world, 50);
    assert_eq!(world.tapped.len(), 50);
}

#[test]
fn an_owner_that_takes_nothing_loses_the_oldest_and_it_is_counted() {
    let (mut world, mut camera) = published(Kind::Video, &[]);
    camera.layers = vec![(None, 4_000_000)];
    tap(&mut world, true);
    world.takes_taps = false;
    camera.film(&mut world, seconds(10));
    let dropped = world.sfu.counters().tapped_dropped;
    assert!(dropped > 500, "{dropped}");
    let mut copies = Vec::new();
    while let Some(copy) = world.sfu.poll_tapped() {
        copies.push(copy);
    }
    assert_eq!(copies.len(), 4_096);
    assert!(copies.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
}
