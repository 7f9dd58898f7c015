//! What happens in a room over time: tracks come and go, connections restart and die, messages pass.

use std::time::{Duration, Instant};

use str0m::format::Codec;
use telstar_sfu::{Command, Event, Fault, Flow, Kind, Path, PeerId, Quality, Subscription, Transport};
use telstar_sim::{Camera, Packet, World, assert_decodable, begins_key, config, layer_of, server};
use telstar_units::{ParticipantId, TrackId};

const CONNECT: Duration = Duration::from_secs(3);
const THREE: [&str; 3] = ["l", "m", "h"];
const LAYERS: [(Option<&str>, u64); 3] = [(Some("l"), 120_000), (Some("m"), 400_000), (Some("h"), 1_200_000)];
const ONE: [(Option<&str>, u64); 1] = [(None, 300_000)];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A publisher with one video track and subscribers to it, connected.
fn call(rids: &[&str], viewers: u64) -> (World, Camera, Vec<PeerId>) {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let viewers: Vec<PeerId> = (0..viewers).map(|index| world.subscriber(10 + index)).collect();
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, rids)]);
    let mut everybody = viewers.clone();
    everybody.push(publisher);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&everybody)), "everybody connects");
    let layers: &[_] = if rids.is_empty() { &ONE } else { &LAYERS };
    (world, Camera::new(publisher, mids[0], layers), viewers)
}

#[test]
fn a_good_path_gets_the_top_layer_and_the_decoder_never_notices_the_switches() {
    let (mut world, mut camera, viewers) = call(&THREE, 2);
    camera.film(&mut world, seconds(15));
    for viewer in viewers {
        let got = &world.client(viewer).got;
        assert_decodable(got);
        assert_eq!(got.last().map(layer_of), Some(2), "the top layer in the end");
        assert!(got.iter().filter(|got| begins_key(got)).count() >= 2, "by switches at keyframes");
    }
}

#[test]
fn a_subscriber_that_asks_for_a_small_picture_gets_the_low_layer() {
    let (mut world, mut camera, viewers) = call(&THREE, 2);
    let subscription = Subscription { width: 320, height: 180, ..Subscription::default() };
    world.command(Command::Subscribe { peer: viewers[0], track: TrackId(1), subscription });
    camera.film(&mut world, seconds(10));
    let last = |world: &mut World, viewer| world.client(viewer).got.last().map(layer_of);
    assert_eq!(last(&mut world, viewers[0]), Some(0));
    assert_eq!(last(&mut world, viewers[1]), Some(2));
    assert_decodable(&world.client(viewers[0]).got);
}

#[test]
fn layers_that_nobody_watches_are_not_wanted_and_are_again_when_somebody_does() {
    let (mut world, mut camera, viewers) = call(&THREE, 1);
    let small = Subscription { width: 320, height: 180, ..Subscription::default() };
    world.command(Command::Subscribe { peer: viewers[0], track: TrackId(1), subscription: small });
    camera.film(&mut world, seconds(8));
    let last_demand = |world: &World| {
        world.events.iter().rev().find_map(|(_, event)| match event {
            Event::Demand { demands, .. } => Some(demands[0].clone()),
            _ => None,
        })
    };
    assert_eq!(last_demand(&world).expect("the publisher is told").rids, vec!["l"]);
    camera.off = vec![1, 2];
    camera.film(&mut world, seconds(1));
    world.command(Command::Subscribe { peer: viewers[0], track: TrackId(1), subscription: Subscription::default() });
    camera.film(&mut world, seconds(10));
    assert!(last_demand(&world).expect("the publisher is told").rids.len() > 1);
    camera.off.clear();
    camera.film(&mut world, seconds(10));
    assert_eq!(world.client(viewers[0]).got.last().map(layer_of), Some(2));
    assert_decodable(&world.client(viewers[0]).got);
}

/// When a viewer was last sent something else than `layer` since `from`.
fn last_other(world: &mut World, viewer: PeerId, layer: u8, from: std::time::Instant) -> Option<Duration> {
    let got = &world.client(viewer).got;
    got.iter().rev().find(|got| got.at >= from && layer_of(got) != layer).map(|got| got.at - from)
}

