//! What FFmpeg encodes, packet by packet, as its own probe reads it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;
/// Long enough for three segments.
const SECONDS: &str = "6";

/// A file, what is in it, and a temporary folder.
pub struct Source {
    pub folder: PathBuf,
    pub file: PathBuf,
    /// Width and height in pixels.
    pub size: [u64; 2],
    pub video: Track,
    pub audio: Track,
}

/// One stream of the file.
pub struct Track {
    /// The codec's record, as FFmpeg hands it to a muxer.
    pub extradata: Vec<u8>,
    pub packets: Vec<Packet>,
    /// What its times should be in outside of here: 90 kHz, or the sample rate.
    pub hub_timescale: i64,
}

/// Times are in nanoseconds in a source, and in ticks of the timescale in an output.
#[derive(Clone)]
pub struct Packet {
    pub dts: i64,
    pub pts: i64,
    pub key: bool,
    pub data: Vec<u8>,
}

/// Runs a program and returns what it printed; `None` when it is not there.
pub fn run(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(program).args(arguments).output().ok()?;
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

impl Source {
    /// A moving picture and a tone. `None` without FFmpeg or without one of the encoders.
    pub fn encode(name: &str, video: &[&str], audio: &[&str], rate: u32) -> Option<Source> {
        let encoders = run("ffmpeg", &["-hide_banner", "-encoders"]);
        let encoders = String::from_utf8(encoders.unwrap_or_default()).expect("text");
        for codec in [video[1], audio[1]] {
            if !encoders.contains(&format!(" {codec} ")) {
                eprintln!("{name}: there is no ffmpeg with {codec} here, and so nothing to compare with");
                return None;
            }
        }
        let folder = temporary_folder(name);
        let file = folder.join("source.mp4");
        let pictures = format!("testsrc2=size={WIDTH}x{HEIGHT}:rate={rate}");
        let tone = "sine=frequency=440:sample_rate=48000";
        let input = ["-v", "error", "-y", "-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", tone, "-t", SECONDS];
        let pixels: &[&str] = if video.contains(&"-pix_fmt") { &[] } else { &["-pix_fmt", "yuv420p"] };
        let output = ["-f", "mp4", file.to_str().expect("a path of ours")];
        run("ffmpeg", &[&input[..], pixels, video, audio, &output].concat())?;
        Some(Source::read(folder, file))
    }

    /// A file of the media folder beside the checkout; `None` without it or without FFmpeg.
    pub fn open(name: &str) -> Option<Source> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media").join(name);
        if !file.exists() || run("ffprobe", &["-version"]).is_none() {
            eprintln!("{name} or ffprobe is not here");
            return None;
        }
        Some(Source::read(temporary_folder(name), file))
    }

    fn read(folder: PathBuf, file: PathBuf) -> Source {
        let described = &probe(&file, "v:0")["streams"][0];
        let size = ["width", "height"].map(|side| described[side].as_u64().expect("pixels"));
        let video = Track { hub_timescale: 90_000, ..Track::read(&file, "v:0") };
        let audio = Track::read(&file, "a:0");
        Source { folder, file, size, video, audio }
    }
}

fn temporary_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("telstar-codecs-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

impl Drop for Source {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Track {
    fn read(file: &Path, stream: &str) -> Track {
        let probed = probe(file, stream);
        let described = &probed["streams"][0];
        let packets = probed["packets"].as_array().expect("packets").iter().map(|packet| {
            let nanos = |name: &str| (number(&packet[name]) * 1e9).round() as i64;
            Packet { dts: nanos("dts_time"), pts: nanos("pts_time"), key: is_key(packet), data: dump(&packet["data"]) }
        });
        Track {
            extradata: described.get("extradata").map(dump).unwrap_or_default(),
            packets: packets.collect(),
            hub_timescale: described.get("sample_rate").map_or(0, |rate| number(rate) as i64),
        }
    }
}

/// Everything that ffprobe says of a stream and its packets, their bytes included.
pub fn probe(file: &Path, stream: &str) -> Value {
    let path = file.to_str().expect("a path of ours");
    let shown = ["-show_streams", "-show_packets", "-show_data", "-of", "json", path];
    let text = run("ffprobe", &[&["-v", "error", "-select_streams", stream][..], &shown].concat());
    serde_json::from_slice(&text.expect("ffprobe came with ffmpeg")).expect("JSON")
}

/// ffprobe writes times and rates as text.
pub fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("a number, not {value}"))
}

pub fn is_key(packet: &Value) -> bool {
    packet["flags"].as_str().is_some_and(|flags| flags.starts_with('K'))
}

/// ffprobe's dump: an offset, up to eight groups of up to four digits, the same as text.
pub fn dump(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in value.as_str().unwrap_or_default().lines().filter(|line| !line.is_empty()) {
        let (_, rest) = line.split_once(": ").expect("an offset");
        let (digits, _text) = rest.split_at(40.min(rest.len()));
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let value = |digit: u8| (digit as char).to_digit(16).expect("a digit") as u8;
        bytes.extend(digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])));
    }
    bytes
}
