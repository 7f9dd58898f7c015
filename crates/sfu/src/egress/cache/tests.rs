use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A cache and its clock.
struct Stream {
    cache: Cache,
    start: Instant,
}

impl Stream {
    fn new() -> Stream {
        Stream { cache: Cache::new(), start: Instant::now() }
    }

    fn push(&mut self, millis: u64, sequence: u64, length: usize) {
        let payload = Arc::from(vec![sequence as u8; length]);
        let kept = Kept {
            sequence,
            time: sequence as u32,
            marker: sequence.is_multiple_of(2),
            payload_type: 96,
            payload,
            patches: Patches::default(),
            orientation: Some(sequence as u8),
            transport: sequence as u16,
        };
        self.cache.push(self.start + Duration::from_millis(millis), kept);
    }

    fn take(&mut self, millis: u64, sequence: u64, round_trip_ms: u64) -> Option<u64> {
        let now = self.start + Duration::from_millis(millis);
        let kept = self.cache.take(now, sequence as u16, Some(Duration::from_millis(round_trip_ms)), false)?;
        assert_eq!(
            (kept.time, kept.payload_type, kept.marker),
            (kept.sequence as u32, 96, kept.sequence.is_multiple_of(2))
        );
        assert_eq!((kept.orientation, kept.patches.is_empty()), (Some(kept.sequence as u8), true));
        assert_eq!(kept.transport, sequence as u16);
        assert!(kept.payload.iter().all(|byte| *byte == kept.sequence as u8));
        Some(kept.sequence)
    }
}

#[test]
fn a_place_costs_48_bytes_and_an_unused_cache_none() {
    assert_eq!(size_of::<Option<Entry>>(), 48);
    assert_eq!(Cache::new().ring.capacity(), 0);
}

#[test]
fn a_quiet_stream_stays_small_and_a_fast_one_ends_at_its_limit() {
    let (mut quiet, mut fast) = (Stream::new(), Stream::new());
    for index in 0..10_000 {
        quiet.push(index * 100, index, 100);
        fast.push(index, index, 100);
    }
    assert_eq!(quiet.cache.ring.len(), 32, "3 s of ten packets a second");
    assert_eq!(fast.cache.ring.len(), PACKETS_MAX);
    assert_eq!(fast.take(10_000, 9_999 - 1_023, 0), Some(9_999 - 1_023));
    assert_eq!(fast.take(10_000, 9_999 - 1_024, 0), None);
    fast.cache.clear();
    assert_eq!((fast.cache.ring.capacity(), fast.take(10_000, 9_999, 0)), (0, None));
}

#[test]
fn payloads_that_nobody_can_ask_for_are_given_back() {
    let mut stream = Stream::new();
    (0..500).for_each(|index| stream.push(index, index, 100));
    let payload = Arc::downgrade(&stream.cache.take(stream.start, 0, None, false).expect("kept").payload);
    (500..760).for_each(|index| stream.push(20_000 + (index - 500) * 10, index, 100));
    assert!(payload.upgrade().is_none());
    assert!(stream.cache.ring.iter().flatten().all(|entry| entry.kept.sequence >= 500), "two for each that comes");
}

#[test]
fn a_jump_of_the_numbers_and_a_number_that_comes_twice_cost_no_memory() {
    let mut stream = Stream::new();
    (0..16).chain(5_000..5_016).chain(5_000..5_016).for_each(|sequence| stream.push(0, sequence, 100));
    assert_eq!((stream.cache.ring.len(), stream.take(20, 5_000, 0)), (16, Some(5_000)));
}

#[test]
fn a_packet_that_came_late_is_given_back_too() {
    let mut stream = Stream::new();
    (100..103).chain([99]).for_each(|sequence| stream.push(0, sequence, 100));
    (103..106).for_each(|sequence| stream.push(4_000, sequence, 100));
    assert_eq!(stream.cache.ring.iter().flatten().count(), 3);
}

