//! Tracks that pause, jump or change while the other one goes on.

mod support;

use support::checker::Expect;
use support::room::{Room, UNIX_SECS};
use support::source::{AUDIO, Arrival, Source, VIDEO};
use telstar_media::{MediaKind, TrackInfo};
use telstar_units::TrackId;

fn loose() -> Expect {
    Expect { even: false, keyframes_in_time: false, aligned: false }
}

/// Plays `frames` of `source` to the end and checks every snapshot on the way.
fn played(source: &Source, frames: &[Arrival]) -> Room {
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, source);
    room.play(frames);
    room.packager.finish(room.now());
    room.drain();
    room
}

#[test]
fn video_that_comes_back_begins_its_segment_when_it_comes_back() {
    // Keyframes every 10 s. Sound outgrows the segment while the picture stands still, so both go on to the next one.
    let source = Source { gop_frames: 300, secs: 45.0, ..Source::default() };
    let mut frames = source.frames();
    frames.retain(|arrival| arrival.track == AUDIO || !(24_000..31_000).contains(&arrival.at_ms));
    let room = played(&source, &frames);
    room.assert_complete(&frames, 48_000);
    assert_eq!(room.checker.playlist(MediaKind::Video).target_duration, 10);
    let samples = room.checker.samples(MediaKind::Video);
    let early = samples.iter().map(|sample| sample.pts - sample.dts).max();
    assert!(early < Some(90_000), "decoded {early:?} ticks before it is shown");
}

#[test]
fn sound_from_behind_a_jump_that_comes_first_goes_behind_the_discontinuity() {
    let source = Source { secs: 10.0, ..Source::default() };
    let later = Source { start_ms: 15_000, secs: 10.0, ..Source::default() };
    let mut room = Room::new(Expect::default(), source.kinds());
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    let mut frames = later.frames();
    // All sound of the first 200 ms, then the picture.
    let is_first_sound = |arrival: &Arrival| arrival.track == AUDIO && arrival.at_ms < 200;
    frames.sort_by_key(|arrival| if is_first_sound(arrival) { -1 } else { arrival.at_ms });
    frames.iter_mut().filter(|arrival| is_first_sound(arrival)).for_each(|arrival| arrival.at_ms = 0);
    room.play(&frames);
    room.packager.finish(room.now());
    room.drain();
    room.assert_complete(source.frames().iter().chain(&frames), 48_000);
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let segments = room.checker.segments(kind);
        let broken: Vec<_> =
            segments.iter().filter(|segment| segment.discontinuity).map(|segment| segment.msn).collect();
        assert_eq!(broken, [UNIX_SECS + 5], "{kind:?}");
    }
}

const OTHER_AUDIO: TrackId = TrackId(3);

/// Sound of 48 kHz until `change_ms`, then of 44.1 kHz as a track of its own.
fn play_with_other_sound(source: &Source, change_ms: i64, expect: Expect) -> Room {
    let other = Source { rate: None, audio_hz: Some(44_100), ..source.clone() };
    let mut room = Room::new(expect, source.kinds());
    room.start(UNIX_SECS, source);
    let (mut before, mut after) = (source.frames(), source.frames());
    before.retain(|arrival| arrival.at_ms < change_ms);
    after.retain(|arrival| arrival.track == VIDEO && arrival.at_ms >= change_ms);
    let sound = other.frames().into_iter().filter(|arrival| arrival.at_ms >= change_ms);
    after.extend(sound.map(|arrival| Arrival { track: OTHER_AUDIO, ..arrival }));
    after.sort_by_key(|arrival| arrival.at_ms);
    after.iter_mut().for_each(|arrival| arrival.at_ms -= change_ms);
    room.play(&before);
    let info = other.tracks().remove(0);
    room.packager.replace_track(room.now(), AUDIO, TrackInfo { id: OTHER_AUDIO, ..info });
    room.drain();
    room.play(&after);
    room.packager.finish(room.now());
    room.drain();
    room
}

fn broken_at(room: &Room, kind: MediaKind) -> Vec<u64> {
    let segments = room.checker.segments(kind);
    segments.iter().filter(|segment| segment.discontinuity).map(|segment| segment.msn - UNIX_SECS).collect()
}

#[test]
fn other_sound_in_the_middle_of_a_group_begins_where_video_ends_its_segment() {
    let source = Source { secs: 16.0, ..Source::default() };
    // Sound that is held makes no parts.
    let room = play_with_other_sound(&source, 9_000, Expect { even: false, ..Expect::default() });
    assert_eq!(room.checker.samples(MediaKind::Video).len(), 480, "no picture is lost");
    for kind in [MediaKind::Video, MediaKind::Audio] {
        assert_eq!(broken_at(&room, kind), [5], "{kind:?}");
    }
    let audio = room.checker.segments(MediaKind::Audio);
    assert_ne!(audio[4].map, audio[5].map);
    // A second of frames of 1024 samples came before the boundary.
    assert!((42..=44).contains(&room.counters().frames_dropped), "{:?}", room.counters());
}

#[test]
fn other_sound_alone_begins_at_once() {
    let source = Source { rate: None, secs: 16.0, ..Source::default() };
    let room = play_with_other_sound(&source, 9_000, loose());
    assert_eq!(broken_at(&room, MediaKind::Audio).len(), 1);
    assert_eq!(room.counters().frames_dropped, 0);
}

