//! How sessions end: kicked, removed, revoked, without a way, with the room. Everything that they held is free at once.

use serde_json::json;
use telstar::config::SecondPublisher;
use telstar_client::{Codec, ConnectionState};
use tokio::time::timeout;

use crate::stage::{Stage, header, problem, publishing, viewing};
use crate::support::PATIENCE;

/// Nothing is left, and the room is free for the next.
async fn is_free(stage: &Stage) {
    stage.sessions_become(0).await;
    stage.participants_become(0).await;
    let key = stage.key().await;
    let next = stage.offer("/whip/demo", &key, &publishing()).await;
    assert_eq!(next.status, 201, "{}", next.text);
}

#[tokio::test]
async fn who_never_comes_is_let_go() {
    let stage = Stage::start().await;
    let (session, ..) = stage.session().await;
    let viewer = stage.offer("/whep/demo", "", &viewing()).await;
    assert_eq!(viewer.status, 201);
    // 30 s, as browsers give ICE.
    stage.sessions_become(0).await;
    for path in [session, header(&viewer.headers, "location")] {
        problem(&stage.send("GET", &path, &[], "").await, 404, "not_found");
    }
    is_free(&stage).await;
}

#[tokio::test]
async fn a_revoked_key_ends_its_session() {
    let stage = Stage::start().await;
    let made = stage.room("POST", "/stream-keys", None).await;
    let key = made["key"].as_str().expect("a key");
    assert_eq!(stage.offer("/whip/demo", key, &publishing()).await.status, 201);
    stage.room("DELETE", &format!("/stream-keys/{}", made["id"]), None).await;
    is_free(&stage).await;
    problem(&stage.offer("/whip/demo", key, &publishing()).await, 401, "unauthorised");
}

#[tokio::test]
async fn who_is_removed_from_the_call_is_gone_with_its_token() {
    let stage = Stage::start().await;
    let token = stage.token("studio", &["publish"]).await;
    assert_eq!(stage.offer("/whip/demo", &token, &publishing()).await.status, 201);
    let id = stage.participants().await.remove(0)["id"].as_str().expect("an id").to_owned();
    stage.room("DELETE", &format!("/participants/{id}"), None).await;
    is_free(&stage).await;
    problem(&stage.offer("/whip/demo", &token, &publishing()).await, 401, "unauthorised");
}

#[tokio::test]
async fn an_ingest_that_may_not_publish_any_more_is_gone() {
    let stage = Stage::start().await;
    let (_session, ..) = stage.session().await;
    let id = stage.participants().await.remove(0)["id"].as_str().expect("an id").to_owned();
    stage.ask("PATCH", &format!("/participants/{id}"), Some(json!({ "grants": ["join"] }))).await;
    is_free(&stage).await;
}

#[tokio::test]
async fn who_is_taken_over_is_gone_and_the_next_is_there() {
    let stage = Stage::start_with(|config| config.rtmp.second_publisher = SecondPublisher::TakeOver).await;
    let (first, ..) = stage.session().await;
    let (second, ..) = stage.session().await;
    stage.sessions_become(1).await;
    stage.participants_become(1).await;
    assert_eq!(stage.send("GET", &first, &[], "").await.status, 404);
    assert_eq!(stage.send("GET", &second, &[], "").await.status, 204);
}

#[tokio::test]
async fn a_deleted_room_takes_its_sessions_along() {
    let stage = Stage::start().await;
    let (_session, ..) = stage.session().await;
    assert_eq!(stage.offer("/whep/demo", "", &viewing()).await.status, 201);
    stage.room("DELETE", "", None).await;
    stage.sessions_become(0).await;
}

#[tokio::test]
async fn a_room_that_closes_to_the_public_lets_its_viewers_go() {
    let stage = Stage::start().await;
    let (publisher, ..) = stage.session().await;
    assert_eq!(stage.offer("/whep/demo", "", &viewing()).await.status, 201);
    stage.close_room().await;
    stage.sessions_become(1).await;
    assert_eq!(stage.send("GET", &publisher, &[], "").await.status, 204, "who has a key stays");
}

#[tokio::test]
async fn a_shutdown_ends_every_session() {
    let stage = Stage::start().await;
    let (_session, ..) = stage.session().await;
    assert_eq!(stage.offer("/whep/demo", "", &viewing()).await.status, 201);
    stage.rig.running.state().tasks.stop();
    stage.sessions_become(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_sent_away_loses_its_connection_at_once() {
    let stage = Stage::with_media().await;
    let publication = stage.publisher(Codec::Vp8, &[]).await;
    let mut viewer = stage.viewer(None, &[Codec::Vp8, Codec::Opus]).await;
    viewer.pictures.more(5).await;
    let id = stage.participants().await.remove(0)["id"].as_str().expect("an id").to_owned();
    stage.room("DELETE", &format!("/participants/{id}"), None).await;
    stage.sessions_become(0).await;
    // DTLS is closed, which a client notices long before consent would be missed (RFC 7675 §5.2).
    for mut state in [publication.state(), viewer.view.state()] {
        let is_over = |state: &ConnectionState| {
            matches!(state, ConnectionState::Disconnected | ConnectionState::Failed | ConnectionState::Closed)
        };
        let over = timeout(PATIENCE, state.wait_for(is_over)).await;
        over.expect("in time").expect("it is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_is_let_go_when_its_consent_is_over() {
    let stage = Stage::with_media().await;
    let publication = stage.publisher(Codec::Vp8, &[]).await;
    stage.participants_become(1).await;
    // Without a DELETE and without a word.
    publication.abandon().await;
    stage.sessions_become(0).await;
    is_free(&stage).await;
}
