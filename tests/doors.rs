//! Every door, without a credential and with wrong ones: nothing opens but what is public by design.
//!
//! The HTTP doors are read from the running server's own description, so that a new route is walked the day it is
//! added; the doors that the description does not list (pages, `/live`, `/ws`, RTMP) are named here.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use source::Source;
use support::{Answer, Rig};
use telstar::auth::{Grant, RoomToken};
use telstar::config::address::Listen;
use telstar::rooms::{IngestHandle, IngestRequest, IngestVia};
use telstar::shards::IngestItem;
use telstar_units::RoomName;

#[allow(dead_code, reason = "shared with the simulations of the packager, which use all of it")]
#[path = "../crates/hls/tests/support/source.rs"]
mod source;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "ws/support.rs"]
mod support;

/// What the description lists and anybody may do. Everything else must refuse.
const PUBLIC: [(&str, &str); 6] = [
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"), // from this machine; see the test about it
    ("get", "/api/v1/server"),
    ("get", "/api/v1/rooms/{room}"), // an open room; the walk uses a private one
    ("post", "/api/v1/sessions"),    // with a code only
];

/// What browsers open: for everybody, whatever they show. What a page shows, it asks for itself.
const PAGES: [&str; 9] = [
    "/",
    "/sign-in",
    "/watch/private",
    "/watch/no-such-room",
    "/embed/watch/private",
    "/call/private",
    "/call/no-such-room",
    "/client/v1.js",
    "/docs/problems",
];

/// Another address each time, so that the limit on wrong credentials does not answer for the rules.
fn from_elsewhere() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("for=\"198.51.{}.{}:4711\"", number / 250, number % 250 + 1)
}

