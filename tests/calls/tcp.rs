//! Where UDP is closed: the server's answer names a TCP candidate on the same port, and a connection to it is answered.
//!
//! The `webrtc` crate connects over ICE-TCP and never gets further (see `crates/client`), so this end speaks as much ICE as it takes to be heard;
//! a whole call over TCP is a browser's to try (tests/e2e).

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ice;
use crate::people::{EVERYTHING, Stage};
use crate::support::PATIENCE;

/// The check's number, which its answer has as well (RFC 8489 §5).
const TRANSACTION: u32 = 7;

#[tokio::test]
async fn the_media_port_answers_over_tcp() {
    let stage = Stage::start().await;
    let (mut alice, _) = stage.guest("alice", &EVERYTHING).await;
    let tracks = json!([{ "mid": "0", "kind": "audio", "source": "microphone" }]);
    let published = alice.ask(json!({ "type": "publish", "sdp": ice::OFFER, "tracks": tracks })).await;
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
        let check = ice::check((value("a=ice-ufrag:"), value("a=ice-pwd:")), ice::UFRAG, TRANSACTION);
        // In a frame of RFC 4571.
        let check = [(check.len() as u16).to_be_bytes().as_slice(), &check].concat();
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
    assert_eq!(
        (&answer[..2], &answer[16..20]),
        (&[1, 1][..], &TRANSACTION.to_be_bytes()[..]),
        "success, for this check"
    );
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
