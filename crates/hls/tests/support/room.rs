//! A room under test: a packager, its clock, and a checker that sees every snapshot.

use std::time::{Duration, Instant};

use telstar_hls::{Budget, Counters, Effect, HlsConfig, Packager, Snapshot, State, Warning};

use super::disk::Disk;
use telstar_media::MediaKind;
use telstar_units::{Epoch, Timescale, WallTime, rescale};

use super::checker::{Checker, Expect};
use super::source::{Arrival, Source, VIDEO, name_of};

pub const UNIX_SECS: u64 = 1_795_270_942;

/// A room with a source, a clock and a checker.
pub struct Room {
    pub packager: Packager,
    pub checker: Checker,
    zero: Instant,
    pub now_ms: i64,
    pub budget: Budget,
    pub warnings: Vec<Warning>,
    pub mended: usize,
    pub state: State,
    pub first_playlist_ms: Option<i64>,
    /// The newest snapshot.
    pub snapshot: std::sync::Arc<Snapshot>,
    /// Who keeps segments, if there is a DVR window.
    pub disk: Disk,
}

impl Room {
    pub fn new(expect: Expect, kinds: Vec<MediaKind>) -> Room {
        Room::with_budget(expect, kinds, 1 << 30)
    }

    pub fn with_budget(expect: Expect, kinds: Vec<MediaKind>, bytes: u64) -> Room {
        Room::with(expect, kinds, HlsConfig::default(), Budget::new(bytes), Budget::new(1 << 40))
    }

    /// A room with these settings. `disk` counts only if they have a DVR window.
    pub fn with(expect: Expect, kinds: Vec<MediaKind>, config: HlsConfig, budget: Budget, disk: Budget) -> Room {
        Room {
            packager: Packager::new(config, budget.clone(), UNIX_SECS, UNIX_SECS).with_disk(disk),
            checker: Checker::new(expect, kinds),
            zero: Instant::now(),
            now_ms: 0,
            budget,
            warnings: Vec::new(),
            mended: 0,
            state: State::Offline,
            first_playlist_ms: None,
            snapshot: std::sync::Arc::new(Snapshot::offline()),
            disk: Disk::default(),
        }
    }

    /// A room whose server has too little memory to hold what is not listed any more.
    pub fn without_retention(kinds: Vec<MediaKind>, bytes: u64) -> Room {
        let mut room = Room::with_budget(Expect { even: false, ..Expect::default() }, kinds, bytes);
        room.checker.retention = false;
        room
    }

    pub fn now(&self) -> Instant {
        self.zero + Duration::from_millis(self.now_ms as u64)
    }

    pub fn start(&mut self, epoch: u64, source: &Source) {
        let wall = WallTime(UNIX_SECS as i64 * 1_000_000 + self.now_ms * 1_000);
        self.packager.start_epoch(self.now(), Epoch(epoch), wall, source.tracks());
        self.drain();
    }

    pub fn play(&mut self, frames: &[Arrival]) {
        let begin = self.now_ms;
        for arrival in frames {
            self.advance_to(begin + arrival.at_ms);
            self.play_one(arrival);
        }
    }

    /// Hands over one frame now.
    pub fn play_one(&mut self, arrival: &Arrival) {
        self.checker.newest_frame = name_of(&arrival.frame.payload);
        self.packager.handle_frame(self.now(), arrival.track, &arrival.frame);
        self.drain();
    }

    pub fn advance_to(&mut self, ms: i64) {
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

    pub fn drain(&mut self) {
        while let Some(effect) = self.packager.poll_effect() {
            match effect {
                Effect::Snapshot(snapshot) => {
                    self.state = snapshot.state;
                    if snapshot.multivariant.is_some() && self.first_playlist_ms.is_none() {
                        self.first_playlist_ms = Some(self.now_ms);
                        let mut views = [&snapshot.video, &snapshot.audio].into_iter().flatten();
                        let lists = views.any(|view| view.last_finished_msn().is_some());
                        assert!(lists, "the first playlist has a whole segment, from which BANDWIDTH is measured");
                    }
                    let now = self.zero + Duration::from_millis(self.now_ms as u64);
                    self.checker.check(now, &snapshot);
                    self.snapshot = snapshot;
                }
                Effect::Warning(warning) => self.warnings.push(warning),
                Effect::KeyframeIntervalMended => self.mended += 1,
                Effect::KeepInit(_) | Effect::Keep { .. } | Effect::Discard { .. } | Effect::ListingOver => {
                    if let Some((id, is_kept)) = self.disk.handle(effect) {
                        self.packager.handle_kept(self.now(), id, is_kept);
                    }
                }
            }
        }
    }

    pub fn counters(&self) -> Counters {
        self.packager.counters()
    }

    /// Every frame came out once, in order, shown exactly when the source says.
    pub fn assert_complete<'a>(&self, frames: impl IntoIterator<Item = &'a Arrival>, hz: u32) {
        let frames: Vec<&Arrival> = frames.into_iter().collect();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let sent: Vec<&Arrival> = frames
                .iter()
                .copied()
                .filter(|arrival| (arrival.track == VIDEO) == (kind == MediaKind::Video))
                .collect();
            let got = self.checker.samples(kind);
            let sent_names: Vec<_> = sent.iter().map(|arrival| name_of(&arrival.frame.payload)).collect();
            let got_names: Vec<_> = got.iter().map(|sample| name_of(&sample.payload)).collect();
            let differs = sent_names.iter().zip(&got_names).find(|(sent, got)| sent != got);
            assert_eq!(differs, None, "every frame once and in order");
            assert_eq!(got_names.len(), sent_names.len(), "none is missing at the end");
            let scale = if kind == MediaKind::Video { Timescale::VIDEO } else { Timescale::new(hz).expect("a rate") };
            for (sent, got) in sent.iter().zip(&got) {
                assert_eq!(got.pts, sent.frame.pts, "presentation times are exact");
                assert_eq!(got.sync, sent.frame.key);
                let early_us = rescale(sent.frame.dts - got.dts, scale, Timescale::MICROS);
                let exact = kind == MediaKind::Audio || !self.checker.expect().even;
                assert!(
                    exact || (0..=1_000).contains(&early_us),
                    "decode times are within a millisecond: {early_us} us"
                );
                assert!(kind == MediaKind::Video || early_us == 0);
            }
        }
    }
}

/// Plays a source to its end and checks everything on the way.
pub fn check(source: Source, expect: Expect) -> (Room, Vec<Arrival>) {
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
