//! Viewers, who offer and are answered (WHEP): what they are sent, and how their ICE begins anew.

use std::time::{Duration, Instant};

use telstar_sfu::{Command, Event, Fault, Kind, PeerId, Role, RoomId, Subscription};
use telstar_sim::{Camera, World, assert_decodable, config};
use telstar_units::{ParticipantId, TrackId};

const CONNECT: Duration = Duration::from_secs(3);
const ONE: [(Option<&str>, u64); 1] = [(None, 300_000)];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A publisher's camera and a viewer of it.
fn viewed() -> (World, Camera, PeerId) {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
    let (viewer, _) = world.viewer(10, &[Kind::Audio, Kind::Video]);
    world.subscribe(viewer, TrackId(1));
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])), "both connect");
    (world, Camera::new(publisher, mids[0], &ONE), viewer)
}

fn answer(world: &World, ticket: u64) -> Option<String> {
    world.events.iter().rev().find_map(|(_, event)| match event {
        Event::Answer { ticket: of, sdp, .. } if *of == ticket => Some(sdp.clone()),
        _ => None,
    })
}

fn rejected(world: &World, ticket: u64) -> Option<Fault> {
    world.events.iter().find_map(|(_, event)| match event {
        Event::Rejected { ticket: Some(of), fault, .. } if *of == ticket => Some(*fault),
        _ => None,
    })
}

/// What a viewer's SDP is answered with.
fn offer(sdp: &str) -> Result<String, Fault> {
    let mut world = World::new(config(), 1, Instant::now());
    world.negotiates = false;
    let peer = PeerId(1);
    let (room, participant) = (RoomId(1), ParticipantId(1));
    world.command(Command::AddPeer { peer, room, participant, role: Role::Viewer, auto_subscribe: true });
    world.command(Command::Offer { peer, ticket: 1, sdp: sdp.to_owned(), tracks: Vec::new() });
    rejected(&world, 1).map_or_else(|| Ok(answer(&world, 1).expect("one of both")), Err)
}

#[test]
fn a_viewer_gets_what_it_was_subscribed_to_and_nothing_else() {
    let (mut world, mut camera, viewer) = viewed();
    let (other, _) = world.viewer(11, &[Kind::Video]);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[other])));
    camera.film(&mut world, seconds(2));
    let got = &world.client(viewer).got;
    assert!(got.len() > 80, "{} packets", got.len());
    assert_decodable(got);
    assert!(world.client(other).got.is_empty(), "nobody subscribed it");
    assert!(!world.events.iter().any(|(_, event)| matches!(event, Event::Offer { .. })), "a viewer is offered nothing");
    let slots = world.slots(viewer);
    assert_eq!(slots.iter().map(|slot| slot.track).collect::<Vec<_>>(), [None, Some(TrackId(1))]);
}

/// As aiortc, which sends receiver reports and no transport-wide feedback: nothing ever makes an estimate of its path.
#[test]
fn a_viewer_that_tells_nothing_of_its_path_keeps_a_large_picture() {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
    let (viewer, room, participant) = (PeerId(10), RoomId(1), ParticipantId(10));
    world.add_client(viewer, Role::Viewer);
    world.command(Command::AddPeer { peer: viewer, room, participant, role: Role::Viewer, auto_subscribe: false });
    let (sdp, _) = world.client(viewer).offer_to_view(&[Kind::Video]);
    let silent = |line: &&str| !line.contains("transport-wide-cc") && !line.contains("transport-cc");
    let sdp = sdp.lines().filter(silent).flat_map(|line| [line, "\r\n"]).collect();
    world.command(Command::Offer { peer: viewer, ticket: 10, sdp, tracks: Vec::new() });
    world.subscribe(viewer, TrackId(1));
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])), "both connect");
    let mut camera = Camera::new(publisher, mids[0], &[(None, 2_500_000)]);
    camera.film(&mut world, seconds(2));
    let before = world.client(viewer).got.len();
    camera.film(&mut world, seconds(10));
    let got = &world.client(viewer).got;
    assert_decodable(got);
    assert!(got.len() - before > before * 4, "{before} packets in two seconds, {} after ten more", got.len());
}

