//! What a conversion costs: `cost WORKER TARGET < FLV` feeds a worker as fast as it takes and prints its processor time.
//!
//! Beside it runs the ffmpeg command that does the same (docs/performance.md).

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Read;

use support::source::{flv, timescale};
use support::{SETTINGS, Worker};
use telstar_transcode::{Settings, Target};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [worker, target] = &arguments[..] else { panic!("usage: cost WORKER opus|aac|h264|vp8 < FLV") };
    let target = match target.as_str() {
        "opus" => Target::Opus,
        "aac" => Target::Aac,
        "h264" => Target::H264,
        "vp8" => Target::Vp8,
        other => panic!("{other}: opus, aac, h264 or vp8"),
    };
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).expect("a pipe");
    let frames = flv(&bytes);
    let (first, last) = (frames.first().expect("frames"), frames.last().expect("frames"));
    let secs = timescale(&first.config).seconds(last.dts - first.dts);
    let mut worker = Worker::start_program(worker, &[]);
    let outcome = worker.convert(&frames, target, Settings { threads: 1, ..SETTINGS });
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", worker.child.id())).expect("it runs");
    // proc(5): utime and stime, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    let ticks: u32 = fields[11..13].iter().map(|field| field.parse::<u32>().expect("a number")).sum();
    println!(
        "{} frames of {secs:.1} s became {}: {:.2} s of processor time, {:.1} % of a core",
        frames.len(),
        outcome.frames.len(),
        f64::from(ticks) / 100.0,
        f64::from(ticks) / secs
    );
}
