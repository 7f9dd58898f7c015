//! Other people's sessions, other sites' pages, and what stands in names.

use super::sessions::{FRAGMENT, SDP, code, offer};
use super::stage::{SMALL_MIB, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_neither_guessed_nor_ended_by_others() {
    let stage = Stage::set().await;
    let (live, key) = stage.live().await;
    let session = live.http().location().path().to_owned();
    let (folder, id) = session.rsplit_once('/').expect("a path");
    let foreign = stage.key().await;
    // Guesses: none of them is told more than that there is nothing.
    for number in 0..500 {
        let mut guess: Vec<u8> = id.bytes().collect();
        let at = number % guess.len();
        guess[at] = if guess[at] == b'0' { b'1' } else { b'0' };
        let path = format!("{folder}/{}", String::from_utf8(guess).expect("ASCII"));
        let answer = stage.send("DELETE", &path, &[], "").await;
        assert!(matches!(answer.status, 404 | 429), "{} {}", answer.status, answer.text);
    }
    // Who knows the address and not the key.
    for bearer in [None, Some("Bearer sk_wrong".to_owned()), Some(format!("Bearer {foreign}"))] {
        for method in ["DELETE", "PATCH"] {
            let mut headers = vec![("content-type", FRAGMENT), ("if-match", "*"), ("forwarded", "for=198.51.100.9")];
            headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
            let body = "a=ice-ufrag:evil\r\na=ice-pwd:evilpasswordevilpassword\r\n";
            let answer = stage.send(method, &session, &headers, body).await;
            assert!(matches!(answer.status, 401 | 403), "{method}: {} {}", answer.status, answer.text);
        }
    }
    assert_eq!(stage.participants().await, 1, "it goes on");
    let own = format!("Bearer {key}");
    let headers = [("authorization", own.as_str()), ("forwarded", "for=198.51.100.10")];
    assert_eq!(stage.send("DELETE", &session, &headers, "").await.status, 200);
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_of_deletes_patches_and_offers_has_one_winner_and_leaves_nothing() {
    let stage = Stage::set().await;
    let key = stage.key().await;
    let bearer = format!("Bearer {key}");
    for _ in 0..20 {
        let headers = [("content-type", SDP), ("authorization", bearer.as_str())];
        let answer = stage.send("POST", "/whip/attacker", &headers, offer("sendonly")).await;
        assert_eq!(answer.status, 201, "the room is free again: {}", answer.text);
        let (session, tag) = (answer.location(), answer.tag());
        let deletes = (0..8).map(|_| stage.send("DELETE", &session, &headers[1..], ""));
        let patch = [("content-type", FRAGMENT), ("authorization", bearer.as_str()), ("if-match", tag.as_str())];
        let patches =
            (0..8).map(|_| stage.send("PATCH", &session, &patch, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"));
        let (deleted, patched) =
            tokio::join!(futures_util::future::join_all(deletes), futures_util::future::join_all(patches));
        assert_eq!(deleted.iter().filter(|answer| answer.status == 200).count(), 1, "one ends it");
        assert!(deleted.iter().chain(&patched).all(|answer| matches!(answer.status, 200 | 204 | 404 | 429 | 503)));
        assert_eq!((stage.sessions(), stage.participants().await), (0, 0));
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_comes_in_becomes_a_header_going_out() {
    let stage = Stage::set().await;
    let key = stage.key().await;
    let bearer = format!("Bearer {key}");
    for room in ["x%0d%0aSet-Cookie:%20a=b", "%00", "..%2f..%2fadmin", "a%22b", "%E2%80%AE", "x%0aLocation:%20//evil"] {
        for path in [format!("/whip/{room}"), format!("/whep/{room}"), format!("/whip/attacker/sessions/{room}")] {
            let method = if path.contains("sessions") { "DELETE" } else { "POST" };
            let headers = [("content-type", SDP), ("authorization", bearer.as_str())];
            let answer = stage.send(method, &path, &headers, offer("sendonly")).await;
            assert!(matches!(answer.status, 401 | 403 | 404), "{path}: {} {}", answer.status, answer.text);
            for name in ["set-cookie", "location", "etag"] {
                assert!(!answer.headers.contains_key(name), "{path}: {name}");
            }
        }
    }
    // An SDP is text that is answered by another, never by a header.
    let evil = offer("sendonly").replace("a=mid:0", "a=mid:0\r\na=x:1\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a=b");
    let agent = format!("OBS/{}", "x".repeat(8_000));
    let headers = [("content-type", SDP), ("authorization", bearer.as_str()), ("user-agent", agent.as_str())];
    let answer = stage.send("POST", "/whip/attacker", &headers, evil).await;
    assert!(!answer.headers.contains_key("set-cookie"));
    if answer.status == 201 {
        assert!(answer.location().starts_with("/whip/attacker/sessions/"));
        assert!(!answer.text.contains("Set-Cookie"));
        let shown = stage.rig.api(&stage.admin, "GET", "/api/v1/rooms/attacker", None).await.text;
        assert!(shown.len() < 4_000, "a name of an encoder is short: {} bytes", shown.len());
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_does_nothing_in_a_persons_name() {
    let stage = Stage::set().await;
    let cookie = stage.rig.cookie().await;
    for origin in ["https://evil.example", "null", "http://localhost"] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin), ("content-type", SDP)];
        let answer = stage.send("POST", "/whip/attacker", &headers, offer("sendonly")).await;
        assert_eq!((answer.status, code(&answer).as_str()), (403, "foreign_origin"), "{origin}");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{origin}");
    }
    let headers = [("cookie", cookie.as_str()), ("content-type", SDP)];
    assert_eq!(
        stage.send("POST", "/whip/attacker", &headers, offer("sendonly")).await.status,
        403,
        "no origin is none"
    );
    assert_eq!((stage.sessions(), stage.participants().await), (0, 0));
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
}