#[test]
fn tracks_beyond_the_sections_of_a_viewer_wait_until_one_is_free() {
    let (mut world, mut camera, viewer) = viewed();
    let more = world.publish(camera.publisher, &[(TrackId(2), Kind::Video, &[])]);
    world.subscribe(viewer, TrackId(2));
    let mut second = Camera::new(camera.publisher, more[0], &ONE);
    camera.film(&mut world, seconds(1));
    assert_eq!(world.slots(viewer)[1].track, Some(TrackId(1)));
    let none = Subscription { enabled: false, ..Subscription::default() };
    world.command(Command::Subscribe { peer: viewer, track: TrackId(1), subscription: none });
    second.film(&mut world, seconds(1));
    assert_eq!(world.slots(viewer)[1].track, Some(TrackId(2)));
    assert_decodable(&world.client(viewer).got);
}

#[test]
fn the_answer_to_chrome_sends_only_names_one_stream_for_sound_and_picture_and_has_every_address() {
    let chrome = include_str!("chrome-offer.sdp");
    let mut receives = String::new();
    let lines = chrome.lines().filter(|line| !line.starts_with("a=rid") && !line.starts_with("a=simulcast"));
    lines.for_each(|line| receives.extend([if line == "a=sendonly" { "a=recvonly" } else { line }, "\r\n"]));
    for direction in ["recvonly", "sendrecv"] {
        let answer = offer(&receives.replace("recvonly", direction)).expect("it is answered");
        assert_eq!(answer.matches("\r\na=sendonly\r\n").count(), 2, "{answer}");
        assert_eq!(answer.matches("\r\na=msid:pair0 ").count(), 2, "{answer}");
        assert!(answer.lines().filter(|line| line.contains(" msid:")).all(|line| line.contains(" msid:pair0 ")));
        assert!(answer.contains("192.0.2.1 10000 typ host") && answer.contains("a=setup:passive"), "{answer}");
        assert!(answer.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104"), "the peer's order: {answer}");
    }
}

#[test]
fn what_a_viewer_cannot_ask_for_is_rejected() {
    let (mut world, viewer) = (World::new(config(), 1, Instant::now()), PeerId(9));
    world.add_client(viewer, Role::Viewer);
    let (good, _) = world.client(viewer).offer_to_view(&[Kind::Audio, Kind::Video]);
    assert!(offer(&good).is_ok());
    let check = |sdp: String, fault| assert_eq!(offer(&sdp).expect_err("it is refused"), fault, "{sdp}");
    check(good.replacen("a=recvonly", "a=sendonly", 1), Fault::BadSdp);
    check(good.replacen("a=recvonly", "a=inactive", 1), Fault::BadSdp);
    check(good.replace("opus", "speex"), Fault::NoCodec);
    // Nothing but H.264 in a packetization mode that is not forwarded.
    let modes = good.replace("packetization-mode=1", "packetization-mode=0");
    check(modes.replace("VP8", "X8").replace("VP9", "X9").replace("AV1", "X1").replace("H265", "X5"), Fault::NoCodec);
    check(good.replace("m=audio 9", "m=audio 0").replace("m=video 9", "m=video 0"), Fault::BadSdp);
    // At every byte: `sdp.rs`. This is about the engine behind it.
    for end in (0..good.len()).step_by(97) {
        offer_or_panic(&good[..end]);
    }
}

/// As [`offer`], on a world that is made once: it is about what does not panic.
fn offer_or_panic(sdp: &str) {
    thread_local! {
        static WORLD: std::cell::RefCell<(World, u64)> =
            std::cell::RefCell::new((World::new(config(), 1, Instant::now()), 100));
    }
    WORLD.with_borrow_mut(|(world, next)| {
        *next += 1;
        world.negotiates = false;
        let (peer, room, participant) = (PeerId(*next), RoomId(1), ParticipantId(1));
        world.command(Command::AddPeer { peer, room, participant, role: Role::Viewer, auto_subscribe: false });
        world.command(Command::Offer { peer, ticket: *next, sdp: sdp.to_owned(), tracks: Vec::new() });
        world.command(Command::RemovePeer { peer });
        assert_eq!(world.sfu.counters().panics, 0, "{sdp}");
    })
}

#[test]
fn a_viewer_that_restarts_ice_goes_on_in_the_same_sections() {
    let (mut world, mut camera, viewer) = viewed();
    camera.film(&mut world, seconds(1));
    let before = world.slots(viewer);
    let sdp = world.client(viewer).offer_restart();
    world.command(Command::Offer { peer: viewer, ticket: 99, sdp, tracks: Vec::new() });
    let restarted = answer(&world, 99).expect("it is answered");
    let first = answer(&world, 10).expect("it was answered");
    let streams = |sdp: &str| -> Vec<String> {
        sdp.lines()
            .filter(|line| line.starts_with("a=ssrc") || line.starts_with("a=msid:"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(streams(&restarted), streams(&first), "the same streams");
    camera.film(&mut world, seconds(3));
    let mids =
        |slots: &[telstar_sfu::Slot]| slots.iter().map(|slot| (slot.mid.clone(), slot.track)).collect::<Vec<_>>();
    assert_eq!(mids(&world.slots(viewer)), mids(&before));
    let got = &world.client(viewer).got;
    assert!(got.len() > 110, "media went on: {}", got.len());
    assert_decodable(got);
    let names = world.events.iter().filter(|(_, event)| matches!(event, Event::Ufrag { peer, .. } if *peer == viewer));
    assert_eq!(names.count(), 2, "the new name is told");
}

#[test]
fn a_restart_that_fails_leaves_a_viewer_and_a_publisher_as_they_were() {
    let (mut world, mut camera, viewer) = viewed();
    camera.film(&mut world, seconds(1));
    let (publisher, mut ticket) = (camera.publisher, 500);
    for peer in [viewer, publisher] {
        let good = world.client(peer).offer_restart();
        let direction = if peer == viewer { "a=recvonly" } else { "a=sendonly" };
        let broken = [
            good.replace("a=mid:", "a=mid:x").replace("BUNDLE ", "BUNDLE x"),
            good.split("m=video").next().expect("something before").to_owned(),
            good.replacen(direction, &format!("{direction}\r\na=setup:actpass\r\na=setup:actpass"), 1),
            good.replace("m=audio", "m=text").replace("m=video", "m=text"),
        ];
        for sdp in broken {
            ticket += 1;
            world.command(Command::Offer { peer, ticket, sdp, tracks: Vec::new() });
            assert!(rejected(&world, ticket).is_some(), "offer {ticket} is refused");
        }
    }
    let names = world.events.iter().filter(|(_, event)| matches!(event, Event::Ufrag { .. }));
    assert_eq!(names.count(), 2, "nobody has another name");
    camera.film(&mut world, seconds(20));
    let got = &world.client(viewer).got;
    assert!(got.len() > 1_000, "{} packets", got.len());
    assert_decodable(got);
    assert!(!world.failed(viewer) && !world.failed(publisher));
}

#[test]
fn a_viewer_and_a_publisher_that_never_connect_are_given_up_after_half_a_minute() {
    let mut world = World::new(config(), 1, Instant::now());
    let (viewer, _) = world.viewer(1, &[Kind::Video]);
    let publisher = world.publisher(2);
    world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
    for peer in [viewer, publisher] {
        world.remove_client(peer);
    }
    world.run(seconds(25));
    assert!(!world.failed(viewer) && !world.failed(publisher));
    world.run(seconds(6));
    assert!(world.failed(viewer) && world.failed(publisher));
    assert_eq!(world.sfu.peers(), 0);
}
