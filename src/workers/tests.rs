//! Conversions with real workers, fed through rings as media threads feed them, and what workers do that they should not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use telstar_media::codec::AacConfig;
use telstar_media::codec::annexb::{AnnexBReader, Sample};
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, Origin, TrackInfo};
use telstar_transcode::Target;
use telstar_units::{RoomName, Timescale, TrackId};

use super::*;
use crate::config::Transcode;
use crate::shards::rings_for_tests::{Converted, Frames};
use crate::shards::{IngestItem, ViewerItem};

const TRACK: TrackId = TrackId(3);
const AS_TRACK: TrackId = TrackId(4);
/// Nothing here takes so long, even on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// An AAC-LC frame of silence, 48 kHz, stereo, as FFmpeg's encoder writes it.
const SILENCE: &[u8] = &[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c];

/// `cargo test --workspace` builds the worker; a narrower one may not have.
fn built() -> PathBuf {
    static BUILT: Once = Once::new();
    let worker = executable(Path::new(""));
    BUILT.call_once(|| {
        if !worker.exists() {
            let built = Command::new(env!("CARGO")).args(["build", "--offline", "-p", "telstar-worker"]).status();
            assert!(built.is_ok_and(|status| status.success()), "cargo builds the worker");
        }
    });
    worker
}

/// Ten seconds of pictures with one keyframe.
fn pictures() -> Vec<Sample> {
    let source = "-f lavfi -i testsrc2=s=320x180:r=30:d=10 -c:v libx264 -preset ultrafast -bf 0 -g 999 -pix_fmt yuv420p \
                  -bsf:v h264_metadata=aud=insert -f h264 -";
    let output =
        Command::new("ffmpeg").args(["-nostdin", "-loglevel", "error"]).args(source.split_whitespace()).output();
    let stream = output.expect("scripts/packages test installs ffmpeg").stdout;
    let delimiter = [0, 0, 0, 1, 9];
    let starts = (0..stream.len()).filter(|at| stream[*at..].starts_with(&delimiter));
    let starts: Vec<usize> = starts.chain([stream.len()]).collect();
    let mut reader = AnnexBReader::default();
    let samples: Vec<Sample> =
        starts.windows(2).filter_map(|pair| reader.read(&stream[pair[0]..pair[1]]).expect("x264's")).collect();
    assert_eq!((samples.len(), samples.iter().filter(|sample| sample.key).count()), (300, 1));
    samples
}

struct Stage {
    frames: Frames,
    converted: Converted,
    guard: Option<ConversionGuard>,
    workers: Workers,
    track: TrackInfo,
    to: Target,
    /// What is sent, again and again, and how far apart in ticks.
    source: Vec<Sample>,
    step: i64,
    sent: i64,
    received: Vec<Frame>,
    tracks: Vec<TrackInfo>,
}

impl Stage {
    /// Silence in AAC becomes Opus.
    fn new(config: &Transcode) -> Stage {
        let aac = AacConfig::low_complexity(48_000, 2).expect("a known rate");
        let config_of_all = Arc::new(CodecConfig::Aac(aac));
        let silence = Sample { config: config_of_all, key: true, payload: Bytes::from_static(SILENCE) };
        let track = TrackInfo {
            id: TRACK,
            codec: Codec::Aac,
            timescale: Timescale::new(48_000).expect("not zero"),
            keyframes: KeyframeMode::None,
            origin: Origin::Publisher,
        };
        Stage::of(config, track, Target::Opus, vec![silence], 1_024)
    }

    /// H.264 with one keyframe at its beginning becomes H.264.
    fn of_pictures(config: &Transcode) -> Stage {
        let track = TrackInfo {
            id: TRACK,
            codec: Codec::H264,
            timescale: Timescale::VIDEO,
            keyframes: KeyframeMode::Periodic,
            origin: Origin::Publisher,
        };
        Stage::of(config, track, Target::H264, pictures(), 3_000)
    }

    fn of(config: &Transcode, track: TrackInfo, to: Target, source: Vec<Sample>, step: i64) -> Stage {
        built();
        let workers = Workers::new(config, Tasks::new(Arc::default()));
        let mut stage = Stage {
            frames: Frames::new(1 << 20),
            converted: Converted::new(),
            guard: None,
            workers,
            track,
            to,
            source,
            step,
            sent: 0,
            received: Vec::new(),
            tracks: Vec::new(),
        };
        stage.begin();
        stage
    }

    fn begin(&mut self) {
        let track = self.track.clone();
        self.frames.push(ViewerItem::Tracks { tracks: vec![track.clone()], restarts: true });
        self.guard = Some(self.workers.convert(ConversionJob {
            room: RoomName::parse("demo").expect("a name"),
            track,
            to: self.to,
            as_track: AS_TRACK,
            frames: Arc::clone(&self.frames.0),
            converted: Arc::clone(&self.converted.0),
        }));
    }

