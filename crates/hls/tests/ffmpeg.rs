//! FFmpeg as an independent reader: real H.264 with B-frames and AAC in, and the same packets at the same times out.
//!
//! The source is made here with FFmpeg's generators. Without FFmpeg there is nothing to compare with, and the test says so.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag as HlsTag;
use quick_m3u8::{HlsLine, Reader};
use support::checker::Expect;
use support::room::{Room, UNIX_SECS};
use support::source::{AUDIO, Arrival, Source, VIDEO};
use telstar_hls::request::{self, Media};
use telstar_hls::{Content, State};
use telstar_media::codec::{AacConfig, H264Config};
use telstar_media::{CodecConfig, Frame, MediaKind};
use telstar_units::Epoch;

const AUDIO_HZ: u32 = 44_100;

/// Runs a program and returns what it printed.
fn run(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(program).args(arguments).output().ok()?;
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// One tag of an FLV file.
struct Tag<'a> {
    kind: u8,
    millis: i64,
    body: &'a [u8],
}

fn flv_tags(file: &[u8]) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = &file[13..];
    while rest.len() >= 11 {
        let len = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let millis = i64::from(u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]));
        tags.push(Tag { kind: rest[0], millis, body: &rest[11..11 + len] });
        rest = &rest[11 + len + 4..];
    }
    tags
}

/// The frames of an FLV file as an RTMP ingest would hand them over: audio times from sample counts.
fn frames_of(file: &[u8]) -> Vec<Arrival> {
    let (mut video, mut audio) = (None, None);
    let mut samples = None;
    let mut arrivals = Vec::new();
    for Tag { kind, millis, body } in flv_tags(file) {
        match (kind, body.get(1)) {
            (9, Some(0)) => video = Some(Arc::new(CodecConfig::H264(H264Config::parse(&body[5..]).expect("avcC")))),
            (8, Some(0)) => {
                let asc = Bytes::copy_from_slice(&body[2..]);
                audio = Some(Arc::new(CodecConfig::Aac(AacConfig::parse(asc).expect("a record"))));
            }
            (9, Some(1)) => {
                let cts = i64::from(i32::from_be_bytes([body[2], body[3], body[4], 0]) >> 8);
                let frame = Frame {
                    config: video.clone().expect("the configuration comes first"),
                    dts: millis * 90,
                    pts: (millis + cts) * 90,
                    duration: 0,
                    key: body[0] >> 4 == 1,
                    payload: Bytes::copy_from_slice(&body[5..]),
                };
                arrivals.push(Arrival { at_ms: millis, track: VIDEO, frame });
            }
            (8, Some(1)) => {
                let dts = *samples.get_or_insert(millis * i64::from(AUDIO_HZ) / 1_000);
                samples = Some(dts + 1_024);
                let config = audio.clone().expect("the configuration comes first");
                let payload = Bytes::copy_from_slice(&body[2..]);
                let frame = Frame { config, dts, pts: dts, duration: 1_024, key: true, payload };
                arrivals.push(Arrival { at_ms: millis, track: AUDIO, frame });
            }
            _ => {}
        }
    }
    arrivals
}

/// Presentation time in microseconds and hash of each packet, in order of decoding.
fn packets(path: &Path) -> Vec<(i64, String)> {
    let path = path.to_str().expect("a path of ours");
    let arguments = ["-v", "error", "-show_packets", "-show_data_hash", "MD5", "-of", "compact", path];
    let text = String::from_utf8(run("ffprobe", &arguments).expect("ffmpeg came with it")).expect("text");
    let field = |line: &str, name: &str| {
        let start = line.find(&format!("|{name}=")).unwrap_or_else(|| panic!("{name} in {line}")) + name.len() + 2;
        line[start..].split('|').next().expect("a value").trim().to_owned()
    };
    text.lines()
        .filter(|line| line.starts_with("packet|"))
        .map(|line| {
            let seconds: f64 = field(line, "pts_time").parse().expect("seconds");
            ((seconds * 1e6).round() as i64, field(line, "data_hash"))
        })
        .collect()
}

