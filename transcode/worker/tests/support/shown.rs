//! What is seen and heard in a file, as the ffmpeg command decodes it.

use std::path::Path;
use std::process::Command;

use super::files::{Made, ffprobe, secs};

/// Pictures are looked at in this size.
pub const WIDTH: usize = 32;
pub const HEIGHT: usize = 18;

fn decoded(path: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-i"])
        .arg(path)
        .args(arguments)
        .arg("-")
        .output()
        .expect("scripts/packages test installs ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Each picture as red, green and blue, after these filters.
pub fn pictures(path: &Path, filters: &str) -> Vec<Vec<u8>> {
    let scaled = format!("{filters}scale={WIDTH}:{HEIGHT}:flags=area+accurate_rnd+full_chroma_int,format=rgb24");
    let arguments = ["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", &scaled, "-f", "rawvideo"];
    decoded(path, &arguments).chunks(WIDTH * HEIGHT * 3).map(<[u8]>::to_vec).collect()
}

/// How far two pictures are apart, on average, of 255.
pub fn apart(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let sum: u32 = one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    f64::from(sum) / one.len() as f64
}

/// How bright a picture is, of 255.
pub fn brightness(picture: &[u8]) -> f64 {
    picture.iter().copied().map(f64::from).sum::<f64>() / picture.len() as f64
}

/// The sound in one channel, 48,000 samples a second; its holes are silence.
pub fn sound(path: &Path) -> Vec<f32> {
    let filled = "aresample=48000:async=1:min_hard_comp=0.01";
    let bytes = decoded(path, &["-map", "0:a:0", "-af", filled, "-ac", "1", "-f", "f32le"]);
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

/// When the first of these pictures is bright.
fn bright(pictures: &[Vec<u8>], times: &[f64]) -> f64 {
    assert_eq!(times.len(), pictures.len());
    times[pictures.iter().position(|picture| brightness(picture) > 128.0).expect("one is bright")]
}

/// When the first of these samples is loud, if the first is at `begins`.
fn loud(sound: &[f32], begins: f64) -> f64 {
    let most = sound.iter().fold(0.0_f32, |most, sample| most.max(sample.abs()));
    let at = sound.iter().position(|sample| sample.abs() > most * 0.3).expect("one is loud");
    begins + at as f64 / 48_000.0
}

/// When the first picture is bright and the first sound loud, in seconds on the asset's timeline.
pub fn flashes(made_pictures: &Made, made_sound: &Made) -> (f64, f64) {
    let pictures = pictures(&made_pictures.media().path, "");
    let sound = sound(&made_sound.media().path);
    (bright(&pictures, &made_pictures.times()), loud(&sound, made_sound.times()[0]))
}

/// The same of a source, on its own.
pub fn source_flashes(path: &Path) -> (f64, f64) {
    (bright_by_ffmpeg(path), loud_by_ffmpeg(path))
}

/// The same of renditions, as players that go by FFmpeg's demuxer show them.
pub fn played_flashes(pictures: &Made, sound: &Made) -> (f64, f64) {
    (bright_by_ffmpeg(&pictures.media().path), loud_by_ffmpeg(&sound.media().path))
}

fn bright_by_ffmpeg(path: &Path) -> f64 {
    let times: Vec<f64> =
        ffprobe(path, "v", "frames").iter().map(|frame| secs(frame, "best_effort_timestamp_time")).collect();
    bright(&pictures(path, ""), &times)
}

fn loud_by_ffmpeg(path: &Path) -> f64 {
    loud(&sound(path), secs(&ffprobe(path, "a", "frames")[0], "best_effort_timestamp_time"))
}
