//! The threads, their sockets and the SFU as they are, with peers that speak as much ICE as it takes to be heard.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use telstar_hls::{Budget, HlsConfig};
use telstar_sfu::{Certificate, Kind, Limits, LocalCandidate, NewTrack, Role, RoomId, Source, Transport};
use telstar_units::ParticipantId;

use super::*;
use crate::config::address::Listen;
use crate::listen::{self, MediaSockets};
use crate::shards::{CallSettings, HlsSettings, Shards};

#[path = "../../../tests/support/ice.rs"]
mod ice;

/// Generous: only a broken thread takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Media threads with sockets on a free port.
async fn shards(count: usize) -> (Shards, SocketAddr) {
    let MediaSockets { udp, address, .. } =
        listen::bind_media(Listen::At((Ipv4Addr::LOCALHOST, 0).into()), count).expect("a free port").expect("it is on");
    let candidate = LocalCandidate { transport: Transport::Udp, base: address, advertised: address };
    let certificate = Certificate::generate().expect("the library makes certificates");
    let sfu = SfuConfig { candidates: vec![candidate], ice_lite: true, limits: Limits::default(), certificate };
    let settings = HlsSettings {
        packager: HlsConfig::default(),
        budget: Budget::new(1 << 20),
        first_discontinuity_sequence: 0,
        dvr: None,
        reconnect_window: Duration::ZERO,
    };
    (Shards::start(count, settings, Some(CallSettings { sockets: udp, sfu })).expect("threads can be made"), address)
}

fn add_peer(room: RoomKey, peer: u64) -> Command {
    Command::AddPeer {
        peer: PeerId(peer),
        room: RoomId(room.0),
        participant: ParticipantId(peer),
        role: Role::Publisher,
        auto_subscribe: false,
    }
}

fn offer(peer: u64) -> Command {
    let track = NewTrack {
        mid: "0".to_owned(),
        track: TrackId(peer),
        kind: Kind::Audio,
        source: Source::Person,
        muted: false,
        layers: Vec::new(),
    };
    Command::Offer { peer: PeerId(peer), ticket: peer, sdp: ice::OFFER.to_owned(), tracks: vec![track] }
}

/// The name fragment and the password of an answer.
async fn credentials(events: &mut mpsc::Receiver<Event>) -> (String, String) {
    let answer = tokio::time::timeout(PATIENCE, async {
        loop {
            match events.recv().await.expect("the call is open") {
                Event::Answer { sdp, .. } => return sdp,
                Event::Rejected { fault, .. } => panic!("{fault:?}"),
                _ => {}
            }
        }
    });
    let answer = answer.await.expect("an answer in time");
    let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).expect("it is in every answer");
    (value("a=ice-ufrag:").to_owned(), value("a=ice-pwd:").to_owned())
}

/// A check of a client, as a controlling peer sends it.
fn check(ufrag: &str, password: &str) -> Vec<u8> {
    ice::check((ufrag, password), ice::UFRAG, 7)
}

/// The answer to a check, which is repeated as clients do.
fn answered(client: &UdpSocket, check: &[u8]) -> bool {
    client.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    (0..20).any(|_| {
        client.send(check).expect("sent");
        let mut bytes = [0; 1_500];
        client.recv(&mut bytes).is_ok_and(|length| length > 20 && bytes[..2] == [1, 1] && bytes[8..20] == check[8..20])
    })
}

fn client(address: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    client.connect(address).expect("an address");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_of_peers_in_rooms_of_different_threads_are_answered_through_one_port() {
    let (shards, address) = shards(2).await;
    for peer in 1..=6 {
        let room = RoomKey(peer);
        let (sink, mut events) = mpsc::channel(CALL_EVENTS_MAX);
        assert!(
            shards.open_call(room, sink) && shards.call(room, add_peer(room, peer)) && shards.call(room, offer(peer))
        );
        let (ufrag, password) = credentials(&mut events).await;
        let client = client(address);
        assert!(answered(&client, &check(&ufrag, &password)), "peer {peer}");
        client.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        while client.recv(&mut [0; 1_500]).is_ok() {}
        client.send(&check(&ufrag, "not its password, but as long")).expect("sent");
        let mut bytes = [0; 1_500];
        let forged = client.recv(&mut bytes).map(|_| bytes[1]);
        assert!(forged.is_err() || forged.is_ok_and(|class| class != 1), "whoever has not the password is no peer");
    }
    let counters = shards.net_counters();
    assert_eq!(counters.crossing_dropped_packets.load(Ordering::Relaxed), 0);
    assert!(counters.sent_packets.load(Ordering::Relaxed) >= 6);
    shards.shutdown(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_connection_or_a_call_ends_its_names() {
    let (shards, address) = shards(2).await;
    let (sink, mut events) = mpsc::channel(CALL_EVENTS_MAX);
    let room = RoomKey(1);
    assert!(shards.open_call(room, sink) && shards.call(room, add_peer(room, 1)) && shards.call(room, offer(1)));
    let (ufrag, password) = credentials(&mut events).await;
    let client = client(address);
    assert!(answered(&client, &check(&ufrag, &password)));
    assert!(shards.call(room, Command::CloseRoom { room: RoomId(room.0) }));
    let ended = tokio::time::timeout(PATIENCE, async { while events.recv().await.is_some() {} });
    ended.await.expect("the sink is dropped");
    let unknown = || shards.net_counters().unknown_packets.load(Ordering::Relaxed);
    let before = unknown();
    client.send(&check(&ufrag, &password)).expect("sent");
    let counted = tokio::time::timeout(PATIENCE, async {
        while unknown() == before {
            tokio::task::yield_now().await;
        }
    });
    counted.await.expect("nobody has the name any more");
    shards.shutdown(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_does_not_take_its_events_loses_its_call_and_nobody_else_does() {
    let (shards, address) = shards(1).await;
    let (slow, mut slow_events) = mpsc::channel(1);
    let (sink, mut events) = mpsc::channel(CALL_EVENTS_MAX);
    let (first, second) = (RoomKey(1), RoomKey(2));
    assert!(shards.open_call(first, slow) && shards.open_call(second, sink));
    for peer in 1..=3 {
        assert!(shards.call(first, add_peer(first, peer)) && shards.call(first, offer(peer)));
    }
    assert!(shards.call(second, add_peer(second, 9)) && shards.call(second, offer(9)));
    let (ufrag, password) = credentials(&mut events).await;
    let ended = tokio::time::timeout(PATIENCE, async { while slow_events.recv().await.is_some() {} });
    ended.await.expect("its channel ends");
    assert_eq!(shards.net_counters().slow_rooms.load(Ordering::Relaxed), 1);
    assert!(shards.call(first, offer(1)), "it has no effect, and is no fault");
    assert!(answered(&client(address), &check(&ufrag, &password)), "the other call goes on");
    shards.shutdown(PATIENCE);
}

#[test]
fn a_server_without_calls_says_so() {
    let settings = HlsSettings {
        packager: HlsConfig::default(),
        budget: Budget::new(1 << 20),
        first_discontinuity_sequence: 0,
        dvr: None,
        reconnect_window: Duration::ZERO,
    };
    let shards = Shards::start(1, settings, None).expect("threads can be made");
    let (sink, _events) = mpsc::channel(1);
    assert!(
        !shards.has_calls() && !shards.open_call(RoomKey(1), sink) && !shards.call(RoomKey(1), add_peer(RoomKey(1), 1))
    );
}
