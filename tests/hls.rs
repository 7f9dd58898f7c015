//! HLS over real sockets: what only HTTP shows. What the playlists say is tested in `telstar-hls` without sockets.
//!
//! The encoder is in the process: frames go into the room as an ingest adapter would hand them over, as fast as they are
//! taken, so that nothing here waits for media time to pass.

use std::io::Read;

use serde_json::json;
use source::{Arrival, Source};
use support::{PATIENCE, Rig};
use telstar::rooms::{IngestHandle, IngestRequest, IngestVia};
use telstar::shards::IngestItem;
use telstar_units::RoomName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

#[allow(dead_code, reason = "shared with the simulations of the packager, which use all of it")]
#[path = "../crates/hls/tests/support/source.rs"]
mod source;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "ws/support.rs"]
mod support;

struct Stage {
    rig: Rig,
    encoder: IngestHandle,
    rest: Vec<Arrival>,
}

/// A head and a body.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }
}

async fn get(host: String, request: &str, headers: &[(&str, &str)]) -> Got {
    let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
    let mut stream = TcpStream::connect(&host).await.expect("the server listens");
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("the request is written");
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    read.expect("an answer in time").expect("the answer is read");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Got { status, head, body: bytes[end + 4..].to_vec() }
}

impl Stage {
    /// A server on whose room `demo` the first four seconds have arrived.
    async fn set(change: impl FnOnce(&mut telstar::Config)) -> Stage {
        let rig = Rig::start_with(change).await;
        let room = RoomName::parse("demo").expect("a room name");
        let request = IngestRequest { room, key: None, protocol: "rtmp", encoder: None, via: IngestVia::Ring };
        let encoder = rig.running.state().rooms.open_ingest(request).await.expect("admitted");
        let source = Source { secs: 30.0, ..Source::default() };
        let tracks = source.tracks().into_iter().map(IngestItem::Track).collect();
        encoder.send(tracks).await.expect("taken");
        let mut stage = Stage { rig, encoder, rest: source.frames() };
        stage.play_until_ms(4_010).await;
        // Four seconds are two segments, and the keyframe of the third is there.
        stage.until("video/index.m3u8", |text| text.matches("#EXTINF").count() == 2).await;
        stage
    }

    async fn play_until_ms(&mut self, end_ms: i64) {
        let later = self.rest.iter().position(|arrival| arrival.at_ms >= end_ms).unwrap_or(self.rest.len());
        for arrival in self.rest.drain(..later) {
            self.encoder.send(vec![IngestItem::Frame(arrival.track, arrival.frame)]).await.expect("taken");
        }
    }

    async fn until(&self, path: &str, done: impl Fn(&str) -> bool) -> String {
        let polling = async {
            loop {
                let got = self.get(path, &[]).await;
                if got.status == 200 && done(&got.text()) {
                    return got.text();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, polling).await.expect("the playlist comes to say it")
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        get(self.rig.host(), &format!("GET /live/demo/{path}"), headers).await
    }

    /// A request that is expected to wait; asserts that it does.
    async fn waiting(&self, path: &str) -> JoinHandle<Got> {
        let before = self.rig.running.state().metrics.hls_waiting_requests_count.get();
        let (host, request) = (self.rig.host(), format!("GET /live/demo/{path}"));
        #[expect(
            clippy::disallowed_methods,
            reason = "a client's own task; the server's task set does not wait for it"
        )]
        let asked = tokio::spawn(async move { get(host, &request, &[]).await });
        let metrics = self.rig.running.state().metrics.clone();
        let held = async {
            while metrics.hls_waiting_requests_count.get() <= before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, held).await.expect("the request is held");
        asked
    }
}

fn last_msn(text: &str) -> u64 {
    let finished = text.matches("#EXTINF").count() as u64;
    let line = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).expect("a number");
    line.parse::<u64>().expect("a number") + finished - 1
}

