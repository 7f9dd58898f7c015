//! The network edge: STUN, DTLS and garbage of strangers, and of those who have shown no more than a name.

use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::peer::{Identity, Member, Pair, Peer, packet};
use super::sdp::{USUAL, VIDEO_SSRC, VP8};
use super::stage::{SMALL_MIB, Stage, nothing_came};
use super::stun::{self, Credentials};

/// Paths that one connection may have (`crates/sfu/src/demux.rs`).
const PATHS_MAX: usize = 16;

/// A record of DTLS (RFC 6347 §4.1) with this content type and body.
fn record(kind: u8, number: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0xfe, 0xfd];
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A fragment of a handshake message (RFC 6347 §4.2.2).
fn fragment(kind: u8, length: u32, message: u16, offset: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&message.to_be_bytes());
    bytes.extend_from_slice(&offset.to_be_bytes()[1..]);
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(body);
    bytes
}

/// A ClientHello that knows no cipher but the one that is none (RFC 5246 §A.5), with or without that one's name.
fn null_hello() -> Vec<u8> {
    let mut hello = vec![0xfe, 0xfd];
    hello.extend_from_slice(&[7; 32]);
    // No session, no cookie, the suite TLS_NULL_WITH_NULL_NULL, no compression.
    hello.extend_from_slice(&[0, 0, 0, 2, 0, 0, 1, 0]);
    record(22, 0, &fragment(1, hello.len() as u32, 0, 0, &hello))
}