/// A server with a private room that has a key, and everything wrong that one could show.
struct Walk {
    rig: Rig,
    admin: String,
    /// Values of `Authorization`.
    wrong: Vec<(&'static str, String)>,
    /// Values of `Cookie`.
    wrong_cookies: Vec<(&'static str, String)>,
}

impl Walk {
    /// Everything wrong, each as the header that carries it.
    fn shown(&self) -> impl Iterator<Item = (&'static str, Option<(&'static str, &str)>)> {
        let bearers = self.wrong.iter().map(|(what, value)| (*what, "authorization", value));
        let cookies = self.wrong_cookies.iter().map(|(what, value)| (*what, "cookie", value));
        bearers
            .chain(cookies)
            .map(|(what, name, value)| (what, Some((name, value.as_str())).filter(|_| !value.is_empty())))
    }

    async fn ask(&self, method: &str, target: &str, header: Option<(&str, &str)>, body: Option<Value>) -> Answer {
        let from = from_elsewhere();
        let headers: Vec<_> = [("forwarded", from.as_str())].into_iter().chain(header).collect();
        self.rig.ask(method, target, &headers, body).await
    }
}

async fn walk(change: impl FnOnce(&mut telstar::Config)) -> Walk {
    let rig = Rig::start_with(change).await;
    let admin = rig.token(600).await;
    for room in ["private", "other"] {
        rig.api(&admin, "POST", "/api/v1/rooms", Some(json!({ "title": room, "open": false }))).await;
    }
    rig.api(&admin, "POST", "/api/v1/rooms/private/stream-keys", None).await;
    let key = rig.api(&admin, "POST", "/api/v1/rooms/other/stream-keys", None).await.body["key"].clone();
    let playback = rig.api(&admin, "POST", "/api/v1/rooms/other/playback-tokens", None).await.body["token"].clone();
    let text = |value: Value| value.as_str().expect("a secret").to_owned();

    let state = rig.running.state();
    let account = state.store.first_admin().await.expect("the store answers").expect("there is an admin").id;
    let guest = RoomToken {
        room: RoomName::parse("other").expect("a name"),
        identity: "guest".to_owned(),
        name: None,
        metadata: None,
        grants: Grant::ALL.into_iter().collect(),
        lifetime_secs: 600,
    };
    let guest = state.authority.create_room_token(account, guest).await.expect("a token");
    let guest = guest.secret.expose().to_owned();
    let (head, signature) = guest.rsplit_once('.').expect("a JWT");
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", guest.split('.').nth(1).expect("claims"));
    let wrong = vec![
        ("nothing", String::new()),
        ("an empty bearer", "Bearer ".to_owned()),
        ("another scheme", "Basic YWRtaW46YWRtaW4=".to_owned()),
        ("a guessed API token", "Bearer tst_00000000000000000000000000000000".to_owned()),
        ("a mutilated API token", format!("Bearer {}", &admin[..admin.len() - 1])),
        ("a forged room token", format!("Bearer {forged}")),
        ("an unsigned room token", format!("Bearer {unsigned}")),
        ("another room's token", format!("Bearer {guest}")),
        ("another room's playback token", format!("Bearer {}", text(playback))),
        ("another room's stream key", format!("Bearer {}", text(key))),
    ];
    let ended = rig.cookie().await;
    let signed_out = rig.ask("DELETE", "/api/v1/sessions/current", &[("cookie", &ended)], None).await;
    assert_eq!(signed_out.status, 204);
    let (name, session) = ended.split_once('=').expect("a cookie");
    let guessed: String = session.chars().rev().collect();
    let wrong_cookies = vec![
        ("a session that has ended", ended.clone()),
        ("a guessed session", format!("{name}={guessed}")),
        ("a guessed session under TLS's name", format!("__Host-{name}={guessed}")),
        ("an API token as a session", format!("{name}={admin}")),
    ];
    Walk { rig, admin, wrong, wrong_cookies }
}

#[tokio::test]
async fn no_route_of_the_api_opens_to_a_wrong_credential() {
    let walk = walk(|_| {}).await;
    let description = walk.rig.api(&walk.admin, "GET", "/api/v1/openapi.json", None).await.body;
    let paths = description["paths"].as_object().expect("paths");
    let mut walked = BTreeSet::new();
    for (path, operations) in paths {
        for method in operations.as_object().expect("operations").keys() {
            if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            walked.insert((method.clone(), path.clone()));
            let is_public = PUBLIC.contains(&(method.as_str(), path.as_str())) && path != "/api/v1/rooms/{room}";
            // Sockets, playlists and WebRTC have a walk of their own below.
            let walks_alone = ["/live/", "/whip/", "/whep/"].iter().any(|start| path.starts_with(start));
            if is_public || path == "/ws" || walks_alone {
                continue;
            }
            let target = path.replace("{room}", "private").replace("{id}", "1").replace("{key}", "1");
            let target = target.replace("{participant}", "p1").replace("{track}", "t1");
            for (what, header) in walk.shown() {
                let body = json!({
                    "title": "taken over", "open": true, "label": "x", "muted": true, "data": "x",
                    "room": "private", "identity": "alice", "url": "https://app.example/",
                });
                let answer = walk.ask(&method.to_uppercase(), &target, header, Some(body)).await;
                assert!(matches!(answer.status, 401 | 403 | 404), "{method} {path} with {what}: {}", answer.status);
                assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path} with {what}");
            }
        }
    }
    assert!(walked.len() >= 30, "the description lists every operation: {walked:?}");
    let room = walk.rig.api(&walk.admin, "GET", "/api/v1/rooms/private", None).await.body;
    assert_eq!((&room["title"], &room["open"]), (&json!("private"), &json!(false)), "nothing changed");
    let keys = walk.rig.api(&walk.admin, "GET", "/api/v1/rooms/private/stream-keys", None).await.body;
    assert_eq!(keys["stream_keys"].as_array().map(Vec::len), Some(1), "nothing was added or revoked");
    for (path, list, count) in
        [("rooms/private/invites", "invites", 0), ("api-keys", "api_keys", 1), ("webhooks", "webhooks", 0)]
    {
        let listed = walk.rig.api(&walk.admin, "GET", &format!("/api/v1/{path}"), None).await.body;
        assert_eq!(listed[list].as_array().map(Vec::len), Some(count), "{path}");
    }
}