fn quoted<'a>(text: &'a str, tag: &str) -> &'a str {
    let line = text.lines().rfind(|line| line.starts_with(tag)).unwrap_or_else(|| panic!("{tag} in {text}"));
    line.split('"').nth(1).expect("a quoted URI")
}

#[tokio::test]
async fn a_blocked_playlist_and_a_hinted_part_are_answered_by_the_frame_they_wait_for() {
    let mut stage = Stage::set(|_| {}).await;
    let text = stage.until("video/index.m3u8", |_| true).await;
    let next = last_msn(&text) + 1;
    let hint = quoted(&text, "#EXT-X-PRELOAD-HINT").to_owned();
    assert!(hint.ends_with(&format!("{next}.0.m4s")), "{hint}");
    let playlist = stage.waiting(&format!("video/index.m3u8?_HLS_msn={next}&_HLS_part=0")).await;
    let whole = stage.waiting(&format!("video/index.m3u8?_HLS_msn={next}")).await;
    let part = stage.waiting(&format!("video/{hint}")).await;
    stage.play_until_ms(4_400).await;
    let (playlist, part) = (playlist.await.expect("answered"), part.await.expect("answered"));
    let text = playlist.text();
    let listed = text.lines().find(|line| line.starts_with("#EXT-X-PART:") && line.contains(&hint));
    let listed = listed.unwrap_or_else(|| panic!("{hint} in {text}"));
    // Ten frames of a thirtieth of a second, stamped in RTMP's milliseconds.
    assert!(listed.starts_with("#EXT-X-PART:DURATION=0.33") && listed.ends_with("INDEPENDENT=YES"), "{listed}");
    assert_eq!((part.status, part.header("content-type")), (200, Some("video/iso.segment")));
    assert_eq!(part.header("content-length").and_then(|len| len.parse().ok()), Some(part.body.len()));
    assert_eq!(&part.body[4..8], b"moof");
    assert!(!whole.is_finished(), "the segment is not whole");
    stage.play_until_ms(6_100).await;
    let whole = whole.await.expect("answered");
    assert!(whole.text().contains(&format!("{next}.m4s\n")));
    assert_eq!(playlist.header("cache-control"), Some("public, max-age=12"));
    // The part that was waited for is the beginning of the segment.
    let segment = stage.get(&format!("video/{}", hint.replace(".0.m4s", ".m4s")), &[]).await;
    assert!(segment.body.starts_with(&part.body));
}

#[tokio::test]
async fn what_does_not_come_within_three_target_durations_is_answered_503() {
    let stage = Stage::set(|_| {}).await;
    let next = last_msn(&stage.until("video/index.m3u8", |_| true).await) + 1;
    let got = stage.waiting(&format!("video/index.m3u8?_HLS_msn={next}")).await.await.expect("answered");
    assert_eq!((got.status, got.header("cache-control")), (503, Some("no-store")), "the next request may be answered");
    assert!(got.header("retry-after").is_some() && got.text().contains("unavailable"));
}

