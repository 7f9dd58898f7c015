//! Too much of it: offers without ICE, PATCHes, bodies.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::sessions::{FRAGMENT, SDP, code, offer};
use super::stage::{SMALL_MIB, Stage};

/// What a session without a connection may hold: its keys, its buffers, its task.
const OF_SESSIONS_MIB: u64 = 96;

#[tokio::test(flavor = "multi_thread")]
async fn offers_without_ice_meet_limits_and_are_let_go() {
    const VIEWERS_MAX: u32 = 200;
    let stage = Stage::set_with(|config| {
        config.whep.viewers_max = VIEWERS_MAX;
        config.whep.viewers_per_address_max = 10;
    })
    .await;
    let (_live, _) = stage.live().await;
    let before = stage.sessions();
    let (mut taken, mut refused) = (0, 0);
    // From sixty addresses, each far over what one may have.
    for number in 0..1_200 {
        let from = format!("for=\"198.51.100.{}:4711\"", number % 60 + 1);
        let headers = [("content-type", SDP), ("forwarded", from.as_str())];
        let answer = stage.send("POST", "/whep/attacker", &headers, offer("recvonly")).await;
        match answer.status {
            201 => taken += 1,
            429 | 503 => {
                refused += 1;
                assert!(answer.headers.contains_key("retry-after"));
            }
            other => panic!("{other} {}", answer.text),
        }
        assert!(stage.sessions() - before <= VIEWERS_MAX as usize);
    }
    assert!(taken <= VIEWERS_MAX && refused >= 1_000, "{taken} were taken, {refused} refused");
    stage.others_are_undisturbed().await;
    stage.costs_little(OF_SESSIONS_MIB);
    // None of them has ever sent a datagram: after 30 s nothing is left of them.
    let gone = async {
        while stage.sessions() > before {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("they are let go");
    stage.others_are_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_without_end_are_slowed_down_and_restarts_limited() {
    let stage = Stage::set().await;
    let key = stage.key().await;
    let bearer = format!("Bearer {key}");
    let headers = [("content-type", SDP), ("authorization", bearer.as_str())];
    let answer = stage.send("POST", "/whip/attacker", &headers, offer("sendonly")).await;
    let (session, tag) = (answer.location(), answer.tag());
    let candidates: String =
        (0..60).map(|port| format!("a=candidate:{port} 1 udp 1 192.0.2.1 {} typ host\r\n", 1_000 + port)).collect();
    let mut slowed = 0;
    for _ in 0..2_000 {
        let headers = [("content-type", FRAGMENT), ("authorization", bearer.as_str()), ("if-match", tag.as_str())];
        match stage.send("PATCH", &session, &headers, candidates.clone()).await {
            answer if answer.status == 204 => {}
            answer if answer.status == 429 => slowed += 1,
            answer => panic!("{} {}", answer.status, answer.text),
        }
    }
    assert!(slowed > 0, "PATCHes are slowed down");
    let mut restarts = 0;
    for number in 0..200 {
        // Another address each time, so that what is limited is the session.
        let from = format!("for=\"198.51.100.{}:4711\"", number + 1);
        let body = format!("a=ice-ufrag:them{number}\r\na=ice-pwd:thempasswordthempassword\r\n");
        let headers = [
            ("content-type", FRAGMENT),
            ("authorization", bearer.as_str()),
            ("if-match", "*"),
            ("forwarded", from.as_str()),
        ];
        let answer = stage.send("PATCH", &session, &headers, body).await;
        assert!(matches!(answer.status, 200 | 429), "{} {}", answer.status, answer.text);
        restarts += u32::from(answer.status == 200);
    }
    assert!(restarts <= 20, "{restarts} restarts in a moment");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_long_too_slow_or_nonsense_are_cheap() {
    let stage = Stage::set().await;
    let (live, key) = stage.live().await;
    let bearer = format!("Bearer {key}");
    let room = "/whep/attacker";
    for number in 0..100 {
        let body = vec![b'a'; 8 * 1024 * 1024];
        // The server answers before all of it was sent, and may close then.
        let request = stage.rig.request("POST".parse().expect("a method"), room).header("content-type", SDP).body(body);
        if let Ok(answer) = request.send().await {
            assert_eq!(answer.status().as_u16(), 413, "number {number}");
        }
    }
    let lines = offer("recvonly") + &"a=x\r\n".repeat(12_000);
    let sections = offer("recvonly") + &"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(1_000);
    let long_line = offer("recvonly") + &format!("a={}\r\n", "x".repeat(60_000));
    for body in [lines, sections, long_line, "\0".repeat(60_000), "=".repeat(60_000), "a=".repeat(30_000)] {
        let answer = stage.send("POST", room, &[("content-type", SDP)], body).await;
        assert!(matches!(answer.status, 400 | 422 | 429), "{} {}", answer.status, answer.text);
    }
    // Who sends a letter now and then is let go. Before that, its address may have used up its offers for the moment.
    let answered = async {
        loop {
            let status = drip(&stage.rig.host(), room).await;
            if &status != b"HTTP/1.1 429" {
                break status;
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(30), answered).await.expect("it is not waited for");
    assert_eq!(&status, b"HTTP/1.1 408");
    let headers = [("content-type", FRAGMENT), ("authorization", bearer.as_str()), ("if-match", "*")];
    let session = live.http().location().path().to_owned();
    for body in ["a=candidate:x\r\n".repeat(2_000), "\r\n".repeat(8_000), "a=ice-ufrag:x\r\n".repeat(1_000)] {
        let answer = stage.send("PATCH", &session, &headers, body).await;
        assert!(matches!(answer.status, 400 | 413), "{} {}", answer.status, code(&answer));
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

/// Sends an offer letter by letter. Returns how the answer begins.
async fn drip(host: &str, path: &str) -> [u8; 12] {
    let mut slow = TcpStream::connect(host).await.expect("the server listens");
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {SDP}\r\nContent-Length: 1000\r\n\r\n");
    slow.write_all(head.as_bytes()).await.expect("written");
    let (mut answers, mut letters) = slow.into_split();
    let dripping = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        while letters.write_all(b"a").await.is_ok() {
            ticks.tick().await;
        }
    });
    let mut status = [0; 12];
    answers.read_exact(&mut status).await.expect("an answer");
    dripping.abort();
    status
}
