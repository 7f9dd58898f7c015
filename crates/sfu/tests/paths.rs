//! How peers are reached: full ICE, ICE-TCP, an address that is not this machine's, and a peer that moves.

use std::time::{Duration, Instant};

use telstar_sfu::{Command, Event, Kind, Path, PeerId, SfuConfig, Transport};
use telstar_sim::{Camera, World, assert_decodable, config};
use telstar_units::TrackId;

/// The longest time between two checks of a client's engine; nothing shows before the next of them that it has moved.
const CHECKS: Duration = Duration::from_secs(3);

fn film(config: SfuConfig) -> (World, Camera, PeerId) {
    let mut world = World::new(config, 1, Instant::now());
    let publisher = world.publisher(1);
    let viewer = world.subscriber(2);
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
    assert!(world.run_until(Duration::from_secs(5), |world| world.is_connected(&[publisher, viewer])));
    let mut camera = Camera::new(publisher, mids[0], &[(None, 300_000)]);
    camera.film(&mut world, Duration::from_secs(2));
    assert!(world.client(viewer).got.len() > 90, "{}", world.client(viewer).got.len());
    assert_decodable(&world.client(viewer).got);
    (world, camera, viewer)
}

#[test]
fn a_call_works_with_checks_of_our_own() {
    film(SfuConfig { ice_lite: false, ..config() });
}

#[test]
fn candidates_that_are_names_or_nonsense_are_ignored_and_too_many_as_well() {
    let (mut world, mut camera, viewer) = film(SfuConfig { ice_lite: false, ..config() });
    let names = ["candidate:1 1 udp 2122260223 0a1b2c3d.local 50000 typ host", "candidate:", "x", ""];
    for candidate in names {
        world.command(Command::Candidate { peer: viewer, candidate: candidate.to_owned() });
    }
    for host in 0..2_000u32 {
        let candidate = format!("candidate:1 1 udp 1 10.{}.{}.9 9 typ host", host / 250, host % 250);
        world.command(Command::Candidate { peer: viewer, candidate });
    }
    camera.film(&mut world, Duration::from_secs(2));
    assert_decodable(&world.client(viewer).got);
    assert!(world.client(viewer).got.len() > 180);
}

#[test]
fn a_peer_whose_address_changes_goes_on_without_negotiation() {
    let (mut world, mut camera, viewer) = film(config());
    let offers = |world: &World| world.events.iter().filter(|(_, event)| matches!(event, Event::Offer { .. })).count();
    let before = offers(&world);
    world.rebind(viewer, "198.51.100.77:4321".parse().expect("a literal address"));
    camera.film(&mut world, Duration::from_secs(8));
    let since = world.now - Duration::from_secs(1);
    let arrived = world.client(viewer).got.iter().filter(|got| got.at > since).count();
    assert!(arrived > 30, "{arrived} packets in the last second");
    assert_eq!(offers(&world), before);
}

#[test]
fn a_forged_check_from_elsewhere_does_not_take_a_path_over() {
    let (mut world, mut camera, viewer) = film(config());
    // The publisher's genuine checks, seen on the way and sent again as if the subscriber's address had made them.
    let stolen = Path { remote: world.client(viewer).address, ..world.path(camera.publisher) };
    let checks = world.checks(camera.publisher);
    assert!(!checks.is_empty());
    for check in checks {
        world.sfu.handle_datagram(world.now, stolen, &check);
    }
    camera.film(&mut world, Duration::from_secs(3));
    let since = world.now - Duration::from_secs(1);
    let arrived = world.client(viewer).got.iter().filter(|got| got.at > since).count();
    assert!(arrived > 30, "{arrived} packets in the last second");
    assert!(!world.failed(viewer));
}

#[test]
fn checks_in_somebodys_name_from_elsewhere_cost_the_owner_nothing() {
    let (mut world, mut camera, viewer) = film(config());
    let mut check = world.checks(camera.publisher).pop().expect("it has asked");
    // The name is right and the rest is not: 20,000 in a second from one address, five times what its owner may send.
    let last = check.len() - 10;
    check[last] ^= 1;

    let path = Path { remote: ([192, 0, 2, 66], 6_666).into(), ..world.path(camera.publisher) };
    let refused = world.sfu.counters().refused;
    for _ in 0..100 {
        for _ in 0..200 {
            world.sfu.handle_datagram(world.now, path, &check);
        }
        camera.film(&mut world, Duration::from_millis(10));
    }
    assert!(world.sfu.counters().refused - refused > 19_800, "the engine saw a few only");
    let since = world.now - Duration::from_secs(1);
    let arrived = world.client(viewer).got.iter().filter(|got| got.at > since).count();
    assert!(arrived > 30, "{arrived} packets in the second of the flood");
}

#[test]
fn a_call_works_over_tcp_and_a_closed_connection_is_forgotten() {
    let mut config = config();
    config.candidates[0].transport = Transport::Tcp;
    let (mut world, _, viewer) = film(config);
    let path = world.path(viewer);
    assert_eq!(path.transport, Transport::Tcp);
    world.sfu.handle_closed(path);
    let used = world.sfu.handle_datagram(world.now, path, &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(!used, "the path is nobody's");
}

/// How long pictures stood still at most since then.
fn stillness(world: &mut World, viewer: PeerId, since: Instant) -> Duration {
    let end = world.now;
    let got = world.client(viewer).got.iter().map(|got| got.at).filter(|at| *at >= since);
    let moments: Vec<Instant> = std::iter::once(since).chain(got).chain(std::iter::once(end)).collect();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[test]
fn whoever_a_nat_moves_again_and_again_is_followed_with_its_next_check() {
    for ice_lite in [true, false] {
        let (mut world, mut camera, viewer) = film(SfuConfig { ice_lite, ..config() });
        for port in (1..=20).chain([19]) {
            let moved = world.now;
            world.rebind(viewer, format!("198.51.100.77:{port}").parse().expect("a literal address"));
            camera.film(&mut world, Duration::from_millis(7_300));
            let still = stillness(&mut world, viewer, moved);
            assert!(still < CHECKS + Duration::from_secs(2), "port {port}, lite {ice_lite}: still for {still:?}");
        }
    }
}