#[test]
fn ffmpeg_reads_the_same_packets_at_the_same_times() {
    let folder = std::env::temp_dir().join(format!("telstar-hls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    let flv = folder.join("source.flv");
    let made = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=30",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=44100",
            "-t",
            "15",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-bf",
            "3",
            "-g",
            "60",
            "-c:a",
            "aac",
            "-ar",
            "44100",
            "-ac",
            "2",
            "-f",
            "flv",
            flv.to_str().expect("a path of ours"),
        ],
    );
    if made.is_none() {
        eprintln!("ffmpeg is not installed: nothing to compare with");
        return;
    }
    let arrivals = frames_of(&std::fs::read(&flv).expect("made above"));
    assert!(arrivals.iter().any(|arrival| arrival.frame.pts > arrival.frame.dts), "there are B-frames");

    let mut room = Room::new(Expect { aligned: false, ..Expect::default() }, vec![MediaKind::Video, MediaKind::Audio]);
    room.start(UNIX_SECS, &Source { audio_hz: Some(AUDIO_HZ), ..Source::default() });
    // The whole stream as a viewer would have fetched it: the init segment and every segment once.
    let mut files: BTreeMap<&str, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
    let mut inits: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut pictures = BTreeMap::new();
    for arrival in &arrivals {
        room.advance_to(arrival.at_ms);
        room.play_one(arrival);
        collect(&room, &mut files, &mut inits);
        collect_pictures(&room, &mut pictures);
    }
    room.packager.finish(room.now());
    room.drain();
    assert_eq!(room.state, State::Ended);
    collect(&room, &mut files, &mut inits);
    collect_pictures(&room, &mut pictures);
    check_pictures(&folder, &flv, &inits["video"], &pictures);

    for (name, track) in [("video", VIDEO), ("audio", AUDIO)] {
        let path = folder.join(format!("{name}.mp4"));
        let mut bytes = inits[name].clone();
        files[name].values().for_each(|segment| bytes.extend(segment));
        std::fs::write(&path, bytes).expect("a temporary file");
        let scale = if track == VIDEO { 90_000.0 } else { f64::from(AUDIO_HZ) };
        let sent = arrivals.iter().filter(|arrival| arrival.track == track);
        let times: Vec<i64> = sent.map(|arrival| (arrival.frame.pts as f64 * 1e6 / scale).round() as i64).collect();
        let read = packets(&path);
        let read_times: Vec<i64> = read.iter().map(|(pts, _)| *pts).collect();
        assert_eq!(read_times.len(), times.len(), "{name}");
        assert!(read_times.iter().zip(&times).all(|(read, sent)| (read - sent).abs() <= 1), "{name}: times are exact");
        // The same bytes as in the source file, packet for packet.
        let stream = folder.join(format!("source-{name}.{}", if name == "video" { "mp4" } else { "m4a" }));
        let map = if name == "video" { "0:v" } else { "0:a" };
        let (from, to) = (flv.to_str().expect("ours"), stream.to_str().expect("ours"));
        run("ffmpeg", &["-v", "error", "-y", "-i", from, "-map", map, "-c", "copy", to]).expect("ffmpeg is there");
        let hashes = |packets: Vec<(i64, String)>| packets.into_iter().map(|(_, hash)| hash).collect::<Vec<_>>();
        assert_eq!(hashes(read), hashes(packets(&stream)), "{name}: payloads are untouched");
        // And it decodes without a complaint.
        let path = path.to_str().expect("ours");
        run("ffmpeg", &["-v", "error", "-xerror", "-i", path, "-f", "null", "-"]).expect("ffmpeg is there");
    }
    let _ = std::fs::remove_dir_all(&folder);
}

fn collect<'a>(
    room: &Room,
    files: &mut BTreeMap<&'a str, BTreeMap<u64, Vec<u8>>>,
    inits: &mut BTreeMap<&'a str, Vec<u8>>,
) {
    for (name, kind) in [("video", MediaKind::Video), ("audio", MediaKind::Audio)] {
        let Some(view) = room.snapshot.rendition(kind) else { continue };
        for segment in view.segments().iter().filter(|segment| segment.duration_secs.is_some()) {
            let init = view.init(segment.epoch, segment.init).expect("listed");
            inits.entry(name).or_insert_with(|| init.to_vec());
            let bytes = || segment.chunks().flat_map(|chunk| chunk.iter().copied()).collect();
            files.entry(name).or_default().entry(segment.msn).or_insert_with(bytes);
        }
    }
}

