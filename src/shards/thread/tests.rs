//! A shard without its thread, so that the order of commands, batches and time is the test's.

use telstar_hls::{Budget, HlsConfig, State};
use telstar_media::{Codec, KeyframeMode};
use telstar_units::TrackId;

use super::super::tests::{batches, output, poison, track, tracks};
use super::super::{IngestItem, RingClosed};
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

fn attach(shard: &mut Shard, now: Instant, room: RoomKey, output: &RoomOutput) -> Arc<IngestRing> {
    let ring = Arc::new(IngestRing::new(Arc::clone(&shard.waker)));
    let (attached, output) = (Arc::clone(&ring), output.clone());
    let participant = ParticipantId(1);
    assert!(shard.commands.push(Command::Attach { room, participant, ring: attached, output }));
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
    assert!(shard.rooms.is_empty() && shard.settings.budget.used() == 0);
    let kept = shard.numbers[&ROOM];
    attach(&mut shard, now + Duration::from_secs(121), ROOM, &output);
    shard.turn(now + Duration::from_secs(121));
    assert_ne!(shard.rooms[&ROOM].numbers(), kept, "the next epoch");
    shard.commands.push(Command::Forget { room: ROOM });
    shard.take_commands(now);
    assert!(shard.rooms.is_empty() && shard.numbers.is_empty());
}

#[tokio::test]
async fn drops_are_counted_once_and_shown_of_the_present_connection_only() {
    let (mut shard, output, now) = (shard(), output(), Instant::now());
    let ring = attach(&mut shard, now, ROOM, &output);
    ring.send(tracks()).await.expect("attached");
    // A second sound track, which the packager has no use for.
    let surplus = TrackId(9);
    let mut batch = vec![IngestItem::Track(track(surplus, Codec::Aac, 48_000, KeyframeMode::None))];
    let sound = batches().into_iter().flatten().filter_map(|item| match item {
        IngestItem::Frame(_, frame) if frame.config.codec() == Codec::Aac => Some(IngestItem::Frame(surplus, frame)),
        _ => None,
    });
    batch.extend(sound.take(5));
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

#[test]
fn a_full_queue_refuses_an_encoder_and_loses_no_end() {
    let (shard, output) = (shard(), output());
    let attach = || Command::Attach {
        room: ROOM,
        participant: ParticipantId(1),
        ring: Arc::new(IngestRing::new(Arc::clone(&shard.waker))),
        output: output.clone(),
    };
    for _ in 0..COMMANDS_MAX {
        assert!(shard.commands.push(attach()));
    }
    assert!(!shard.commands.push(attach()));
    assert!(shard.commands.push(Command::Finish { room: ROOM }) && shard.commands.push(Command::Forget { room: ROOM }));
}