#[tokio::test]
async fn pages_are_everybodys_and_tell_nothing_of_a_private_room() {
    let walk = walk(|_| {}).await;
    let origins = json!({ "embed_origins": ["https://blog.example"] });
    walk.rig.api(&walk.admin, "PATCH", "/api/v1/rooms/private", Some(origins)).await;
    for page in PAGES {
        for (what, header) in walk.shown() {
            let answer = walk.ask("GET", page, header, None).await;
            assert_eq!(answer.status, 200, "{page} with {what}");
            assert!(!format!("{:?}{}", answer.headers, answer.text).contains("blog.example"), "{page} with {what}");
        }
    }
    for (what, bearer) in &walk.wrong {
        let token = bearer.strip_prefix("Bearer ").unwrap_or_default();
        let answer = walk.ask("GET", &format!("/embed/watch/private?t={token}"), None, None).await;
        assert!(answer.policy().contains("frame-ancestors 'none'"), "{what}: {:?}", answer.headers);
    }
    let made = walk.rig.api(&walk.admin, "POST", "/api/v1/rooms/private/playback-tokens", None).await.body;
    let good = format!("/embed/watch/private?t={}", made["token"].as_str().expect("a token"));
    let answer = walk.ask("GET", &good, None, None).await;
    assert!(answer.policy().contains("frame-ancestors https://blog.example"), "{:?}", answer.headers);
}

/// The token of a call stands where no request carries it, so the sites that may frame it are told to everybody; and a
/// page of a call is the only one that may ask for a camera.
#[tokio::test]
async fn a_call_is_framed_by_the_rooms_sites_and_may_use_devices() {
    let walk = walk(|_| {}).await;
    let origins = json!({ "embed_origins": ["https://blog.example"] });
    walk.rig.api(&walk.admin, "PATCH", "/api/v1/rooms/private", Some(origins)).await;
    for (page, ancestors, camera) in [
        ("/embed/call/private", "frame-ancestors https://blog.example", "camera=(self)"),
        ("/embed/call/no-such-room", "frame-ancestors 'none'", "camera=(self)"),
        ("/call/private", "frame-ancestors 'none'", "camera=(self)"),
        ("/watch/private", "frame-ancestors 'none'", "camera=()"),
    ] {
        let answer = walk.ask("GET", page, None, None).await;
        assert!(answer.policy().contains(ancestors), "{page}: {:?}", answer.headers);
        let permissions =
            answer.headers.get("permissions-policy").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(permissions.contains(camera), "{page}: {permissions}");
    }
}

/// Publishes four seconds into the private room, so that there is something to refuse.
async fn on_air(rig: &Rig) -> IngestHandle {
    let room = RoomName::parse("private").expect("a name");
    let request = IngestRequest { room, key: None, protocol: "rtmp", encoder: None, via: IngestVia::Ring };
    let encoder = rig.running.state().rooms.open_ingest(request).await.expect("admitted");
    let source = Source { secs: 4.1, ..Source::default() };
    encoder.send(source.tracks().into_iter().map(IngestItem::Track).collect()).await.expect("taken");
    for arrival in source.frames() {
        encoder.send(vec![IngestItem::Frame(arrival.track, arrival.frame)]).await.expect("taken");
    }
    encoder
}

