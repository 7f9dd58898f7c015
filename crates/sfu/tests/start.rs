//! How soon pictures come, and what a path that is too narrow for them sees instead.

use std::time::{Duration, Instant};

use telstar_sfu::{Command, Event, Flow, Kind, PeerId};
use telstar_sim::{Camera, World, assert_decodable, config, layer_of};
use telstar_units::TrackId;

const CONNECT: Duration = Duration::from_secs(3);
const THREE: [&str; 3] = ["l", "m", "h"];
const LAYERS: [(Option<&str>, u64); 3] = [(Some("l"), 120_000), (Some("m"), 400_000), (Some("h"), 1_200_000)];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A publisher who films already.
fn filmed(rids: &[&str], layers: &[(Option<&'static str>, u64)]) -> (World, Camera) {
    let mut world = World::new(config(), 1, Instant::now());
    world.delay = Duration::from_millis(20);
    let publisher = world.publisher(1);
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, rids)]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher])));
    let mut camera = Camera::new(publisher, mids[0], layers);
    camera.film(&mut world, seconds(1));
    (world, camera)
}

/// Joins and films; how long from the command to the first packet.
fn join(world: &mut World, camera: &mut Camera, number: u64, limit_bps: Option<u64>) -> (PeerId, Instant) {
    let viewer = world.subscriber(number);
    world.client(viewer).down.limit_bps = limit_bps;
    let joined = world.now;
    camera.film(world, seconds(1));
    (viewer, joined)
}

/// Bits per second that a viewer got from `from` to `to` seconds after `since`.
fn rate(world: &mut World, viewer: PeerId, since: Instant, from: u64, to: u64) -> u64 {
    let within = since + seconds(from)..since + seconds(to);
    let got = world.client(viewer).got.iter().filter(|got| within.contains(&got.at));
    got.map(|got| got.payload.len() as u64 * 8).sum::<u64>() / (to - from)
}

#[test]
fn a_stream_above_the_first_estimate_is_seen_at_once_and_whole_by_everybody() {
    let (mut world, mut camera) = filmed(&[], &[(None, 1_500_000)]);
    let viewers = [10, 11, 12].map(|number| join(&mut world, &mut camera, number, None));
    camera.film(&mut world, seconds(10));
    for (viewer, joined) in viewers {
        let got = &world.client(viewer).got;
        let first = got.first().expect("something came").at - joined;
        let longest = got.windows(2).map(|pair| pair[1].at - pair[0].at).max().expect("more than one");
        assert!(first < Duration::from_millis(600), "first after {first:?}");
        assert!(longest < Duration::from_millis(150), "frozen for {longest:?}");
        assert_decodable(got);
        let (early, late) = (rate(&mut world, viewer, joined, 1, 3), rate(&mut world, viewer, joined, 5, 10));
        assert!(early > 1_400_000 && late > 1_400_000, "{early} then {late} bit/s");
    }
}

#[test]
fn the_first_layer_of_three_is_seen_at_once_and_the_top_one_within_five_seconds() {
    let (mut world, mut camera) = filmed(&THREE, &LAYERS);
    let (viewer, joined) = join(&mut world, &mut camera, 10, None);
    camera.film(&mut world, seconds(6));
    let got = &world.client(viewer).got;
    let first = got.first().expect("something came").at - joined;
    let top = got.iter().find(|got| layer_of(got) == 2).expect("the top layer came").at - joined;
    assert!(first < Duration::from_millis(600), "first after {first:?}");
    assert!(top < seconds(5), "top after {top:?}");
    assert_decodable(got);
}

#[test]
fn a_top_layer_that_its_publisher_cannot_send_yet_is_not_shown_until_it_is_whole_or_a_still_picture() {
    // Somebody whose path is known by now, so that it would get the top layer at once.
    let (mut world, mut other) = filmed(&[], &[(None, 2_000_000)]);
    let (viewer, _) = join(&mut world, &mut other, 10, None);
    other.film(&mut world, seconds(9));
    let publisher = world.publisher(2);
    let mids = world.publish(publisher, &[(TrackId(2), Kind::Video, &THREE)]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher])));
    let began = world.now;
    // What Firefox does in its first seconds.
    let mut camera =
        Camera::new(publisher, mids[0], &[(Some("l"), 120_000), (Some("m"), 400_000), (Some("h"), 90_000)]);
    let mut film = |world: &mut World, camera: &mut Camera, frames: u32| {
        for _ in 0..frames {
            other.shoot(world);
            camera.shoot(world);
            world.run(Duration::from_millis(33));
        }
    };
    film(&mut world, &mut camera, 27);
    camera.off = vec![2];
    film(&mut world, &mut camera, 120);
    camera.off.clear();
    let again = world.now;
    film(&mut world, &mut camera, 180);
    let slot = world.slots(viewer).into_iter().find(|slot| slot.track == Some(TrackId(2))).expect("it has a slot");
    let got: Vec<_> = world.client(viewer).got.iter().filter(|got| got.mid == slot.mid).cloned().collect();
    let first = got.first().expect("something came").at - began;
    let top = got.iter().find(|got| layer_of(got) == 2).expect("a still picture in the end").at;
    let longest = got.windows(2).map(|pair| pair[1].at - pair[0].at).max().expect("more than one");
    assert!(first < Duration::from_millis(600), "first after {first:?}");
    assert!(top >= again, "the top layer {:?} after the beginning", top - began);
    assert!(longest < Duration::from_millis(200), "frozen for {longest:?}");
    assert_decodable(&got);
}

