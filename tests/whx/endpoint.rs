//! The endpoint: what a POST is answered, and every other method.

use reqwest::header::HeaderMap;

use crate::stage::{SDP, Stage, header, problem, publishing, viewing};

#[tokio::test]
async fn a_good_offer_is_answered_201_with_an_answer_and_a_location() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let answer = stage.offer("/whip/demo", &key, &publishing()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], SDP);
    assert!(answer.text.starts_with("v=0\r\n"));
    let location = header(&answer.headers, "location");
    let id = location.strip_prefix("/whip/demo/sessions/").expect("a path under the endpoint");
    assert!(id.len() * 5 >= 128 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_eq!(answer.headers["accept-patch"], "application/trickle-ice-sdpfrag");
    // The room is live: it can be watched.
    let answer = stage.offer("/whep/demo", "", &viewing()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], SDP);
    assert!(header(&answer.headers, "location").starts_with("/whep/demo/sessions/"));
}

#[tokio::test]
async fn sessions_have_addresses_and_tags_that_nobody_guesses() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    assert_eq!(stage.offer("/whip/demo", &key, &publishing()).await.status, 201);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let answer = stage.offer("/whep/demo", "", &viewing()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let location = header(&answer.headers, "location");
        let id = location.rsplit('/').next().expect("an id").to_owned();
        // 32 letters of five bits.
        assert!(id.len() >= 26 && !id.contains(['i', 'l', 'o', 'u']), "{id}");
        assert!(seen.insert(id));
        assert!(seen.insert(header(&answer.headers, "etag")));
    }
}

#[tokio::test]
async fn another_type_is_415_and_what_is_no_sdp_is_400() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let bearer = format!("Bearer {key}");
    for content_type in ["application/json", "text/plain", "application/sdpx", ""] {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        let answer = stage.send("POST", "/whip/demo", &headers, publishing()).await;
        problem(&answer, 415, "unsupported_media_type");
        assert_eq!(answer.headers["accept-post"], SDP, "{content_type}");
    }
    for body in ["", "hello", "v=0", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "\0\0\0"] {
        problem(&stage.offer("/whip/demo", &key, body).await, 400, "bad_sdp");
    }
    problem(
        &stage.offer("/whip/demo", &key, &format!("{}{}", publishing(), "a=x\r\n".repeat(20_000))).await,
        413,
        "body_too_large",
    );
    let headers = [("authorization", bearer.as_str()), ("content-type", SDP)];
    let request = stage.rig.request("POST".parse().expect("a method"), "/whip/demo").body(vec![0xff, 0xfe]);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    assert_eq!(request.send().await.expect("an answer").status(), 400);
}

#[tokio::test]
async fn media_types_may_have_parameters_and_any_case() {
    let stage = Stage::start().await;
    let bearer = format!("Bearer {}", stage.key().await);
    for content_type in ["application/sdp; charset=utf-8", "Application/SDP", "APPLICATION/SDP ;x=\"y\""] {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        let answer = stage.send("POST", "/whip/demo", &headers, publishing()).await;
        assert_eq!(answer.status, 201, "{content_type}: {}", answer.text);
        let location = header(&answer.headers, "location");
        assert_eq!(stage.send("DELETE", &location, &headers[..1], "").await.status, 200);
    }
}

#[tokio::test]
async fn an_answer_goes_the_other_way_and_no_other_direction_is_taken() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let change = |offer: String, to: &str| offer.replace("a=sendonly", to).replace("a=recvonly", to);
    for direction in ["a=recvonly", "a=inactive"] {
        problem(&stage.offer("/whip/demo", &key, &change(publishing(), direction)).await, 422, "unacceptable_offer");
    }
    for direction in ["a=sendonly", "a=sendrecv"] {
        let answer = stage.offer("/whip/demo", &key, &change(publishing(), direction)).await;
        assert_eq!(answer.status, 201, "{direction}: {}", answer.text);
        assert_eq!(answer.text.matches("a=recvonly").count(), 2, "{}", answer.text);
        assert_eq!(directions(&answer.text), 2);
        let viewing_direction = if direction == "a=sendonly" { "a=recvonly" } else { direction };
        let viewer = stage.offer("/whep/demo", "", &change(viewing(), viewing_direction)).await;
        assert_eq!(viewer.status, 201, "{viewing_direction}: {}", viewer.text);
        assert_eq!(viewer.text.matches("a=sendonly").count(), 2, "{}", viewer.text);
        assert_eq!(directions(&viewer.text), 2);
        for refused in ["a=sendonly", "a=inactive"] {
            problem(&stage.offer("/whep/demo", "", &change(viewing(), refused)).await, 422, "unacceptable_offer");
        }
        let bearer = format!("Bearer {key}");
        let location = header(&answer.headers, "location");
        assert_eq!(stage.send("DELETE", &location, &[("authorization", &bearer)], "").await.status, 200);
    }
}

