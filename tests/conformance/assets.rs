//! This server's assets, of every kind of source, fetched whole and judged by the client, and set beside their sources box by box.
//!
//! In: clips that ffmpeg makes, uploaded as a program does; a real worker makes renditions of them. Out: what the rules find, and how
//! far packets that were copied stand from where the source has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::asset_faults;
use crate::client::{Course, Log, Options, RULES, Resource, Sample, Session, judge, watch, watch_one};
use crate::support::Rig;
use crate::worker;

/// The clip whose keyframes are where a player can do with them, and further apart than is recommended.
const LONG_GROUPS: &str = "irregular.mp4";
/// The clip that a telephone held upright would make.
const TURNED: &str = "turned.mp4";
/// The clip with the most to break.
const BROKEN_ON_PURPOSE: &str = "tracks.mkv";

/// How long the jobs of one short clip may take where ten other tests run.
const DONE_WAIT: Duration = Duration::from_secs(120);
const DONE_POLL: Duration = Duration::from_millis(100);
/// Copied pictures and sound are as far apart as in the source, but for rounding to the clocks of both.
const APART_SECS_MAX: f64 = 0.001;

/// A source, and what ffmpeg is told to make it.
struct Clip {
    name: &'static str,
    file: &'static str,
    args: &'static str,
    /// Its sound beeps once a second, so that what was made of it can be set beside it.
    beeps: bool,
    /// Its sound is passed on as it is: the source's packets are found again.
    copied: bool,
}

const CLIPS: &[Clip] = &[
    Clip {
        name: "H.264 with B-frames and AAC, copied",
        file: "copy.mp4",
        args: "-f lavfi -i testsrc2=size=640x360:rate=30:duration=13 -f lavfi -i BEEP:sample_rate=44100:duration=13.2 \
               -c:v libx264 -preset ultrafast -bf 2 -g 60 -sc_threshold 0 -pix_fmt yuv420p -c:a aac",
        beeps: true,
        copied: true,
    },
    Clip {
        name: "irregular keyframes, sound that begins later, an odd rate",
        file: "irregular.mp4",
        args: "-f lavfi -i testsrc2=size=426x240:rate=24000/1001:duration=17 -itsoffset 0.35 \
               -f lavfi -i BEEP:sample_rate=48000:duration=15 -c:v libx264 -preset ultrafast -bf 3 -g 240 \
               -force_key_frames 0,1.3,4.4,5,9.7,11.2,15.9 -pix_fmt yuv420p -c:a aac",
        beeps: true,
        copied: false,
    },
    Clip {
        name: "VP8 and Vorbis of 60 frames a second, encoded",
        file: "encoded.webm",
        args: "-f lavfi -i testsrc2=size=960x540:rate=60:duration=4 -f lavfi -i BEEP:sample_rate=48000:duration=4 \
               -c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -c:a libvorbis",
        beeps: true,
        copied: false,
    },
    Clip {
        name: "six channels, two languages, two subtitles",
        file: "tracks.mkv",
        args: "-f lavfi -i testsrc2=size=640x360:rate=25:duration=9 -f lavfi -i sine=frequency=440:sample_rate=48000:duration=9 \
               -f lavfi -i sine=frequency=880:sample_rate=48000:duration=9 -i words.srt -i words.srt -map 0:v -map 1:a -map 2:a -map 3:s \
               -map 4:s -c:v libx264 -preset ultrafast -g 50 -pix_fmt yuv420p -c:a:0 ac3 -ac:a:0 6 -c:a:1 aac -ac:a:1 2 -c:s srt \
               -metadata:s:a:0 language=eng -metadata:s:a:1 language=kor -metadata:s:s:0 language=deu -metadata:s:s:1 language=eng",
        beeps: false,
        copied: false,
    },
    Clip {
        name: "sound alone",
        file: "sound.mp3",
        args: "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=20 -c:a libmp3lame",
        beeps: false,
        copied: false,
    },
    Clip {
        name: "pictures alone, turned by a quarter",
        file: "turned.mp4",
        args: "-f lavfi -i testsrc2=size=320x180:rate=30:duration=6 -c:v libx264 -preset ultrafast \
               -g 60 -pix_fmt yuv420p",
        beeps: false,
        copied: false,
    },
    Clip {
        name: "five minutes",
        file: "long.mp4",
        args: "-f lavfi -i testsrc2=size=192x108:rate=10:duration=300 -f lavfi -i BEEP:sample_rate=48000:duration=300 \
               -c:v libx264 -preset ultrafast -g 20 -pix_fmt yuv420p -c:a aac -b:a 64k",
        beeps: true,
        copied: true,
    },
];

