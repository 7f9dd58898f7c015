//! The DVR window over real sockets: what a killed server had listed is listed again, bit for bit, and goes on.
//!
//! The server that is killed is this test binary, started again for the one test that does the child's work. Its encoder
//! is in the process and pushes as fast as it is let, so that the kill comes anywhere in a write.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::StatusCode;
use source::Source;
use support::{PATIENCE, client, header};
use telstar::config::PlaylistType;
use telstar::config::address::Listen;
use telstar::rooms::{IngestHandle, IngestRequest, IngestVia};
use telstar::shards::IngestItem;
use telstar::{Config, Running, Server};
use telstar_units::RoomName;

#[allow(dead_code, reason = "shared with the simulations of the packager, which use all of it")]
#[path = "../crates/hls/tests/support/source.rs"]
mod source;
#[allow(dead_code, reason = "shared with the tests of the ground, which use all of it")]
#[path = "support/mod.rs"]
mod support;

/// The child finds its data folder in this.
const CHILD_DATA: &str = "TELSTAR_DVR_TEST_DATA";
/// What the child writes before its address.
const READY: &str = "listening on ";

fn config(data: &Path) -> Config {
    let mut config = Config::default();
    config.general.data = data.to_owned();
    config.general.http = Listen::At(([127, 0, 0, 1], 0).into());
    (config.general.https, config.general.rtmp, config.general.rtmps) = (Listen::Off, Listen::Off, Listen::Off);
    config.media.listen = Listen::Off;
    config.hls.dvr_window_secs = 3_600;
    config.hls.dvr_disk_free_mib = 0;
    config
}

fn origin(running: &Running) -> String {
    format!("http://{}", running.addresses().http.expect("HTTP is on"))
}

async fn encoder(running: &Running) -> IngestHandle {
    let room = RoomName::parse("demo").expect("a room name");
    let request = IngestRequest { room, key: None, protocol: "rtmp", encoder: None, via: IngestVia::Ring };
    running.state().rooms.open_ingest(request).await.expect("admitted")
}

async fn play(encoder: &IngestHandle, source: &Source) {
    let tracks = source.tracks().into_iter().map(IngestItem::Track).collect();
    encoder.send(tracks).await.expect("taken");
    for arrival in source.frames() {
        encoder.send(vec![IngestItem::Frame(arrival.track, arrival.frame)]).await.expect("taken");
    }
}

/// Passes at once unless a parent asked for work.
#[tokio::test]
async fn the_work_of_a_child() {
    let Ok(data) = std::env::var(CHILD_DATA) else { return };
    let running = Server::start(config(Path::new(&data))).await.expect("the server starts");
    let line = format!("{READY}{}\n", origin(&running));
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
    std::io::stdout().flush().expect("the parent reads");
    let encoder = encoder(&running).await;
    play(&encoder, &Source { secs: 1_200.0, ..Source::default() }).await;
    std::future::pending::<()>().await;
}

fn child(data: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().expect("a test knows its program"))
        .args(["--exact", "the_work_of_a_child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DATA, data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary starts again");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let address = lines.find_map(|line| {
        let line = line.expect("the child writes text");
        line.split_once(READY).map(|(_, address)| address.to_owned())
    });
    (child, address.expect("the child says where it listens"))
}

/// What a playlist lists: each segment's number, address (`None` for a gap) and tags.
struct Listed {
    media_sequence: u64,
    segments: BTreeMap<u64, (Option<String>, Vec<String>)>,
    text: String,
}

impl Listed {
    fn read(text: String) -> Listed {
        let number = |line: &str| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:").and_then(|number| number.parse().ok());
        let media_sequence: u64 = text.lines().find_map(number).expect("a number");
        let mut segments = BTreeMap::new();
        let mut tags = Vec::new();
        for line in text.lines() {
            if line.starts_with('#') {
                let is_of_segment = ["#EXTINF", "#EXT-X-PROGRAM", "#EXT-X-GAP", "#EXT-X-DISCONTINUITY"];
                if is_of_segment.iter().any(|tag| line.starts_with(tag)) && !line.contains("SEQUENCE") {
                    tags.push(line.to_owned());
                }
                continue;
            }
            let tags = std::mem::take(&mut tags);
            let is_gap = tags.iter().any(|tag| tag == "#EXT-X-GAP");
            let next = media_sequence + segments.len() as u64;
            segments.insert(next, ((!is_gap).then(|| line.to_owned()), tags));
        }
        Listed { media_sequence, segments, text }
    }

    fn newest(&self) -> u64 {
        *self.segments.keys().next_back().expect("something is listed")
    }
}

