//! A worker as the server sees it, streams from the ffmpeg command, and what is in what comes back.

#![allow(dead_code)] // each test file uses its part

pub mod boxes;
pub mod decode;
pub mod figures;
pub mod files;
pub mod shown;
pub mod source;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use telstar_media::{CodecConfig, Frame};
use telstar_transcode::{
    CodecRecord, Config, FromWorker, MediaFrame, Preset, Progress, Reader, Ready, Settings, Target, ToWorker, Writer,
};
use telstar_units::{Timescale, TrackId};

/// A worker that says nothing for so long has failed the test.
const PATIENCE: Duration = Duration::from_secs(30);

pub const SETTINGS: Settings = Settings {
    video_kbps_max: 4_000,
    audio_kbps: 128,
    pixels_max: 8_912_896,
    fps_max: 60,
    threads: 2,
    preset: Preset::Ultrafast,
    keyframe_interval_ms: 2_000,
};

/// A worker with one socket, as the server starts it.
pub struct Worker {
    pub child: Child,
    pub ready: Ready,
    socket: UnixStream,
    reader: Reader<FromWorker>,
    writer: Writer<ToWorker>,
    record: Option<CodecRecord>,
}

/// What came of everything that was fed.
pub struct Outcome {
    pub frames: Vec<MediaFrame>,
    pub progress: Option<Progress>,
    pub failed: Option<String>,
}

impl Outcome {
    /// What came out of one worker as what goes into another.
    pub fn into_source(self) -> Vec<Frame> {
        let first = self.frames.first().and_then(|frame| frame.record.clone()).expect("the first tells what it is");
        let config = Arc::new(first.config().expect("the worker's own"));
        let again = |MediaFrame { dts, pts, duration, key, payload, .. }| {
            let config = Arc::clone(&config);
            Frame { config, dts, pts, duration, key, payload }
        };
        self.frames.into_iter().map(again).collect()
    }
}

impl Worker {
    pub fn start() -> Worker {
        Worker::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Worker {
        let built = option_env!("CARGO_BIN_EXE_telstar-worker");
        Worker::start_program(built.expect("cargo tells tests what it built"), arguments)
    }

    pub fn start_program(program: &str, arguments: &[&str]) -> Worker {
        let (ours, theirs) = UnixStream::pair().expect("the system has sockets");
        ours.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is there");
        let (reader, writer) = (Reader::default(), Writer::default());
        let mut worker = Worker { child, ready: Ready::default(), socket: ours, reader, writer, record: None };
        match worker.next() {
            Some(FromWorker::Ready(ready)) => worker.ready = ready,
            other => panic!("{other:?} instead of Ready"),
        }
        worker
    }

    pub fn say(&mut self, message: &ToWorker) {
        let mut bytes = Vec::new();
        self.writer.write(message, &mut bytes).expect("short enough");
        self.say_bytes(&bytes);
    }

    /// Writes, and reads meanwhile: a worker that cannot say what it made takes no more. One that has died is what some
    /// tests want.
    pub fn say_bytes(&mut self, mut bytes: &[u8]) {
        self.socket.set_nonblocking(true).expect("a socket can be");
        let mut buffer = [0; 65_536];
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(_) => break,
            }
            while let Ok(len @ 1..) = self.socket.read(&mut buffer) {
                self.reader.handle_bytes(&buffer[..len]);
            }
        }
        self.socket.set_nonblocking(false).expect("a socket can be");
    }

    /// The next message; `None` when the worker closed the socket.
    pub fn next(&mut self) -> Option<FromWorker> {
        let mut buffer = [0; 65_536];
        loop {
            if let Some(message) = self.reader.next_message().expect("a worker speaks properly") {
                return Some(message);
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(len) => self.reader.handle_bytes(&buffer[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the worker says nothing: {error}"),
            }
        }
    }

    pub fn configure(&mut self, config: &CodecConfig, timescale: Timescale, target: Target, settings: Settings) {
        let input = CodecRecord::of(config);
        self.record = Some(input.clone());
        let (track, as_track) = (TrackId(1), TrackId(7));
        self.say(&ToWorker::Config(Config { track, as_track, input, timescale, target, settings }));
    }

    pub fn feed(&mut self, frame: &Frame) {
        self.feed_as(frame, false);
    }

    pub fn feed_as(&mut self, frame: &Frame, decode_only: bool) {
        let record = Some(CodecRecord::of(&frame.config)).filter(|record| self.record.as_ref() != Some(record));
        if record.is_some() {
            self.record.clone_from(&record);
        }
        let Frame { dts, pts, duration, key, payload, .. } = frame.clone();
        let track = TrackId(1);
        self.say(&ToWorker::Frame(MediaFrame { track, record, dts, pts, duration, key, decode_only, payload }));
    }

    /// Feeds `frames` and takes all that comes of them.
    pub fn convert(&mut self, frames: &[Frame], target: Target, settings: Settings) -> Outcome {
        let first = frames.first().expect("a stream has frames");
        self.configure(&first.config, source::timescale(&first.config), target, settings);
        frames.iter().for_each(|frame| self.feed(frame));
        self.flush()
    }

    /// What comes up to the end of all that was fed.
    pub fn flush(&mut self) -> Outcome {
        self.say(&ToWorker::Flush);
        let mut outcome = Outcome { frames: Vec::new(), progress: None, failed: None };
        loop {
            match self.next() {
                Some(FromWorker::Frame(frame)) => outcome.frames.push(frame),
                Some(FromWorker::Progress(progress)) => outcome.progress = Some(progress),
                Some(FromWorker::Failed(failed)) => outcome.failed = Some(failed.text),
                Some(FromWorker::Flushed) | None => return outcome,
                Some(FromWorker::Ready(_) | FromWorker::Log(_) | FromWorker::File(_)) => {}
            }
        }
    }

    /// How it ended.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("it is ours")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