/// Somebody whose offer was answered and who has done nothing since.
async fn half_open(stage: &Stage, identity: &str) -> Peer {
    let mut member = Member::join(stage, identity).await;
    let own = Identity::new();
    let (answer, _) = member.offer(&own, &USUAL).await;
    Peer::new(stage, member, &own, &answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_for_names_that_nobody_has_are_dropped_unanswered() {
    let stage = Stage::set().await;
    let socket = stage.stranger().await;
    stage
        .nobody_is_answered(&socket, 5_000, |number| {
            let of = Credentials { ufrag: format!("{number:016x}"), password: "x".repeat(24) };
            stun::check(&of, number as u32)
        })
        .await;
    stage.others_are_undisturbed().await;
    // Who does know a name and a password gets no more bytes than were sent.
    let mut peer = half_open(&stage, "eve").await;
    let asked = stun::check(&peer.server, 1);
    peer.raw(&asked).await;
    let mut bytes = [0; 2_048];
    let answer = tokio::time::timeout(Duration::from_secs(10), peer.socket.recv(&mut bytes)).await;
    let length = answer.expect("an answer").expect("a datagram");
    assert!(length <= asked.len(), "{length} bytes for {}", asked.len());
    // A wrong password is not even told so.
    peer.check().await;
    let wrong = Credentials { password: "x".repeat(24), ..peer.server.clone() };
    let liar = stage.stranger().await;
    for number in 0..500 {
        liar.send(&stun::check(&wrong, number)).await.expect("sent");
        peer.pace(number).await;
    }
    peer.check().await;
    nothing_came(&liar).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_in_the_name_of_another_have_a_limit_and_cost_it_nothing() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    // Who has seen a name and not the password asks in it without end, over UDP and TCP.
    let wrong = Credentials { password: "x".repeat(24), ..pair.publisher.server.clone() };
    let liar = stage.stranger().await;
    let limited = stage.metric("call_limited_packets_total");
    let begun = Instant::now();
    for number in 0..10_000 {
        liar.send(&stun::check(&wrong, number)).await.expect("sent");
        if number % 64 == 63 {
            // Its owner goes on within what it may send, which is less than this.
            let picture = pair.picture(number % 640 == 639);
            pair.publisher.rtp(&picture).await;
            pair.publisher.check().await;
        }
    }
    // A hundred at once and 25 a second come to where they are looked at (crates/sfu/src/police.rs).
    let looked_at = 10_000 - (stage.metric("call_limited_packets_total") - limited);
    let allowed = 100 + 25 * (begun.elapsed().as_secs() + 2);
    assert!(looked_at <= allowed, "{looked_at} checks were looked at in {:?}", begun.elapsed());
    nothing_came(&liar).await;
    pair.forwards().await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_replayed_from_many_addresses_gets_few_paths_and_its_owner_keeps_them() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    // A check as it was sent once, from everywhere: whoever sees one may repeat it until the password changes.
    let seen = stun::check(&pair.publisher.server, 0);
    let mut sources = Vec::new();
    for number in 0..500u32 {
        let source = stage.stranger().await;
        source.send(&seen).await.expect("sent");
        // Media and handshakes behind it are nobody's, or fail.
        source.send(&packet(VP8, number as u16, 0, VIDEO_SSRC, &[0x10; 100])).await.expect("sent");
        source.send(&null_hello()).await.expect("sent");
        sources.push(source);
        pair.publisher.pace(number).await;
    }
    pair.publisher.check().await;
    let mut bytes = [0; 2_048];
    let answered = sources.iter().filter(|source| source.try_recv(&mut bytes).is_ok()).count();
    assert!(answered < PATHS_MAX, "{answered} of 500 addresses were taken");
    pair.forwards().await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_of_addresses_that_no_check_has_confirmed_are_not_read() {
    let stage = Stage::set().await;
    let mut peer = half_open(&stage, "eve").await;
    let hello = peer.first_flight().concat();
    let socket = stage.stranger().await;
    stage.nobody_is_answered(&socket, 500, |number| if number % 2 == 0 { hello.clone() } else { null_hello() }).await;
    // Its own address may not either, before it has asked.
    peer.raw(&hello).await;
    stage.becomes("the hello is read", |stage| stage.metric("call_unknown_packets_total") > 500).await;
    nothing_came(&peer.socket).await;
    // A connection that stands is not torn down by one.
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    for number in 0..500 {
        pair.publisher.raw(&null_hello()).await;
        pair.viewer.raw(&null_hello()).await;
        // Alerts that nobody has signed (RFC 6347 §4.1.2.7): fatal, and farewell.
        pair.publisher.raw(&record(21, number.into(), &[2, 40])).await;
        pair.viewer.raw(&record(21, number.into(), &[1, 0])).await;
        pair.publisher.pace(number).await;
        pair.viewer.pace(number).await;
    }
    pair.forwards().await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stops_within_its_handshake_is_sent_little() {
    let stage = Stage::set().await;
    let mut peer = half_open(&stage, "eve").await;
    peer.check().await;
    let hello = peer.first_flight();
    for flight in &hello {
        peer.raw(flight).await;
    }
    // Whatever comes within four seconds, the flights that are said again included (RFC 6347 §4.2.4).
    let (mut bytes, mut came) = ([0; 2_048], 0);
    let until = tokio::time::Instant::now() + Duration::from_secs(4);
    while let Ok(received) = tokio::time::timeout_at(until, peer.socket.recv(&mut bytes)).await {
        came += received.expect("a datagram");
    }
    assert!(came > 0, "the address was confirmed, so it is answered");
    assert!(came < 16_384, "{came} bytes for a hello");
    // The same hello a thousand times from the confirmed address is no lever either.
    let before = stage.metric("call_sent_bytes_total");
    for number in 0..1_000 {
        for flight in &hello {
            peer.raw(flight).await;
        }
        peer.pace(number).await;
    }
    peer.check().await;
    let sent = stage.metric("call_sent_bytes_total") - before;
    let received = 1_000 * hello.iter().map(Vec::len).sum::<usize>() as u64;
    // The call beside is in it, with 20 kB a second.
    assert!(sent < 2 * received + 400_000, "{sent} bytes for {received}");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_of_handshakes_that_never_end_are_not_collected() {
    let stage = Stage::set().await;
    let mut peer = half_open(&stage, "eve").await;
    peer.check().await;
    // Sixteen megabytes are claimed by each of a thousand messages, a kilobyte of each comes.
    for number in 0..4_000u32 {
        let piece = fragment(11, 0xff_ffff, (number % 1_000) as u16, (number / 1_000) * 1_000, &[0; 1_000]);
        peer.raw(&record(22, number.into(), &piece)).await;
        if number % 64 == 63 && !peer.is_known().await {
            // Its handshake was given up, which is an answer as well.
            break;
        }
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
    // Half-open connections: two for each participant and no more, and gone with it.
    let before = stage.metric("call_peers_count");
    let mut hoard = Vec::new();
    for number in 0..40 {
        let mut half = half_open(&stage, &format!("half-{number}")).await;
        half.check().await;
        half.flush_dtls().await;
        hoard.push(half);
    }
    stage.others_are_undisturbed().await;
    assert!(stage.metric("call_peers_count") <= before + 80);
    stage.costs_little(128);
    for half in &mut hoard {
        half.member.client.ask(serde_json::json!({ "type": "leave" })).await;
    }
    stage.becomes("they go with their participants", |stage| stage.metric("call_peers_count") <= before).await;
    stage.others_are_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_media_port_is_counted_and_nothing_else() {
    let stage = Stage::set().await;
    let socket = stage.stranger().await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(64 * 1_024);
    while noise.len() < 64 * 1_024 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.push((state >> 56) as u8);
    }
    let quic = |number: u64| [&[0xc0 | (number % 64) as u8, 0, 0, 0, 1, 8][..], &noise[..1_194]].concat();
    stage
        .nobody_is_answered(&socket, 3_000, |number| match number % 6 {
            // QUIC's long header (RFC 9000 §17.2), STUN of another kind, RTP and RTCP, TURN channels, anything.
            0 => quic(number),
            1 => [&[0, 3, 0, 8][..], &stun::COOKIE, &noise[..20]].concat(),
            2 => packet(VP8, number as u16, 0, number as u32, &noise[..1_100]),
            3 => [&[0x81, 206, 0, 2][..], &noise[..8]].concat(),
            4 => [&[0x40, number as u8][..], &noise[..60]].concat(),
            _ => noise[(number as usize * 7) % 60_000..][..(number as usize) % 1_500].to_vec(),
        })
        .await;
    // Empty, one byte, and as long as UDP allows.
    stage
        .nobody_is_answered(&socket, 300, |number| match number % 3 {
            0 => Vec::new(),
            1 => vec![number as u8],
            _ => noise[..65_507.min(noise.len())].to_vec(),
        })
        .await;
    // Over IPv6 to a server that has none there: nobody is there.
    if let Ok(six) = UdpSocket::bind("[::1]:0").await {
        let _ = six.send_to(&quic(1), ("::1", stage.media().port())).await;
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
    let begun = Instant::now();
    Pair::connect(&stage).await.forwards().await;
    assert!(begun.elapsed() < Duration::from_secs(30), "newcomers get in");
}
