//! Webhooks: what arrives, signed, at whom, and after a crash as well.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use telstar::webhooks::{EventKind, WebhookEvent};
use telstar_store::Subject;
use telstar_units::{RoomName, WallTime};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::hmac;
use super::support::{PATIENCE, Rig};

/// An app's endpoint: what it was sent.
struct Endpoint {
    url: String,
    requests: mpsc::Receiver<(HeaderMap, String)>,
}

impl Endpoint {
    /// One that answers with this status; without one it never answers.
    #[expect(clippy::disallowed_methods, reason = "the app of a test is no task of the server")]
    async fn start(status: Option<StatusCode>) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook?a=1", listener.local_addr().expect("bound"));
        let (sender, requests) = mpsc::channel(100);
        let handler = move |headers: HeaderMap, body: String| async move {
            sender.send((headers, body)).await.expect("the test reads");
            match status {
                Some(status) => status,
                None => std::future::pending().await,
            }
        };
        let app: Router = Router::new().route("/hook", post(handler));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Endpoint { url, requests }
    }

    async fn next(&mut self) -> (HeaderMap, String) {
        let next = tokio::time::timeout(PATIENCE, self.requests.recv()).await;
        next.expect("a request comes").expect("the endpoint runs")
    }

    async fn next_body(&mut self) -> Value {
        serde_json::from_str(&self.next().await.1).expect("JSON")
    }
}

async fn hook(rig: &Rig, token: &str, url: &str, events: &[&str]) -> Value {
    rig.api(token, "POST", "/api/v1/webhooks", Some(json!({ "url": url, "events": events }))).await.body
}

async fn rig() -> (Rig, String) {
    let rig = Rig::start_with(|config| config.webhooks.allow_private = true).await;
    let token = rig.token(600).await;
    (rig, token)
}

/// Says when it happened: an endpoint is told of nothing that was before it was made.
async fn tell(rig: &Rig, kind: EventKind, participant: &str) -> WallTime {
    let state = rig.running.state();
    let owner = state.store.first_admin().await.expect("answered").expect("an admin").id;
    let subject = Subject::Room(RoomName::parse("demo").expect("a room name"));
    let data: Map<String, Value> = json!({ "participant": { "id": participant } }).as_object().cloned().expect("one");
    let at = state.authority.now();
    state.webhooks.enqueue(WebhookEvent { kind, name: None, subject, owner, at, data });
    at
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().expect("headers are ASCII")
}

#[tokio::test]
async fn an_event_arrives_signed_as_the_standard_says() {
    let (rig, token) = rig().await;
    let mut endpoint = Endpoint::start(Some(StatusCode::NO_CONTENT)).await;
    let made = hook(&rig, &token, &endpoint.url, &["participant-joined"]).await;
    tell(&rig, EventKind::ParticipantLeft, "p1").await;
    let at = tell(&rig, EventKind::ParticipantJoined, "p2").await;
    let (headers, body) = endpoint.next().await;
    let secret = made["secret"].as_str().expect("a secret").strip_prefix("whsec_").expect("its prefix");
    let key = BASE64.decode(secret).expect("base64");
    assert!((24..=64).contains(&key.len()), "Standard Webhooks allows 24 to 64 bytes");
    let (id, timestamp) = (header(&headers, "webhook-id"), header(&headers, "webhook-timestamp"));
    let signature = BASE64.encode(hmac(&key, format!("{id}.{timestamp}.{body}").as_bytes()));
    assert_eq!(header(&headers, "webhook-signature"), format!("v1,{signature}"));
    assert_eq!(header(&headers, "content-type"), "application/json");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let expect = json!({ "type": "participant-joined", "timestamp": at.to_rfc3339_millis(),
        "data": { "room": "demo", "participant": { "id": "p2" } } });
    assert_eq!(body, expect, "and what it did not ask for did not come");
    let path = format!("/api/v1/webhooks/{}/deliveries", made["id"]);
    loop {
        let listed = rig.api(&token, "GET", &path, None).await.body;
        let delivery = &listed["deliveries"][0];
        assert_eq!(delivery["id"], id);
        if delivery["state"] == "delivered" {
            assert_eq!((&delivery["attempts"], &delivery["outcome"]), (&json!(1), &json!("answered 204")));
            break;
        }
    }
    assert!(!rig.api(&token, "GET", "/api/v1/webhooks", None).await.text.contains(secret), "shown once");
}

#[tokio::test]
async fn a_slow_endpoint_delays_no_other() {
    let (rig, token) = rig().await;
    let (mut slow, mut fast) = (Endpoint::start(None).await, Endpoint::start(Some(StatusCode::OK)).await);
    for endpoint in [&slow, &fast] {
        hook(&rig, &token, &endpoint.url, &["participant-joined"]).await;
    }
    tell(&rig, EventKind::ParticipantJoined, "p0").await;
    slow.next().await;
    // From here on the slow one has a request open, and answers none before the test is over.
    for n in 1..=20 {
        tell(&rig, EventKind::ParticipantJoined, &format!("p{n}")).await;
    }
    for n in 0..=20 {
        assert_eq!(fast.next_body().await["data"]["participant"]["id"], format!("p{n}"), "in their order");
    }
    assert!(slow.requests.try_recv().is_err(), "one at a time");
}

