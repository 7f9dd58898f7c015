//! The session: PATCH and DELETE by hand.

use crate::stage::{FRAGMENT, SDP, Stage, fragment, header, problem, publishing, viewing};
use crate::support::Answer;

const CANDIDATE: &str = "a=candidate:1 1 udp 2130706431 192.0.2.1 40000 typ host\r\n";

async fn patch(stage: &Stage, session: &str, key: &str, if_match: Option<&str>, body: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", FRAGMENT)];
    headers.extend(if_match.map(|tag| ("if-match", tag)));
    stage.send("PATCH", session, &headers, body).await
}

#[tokio::test]
async fn each_session_has_a_strong_tag() {
    let stage = Stage::start().await;
    let (_, tag, _) = stage.session().await;
    let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).expect("a quoted string, and no W/");
    assert!(!inner.is_empty() && !inner.contains('"'));
    let viewer = stage.offer("/whep/demo", "", &viewing()).await;
    assert_ne!(header(&viewer.headers, "etag"), tag);
}

#[tokio::test]
async fn candidates_are_taken_and_answered_204_without_a_tag() {
    let stage = Stage::start().await;
    let (session, tag, key) = stage.session().await;
    for lines in [
        CANDIDATE.to_owned(),
        format!("{CANDIDATE}a=end-of-candidates\r\n"),
        "a=end-of-candidates\r\n".to_owned(),
        // What cannot be used is left out, silently.
        "a=candidate:1 1 sctp 1 192.0.2.1 9 typ host\r\n".to_owned(),
        "a=candidate:1 1 udp 1 a-name.local 9 typ host\r\na=candidate:1 1 udp 1 no.such.host.example 9 typ host\r\n"
            .to_owned(),
        "a=candidate:nonsense\r\n".to_owned(),
    ] {
        let answer = patch(&stage, &session, &key, Some(&tag), &fragment("them", &lines)).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{lines}");
        assert!(!answer.headers.contains_key("etag"), "{lines}");
    }
    let answer = patch(&stage, &session, &key, Some(&tag), CANDIDATE).await;
    assert_eq!(answer.status, 204, "credentials may be left out");
    let answer = patch(&stage, &session, &key, Some("*"), &fragment("them", CANDIDATE)).await;
    assert_eq!(
        (answer.status, answer.headers.contains_key("etag")),
        (204, false),
        "the present one, as some clients write"
    );
    let several = format!("\"another\", {tag}");
    assert_eq!(patch(&stage, &session, &key, Some(&several), CANDIDATE).await.status, 204);
}

#[tokio::test]
async fn a_patch_of_another_type_or_without_sense_is_refused() {
    let stage = Stage::start().await;
    let (session, tag, key) = stage.session().await;
    let bearer = format!("Bearer {key}");
    for content_type in [SDP, "application/json", ""] {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type), ("if-match", tag.as_str())];
        let answer = stage.send("PATCH", &session, &headers, CANDIDATE).await;
        problem(&answer, 415, "unsupported_media_type");
        assert_eq!(answer.headers["accept-patch"], FRAGMENT);
    }
    for body in ["", "candidate:1", "{}", "a=ice-ufrag:alone\r\n", "a=ice-ufrag:x\r\na=ice-pwd:y\r\n"] {
        problem(&patch(&stage, &session, &key, Some(&tag), body).await, 400, "bad_sdp");
    }
    let long = CANDIDATE.repeat(1_000);
    problem(&patch(&stage, &session, &key, Some(&tag), &long).await, 413, "body_too_large");
    let types = "application/trickle-ice-sdpfrag; charset=utf-8";
    let headers = [("authorization", bearer.as_str()), ("content-type", types), ("if-match", tag.as_str())];
    assert_eq!(stage.send("PATCH", &session, &headers, CANDIDATE).await.status, 204);
}

#[tokio::test]
async fn a_patch_says_for_which_ice_session_it_is() {
    let stage = Stage::start().await;
    let (session, tag, key) = stage.session().await;
    problem(&patch(&stage, &session, &key, None, CANDIDATE).await, 428, "precondition_required");
    let weak = format!("W/{tag}");
    for other in ["\"another\"", weak.as_str(), tag.trim_matches('"'), "", "\"a\", \"b\""] {
        problem(&patch(&stage, &session, &key, Some(other), CANDIDATE).await, 412, "precondition_failed");
    }
    assert_eq!(patch(&stage, &session, &key, Some(&tag), CANDIDATE).await.status, 204, "it is as it was");
}

