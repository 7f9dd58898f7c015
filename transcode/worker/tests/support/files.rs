//! A worker for files as the server starts it, files from the ffmpeg command, and what ffprobe says of what comes back.

use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mp4_atom::{Decode, Moof};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use telstar_transcode::file::{
    EncoderPreset, FileNews, FileTask, Index, Limits, Make, OUTPUTS_MAX, Rendition, RenditionKind, Source,
};
use telstar_transcode::map::SegmentMap;
use telstar_transcode::plan::{Options, Plan, Planned, plan};
use telstar_transcode::{FromWorker, Reader, Ready, ToWorker, Writer};
use telstar_units::Timescale;

/// A worker that says nothing for so long has failed the test.
const PATIENCE: Duration = Duration::from_secs(60);

pub const LIMITS: Limits = Limits {
    pixels_max: 8_912_896,
    side_max: 8_192,
    fps_max: 120,
    duration_secs_max: 3_600,
    streams_max: 64,
    output_bytes_max: 1 << 30,
    threads: 2,
};

pub const OPTIONS: Options = Options { has_ladder: true, has_hevc: false, has_av1: false, stereo_bps: 128_000 };

/// A file that ffmpeg makes in a folder of its own.
pub struct Media {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Media {
    pub fn new(name: &str, arguments: &str) -> Media {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-loglevel", "error"])
            .args(arguments.split_whitespace())
            .arg(&path)
            .current_dir(folder.path())
            .output()
            .expect("scripts/packages test installs ffmpeg");
        assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        Media { folder, path }
    }

    pub fn of_bytes(bytes: &[u8]) -> Media {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        fs::write(&path, bytes).expect("a small file");
        Media { folder, path }
    }

    pub fn file(&self) -> File {
        File::open(&self.path).expect("it was made")
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("it was made")
    }

    /// What it is, or why it is refused.
    pub fn probe(&self) -> Result<Source, String> {
        let news = FileWorker::start().run(FileTask::Probe(LIMITS), &self.file(), &[]);
        match &news[..] {
            [.., FileNews::Source(source), FileNews::Done] => Ok((**source).clone()),
            [.., FileNews::Failed { is_permanent: true, text }] => Err(text.clone()),
            other => panic!("{other:?}"),
        }
    }

    pub fn plan(&self) -> (Source, Plan) {
        let source = self.probe().expect("it can be played");
        let plan = plan(&source, &OPTIONS).expect("it can be played");
        (source, plan)
    }
}

/// A sample of a rendition, in its ticks.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub dts: i64,
    pub pts: i64,
    /// The decode time of the next.
    pub end: i64,
}

/// A rendition that was made.
pub struct Made {
    pub name: String,
    pub rendition: Rendition,
    pub init: Vec<u8>,
    pub index: Index,
    pub bytes: Vec<u8>,
}

impl Made {
    /// As a file that anything plays.
    pub fn media(&self) -> Media {
        Media::of_bytes(&[&self.init[..], &self.bytes].concat())
    }