/// A twentieth of a second of 1 kHz in each.
const BEEP: &str = "aevalsrc=if(lt(mod(t\\,1)\\,0.05)\\,0.4*sin(2*PI*1000*mod(t\\,1))\\,0)";
const WORDS: &str =
    "1\n00:00:00,500 --> 00:00:03,000\nOne & <two>\n\n2\n00:00:03,500 --> 00:00:08,000\n- Three\n- Four\n";

impl Clip {
    fn make(&self, folder: &Path) -> PathBuf {
        let file = folder.join(self.file);
        let words = folder.join("words.srt");
        std::fs::write(&words, WORDS).expect("a file can be written");
        let args = self.args.split_whitespace().map(|word| word.replace("BEEP", BEEP));
        let made = Command::new("ffmpeg")
            .current_dir(folder)
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
            .args(args)
            .arg(&file)
            .status()
            .expect("ffmpeg is installed (scripts/packages test)");
        assert!(made.success(), "ffmpeg makes {}", self.file);
        if self.file == TURNED {
            turn(&file);
        }
        file
    }
}

/// Writes the matrix of a quarter's turn into the track's header (ISO/IEC 14496-12 §8.3.2); versions of ffmpeg do not agree on how to be
/// told to.
fn turn(file: &Path) {
    const MATRIX: [i32; 6] = [0, 1 << 16, 0, -(1 << 16), 0, 0];
    let mut bytes = std::fs::read(file).expect("ffmpeg made it");
    let at = bytes.windows(4).position(|four| four == b"tkhd").expect("a track") + 4;
    assert_eq!(bytes[at], 0, "version 0");
    for (place, number) in MATRIX.into_iter().enumerate() {
        bytes[at + 40 + 4 * place..][..4].copy_from_slice(&number.to_be_bytes());
    }
    std::fs::write(file, bytes).expect("a file can be written");
}

/// A server with a worker, and its admin's right.
struct Library {
    rig: Rig,
    bearer: String,
    folder: TempDir,
}

