use super::*;

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What a participant's microphone does.
#[derive(Clone, Copy, PartialEq)]
enum Sound {
    /// Syllables and short pauses.
    Speech,
    /// A quiet room.
    Room,
    /// The same level always.
    Constant(u8),
    /// Opus in DTX: a packet of one byte each 400 ms.
    Dtx,
}

/// A room under a virtual clock; every microphone sends a packet each 20 ms.
struct Room {
    speakers: Speakers,
    start: Instant,
    millis: u64,
    random: Random,
    /// Who was first, and since when.
    firsts: Vec<(u64, TrackId)>,
    slot_changes: Vec<u64>,
    list: Vec<TrackId>,
}

impl Room {
    fn new(slots_max: usize, seed: u64) -> Room {
        let start = Instant::now();
        Room {
            speakers: Speakers::new(slots_max, start),
            start,
            millis: 0,
            random: Random::new(seed),
            firsts: vec![],
            slot_changes: vec![],
            list: vec![],
        }
    }

    fn play(&mut self, millis: u64, sounds: &[Sound]) {
        for _ in 0..millis / 20 {
            self.millis += 20;
            let now = self.start + Duration::from_millis(self.millis);
            for (index, sound) in sounds.iter().enumerate() {
                let pause = self.millis / 100 % 7 > 4;
                let (level, len) = match sound {
                    Sound::Speech if pause => (60 + self.random.below(10) as u8, 30),
                    Sound::Speech => (25 + self.random.below(15) as u8, 80),
                    Sound::Room => (70 + self.random.below(4) as u8, 30),
                    Sound::Constant(level) => (*level, 80),
                    Sound::Dtx if !self.millis.is_multiple_of(400) => continue,
                    Sound::Dtx => (127, 1),
                };
                self.speakers.handle_audio(now, TrackId(index as u64), level, true, len);
            }
            self.speakers.handle_timeout(now);
            if let Some(list) = self.speakers.poll_speakers() {
                self.list = list.into_iter().map(|(track, _)| track).collect();
                let first = self.list.first().copied();
                if let Some(first) = first.filter(|first| self.firsts.last().map(|(_, track)| track) != Some(first)) {
                    self.firsts.push((self.millis, first));
                }
            }
            if self.speakers.poll_slots().is_some() {
                self.slot_changes.push(self.millis);
            }
            assert!(self.speakers.slots().len() <= sounds.len());
        }
    }
}

#[test]
fn who_speaks_is_in_the_list_within_half_a_second_and_out_of_it_after_a_pause() {
    let mut room = Room::new(10, 1);
    room.play(2_000, &[Sound::Room, Sound::Room]);
    assert_eq!(room.list, []);
    room.play(500, &[Sound::Room, Sound::Speech]);
    assert_eq!(room.list, [TrackId(1)]);
    room.play(5_000, &[Sound::Room, Sound::Speech]);
    assert_eq!(room.list, [TrackId(1)], "pauses between words do not end it");
    room.play(2_500, &[Sound::Room, Sound::Dtx]);
    assert_eq!(room.list, []);
}

#[test]
fn a_track_that_stops_sending_falls_silent_and_nothing_is_to_be_done() {
    let mut room = Room::new(10, 2);
    room.play(2_000, &[Sound::Speech]);
    assert_eq!(room.list, [TrackId(0)]);
    for _ in 0..100 {
        let Some(at) = room.speakers.poll_timeout() else { break };
        room.speakers.handle_timeout(at);
    }
    assert_eq!(room.speakers.poll_speakers(), Some(vec![]));
    assert_eq!(room.speakers.poll_timeout(), None);
}

#[test]
fn constant_levels_are_not_speech() {
    let mut room = Room::new(10, 3);
    room.play(10_000, &[Sound::Constant(0), Sound::Constant(30), Sound::Constant(127)]);
    assert_eq!(room.list, []);
    room.play(2_000, &[Sound::Constant(0), Sound::Speech, Sound::Constant(127)]);
    assert_eq!(room.list, [TrackId(1)]);
}

