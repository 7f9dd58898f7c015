//! Where UDP is closed: the server's answer names a TCP candidate on the same port, and a connection to it is answered.
//!
//! The `webrtc` crate connects over ICE-TCP and never gets further (see `crates/client`), so this end speaks as much ICE as it takes to be heard;
//! a whole call over TCP is a browser's to try (tests/e2e).

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::people::{EVERYTHING, Stage};
use crate::support::PATIENCE;

/// A microphone's offer, as short as it may be.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS *\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\n\
    a=ice-pwd:thempasswordthempassword\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=msid:s t\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
    a=ssrc:1234 cname:c\r\n";

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// A connectivity check (RFC 8445 §7.2.2) of a controlling peer that nominates, in a frame of RFC 4571.
fn framed_check(ufrag: &str, password: &str) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[9; 12]);
    attribute(&mut message, 0x0006, format!("{ufrag}:them").as_bytes());
    attribute(&mut message, 0x0024, &0x6e00_01ff_u32.to_be_bytes());
    attribute(&mut message, 0x802a, &7_u64.to_be_bytes());
    attribute(&mut message, 0x0025, &[]);
    // The length counts what follows, up to and with the attribute itself (RFC 8489 §14.5).
    let length = |message: &mut Vec<u8>, more: usize| {
        let length = (message.len() - 20 + more) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
    };
    length(&mut message, 24);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(password.as_bytes()).expect("every length is a key");
    mac.update(&message);
    attribute(&mut message, 0x0008, &mac.finalize().into_bytes());
    length(&mut message, 8);
    let crc = crc32fast::hash(&message) ^ 0x5354_554e;
    attribute(&mut message, 0x8028, &crc.to_be_bytes());
    [(message.len() as u16).to_be_bytes().as_slice(), &message].concat()
}

#[tokio::test]
async fn the_media_port_answers_over_tcp() {
    let stage = Stage::start().await;
    let (mut alice, _) = stage.guest("alice", &EVERYTHING).await;
    let tracks = json!([{ "mid": "0", "kind": "audio", "source": "microphone" }]);
    let published = alice.ask(json!({ "type": "publish", "sdp": OFFER, "tracks": tracks })).await;
    let sdp = published["sdp"].as_str().expect("an answer");
    let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).expect("it is in every answer");
    let candidates: Vec<Vec<&str>> = sdp
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .map(|line| line.split(' ').collect::<Vec<&str>>())
        .collect();
    let [udp, tcp] = candidates.as_slice() else { panic!("one address, so two candidates: {candidates:?}") };
    assert_eq!((udp[2], tcp[2]), ("udp", "tcp"));
    assert_eq!(udp[4..6], tcp[4..6], "the same address and port");
    let mut stream = TcpStream::connect(format!("{}:{}", tcp[4], tcp[5])).await.expect("the port is open");
    let answer = async {
        let check = framed_check(value("a=ice-ufrag:"), value("a=ice-pwd:"));
        let mut repeat = tokio::time::interval(Duration::from_millis(500));
        // As clients do, until it is answered.
        let length = loop {
            tokio::select! {
                length = stream.read_u16() => break length.expect("a frame"),
                _ = repeat.tick() => stream.write_all(&check).await.expect("the connection stands"),
            }
        };
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.expect("all of it");
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("an answer");
    assert_eq!((&answer[..2], &answer[8..20]), (&[1, 1][..], &[9; 12][..]), "success, for this check");
    // Somebody who then goes no further is sent what looks for it again, and little of that.
    let mut frames = Vec::new();
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    while let Ok(length) = tokio::time::timeout_at(until, stream.read_u16()).await {
        let mut frame = vec![0; usize::from(length.expect("the connection stands"))];
        stream.read_exact(&mut frame).await.expect("all of it");
        frames.push(frame);
    }
    assert!(frames.len() < 30, "{} frames in three seconds", frames.len());
}
