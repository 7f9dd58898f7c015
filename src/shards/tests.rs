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
pub(super) const AVCC: [u8; 41] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb,
    0x83, 0xcb, 0x20,
];
const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);
/// Generous: only a broken thread takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

fn shards() -> Shards {
    let settings = HlsSettings {
        packager: HlsConfig::default(),
        budget: Budget::new(64 << 20),
        first_discontinuity_sequence: 32,
        dvr: None,
        reconnect_window: Duration::ZERO,
    };
    Shards::start(2, settings, None).expect("threads can be made")
}

pub(super) fn output() -> RoomOutput {
    let (live, status) = (watch::Sender::new(None), watch::Sender::new(ShardStatus::default()));
    let name = RoomName::parse("demo").expect("a room name");
    RoomOutput { room: RoomId(1), name, live, status, status_changed: Arc::new(Notify::new()) }
}

pub(super) fn track(id: TrackId, codec: Codec, hz: u32, keyframes: KeyframeMode) -> TrackInfo {
    let timescale = Timescale::new(hz).expect("not zero");
    TrackInfo { id, codec, timescale, keyframes, origin: Origin::Publisher }
}

pub(super) fn tracks() -> Vec<IngestItem> {
    vec![
        IngestItem::Track(track(VIDEO, Codec::H264, 90_000, KeyframeMode::Periodic)),
        IngestItem::Track(track(AUDIO, Codec::Aac, 48_000, KeyframeMode::None)),
    ]
}

/// Six seconds of 25 frames a second with a keyframe every 2 s, and sound, one batch per frame: less than the window, so that
/// where they begin stays listed however late a test looks.
pub(super) fn batches() -> Vec<Vec<IngestItem>> {
    batches_from(0, AUDIO, 48_000, &[0x11, 0x90])
}

fn batches_from(start_secs: i64, sound: TrackId, hz: i64, asc: &'static [u8]) -> Vec<Vec<IngestItem>> {
    let video = Arc::new(CodecConfig::H264(H264Config::parse(&AVCC).expect("valid")));
    let audio = Arc::new(CodecConfig::Aac(AacConfig::parse(Bytes::from_static(asc)).expect("valid")));
    let mut next_audio = start_secs * hz;
    let picture = |index: i64| {
        let dts = index * 3_600;
        let payload = Bytes::from(vec![0, 0, 0, 4, 0x65, 1, 2, 3]);
        let frame = Frame { config: Arc::clone(&video), dts, pts: dts, duration: 0, key: index % 50 == 0, payload };
        IngestItem::Frame(VIDEO, frame)
    };
    let batch = |index: i64| {
        let mut batch = vec![picture(index)];
        while next_audio < (index + 1) * hz / 25 {
            let (config, payload) = (Arc::clone(&audio), Bytes::from_static(&[0x21; 32]));
            let frame = Frame { config, dts: next_audio, pts: next_audio, duration: 1_024, key: true, payload };
            batch.push(IngestItem::Frame(sound, frame));
            next_audio += 1_024;
        }
        batch
    };
    (start_secs * 25..start_secs * 25 + 150).map(batch).collect()
}

/// Two frames so far apart that the difference of their times is no i64: with overflow checks, as tests have them, the
/// room breaks on it. No ingest can send them.
pub(super) fn poison() -> Vec<IngestItem> {
    let config = Arc::new(CodecConfig::H264(H264Config::parse(&AVCC).expect("valid")));
    let at = |dts| Frame { config: Arc::clone(&config), dts, pts: dts, duration: 0, key: true, payload: Bytes::new() };
    [i64::MIN, i64::MAX].into_iter().map(|dts| IngestItem::Frame(VIDEO, at(dts))).collect()
}

async fn state_becomes(output: &RoomOutput, wanted: State) {
    let mut live = output.live.subscribe();
    let reached = live.wait_for(|snapshot| snapshot.as_ref().is_some_and(|snapshot| snapshot.state == wanted));
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok_and(|seen| seen.is_ok()), "never {wanted:?}");
}

fn video_playlist(output: &RoomOutput) -> String {
    let snapshot = output.live.borrow().clone().expect("live");
    let playlist = snapshot.video.as_ref().expect("video").playlist().expect("listed").text().to_vec();
    String::from_utf8(playlist).expect("text")
}

async fn playlist_becomes(output: &RoomOutput, done: impl Fn(&str) -> bool) -> String {
    let mut live = output.live.subscribe();
    let listed = |snapshot: &Option<Arc<Snapshot>>| {
        let video = snapshot.as_ref().and_then(|snapshot| snapshot.video.as_ref());
        let text = video.and_then(|video| video.playlist()).map(|rendered| rendered.text().to_vec());
        text.is_some_and(|text| done(&String::from_utf8_lossy(&text)))
    };
    let reached = tokio::time::timeout(PATIENCE, live.wait_for(listed)).await;
    assert!(reached.is_ok_and(|seen| seen.is_ok()), "never so");
    video_playlist(output)
}