#[test]
fn loud_levels_without_a_payload_are_not_speech() {
    let mut speakers = Speakers::new(10, Instant::now());
    let start = Instant::now();
    for at in 0..500u64 {
        let now = start + Duration::from_millis(at * 20);
        speakers.handle_audio(now, TrackId(1), (at % 40) as u8, true, DTX_LEN_MAX);
        speakers.handle_timeout(now);
    }
    assert_eq!(speakers.poll_speakers(), None);
}

#[test]
fn the_first_place_changes_at_most_once_a_second_whatever_is_sent() {
    for seed in 1..=50 {
        let mut room = Room::new(3, seed);
        for _ in 0..60 {
            let sounds: Vec<_> = (0..6)
                .map(|_| match room.random.below(5) {
                    0 | 1 => Sound::Speech,
                    2 => Sound::Constant(room.random.below(128) as u8),
                    3 => Sound::Dtx,
                    _ => Sound::Room,
                })
                .collect();
            let millis = 100 + room.random.below(400);
            room.play(millis, &sounds);
        }
        for pair in room.firsts.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= 1_000, "seed {seed}: {:?}", room.firsts);
        }
        for pair in room.slot_changes.windows(2).skip(6) {
            assert!(pair[1] - pair[0] >= 200, "seed {seed}: {:?}", room.slot_changes);
        }
    }
}

#[test]
fn in_a_small_room_everybody_has_a_slot() {
    let mut room = Room::new(4, 4);
    room.play(3_000, &[Sound::Room, Sound::Speech, Sound::Dtx, Sound::Constant(0)]);
    assert_eq!(room.speakers.slots().len(), 4);
    assert!(room.slot_changes.len() <= 2, "the first packets of each, and nothing after");
}

#[test]
fn in_a_large_room_a_speaker_gets_the_slot_of_who_was_silent_longest() {
    let mut room = Room::new(2, 5);
    let quiet = [Sound::Room; 5];
    room.play(1_000, &quiet);
    let speech = |who: usize| std::array::from_fn::<_, 5, _>(|at| if at == who { Sound::Speech } else { Sound::Room });
    for who in [4, 3, 2] {
        room.play(3_000, &speech(who));
        assert!(room.speakers.slots().contains(&TrackId(who as u64)), "{who}: {:?}", room.speakers.slots());
    }
    assert!(room.speakers.slots().contains(&TrackId(3)), "the one before still has its own");
}

#[test]
fn equal_speakers_do_not_take_each_others_slots_in_turn() {
    let mut room = Room::new(2, 6);
    room.play(2_000, &[Sound::Speech; 4]);
    let before = room.slot_changes.len();
    room.play(20_000, &[Sound::Speech; 4]);
    assert!(room.slot_changes.len() - before <= 20, "{} changes in 20 s", room.slot_changes.len() - before);
}

#[test]
fn a_track_that_is_removed_gives_its_slot_and_its_place_back() {
    let mut room = Room::new(2, 7);
    room.play(2_000, &[Sound::Speech, Sound::Room, Sound::Room]);
    room.speakers.remove(TrackId(0));
    assert_eq!(room.speakers.poll_speakers(), Some(vec![]));
    let mut slots = room.speakers.poll_slots().unwrap();
    slots.sort();
    assert_eq!(slots, [TrackId(1), TrackId(2)]);
}

#[test]
fn more_tracks_than_there_may_be_are_not_kept() {
    let now = Instant::now();
    let mut speakers = Speakers::new(1, now);
    for track in 0..2 * TRACKS_MAX as u64 {
        speakers.handle_audio(now, TrackId(track), 30, true, 80);
    }
    assert_eq!(speakers.tracks.len(), TRACKS_MAX);
}
