//! ffmpeg and rtmpdump play what ffmpeg publishes: every access unit from the first keyframe on is there, in order, byte for
//! byte, at its time. Over RTMP, over RTMPS, and from the middle of a stream.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use support::Rig;
use telstar_units::RoomName;

#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "ws/support.rs"]
mod support;

/// A player that is not done by then hangs.
const PLAYER_SECS_MAX: &str = "60";
const PATIENCE: Duration = Duration::from_secs(60);

/// One access unit of an FLV file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unit {
    is_video: bool,
    ms: u32,
    composition: [u8; 3],
    key: bool,
    body: Vec<u8>,
}

/// The access units of an FLV file (Adobe FLV 10.1 §E.3), without configurations and ends of sequences.
fn units(path: &Path) -> Vec<Unit> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut units, mut rest) = (Vec::new(), &bytes[13.min(bytes.len())..]);
    while rest.len() >= 11 {
        let len = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let ms = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        let Some(body) = rest.get(11..11 + len) else { break };
        match (rest[0], body) {
            (9, [head, 1, a, b, c, payload @ ..]) => {
                let key = head >> 4 == 1;
                units.push(Unit { is_video: true, ms, composition: [*a, *b, *c], key, body: payload.to_vec() });
            }
            (8, [_, 1, payload @ ..]) => {
                units.push(Unit { is_video: false, ms, composition: [0; 3], key: true, body: payload.to_vec() });
            }
            _ => {}
        }
        rest = rest.get(11 + len + 4..).unwrap_or_default();
    }
    units
}

/// Six seconds with B-frames, a keyframe each second.
fn clip() -> &'static Path {
    static CLIP: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = CLIP.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("clip.flv");
        let encoded = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
            .args(["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"])
            .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"])
            .args(["-t", "6", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "2"])
            .args(["-g", "25", "-sc_threshold", "0", "-c:a", "aac", "-f", "flv"])
            .arg(&path)
            .status();
        assert!(encoded.expect("ffmpeg runs").success());
        (folder, path)
    });
    path
}

/// A name, whether it plays over TLS, and its command for an address and a file.
type Player = (&'static str, bool, fn(&str, &Path) -> Command);

struct Played {
    units: Vec<Unit>,
    log: String,
}

fn ffmpeg_player(url: &str, out: &Path) -> Command {
    let mut player = Command::new("timeout");
    player.args([PLAYER_SECS_MAX, "ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-copyts"]);
    player.args(["-i", url, "-c", "copy", "-f", "flv"]).arg(out);
    player
}

fn rtmpdump_player(url: &str, out: &Path) -> Command {
    let mut player = Command::new("timeout");
    player.args([PLAYER_SECS_MAX, "rtmpdump", "--live", "--quiet", "-r", url, "-o"]).arg(out);
    player
}

/// Publishes the clip in real time to `demo`, with players that wait for it.
async fn play(players: &[Player]) -> Vec<Played> {
    // The end of the encoder is the end of the stream, so that players end.
    let rig = Rig::start_with(|config| config.hls.reconnect_window_secs = 0).await;
    let addresses = rig.running.addresses();
    let key = rig.running.first_stream_key().expect("this is the first start").expose().to_owned();
    let (plain, tls) = (addresses.rtmp.expect("RTMP is on"), addresses.rtmps.expect("RTMPS is on"));
    let url = |is_tls: bool, name: &str| match is_tls {
        true => format!("rtmps://{tls}/live/{name}"),
        false => format!("rtmp://{plain}/live/{name}"),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut running = Vec::new();
    for (name, is_tls, player) in players {
        let out = folder.path().join(format!("{name}.flv"));
        let child = player(&url(*is_tls, "demo"), &out).stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        running.push((out, child.expect("the player starts")));
    }
    let room = RoomName::parse("demo").expect("a room name");
    let entry = rig.running.state().rooms.get(&room).await.expect("readable").expect("there");
    let mut state = entry.watch();
    let all_there = async {
        while state.borrow_and_update().viewers < players.len() as u64 {
            state.changed().await.expect("the room is there");
        }
    };
    tokio::time::timeout(PATIENCE, all_there).await.expect("the players come");
    let encoder = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-i"])
        .arg(clip())
        .args(["-c", "copy", "-f", "flv", &url(false, &key)])
        .stderr(Stdio::null())
        .spawn();
    let mut encoder = encoder.expect("ffmpeg starts");
    let waiting = running.into_iter().map(|(out, child)| {
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().expect("the player ends"));
        async move { (out, ended.await.expect("no panic")) }
    });
    let ended = futures_util::future::join_all(waiting).await;
    encoder.wait().expect("the encoder ends");
    let log = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ended.into_iter().map(|(out, ended)| Played { units: units(&out), log: log(&ended.stderr) }).collect()
}

/// What a player wrote is what was sent: of each kind every unit, in order, with the same distance in time.
fn check(name: &str, played: &Played) {
    let sent = units(clip());
    assert!(sent.iter().filter(|unit| unit.is_video).count() == 150, "the clip is as it should be");
    let mut offsets: BTreeMap<bool, i64> = BTreeMap::new();
    for is_video in [true, false] {
        let of_kind =
            |units: &[Unit]| -> Vec<Unit> { units.iter().filter(|u| u.is_video == is_video).cloned().collect() };
        let (sent, played_units) = (of_kind(&sent), of_kind(&played.units));
        assert!(
            played_units.len() >= sent.len() - 1,
            "{name}: {} of {}: {}",
            played_units.len(),
            sent.len(),
            played.log
        );
        assert!(played_units[0].key, "{name}");
        for (sent, got) in sent.iter().zip(&played_units) {
            assert_eq!((got.key, got.composition), (sent.key, sent.composition), "{name} at {} ms", sent.ms);
            assert!(got.body == sent.body, "{name}: other bytes at {} ms", sent.ms);
            let offset = i64::from(got.ms) - i64::from(sent.ms);
            let first = *offsets.entry(is_video).or_insert(offset);
            // The sound's times are made from its samples; the millisecond clock of FLV rounds them either way.
            assert!((offset - first).abs() <= if is_video { 0 } else { 1 }, "{name}: {offset} {first} at {}", sent.ms);
        }
    }
    let apart = offsets.values().max().expect("two").abs_diff(*offsets.values().min().expect("two"));
    assert!(apart <= 1, "{name}: sound and picture stay together: {offsets:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_and_rtmpdump_play_every_unit_that_was_sent() {
    let players: [Player; 3] =
        [("ffmpeg", false, ffmpeg_player), ("rtmpdump", false, rtmpdump_player), ("ffmpeg-tls", true, ffmpeg_player)];
    let played = play(&players).await;
    for ((name, ..), played) in players.iter().zip(&played) {
        check(name, played);
    }
}
