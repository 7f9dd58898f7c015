//! Signalling: descriptions, sockets, bodies, tokens and names that were made to hurt.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::beside::room_token;
use super::peer::{Identity, Member};
use super::sdp::{self, Section, USUAL};
use super::stage::{SMALL_MIB, Stage};
use super::support::{PATIENCE, code};

#[tokio::test(flavor = "multi_thread")]
async fn session_descriptions_beyond_measure_are_refused() {
    let stage = Stage::set().await;
    let own = Identity::new();
    let good = sdp::offer(&own.fingerprint, &USUAL);
    let section =
        |mid: usize| format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{mid}\r\na=rtpmap:111 opus/48000/2\r\n");
    let mids: Vec<String> = (0..2_000).map(|mid| mid.to_string()).collect();
    let mids: Vec<&str> = mids.iter().map(String::as_str).collect();
    let bombs = [
        // Sections without end, also as far as the limit of the whole goes, and one mid for all of them.
        sdp::head(&own.fingerprint, &mids[..400]) + &(0..400).map(section).collect::<String>(),
        sdp::head(&own.fingerprint, &mids) + &(0..2_000).map(section).collect::<String>(),
        sdp::head(&own.fingerprint, &["0"]) + &section(0).repeat(15),
        // Long lines, many lines, parameters upon parameters.
        format!("{good}a=fmtp:111 {}\r\n", "x=1;".repeat(30_000)),
        format!("{good}{}", "a=fmtp:96 x=1;y=2\r\n".repeat(6_000)),
        format!("{good}{}", "a=rid:x send\r\n".repeat(5_000)),
        format!("{good}a=simulcast:send {}\r\n", "l;".repeat(60_000)),
        format!("{good}{}", "a=rtpmap:96 VP8/90000\r\n".repeat(5_000)),
        format!("{good}{}", "a=extmap:1 urn:x\r\n".repeat(5_000)),
        // No description at all.
        "v=0\r\n".repeat(10_000),
        "\r\n".repeat(50_000),
        "m=".repeat(50_000),
        "\0".repeat(2_000),
        "회".repeat(40_000),
        String::new(),
    ];
    for (number, bomb) in bombs.iter().enumerate() {
        // Each has a connection of its own, so that a limit of the connection is not what answers.
        let mut member = Member::join(&stage, &format!("bomber-{number}")).await;
        let tracks: Vec<Value> = USUAL.iter().filter_map(Section::track).collect();
        let reply = member.client.ask(json!({ "type": "publish", "sdp": bomb, "tracks": tracks })).await;
        let refused = ["bad_sdp", "bad_request", "no_codec", "too_many_tracks"];
        assert!(refused.contains(&code(&reply)), "{number}: {reply}");
        stage.others_are_undisturbed().await;
        // Whoever was refused may still make a good one.
        let (answer, tracks) = member.offer(&own, &USUAL).await;
        assert_eq!((answer.starts_with("v=0"), tracks.len()), (true, 2));
    }
    stage.costs_little(SMALL_MIB);
    // A message longer than any description ends its own connection.
    let mut member = Member::join(&stage, "megabyte").await;
    let long = json!({ "id": 99, "type": "publish", "sdp": "x".repeat(1 << 20), "tracks": [] });
    let _ = member.client.socket.send(Message::text(long.to_string())).await;
    assert_eq!(member.client.closed().await, 1009);
    // Candidates without end, and names among them: they are counted, never looked up.
    let mut member = Member::join(&stage, "candidates").await;
    let names: String =
        (0..2_000).map(|n| format!("a=candidate:{n} 1 udp 1 host-{n}.example.org 9 typ host\r\n")).collect();
    let reply = member
        .client
        .ask(json!({ "type": "publish", "sdp": good.clone() + &names, "tracks": [Section::Audio.track(), Section::Video(96).track()] }))
        .await;
    assert_eq!(code(&reply), "ok", "{reply}");
    for number in 0..150 {
        let candidate = format!("candidate:{number} 1 udp 1 {number}.local 9 typ host");
        member.client.request(json!({ "type": "candidate", "connection": "publish", "candidate": candidate })).await;
    }
    let reply =
        member.client.ask(json!({ "type": "candidate", "connection": "publish", "candidate": "x".repeat(600) })).await;
    assert_eq!(code(&reply), "bad_request");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

/// A socket after its upgrade, below WebSocket's own code.
async fn bare_socket(stage: &Stage, extra: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(stage.rig.host()).await.expect("the server listens");
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: telstar.v1\r\n{extra}\r\n",
        stage.rig.host()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    (stream, String::from_utf8_lossy(&head).to_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_flood_or_lie_end_alone() {
    let stage = Stage::set().await;
    // Compression is not spoken, so that nothing inflates; a frame that claims it is an error (RFC 6455 §5.2).
    let deflate = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
    let (mut stream, head) = bare_socket(&stage, deflate).await;
    assert!(head.contains(" 101 ") && !head.contains("permessage-deflate"), "{head}");
    stream.write_all(&[0xc1, 0x84, 0, 0, 0, 0, 1, 2, 3, 4]).await.expect("written");
    // Frames of 2^62 bytes, frames without a mask, control frames that are too long: nothing is reserved.
    let mut sockets = vec![stream];
    let long_ping = [&[0x89, 0xfe, 1, 0][..], &[0; 260]].concat();
    for frame in [&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4][..], &[0x81, 0x04, 1, 2, 3, 4], &long_ping] {
        let (mut stream, _) = bare_socket(&stage, "").await;
        stream.write_all(frame).await.expect("written");
        sockets.push(stream);
    }
    for (number, mut socket) in sockets.into_iter().enumerate() {
        let mut bytes = Vec::new();
        let end = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await;
        assert!(end.is_ok(), "{number} is closed: {bytes:?}");
    }
    stage.others_are_undisturbed().await;
    // Half open: upgrades that never end.
    let mut half = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(stage.rig.host()).await.expect("the server listens");
        stream.write_all(b"GET /ws HTTP/1.1\r\nhost: x\r\n").await.expect("written");
        half.push(stream);
    }
    // Pings by the thousand, a message in pieces of one byte with pings between them, which never ends.
    let mut pinging = stage.rig.connect().await;
    let mut pieces = stage.rig.connect().await;
    let first = Frame::message(vec![b'{'], OpCode::Data(Data::Text), false);
    pieces.socket.feed(Message::Frame(first)).await.expect("sent");
    for number in 0..20_000u32 {
        let piece = Frame::message(vec![b' '], OpCode::Data(Data::Continue), false);
        let both = pinging.socket.feed(Message::Ping(vec![1; 100].into())).await.is_ok()
            & pieces.socket.feed(Message::Frame(piece)).await.is_ok();
        if number % 500 == 499 {
            let _ = pinging.socket.flush().await;
            let _ = pieces.socket.flush().await;
        }
        if !both {
            break;
        }
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
    drop((pinging, pieces, half));
    stage.others_are_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_told_so_and_closed() {
    let stage = Stage::set().await;
    // A small window, so that what does not fit waits in the server and not in the kernel.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("smaller is always allowed");
    let stream = socket.connect(stage.rig.host().parse().expect("an address")).await.expect("the server listens");
    let deaf = Member::enter(&stage, stage.rig.connect_over(stream).await, "deaf").await;
    let mut loud = [Member::join(&stage, "loud").await, Member::join(&stage, "louder").await];
    let long = "x".repeat(15_000);
    for _ in 0..190 {
        for member in &mut loud {
            member.client.request(json!({ "type": "send-data", "to": [deaf.id], "data": long })).await;
        }
    }
    // Two mebibytes may wait for it (signaling/src/limits.rs); these are almost six.
    let left = loud[0].client.until(|message| message["type"] == "participant-left").await;
    assert_eq!((&left["participant"], &left["reason"]), (&json!(deaf.id), &json!("slow")));
    assert_eq!(deaf.client.closed().await, 4408);
    stage.others_are_undisturbed().await;
    stage.costs_little(64);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_and_nested_bodies_are_refused() {
    let stage = Stage::set().await;
    // A megabyte of nothing in a kilobyte; it is not unpacked.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &vec![b' '; 8 << 20]).expect("packed");
    let packed = packed.finish().expect("packed");
    for path in ["/api/v1/tokens", "/api/v1/rooms", "/api/v1/webhooks", "/api/v1/rooms/attacker/invites"] {
        let post = |body: Vec<u8>, encoding: &'static str| {
            let request = stage.rig.request("POST".parse().expect("a method"), path).bearer_auth(&stage.admin);
            let request = request.header("content-type", "application/json");
            if encoding.is_empty() {
                request.body(body)
            } else {
                request.header("content-encoding", encoding).body(body)
            }
        };
        let bodies = [
            post(packed.clone(), "gzip"),
            post(packed.clone(), "deflate"),
            post("[".repeat(60_000).into_bytes(), ""),
            post(format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).into_bytes(), ""),
            post(vec![b' '; 1 << 20], ""),
            post(vec![0xff; 1_000], ""),
            post(br#"{"room":1e999,"label":1e999,"title":1e999,"url":1e999}"#.to_vec(), ""),
        ];
        for (number, body) in bodies.into_iter().enumerate() {
            let status = match body.send().await {
                Ok(answer) => answer.status().as_u16(),
                // It was refused and closed while the rest was still being sent, which is an answer as well.
                Err(error) => {
                    assert!(error.is_request() && !error.is_timeout(), "{path}, {number}: {error:?}");
                    continue;
                }
            };
            // A field that nobody knows may be as deep as it likes: it is passed over without recursion.
            assert!((400..500).contains(&status) || (number == 3 && status == 201), "{path}, {number}: {status}");
        }
    }
    // Fields that nobody knows, thousands of them, are passed over or refused, and cost their own bytes.
    let mut many = serde_json::Map::new();
    (0..3_000).for_each(|number| drop(many.insert(format!("f{number}"), json!(number))));
    many.insert("room".into(), json!("attacker"));
    many.insert("identity".into(), json!("fields"));
    let answer = stage
        .rig
        .ask("POST", "/api/v1/tokens", &[("authorization", &format!("Bearer {}", stage.admin))], Some(many.into()))
        .await;
    assert!(answer.status < 500, "{}", answer.text);
    let mut member = Member::join(&stage, "nested").await;
    let nested = format!("{{\"id\":77,\"type\":\"send-data\",\"data\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    member.client.send(nested).await;
    assert_eq!(member.client.closed().await, 4400);
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_and_going_without_end_meets_its_limits() {
    let stage = Stage::set().await;
    let own = Identity::new();
    let peers = stage.metric("call_peers_count");
    // Many who come and go at once, some with a goodbye, most without.
    for round in 0..40 {
        let mut member = Member::join(&stage, &format!("guest-{round}")).await;
        if round % 4 == 0 {
            assert_eq!(member.client.ask(json!({ "type": "leave" })).await["ok"], true);
        }
    }
    stage.others_are_undisturbed().await;
    // One identity that is everywhere: the newcomer wins, until that is too often.
    let mut refused = 0;
    let mut held = Vec::new();
    let token = room_token(&stage.rig, &stage.admin, "attacker", "pingpong").await;
    for _ in 0..40 {
        let mut client = stage.rig.connect().await;
        client.authenticate(&token).await;
        let joined = client.ask(json!({ "type": "join", "room": "attacker" })).await;
        refused += u32::from(code(&joined) == "rate_limited");
        held.push(client);
    }
    assert!(refused >= 20, "{refused} of 40");
    drop(held);
    stage.others_are_undisturbed().await;
    // Tracks that begin and end, subscriptions that do, as fast as the requests' limit lets them.
    let mut publisher = Member::join(&stage, "publisher").await;
    let mut viewer = Member::join(&stage, "viewer").await;
    for _ in 0..15 {
        let (_, tracks) = publisher.offer(&own, &USUAL).await;
        for track in tracks {
            for enabled in [false, true, false] {
                let ask = json!({ "type": "update-subscription", "track": track, "enabled": enabled });
                viewer.client.request(ask).await;
            }
            publisher.client.request(json!({ "type": "unpublish", "track": track })).await;
        }
    }
    stage.others_are_undisturbed().await;
    // More tracks than anybody may have.
    let mut greedy = Member::join(&stage, "greedy").await;
    let tracks: Vec<Value> =
        (0..20).map(|mid| json!({ "mid": mid.to_string(), "kind": "audio", "source": "other" })).collect();
    let offer = sdp::offer(&own.fingerprint, &USUAL);
    let reply = greedy.client.ask(json!({ "type": "publish", "sdp": offer, "tracks": tracks })).await;
    assert!(["too_many_tracks", "bad_request"].contains(&code(&reply)), "{reply}");
    // A storm of returns: sockets break together, and come back together with what they know, and with what they guess.
    let mut broken = Vec::new();
    for number in 0..40 {
        let token = room_token(&stage.rig, &stage.admin, "attacker", &format!("storm-{number}")).await;
        let mut client = stage.rig.connect().await;
        client.authenticate(&token).await;
        let joined = client.ask(json!({ "type": "join", "room": "attacker" })).await;
        broken.push(joined["session"].clone());
    }
    let mut back = Vec::new();
    for (number, session) in broken.iter().enumerate() {
        let mut client = stage.rig.connect().await;
        let secret = if number % 2 == 0 { session["secret"].clone() } else { json!("guess") };
        let resume = json!({ "type": "resume", "session": session["id"], "secret": secret, "seq": 0, "pending": [] });
        back.push((number % 2 == 0, client.ask(resume).await));
    }
    for (knows, reply) in &back {
        assert_eq!(reply["ok"] == true, *knows, "{reply}");
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(128);
    drop((publisher, viewer, greedy));
    let removed = stage.rig.api(&stage.admin, "DELETE", "/api/v1/rooms/attacker", None).await;
    assert_eq!(removed.status, 204);
    stage.becomes("they go with their room", |stage| stage.metric("call_peers_count") <= peers).await;
    stage.others_are_undisturbed().await;
}

/// A token with another header, signed with nothing.
fn unsigned(token: &str, header: &Value) -> String {
    use base64::Engine as _;
    let coder = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = token.split('.').nth(1).expect("claims");
    format!("{}.{claims}.", coder.encode(header.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_what_they_say_and_no_longer_than_they_say() {
    let stage = Stage::set().await;
    let good = room_token(&stage.rig, &stage.admin, "attacker", "mallory").await;
    let signature = good.rsplit('.').next().expect("a signature").to_owned();
    let forged = [
        unsigned(&good, &json!({ "alg": "none", "typ": "JWT" })),
        unsigned(&good, &json!({ "alg": "NoNe", "typ": "JWT" })) + &signature,
        unsigned(&good, &json!({ "alg": "RS256", "kid": "../../dev/null" })) + &signature,
        unsigned(&good, &json!({ "alg": "HS256", "jku": "http://127.0.0.1/x", "kid": "' or 1=1" })) + &signature,
        good.replace('.', ".."),
        format!("{good}x"),
        good[..good.len() - 2].to_owned(),
        "x".repeat(3_000),
    ];
    for token in &forged {
        let mut client = stage.rig.connect().await;
        assert_eq!(code(&client.authenticate(token).await), "unauthorised", "{token}");
        let joined = client.ask(json!({ "type": "join", "room": "attacker" })).await;
        assert_ne!(code(&joined), "ok");
    }
    // Guesses on one connection end it.
    let mut guessing = stage.rig.connect().await;
    for number in 0..3 {
        guessing.authenticate(&format!("{good}{number}")).await;
    }
    assert_eq!(guessing.closed().await, 4401);
    // Another room's call, and what is not in the address of the socket.
    let mut client = stage.rig.connect().await;
    client.authenticate(&good).await;
    let elsewhere = client.ask(json!({ "type": "join", "room": "beside" })).await;
    assert!(["forbidden", "not_found"].contains(&code(&elsewhere)), "{elsewhere}");
    let url = format!("/ws?token={good}");
    let (_, head) = {
        let mut stream = TcpStream::connect(stage.rig.host()).await.expect("the server listens");
        stream
            .write_all(format!("GET {url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        (stream, text)
    };
    assert!(!head.contains(" 101 "), "{head}");
    // Who is sent away does not come back with the same token, nor by its session.
    let joined = client.ask(json!({ "type": "join", "room": "attacker" })).await;
    let (id, session) = (joined["participant"].as_str().expect("joined").to_owned(), joined["session"].clone());
    let changed = stage
        .rig
        .api(
            &stage.admin,
            "PATCH",
            &format!("/api/v1/rooms/attacker/participants/{id}"),
            Some(json!({ "grants": ["join"] })),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let offer = sdp::offer(&Identity::new().fingerprint, &USUAL);
    let denied = client.ask(json!({ "type": "publish", "sdp": offer, "tracks": [] })).await;
    assert_eq!(code(&denied), "forbidden", "what was taken away is gone at once");
    let denied =
        client.ask(json!({ "type": "update-participant", "participant": id, "grants": ["publish", "admin"] })).await;
    assert_eq!(code(&denied), "forbidden", "nobody gives rights to itself");
    stage.rig.api(&stage.admin, "DELETE", &format!("/api/v1/rooms/attacker/participants/{id}"), None).await;
    // It is told so, unless the end of its credential is told first.
    loop {
        match client.frame().await {
            Some(Ok(Message::Text(text))) if text.contains("\"left\"") => break,
            Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            Some(Ok(_)) => {}
        }
    }
    let mut again = stage.rig.connect().await;
    assert_eq!(code(&again.authenticate(&good).await), "unauthorised");
    let resume =
        json!({ "type": "resume", "session": session["id"], "secret": session["secret"], "seq": 0, "pending": [] });
    let mut resumed = stage.rig.connect().await;
    let reply = resumed.ask(resume).await;
    let back = resumed.ask(json!({ "type": "join", "room": "attacker" })).await;
    assert_ne!(code(&back), "ok", "{reply} {back}");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_metadata_and_webhooks_keep_their_measure() {
    let stage = Stage::set().await;
    let long = "x".repeat(20_000);
    let mut member = Member::join(&stage, "namer").await;
    for change in [
        json!({ "name": long }),
        json!({ "name": "e\u{301}".repeat(101) }),
        json!({ "metadata": long }),
        json!({ "name": 5 }),
        json!({ "name": ["x"] }),
    ] {
        let mut request = change.clone();
        request["type"] = json!("update-participant");
        let reply = member.client.ask(request).await;
        assert_eq!(code(&reply), "bad_request", "{reply}");
    }
    // What is short enough arrives as it is or not at all: directions, joined emoji, marks upon marks, nothing.
    for name in [
        "\u{202e}evil\u{202c}",
        "👩‍👩‍👧‍👦",
        "Z\u{310}\u{311}\u{312}algo",
        "\0",
        "\r\nx: y",
        "<script>alert(1)</script>",
        "회의실",
    ] {
        let reply = member.client.ask(json!({ "type": "update-participant", "name": name })).await;
        assert!(["ok", "bad_request"].contains(&code(&reply)), "{name:?}: {reply}");
    }
    for label in ["x".repeat(65), "\0".into()] {
        let reply = member.client.ask(json!({ "type": "send-data", "label": label, "data": 1 })).await;
        assert!(["ok", "bad_request"].contains(&code(&reply)), "{reply}");
    }
    let reply = member.client.ask(json!({ "type": "send-data", "data": "x".repeat(17_000) })).await;
    assert_eq!(code(&reply), "bad_request");
    let to: Vec<String> = (0..65).map(|number| format!("p{number}")).collect();
    let reply = member.client.ask(json!({ "type": "send-data", "to": to, "data": 1 })).await;
    assert_eq!(code(&reply), "bad_request");
    // Webhooks go to the open internet only, and not in clear.
    for url in [
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "http://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://user:pass@127.0.0.1/",
    ] {
        let bearer = format!("Bearer {}", stage.admin);
        let body = json!({ "url": url, "events": ["room-started"] });
        let answer = stage.rig.ask("POST", "/api/v1/webhooks", &[("authorization", &bearer)], Some(body)).await;
        assert!((400..500).contains(&answer.status), "{url}: {}", answer.text);
    }
    // One that never answers delays nobody: the calls go on, and others' deliveries do (src/webhooks/tests.rs).
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_from_one_room_into_another() {
    let stage = Stage::set().await;
    let listed = stage.rig.api(&stage.admin, "GET", "/api/v1/rooms/beside/participants", None).await.body;
    let others = listed["participants"].as_array().expect("a list").clone();
    let mut tracks: Vec<&str> = others
        .iter()
        .flat_map(|other| other["tracks"].as_array())
        .flatten()
        .filter_map(|track| track["id"].as_str())
        .collect();
    tracks.sort_unstable();
    assert_eq!(tracks.len(), 2, "{listed}");
    let mut member = Member::join(&stage, "prying").await;
    for track in &tracks {
        for request in [
            json!({ "type": "update-subscription", "track": track }),
            json!({ "type": "mute", "track": track, "muted": true }),
            json!({ "type": "unpublish", "track": track }),
            json!({ "type": "update-track", "track": track, "name": "x" }),
        ] {
            let reply = member.client.ask(request).await;
            assert!(["not_found", "forbidden"].contains(&code(&reply)), "{reply}");
        }
    }
    let token = room_token(&stage.rig, &stage.admin, "attacker", "prying-2").await;
    let bearer = format!("Bearer {token}");
    for other in &others {
        let id = other["id"].as_str().expect("an id");
        for request in [
            json!({ "type": "remove", "participant": id }),
            json!({ "type": "update-participant", "participant": id, "name": "x" }),
            json!({ "type": "send-data", "to": [id], "data": 999_999_999 }),
            json!({ "type": "signal", "to": id, "candidate": "x" }),
        ] {
            let reply = member.client.ask(request).await;
            assert_ne!(code(&reply), "neither");
        }
        // With a participant's token over REST, in its own room and in the other.
        for (method, room) in [("DELETE", "beside"), ("PATCH", "beside"), ("GET", "beside"), ("DELETE", "attacker")] {
            let path = format!("/api/v1/rooms/{room}/participants/{id}");
            let body = (method == "PATCH").then(|| json!({ "grants": [] }));
            let answer = stage.rig.ask(method, &path, &[("authorization", &bearer)], body).await;
            assert!([401, 403, 404].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text);
        }
    }
    for path in
        ["/api/v1/rooms/beside/data", "/api/v1/rooms/beside/invites", "/api/v1/tokens", "/api/v1/rooms/attacker/data"]
    {
        let body = json!({ "data": 999_999_999, "room": "beside", "identity": "x" });
        let answer = stage.rig.ask("POST", path, &[("authorization", &bearer)], Some(body)).await;
        assert!([401, 403, 404].contains(&answer.status), "{path}: {} {}", answer.status, answer.text);
    }
    let after = stage.rig.api(&stage.admin, "GET", "/api/v1/rooms/beside/participants", None).await.body;
    assert_eq!(after, listed, "nobody there was touched");
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}