impl Library {
    async fn open() -> Library {
        let rig = Rig::start_with(|config| config.transcode.worker = worker::worker()).await;
        let bearer = rig.token(3_600).await;
        Library { rig, bearer, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.rig.request(method, path).bearer_auth(&self.bearer);
        let request = body.into_iter().fold(request, |request, body| request.json(&body));
        let answer = request.send().await.expect("the server answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.expect("JSON")
    }

    async fn upload(&self, file: &Path) -> String {
        let body = std::fs::read(file).expect("ffmpeg made it");
        let request = self.rig.request(Method::POST, "/api/v1/assets?title=clip").bearer_auth(&self.bearer);
        let made = request.body(body).send().await.expect("the server answers");
        assert_eq!(made.status(), 201);
        let made: Value = made.json().await.expect("JSON");
        made["asset"].as_str().expect("a name").to_owned()
    }

    /// Waits until every job of the asset is done.
    async fn done(&self, asset: &str) {
        let began = Instant::now();
        let mut poll = tokio::time::interval(DONE_POLL);
        loop {
            poll.tick().await;
            let facts = self.ask(Method::GET, &format!("/api/v1/assets/{asset}"), None).await;
            assert_ne!(facts["state"], "failed", "{facts}");
            let answer = self.ask(Method::GET, &format!("/api/v1/assets/{asset}/jobs"), None).await;
            let jobs = answer["jobs"].as_array().expect("jobs");
            assert!(jobs.iter().all(|job| job["state"] != "failed"), "{answer}");
            if facts["state"] == "ready" && jobs.iter().all(|job| job["state"] == "done") {
                return;
            }
            assert!(began.elapsed() < DONE_WAIT, "it takes too long: {answer}");
        }
    }

    /// A playlist with what lets anybody watch it; the address is judged as well, so it is one over TLS.
    async fn address(&self, asset: &str, playlist: &str) -> String {
        let path = format!("/api/v1/assets/{asset}/playback-tokens");
        let made = self.ask(Method::POST, &path, Some(json!({}))).await;
        let token = made["token"].as_str().expect("a token");
        self.rig.https(&format!("/vod/{asset}/{playlist}?t={token}"))
    }
}

fn options(url: String) -> Options {
    Options {
        url,
        watch: Duration::ZERO,
        course: Course::Asset,
        i_frames_required: true,
        keyframes_in_time: true,
        apart_secs_max: None,
    }
}

/// When the source's packets are shown, by what they hold; of packets that hold the same the first.
fn packets(file: &Path, stream: &str) -> BTreeMap<String, f64> {
    let fields = ["-show_packets", "-show_data_hash", "SHA256", "-show_entries", "packet=pts_time,data_hash"];
    let mut found = BTreeMap::new();
    for line in probed(file, stream, &fields) {
        let mut fields = line.split(',');
        let (Some(pts), Some(hash)) = (fields.next(), fields.next()) else { continue };
        let Ok(pts) = pts.parse() else { continue };
        found.entry(hash.trim_start_matches("SHA256:").to_owned()).or_insert(pts);
    }
    found
}

/// What ffprobe says of each packet or frame of a stream.
fn probed(file: &Path, stream: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", stream]).args(fields).args(["-of", "csv=p=0"]).arg(file);
    let output = command.output().expect("ffprobe is installed");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// How far each of these samples that the source has as well is from where the source has it, in seconds.
fn moved(samples: Vec<(Sample, u64)>, source: &BTreeMap<String, f64>) -> Vec<f64> {
    let mut seen = BTreeSet::new();
    let found = samples.into_iter().filter_map(|(sample, hz)| {
        let hash = Sha256::digest(&sample.payload).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let source = source.get(&hash)?;
        // Silence repeats itself: only its first is where the source's first is.
        seen.insert(hash).then(|| sample.pts as f64 / hz as f64 - source)
    });
    found.collect()
}

/// Each sample of a rendition with its clock.
fn samples(log: &Log) -> Vec<(Sample, u64)> {
    let segments = log.history.values().filter_map(|segment| log.segment_samples(segment));
    segments.flat_map(|(samples, hz)| samples.into_iter().map(move |sample| (sample, hz))).collect()
}

/// When each beep begins, in seconds, of a file whose sound is contiguous.
fn beeps(file: &Path) -> Vec<f64> {
    const HZ: usize = 48_000;
    /// A beep is twice as loud, what an encoder smears before it far quieter.
    const LOUD: f32 = 0.15;
    let first = probed(file, "a:0", &["-show_frames", "-show_entries", "frame=pts_time", "-read_intervals", "%+0.5"]);
    let first: f64 = first[0].trim_end_matches(',').parse().expect("a time");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(file);
    let output =
        command.args(["-map", "a:0", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"]).output().expect("ffmpeg");
    let levels = output.stdout.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes")));
    let (mut found, mut quiet) = (Vec::new(), HZ);
    for (at, level) in levels.enumerate() {
        if level.abs() < LOUD {
            quiet += 1;
            continue;
        }
        if quiet > HZ / 4 {
            found.push(first + at as f64 / HZ as f64);
        }
        quiet = 0;
    }
    found
}

/// A rendition's bytes as one file.
fn write(log: &Log, file: &Path) {
    let body =
        |resource: &Resource| log.media.get(resource).map(|fetched| fetched.exchange.body.to_vec()).unwrap_or_default();
    let segments: Vec<_> = log.history.values().collect();
    let init = segments.iter().find_map(|segment| segment.map.as_ref()).map(&body).unwrap_or_default();
    let media = segments.iter().filter_map(|segment| segment.whole.as_ref()).flat_map(|(resource, _)| body(resource));
    std::fs::write(file, init.into_iter().chain(media).collect::<Vec<u8>>()).expect("a file can be written");
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

/// Pictures and sound are moved by one and the same time against the source, whether they were copied or made anew.
async fn assert_aligned(library: &Library, clip: &Clip, asset: &str, session: &Session, file: &Path) {
    let name = clip.name;
    let pictures = session.playing().find(|log| log.any_init().is_some_and(|init| init.codec == "avc1"));
    let pictures =
        sorted(samples(pictures.expect("pictures")).iter().map(|(one, hz)| one.pts as f64 / *hz as f64).collect());
    let shown = probed(file, "v:0", &["-show_packets", "-show_entries", "packet=pts_time"]);
    let shown = sorted(shown.iter().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect());
    assert_eq!(pictures.len(), shown.len(), "{name}: every picture is there");
    let mut shifts: Vec<f64> = pictures.iter().zip(&shown).map(|(there, source)| there - source).collect();
    if clip.copied {
        // The sound as it came is listed until the normalised one is there, and stays where it was.
        let url = library.address(asset, "a1-first/index.m3u8").await;
        let record = watch_one(options(url)).await;
        let source = packets(file, "a:0");
        let copied = moved(samples(&Session::read(record).logs[0]), &source);
        assert!(copied.len() * 10 > source.len() * 9, "{name}: {} of {} packets of sound", copied.len(), source.len());
        shifts.extend(copied);
    }
    let sound = session.playing().find(|log| log.any_init().is_some_and(|init| init.codec == "mp4a")).expect("sound");
    let made = library.folder.path().join("sound.mp4");
    write(sound, &made);
    let (there, source) = (beeps(&made), beeps(file));
    assert!(source.len() >= 4 && there.len() == source.len(), "{name}: {} of {} beeps", there.len(), source.len());
    let beeps: Vec<f64> = there.iter().zip(&source).map(|(there, source)| there - source).collect();
    let span =
        |times: &[f64]| times.iter().fold((f64::MAX, f64::MIN), |(least, most), one| (least.min(*one), most.max(*one)));
    println!(
        "{name}: moved: {} packets by {:?}, {} beeps by {:?}",
        shifts.len(),
        span(&shifts),
        beeps.len(),
        span(&beeps)
    );
    shifts.extend(beeps);
    let (least, most) = span(&shifts);
    assert!(most - least <= APART_SECS_MAX, "{name}: pictures and sound are moved by {least:.6} to {most:.6} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_of_every_kind_conform() {
    let library = Library::open().await;
    let mut made = Vec::new();
    for clip in CLIPS {
        let file = clip.make(library.folder.path());
        made.push((clip, library.upload(&file).await, file));
    }
    let (mut wrong, mut judged) = (Vec::new(), BTreeSet::new());
    for (clip, asset, file) in made {
        library.done(&asset).await;
        let keyframes_in_time = clip.file != LONG_GROUPS;
        let options = Options { keyframes_in_time, ..options(library.address(&asset, "index.m3u8").await) };
        let session = Session::read(watch(options).await);
        let report = judge(&session);
        println!("{}: {report}", clip.name);
        if !report.violations.is_empty() {
            wrong.push(format!("{}: {report}", clip.name));
        }
        report.keep_playlists(clip.file);
        assert!(report.playlists > 0 && report.media > 6, "{}: it looked at too little: {report}", clip.name);
        judged.extend(report.judged.iter().copied());
        if clip.file == BROKEN_ON_PURPOSE {
            asset_faults::each_is_caught(&session.record);
        }
        if clip.beeps {
            assert_aligned(&library, clip, &asset, &session, &file).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let of_assets = RULES.iter().map(|rule| rule.id).filter(|id| id.starts_with('M'));
    let unjudged: Vec<&str> = of_assets.filter(|id| !judged.contains(id)).collect();
    assert!(unjudged.is_empty(), "rules that judged nothing: {unjudged:?}");
}
