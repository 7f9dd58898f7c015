//! A shard without its thread, so that the order of commands, batches and time is the test's.

use telstar_hls::{Budget, HlsConfig, State};
use telstar_media::{Codec, KeyframeMode};
use telstar_units::TrackId;

use super::super::commands::COMMANDS_MAX;
use super::super::tests::{batches, output, poison, track, tracks};
use super::super::{IngestItem, IngestVia, RingClosed};
use super::*;

const ROOM: RoomKey = RoomKey(1);
const OTHER: RoomKey = RoomKey(2);

fn shard() -> Shard {
    let budget = Budget::new(64 << 20);
    let settings = HlsSettings {
        packager: HlsConfig::default(),
        budget,
        first_discontinuity_sequence: 32,
        dvr: None,
        reconnect_window: Duration::ZERO,
    };
    Shard::new(settings, Arc::default()).expect("a shard can be made")
}

fn bell(shard: &Shard, room: RoomKey) -> Bell {
    Bell::new(room, Arc::clone(&shard.rung), shard.waker())
}

fn attach(shard: &mut Shard, now: Instant, room: RoomKey, output: &RoomOutput) -> Arc<IngestRing> {
    let ring = Arc::new(IngestRing::new(bell(shard, room)));
    let (attached, output) = (Arc::clone(&ring), output.clone());
    let participant = ParticipantId(1);
    let via = IngestVia::Ring;
    assert!(shard.commands.push(Command::Attach { room, participant, ring: attached, via, output }));
    shard.take_commands(now);
    ring
}

fn state(output: &RoomOutput) -> Option<State> {
    output.live.borrow().as_ref().map(|snapshot| snapshot.state)
}