fn first_msn(playlist: &str) -> u64 {
    let line = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).expect("a number");
    line.parse().expect("a number")
}

/// The epochs that whole segments name, in order.
fn epochs(playlist: &str) -> Vec<u64> {
    let segments = playlist.lines().filter(|line| !line.starts_with('#'));
    let epoch = |line: &str| line.split_once('/').and_then(|(epoch, _)| epoch.parse().ok());
    let mut epochs: Vec<u64> = segments.filter_map(epoch).collect();
    epochs.dedup();
    epochs
}

async fn publish(ring: &IngestRing) {
    ring.send(tracks()).await.expect("attached");
    for batch in batches() {
        ring.send(batch).await.expect("attached");
    }
}

#[tokio::test]
async fn many_seconds_in_one_batch_are_cut_as_if_they_had_come_in_time() {
    let (shards, output, room) = (shards(), output(), RoomKey(8));
    let ring = shards.attach(room, ParticipantId(1), IngestVia::Ring, &output).expect("room for it");
    ring.send(tracks()).await.expect("attached");
    ring.send(batches().into_iter().flatten().collect()).await.expect("attached");
    state_becomes(&output, State::Live).await;
    playlist_becomes(&output, |text| text.matches("#EXTINF").count() >= 2).await;
    let snapshot = output.live.borrow().clone().expect("live");
    for rendition in [&snapshot.video, &snapshot.audio] {
        let segments = rendition.as_ref().expect("a rendition").segments();
        let lengths: Vec<f64> = segments.iter().filter_map(|segment| segment.duration_secs).collect();
        assert!(lengths.iter().all(|secs| (secs - 2.0).abs() < 0.03), "{lengths:?}");
        assert!(segments.iter().all(|segment| !segment.gap && segment.independent));
    }
}

#[tokio::test]
async fn a_stream_is_live_then_reconnecting_then_live_again_and_ends() {
    let (shards, output, room) = (shards(), output(), RoomKey(7));
    let ring = shards.attach(room, ParticipantId(1), IngestVia::Ring, &output).expect("room for it");
    publish(&ring).await;
    state_becomes(&output, State::Live).await;
    ring.finish();
    state_becomes(&output, State::Reconnecting).await;

    let ring = shards.attach(room, ParticipantId(2), IngestVia::Ring, &output).expect("room for it");
    publish(&ring).await;
    state_becomes(&output, State::Live).await;
    let playlist = video_playlist(&output);
    assert!(playlist.contains("#EXT-X-DISCONTINUITY\n"), "the second connection continues behind one:\n{playlist}");

    shards.finish(room);
    state_becomes(&output, State::Ended).await;
    assert_eq!(ring.send(Vec::new()).await, Err(RingClosed), "the connection is let go");
    shards.shutdown(PATIENCE);
}

#[tokio::test]
async fn a_connection_that_takes_over_detaches_the_first() {
    let (shards, output, room) = (shards(), output(), RoomKey(0));
    let first = shards.attach(room, ParticipantId(1), IngestVia::Ring, &output).expect("room for it");
    publish(&first).await;
    let second = shards.attach(room, ParticipantId(2), IngestVia::Ring, &output).expect("room for it");
    publish(&second).await;
    let mut status = output.status.subscribe();
    let of_second = status.wait_for(|status| status.participant == Some(ParticipantId(2)) && status.playable);
    assert!(tokio::time::timeout(PATIENCE, of_second).await.is_ok());
    assert_eq!(first.send(Vec::new()).await, Err(RingClosed));
    shards.shutdown(PATIENCE);
}

#[tokio::test]
async fn shutting_down_ends_every_playlist() {
    let (shards, output) = (shards(), output());
    let ring = shards.attach(RoomKey(3), ParticipantId(1), IngestVia::Ring, &output).expect("room for it");
    publish(&ring).await;
    state_becomes(&output, State::Live).await;
    shards.shutdown(PATIENCE);
    assert_eq!(output.live.borrow().as_ref().map(|snapshot| snapshot.state), Some(State::Ended));
}