#[test]
fn a_path_too_narrow_for_the_only_layer_is_overrun_for_a_moment_only_and_asked_again_seldom() {
    let (mut world, mut camera) = filmed(&[], &[(None, 1_500_000)]);
    let (viewer, joined) = join(&mut world, &mut camera, 10, Some(400_000));
    camera.film(&mut world, seconds(59));
    let seconds_with_media =
        (0..60).filter(|second| rate(&mut world, viewer, joined, *second, second + 1) > 200_000).count();
    assert!(seconds_with_media <= 10, "{seconds_with_media} of 60 seconds are overrun");
    let slots = world.slots(viewer);
    assert!(slots.iter().any(|slot| slot.flow == Flow::Bandwidth), "{slots:?}");
    world.client(viewer).down.limit_bps = None;
    let wide = world.now;
    camera.film(&mut world, seconds(20));
    let back = world.client(viewer).got.iter().find(|got| got.at > wide + seconds(1)).map(|got| got.at - wide);
    assert!(back.is_some_and(|back| back < seconds(12)), "back after {back:?}");
    assert!(rate(&mut world, viewer, wide, 15, 20) > 1_400_000);
}

#[test]
fn a_stream_that_fits_a_narrow_path_is_seen_at_once() {
    let (mut world, mut camera) = filmed(&[], &[(None, 250_000)]);
    let (viewer, joined) = join(&mut world, &mut camera, 10, Some(400_000));
    camera.film(&mut world, seconds(15));
    let first = world.client(viewer).got.first().expect("something came").at - joined;
    assert!(first < Duration::from_millis(600), "first after {first:?}");
    for second in [1, 5, 10] {
        let bps = rate(&mut world, viewer, joined, second, second + 4);
        assert!(bps > 200_000, "{bps} bit/s from second {second} on");
    }
}

#[test]
fn a_picture_that_was_lost_to_a_narrow_path_is_back_within_two_seconds_of_the_estimate() {
    let (mut world, mut camera) = filmed(&THREE, &LAYERS);
    let (viewer, _) = join(&mut world, &mut camera, 10, None);
    camera.film(&mut world, seconds(8));
    world.client(viewer).down.limit_bps = Some(90_000);
    camera.film(&mut world, seconds(10));
    world.client(viewer).down.limit_bps = None;
    world.command(Command::Report { peer: viewer, enabled: true });
    let wide = world.now;
    camera.film(&mut world, seconds(20));
    let enough = world.events.iter().find_map(|(at, event)| match event {
        Event::Bandwidth { bandwidth, .. } if *at > wide && bandwidth.estimate_bps > 200_000 => Some(*at),
        _ => None,
    });
    let enough = enough.expect("the estimate rises again");
    let got = &world.client(viewer).got;
    assert!(got.iter().any(|got| got.at > wide && got.at < enough + seconds(2)));
    assert_eq!(got.last().map(layer_of), Some(2), "the top layer in the end");
}

#[test]
fn a_layer_that_is_switched_on_again_is_not_taken_for_a_cheap_one() {
    let (mut world, mut camera) = filmed(&THREE, &LAYERS);
    let (slow, _) = join(&mut world, &mut camera, 10, Some(300_000));
    camera.off = vec![2];
    camera.film(&mut world, seconds(15));
    let (fast, joined) = join(&mut world, &mut camera, 11, None);
    camera.off.clear();
    let again = world.now;
    camera.film(&mut world, seconds(10));
    let layers = |world: &mut World, viewer, since: Instant| {
        let got = world.client(viewer).got.iter().filter(|got| got.at > since).map(layer_of);
        got.collect::<std::collections::BTreeSet<u8>>()
    };
    assert_eq!(layers(&mut world, slow, again), [0].into(), "300 kbit/s carry the low layer");
    assert!(layers(&mut world, fast, joined).contains(&2));
}

#[test]
fn a_second_stream_that_begins_later_is_seen_at_once_too() {
    let (mut world, mut camera) = filmed(&[], &[(None, 1_000_000)]);
    let (viewer, _) = join(&mut world, &mut camera, 10, None);
    camera.film(&mut world, seconds(9));
    let screen = world.publish(camera.publisher, &[(TrackId(2), Kind::Video, &[])]);
    let began = world.now;
    let mut screen = Camera::new(camera.publisher, screen[0], &[(None, 2_500_000)]);
    for _ in 0..150 {
        camera.shoot(&mut world);
        screen.shoot(&mut world);
        world.run(Duration::from_millis(33));
    }
    let slot = world.slots(viewer).into_iter().find(|slot| slot.track == Some(TrackId(2))).expect("it has a slot");
    let first = world.client(viewer).got.iter().find(|got| got.mid == slot.mid).map(|got| got.at - began);
    assert!(first.is_some_and(|first| first < Duration::from_millis(400)), "first after {first:?}");
    assert!(rate(&mut world, viewer, began, 2, 4) > 3_200_000);
    world.command(Command::RemovePeer { peer: viewer });
}