fn count(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_has_arrived_when_a_stream_ends_is_part_of_it() {
    let (mut shard, output, now) = (shard(), output(), Instant::now());
    let ring = attach(&mut shard, now, ROOM, &output);
    ring.send(tracks()).await.expect("attached");
    let mut sent = 0;
    for batch in batches().into_iter().take(200) {
        sent += batch.len() as u64;
        ring.send(batch).await.expect("attached");
    }
    shard.commands.push(Command::Finish { room: ROOM });
    shard.take_commands(now);
    assert_eq!(count(&shard.counters.frames), sent);
    assert_eq!(state(&output), Some(State::Ended));
    assert_eq!(ring.send(Vec::new()).await, Err(RingClosed));
}

#[tokio::test]
async fn a_command_that_breaks_its_room_costs_no_other() {
    let (mut shard, broken, whole, now) = (shard(), output(), output(), Instant::now());
    let first = attach(&mut shard, now, ROOM, &broken);
    let other = attach(&mut shard, now, OTHER, &whole);
    first.send(tracks()).await.expect("attached");
    first.send(poison()).await.expect("attached");
    // The command takes what has arrived, and breaks on it.
    shard.commands.push(Command::Finish { room: ROOM });
    shard.take_commands(now);
    assert_eq!(count(&shard.counters.panics), 1);
    assert_eq!(first.send(Vec::new()).await, Err(RingClosed));
    assert!(state(&broken).is_none() && shard.rooms.len() == 1);
    assert_ne!(shard.numbers[&ROOM], RoomNumbers::default(), "what it had used is remembered");

    other.send(tracks()).await.expect("attached");
    other.send(poison()).await.expect("attached");
    let third = attach(&mut shard, now, OTHER, &whole);
    assert_eq!(third.send(Vec::new()).await, Err(RingClosed), "a ring that no room knows takes nothing");
}

#[tokio::test]
async fn a_room_whose_stream_is_over_is_let_go_but_for_its_numbers() {
    let (mut shard, output, now) = (shard(), output(), Instant::now());
    let ring = attach(&mut shard, now, ROOM, &output);
    ring.send(tracks()).await.expect("attached");
    for batch in batches() {
        ring.send(batch).await.expect("attached");
        shard.turn(now);
    }
    shard.commands.push(Command::Finish { room: ROOM });
    shard.take_commands(now);
    shard.turn(now + Duration::from_secs(5));
    assert_eq!(shard.rooms.len(), 1, "players may still fetch the end");
    shard.turn(now + Duration::from_secs(60));
    shard.turn(now + Duration::from_secs(120));
    assert!(shard.rooms.len() == 0 && shard.settings.budget.used() == 0);
    let kept = shard.numbers[&ROOM];
    attach(&mut shard, now + Duration::from_secs(121), ROOM, &output);
    shard.turn(now + Duration::from_secs(121));
    assert_ne!(shard.rooms.get_mut(ROOM).expect("it is there").numbers(), kept, "the next epoch");
    shard.commands.push(Command::Forget { room: ROOM });
    shard.take_commands(now);
    assert!(shard.rooms.len() == 0 && shard.numbers.is_empty());
}

#[tokio::test]
async fn drops_are_counted_once_and_shown_of_the_present_connection_only() {
    let (mut shard, output, now) = (shard(), output(), Instant::now());
    let ring = attach(&mut shard, now, ROOM, &output);
    ring.send(tracks()).await.expect("attached");
    for batch in batches() {
        ring.send(batch).await.expect("attached");
        shard.turn(now);
    }
    // Sound that has been passed on already, which the packager has no use for.
    let is_sound =
        |item: &IngestItem| matches!(item, IngestItem::Frame(_, frame) if frame.config.codec() == Codec::Aac);
    let mut batch: Vec<IngestItem> = batches().into_iter().flatten().filter(is_sound).take(5).collect();
    batch.push(IngestItem::Dropped(3));
    ring.send(batch).await.expect("attached");
    shard.turn(now);
    shard.turn(now + Duration::from_secs(2));
    assert_eq!(output.status.borrow().frames_dropped, 8);
    for _ in 0..3 {
        let again = attach(&mut shard, now, ROOM, &output);
        again.send(tracks()).await.expect("attached");
        shard.turn(now);
        shard.turn(now + Duration::from_secs(4));
        assert_eq!(output.status.borrow().frames_dropped, 0);
    }
    assert_eq!(count(&shard.counters.ingest_frames_dropped), 3);
    assert_eq!(count(&shard.counters.packager_frames_dropped), 5);
    assert_eq!(count(&shard.counters.frames_dropped), 0);
}

#[tokio::test]
async fn a_second_track_of_a_kind_is_kept_and_shown_and_not_what_viewers_get() {
    let (mut shard, output, now) = (shard(), output(), Instant::now());
    let ring = attach(&mut shard, now, ROOM, &output);
    ring.send(tracks()).await.expect("attached");
    let second = TrackId(9);
    ring.send(vec![IngestItem::Track(track(second, Codec::Opus, 48_000, KeyframeMode::None))]).await.expect("attached");
    for mut batch in batches() {
        let twice = batch.iter().filter_map(|item| match item {
            IngestItem::Frame(_, frame) if frame.config.codec() == Codec::Aac => {
                Some(IngestItem::Frame(second, frame.clone()))
            }
            _ => None,
        });
        let twice: Vec<_> = twice.collect();
        batch.extend(twice);
        ring.send(batch).await.expect("attached");
        shard.turn(now);
    }
    shard.turn(now + Duration::from_secs(2));
    let status = output.status.borrow().clone();
    let shown: Vec<_> = status.tracks.iter().map(|track| (track.info.codec, track.bitrate_bps.is_some())).collect();
    assert_eq!(shown, [(Codec::H264, true), (Codec::Aac, true), (Codec::Opus, true)]);
    assert!(status.playable && status.frames_dropped == 0 && status.warnings.is_empty());
    let snapshot = output.live.borrow().clone().expect("live");
    let sound = snapshot.audio.as_ref().expect("sound").segments().iter().map(|segment| segment.len()).sum::<u64>();
    // 48 kHz in frames of 1,024 samples and 32 bytes: one track's bytes and not two's.
    assert!((40 * 6 * 32..50 * 6 * 32 + 8_192).contains(&sound), "{sound}");
    // The main track changes its codec: viewers get what replaces it, and the other one stays where it is.
    let by = track(TrackId(10), Codec::Aac, 44_100, KeyframeMode::None);
    let old = TrackId(2);
    ring.send(vec![IngestItem::TrackReplaced { old, by }]).await.expect("attached");
    shard.turn(now + Duration::from_secs(4));
    let codecs: Vec<_> = output.status.borrow().tracks.iter().map(|track| track.info.id).collect();
    assert_eq!(codecs, [TrackId(1), second, TrackId(10)]);
    drop(ring);
}

#[test]
fn a_full_queue_refuses_an_encoder_and_loses_no_end() {
    let (shard, output) = (shard(), output());
    let attach = || Command::Attach {
        room: ROOM,
        participant: ParticipantId(1),
        ring: Arc::new(IngestRing::new(bell(&shard, ROOM))),
        via: IngestVia::Ring,
        output: output.clone(),
    };
    for _ in 0..COMMANDS_MAX {
        assert!(shard.commands.push(attach()));
    }
    assert!(!shard.commands.push(attach()));
    assert!(shard.commands.push(Command::Finish { room: ROOM }) && shard.commands.push(Command::Forget { room: ROOM }));
}