#[test]
fn a_packet_is_sent_again_once_per_round_trip_ten_times_and_for_three_seconds() {
    let mut stream = Stream::new();
    stream.push(0, 70_000, 100);
    assert_eq!(stream.take(5, 70_000, 80), Some(70_000), "the first request may come early");
    assert_eq!(stream.take(84, 70_000, 80), None, "it crossed the resend");
    assert_eq!(stream.take(85, 70_000, 80), Some(70_000));
    let later = (0..20).filter(|index| stream.take(200 + index * 100, 70_000, 80).is_some()).count();
    assert_eq!(later, usize::from(RESENDS_MAX) - 2);
    stream.push(2_000, 70_001, 100);
    assert_eq!(stream.take(5_000, 70_001, 80), Some(70_001));
    stream.push(2_000, 70_002, 100);
    assert_eq!(stream.take(5_001, 70_002, 80), None);
}

#[test]
fn where_little_may_be_sent_each_packet_is_sent_again_once() {
    let mut stream = Stream::new();
    stream.push(0, 1, 100);
    let (now, round_trip) = (stream.start + Duration::from_secs(1), Some(Duration::ZERO));
    assert!(stream.cache.take(now, 1, round_trip, true).is_some());
    assert!(stream.cache.take(now, 1, round_trip, true).is_none());
    assert!(stream.cache.take(now, 1, round_trip, false).is_some());
}

#[test]
fn an_unknown_round_trip_is_taken_for_a_usual_one() {
    let mut stream = Stream::new();
    stream.push(0, 1, 100);
    let mut take = |millis| stream.cache.take(stream.start + Duration::from_millis(millis), 1, None, false).is_some();
    assert_eq!([take(10), take(109), take(110)], [true, false, true]);
}

#[test]
fn padding_is_a_large_one_of_the_newest() {
    let mut stream = Stream::new();
    assert!(stream.cache.padding().is_none());
    stream.push(0, 1, 0);
    assert!(stream.cache.padding().is_none(), "nothing in it");
    stream.push(0, 2, 900);
    stream.push(1, 3, 1_100);
    stream.push(2, 4, 50);
    assert_eq!(stream.cache.padding().map(|kept| kept.sequence), Some(3));
    (5..200).for_each(|index| stream.push(index, index, 200));
    let found = stream.cache.padding().expect("many").sequence;
    assert!((199 - PADDING_BEHIND_MAX..=199).contains(&found), "{found}");
}

#[test]
fn a_packet_that_comes_late_is_kept_too() {
    let mut stream = Stream::new();
    stream.push(0, 100, 100);
    stream.push(1, 99, 100);
    stream.push(2, 5_000, 100);
    stream.push(3, 4_000, 100);
    stream.push(3, 3_900, 100);
    assert_eq!(stream.take(10, 99, 0), Some(99), "nobody needed its place");
    assert_eq!(stream.take(10, 4_000, 0), Some(4_000));
    assert_eq!(stream.take(10, 3_900, 0), None);
}

proptest! {
    #[test]
    fn whatever_is_young_and_near_is_found_and_nothing_old(
        first in prop_oneof![0u64..10, 60_000u64..70_000],
        steps in proptest::collection::vec((0u64..40, prop_oneof![20 => 1i64..4, 2 => -30i64..0, 1 => 50i64..3_000]), 1..600),
        asked in proptest::collection::vec(any::<u16>(), 50),
    ) {
        let (mut stream, mut now, mut newest, mut model) = (Stream::new(), 0, first, BTreeMap::new());
        for (millis, step) in steps {
            now += millis;
            let sequence = newest.saturating_add_signed(step);
            newest = newest.max(sequence);
            stream.push(now, sequence, 10);
            model.insert(sequence, now);
        }
        prop_assert!(stream.cache.ring.len() <= PACKETS_MAX);
        let is_young = |sequence: u64| model.get(&sequence).is_some_and(|sent| sent + 3_000 >= now);
        for sequence in model.keys().rev().take(2_000) {
            let found = stream.take(now, *sequence, 0);
            if is_young(*sequence) && sequence + PACKETS_MAX as u64 > newest {
                prop_assert_eq!(found, Some(*sequence));
            }
        }
        for sequence in asked {
            if let Some(found) = stream.take(now, u64::from(sequence), 0) {
                prop_assert!(found as u16 == sequence && is_young(found));
            }
        }
    }
}