    fn status(&self) -> ConversionStatus {
        self.guard.as_ref().map(|guard| guard.status().borrow().clone()).unwrap_or_default()
    }

    /// One frame, in its time.
    async fn step(&mut self) {
        let Sample { config, key, payload } = self.source[self.sent as usize % self.source.len()].clone();
        let dts = self.sent * self.step;
        self.sent += 1;
        self.frames.push(ViewerItem::Frame(TRACK, Frame { config, dts, pts: dts, duration: 0, key, payload }));
        tokio::time::sleep(Duration::from_secs_f64(self.track.timescale.seconds(self.step))).await;
        for item in self.converted.take() {
            match item {
                IngestItem::Track(info) => self.tracks.push(info),
                IngestItem::Frame(track, frame) => {
                    assert_eq!(track, AS_TRACK);
                    self.received.push(frame);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// It goes on until `done`; how long that took.
    async fn run_until(&mut self, what: &str, done: impl Fn(&Stage) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.status());
            self.step().await;
        }
        start.elapsed()
    }

    async fn run_until_it_comes(&mut self) -> Duration {
        let before = self.received.len();
        self.run_until("converted frames", |stage| stage.received.len() > before + 5).await
    }

    fn death_count(&self) -> u64 {
        self.workers.counters().deaths.get()
    }

    /// The process that converts.
    fn worker(&self) -> Pid {
        let pid = self.status().worker_pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.expect("a worker converts")
    }
}

#[tokio::test]
async fn a_track_is_converted_and_ends_with_its_guard() {
    let mut stage = Stage::new(&Transcode::default());
    stage.run_until_it_comes().await;
    assert_eq!(stage.status().state, ConversionState::Running);
    assert_eq!((stage.tracks.len(), stage.tracks[0].origin), (1, Origin::Worker));
    assert_eq!((stage.tracks[0].codec, stage.tracks[0].timescale.hz()), (Codec::Opus, 48_000));
    assert!(stage.received.windows(2).all(|pair| pair[1].dts - pair[0].dts == 960));
    assert!(stage.received.iter().all(|frame| frame.config.codec() == Codec::Opus && frame.duration == 960));
    // Sound is late by what it is held back: less than two frames either way, and a busy machine.
    stage.run_until("a figure of the processor", |stage| stage.status().cpu_percent > 0.0).await;
    let mut status = stage.guard.as_ref().expect("it runs").status();
    stage.guard = None;
    let ended = tokio::time::timeout(PATIENCE, status.wait_for(|status| status.state == ConversionState::Ended));
    ended.await.expect("it ends").expect("its status stays");
    assert!(stage.frames.is_abandoned() && stage.converted.is_over());
    assert_eq!(stage.workers.counters().conversions.get(), 0);
}

#[tokio::test]
async fn a_worker_that_is_killed_is_followed_by_another_within_two_seconds() {
    let mut stage = Stage::new(&Transcode::default());
    stage.run_until_it_comes().await;
    kill_process(stage.worker(), Signal::KILL).expect("it is ours");
    stage.run_until("its death", |stage| stage.death_count() == 1).await;
    let away = stage.run_until_it_comes().await;
    assert!(away < Duration::from_secs(2), "{away:?}");
    assert_eq!(stage.tracks.len(), 1, "the track is the same");
    assert!(stage.received.windows(2).all(|pair| pair[1].dts > pair[0].dts), "time does not go back");
    let status = stage.status();
    assert_eq!((status.state, status.restarts, status.error), (ConversionState::Running, 1, None));
}

#[tokio::test]
async fn pictures_come_back_within_two_seconds_though_the_source_sends_no_keyframe() {
    let mut stage = Stage::of_pictures(&Transcode::default());
    stage.run_until("a second of pictures", |stage| stage.received.len() > 60).await;
    let (worker, before) = (stage.worker(), stage.received.len());
    kill_process(worker, Signal::KILL).expect("it is ours");
    stage.run_until("its death", |stage| stage.death_count() == 1).await;
    let away = stage.run_until_it_comes().await;
    assert!(away < Duration::from_secs(2), "{away:?}");
    assert!(stage.sent < stage.source.len() as i64, "one group of pictures");
    assert!(stage.received.windows(2).all(|pair| pair[1].dts > pair[0].dts), "time does not go back");
    let first = stage.received[before..].iter().find(|frame| frame.key).expect("it begins with a keyframe");
    assert!(first.dts - stage.received[before - 1].dts < 2 * 90_000);
}

#[tokio::test]
async fn a_keyframe_that_is_asked_for_comes() {
    let mut stage = Stage::of_pictures(&Transcode::default());
    stage.run_until("pictures", |stage| stage.received.len() > 20).await;
    stage.guard.as_ref().expect("it runs").request_keyframe();
    // By itself the next would come 60 pictures behind the first.
    stage.run_until("a keyframe", |stage| stage.received[1..].iter().any(|frame| frame.key)).await;
    let second = stage.received[1..].iter().find(|frame| frame.key).expect("it came");
    assert!(second.dts - stage.received[0].dts < 180_000);
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_and_followed_by_another() {
    let mut stage = Stage::new(&Transcode::default());
    stage.run_until_it_comes().await;
    let worker = stage.worker();
    kill_process(worker, Signal::STOP).expect("it is ours");
    let hung = stage.run_until("its death", |stage| stage.death_count() == 1).await;
    assert!(hung < Duration::from_secs(8), "{hung:?}");
    assert_eq!(stage.workers.counters().hangs.get(), 1);
    stage.run_until_it_comes().await;
    assert!(!Path::new(&format!("/proc/{}/exe", worker.as_raw_nonzero())).exists(), "it is gone");
}

#[tokio::test]
async fn what_is_no_worker_is_told_with_the_remedy_and_left_alone() {
    for (path, remedy) in
        [("/nonexistent/worker", "transcode.worker"), ("/bin/true", "telstar doctor"), ("/bin/cat", "telstar doctor")]
    {
        let config = Transcode { worker: path.into(), ..Transcode::default() };
        let mut stage = Stage::new(&config);
        if path != "/bin/cat" {
            stage.run_until("an error", |stage| stage.status().error.is_some()).await;
            let error = stage.status().error.expect("checked");
            assert!(error.contains(remedy), "{error}");
        } else {
            // It is silent for longer than a test takes.
            for _ in 0..20 {
                stage.step().await;
            }
        }
        assert!(stage.received.is_empty());
    }
}

/// A shell that says what a test wants over the worker's socket.
fn impostor(folder: &Path, says: &str) -> Transcode {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("impostor");
    std::fs::write(&path, format!("#!/bin/sh\nprintf '{says}' >&0\nexec /bin/cat >/dev/null\n")).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("ours");
    Transcode { worker: path, ..Transcode::default() }
}

#[tokio::test]
async fn garbage_from_a_worker_ends_it_and_costs_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A version; a message of 4 GiB; Ready with all of the sandbox, a decoder and a target, and then something that a
    // worker does not say.
    let ready = r"\003\000\000\000\006\005\037\001\005\001\000";
    // A frame of the right track, all of zeros, before any configuration.
    let frame = r"\000\000\000\036\002\000\000\000\000\000\000\000\004\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000";
    for (says, expect) in [
        (r"\377".to_owned(), "protocol version 255"),
        (r"\003\377\377\377\377\005".to_owned(), "too long"),
        (format!(r"{ready}\000\000\000\001\003"), "no message of kind 3"),
        (format!("{ready}{frame}"), "told no configuration"),
        (r"\003\000\000\000\006\005\000\001\005\001\000".to_owned(), "does not confine workers (limits, no_new_privs"),
    ] {
        let mut stage = Stage::new(&impostor(folder.path(), &says));
        stage.run_until("an error", |stage| stage.status().error.is_some()).await;
        let error = stage.status().error.expect("checked");
        assert!(error.contains(expect), "{error}");
        assert!(stage.received.is_empty());
    }
}

#[tokio::test]
async fn a_kernel_without_a_sandbox_converts_only_when_that_was_decided() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said_nothing_enforced = r"\003\000\000\000\006\005\000\001\005\001\000";
    let config = Transcode { sandbox: config::Sandbox::Off, ..impostor(folder.path(), said_nothing_enforced) };
    let mut stage = Stage::new(&config);
    for _ in 0..50 {
        stage.step().await;
    }
    assert_eq!(stage.status().error, None);
}

#[tokio::test]
async fn conversions_beyond_the_limit_wait_and_say_so() {
    let mut stage = Stage::new(&Transcode { conversions_max: 1, ..Transcode::default() });
    stage.run_until_it_comes().await;
    let first = stage.guard.take().expect("it runs");
    let frames = std::mem::replace(&mut stage.frames, Frames::new(1 << 20));
    stage.converted = Converted::new();
    stage.begin();
    stage
        .run_until("the limit", |stage| stage.status().error.is_some_and(|error| error.contains("conversions_max")))
        .await;
    drop((first, frames));
    stage.run_until_it_comes().await;
    assert_eq!(stage.status().error, None);
}

#[tokio::test]
async fn a_ring_that_closes_ends_the_conversion() {
    let mut stage = Stage::new(&Transcode::default());
    stage.run_until_it_comes().await;
    stage.frames.close();
    stage.run_until("the end", |stage| stage.status().state == ConversionState::Ended).await;
    let mut other = Stage::new(&Transcode::default());
    other.run_until_it_comes().await;
    other.converted.detach();
    other.run_until("the end", |stage| stage.status().state == ConversionState::Ended).await;
}