struct Player {
    client: reqwest::Client,
    origin: String,
}

impl Player {
    fn new(origin: String) -> Player {
        Player { client: client(|builder| builder), origin }
    }

    async fn get(&self, path: &str, range: Option<&str>) -> reqwest::Response {
        let request = self.client.get(format!("{}/live/demo/{path}", self.origin));
        let request = match range {
            Some(range) => request.header("range", range),
            None => request,
        };
        request.send().await.expect("the server answers")
    }

    async fn text(&self, path: &str) -> Option<String> {
        let response = self.get(path, None).await;
        (response.status() == StatusCode::OK).then_some(response)?.text().await.ok()
    }

    async fn bytes(&self, path: &str) -> Vec<u8> {
        let response = self.get(path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.expect("the body").to_vec()
    }

    async fn list(&self, kind: &str, done: impl Fn(&Listed) -> bool) -> Listed {
        let polling = async {
            loop {
                if let Some(listed) = self.text(&format!("{kind}/index.m3u8")).await.map(Listed::read)
                    && done(&listed)
                {
                    return listed;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, polling).await.expect("the playlist comes to say it")
    }

    /// The bytes of every segment that is listed.
    async fn all(&self, kind: &str, listed: &Listed) -> BTreeMap<u64, Vec<u8>> {
        let mut all = BTreeMap::new();
        for (&msn, (uri, _)) in &listed.segments {
            if let Some(uri) = uri {
                all.insert(msn, self.bytes(&format!("{kind}/{uri}")).await);
            }
        }
        all
    }
}

/// Waits until the disk has taken a segment: what it has not, a killed server may lose.
async fn until_indexed(data: &Path, letter: char, msn: u64) {
    let index = std::fs::read_dir(data.join("dvr")).expect("there").next().expect("a room").expect("read").path();
    let (kind, number) = (format!("\"kind\":\"{letter}\""), format!("\"msn\":{msn},"));
    let indexed = async {
        loop {
            let index = std::fs::read_to_string(index.join("index")).expect("text");
            if index.lines().any(|line| line.contains(&kind) && line.contains(&number)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, indexed).await.expect("the disk takes it");
}

/// Addresses of the I-frame playlist.
fn pictures(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_a_killed_server_had_listed_is_listed_again_bit_for_bit() {
    for segments in [12, 40] {
        let data = tempfile::tempdir().expect("a temporary folder");
        let (mut child, origin_of_child) = child(data.path());
        let player = Player::new(origin_of_child);
        let mut before = BTreeMap::new();
        for kind in ["video", "audio"] {
            let listed = player.list(kind, |listed| listed.segments.len() >= segments).await;
            let bytes = player.all(kind, &listed).await;
            before.insert(kind, (listed, bytes));
        }
        let some_pictures = pictures(&player.text("video/iframes.m3u8").await.expect("listed"))[..segments].to_vec();
        let mut shown = Vec::new();
        for uri in &some_pictures {
            shown.push(player.bytes(&format!("video/{uri}")).await);
        }
        let seen = player.list("video", |_| true).await.newest();
        until_indexed(data.path(), 'v', seen.max(before["video"].0.newest())).await;
        until_indexed(data.path(), 'a', before["audio"].0.newest()).await;
        child.kill().expect("SIGKILL always goes through");
        child.wait().expect("a killed child can be reaped");

        let running = Server::start(config(data.path())).await.expect("the server starts again");
        let player = Player::new(origin(&running));
        for (kind, (old, bytes)) in &before {
            let new = player.list(kind, |_| true).await;
            assert_eq!(new.media_sequence, old.media_sequence, "{kind}");
            assert!(new.newest() >= seen, "{kind}: no number that was seen is used again");
            let again = player.all(kind, &new).await;
            for (msn, bytes) in bytes {
                assert!(again.get(msn) == Some(bytes), "{kind} {msn} is the same");
                assert_eq!(new.segments[msn], old.segments[msn], "{kind} {msn} is listed as it was");
            }
        }
        for (uri, bytes) in some_pictures.iter().zip(&shown) {
            assert!(player.bytes(&format!("video/{uri}")).await == *bytes, "{uri} is the same");
        }
        assert!(player.text("index.m3u8").await.expect("listed").contains("RESOLUTION=1280x720"));

        let last = player.list("video", |_| true).await.newest();
        let encoder = encoder(&running).await;
        play(&encoder, &Source { secs: 30.0, ..Source::default() }).await;
        let on = player.list("video", |listed| listed.newest() >= last + 10).await;
        assert_eq!(on.media_sequence, before["video"].0.media_sequence);
        assert!(on.segments[&(last + 1)].1.contains(&"#EXT-X-DISCONTINUITY".to_owned()), "{}", on.text);
        assert!(player.all("video", &on).await.len() > before["video"].1.len() + 10);
        drop(encoder);
        running.shutdown().await;
    }
}

#[tokio::test]
async fn a_stored_segment_is_served_in_ranges_and_a_deleted_room_leaves_no_file() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let running = Server::start(config(data.path())).await.expect("the server starts");
    let encoder = encoder(&running).await;
    play(&encoder, &Source { secs: 60.0, ..Source::default() }).await;
    let player = Player::new(origin(&running));
    let listed = player.list("video", |listed| listed.segments.len() >= 28).await;
    let uri = listed.segments.values().next().and_then(|(uri, _)| uri.clone()).expect("a segment");
    let path = format!("video/{uri}");
    let whole = player.bytes(&path).await;
    let some = player.get(&path, Some("bytes=900-1999")).await;
    assert_eq!(
        (some.status(), header(&some, "content-range")),
        (StatusCode::PARTIAL_CONTENT, format!("bytes 900-1999/{}", whole.len()),)
    );
    assert_eq!(some.bytes().await.expect("the body").as_ref(), &whole[900..2_000]);
    // A part of a segment that is on disk only, by the address that it had.
    let part = player.bytes(&path.replace(".m4s", ".1.m4s")).await;
    assert!(whole.windows(part.len()).any(|window| window == part), "a part is a piece of its segment");
    let picture = player.bytes(&path.replace(".m4s", ".i0.m4s")).await;
    let head = picture.windows(4).position(|window| window == b"mdat").expect("a box") + 4;
    let tail = player.get(&path.replace(".m4s", ".i0.m4s"), Some(&format!("bytes={}-", head + 7))).await;
    assert_eq!(tail.bytes().await.expect("the body").as_ref(), &picture[head + 7..]);
    assert!(
        whole.windows(picture.len() - head).any(|window| window == &picture[head..]),
        "the payload is the segment's"
    );
    let skip = player.text("video/index.m3u8?_HLS_skip=YES").await.expect("answered");
    assert!(skip.contains("#EXT-X-VERSION:9\n") && skip.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS="), "{skip}");

    let state = running.state();
    let name = RoomName::parse("demo").expect("a room name");
    let folder = data.path().join("dvr").join(state.rooms.known(&name).expect("known").facts().id.0.to_string());
    assert!(folder.is_dir());
    state.store.delete_room(name.clone(), state.authority.now()).await.expect("deleted");
    state.rooms.room_deleted(&name).await;
    let gone = async {
        while folder.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the disk follows");
    drop(encoder);
    running.shutdown().await;
}

#[tokio::test]
async fn an_orderly_restart_goes_on_and_a_stream_that_had_ended_stays_ended() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let event = || {
        let mut config = config(data.path());
        (config.hls.dvr_window_secs, config.hls.playlist_type) = (0, PlaylistType::Event);
        config.hls.reconnect_window_secs = 0;
        config
    };
    let running = Server::start(event()).await.expect("the server starts");
    let first = encoder(&running).await;
    play(&first, &Source { secs: 30.0, ..Source::default() }).await;
    let player = Player::new(origin(&running));
    let before = player.list("video", |listed| listed.segments.len() >= 14).await;
    assert!(before.text.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n"));
    // The server ends while the encoder publishes.
    running.shutdown().await;
    drop(first);

    let mut config = event();
    config.hls.reconnect_window_secs = 60;
    let running = Server::start(config).await.expect("the server starts again");
    let player = Player::new(origin(&running));
    let again = player.list("video", |_| true).await;
    assert!(!again.text.contains("ENDLIST") && again.text.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n"), "{}", again.text);
    assert_eq!(again.media_sequence, before.media_sequence);
    running.shutdown().await;

    // Nobody comes back within the window, which is none: the stream has ended, and stays so.
    let running = Server::start(event()).await.expect("the server starts again");
    let player = Player::new(origin(&running));
    player.list("video", |listed| listed.text.ends_with("#EXT-X-ENDLIST\n")).await;
    running.shutdown().await;
    let running = Server::start(event()).await.expect("the server starts again");
    let player = Player::new(origin(&running));
    let ended = player.list("video", |listed| listed.text.ends_with("#EXT-X-ENDLIST\n")).await;
    assert!(player.all("video", &ended).await.len() >= 14);
    running.shutdown().await;
}