#[test]
fn other_sound_while_the_picture_stands_still_does_not_wait_for_it() {
    let source = Source { secs: 30.0, gop_frames: 300, ..Source::default() };
    let other = Source { rate: None, audio_hz: Some(44_100), ..source.clone() };
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, &source);
    let mut frames = source.frames();
    frames.retain(|arrival| arrival.at_ms < 22_000);
    room.play(&frames);
    let info = other.tracks().remove(0);
    room.packager.replace_track(room.now(), AUDIO, TrackInfo { id: OTHER_AUDIO, ..info });
    let sound = other.frames().into_iter().filter(|arrival| (22_000..26_000).contains(&arrival.at_ms));
    let sound = sound.map(|arrival| Arrival { track: OTHER_AUDIO, at_ms: arrival.at_ms - 22_000, ..arrival });
    room.play(&sound.collect::<Vec<_>>());
    assert_eq!(broken_at(&room, MediaKind::Audio), [3]);
    assert!(room.checker.samples(MediaKind::Audio).len() > (22_000 + 3_000) * 48 / 1_024);
}

/// The newest finished segments, of the picture and of the sound.
fn newest_finished(room: &Room) -> [Option<u64>; 2] {
    [&room.snapshot.video, &room.snapshot.audio].map(|view| view.as_ref().and_then(|view| view.last_finished_msn()))
}

#[test]
fn sound_that_stops_holds_the_picture_up_for_a_second_and_a_half_once() {
    let source = Source { secs: 20.0, ..Source::default() };
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, &source);
    let frames = source.frames();
    let (heard, after): (Vec<Arrival>, Vec<Arrival>) = frames.into_iter().partition(|arrival| arrival.at_ms < 9_000);
    room.play(&heard);
    for arrival in after.iter().filter(|arrival| arrival.track == VIDEO) {
        room.advance_to(arrival.at_ms);
        room.play_one(arrival);
        let [video, audio] = newest_finished(&room);
        let is_waiting = (10_000..11_600).contains(&arrival.at_ms);
        assert!(is_waiting || video == audio, "{video:?} and {audio:?} at {} ms", arrival.at_ms);
    }
}

#[test]
fn sound_that_comes_after_its_time_was_given_up_is_dropped_and_the_rest_goes_on_in_step() {
    let source = Source { secs: 26.0, ..Source::default() };
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, &source);
    let mut frames = source.frames();
    let is_late = |arrival: &Arrival| arrival.track == AUDIO && (9_000..17_000).contains(&arrival.at_ms);
    frames.iter_mut().filter(|arrival| is_late(arrival)).for_each(|arrival| arrival.at_ms = 17_000);
    frames.sort_by_key(|arrival| arrival.at_ms);
    room.play(&frames);
    let [video, audio] = newest_finished(&room);
    assert_eq!(video, audio);
    // Seven seconds were given up, from the last sound to the segment that video was in.
    assert!((295..=335).contains(&room.counters().frames_dropped), "{:?}", room.counters());
    let segments = room.checker.segments(MediaKind::Audio);
    let gaps: Vec<u64> = segments.iter().filter(|segment| segment.gap).map(|segment| segment.msn - UNIX_SECS).collect();
    assert_eq!(gaps, [5, 6, 7]);
}

/// Frames whose sound is of another configuration at the milliseconds that `is_other` names.
fn with_other_config(source: &Source, is_other: impl Fn(i64) -> bool) -> Vec<Arrival> {
    let other = Source { rate: None, audio_hz: Some(44_100), ..source.clone() }.frames().remove(0).frame.config;
    let mut frames = source.frames();
    let is_other = |arrival: &Arrival| arrival.track == AUDIO && is_other(arrival.at_ms);
    frames.iter_mut().filter(|arrival| is_other(arrival)).for_each(|arrival| arrival.frame.config = other.clone());
    frames
}

#[test]
fn sound_that_changes_to_and_fro_within_a_group_breaks_only_at_segments() {
    let source = Source { secs: 16.0, ..Source::default() };
    let frames = with_other_config(&source, |ms| (9_000..9_300).contains(&ms) || ms >= 10_300);
    let room = played(&source, &frames);
    assert_eq!(room.checker.samples(MediaKind::Video).len(), 480, "no picture is lost");
    for kind in [MediaKind::Video, MediaKind::Audio] {
        assert_eq!(broken_at(&room, kind), [5, 6], "{kind:?}");
    }
}

#[test]
fn sound_that_lags_and_changes_before_the_picture_stops_goes_on() {
    let source = Source { secs: 16.0, ..Source::default() };
    let mut frames = with_other_config(&source, |ms| ms >= 9_700);
    // Video is past the boundary at 10 s when the sound from before it comes, and then stops.
    frames.retain(|arrival| arrival.track == AUDIO || arrival.at_ms < 10_500);
    frames.iter_mut().filter(|arrival| arrival.track == AUDIO).for_each(|arrival| arrival.at_ms += 400);
    frames.sort_by_key(|arrival| arrival.at_ms);
    let room = played(&source, &frames);
    let audio = room.checker.segments(MediaKind::Audio);
    assert_eq!(audio.iter().filter(|segment| segment.discontinuity).count(), 1);
    assert!(room.checker.samples(MediaKind::Audio).len() > 15 * 48_000 / 1_024, "{:?}", room.counters());
}