/// The longest time between two packets since `from`.
fn longest_freeze(world: &mut World, viewer: PeerId, from: std::time::Instant) -> Duration {
    let got: Vec<_> = world.client(viewer).got.iter().filter(|got| got.at >= from).collect();
    got.windows(2).map(|pair| pair[1].at.saturating_duration_since(pair[0].at)).max().unwrap_or(Duration::MAX)
}

#[test]
fn a_slow_viewer_gets_the_layer_that_fits_within_five_seconds_and_the_top_one_again_within_ten() {
    let (mut world, mut camera, viewers) = call(&THREE, 2);
    camera.film(&mut world, seconds(12));
    let slow = world.now;
    world.client(viewers[0]).down.limit_bps = Some(300_000);
    camera.film(&mut world, seconds(20));
    let other = last_other(&mut world, viewers[0], 0, slow);
    let freeze = longest_freeze(&mut world, viewers[0], slow);
    let fast = world.now;
    world.client(viewers[0]).down.limit_bps = None;
    camera.film(&mut world, seconds(15));
    let back = last_other(&mut world, viewers[0], 2, fast);
    assert!(other.is_some_and(|time| time < seconds(5)), "low after {other:?}");
    assert!(freeze < Duration::from_millis(1_500), "freeze of {freeze:?}");
    assert!(back.is_some_and(|time| time < seconds(10)), "top again after {back:?}");
    assert_eq!(last_other(&mut world, viewers[1], 2, slow), None, "the other viewer never noticed");
}

#[test]
fn lost_packets_are_sent_again() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(2));
    let from = world.now;
    world.client(viewers[0]).down.loss_permille = 50;
    camera.film(&mut world, seconds(10));
    let got = &world.client(viewers[0]).got;
    let mut numbers: Vec<u64> = got.iter().map(|got| got.sequence).collect();
    numbers.sort_unstable();
    let missing = numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).sum::<u64>();
    let late = got.iter().filter(|got| got.at > from).count();
    assert!(late > 500);
    assert!(missing <= 3, "{missing} of {late} packets are missing");
}

#[test]
fn who_asks_for_everything_again_is_sent_a_third_of_it_at_most() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(2));
    let media = world.client(viewers[0]).got[0].ssrc;
    let sent = |world: &mut World| {
        let streams = world.wire.bytes_to(viewers[0]);
        let (media, all) = (streams[&media], streams.values().sum::<u64>());
        (media, all - media)
    };
    let before = sent(&mut world);
    world.client(viewers[0]).down.loss_permille = 600;
    // Shorter than what makes the estimate pause the picture.
    camera.film(&mut world, seconds(2));
    let after = sent(&mut world);
    let (media, resent) = (after.0 - before.0, after.1 - before.1);
    assert!(resent > media / 50, "something is resent: {resent} of {media}");
    // 15 % of what was sent, and padding on the same stream.
    assert!(resent * 3 < media, "{resent} bytes resent of {media}");
}

#[test]
fn a_late_subscriber_begins_with_a_keyframe_within_a_second() {
    let (mut world, mut camera, _) = call(&THREE, 1);
    camera.film(&mut world, seconds(3));
    let late = world.subscriber(50);
    let asked = world.now;
    camera.film(&mut world, seconds(2));
    let got = &world.client(late).got;
    assert_decodable(got);
    assert!(got.first().is_some_and(|first| first.at - asked < seconds(1)), "the first packet comes soon");
}

#[test]
fn a_second_publisher_and_a_second_track_reach_those_who_are_there() {
    let (mut world, mut camera, viewers) = call(&[], 2);
    camera.film(&mut world, seconds(1));
    let second = world.publisher(2);
    let mids = world.publish(second, &[(TrackId(2), Kind::Video, &[])]);
    let more = world.publish(camera.publisher, &[(TrackId(3), Kind::Video, &[])]);
    let mut cameras = [Camera::new(second, mids[0], &ONE), Camera::new(camera.publisher, more[0], &ONE)];
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[second])));
    for _ in 0..300 {
        camera.shoot(&mut world);
        cameras.iter_mut().for_each(|camera| camera.shoot(&mut world));
        world.run(Duration::from_millis(33));
    }
    for viewer in viewers {
        let slots = world.slots(viewer);
        for track in 1..=3 {
            let slot = slots.iter().find(|slot| slot.track == Some(TrackId(track))).expect("each track has a slot");
            let got: Vec<_> = world.client(viewer).got.iter().filter(|got| got.mid == slot.mid).cloned().collect();
            assert!(got.len() > 150, "track {track} is seen: {}", got.len());
            assert_decodable(&got);
        }
    }
}

