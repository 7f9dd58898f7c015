//! What an app's own server has of a call: invites, tokens that it signs itself, webhooks, pages of its own origin.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use telstar::config::address::WebOrigin;
use telstar::config::value::ListItem;
use telstar_client::Kind;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::people::{EVERYTHING, Person, Stage, enter, id_of, last_words};
use crate::support::{PATIENCE, code};

/// An app's endpoint; what it was sent.
#[expect(clippy::disallowed_methods, reason = "the app of a test is no task of the server")]
async fn endpoint() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let (sender, events) = mpsc::channel(100);
    let handler = move |body: String| async move {
        sender.send(serde_json::from_str(&body).expect("JSON")).await.expect("the test reads");
        StatusCode::NO_CONTENT
    };
    let app: Router = Router::new().route("/hook", post(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_tell_a_call_from_its_beginning_to_its_end() {
    let stage = Stage::start_with(|config| config.webhooks.allow_private = true).await;
    let (url, mut events) = endpoint().await;
    stage.rig.api(&stage.admin, "POST", "/api/v1/webhooks", Some(json!({ "url": url }))).await;
    let mut next = async |kind: &str| {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event").expect("it runs");
        assert_eq!((&event["type"], &event["data"]["room"]), (&json!(kind), &json!("demo")), "{event}");
        event["data"].clone()
    };
    let alice = stage.person("alice").await;
    next("room-started").await;
    let joined = next("participant-joined").await["participant"].clone();
    assert_eq!((&joined["id"], &joined["identity"]), (&json!(alice.call.id()), &json!("alice")));
    let track = alice.publish(Kind::Audio).await;
    let published = next("track-published").await;
    assert_eq!(published["participant"]["id"], alice.call.id());
    assert_eq!((&published["track"]["id"], &published["track"]["source"]), (&json!(track), &json!("microphone")));
    let (mut bob, joined) = stage.guest("bob", &EVERYTHING).await;
    assert_eq!(next("participant-joined").await["participant"]["id"], id_of(&joined));
    alice.call.unpublish(&track).await.expect("it is hers");
    let unpublished = next("track-unpublished").await;
    assert_eq!(
        (&unpublished["track"]["id"], &unpublished["participant"]["identity"]),
        (&json!(track), &json!("alice"))
    );
    alice.call.leave().await.expect("goodbye");
    let left = next("participant-left").await;
    assert_eq!((&left["participant"]["identity"], &left["reason"]), (&json!("alice"), &json!("left")));
    bob.ask(json!({ "type": "leave" })).await;
    assert_eq!(next("participant-left").await["participant"]["identity"], "bob");
    next("room-ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_becomes_a_token_and_the_token_a_guest() {
    let stage = Stage::start().await;
    let terms = json!({ "label": "friends", "uses": 1, "grants": ["join", "publish", "subscribe"] });
    let invite = stage.room("POST", "/invites", Some(terms)).await;
    let secret = invite["invite"].as_str().expect("an invite");
    assert!(invite["url"].as_str().expect("a link").ends_with(&format!("/call/demo#invite={secret}")), "{invite}");
    let redeem =
        async || stage.rig.ask("POST", "/api/v1/tokens", &[], Some(json!({ "invite": secret, "name": "Gus" }))).await;
    let made = redeem().await.body;
    let token = made["token"].as_str().expect("a token").to_owned();
    let mut gus = Person::join(&stage.ws(), token, Default::default()).await;
    let own = gus.call.participants().into_iter().find(|one| one.id == gus.call.id()).expect("oneself");
    assert_eq!((own.name.as_str(), Value::from(own.identity)), ("Gus", made["identity"].clone()));
    assert_eq!(own.grants, ["publish", "subscribe"]);
    let alice = stage.person("alice").await;
    alice.publish(Kind::Audio).await;
    gus.watch_of("alice", Kind::Audio).await.more(5).await;
    let refused = redeem().await;
    assert_eq!((refused.status, &refused.body["code"]), (401, &json!("bad_invite")), "{}", refused.text);
}

#[tokio::test]
async fn a_token_that_an_app_signed_joins_from_a_page_of_the_app() {
    let origin = "https://app.example";
    let stage = Stage::start_with(|config| {
        config.general.allowed_origins = vec![WebOrigin::parse_item(origin).expect("an origin")];
    })
    .await;
    let key = stage.rig.api(&stage.admin, "POST", "/api/v1/api-keys", Some(json!({ "label": "app" }))).await.body;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({ "iss": key["id"], "sub": "alice", "exp": now + 60, "jti": "one", "room": "demo",
        "grants": EVERYTHING, "name": "Alice", "metadata": "{\"team\":1}" });
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let signed = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
    let secret = key["secret"].as_str().expect("a secret");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("every length is a key");
    mac.update(signed.as_bytes());
    let token = format!("{signed}.{}", BASE64URL.encode(mac.finalize().into_bytes()));

    // The cookie of somebody who is signed in here gives the app's page nothing.
    let cookie = stage.rig.cookie().await;
    let mut page = stage.rig.connect_with(&[("cookie", &cookie), ("origin", origin)]).await;
    assert_eq!(code(&page.ask(json!({ "type": "join", "room": "demo" })).await), "unauthorised");
    let joined = enter(&mut page, &token).await;
    let own = &joined["state"]["participants"][0];
    assert_eq!((&own["identity"], &own["name"]), (&json!("alice"), &json!("Alice")), "{joined}");
    assert_eq!((&own["metadata"], &own["kind"]), (&json!("{\"team\":1}"), &json!("device")));
    let elsewhere = stage.rig.upgrade(&[("origin", "https://evil.example")]);
    assert_eq!(stage.rig.refused(elsewhere).await.0, 403);

    let path = format!("/api/v1/api-keys/{}", key["id"].as_str().expect("an id"));
    stage.rig.api(&stage.admin, "DELETE", &path, None).await;
    assert_eq!(last_words(page).await, ("credential-ended".to_owned(), 4401));
}

#[tokio::test]
async fn the_owner_joins_with_the_account_and_calls_are_counted() {
    let stage = Stage::start().await;
    let cookie = stage.rig.cookie().await;
    let origin = stage.rig.origin();
    let mut page = stage.rig.connect_with(&[("cookie", &cookie), ("origin", &origin)]).await;
    let joined = page.ask(json!({ "type": "join", "room": "demo", "name": "Owner" })).await;
    let own = &joined["state"]["participants"][0];
    assert_eq!((&own["name"], &own["kind"]), (&json!("Owner"), &json!("browser")), "{joined}");
    assert_eq!(own["grants"], json!(["publish", "subscribe", "chat", "admin"]));
    drop(stage.guest("bob", &EVERYTHING).await);
    let gauges = async || {
        let text = stage.rig.get("/metrics").await.text().await.expect("text");
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).map(str::to_owned);
        (value("calls_count").expect("a gauge"), value("call_participants_count").expect("a gauge"))
    };
    assert_eq!(gauges().await, ("1".to_owned(), "2".to_owned()), "bob's socket is gone, and he may come back");
    stage.room("DELETE", "", None).await;
    page.until(|message| message["type"] == "left").await;
    assert_eq!(gauges().await, ("0".to_owned(), "0".to_owned()));
}