#[tokio::test]
async fn a_restart_has_new_credentials_and_a_new_tag() {
    let stage = Stage::start().await;
    for protocol in ["whip", "whep"] {
        let key = stage.key().await;
        let (first, headers) = match protocol {
            "whip" => {
                let answer = stage.offer("/whip/demo", &key, &publishing()).await;
                (answer.text, answer.headers)
            }
            _ => {
                let answer = stage.offer("/whep/demo", "", &viewing()).await;
                (answer.text, answer.headers)
            }
        };
        let (session, mut tag) = (header(&headers, "location"), header(&headers, "etag"));
        let mut ufrag = value(&first, "a=ice-ufrag:");
        for (condition, theirs) in [("*", "anew"), ("\"*\"", "again")] {
            let answer = patch(&stage, &session, &key, Some(condition), &fragment(theirs, CANDIDATE)).await;
            assert_eq!(answer.status, 200, "{protocol} {condition}: {}", answer.text);
            assert_eq!(answer.headers["content-type"], FRAGMENT);
            let (new_tag, new_ufrag) = (header(&answer.headers, "etag"), value(&answer.text, "a=ice-ufrag:"));
            assert!(new_tag.starts_with('"') && new_tag != tag && new_ufrag != ufrag, "{}", answer.text);
            assert!(!value(&answer.text, "a=ice-pwd:").is_empty() && answer.text.contains("a=candidate:"));
            assert_eq!(answer.text.contains("a=ice-lite"), first.contains("a=ice-lite"), "as it was");
            let stale = patch(&stage, &session, &key, Some(&tag), &fragment(theirs, CANDIDATE)).await;
            problem(&stale, 412, "precondition_failed");
            (tag, ufrag) = (new_tag, new_ufrag);
            let trickled = patch(&stage, &session, &key, Some(&tag), &fragment(theirs, CANDIDATE)).await;
            assert_eq!(trickled.status, 204);
        }
    }
}

fn value(sdp: &str, name: &str) -> String {
    sdp.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_restart_that_fails_leaves_the_ice_session_as_it_was() {
    let stage = Stage::start().await;
    let (session, tag, key) = stage.session().await;
    for (what, if_match, body, status) in [
        ("without a condition", None, fragment("anew", ""), 428),
        ("for another", Some("\"another\""), fragment("anew", ""), 412),
        ("with the tag of the present one", Some(tag.as_str()), fragment("anew", ""), 412),
        ("half", Some("*"), "a=ice-ufrag:anew\r\n".to_owned(), 400),
        ("a short password", Some("*"), "a=ice-ufrag:anew\r\na=ice-pwd:short\r\n".to_owned(), 400),
    ] {
        assert_eq!(patch(&stage, &session, &key, if_match, &body).await.status, status, "{what}");
        assert_eq!(patch(&stage, &session, &key, Some(&tag), &fragment("them", CANDIDATE)).await.status, 204, "{what}");
    }
    assert_eq!(stage.participants().await.len(), 1);
}

#[tokio::test]
async fn delete_is_200_whatever_tag_it_shows_and_then_there_is_nothing() {
    let stage = Stage::start().await;
    for tag in ["\"another\"", "W/\"x\"", "*"] {
        let (session, _, key) = stage.session().await;
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("if-match", tag)];
        let answer = stage.send("DELETE", &session, &headers, "").await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{tag}");
        for method in ["DELETE", "GET"] {
            problem(&stage.send(method, &session, &headers, "").await, 404, "not_found");
        }
        problem(&patch(&stage, &session, &key, Some(tag), CANDIDATE).await, 404, "not_found");
        assert!(stage.participants().await.is_empty(), "it left the call before it was answered");
    }
    for path in ["/whip/demo/sessions/none", "/whep/demo/sessions/none", "/whip/no-such-room/sessions/none"] {
        problem(&stage.send("DELETE", path, &[], "").await, 404, "not_found");
    }
}

#[tokio::test]
async fn a_session_is_at_one_address() {
    let stage = Stage::start().await;
    stage.rig.api(&stage.admin, "POST", "/api/v1/rooms", Some(serde_json::json!({ "title": "other" }))).await;
    let (session, _, key) = stage.session().await;
    let id = session.rsplit('/').next().expect("an id");
    let bearer = format!("Bearer {key}");
    for path in [format!("/whep/demo/sessions/{id}"), format!("/whip/other/sessions/{id}")] {
        let answer = stage.send("DELETE", &path, &[("authorization", &bearer)], "").await;
        problem(&answer, 404, "not_found");
    }
    assert_eq!(stage.send("GET", &session, &[], "").await.status, 204);
}

#[tokio::test]
async fn floods_of_offers_patches_and_deletes_are_slowed_down() {
    let stage = Stage::start().await;
    for (method, path) in
        [("POST", "/whip/demo"), ("PATCH", "/whip/demo/sessions/x"), ("DELETE", "/whep/demo/sessions/x")]
    {
        let mut slowed = None;
        for _ in 0..2_000 {
            let answer = stage.send(method, path, &[], "").await;
            if answer.status == 429 {
                slowed = Some(answer);
                break;
            }
            assert!(matches!(answer.status, 401 | 404), "{method}: {}", answer.status);
        }
        let answer = slowed.unwrap_or_else(|| panic!("{method} is never slowed down"));
        problem(&answer, 429, "too_many_requests");
        assert!(answer.headers.contains_key("retry-after"), "{method}");
    }
    // Another address is not held up.
    let elsewhere = [("forwarded", "for=\"198.51.100.7:4711\"")];
    assert_eq!(stage.send("DELETE", "/whip/demo/sessions/x", &elsewhere, "").await.status, 404);
}