#[tokio::test]
async fn an_endpoint_that_fails_is_asked_again_and_one_that_is_gone_is_not() {
    let (rig, token) = rig().await;
    let mut broken = Endpoint::start(Some(StatusCode::SERVICE_UNAVAILABLE)).await;
    let mut gone = Endpoint::start(Some(StatusCode::GONE)).await;
    let hooks = [
        hook(&rig, &token, &broken.url, &["room-started"]).await,
        hook(&rig, &token, &gone.url, &["room-started"]).await,
    ];
    tell(&rig, EventKind::RoomStarted, "p1").await;
    let (first, _) = broken.next().await;
    gone.next().await;
    // The back-off is five seconds; it is waited for, because it is what the test is about.
    let (second, _) = broken.next().await;
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"), "one event has one name");
    let state = async |hook: &Value| {
        let path = format!("/api/v1/webhooks/{}/deliveries", hook["id"]);
        rig.api(&token, "GET", &path, None).await.body["deliveries"][0].clone()
    };
    assert_eq!(state(&hooks[0]).await["state"], "pending");
    let ended = state(&hooks[1]).await;
    assert_eq!((&ended["state"], &ended["attempts"]), (&json!("failed"), &json!(1)));
}

#[tokio::test]
async fn an_endpoint_in_a_private_network_is_refused_unless_the_operator_allows_it() {
    let rig = Rig::start().await;
    let bearer = format!("Bearer {}", rig.token(600).await);
    for url in [
        "http://app.example/hook",
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://user:password@app.example/hook",
        "gopher://app.example/",
        "",
    ] {
        let body = Some(json!({ "url": url }));
        let answer = rig.ask("POST", "/api/v1/webhooks", &[("authorization", &bearer)], body).await;
        assert_eq!((answer.status, &answer.body["code"]), (422, &json!("invalid_fields")), "{url}");
    }
    // A name is taken, and looked at when it is used.
    let token = bearer.trim_start_matches("Bearer ");
    let made = hook(&rig, token, "https://localhost:1/hook", &["room-ended"]).await;
    tell(&rig, EventKind::RoomEnded, "p1").await;
    let path = format!("/api/v1/webhooks/{}/deliveries", made["id"]);
    loop {
        let delivery = rig.api(token, "GET", &path, None).await.body["deliveries"][0].clone();
        if delivery["outcome"] != "" && !delivery.is_null() {
            assert_eq!(delivery["outcome"], "the name leads to no public address");
            break;
        }
    }
    let wrong = Some(json!({ "url": "https://app.example/", "events": ["everything"] }));
    let wrong = rig.ask("POST", "/api/v1/webhooks", &[("authorization", &bearer)], wrong).await;
    assert_eq!(wrong.status, 422);
}

/// A server of its own process, so that it can be killed.
struct Process {
    child: Child,
    addresses: Value,
}

impl Process {
    fn start(data: &Path) -> Process {
        let any = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_telstar"))
            .args(["serve", "--http", any, "--https", "off", "--rtmp", any, "--rtmps", "off", "--print-addresses"])
            .args(["--print-secrets", "--webhooks-allow-private", "true"])
            .env("TELSTAR_DATA", data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the executable starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a line").expect("text");
        // Whoever prints into a closed pipe dies.
        std::thread::spawn(move || lines.for_each(drop));
        Process { child, addresses: serde_json::from_str(&first).expect("JSON") }
    }

    fn address(&self, name: &str) -> &str {
        self.addresses[name].as_str().expect("an address")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: nothing is finished, nothing is said.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn asked(process: &Process, token: &str, method: &str, path: &str, body: Value) -> Value {
    let request = reqwest_client()
        .request(method.parse().expect("a method"), format!("http://{}{path}", process.address("http")));
    let request = request.bearer_auth(token);
    let request = if body.is_null() { request } else { request.json(&body) };
    request.send().await.expect("answered").json().await.expect("JSON")
}

fn reqwest_client() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_queued_arrives_after_kill_9() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut silent = Endpoint::start(None).await;
    let server = Process::start(&data);
    let minted =
        Command::new(env!("CARGO_BIN_EXE_telstar")).args(["token", "--admin"]).env("TELSTAR_DATA", &data).output();
    let token = String::from_utf8(minted.expect("it runs").stdout).expect("text").trim().to_owned();
    let wanted = json!({ "url": silent.url, "events": ["stream-started"] });
    let webhook = asked(&server, &token, "POST", "/api/v1/webhooks", wanted).await["id"].clone();
    let key = asked(&server, &token, "POST", "/api/v1/rooms/demo/stream-keys", json!({})).await["key"].clone();
    let url = format!("rtmp://{}/live/{}", server.address("rtmp"), key.as_str().expect("a key"));
    let source = ["-re", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=10", "-t", "60", "-c:v", "libx264", "-g", "10"];
    let mut encoder = Command::new("ffmpeg")
        .args(["-v", "quiet"])
        .args(source)
        .args(["-f", "flv", &url])
        .stdin(Stdio::null())
        .spawn()
        .expect("ffmpeg runs");
    // The request is on its way and is never answered; in this moment the server dies.
    let (first, body) = silent.next().await;
    drop(server);
    let _ = encoder.kill();
    let _ = encoder.wait();
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&body["type"], &body["data"]["room"]), (&json!("stream-started"), &json!("demo")));

    let server = Process::start(&data);
    let (second, again) = silent.next().await;
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_eq!(serde_json::from_str::<Value>(&again).expect("JSON"), body);
    let path = format!("/api/v1/webhooks/{webhook}/deliveries");
    let listed = asked(&server, &token, "GET", &path, Value::Null).await;
    let deliveries = listed["deliveries"].as_array().expect("a list");
    assert_eq!(deliveries.len(), 1, "{listed}");
    assert_eq!((&deliveries[0]["state"], &deliveries[0]["attempts"]), (&json!("pending"), &json!(2)));
}