#[test]
fn a_slot_is_used_again_and_its_stream_goes_on() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(1));
    let offers = |world: &World| world.events.iter().filter(|(_, event)| matches!(event, Event::Offer { .. })).count();
    let before = offers(&world);
    let first = world.slots(viewers[0]);
    world.command(Command::Unpublish { track: TrackId(1) });
    assert!(world.slots(viewers[0]).iter().all(|slot| slot.track.is_none()));
    let mids = world.publish(camera.publisher, &[(TrackId(2), Kind::Video, &[])]);
    let mut second = Camera::new(camera.publisher, mids[0], &ONE);
    second.film(&mut world, seconds(1));
    let slots = world.slots(viewers[0]);
    let slot = slots.iter().find(|slot| slot.track == Some(TrackId(2))).expect("the new track has a slot");
    assert!(first.iter().any(|old| old.mid == slot.mid && old.track == Some(TrackId(1))), "the same slot");
    assert_eq!(offers(&world), before, "without another offer");
    let got = &world.client(viewers[0]).got;
    assert!(got.len() > 40);
    assert_decodable(got);
}

#[test]
fn a_muted_track_is_silent_and_comes_back_with_a_keyframe() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(1));
    world.command(Command::Mute { track: TrackId(1), muted: true });
    world.run(seconds(1));
    let before = world.client(viewers[0]).got.len();
    camera.film(&mut world, seconds(1));
    assert_eq!(world.client(viewers[0]).got.len(), before);
    assert!(world.slots(viewers[0]).iter().any(|slot| slot.flow == Flow::Silent));
    world.command(Command::Mute { track: TrackId(1), muted: false });
    camera.film(&mut world, seconds(1));
    let got = &world.client(viewers[0]).got;
    assert!(got.len() > before + 15);
    assert!(begins_key(&got[before]));
    assert_decodable(got);
}

#[test]
fn lossy_messages_reach_everybody_or_those_named() {
    let (mut world, _, viewers) = call(&[], 2);
    world.run(seconds(1));
    let payload = telstar_sfu::data::write_up(&[], b"all").expect("a short message");
    let named = telstar_sfu::data::write_up(&[ParticipantId(11)], b"one").expect("a short message");
    for message in [payload, named, vec![9, 0, 0]] {
        let client = world.client(PeerId(1));
        let channel = client.channel.expect("the channel is open");
        assert!(client.rtc.channel(channel).expect("the channel is open").write(true, &message).expect("it is sent"));
        world.drive(PeerId(1));
        world.run(Duration::from_millis(100));
    }
    world.run(seconds(1));
    let down = |payload: &[u8]| telstar_sfu::data::write_down(ParticipantId(1), payload).expect("a short message");
    assert_eq!(world.client(viewers[0]).messages, vec![down(b"all")]);
    assert_eq!(world.client(viewers[1]).messages, vec![down(b"all"), down(b"one")]);
}

#[test]
fn a_restart_of_ice_moves_a_subscriber_to_another_address_without_a_gap() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(1));
    world.command(Command::RestartIce { peer: viewers[0] });
    camera.film(&mut world, seconds(3));
    let got = &world.client(viewers[0]).got;
    assert!(got.len() > 110, "media went on: {}", got.len());
    assert_decodable(got);
    let names =
        world.events.iter().filter(|(_, event)| matches!(event, Event::Ufrag { peer, .. } if *peer == viewers[0]));
    assert_eq!(names.count(), 2, "the new name is told");
}

#[test]
fn a_publisher_that_restarts_ice_is_answered_and_goes_on() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(1));
    let sdp = world.client(camera.publisher).offer_restart();
    world.command(Command::Offer { peer: camera.publisher, ticket: 99, sdp, tracks: Vec::new() });
    assert!(world.events.iter().any(|(_, event)| matches!(event, Event::Answer { ticket: 99, .. })));
    camera.film(&mut world, seconds(3));
    assert!(world.client(viewers[0]).got.len() > 110);
    assert_decodable(&world.client(viewers[0]).got);
}