    /// When its samples are shown, in seconds, in the order of time. By its boxes: players and ffprobe shift times at will.
    pub fn times(&self) -> Vec<f64> {
        let hz = f64::from(self.rendition.timescale);
        let mut times: Vec<f64> = self.samples().into_iter().map(|sample| sample.pts as f64 / hz).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// Its samples in decode order, by its boxes.
    pub fn samples(&self) -> Vec<Timed> {
        let (mut rest, mut samples) = (&self.bytes[..], Vec::new());
        while let Some([s0, s1, s2, s3, kind @ ..]) = rest.first_chunk::<8>() {
            let (whole, behind) = rest.split_at(u32::from_be_bytes([*s0, *s1, *s2, *s3]) as usize);
            if kind == b"moof" {
                let moof = Moof::decode(&mut &whole[..]).expect("our own box");
                let traf = &moof.traf[0];
                let mut dts = traf.tfdt.as_ref().expect("it says when").base_media_decode_time as i64;
                for sample in traf.trun[0].samples.iter() {
                    let end = dts + i64::from(sample.duration.expect("each has one"));
                    samples.push(Timed { dts, pts: dts + sample.cts.unwrap_or(0), end });
                    dts = end;
                }
            }
            rest = behind;
        }
        samples
    }

    /// Samples are decoded one behind the other from where the first segment begins to where the last ends, and none is
    /// shown before it is decoded: FFmpeg would show all pictures that much later, and not their sound.
    fn assert_decodable(&self) {
        if self.rendition.kind == RenditionKind::Subtitles {
            return;
        }
        let (mut at, segments) = (self.index.segments()[0].start, self.index.segments());
        for sample in self.samples() {
            assert!(sample.dts == at && sample.end > at && sample.pts >= at, "{}: {sample:?} at {at}", self.name);
            at = sample.end;
        }
        assert_eq!(segments.last().map(|last| last.start + last.duration), Some(at), "{}", self.name);
    }

    pub fn segment(&self, number: usize) -> &[u8] {
        let segment = &self.index.segments()[number];
        &self.bytes[segment.offset as usize..(segment.offset + segment.len) as usize]
    }
}

/// Makes these renditions, and checks what is told of them as the server does.
pub fn make(media: &Media, source: &Source, map: &SegmentMap, planned: &[Planned]) -> Vec<Made> {
    let files: Vec<File> = planned.iter().map(|_| tempfile::tempfile().expect("a temporary folder")).collect();
    let task = Make {
        source: source.clone(),
        map: map.clone(),
        outputs: planned.iter().map(|one| one.output.clone()).collect(),
        limits: LIMITS,
        preset: EncoderPreset::Veryfast,
    };
    let news = FileWorker::start().run(FileTask::Make(task), &media.file(), &files);
    assert_eq!(news.last(), Some(&FileNews::Done));
    let mut made: Vec<Option<Made>> = planned.iter().map(|_| None).collect();
    for one in news {
        match one {
            FileNews::Begun { output, rendition, init } => {
                let name = planned[usize::from(output)].name.clone();
                let (index, bytes) = (Index::default(), Vec::new());
                made[usize::from(output)] = Some(Made { name, rendition, init, index, bytes });
            }
            FileNews::Segment { output, segment } => {
                let made = made[usize::from(output)].as_mut().expect("it has begun");
                let timescale = Timescale::new(made.rendition.timescale).expect("not zero");
                made.index.push(segment.clone(), timescale, map).unwrap_or_else(|error| panic!("{segment:?}: {error}"));
            }
            _ => {}
        }
    }
    let read = |(made, mut file): (Option<Made>, File)| {
        use std::io::Seek;
        let mut made = made.expect("it has begun");
        file.rewind().expect("a file");
        file.read_to_end(&mut made.bytes).expect("a file");
        assert!(made.index.is_whole(map), "{}: {} of {}", made.name, made.index.segments().len(), map.count());
        assert_eq!(made.index.len(), made.bytes.len() as u64, "{}", made.name);
        made.assert_decodable();
        made
    };
    made.into_iter().zip(files).map(read).collect()
}

/// A worker with one socket.
pub struct FileWorker {
    pub child: Child,
    pub ready: Ready,
    socket: UnixStream,
    reader: Reader<FromWorker>,
}

impl FileWorker {
    pub fn start() -> FileWorker {
        FileWorker::start_with(&["--memory-mib", "2048", "--file-bytes", "1073741824", "--cpu-secs", "600"])
    }

    pub fn start_with(arguments: &[&str]) -> FileWorker {
        let built = option_env!("CARGO_BIN_EXE_telstar-worker").unwrap_or("cargo tells tests alone what it built");
        FileWorker::start_program(built, arguments)
    }

    pub fn start_program(program: &str, arguments: &[&str]) -> FileWorker {
        let (ours, theirs) = UnixStream::pair().expect("the system has sockets");
        ours.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it is there");
        let mut worker = FileWorker { child, ready: Ready::default(), socket: ours, reader: Reader::default() };
        match worker.next() {
            Some(FromWorker::Ready(ready)) => worker.ready = ready,
            other => panic!("{other:?} instead of Ready"),
        }
        worker
    }

    /// Everything that it tells until it is done, has failed, or died.
    pub fn run(&mut self, task: FileTask, source: &File, outputs: &[File]) -> Vec<FileNews> {
        let files: Vec<BorrowedFd<'_>> = [source].into_iter().chain(outputs).map(AsFd::as_fd).collect();
        let mut bytes = Vec::new();
        let message = ToWorker::File(Box::new(task));
        Writer::<ToWorker>::default().write(&message, &mut bytes).expect("short enough");
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1 + OUTPUTS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
        let sent = sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL);
        self.socket.write_all(&bytes[sent.expect("it listens")..]).expect("it listens");
        let mut news = Vec::new();
        while let Some(message) = self.next() {
            match message {
                FromWorker::File(told @ (FileNews::Done | FileNews::Failed { .. })) => {
                    news.push(told);
                    break;
                }
                FromWorker::File(told) => news.push(told),
                other => panic!("{other:?}"),
            }
        }
        news
    }

    fn next(&mut self) -> Option<FromWorker> {
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
}

impl Drop for FileWorker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What ffprobe says of the streams of this kind (`v`, `a`), by packet or by frame.
pub fn ffprobe(path: &Path, kind: &str, what: &str) -> Vec<Value> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-select_streams", kind, &format!("-show_{what}")])
        .arg(path)
        .output()
        .expect("scripts/packages test installs ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    whole[what].as_array().cloned().unwrap_or_default()
}

/// A time of a packet or a frame, in seconds.
pub fn secs(of: &Value, field: &str) -> f64 {
    of[field].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{field} of {of}"))
}

/// How loud a file is (EBU R128).
pub fn loudness(path: &Path) -> f64 {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-i"])
        .arg(path)
        .args(["-af", "ebur128=framelog=verbose", "-f", "null", "-"])
        .output()
        .expect("scripts/packages test installs ffmpeg");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = told.lines().rev().find_map(|line| line.trim().strip_prefix("I:").map(str::to_owned));
    let number = line.as_deref().and_then(|line| line.trim().split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{told}"))
}
