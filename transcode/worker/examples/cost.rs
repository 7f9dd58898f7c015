//! What a conversion costs: `cost WORKER TARGET < MEDIA` feeds a worker as fast as it takes and prints, as JSON, its processor
//! time and what it made. Beside it runs the ffmpeg command that does the same (`make bench ARGS=bench-conversions`).
//!
//! In: FLV with one track, IVF of VP8, VP9 or AV1 at 30 pictures a second, or an HEVC byte stream. `opus-aac` is Opus to AAC:
//! another worker makes the Opus first, which does not count.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Read;

use support::source::{flv, hevc, ivf, timescale};
use support::{SETTINGS, Worker};
use telstar_media::{Codec, Frame};
use telstar_transcode::{Settings, Target};

const ONE_THREAD: Settings = Settings { threads: 1, ..SETTINGS };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [worker, target] = &arguments[..] else { panic!("usage: cost WORKER opus|aac|opus-aac|h264|vp8 < MEDIA") };
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).expect("a pipe");
    let mut frames = read(&bytes);
    let target = match target.as_str() {
        "opus" => Target::Opus,
        "aac" => Target::Aac,
        "opus-aac" => {
            frames = Worker::start_program(worker, &[]).convert(&frames, Target::Opus, ONE_THREAD).into_source();
            Target::Aac
        }
        "h264" => Target::H264,
        "vp8" => Target::Vp8,
        other => panic!("{other}: opus, aac, opus-aac, h264 or vp8"),
    };
    let (first, last) = (frames.first().expect("frames"), frames.last().expect("frames"));
    let secs = timescale(&first.config).seconds(last.dts - first.dts);
    let mut worker = Worker::start_program(worker, &[]);
    let outcome = worker.convert(&frames, target, ONE_THREAD);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", worker.child.id())).expect("it runs");
    // proc(5): utime and stime, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    let ticks: u32 = fields[11..13].iter().map(|field| field.parse::<u32>().expect("a number")).sum();
    let bytes: usize = outcome.frames.iter().map(|frame| frame.payload.len()).sum();
    println!(
        r#"{{"media_secs":{secs:.2},"frames_in":{},"frames_out":{},"bytes_out":{bytes},"cpu_secs":{:.2}}}"#,
        frames.len(),
        outcome.frames.len(),
        f64::from(ticks) / 100.0,
    );
}

fn read(bytes: &[u8]) -> Vec<Frame> {
    match (bytes.get(..4), bytes.get(8..12)) {
        (Some([b'F', b'L', b'V', _]), _) => flv(bytes),
        (Some(b"DKIF"), Some(b"VP80")) => ivf(bytes, Codec::Vp8),
        (Some(b"DKIF"), Some(b"VP90")) => ivf(bytes, Codec::Vp9),
        (Some(b"DKIF"), Some(b"AV01")) => ivf(bytes, Codec::Av1),
        _ => hevc(bytes),
    }
}
