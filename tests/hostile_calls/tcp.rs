//! ICE-TCP: frames that lie (RFC 4571 §2), drip, or never come.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::peer::Peer;
use super::sdp::USUAL;
use super::stage::{SMALL_MIB, Stage};
use super::stun;
use super::support::PATIENCE;

/// Connections that one address may have here.
const CONNECTIONS_MAX: u32 = 50;

async fn connect(stage: &Stage) -> TcpStream {
    TcpStream::connect(stage.media()).await.expect("the port is open")
}

/// Reads to the end; whether anything was said.
async fn last_words(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    // A reset is an end too.
    let _ = end;
    bytes.len()
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u16).to_be_bytes()[..], frame].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_frame_nothing_of_ours_are_closed() {
    let stage = Stage::set_with(|config| config.media.tcp_connections_per_address_max = CONNECTIONS_MAX).await;
    let refused = || stage.metric("call_tcp_refused_connections_total");
    // At once: lengths that no datagram has, other protocols, checks for nobody.
    let of = stun::Credentials { ufrag: "nobodyknowsit".to_owned(), password: "x".repeat(24) };
    let probes = [
        vec![0xff; 100],
        [&[0xff, 0xff][..], &[0; 64]].concat(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        framed(&stun::check(&of, 1)),
        framed(&[0x80; 40]),
    ];
    for probe in &probes {
        let mut stream = connect(&stage).await;
        stream.write_all(probe).await.expect("written");
        assert_eq!(last_words(stream).await, 0, "nothing is said to {:?}", &probe[..4]);
    }
    assert_eq!(refused(), probes.len() as u64);
    // Never: the first frame does not come, comes byte by byte, or stops before its end. One address has so many.
    let before = refused();
    let mut silent = Vec::new();
    for number in 0..CONNECTIONS_MAX {
        let mut stream = connect(&stage).await;
        let said: &[u8] = [&[][..], &[0], &[0, 200], &[0, 200, 0, 1, 0]][number as usize % 4];
        stream.write_all(said).await.expect("written");
        silent.push(stream);
    }
    stage.becomes("they are in", |stage| stage.metric("call_tcp_connections_count") >= CONNECTIONS_MAX.into()).await;
    for _ in 0..20 {
        assert_eq!(last_words(connect(&stage).await).await, 0, "beyond the limit it is closed");
    }
    assert_eq!(refused(), before + 20);
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
    // Whoever drips has no more time than who is silent.
    let mut drip = tokio::time::interval(Duration::from_millis(500));
    while stage.metric("call_tcp_connections_count") > 0 {
        drip.tick().await;
        for stream in &mut silent {
            let _ = stream.try_write(&[0]);
        }
    }
    assert_eq!(refused(), before + 20 + u64::from(CONNECTIONS_MAX));
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_over_tcp_that_lies_or_does_not_read_loses_its_own_stream() {
    let stage = Stage::set().await;
    let mut peer = Peer::publisher(&stage, "eve", &USUAL).await;
    let check = framed(&stun::check(&peer.server, 77));
    // Let in, and then a length that no datagram has.
    let mut stream = connect(&stage).await;
    stream.write_all(&check).await.expect("written");
    let mut length = [0; 2];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut length)).await.expect("in time").expect("an answer");
    stream.write_all(&[0xff, 0xff, 0, 1, 2]).await.expect("written");
    last_words(stream).await;
    // Let in, asks without end, and reads nothing: frames for it are dropped, not kept.
    let mut deaf = connect(&stage).await;
    let many = check.repeat(100);
    let asking = async {
        for _ in 0..400 {
            if deaf.write_all(&many).await.is_err() {
                break;
            }
        }
    };
    // It is stopped by its own limit, or by a full socket.
    let _ = tokio::time::timeout(Duration::from_secs(3), asking).await;
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
    drop(deaf);
    peer.check().await;
    stage.becomes("streams go", |stage| stage.metric("call_tcp_connections_count") == 0).await;
    stage.others_are_undisturbed().await;
}