#[test]
fn a_peer_that_falls_silent_is_disconnected_and_later_given_up_and_nobody_else_notices() {
    let (mut world, mut camera, viewers) = call(&[], 2);
    camera.film(&mut world, seconds(1));
    world.client(viewers[0]).cut = true;
    camera.film(&mut world, seconds(12));
    let disconnected = |(_, event): &(_, Event)| matches!(event, Event::Disconnected { peer } if *peer == viewers[0]);
    assert!(world.events.iter().any(disconnected));
    assert!(!world.failed(viewers[0]));
    camera.film(&mut world, seconds(20));
    assert!(world.failed(viewers[0]));
    let got = &world.client(viewers[1]).got;
    assert!(got.len() > 900);
    assert_decodable(got);
}

#[test]
fn a_panic_in_one_peer_ends_that_peer_only() {
    let (mut world, mut camera, viewers) = call(&[], 2);
    let failed = |world: &World| {
        let failed = |(_, event): &(_, Event)| match event {
            Event::Failed { peer, fault } => Some((*peer, *fault)),
            _ => None,
        };
        world.events.iter().filter_map(failed).collect::<Vec<_>>()
    };
    camera.film(&mut world, seconds(1));
    assert!(world.sfu.trip(viewers[0]));
    camera.film(&mut world, seconds(1));
    assert_eq!(failed(&world), vec![(viewers[0], Fault::Internal)]);
    let got = &world.client(viewers[1]).got;
    assert!(got.len() > 50);
    assert_decodable(got);
    assert!(world.sfu.trip(camera.publisher));
    world.run(seconds(1));
    camera.film(&mut world, Duration::from_millis(100));
    assert_eq!(failed(&world).last(), Some(&(camera.publisher, Fault::Internal)));
    assert!(world.slots(viewers[1]).iter().all(|slot| slot.track.is_none()), "its tracks are gone");
    assert_eq!(world.sfu.counters().panics, 2);
    assert_eq!(world.sfu.peers(), 1);
}

#[test]
fn a_peer_that_never_connects_is_given_up_after_half_a_minute() {
    let mut world = World::new(config(), 1, Instant::now());
    let lonely = world.subscriber(1);
    world.client(lonely).cut = true;
    world.run(seconds(10));
    assert!(!world.failed(lonely));
    world.run(seconds(21));
    assert!(world.failed(lonely));
    assert_eq!(world.sfu.peers(), 0);
}

#[test]
fn garbage_from_anywhere_changes_nothing() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(1));
    let strange =
        Path { transport: Transport::Udp, local: server(), remote: "203.0.113.9:9".parse().expect("literal") };
    let known = Path { remote: world.client(camera.publisher).address, ..strange };
    let mut seed = 1u64;
    for number in 0..4_000u32 {
        let bytes: Vec<u8> = (0..number % 200)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as u8
            })
            .collect();
        let used = world.sfu.handle_datagram(world.now, strange, &bytes);
        assert!(!used, "a stranger's datagram is nobody's");
        if number % 8 == 0 {
            world.sfu.handle_datagram(world.now, known, &bytes);
        }
        let mut first = bytes.clone();
        if let Some(byte) = first.first_mut() {
            *byte = [0, 22, 0x80, 0x90][number as usize % 4];
            world.sfu.handle_datagram(world.now, if number % 8 == 1 { known } else { strange }, &first);
        }
    }
    camera.film(&mut world, seconds(2));
    assert_eq!(world.sfu.peers(), 2, "nobody was dropped");
    assert_decodable(&world.client(viewers[0]).got);
    assert!(world.client(viewers[0]).got.len() > 80);
}

#[test]
fn another_room_sees_nothing_and_cannot_ask() {
    let (mut world, mut camera, _) = call(&[], 1);
    let stranger = world.subscriber_in(77, 2);
    world.command(Command::Subscribe { peer: stranger, track: TrackId(1), subscription: Subscription::default() });
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[stranger])));
    camera.film(&mut world, seconds(1));
    assert!(world.client(stranger).got.is_empty());
    assert!(world.slots(stranger).iter().all(|slot| slot.track.is_none()));
}

#[test]
fn bad_offers_are_rejected_and_the_connection_stays() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    let long = format!("v=0\r\n{}", "a=x\r\n".repeat(40_000));
    let sections = format!("v=0\r\n{}", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(10_000));
    for sdp in ["", "nonsense", "v=0\r\n", &long, &sections, &"x".repeat(1 << 20)] {
        let sdp = sdp.to_owned();
        world.command(Command::Offer { peer: camera.publisher, ticket: 7, sdp, tracks: Vec::new() });
    }
    let rejected = world.events.iter().filter(|(_, event)| matches!(event, Event::Rejected { ticket: Some(7), .. }));
    assert_eq!(rejected.count(), 6);
    camera.film(&mut world, seconds(1));
    assert_decodable(&world.client(viewers[0]).got);
    assert!(!world.client(viewers[0]).got.is_empty());
}

