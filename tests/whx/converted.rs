//! Conversions, with real pictures, real sound and the real worker: what is published over WHIP is listed for HLS for who
//! asks, and what an encoder pushes over RTMP is watched over WHEP.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

use std::process::{Command, Stdio};

use serde_json::Value;
use telstar::Config;
use telstar_client::clip::{Audio, Video, play_audio, play_video};
use telstar_client::{Codec, Kind, LocalTrackOptions, Publication, Source, View};
use telstar_signaling::wire::LiveState;
use tokio::process::Child;
use tokio::time::timeout;

use crate::stage::Stage;
use crate::support::PATIENCE;
pub use worker::worker;

#[path = "../support/worker.rs"]
mod worker;

pub async fn stage() -> Stage {
    let path = worker();
    Stage::with_media_and(|config: &mut Config| config.transcode.worker = path).await
}

/// What ffmpeg makes of its test picture or of a tone, in six seconds.
pub fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg").args(["-nostdin", "-v", "error"]).args(arguments).arg("pipe:1").output();
    let output = output.expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub fn picture(codec: Codec) -> Video {
    let input = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-t", "6", "-pix_fmt", "yuv420p"];
    let encoder: &[&str] = match codec {
        Codec::H264 => {
            &["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-bf", "0", "-f", "h264"]
        }
        _ => &[
            "-c:v",
            "libvpx",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-g",
            "30",
            "-auto-alt-ref",
            "0",
            "-f",
            "ivf",
        ],
    };
    Video::parse(ffmpeg(&[&input, encoder].concat()).into()).expect("a good file")
}

pub fn tone(hz: u32) -> Audio {
    let tone = format!("sine=frequency={hz}:sample_rate=48000");
    let bytes =
        ffmpeg(&["-f", "lavfi", "-i", &tone, "-af", "volume=4", "-t", "6", "-ac", "2", "-c:a", "libopus", "-f", "ogg"]);
    Audio::parse(&bytes).expect("a good file")
}

/// Publishes until it is dropped.
pub async fn publish(stage: &Stage, codec: Codec) -> Publication {
    let (picture, tone) = (picture(codec), tone(440));
    let track = |codec, source| LocalTrackOptions { codec, source, name: String::new(), layers: Vec::new() };
    let tracks = vec![track(codec, Source::Camera), track(Codec::Opus, Source::Microphone)];
    let options = stage.options(Some(stage.key().await));
    let opened = Publication::open(&stage.endpoint("whip"), &options, tracks).await;
    let (mut publication, tracks) = opened.expect("the server takes it");
    timeout(PATIENCE, publication.connected()).await.expect("in time").expect("there is a way");
    let mut tracks = tracks.into_iter();
    let (mut camera, mut microphone) = (tracks.next().expect("a picture"), tracks.next().expect("a sound"));
    tokio::spawn(async move { play_video(&mut camera, &[picture]).await });
    tokio::spawn(async move { play_audio(&mut microphone, &tone).await });
    publication
}

pub async fn get(stage: &Stage, path: &str) -> String {
    let answer = stage.send("GET", path, &[], "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.text
}

/// What the room's owner is shown of its conversions.
pub async fn conversions(stage: &Stage) -> Vec<(String, String, String)> {
    let room = stage.room("GET", "", None).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = room["live"]["conversions"].as_array().expect("a list").iter();
    all.map(|one| (text(&one["from"]), text(&one["to"]), text(&one["state"]))).collect()
}

pub async fn state_becomes(stage: &Stage, state: LiveState) {
    stage.live_becomes(|live| live.state == state).await;
}

/// Plays the room over RTMP for two seconds: how many pictures and sounds ffmpeg takes of it.
pub async fn played_over_rtmp(stage: &Stage) -> (usize, usize) {
    let address = stage.rig.running.addresses().rtmp.expect("RTMP is on");
    let mut player = Command::new("ffmpeg");
    player.args(["-nostdin", "-v", "error", "-i", &format!("rtmp://{address}/live/demo"), "-t", "2"]);
    player.args(["-map", "0:v", "-map", "0:a", "-c", "copy", "-f", "framemd5", "pipe:1"]).stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || player.output());
    let output = timeout(PATIENCE, output).await.expect("in time").expect("no panic").expect("ffmpeg runs");
    let text = String::from_utf8(output.stdout).expect("text");
    for (stream, codec) in [(0, "h264"), (1, "aac")] {
        assert!(text.contains(&format!("#codec_id {stream}: {codec}")), "{text}");
    }
    let of = |stream: &str| text.lines().filter(|line| line.starts_with(stream)).count();
    (of("0,"), of("1,"))
}