fn directions(sdp: &str) -> usize {
    let directions = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    sdp.lines().filter(|line| directions.contains(line)).count()
}

#[tokio::test]
async fn more_than_one_stream_of_one_picture_and_one_sound_fails_as_a_whole() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let section = |index: usize| {
        let offer = publishing();
        let sections: Vec<&str> = offer.split("m=").collect();
        format!("m={}", sections[index])
    };
    let three = |index: usize| {
        let third = section(index).replace(&format!("a=mid:{}", index - 1), "a=mid:2");
        format!("{}{third}", publishing().replace("BUNDLE 0 1", "BUNDLE 0 1 2"))
    };
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n";
    for (what, offer) in [
        ("a second sound", three(1)),
        ("a second picture", three(2)),
        ("a second stream", publishing().replacen("a=msid:s t", "a=msid:other t", 1)),
        ("a data channel", format!("{}{data}", publishing().replace("BUNDLE 0 1", "BUNDLE 0 1 2"))),
        ("no codec", publishing().replace("opus/48000/2", "G722/8000")),
        ("not bundled", publishing().replace("BUNDLE 0 1", "BUNDLE 0")),
        ("no rtcp-mux", publishing().replace("a=rtcp-mux\r\na=rtcp-mux-only\r\n", "")),
        ("a refused section", publishing().replacen("m=audio 9", "m=audio 0", 1)),
    ] {
        let answer = stage.offer("/whip/demo", &key, &offer).await;
        assert!(matches!(answer.status, 400 | 422), "{what}: {} {}", answer.status, answer.text);
        assert!(answer.body["code"].is_string(), "{what}");
    }
    assert!(
        stage.participants().await.is_empty() && stage.rig.running.state().whx.count() == 0,
        "nothing is left of them"
    );
    let bearer = format!("Bearer {key}");
    // One role in DTLS is answered by the other.
    for (offered, answered) in [("active", "passive"), ("passive", "active"), ("actpass", "passive")] {
        let offer = publishing().replace("a=setup:actpass", &format!("a=setup:{offered}"));
        let answer = stage.offer("/whip/demo", &key, &offer).await;
        assert_eq!(answer.status, 201, "{offered}: {}", answer.text);
        assert_eq!(answer.text.matches(&format!("a=setup:{answered}\r\n")).count(), 2, "{offered}: {}", answer.text);
        let location = header(&answer.headers, "location");
        assert_eq!(stage.send("DELETE", &location, &[("authorization", &bearer)], "").await.status, 200);
    }
    assert_eq!(stage.offer("/whip/demo", &key, &publishing()).await.status, 201);
    for (what, offer) in [
        ("active", viewing().replace("a=setup:actpass", "a=setup:active")),
        ("not bundled", viewing().replace("BUNDLE 0 1", "BUNDLE 0")),
        ("no rtcp-mux", viewing().replace("a=rtcp-mux\r\na=rtcp-mux-only\r\n", "")),
    ] {
        let answer = stage.offer("/whep/demo", "", &offer).await;
        assert!(matches!(answer.status, 400 | 422), "{what}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test]
async fn an_answer_is_bundled_and_has_all_candidates() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let media = stage.rig.running.addresses().media.expect("WebRTC is on");
    for answer in [
        stage.offer("/whip/demo", &key, &publishing()).await.text,
        stage.offer("/whep/demo", "", &viewing()).await.text,
    ] {
        assert!(answer.contains("a=group:BUNDLE 0 1\r\n"), "{answer}");
        assert_eq!(answer.matches("a=rtcp-mux\r\n").count(), 2, "{answer}");
        for transport in ["udp", "tcp"] {
            let candidate = |line: &str| {
                line.starts_with("a=candidate:")
                    && line.to_lowercase().contains(transport)
                    && line.contains(&format!("{} {}", media.ip(), media.port()))
            };
            assert!(answer.lines().any(candidate), "{transport}: {answer}");
        }
        assert!(answer.contains("a=end-of-candidates"), "{answer}");
        assert!(answer.contains("a=setup:passive"), "{answer}");
    }
}

#[tokio::test]
async fn a_get_says_nothing_and_the_endpoint_of_viewers_is_found_by_its_head() {
    let stage = Stage::start().await;
    for path in ["/whip/demo", "/whep/demo", "/whip/no-such-room", "/whep/no-such-room"] {
        let answer = stage.send("GET", path, &[], "").await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{path}");
        let head = stage.send("HEAD", path, &[], "").await;
        match path.starts_with("/whep") {
            true => assert_eq!((head.status, header(&head.headers, "content-type").as_str()), (200, SDP)),
            false => assert_eq!(head.status, 204),
        }
    }
    let (session, ..) = stage.session().await;
    for method in ["GET", "HEAD"] {
        let answer = stage.send(method, &session, &[], "").await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{method}");
    }
}

#[tokio::test]
async fn other_methods_are_405_with_those_that_are_allowed() {
    let stage = Stage::start().await;
    let (session, ..) = stage.session().await;
    for (path, methods, allowed) in [
        ("/whip/demo", &["PUT", "PATCH", "DELETE"][..], "GET, HEAD, OPTIONS, POST"),
        ("/whep/demo", &["PUT", "PATCH", "DELETE"], "GET, HEAD, OPTIONS, POST"),
        (&session, &["PUT", "POST"], "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ] {
        for method in methods {
            let answer = stage.send(method, path, &[], "").await;
            problem(&answer, 405, "method_not_allowed");
            assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn options_are_for_everybody_and_say_what_is_taken() {
    let stage = Stage::start().await;
    stage.close_room().await;
    let (session, ..) = stage.session().await;
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    for (path, accepts, media_type, methods) in [
        ("/whip/demo", "accept-post", SDP, "POST"),
        ("/whep/demo", "accept-post", SDP, "POST"),
        ("/whip/no-such-room", "accept-post", SDP, "POST"),
        (&session, "accept-patch", "application/trickle-ice-sdpfrag", "PATCH"),
    ] {
        let answer = stage.send("OPTIONS", path, &preflight, "").await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
        assert_eq!(answer.headers[accepts], media_type, "{path}");
        let list = |name: &str| header(&answer.headers, name).to_ascii_lowercase();
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        assert!(list("access-control-allow-methods").contains(&methods.to_ascii_lowercase()), "{path}");
        for name in ["authorization", "content-type", "if-match"] {
            assert!(list("access-control-allow-headers").contains(name), "{path}: {name}");
        }
        assert!(!answer.headers.contains_key("link"), "a preflight gives no ICE servers");
    }
}

#[tokio::test]
async fn pages_of_all_sites_may_read_what_they_need() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let answer = stage.offer("/whip/demo", &key, &publishing()).await;
    let readable = |headers: &HeaderMap| {
        let exposed = header(headers, "access-control-expose-headers").to_ascii_lowercase();
        ["location", "link", "etag", "accept-patch", "retry-after"].iter().all(|name| exposed.contains(name))
            && headers["access-control-allow-origin"] == "*"
            && !headers.contains_key("access-control-allow-credentials")
    };
    assert!(readable(&answer.headers), "{:?}", answer.headers);
    // Errors as well.
    for answer in [
        stage.offer("/whip/demo", "sk_wrong", &publishing()).await,
        stage.offer("/whip/demo", &key, "no sdp").await,
        stage.send("PUT", "/whip/demo", &[], "").await,
        stage.send("DELETE", "/whip/demo/sessions/none", &[], "").await,
        stage.offer("/whep/demo", "", &publishing()).await,
    ] {
        assert!(answer.status >= 400 && readable(&answer.headers), "{} {:?}", answer.status, answer.headers);
    }
    // What it is not: a way for other sites to use a person's cookie.
    let cookie = stage.rig.cookie().await;
    let headers = [("cookie", cookie.as_str()), ("origin", "https://evil.example"), ("content-type", SDP)];
    problem(&stage.send("POST", "/whip/demo", &headers, publishing()).await, 403, "foreign_origin");
}

#[tokio::test]
async fn there_are_no_links_to_ice_servers_because_there_are_none() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let answer = stage.offer("/whip/demo", &key, &publishing()).await;
    assert_eq!((answer.status, answer.headers.contains_key("link")), (201, false));
}

#[tokio::test]
async fn a_room_that_is_not_live_is_409_with_a_time_to_come_back() {
    let stage = Stage::start().await;
    let answer = stage.offer("/whep/demo", "", &viewing()).await;
    problem(&answer, 409, "not_live");
    assert!(header(&answer.headers, "retry-after").parse::<u32>().is_ok_and(|secs| secs > 0));
    // Nobody has to be told what there is to be told that there is nothing.
    problem(&stage.offer("/whep/no-such-room", "", &viewing()).await, 404, "not_found");
}

#[tokio::test]
async fn a_second_publisher_is_409_while_the_first_is_there() {
    let stage = Stage::start().await;
    let (session, _, key) = stage.session().await;
    problem(&stage.offer("/whip/demo", &key, &publishing()).await, 409, "in_use");
    let bearer = format!("Bearer {key}");
    assert_eq!(stage.send("DELETE", &session, &[("authorization", &bearer)], "").await.status, 200);
    assert_eq!(stage.offer("/whip/demo", &key, &publishing()).await.status, 201, "at once");
}

#[tokio::test]
async fn too_many_are_503_with_a_time_to_come_back() {
    let stage = Stage::start_with(|config| config.whep.viewers_max = 2).await;
    let (_session, ..) = stage.session().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let answer = stage.offer("/whep/demo", "", &viewing()).await;
        assert_eq!(answer.status, 201);
        held.push(header(&answer.headers, "location"));
    }
    let answer = stage.offer("/whep/demo", "", &viewing()).await;
    problem(&answer, 503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(stage.send("DELETE", &held[0], &[], "").await.status, 200);
    assert_eq!(stage.offer("/whep/demo", "", &viewing()).await.status, 201, "one that left makes room");
    let stage = Stage::start_with(|config| config.whep.viewers_per_room_max = 1).await;
    let (_session, ..) = stage.session().await;
    assert_eq!(stage.offer("/whep/demo", "", &viewing()).await.status, 201);
    problem(&stage.offer("/whep/demo", "", &viewing()).await, 503, "unavailable");
}

#[tokio::test]
async fn layers_of_an_offer_are_answered_each() {
    let stage = Stage::start().await;
    let key = stage.key().await;
    let simulcast = "a=rid:f send\r\na=rid:h send\r\na=rid:q send\r\na=simulcast:send f;h;q\r\n\
        a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n";
    let answer = stage.offer("/whip/demo", &key, &format!("{}{simulcast}", publishing())).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert!(answer.text.contains("a=simulcast:recv "), "{}", answer.text);
    for rid in ["q", "h", "f"] {
        assert!(answer.text.contains(&format!("a=rid:{rid} recv")), "{}", answer.text);
    }
    let tracks = stage.participants().await.remove(0)["tracks"].clone();
    let video = tracks.as_array().into_iter().flatten().find(|track| track["kind"] == "video").expect("a picture");
    let rids: Vec<&str> =
        video["layers"].as_array().into_iter().flatten().filter_map(|layer| layer["rid"].as_str()).collect();
    assert_eq!(rids, ["q", "h", "f"], "from the lowest to the highest");
}

#[tokio::test]
async fn errors_are_problem_details_and_everything_is_there_over_tls() {
    let stage = Stage::start().await;
    problem(&stage.offer("/whip/demo", "", &publishing()).await, 401, "unauthorised");
    let key = stage.key().await;
    let request = stage.rig.client.post(stage.rig.https("/whip/demo")).bearer_auth(&key);
    let answer = request.header("content-type", SDP).body(publishing()).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert!(header(answer.headers(), "location").starts_with("/whip/demo/sessions/"), "relative to how it was reached");
}

#[tokio::test]
async fn a_room_whose_browsers_send_to_each_other_has_neither() {
    let stage = Stage::start().await;
    let body = serde_json::json!({ "title": "direct", "mode": "p2p" });
    stage.rig.api(&stage.admin, "POST", "/api/v1/rooms", Some(body)).await;
    let made = stage.rig.api(&stage.admin, "POST", "/api/v1/rooms/direct/stream-keys", None).await.body;
    let key = made["key"].as_str().expect("a key");
    problem(&stage.offer("/whip/direct", key, &publishing()).await, 409, "wrong_mode");
    problem(&stage.offer("/whep/direct", "", &viewing()).await, 409, "wrong_mode");
}