#[tokio::test]
async fn sound_that_changes_its_sample_rate_is_heard_behind_a_discontinuity() {
    let (shards, output) = (shards(), output());
    let ring = shards.attach(RoomKey(1), ParticipantId(1), IngestVia::Ring, &output).expect("room for it");
    publish(&ring).await;
    let changed = TrackId(3);
    let by = track(changed, Codec::Aac, 44_100, KeyframeMode::None);
    ring.send(vec![IngestItem::TrackReplaced { old: AUDIO, by }]).await.expect("attached");
    for batch in batches_from(6, changed, 44_100, &[0x12, 0x10]) {
        ring.send(batch).await.expect("attached");
    }
    let playlist = playlist_becomes(&output, |text| text.contains("#EXT-X-DISCONTINUITY\n")).await;
    assert_eq!(epochs(&playlist).len(), 1, "the epoch goes on:\n{playlist}");
    let mut status = output.status.subscribe();
    let rates = |status: &ShardStatus| status.tracks.iter().map(|t| t.info.timescale.hz()).collect::<Vec<_>>();
    let measured = status.wait_for(|status| rates(status) == [90_000, 44_100]);
    assert!(tokio::time::timeout(PATIENCE, measured).await.is_ok(), "one sound track, the new one");
    assert_eq!(output.status.borrow().frames_dropped, 0);
    shards.shutdown(PATIENCE);
}

#[tokio::test]
async fn a_source_whose_clock_restarts_goes_on_in_a_new_epoch_with_a_date_of_its_own() {
    let (shards, output) = (shards(), output());
    let ring = shards.attach(RoomKey(1), ParticipantId(1), IngestVia::Ring, &output).expect("room for it");
    publish(&ring).await;
    state_becomes(&output, State::Live).await;
    ring.send(vec![IngestItem::ClockRestarted]).await.expect("attached");
    for batch in batches_from(6, AUDIO, 48_000, &[0x11, 0x90]) {
        ring.send(batch).await.expect("attached");
    }
    let playlist = playlist_becomes(&output, |text| epochs(text).len() == 2).await;
    let (_, behind) = playlist.split_once("#EXT-X-DISCONTINUITY\n").expect("behind a discontinuity");
    assert!(behind.contains("#EXT-X-PROGRAM-DATE-TIME:") && epochs(behind).len() == 1, "{playlist}");
    assert!(output.status.borrow().playable);
    shards.shutdown(PATIENCE);
}

#[tokio::test]
async fn a_room_that_breaks_costs_no_other_and_goes_on_behind_its_numbers() {
    let (shards, broken, whole) = (shards(), output(), output());
    // Both on one thread.
    let ring = shards.attach(RoomKey(1), ParticipantId(1), IngestVia::Ring, &broken).expect("room for it");
    let other = shards.attach(RoomKey(3), ParticipantId(2), IngestVia::Ring, &whole).expect("room for it");
    publish(&ring).await;
    state_becomes(&broken, State::Live).await;
    let before = playlist_becomes(&broken, |text| text.matches("#EXTINF").count() >= 2).await;
    ring.send(poison()).await.expect("attached");
    let mut live = broken.live.subscribe();
    let gone = tokio::time::timeout(PATIENCE, live.wait_for(Option::is_none)).await;
    assert!(gone.is_ok_and(|seen| seen.is_ok()), "its playlist is gone");
    assert_eq!(ring.send(Vec::new()).await, Err(RingClosed), "its connection is let go");
    assert_eq!(shards.counters().panics.load(Ordering::Relaxed), 1);

    publish(&other).await;
    state_becomes(&whole, State::Live).await;
    let ring = shards.attach(RoomKey(1), ParticipantId(3), IngestVia::Ring, &broken).expect("room for it");
    publish(&ring).await;
    state_becomes(&broken, State::Live).await;
    let after = playlist_becomes(&broken, |text| text.contains("#EXTINF")).await;
    let last = first_msn(&before) + before.matches("#EXTINF").count() as u64 - 1;
    assert!(first_msn(&after) > last, "{} after {last}", first_msn(&after));
    assert!(epochs(&after) > epochs(&before));
    assert!(shards.are_running());
    shards.shutdown(PATIENCE);
    assert!(!shards.are_running());
}

#[tokio::test]
async fn a_restarted_listing_keeps_its_connection_and_is_a_stream_of_its_own() {
    let (shards, output, room) = (shards(), output(), RoomKey(1));
    let ring = shards.attach(room, ParticipantId(1), IngestVia::Ring, &output).expect("room for it");
    publish(&ring).await;
    let before = playlist_becomes(&output, |text| text.contains("#EXTINF")).await;
    shards.restart(room);
    for batch in batches_from(6, AUDIO, 48_000, &[0x11, 0x90]) {
        ring.send(batch).await.expect("still attached");
    }
    let is_another = |text: &str| !epochs(text).is_empty() && epochs(text) != epochs(&before);
    let playlist = playlist_becomes(&output, is_another).await;
    assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n") && epochs(&playlist).len() == 1, "{playlist}");
    assert!(first_msn(&playlist) > first_msn(&before));
    shards.shutdown(PATIENCE);
}
