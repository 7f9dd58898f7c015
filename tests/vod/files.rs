//! Files that are made to hurt, through the whole server: each ends in words after one attempt, and leaves nothing.
//!
//! A few of each kind. All of them attack the worker alone in `transcode/worker/tests/hostile_files`, and the server in
//! `tests/e2e/scripts/vod-hostile.mjs`.

use std::net::TcpListener;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{Stage, send};
use super::worker::worker;

/// What ffmpeg makes, small.
fn made(name: &str, arguments: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-loglevel", "error"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .output()
        .expect("scripts/packages test installs ffmpeg");
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).expect("it was made")
}

const BLACK: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// The file with the number behind each of these words changed: what a table says of itself.
fn with_count(file: &[u8], kind: &[u8; 4], count: u32) -> Vec<u8> {
    let at = file.windows(4).position(|window| window == kind).expect("it has one");
    let mut changed = file.to_vec();
    // Behind the kind, and behind version and flags.
    changed[at + 8..at + 12].copy_from_slice(&count.to_be_bytes());
    changed
}

impl Stage {
    /// The asset of these bytes.
    async fn whole(&self, bytes: Vec<u8>) -> String {
        let request = self.rig.request(Method::POST, "/api/v1/assets?title=hostile").bearer_auth(&self.token);
        let response = send(request.body(bytes)).await;
        assert_eq!(response.status(), 201);
        let made: Value = response.json().await.expect("JSON");
        made["asset"].as_str().expect("a name").to_owned()
    }

    /// The asset and its jobs once nothing more happens to it.
    async fn ended(&self, asset: &str) -> (Value, Vec<Value>) {
        let (of_asset, of_jobs) = (format!("/assets/{asset}"), format!("/assets/{asset}/jobs"));
        self.until(&of_asset, |found| found["state"] != "processing").await;
        let goes_on = |job: &Value| ["ready", "leased"].map(Value::from).contains(&job["state"]);
        let is_over = |found: &Value| found["jobs"].as_array().is_some_and(|jobs| !jobs.iter().any(goes_on));
        let jobs = self.until(&of_jobs, is_over).await["jobs"].as_array().cloned().expect("a list");
        (self.json("GET", &of_asset, None, 200).await, jobs)
    }
}

#[tokio::test]
async fn hostile_files_end_in_words_after_one_attempt_and_leave_nothing() {
    let stage = Stage::set_with(|config| {
        config.transcode.worker = worker();
        (config.vod.jobs_at_once, config.vod.duration_max_hours, config.vod.fps_max) = (2, 1, 120);
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("it is bound").port();
    let good = made("a.mp4", &format!("-f lavfi -i testsrc2=s=64x64:r=10:d=2 {BLACK} -g 10"));
    let playlist = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nhttp://127.0.0.1:{port}/a.ts\n#EXTINF:1.0,\n\
         file:///etc/passwd\n#EXT-X-ENDLIST\n"
    );
    let posing = [&b"\0\0\0\x14ftypisom\0\0\0\0isom"[..], playlist.as_bytes()].concat();
    let encrypted = "-encryption_scheme cenc-aes-ctr -encryption_key 00112233445566778899aabbccddeeff \
                     -encryption_kid 00112233445566778899aabbccddeeff";
    let attacks = [
        ("nothing", Vec::new(), "empty"),
        ("a playlist", playlist.into_bytes(), "neither a video nor sound"),
        ("a playlist that poses as MP4", posing, "cannot be read"),
        ("a table bomb", with_count(&good, b"stts", u32::MAX), "more is in it than there is"),
        ("the wrong type", b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "neither a video nor sound"),
        ("without its head", good[9..].to_vec(), "neither a video nor sound"),
        (
            "a thousand pictures a second",
            made("a.mp4", &format!("-f lavfi -i color=black:s=64x64:r=1000:d=0.5 {BLACK}")),
            "120 are allowed",
        ),
        (
            "encrypted",
            made("a.mp4", &format!("-f lavfi -i testsrc2=s=64x64:r=10:d=1 {BLACK} {encrypted}")),
            "encrypted",
        ),
    ];
    let watched = stage.whole(good).await;
    assert_eq!(stage.ended(&watched).await.0["state"], "ready");
    let blobs = &stage.rig.running.state().vod.blobs;
    let kept = blobs.list().expect("listed");
    let mut sent = Vec::new();
    for (what, bytes, words) in attacks {
        sent.push((what, stage.whole(bytes).await, words));
    }
    for (what, asset, words) in &sent {
        let (found, jobs) = stage.ended(asset).await;
        let problem = found["problem"].as_str().unwrap_or_default();
        assert!(found["state"] == "failed" && problem.contains(words), "{what}: {found}");
        assert!(!problem.contains('/') && !problem.contains("rror"), "{what}: {problem}");
        let attempts: Vec<&Value> = jobs.iter().map(|job| &job["attempts"]).collect();
        assert_eq!(attempts, [&json!(1)], "{what}: what has no chance has no second one");
        let deleted = stage.rig.request(Method::DELETE, &format!("/api/v1/assets/{asset}")).bearer_auth(&stage.token);
        assert_eq!(send(deleted).await.status(), 204);
    }
    assert!(listener.accept().is_err(), "somebody came to the port that a playlist names");
    assert_eq!(blobs.list().expect("listed"), kept, "nothing is left of them, and all of the other");
    let segment = stage.rig.request(Method::GET, &format!("/vod/{watched}/v-copy/0.m4s")).bearer_auth(&stage.token);
    assert_eq!(send(segment).await.status(), 200);
}