/// The entries of the I-frame playlist by number: EXTINF and bytes.
fn collect_pictures(room: &Room, pictures: &mut BTreeMap<u64, (f64, Vec<u8>)>) {
    let Some(text) = room.snapshot.video.as_ref().and_then(|view| view.picture_playlist()) else { return };
    let text = std::str::from_utf8(text.text()).expect("text");
    let mut reader = Reader::from_str(text, ParsingOptionsBuilder::new().with_parsing_for_all_tags().build());
    let (mut number, mut extinf, mut only_pictures) = (0, 0.0, false);
    while let Some(line) = reader.read_line().expect("every line is valid") {
        match line {
            HlsLine::KnownTag(KnownTag::Hls(HlsTag::MediaSequence(tag))) => number = tag.media_sequence(),
            HlsLine::KnownTag(KnownTag::Hls(HlsTag::IFramesOnly(_))) => only_pictures = true,
            HlsLine::KnownTag(KnownTag::Hls(HlsTag::Inf(inf))) => extinf = inf.duration(),
            HlsLine::KnownTag(KnownTag::Hls(HlsTag::Part(_) | HlsTag::PartInf(_) | HlsTag::PreloadHint(_))) => {
                panic!("D9: no parts");
            }
            HlsLine::Uri(uri) => {
                let (epoch, file) = uri.split_once('/').expect("epoch/file");
                let (msn, index) = file.trim_end_matches(".m4s").split_once(".i").expect("a picture");
                let (epoch, msn) = (Epoch(epoch.parse().expect("a number")), msn.parse().expect("a number"));
                let found = request::picture(&room.snapshot, epoch, msn, index.parse().expect("a number"));
                let Media::Ready(Content::Memory(chunks)) = found else { panic!("{uri} is listed") };
                let known = pictures.entry(number).or_insert_with(|| (extinf, chunks.concat()));
                assert_eq!(*known, (extinf, chunks.concat()), "what was listed never changes");
                number += 1;
            }
            _ => {}
        }
    }
    assert!(only_pictures);
}

/// Each entry with the init segment decodes to the very picture, and lasts until the next.
fn check_pictures(folder: &Path, flv: &Path, init: &[u8], pictures: &BTreeMap<u64, (f64, Vec<u8>)>) {
    let decoded = |path: &Path, more: &[&str]| -> Vec<String> {
        let path = path.to_str().expect("a path of ours");
        let arguments = [&["-v", "error"], more, &["-i", path, "-map", "0:v", "-vsync", "0", "-f", "framemd5", "-"]];
        let text = String::from_utf8(run("ffmpeg", &arguments.concat()).expect("ffmpeg is there")).expect("text");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit(',').next().expect("a hash").trim().to_owned()).collect()
    };
    let expect = decoded(flv, &["-skip_frame", "nokey"]);
    let numbers: Vec<u64> = pictures.keys().copied().collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "entries are numbered without a gap: {numbers:?}");
    assert_eq!(pictures.len(), expect.len(), "every keyframe is an entry");
    let path = folder.join("picture.mp4");
    for ((number, (extinf, bytes)), expect) in pictures.iter().zip(&expect) {
        std::fs::write(&path, [init, bytes].concat()).expect("a temporary file");
        assert_eq!(decoded(&path, &[]), [expect.as_str()], "entry {number}");
        let [read] = support::media::read_parts(bytes).try_into().expect("one chunk");
        assert_eq!(read.samples.len(), 1);
        assert!(read.samples[0].sync && (read.samples[0].duration as f64 / 90_000.0 - extinf).abs() < 1e-5);
    }
    let secs: f64 = pictures.values().map(|(extinf, _)| extinf).sum();
    assert!((secs - 15.0).abs() < 0.05, "the entries last as long as the pictures: {secs}");
}
