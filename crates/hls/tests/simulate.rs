//! Encoders of all kinds through the packager, every snapshot held against every rule.

mod support;

use std::time::{Duration, Instant};

use support::checker::{Checker, Expect};
use support::source::{Arrival, Rate, Source, VIDEO, name_of};
use telstar_hls::{Budget, Counters, Effect, HlsConfig, Packager, State, Warning};
use telstar_media::MediaKind;
use telstar_units::{Epoch, Timescale, WallTime, rescale};

const UNIX_SECS: u64 = 1_795_270_942;

/// A room with a source, a clock and a checker.
struct Room {
    packager: Packager,
    checker: Checker,
    zero: Instant,
    now_ms: i64,
    budget: Budget,
    warnings: Vec<Warning>,
    mended: usize,
    state: State,
    first_playlist_ms: Option<i64>,
}

impl Room {
    fn new(expect: Expect, kinds: Vec<MediaKind>) -> Room {
        Room::with_budget(expect, kinds, 1 << 30)
    }

    fn with_budget(expect: Expect, kinds: Vec<MediaKind>, bytes: u64) -> Room {
        let budget = Budget::new(bytes);
        Room {
            packager: Packager::new(HlsConfig::default(), budget.clone(), UNIX_SECS, UNIX_SECS),
            checker: Checker::new(expect, kinds),
            zero: Instant::now(),
            now_ms: 0,
            budget,
            warnings: Vec::new(),
            mended: 0,
            state: State::Offline,
            first_playlist_ms: None,
        }
    }

    fn now(&self) -> Instant {
        self.zero + Duration::from_millis(self.now_ms as u64)
    }

    fn start(&mut self, epoch: u64, source: &Source) {
        let wall = WallTime(UNIX_SECS as i64 * 1_000_000 + self.now_ms * 1_000);
        self.packager.start_epoch(self.now(), Epoch(epoch), wall, source.tracks());
        self.drain();
    }

    fn play(&mut self, frames: &[Arrival]) {
        let begin = self.now_ms;
        for Arrival { at_ms, track, frame } in frames {
            self.advance_to(begin + at_ms);
            self.packager.handle_frame(self.now(), *track, frame);
            self.drain();
        }
    }

    fn advance_to(&mut self, ms: i64) {
        let target = self.zero + Duration::from_millis(ms as u64);
        while let Some(due) = self.packager.poll_timeout().filter(|&due| due < target) {
            let before = self.now();
            self.packager.handle_timeout(due.max(before));
            self.now_ms = due.duration_since(self.zero).as_millis() as i64;
            self.drain();
            assert!(self.packager.poll_timeout() != Some(due), "a timeout that was handled is not due again");
        }
        self.now_ms = ms;
    }

    fn drain(&mut self) {
        while let Some(effect) = self.packager.poll_effect() {
            match effect {
                Effect::Snapshot(snapshot) => {
                    self.state = snapshot.state;
                    if snapshot.multivariant.is_some() {
                        self.first_playlist_ms.get_or_insert(self.now_ms);
                    }
                    let now = self.zero + Duration::from_millis(self.now_ms as u64);
                    self.checker.check(now, &snapshot);
                }
                Effect::Warning(warning) => self.warnings.push(warning),
                Effect::KeyframeIntervalMended => self.mended += 1,
            }
        }
    }

    /// Every frame came out once, in order, shown exactly when the source says.
    fn assert_complete(&self, frames: &[Arrival], hz: u32) {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let sent: Vec<&Arrival> = frames.iter().filter(|arrival| (arrival.track == VIDEO) == (kind == MediaKind::Video)).collect();
            let got = self.checker.samples(kind);
            let names = |kind: &str, names: Vec<String>| -> Vec<String> { names.into_iter().inspect(|n| assert!(n.starts_with(kind))).collect() };
            let prefix = if kind == MediaKind::Video { "v" } else { "a" };
            let sent_names = names(prefix, sent.iter().map(|arrival| name_of(&arrival.frame.payload)).collect());
            let got_names = names(prefix, got.iter().map(|sample| name_of(&sample.payload)).collect());
            assert_eq!(got_names, sent_names, "every frame once and in order");
            for (sent, got) in sent.iter().zip(&got) {
                assert_eq!(got.pts, sent.frame.pts, "presentation times are exact");
                assert_eq!(got.sync, sent.frame.key);
                let scale = if kind == MediaKind::Video { Timescale::VIDEO } else { Timescale::new(hz).expect("a rate") };
                let late_us = rescale(got.dts - sent.frame.dts, scale, Timescale::MICROS);
                assert!(kind == MediaKind::Video || late_us == 0);
            }
        }
    }
}

/// Plays a source to its end and checks everything on the way.
fn check(source: Source, expect: Expect) -> (Room, Vec<Arrival>) {
    let mut room = Room::new(expect, source.kinds());
    room.start(UNIX_SECS, &source);
    let frames = source.frames();
    room.play(&frames);
    room.packager.finish(room.now());
    room.drain();
    assert_eq!(room.state, State::Ended);
    room.assert_complete(&frames, source.audio_hz.unwrap_or(48_000));
    (room, frames)
}

fn counters(room: &Room) -> Counters {
    room.packager.counters()
}

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
                let (room, _) = check(source, Expect::default());
                let playlist = room.checker.playlist(MediaKind::Video);
                assert_eq!(playlist.target_duration, f64::max(gop_secs, 2.0) as u64);
                let frames = playlist.part_target * fps;
                let beyond_ms = (frames - frames.floor()) * 1_000.0 / fps;
                assert!(playlist.part_target >= 0.333 && beyond_ms < 3.0, "a whole number of frames: {frames}");
                assert_eq!(counters(&room).long_gop_cuts, 0);
                let waited_ms = room.first_playlist_ms.expect("a playlist");
                assert!(waited_ms <= (segment_secs * 1_000.0) as i64 + 2, "first playlist after {waited_ms} ms");
                let dropped = room.checker.dropped_hints(MediaKind::Video);
                assert!(dropped.len() <= 2, "once two groups were equal, hints come true: {dropped:?}");
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