#[tokio::test]
async fn a_private_rooms_playlists_and_topic_open_to_nobody_else() {
    let walk = walk(|_| {}).await;
    let _encoder = on_air(&walk.rig).await;
    let made = walk.rig.api(&walk.admin, "POST", "/api/v1/rooms/private/playback-tokens", None).await.body;
    let good = made["token"].as_str().expect("a token").to_owned();
    let playlist = loop {
        let answer = walk.ask("GET", &format!("/live/private/video/index.m3u8?t={good}"), None, None).await;
        if answer.status == 200 && answer.text.contains("#EXTINF") {
            break answer.text;
        }
        tokio::task::yield_now().await;
    };
    let mut paths = vec!["index.m3u8".to_owned(), "video/index.m3u8".to_owned(), "audio/index.m3u8".to_owned()];
    for tag in ["#EXT-X-MAP:", "#EXT-X-PART:", ""] {
        let mut lines =
            playlist.lines().filter(|line| if tag.is_empty() { !line.starts_with('#') } else { line.starts_with(tag) });
        let line = lines.next().unwrap_or_else(|| panic!("{tag} in {playlist}"));
        let uri = line.split("URI=\"").nth(1).unwrap_or(line);
        paths.push(format!("video/{}", uri.split(['?', '"']).next().expect("a path")));
    }
    for path in &paths {
        let answer = walk.ask("GET", &format!("/live/private/{path}?t={good}"), None, None).await;
        assert_eq!(answer.status, 200, "{path} with the right token");
        for (what, header) in walk.shown() {
            let answer = walk.ask("GET", &format!("/live/private/{path}"), header, None).await;
            assert!(matches!(answer.status, 401 | 404), "{path} with {what}: {}", answer.status);
        }
    }
    for (what, bearer) in &walk.wrong {
        let token = bearer.strip_prefix("Bearer ").unwrap_or_default();
        for path in &paths {
            let answer = walk.ask("GET", &format!("/live/private/{path}?t={token}"), None, None).await;
            assert!(matches!(answer.status, 401 | 404), "{path} with {what} as ?t=: {}", answer.status);
        }
        let mut client = walk.rig.connect().await;
        let accepted = token.is_empty() || client.authenticate(token).await["ok"] == json!(true);
        if accepted {
            assert_eq!(client.subscribe("room:private").await["error"]["code"], "not_found", "with {what}");
        }
    }
    let mut client = walk.rig.connect().await;
    client.authenticate(&good).await;
    assert_eq!(client.subscribe("room:private").await["ok"], json!(true), "with the right token");
}

/// A sound's offer, as short as it may be, in this direction.
fn offer(direction: &str) -> String {
    let fingerprint = (0..32).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\na=ice-pwd:thempasswordthempassword\r\na=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:actpass\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
    )
}

async fn offer_to(walk: &Walk, path: &str, header: Option<(&str, &str)>, direction: &str) -> (u16, String) {
    let from = from_elsewhere();
    let request = walk.rig.request("POST".parse().expect("a method"), path).header("content-type", "application/sdp");
    let request = request.header("forwarded", from).header("origin", walk.rig.origin()).body(offer(direction));
    let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let answer = request.send().await.expect("the server answers");
    let location = answer.headers().get("location").map(|value| value.to_str().expect("ASCII").to_owned());
    (answer.status().as_u16(), location.unwrap_or_default())
}

#[tokio::test]
async fn a_private_room_is_neither_published_into_nor_watched_over_webrtc_by_anybody_else() {
    let walk = walk(|_| {}).await;
    let keys = walk.rig.api(&walk.admin, "POST", "/api/v1/rooms/private/stream-keys", None).await.body;
    let key = format!("Bearer {}", keys["key"].as_str().expect("a key"));
    for (what, header) in walk.shown() {
        let (status, _) = offer_to(&walk, "/whip/private", header, "sendonly").await;
        assert!(matches!(status, 401 | 404), "published with {what}: {status}");
    }
    let (status, session) = offer_to(&walk, "/whip/private", Some(("authorization", &key)), "sendonly").await;
    assert_eq!(status, 201, "with the right key");
    for (what, header) in walk.shown() {
        let (status, _) = offer_to(&walk, "/whep/private", header, "recvonly").await;
        assert!(matches!(status, 401 | 404), "watched with {what}: {status}");
        for method in ["PATCH", "DELETE"] {
            let answer = walk.ask(method, &session, header, None).await;
            assert!(matches!(answer.status, 401 | 403), "{method} of a foreign session with {what}: {}", answer.status);
        }
    }
    for (what, bearer) in &walk.wrong {
        let token = bearer.strip_prefix("Bearer ").unwrap_or_default();
        let (status, _) = offer_to(&walk, &format!("/whep/private?t={token}"), None, "recvonly").await;
        assert!(matches!(status, 401 | 404), "watched with {what} as ?t=: {status}");
    }
    let made = walk.rig.api(&walk.admin, "POST", "/api/v1/rooms/private/playback-tokens", None).await.body;
    let good = format!("/whep/private?t={}", made["token"].as_str().expect("a token"));
    assert_eq!(offer_to(&walk, &good, None, "recvonly").await.0, 201, "with the right token");
    assert_eq!(walk.ask("GET", &session, None, None).await.status, 204, "nobody ended it");
}

