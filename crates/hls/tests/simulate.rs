//! Encoders of every frame rate and group of pictures through the packager, every snapshot held against every rule.

mod support;

use support::checker::Expect;
use support::room::check;
use support::source::{Rate, Source};
use telstar_media::MediaKind;

/// Rates and groups of pictures through one body, in several tests so that they run side by side.
fn check_grid(rates: &[f64], gops_secs: &[f64]) {
    for &fps in rates {
        for &gop_secs in gops_secs {
            for (b_frames, audio_hz) in [(0, Some(48_000)), (2, Some(44_100)), (0, None)] {
                let gop_frames = (fps * gop_secs).round() as usize;
                let segment_secs = (gop_frames as f64 / fps * (2.0 / gop_secs).ceil()).max(2.0);
                // Long enough for two segments to leave the list.
                let secs = 7.0 * segment_secs;
                let rate = Some(Rate::Constant(fps));
                let source = Source { rate, gop_frames, b_frames, audio_hz, secs, ..Source::default() };
                println!("{source:?}");
                let source_kinds = source.kinds();
                let (room, _) = check(source, Expect::default());
                let playlist = room.checker.playlist(MediaKind::Video);
                assert_eq!(playlist.target_duration, f64::max(gop_secs, 2.0) as u64);
                let frames = playlist.part_target * fps;
                let beyond_ms = (frames - frames.floor()) * 1_000.0 / fps;
                assert!(playlist.part_target >= 0.333 && beyond_ms < 3.0, "a whole number of frames: {frames}");
                assert_eq!(room.counters().long_gop_cuts, 0);
                let waited_ms = room.first_playlist_ms.expect("a playlist");
                assert!(waited_ms <= (segment_secs * 1_000.0) as i64 + 2, "first playlist after {waited_ms} ms");
                let waiting = room.checker.parts_that_waited(MediaKind::Video);
                let early_parts = (3.0 * segment_secs / 0.333) as usize + 3;
                assert!(waiting.iter().all(|&n| n < early_parts), "parts leave with their last frame: {waiting:?}");
                for kind in source_kinds {
                    let dropped = room.checker.dropped_hints(kind);
                    assert!(dropped.is_empty(), "groups of one length: every hint comes true: {dropped:?}");
                }
            }
        }
    }
}

#[test]
fn film_and_television_rates_keep_every_rule() {
    check_grid(&[24.0, 25.0, 30_000.0 / 1_001.0, 50.0], &[1.0, 2.0, 4.0]);
}

#[test]
fn screen_rates_keep_every_rule() {
    check_grid(&[5.0, 15.0, 30.0, 60.0], &[1.0, 2.0, 4.0]);
}

#[test]
fn groups_of_ten_seconds_keep_every_rule() {
    check_grid(&[5.0, 25.0, 30.0], &[10.0]);
}
