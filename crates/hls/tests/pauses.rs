//! Tracks that pause, jump or change while the other one goes on.

mod support;

use support::checker::Expect;
use support::room::{Room, UNIX_SECS};
use support::source::{AUDIO, Arrival, Source};
use telstar_media::MediaKind;

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