#[tokio::test]
async fn metrics_open_only_to_this_machine_and_to_the_admin() {
    let walk = walk(|_| {}).await;
    assert_eq!(walk.rig.ask("GET", "/metrics", &[], None).await.status, 200, "from this machine");
    let from = from_elsewhere();
    let elsewhere = walk.rig.ask("GET", "/metrics", &[("forwarded", &from)], None).await;
    assert!(matches!(elsewhere.status, 401 | 403), "{}", elsewhere.status);
    let bearer = format!("Bearer {}", walk.admin);
    let headers = [("forwarded", from.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(walk.rig.ask("GET", "/metrics", &headers, None).await.status, 200, "the admin");
}

#[tokio::test]
async fn rtmp_takes_no_encoder_without_a_good_key() {
    let walk = walk(|config| config.general.rtmp = Listen::At(([127, 0, 0, 1], 0).into())).await;
    let address = walk.rig.running.addresses().rtmp.expect("RTMP is on");
    let keys = walk.rig.api(&walk.admin, "POST", "/api/v1/rooms/private/stream-keys", None).await.body;
    let key = keys["key"].as_str().expect("a key").to_owned();
    let revoked = format!("/api/v1/rooms/private/stream-keys/{}", keys["id"]);
    walk.rig.api(&walk.admin, "DELETE", &revoked, None).await;
    let foreign = walk.wrong.last().expect("a foreign key").1.replace("Bearer ", "");
    let api_token = &walk.admin;
    for (what, name) in [
        ("no key", "private".to_owned()),
        ("a guessed key", "sk_000000000000000000000000000000000".to_owned()),
        ("a guessed key for the room", "private?key=sk_000000000000000000000000000000000".to_owned()),
        ("another room's key", format!("private?key={foreign}")),
        ("a revoked key", key.clone()),
        ("a revoked key for the room", format!("private?key={key}")),
        ("an API token in a key's place", api_token.clone()),
        ("a path out of the application", "../private".to_owned()),
    ] {
        assert!(!push(format!("rtmp://{address}/live/{name}")).await, "published with {what}");
    }
    let room = walk.rig.api(&walk.admin, "GET", "/api/v1/rooms/private", None).await.body;
    assert_eq!(room["live"]["state"], "offline");
    let keys = walk.rig.api(&walk.admin, "POST", "/api/v1/rooms/private/stream-keys", None).await.body;
    let good = keys["key"].as_str().expect("a key");
    assert!(push(format!("rtmp://{address}/live/{good}")).await, "the same push goes through with a good key");
}

/// Pushes a second of picture; whether the server took it.
async fn push(url: String) -> bool {
    let source = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=5", "-t", "1", "-c:v", "libx264", "-f", "flv"];
    let push = move || Command::new("ffmpeg").args(["-v", "quiet"]).args(source).arg(&url).status();
    tokio::task::spawn_blocking(push).await.expect("it ends").expect("ffmpeg runs").success()
}