async fn is_listed(codec: Codec, expected: &[(&str, &str)]) {
    let stage = stage().await;
    let _publication = publish(&stage, codec).await;
    state_becomes(&stage, LiveState::Live).await;
    assert!(conversions(&stage).await.is_empty(), "nobody asked for anything");

    let multivariant = get(&stage, "/live/demo/index.m3u8").await;
    assert!(multivariant.contains("avc1.") && multivariant.contains("mp4a.40.2"), "{multivariant}");
    let mut running = conversions(&stage).await;
    running.sort();
    let expected: Vec<(String, String, String)> =
        expected.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned(), "running".to_owned())).collect();
    assert_eq!(running, expected);

    let paths = ["/live/demo/video/index.m3u8", "/live/demo/audio/index.m3u8"];
    let playlists = stage.playlists_become(paths, |text| text.matches("#EXTINF").count() >= 4).await;
    for playlist in playlists {
        assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n") && !playlist.contains("#EXT-X-GAP"), "{playlist}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_that_is_published_over_whip_is_listed_with_its_sound_as_aac() {
    is_listed(Codec::H264, &[("Opus", "AAC")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_over_whip_is_played_over_rtmp() {
    let stage = stage().await;
    let _publication = publish(&stage, Codec::Vp8).await;
    state_becomes(&stage, LiveState::Live).await;
    let (pictures, sounds) = played_over_rtmp(&stage).await;
    assert!(pictures > 20 && sounds > 60, "{pictures} pictures, {sounds} sounds");
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_that_is_published_over_whip_is_listed_as_h264() {
    is_listed(Codec::Vp8, &[("Opus", "AAC"), ("VP8", "H.264")]).await;
}

/// A picture with B-frames and sound as AAC.
async fn push(stage: &Stage) -> Child {
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30"];
    let sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "aac", "-ac", "2"];
    let encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60", "-pix_fmt", "yuv420p"];
    let encoder = stage.push(&[&picture[..], &sound, &encoder].concat()).await;
    state_becomes(stage, LiveState::Live).await;
    encoder
}

/// Watches with these codecs, and takes some seconds of both. Returns as what they came.
pub async fn watch(stage: &Stage, codecs: &[Codec]) -> (View, String, String) {
    let opened = View::open(&stage.endpoint("whep"), &stage.options(None), codecs).await;
    let mut view = opened.expect("the server takes it");
    timeout(PATIENCE, view.connected()).await.expect("in time").expect("there is a way");
    let (mut picture, mut sound) = (String::new(), String::new());
    while picture.is_empty() || sound.is_empty() {
        let mut track = timeout(PATIENCE, view.track()).await.expect("both come").expect("the connection stands");
        for _ in 0..100 {
            timeout(PATIENCE, track.recv()).await.expect("in time").expect("it goes on");
        }
        let codec = track.codec().await.expect("it is known").to_ascii_lowercase();
        *(if track.kind() == Kind::Video { &mut picture } else { &mut sound }) = codec;
    }
    (view, picture, sound)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoders_b_frames_and_aac_are_watched_over_webrtc_and_converted_once_for_all() {
    let stage = stage().await;
    let _encoder = push(&stage).await;
    let (first, picture, sound) = watch(&stage, &[Codec::H264, Codec::Opus]).await;
    assert_eq!((picture.as_str(), sound.as_str()), ("video/h264", "audio/opus"));
    let running = |conversions: &[(&str, &str)]| {
        let one = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned(), "running".to_owned());
        conversions.iter().map(one).collect::<Vec<_>>()
    };
    let all = async || {
        let mut all = conversions(&stage).await;
        all.sort();
        all
    };
    assert_eq!(all().await, running(&[("AAC", "Opus"), ("H.264", "H.264")]));
    let (second, ..) = watch(&stage, &[Codec::H264, Codec::Opus]).await;
    assert_eq!(all().await.len(), 2, "two viewers share them");
    // Whoever decodes no H.264 gets the alternate.
    let (third, picture, _) = watch(&stage, &[Codec::Vp8, Codec::Opus]).await;
    assert_eq!(picture, "video/vp8");
    assert_eq!(all().await, running(&[("AAC", "Opus"), ("H.264", "H.264"), ("H.264", "VP8")]));
    for view in [first, second, third] {
        view.close().await.expect("it ends");
    }
    // They end when nobody watches.
    stage.live_becomes(|live| live.conversions.is_empty()).await;
}
