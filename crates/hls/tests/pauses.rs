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
