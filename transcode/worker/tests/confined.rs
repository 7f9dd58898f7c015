//! A worker as the kernel sees it: what it can do is what the sandbox says, and what it is sent cannot hurt more than itself.

mod support;

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use support::source::{ffmpeg, flv};
use support::{SETTINGS, Worker};
use telstar_media::Frame;
use telstar_transcode::{Sandbox, Target};

fn of(worker: &Worker, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{file}", worker.child.id()))
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
    line[name.len()..].split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_kernel_enforces_all_that_the_worker_says() {
    let worker = Worker::start_with(&["--memory-mib", "1000"]);
    assert_eq!(worker.ready.sandbox, Sandbox::WHOLE, "this machine's kernel has everything");
    let status = fs::read_to_string(of(&worker, "status")).expect("it runs");
    assert_eq!(field(&status, "NoNewPrivs:"), "1");
    assert_eq!(field(&status, "Seccomp:"), "2", "a filter");
    assert_eq!(field(&status, "Seccomp_filters:"), "3");
    let limits = fs::read_to_string(of(&worker, "limits")).expect("it runs");
    assert_eq!(field(&limits, "Max address space"), "1048576000 1048576000 bytes");
    assert_eq!(field(&limits, "Max file size"), "0 0 bytes");
    assert_eq!(field(&limits, "Max core file size"), "0 0 bytes");
    assert_eq!(field(&limits, "Max open files"), "8 8 files");
    assert_eq!(fs::read(of(&worker, "environ")).expect("it runs"), b"", "no variable of the server's");
}

#[test]
fn it_holds_its_socket_and_no_file() {
    let worker = Worker::start();
    let open: Vec<String> = fs::read_dir(of(&worker, "fd"))
        .expect("it runs")
        .map(|entry| fs::read_link(entry.expect("it runs").path()).expect("a link").display().to_string())
        .collect();
    // Whoever runs this test may have left it pipes of its own.
    let files: Vec<&String> = open.iter().filter(|name| name.starts_with('/') && *name != "/dev/null").collect();
    let mut sockets: Vec<&String> = open.iter().filter(|name| name.starts_with("socket:")).collect();
    sockets.dedup();
    assert_eq!((sockets.len(), files.len()), (1, 0), "{open:?}");
}

#[test]
fn it_ends_with_the_socket_and_on_garbage() {
    for garbage in [&[0xffu8; 64][..], &[1, 0xff, 0xff, 0xff, 0xff, 2], &[1, 0, 0, 0, 1, 77], &[1, 0, 0, 0, 3, 2, 0, 0]]
    {
        let mut worker = Worker::start();
        worker.say_bytes(garbage);
        assert!(worker.next().is_none(), "{garbage:?}");
        assert_eq!(worker.wait().code(), Some(1), "{garbage:?}");
    }
}

#[test]
fn a_stream_that_wants_too_much_memory_ends_its_own_worker() {
    // 8192x4096 in 10 bits needs some hundred megabytes as soon as it is decoded.
    let source =
        "-f lavfi -i color=s=8192x4096:r=10:d=0.2 -c:v libx264 -preset ultrafast -bf 0 -pix_fmt yuv420p -f flv";
    let frames: Vec<Frame> = flv(&ffmpeg(source));
    let mut worker = Worker::start_with(&["--memory-mib", "400"]);
    let settings = telstar_transcode::Settings { pixels_max: 35_651_584, ..SETTINGS };
    let outcome = worker.convert(&frames, Target::H264, settings);
    assert!(outcome.frames.is_empty());
    // Whichever came first: FFmpeg's own error, or the end of the process.
    let has_died = worker.child.try_wait().expect("it is ours").is_some();
    let progress = outcome.progress.unwrap_or_default();
    assert!(has_died || outcome.failed.is_some() || progress.frames_corrupt > 0, "{progress:?}");
}

#[test]
fn a_hostile_parameter_set_is_refused_before_memory_is_taken() {
    // An SPS of 16,384 x 16,384 in front of what was a small picture.
    let frames = flv(&ffmpeg("-f lavfi -i color=s=64x64:r=10:d=1 -c:v libx264 -bf 0 -pix_fmt yuv420p -f flv"));
    let mut worker = Worker::start_with(&["--memory-mib", "400"]);
    let mut hostile = frames.clone();
    for frame in &mut hostile {
        // A random one of each byte of the slice header and data, length kept.
        let mut bytes = frame.payload.to_vec();
        for (index, byte) in bytes.iter_mut().enumerate().skip(5) {
            *byte ^= (index * 37 % 251) as u8;
        }
        frame.payload = Bytes::from(bytes);
    }
    let outcome = worker.convert(&hostile, Target::H264, SETTINGS);
    assert!(outcome.frames.len() <= hostile.len());
    assert!(!worker.convert(&frames, Target::H264, SETTINGS).frames.is_empty(), "and it goes on");
}
