//! An encoder over RTMP in the call of its room, and watched over WHEP: its picture as it is, its sound as Opus.

use std::time::Duration;

use serde_json::Value;
use telstar_client::{Codec, View};
use telstar_signaling::wire::LiveState;
use tokio::process::Child;
use tokio::time::timeout;

use crate::stage::Stage;
use crate::support::PATIENCE;

/// A picture without B-frames, with sound or not.
async fn push(stage: &Stage, with_sound: bool) -> Child {
    let mut arguments = vec!["-f", "lavfi", "-i", "testsrc2=s=160x90:r=15"];
    if with_sound {
        arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "aac"]);
    }
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]);
    arguments.extend(["-g", "30"]);
    stage.push(&arguments).await
}

/// Waits for a participant of which this holds.
async fn participant(stage: &Stage, holds: impl Fn(&Value) -> bool) -> Value {
    let found = async {
        loop {
            if let Some(found) = stage.participants().await.into_iter().find(|one| holds(one)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("it takes part")
}

fn kinds(participant: &Value) -> Vec<&str> {
    let tracks = participant["tracks"].as_array().into_iter().flatten();
    let mut kinds: Vec<&str> = tracks.filter_map(|track| track["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_over_rtmp_is_a_participant_and_is_watched_over_webrtc() {
    let stage = Stage::with_media().await;
    let encoder = push(&stage, true).await;
    let ingest = participant(&stage, |one| kinds(one) == ["audio", "video"]).await;
    assert_eq!(ingest["kind"], "ingest");
    let opened = View::open(&stage.endpoint("whep"), &stage.options(None), &[Codec::H264]).await;
    let mut view = opened.expect("the server takes it");
    timeout(PATIENCE, view.connected()).await.expect("in time").expect("there is a way");
    let mut pictures = timeout(PATIENCE, view.track()).await.expect("it comes").expect("the connection stands");
    for _ in 0..50 {
        timeout(PATIENCE, pictures.recv()).await.expect("in time").expect("it goes on");
    }
    assert_eq!(pictures.codec().await.as_deref().map(str::to_ascii_lowercase).as_deref(), Some("video/h264"));
    stage.live_becomes(|live| live.state == LiveState::Live).await;
    drop(encoder);
    // It may come back for as long as the room waits for it.
    assert_eq!(stage.participants().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_is_removed_from_the_call_is_sent_away() {
    let stage = Stage::with_media().await;
    let mut encoder = push(&stage, false).await;
    let ingest = participant(&stage, |one| kinds(one) == ["video"]).await;
    let id = ingest["id"].as_str().expect("an id");
    stage.room("DELETE", &format!("/participants/{id}"), None).await;
    stage.participants_become(0).await;
    drop(timeout(PATIENCE, encoder.wait()).await.expect("ffmpeg notices"));
    assert_eq!(stage.room("GET", "", None).await["live"]["state"], "offline");
}