#[tokio::test]
async fn beyond_the_limit_a_request_does_not_wait() {
    let mut stage = Stage::set(|config| config.hls.waiting_requests_max = 1).await;
    let next = last_msn(&stage.until("video/index.m3u8", |_| true).await) + 1;
    let path = format!("video/index.m3u8?_HLS_msn={next}&_HLS_part=0");
    let first = stage.waiting(&path).await;
    let refused = stage.get(&path, &[]).await;
    assert_eq!((refused.status, refused.header("cache-control")), (503, Some("no-store")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(stage.get("video/index.m3u8", &[]).await.status, 200, "what need not wait is served");
    stage.play_until_ms(4_400).await;
    assert_eq!(first.await.expect("answered").status, 200);
    assert_eq!(stage.rig.running.state().metrics.hls_waiting_requests_count.get(), 0);
}

#[tokio::test]
async fn the_end_of_the_stream_answers_whoever_waits_with_endlist() {
    let stage = Stage::set(|config| config.hls.reconnect_window_secs = 0).await;
    let next = last_msn(&stage.until("video/index.m3u8", |_| true).await) + 1;
    let waiting = stage.waiting(&format!("video/index.m3u8?_HLS_msn={}&_HLS_part=3", next)).await;
    let Stage { rig, encoder, .. } = stage;
    drop(encoder);
    let got = waiting.await.expect("answered");
    assert_eq!(got.status, 200);
    assert!(got.text().ends_with("#EXT-X-ENDLIST\n"), "{}", got.text());
    for path in ["video/index.m3u8?_HLS_part=0", "video/index.m3u8?_HLS_skip=NO", "video/iframes.m3u8?_HLS_msn=x"] {
        let got = get(rig.host(), &format!("GET /live/demo/{path}"), &[]).await;
        assert_eq!(got.status, 200, "{path}: what has ended ignores directives, also malformed ones");
        assert!(got.text().ends_with("#EXT-X-ENDLIST\n"), "{}", got.text());
    }
    drop(rig);
}

#[tokio::test]
async fn the_i_frame_playlist_waits_for_its_next_entry_and_its_pictures_are_fetched() {
    let mut stage = Stage::set(|_| {}).await;
    let got = stage.get("video/iframes.m3u8", &[]).await;
    assert_eq!((got.status, got.header("priority")), (200, Some("u=1")));
    let text = got.text();
    assert!(text.contains("#EXT-X-I-FRAMES-ONLY\n") && !text.contains("#EXT-X-PART"), "{text}");
    let uri = text.lines().rfind(|line| !line.starts_with('#')).expect("a picture");
    let picture = stage.get(&format!("video/{uri}"), &[]).await;
    assert_eq!((picture.status, picture.header("content-type")), (200, Some("video/iso.segment")));
    assert_eq!((&picture.body[4..8], picture.header("priority")), (&b"moof"[..], Some("u=3")));
    let next = last_msn(&text) + 1;
    let waiting = stage.waiting(&format!("video/iframes.m3u8?_HLS_msn={next}")).await;
    stage.play_until_ms(6_100).await;
    let answered = waiting.await.expect("answered");
    assert_eq!((answered.status, last_msn(&answered.text())), (200, next));
    assert_eq!(stage.get(&format!("video/iframes.m3u8?_HLS_msn={}", next + 9), &[]).await.status, 400);
    assert_eq!(stage.get("audio/iframes.m3u8", &[]).await.status, 404);
    assert_eq!(stage.get(&format!("audio/{uri}"), &[]).await.status, 404, "sound has no pictures");
}

#[tokio::test]
async fn playlists_are_compressed_ranges_are_cut_and_heads_have_no_body() {
    let stage = Stage::set(|_| {}).await;
    let plain = stage.get("audio/index.m3u8", &[]).await;
    let packed = stage.get("audio/index.m3u8", &[("accept-encoding", "gzip")]).await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    assert_eq!((packed.header("vary"), plain.header("vary")), (Some("accept-encoding"), Some("accept-encoding")));
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, plain.text());

    let segment = plain.text().lines().rfind(|line| !line.starts_with('#')).expect("a segment").to_owned();
    let path = format!("audio/{segment}");
    let whole = stage.get(&path, &[]).await;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    let len = whole.body.len();
    let some = stage.get(&path, &[("range", "bytes=900-1999")]).await;
    assert_eq!((some.status, some.body.as_slice()), (206, &whole.body[900..2_000]));
    assert_eq!(some.header("content-range"), Some(format!("bytes 900-1999/{len}").as_str()));
    let beyond = stage.get(&path, &[("range", "bytes=99999999-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(format!("bytes */{len}").as_str())));
    let head = get(stage.rig.host(), &format!("HEAD /live/demo/{path}"), &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(len.to_string().as_str()));
}

#[tokio::test]
async fn wrong_requests_are_refused_and_every_answer_may_be_read_by_any_page() {
    let stage = Stage::set(|_| {}).await;
    let list = stage.until("video/index.m3u8", |_| true).await;
    let next = last_msn(&list) + 1;
    let epoch = list.split_once("URI=\"").and_then(|(_, uri)| uri.split('/').next()).expect("a map");
    let epoch: u64 = epoch.parse().expect("a number");
    for (path, status, cache) in [
        ("video/index.m3u8?_HLS_part=0".to_owned(), 400, "public, max-age=8"),
        // What time may change is kept by nobody, or a guess would keep the answer from all others.
        (format!("video/index.m3u8?_HLS_msn={}", next + 9), 400, "no-store"),
        (format!("video/{epoch}/{}.0.m4s", next + 1), 404, "no-store"),
        (format!("video/{epoch}/{next}.m4s"), 404, "no-store"),
        (format!("video/{}/init-1.mp4", epoch + 9), 404, "no-store"),
        (format!("video/{epoch}/{}.99.m4s", next - 1), 404, "public, max-age=2"),
        ("video/1/init-1.mp4".to_owned(), 404, "public, max-age=2"),
        ("video/index.m3u8?_HLS_msn=x".to_owned(), 400, "public, max-age=8"),
        ("subtitles/index.m3u8".to_owned(), 404, "public, max-age=2"),
        (format!("video/1/{next}.0.m4s"), 404, "public, max-age=2"),
        ("video/x/y".to_owned(), 404, "public, max-age=2"),
        ("index.m3u8".to_owned(), 200, "public, max-age=1"),
    ] {
        let got = stage.get(&path, &[]).await;
        assert_eq!((got.status, got.header("cache-control")), (status, Some(cache)), "{path}");
        assert_eq!(got.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(got.header("access-control-allow-credentials"), None);
        let kind = if status == 200 { "application/vnd.apple.mpegurl" } else { "application/problem+json" };
        assert_eq!(got.header("content-type"), Some(kind), "{path}");
    }
    let preflight =
        get(stage.rig.host(), "OPTIONS /live/demo/video/index.m3u8", &[("origin", "https://a.example")]).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-headers")), (204, Some("range")));
}

#[tokio::test]
async fn a_private_room_plays_with_its_token_which_reaches_every_address() {
    let stage = Stage::set(|_| {}).await;
    let admin = stage.rig.token(600).await;
    stage.rig.api(&admin, "PATCH", "/api/v1/rooms/demo", Some(json!({ "open": false }))).await;
    let made = stage.rig.api(&admin, "POST", "/api/v1/rooms/demo/playback-tokens", None).await.body;
    let token = made["token"].as_str().expect("a token").to_owned();
    let segment = stage.until(&format!("video/index.m3u8?t={token}"), |_| true).await;
    let segment = segment.lines().rfind(|line| !line.starts_with('#')).expect("a segment").to_owned();
    let bare = segment.split('?').next().expect("a path").to_owned();
    assert_eq!(segment, format!("{bare}?t={token}"));
    for path in ["index.m3u8", "video/index.m3u8", &format!("video/{bare}")] {
        let denied = stage.get(path, &[]).await;
        assert_eq!((denied.status, denied.header("access-control-allow-origin")), (404, Some("*")), "{path}");
        assert_eq!(stage.get(&format!("{path}?t={token}x"), &[]).await.status, 401, "{path}");
        let got = stage.get(&format!("{path}?t={token}"), &[]).await;
        assert_eq!(got.status, 200, "{path}");
        assert!(got.header("cache-control").is_some_and(|value| value.starts_with("private")), "{path}");
    }
    let text = stage.get(&format!("index.m3u8?t={token}&_HLS_msn=1"), &[]).await.text();
    assert!(text.contains(&format!("URI=\"audio/index.m3u8?t={token}\"")), "{text}");
    assert!(text.contains(&format!("\nvideo/index.m3u8?t={token}\n")), "{text}");
}
