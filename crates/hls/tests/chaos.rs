//! Sources that stop, jump, change and come back in any order: whatever they do, numbers go forward and nothing panics.

mod support;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use support::source::{AUDIO, Arrival, Source, VIDEO};
use telstar_hls::{Budget, Effect, HlsConfig, Packager, RenditionId, Snapshot};
use telstar_media::{Frame, TrackInfo};
use telstar_units::{Epoch, TrackId, WallTime};

const RUNS: u64 = 100;
const STEPS: usize = 60;
const ALTERNATE: TrackId = TrackId(1 << 40);

/// Small and repeatable: a failing run is named by its number (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Run {
    dice: Dice,
    packager: Packager,
    zero: Instant,
    now_ms: u64,
    epoch: u64,
    audio: TrackId,
    other_sound: bool,
    /// Added to every stamp of both tracks.
    offset_ms: i64,
    /// The newest number listed, per rendition.
    newest: [u64; 3],
    /// What a worker has not made yet of pictures that came.
    unmade: VecDeque<Frame>,
    sources: [Vec<Arrival>; 2],
    next_frame: usize,
}

impl Run {
    fn new(number: u64) -> Run {
        let sources = [48_000, 44_100].map(|hz| {
            let b_frames = number as usize % 3;
            Source { audio_hz: Some(hz), gop_frames: 75, b_frames, secs: 60.0, ..Source::default() }.frames()
        });
        Run {
            dice: Dice(number),
            packager: Packager::new(HlsConfig::default(), Budget::new(1 << 20), 1_000, 32),
            zero: Instant::now(),
            now_ms: 0,
            epoch: 0,
            audio: AUDIO,
            other_sound: false,
            offset_ms: 0,
            newest: [0; 3],
            unmade: VecDeque::new(),
            sources,
            next_frame: 0,
        }
    }

    fn now(&self) -> Instant {
        self.zero + Duration::from_millis(self.now_ms)
    }

    fn hz(&self) -> u32 {
        if self.other_sound { 44_100 } else { 48_000 }
    }

    fn audio_track(&self) -> TrackInfo {
        TrackInfo { id: self.audio, ..support::source::audio_track(self.hz()) }
    }

    fn step(&mut self) {
        match self.dice.roll(14) {
            0 => self.start(),
            1 => self.packager.end_epoch(self.now()),
            2 if self.dice.roll(4) == 0 => self.packager.finish(self.now()),
            3 => self.offset_ms += [-20_000, -900, 400, 2_500, 30_000][self.dice.roll(5) as usize],
            4 => self.wait(self.dice.0 % 4_000),
            5 => {
                let old = self.audio;
                self.audio = TrackId(old.0 + 1);
                self.other_sound = !self.other_sound;
                self.packager.replace_track(self.now(), old, self.audio_track());
            }
            7 => {
                let wanted = self.dice.roll(4) > 0;
                self.packager.want_alternate(self.now(), wanted);
                let track = TrackInfo { id: ALTERNATE, ..support::source::video_track() };
                self.packager.set_alternate(self.now(), (self.dice.roll(3) > 0).then_some(track));
            }
            // Another configuration on the same track.
            6 => self.other_sound = !self.other_sound,
            _ => {
                let (no_video, no_audio) = (self.dice.roll(5) == 0, self.dice.roll(5) == 0);
                let count = self.dice.roll(300);
                (0..count).for_each(|_| self.frame(no_video, no_audio));
            }
        }
        self.drain();
    }

    fn start(&mut self) {
        self.epoch += 1;
        self.audio = AUDIO;
        let mut tracks = vec![support::source::video_track(), self.audio_track()];
        if self.dice.roll(4) == 0 {
            tracks.remove(self.dice.roll(2) as usize);
        }
        let wall = WallTime(self.now_ms as i64 * 1_000);
        self.packager.start_epoch(self.now(), Epoch(self.epoch), wall, tracks);
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        if self.packager.poll_timeout().is_some_and(|due| due <= self.now()) {
            self.packager.handle_timeout(self.now());
        }
    }

    fn frame(&mut self, no_video: bool, no_audio: bool) {
        self.next_frame += 1;
        let source = &self.sources[usize::from(self.other_sound)];
        let arrival = source[self.next_frame % source.len()].clone();
        let is_video = arrival.track == VIDEO;
        if is_video && no_video || !is_video && no_audio {
            return;
        }
        let hz = if is_video { 90_000 } else { i64::from(self.hz()) };
        let ticks = self.offset_ms * hz / 1_000;
        let Frame { dts, pts, .. } = arrival.frame;
        let frame = Frame { dts: dts + ticks, pts: pts + ticks, ..arrival.frame };
        let track = if is_video { VIDEO } else { self.audio };
        self.wait(if is_video { 33 } else { 0 });
        self.packager.handle_frame(self.now(), track, &frame);
        if is_video {
            self.unmade.push_back(frame);
            self.make();
        }
    }

    /// A worker is late, or busy, or loses pictures.
    fn make(&mut self) {
        let delay = 1 + self.dice.roll(3) as usize * 20;
        while self.unmade.len() > delay {
            let Some(frame) = self.unmade.pop_front() else { return };
            if self.dice.roll(50) > 0 {
                let frame = Frame { dts: frame.pts, ..frame };
                self.packager.handle_frame(self.now(), ALTERNATE, &frame);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.packager.poll_effect() {
            if let Effect::Snapshot(snapshot) = effect {
                self.check(&snapshot);
            }
        }
    }

    fn check(&mut self, snapshot: &Snapshot) {
        for other in [&snapshot.audio, &snapshot.alternate] {
            let (Some(video), Some(other)) = (&snapshot.video, other) else { continue };
            let twins = other.segments();
            for segment in video.segments() {
                let Some(twin) = twins.iter().find(|twin| twin.msn == segment.msn) else { continue };
                let sequences = (segment.discontinuity_sequence, twin.discontinuity_sequence);
                assert!(sequences.0 == sequences.1, "{sequences:?} of number {}", segment.msn);
            }
        }
        for (index, kind) in RenditionId::ALL.into_iter().enumerate() {
            let Some(view) = snapshot.rendition(kind) else { continue };
            let numbers: Vec<u64> = view.segments().iter().map(|segment| segment.msn).collect();
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kind:?}: {numbers:?}");
            if let Some(&newest) = numbers.last() {
                assert!(newest >= self.newest[index], "{kind:?} went back from {} to {newest}", self.newest[index]);
                self.newest[index] = newest;
            }
            let segments = view.segments();
            let sequences = segments.windows(2).map(|pair| {
                let forward = pair[1].discontinuity_sequence.checked_sub(pair[0].discontinuity_sequence);
                (forward, u64::from(pair[1].discontinuity))
            });
            for (forward, marked) in sequences {
                assert!(forward.is_some_and(|forward| forward >= marked), "{kind:?}: discontinuities go forward");
            }
        }
    }
}

#[test]
fn whatever_a_source_does_numbers_go_forward_and_nothing_panics() {
    for number in 0..RUNS {
        let mut run = Run::new(number);
        run.start();
        for _ in 0..STEPS {
            run.step();
        }
        run.packager.finish(run.now());
        run.drain();
        println!("run {number}: {:?}", run.newest);
    }
}