#[test]
fn keyframe_requests_of_many_viewers_become_few() {
    let (mut world, mut camera, viewers) = call(&[], 8);
    camera.film(&mut world, seconds(2));
    let publisher = camera.publisher;
    let before = world.client(publisher).keyframe_requests.len();
    for _ in 0..60 {
        for viewer in &viewers {
            ask(&mut world, *viewer);
        }
        camera.film(&mut world, Duration::from_millis(33));
    }
    let asked = world.client(publisher).keyframe_requests.len() - before;
    assert!((1..=6).contains(&asked), "{asked} requests in two seconds");
}

/// Has a viewer ask for a keyframe of what it last got.
fn ask(world: &mut World, viewer: PeerId) {
    let client = world.client(viewer);
    let ssrc = client.got.last().expect("media flows").ssrc;
    client.ask_keyframe(ssrc);
    world.drive(viewer);
}

#[test]
fn a_request_that_crosses_the_keyframe_on_the_way_is_answered_by_it_and_a_later_one_is_heard() {
    let mut world = World::new(config(), 1, Instant::now());
    world.delay = Duration::from_millis(60);
    let (publisher, viewer) = (world.publisher(1), world.subscriber(10));
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])), "both connect");
    let mut camera = Camera::new(publisher, mids[0], &ONE);
    camera.film(&mut world, seconds(5));
    let asked = |world: &mut World| world.client(publisher).keyframe_requests.len();
    let before = asked(&mut world);
    ask(&mut world, viewer);
    assert!(world.run_until(seconds(1), |world| asked(world) > before), "it reaches the publisher");
    camera.shoot(&mut world);
    // The keyframe is at the server in 60 ms and at the viewer in 120.
    world.run(Duration::from_millis(30));
    ask(&mut world, viewer);
    camera.film(&mut world, seconds(2));
    assert_eq!(asked(&mut world) - before, 1, "the second one crossed the answer to the first");
    ask(&mut world, viewer);
    camera.film(&mut world, seconds(1));
    assert_eq!(asked(&mut world) - before, 2, "what is asked with the keyframe there is asked anew");
}

#[test]
fn a_flood_of_a_publisher_is_cut_to_its_limit_and_others_go_on() {
    let (mut world, mut camera, viewers) = call(&[], 1);
    camera.film(&mut world, seconds(1));
    let path = Path { transport: Transport::Udp, local: server(), remote: world.client(camera.publisher).address };
    let mut forged = vec![0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
    forged.resize(1_200, 0);
    for number in 0..100_000u32 {
        forged[8..12].copy_from_slice(&number.to_be_bytes());
        world.sfu.handle_datagram(world.now, path, &forged);
    }
    assert!(world.sfu.counters().refused > 95_000);
    camera.film(&mut world, seconds(3));
    assert!(world.client(viewers[0]).got.len() > 60);
}

#[test]
fn sound_is_forwarded_without_waiting_for_anything() {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let viewer = world.subscriber(2);
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Audio, &[])]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])));
    for number in 0..200u32 {
        let packet = Packet {
            codec: Codec::Opus,
            time: number * 960,
            marker: false,
            payload: &[1; 80],
            audio_level: Some(-20 - (number * 7 % 25) as i8),
        };
        world.send(publisher, mids[0], None, packet);
        world.run(Duration::from_millis(20));
    }
    world.run(seconds(1));
    assert_eq!(world.client(viewer).got.len(), 200);
    let speaks = |(_, event): &(_, Event)| matches!(event, Event::Speakers { speakers, .. } if speakers.first().map(|(who, _)| *who) == Some(ParticipantId(1)));
    assert!(world.events.iter().any(speaks), "who speaks is told");
}

