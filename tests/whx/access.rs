//! Who may: the bearer, and who may go on with a session.

use serde_json::json;

use crate::stage::{FRAGMENT, SDP, Stage, fragment, header, problem, publishing, viewing};

#[tokio::test]
async fn without_a_good_bearer_it_is_401_and_without_the_right_403_or_404() {
    let stage = Stage::start().await;
    stage.rig.api(&stage.admin, "POST", "/api/v1/rooms", Some(json!({ "title": "other" }))).await;
    let foreign = stage.rig.api(&stage.admin, "POST", "/api/v1/rooms/other/stream-keys", None).await.body;
    let foreign = foreign["key"].as_str().expect("a key").to_owned();
    let watcher = stage.token("watcher", &["join", "subscribe", "chat"]).await;
    for (bearer, status, code) in [
        ("", 401, "unauthorised"),
        ("sk_000000000000000000000000000000000", 401, "unauthorised"),
        ("nonsense", 401, "unauthorised"),
        (foreign.as_str(), 403, "forbidden"),
        (watcher.as_str(), 403, "forbidden"),
    ] {
        let answer = stage.offer("/whip/demo", bearer, &publishing()).await;
        problem(&answer, status, code);
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{bearer}");
    }
    stage.close_room().await;
    problem(&stage.offer("/whip/demo", &foreign, &publishing()).await, 404, "not_found");
    problem(&stage.offer("/whep/demo", "", &viewing()).await, 404, "not_found");
}

#[tokio::test]
async fn keys_tokens_and_the_owners_own_page_may_publish() {
    let stage = Stage::start().await;
    let ingest = stage.token("encoder", &["ingest"]).await;
    let publish = stage.token("studio", &["publish"]).await;
    let key = stage.key().await;
    for (bearer, identity) in
        [(&ingest, "encoder"), (&publish, "studio"), (&stage.admin, "account:"), (&key, "stream-key:")]
    {
        let answer = stage.offer("/whip/demo", bearer, &publishing()).await;
        assert_eq!(answer.status, 201, "{identity}: {}", answer.text);
        let who = stage.participants().await.remove(0);
        assert!(who["identity"].as_str().is_some_and(|who| who.starts_with(identity)), "{who}");
        let bearer = format!("Bearer {bearer}");
        let gone = stage.send("DELETE", &header(&answer.headers, "location"), &[("authorization", &bearer)], "").await;
        assert_eq!(gone.status, 200);
    }
    let (cookie, origin) = (stage.rig.cookie().await, stage.rig.origin());
    let page = [("cookie", cookie.as_str()), ("origin", origin.as_str()), ("content-type", SDP)];
    let answer = stage.send("POST", "/whip/demo", &page, publishing()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let session = header(&answer.headers, "location");
    let foreign = [("cookie", cookie.as_str()), ("origin", "https://evil.example")];
    problem(&stage.send("DELETE", &session, &foreign, "").await, 403, "foreign_origin");
    problem(&stage.send("DELETE", &session, &[], "").await, 401, "unauthorised");
    assert_eq!(stage.send("DELETE", &session, &page[..2], "").await.status, 200);
}

#[tokio::test]
async fn a_session_goes_on_with_the_credential_that_began_it() {
    let stage = Stage::start().await;
    let token = stage.token("studio", &["publish"]).await;
    let answer = stage.offer("/whip/demo", &token, &publishing()).await;
    let (session, tag) = (header(&answer.headers, "location"), header(&answer.headers, "etag"));
    let other_key = stage.key().await;
    let someone = stage.token("someone", &["publish"]).await;
    for (bearer, status, code) in [
        (None, 401, "unauthorised"),
        (Some("sk_wrong"), 401, "unauthorised"),
        (Some(other_key.as_str()), 403, "forbidden"),
        (Some(someone.as_str()), 403, "forbidden"),
    ] {
        let bearer = bearer.map(|bearer| format!("Bearer {bearer}"));
        let mut headers = vec![("content-type", FRAGMENT), ("if-match", tag.as_str())];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        problem(&stage.send("PATCH", &session, &headers, fragment("them", "")).await, status, code);
        problem(&stage.send("DELETE", &session, &headers, "").await, status, code);
    }
    assert_eq!(stage.participants().await.len(), 1, "it goes on");
    // Its next token is as good as the first.
    let next = format!("Bearer {}", stage.token("studio", &["publish"]).await);
    assert_eq!(stage.send("DELETE", &session, &[("authorization", &next)], "").await.status, 200);
}

#[tokio::test]
async fn viewers_of_a_closed_room_show_what_players_show() {
    let stage = Stage::start().await;
    let (publisher, ..) = stage.session().await;
    stage.close_room().await;
    problem(&stage.offer("/whep/demo", "", &viewing()).await, 404, "not_found");
    let playback = stage.room("POST", "/playback-tokens", None).await["token"].as_str().expect("a token").to_owned();
    let by_link = stage.offer(&format!("/whep/demo?t={playback}"), "", &viewing()).await;
    assert_eq!(by_link.status, 201, "{}", by_link.text);
    assert!(!header(&by_link.headers, "location").contains(&playback), "the session's address is its own secret");
    let member = stage.token("member", &["subscribe"]).await;
    for bearer in [&playback, &member] {
        let answer = stage.offer("/whep/demo", bearer, &viewing()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let session = header(&answer.headers, "location");
        problem(&stage.send("DELETE", &session, &[], "").await, 401, "unauthorised");
        let bearer = format!("Bearer {bearer}");
        assert_eq!(stage.send("DELETE", &session, &[("authorization", &bearer)], "").await.status, 200);
    }
    // Whoever came by a link has shown nothing that its requests could show again.
    assert_eq!(stage.send("DELETE", &header(&by_link.headers, "location"), &[], "").await.status, 200);
    problem(&stage.offer("/whep/demo?t=wrong", "", &viewing()).await, 401, "unauthorised");
    let publishes_only = stage.token("studio", &["publish"]).await;
    problem(&stage.offer("/whep/demo", &publishes_only, &viewing()).await, 403, "forbidden");
    assert_eq!(stage.send("GET", &publisher, &[], "").await.status, 204);
}
