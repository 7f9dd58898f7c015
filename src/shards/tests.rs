use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use telstar_hls::{Budget, HlsConfig, State};
use telstar_media::codec::{AacConfig, H264Config};
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, Origin, TrackInfo};
use telstar_units::{ParticipantId, Timescale, TrackId};
use tokio::sync::watch;

use super::*;

/// libx264's record for 320x180 Baseline.
const AVCC: [u8; 41] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb,
    0x83, 0xcb, 0x20,
];
const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);
/// Generous: only a broken thread takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

fn shards() -> Shards {
    let settings =
        HlsSettings { packager: HlsConfig::default(), budget: Budget::new(64 << 20), first_discontinuity_sequence: 32 };
    Shards::start(2, settings).expect("threads can be made")
}

fn output() -> RoomOutput {
    let (live, status) = (watch::Sender::new(None), watch::Sender::new(ShardStatus::default()));
    RoomOutput { live, status, status_changed: Arc::new(Notify::new()) }
}

fn tracks() -> Vec<IngestItem> {
    let track = |id, codec, hz, keyframes| {
        let timescale = Timescale::new(hz).expect("not zero");
        IngestItem::Track(TrackInfo { id, codec, timescale, keyframes, origin: Origin::Publisher })
    };
    vec![
        track(VIDEO, Codec::H264, 90_000, KeyframeMode::Periodic),
        track(AUDIO, Codec::Aac, 48_000, KeyframeMode::None),
    ]
}

/// Ten seconds of 25 frames a second with a keyframe every 2 s, and sound, one batch per frame.
fn batches() -> Vec<Vec<IngestItem>> {
    let video = Arc::new(CodecConfig::H264(H264Config::parse(&AVCC).expect("valid")));
    let asc = Bytes::from_static(&[0x11, 0x90]);
    let audio = Arc::new(CodecConfig::Aac(AacConfig::parse(asc).expect("valid")));
    let mut next_audio = 0;
    let picture = |index: i64| {
        let dts = index * 3_600;
        let payload = Bytes::from(vec![0, 0, 0, 4, 0x65, 1, 2, 3]);
        let frame = Frame { config: Arc::clone(&video), dts, pts: dts, duration: 0, key: index % 50 == 0, payload };
        IngestItem::Frame(VIDEO, frame)
    };
    let batch = |index: i64| {
        let mut batch = vec![picture(index)];
        while next_audio < (index + 1) * 1_920 {
            let (config, payload) = (Arc::clone(&audio), Bytes::from_static(&[0x21; 32]));
            let frame = Frame { config, dts: next_audio, pts: next_audio, duration: 1_024, key: true, payload };
            batch.push(IngestItem::Frame(AUDIO, frame));
            next_audio += 1_024;
        }
        batch
    };
    (0..250).map(batch).collect()
}

async fn state_becomes(output: &RoomOutput, wanted: State) {
    let mut live = output.live.subscribe();
    let reached = live.wait_for(|snapshot| snapshot.as_ref().is_some_and(|snapshot| snapshot.state == wanted));
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok_and(|seen| seen.is_ok()), "never {wanted:?}");
}

async fn publish(ring: &IngestRing) {
    ring.send(tracks()).await.expect("attached");
    for batch in batches() {
        ring.send(batch).await.expect("attached");
    }
}

#[tokio::test]
async fn a_stream_is_live_then_reconnecting_then_live_again_and_ends() {
    let (shards, output, room) = (shards(), output(), RoomKey(7));
    let ring = shards.attach(room, ParticipantId(1), &output).expect("room for it");
    publish(&ring).await;
    state_becomes(&output, State::Live).await;
    ring.finish();
    state_becomes(&output, State::Reconnecting).await;

    let ring = shards.attach(room, ParticipantId(2), &output).expect("room for it");
    publish(&ring).await;
    state_becomes(&output, State::Live).await;
    let snapshot = output.live.borrow().clone().expect("live");
    let playlist =
        String::from_utf8(snapshot.video.as_ref().expect("video").playlist().expect("listed").text().to_vec())
            .expect("text");
    assert!(playlist.contains("#EXT-X-DISCONTINUITY\n"), "the second connection continues behind one:\n{playlist}");

    assert!(shards.finish(room));
    state_becomes(&output, State::Ended).await;
    assert_eq!(ring.send(Vec::new()).await, Err(RingClosed), "the connection is let go");
    shards.shutdown(PATIENCE);
}

#[tokio::test]
async fn a_connection_that_takes_over_detaches_the_first() {
    let (shards, output, room) = (shards(), output(), RoomKey(0));
    let first = shards.attach(room, ParticipantId(1), &output).expect("room for it");
    publish(&first).await;
    let second = shards.attach(room, ParticipantId(2), &output).expect("room for it");
    publish(&second).await;
    state_becomes(&output, State::Live).await;
    assert_eq!(first.send(Vec::new()).await, Err(RingClosed));
    let mut status = output.status.subscribe();
    let of_second = status.wait_for(|status| status.participant == Some(ParticipantId(2)) && status.playable);
    assert!(tokio::time::timeout(PATIENCE, of_second).await.is_ok());
    shards.shutdown(PATIENCE);
}

#[tokio::test]
async fn shutting_down_ends_every_playlist() {
    let (shards, output) = (shards(), output());
    let ring = shards.attach(RoomKey(3), ParticipantId(1), &output).expect("room for it");
    publish(&ring).await;
    state_becomes(&output, State::Live).await;
    shards.shutdown(PATIENCE);
    assert_eq!(output.live.borrow().as_ref().map(|snapshot| snapshot.state), Some(State::Ended));
}