#[test]
fn who_is_removed_is_told_and_its_tracks_are_gone() {
    let (mut world, mut camera, viewers) = call(&[], 2);
    camera.film(&mut world, seconds(1));
    world.command(Command::RemovePeer { peer: viewers[0] });
    world.run(seconds(1));
    assert!(world.client(viewers[0]).closed, "by DTLS");
    assert!(!world.failed(viewers[0]));
    world.command(Command::RemovePeer { peer: camera.publisher });
    assert!(world.slots(viewers[1]).iter().all(|slot| slot.track.is_none()));
    world.command(Command::CloseRoom { room: telstar_sfu::RoomId(1) });
    world.run(seconds(1));
    assert!(world.client(viewers[1]).closed);
    assert_eq!(world.sfu.peers(), 0);
    assert_eq!(world.sfu.poll_timeout(), None, "an empty one sleeps");
}

#[test]
fn a_subscriber_is_told_its_bandwidth_each_second_and_everybody_the_quality() {
    let (mut world, mut camera, viewers) = call(&THREE, 1);
    world.command(Command::Report { peer: viewers[0], enabled: true });
    camera.film(&mut world, seconds(10));
    let reports: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Bandwidth { peer, bandwidth } if *peer == viewers[0] => Some(bandwidth.clone()),
            _ => None,
        })
        .collect();
    assert!((8..=11).contains(&reports.len()), "{} reports", reports.len());
    let last = reports.last().expect("there are some");
    assert!(last.allocated_bps <= last.estimate_bps && last.sent_bps > 1_000_000, "{last:?}");
    assert!(last.round_trip_ms.is_some_and(|millis| millis < 100.0), "{last:?}");
    world.client(viewers[0]).down.limit_bps = Some(200_000);
    world.client(viewers[0]).down.loss_permille = 150;
    camera.film(&mut world, seconds(10));
    let qualities: Vec<Quality> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Quality { peer, quality } if *peer == viewers[0] => Some(*quality),
            _ => None,
        })
        .collect();
    assert_eq!(qualities.first(), Some(&Quality::Excellent));
    assert!(qualities.contains(&Quality::Poor), "while the path loses: {qualities:?}");
}

#[test]
fn what_a_subscriber_is_sent_has_a_limit_whatever_it_reports() {
    let mut config = config();
    config.limits.send_bps_max = 600_000;
    let mut world = World::new(config, 1, Instant::now());
    let (publisher, viewer) = (world.publisher(1), world.subscriber(2));
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &THREE)]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])));
    let mut camera = Camera::new(publisher, mids[0], &LAYERS);
    camera.film(&mut world, seconds(15));
    assert_eq!(world.client(viewer).got.last().map(layer_of), Some(1), "the top layer would be above the limit");
}

#[test]
fn layers_that_were_not_announced_are_taken_from_the_offer() {
    let mut world = World::new(config(), 1, Instant::now());
    let (publisher, viewer) = (world.publisher(1), world.subscriber(2));
    let (sdp, mids) = world.client(publisher).offer(&[(TrackId(1), Kind::Video, &THREE)]);
    let track = telstar_sfu::NewTrack {
        mid: mids[0].to_string(),
        track: TrackId(1),
        kind: Kind::Video,
        source: telstar_sfu::Source::Person,
        muted: false,
        layers: Vec::new(),
    };
    world.command(Command::Offer { peer: publisher, ticket: 1, sdp, tracks: vec![track] });
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])));
    let mut camera = Camera::new(publisher, mids[0], &LAYERS);
    camera.film(&mut world, seconds(12));
    let got = &world.client(viewer).got;
    assert_eq!(got.last().map(layer_of), Some(2));
    assert_decodable(got);
}

#[test]
fn a_slow_viewer_with_loss_gets_the_layer_that_fits_and_the_top_one_again() {
    let (mut world, mut camera, viewers) = call(&THREE, 2);
    world.client(viewers[0]).down.loss_permille = 50;
    camera.film(&mut world, seconds(15));
    let slow = world.now;
    world.client(viewers[0]).down.limit_bps = Some(300_000);
    camera.film(&mut world, seconds(20));
    let other = last_other(&mut world, viewers[0], 0, slow);
    let fast = world.now;
    world.client(viewers[0]).down.limit_bps = None;
    camera.film(&mut world, seconds(20));
    let back = last_other(&mut world, viewers[0], 2, fast);
    assert!(other.is_some_and(|time| time < seconds(5)), "low after {other:?}");
    assert!(back.is_some_and(|time| time < seconds(10)), "top again after {back:?}");
    assert_eq!(last_other(&mut world, viewers[1], 2, slow), None, "the other viewer never noticed");
}
