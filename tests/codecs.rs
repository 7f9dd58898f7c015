//! Every codec that HLS can carry, from an Enhanced RTMP encoder's bytes to CMAF, with FFmpeg as the source and the judge.
//!
//! FFmpeg encodes; the packets go through `telstar_rtmp::Session` as an encoder would send them, and from there through
//! `telstar_hls::Packager`; ffprobe and ffmpeg read what a viewer would fetch. Time is the test's own. Without FFmpeg,
//! or without one of its encoders, there is nothing to compare with, and the test says so.

#[path = "codecs/encoder.rs"]
mod encoder;
#[path = "../crates/rtmp/tests/support/mod.rs"]
mod rtmp;
#[path = "codecs/source.rs"]
mod source;
#[path = "codecs/viewer.rs"]
mod viewer;

use encoder::{Form, publish};
use source::{Source, Track, run};
use viewer::{Output, Viewed};

/// What one combination should look like to a viewer.
struct Case<'a> {
    name: &'a str,
    /// FFmpeg's arguments for its two encoders.
    video: &'a [&'a str],
    audio: &'a [&'a str],
    /// How its packets are wrapped.
    forms: [Form; 2],
    /// Frames per second of the picture.
    rate: u32,
    /// Codec and tag that ffprobe should find.
    expect: [(&'a str, &'a str); 2],
    /// The beginning of CODECS in the multivariant playlist, for each.
    codecs: [&'a str; 2],
    /// More that the multivariant playlist says.
    says: &'a [&'a str],
}

fn check(case: &Case<'_>) {
    if let Some(source) = Source::encode(case.name, case.video, case.audio, case.rate) {
        check_source(case, &source, 0);
    }
}

/// `jitter_ms` is how far the sound of the source is from its own count of samples.
fn check_source(case: &Case<'_>, source: &Source, jitter_ms: i64) {
    let published = publish(source, case.forms);
    assert_eq!(published.warnings, Vec::<String>::new(), "{}: nothing to complain about", case.name);
    let viewed = viewer::watch(&published);
    for (index, track) in [&source.video, &source.audio].into_iter().enumerate() {
        let (codec, tag) = case.expect[index];
        let file = source.folder.join(format!("{codec}.mp4"));
        std::fs::write(&file, viewed.file(index)).expect("a temporary file");
        let output = Output::read(&file);
        assert_eq!((output.codec.as_str(), output.tag.as_str()), (codec, tag), "{}", case.name);
        no_unit_is_lost(case, track, &output);
        times_are_exact(case, track, &published.times[index], &output, [0, jitter_ms][index]);
        let path = file.to_str().expect("a path of ours");
        run("ffmpeg", &["-v", "error", "-xerror", "-i", path, "-f", "null", "-"]).expect("ffmpeg is there");
    }
    same_pictures(case, source);
    says(case, source, &viewed);
}

/// Bit by bit, in order.
fn no_unit_is_lost(case: &Case<'_>, track: &Track, output: &Output) {
    let sent: Vec<_> = track.packets.iter().map(|packet| &packet.data).collect();
    assert_eq!(output.packets.len(), sent.len(), "{}: every access unit", case.name);
    for (index, (sent, read)) in sent.iter().zip(&output.packets).enumerate() {
        assert!(**sent == read.data, "{}: access unit {index} of {}", case.name, output.codec);
    }
    let keys = |packets: &[source::Packet]| packets.iter().map(|packet| packet.key).collect::<Vec<_>>();
    assert_eq!(keys(&output.packets), keys(&track.packets), "{}: decoding starts where the encoder says", case.name);
}

/// Presentation times are those of the wire, to the tick of the track.
fn times_are_exact(case: &Case<'_>, track: &Track, sent: &[i64], output: &Output, jitter_ms: i64) {
    assert_eq!(output.timescale, track.hub_timescale, "{}", case.name);
    let read: Vec<i64> = output.packets.iter().map(|packet| packet.pts).collect();
    let far = jitter_ms * output.timescale / 1_000;
    let near = read.iter().zip(sent).all(|(read, sent)| (read - sent).abs() <= far);
    assert!(near, "{}: {}: {read:?} instead of {sent:?}", case.name, output.codec);
}

/// Decoded pictures are the source's: what the init segment says is enough to decode all of them.
fn same_pictures(case: &Case<'_>, source: &Source) {
    let pictures = |path: &std::path::Path| {
        let path = path.to_str().expect("a path of ours");
        // A file may ask for a rotation, which is no matter of its pictures.
        let arguments = [
            "-v",
            "error",
            "-noautorotate",
            "-i",
            path,
            "-map",
            "0:v:0",
            "-f",
            "framemd5",
            "-vsync",
            "passthrough",
            "-",
        ];
        let text = String::from_utf8(run("ffmpeg", &arguments).expect("ffmpeg is there")).expect("text");
        let hash = |line: &str| line.rsplit(',').next().map(|hash| hash.trim().to_owned());
        text.lines().filter(|line| !line.starts_with('#')).filter_map(hash).collect::<Vec<_>>()
    };
    let played = pictures(&source.folder.join(format!("{}.mp4", case.expect[0].0)));
    assert_eq!(played, pictures(&source.file), "{}: the same pictures", case.name);
    assert_eq!(played.len(), source.video.packets.len(), "{}: every picture", case.name);
}

fn says(case: &Case<'_>, source: &Source, viewed: &Viewed) {
    let playlist = &viewed.multivariant;
    let (_, codecs) = playlist.split_once("CODECS=\"").expect("CODECS are named");
    let codecs: Vec<&str> = codecs.split('"').next().expect("quoted").split(',').collect();
    assert_eq!(codecs.len(), 2, "{playlist}");
    for (named, expect) in codecs.iter().zip(case.codecs) {
        assert!(named.starts_with(expect), "{}: {named}, not {expect}", case.name);
    }
    let [width, height] = source.size;
    let size = format!("RESOLUTION={width}x{height}");
    for expect in [size.as_str()].iter().chain(case.says) {
        assert!(playlist.contains(expect), "{}: {expect} in {playlist}", case.name);
    }
}

#[test]
fn hevc_with_b_frames_and_aac() {
    check(&Case {
        name: "hevc-aac",
        video: &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "log-level=error:keyint=50:bframes=3",
            "-tag:v",
            "hvc1",
        ],
        audio: &["-c:a", "aac", "-ar", "48000", "-ac", "2"],
        forms: [Form::CodedFrames(*b"hvc1"), Form::Legacy],
        rate: 25,
        expect: [("hevc", "hvc1"), ("aac", "mp4a")],
        codecs: ["hvc1.1.6.L", "mp4a.40.2"],
        says: &["CHANNELS=\"2\"", "FRAME-RATE=25"],
    });
}

#[test]
fn hevc_of_encoders_that_use_codec_id_12() {
    check(&Case {
        name: "hevc-12-aac",
        video: &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "log-level=error:keyint=50:bframes=0",
            "-tag:v",
            "hvc1",
        ],
        audio: &["-c:a", "aac", "-ar", "44100", "-ac", "1"],
        forms: [Form::CodecId12, Form::Legacy],
        rate: 25,
        expect: [("hevc", "hvc1"), ("aac", "mp4a")],
        codecs: ["hvc1.1.6.L", "mp4a.40.2"],
        says: &["CHANNELS=\"1\""],
    });
}

#[test]
fn hevc_in_ten_bits_for_hdr_says_so() {
    let colour = "log-level=error:keyint=50:bframes=2:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc";
    check(&Case {
        name: "hevc-pq-aac",
        video: &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p10le",
            "-x265-params",
            colour,
            "-tag:v",
            "hvc1",
        ],
        audio: &["-c:a", "aac", "-ar", "48000", "-ac", "2"],
        forms: [Form::CodedFrames(*b"hvc1"), Form::CodedFrames(*b"mp4a")],
        rate: 25,
        expect: [("hevc", "hvc1"), ("aac", "mp4a")],
        codecs: ["hvc1.2.4.L", "mp4a.40.2"],
        says: &["VIDEO-RANGE=PQ"],
    });
}

#[test]
fn av1_and_opus_with_nanosecond_offsets() {
    check(&Case {
        name: "av1-opus",
        video: &["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "60", "-strict", "-2"],
        audio: &["-c:a", "libopus", "-ar", "48000", "-ac", "2"],
        forms: [Form::Nanos(*b"av01"), Form::CodedFrames(*b"Opus")],
        rate: 30,
        expect: [("av1", "av01"), ("opus", "Opus")],
        codecs: ["av01.0.", "Opus"],
        says: &["CHANNELS=\"2\"", "FRAME-RATE=30"],
    });
}

#[test]
fn vp9_and_opus() {
    check(&Case {
        name: "vp9-opus",
        video: &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50", "-b:v", "300k"],
        audio: &["-c:a", "libopus", "-ar", "48000", "-ac", "1", "-frame_duration", "60"],
        forms: [Form::CodedFrames(*b"vp09"), Form::CodedFrames(*b"Opus")],
        rate: 25,
        expect: [("vp9", "vp09"), ("opus", "Opus")],
        codecs: ["vp09.00.", "Opus"],
        says: &["CHANNELS=\"1\""],
    });
}

#[test]
fn h264_with_b_frames_and_flac() {
    check(&Case {
        name: "h264-flac",
        video: &["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "50"],
        audio: &["-c:a", "flac", "-ar", "44100", "-ac", "2", "-strict", "-2"],
        forms: [Form::CodedFrames(*b"avc1"), Form::CodedFrames(*b"fLaC")],
        rate: 25,
        expect: [("h264", "avc1"), ("flac", "fLaC")],
        codecs: ["avc1.64", "fLaC"],
        says: &["CHANNELS=\"2\""],
    });
}

/// The server keeps sound that is off by no more where its samples put it.
const AUDIO_JITTER_MS: i64 = telstar_media::timeline::AUDIO_REANCHOR_MS;

/// Files of other encoders, where there is a folder of them.
#[test]
fn files_of_other_encoders() {
    let hevc = [Form::CodedFrames(*b"hvc1"), Form::Legacy];
    let av1 = [Form::CodedFrames(*b"av01"), Form::Legacy];
    let (hvc1, aac) = (("hevc", "hvc1"), ("aac", "mp4a"));
    for (name, forms, expect, codecs, says) in [
        ("exo-h265_with_metadata_track.mp4", hevc, [hvc1, aac], ["hvc1.", "mp4a.40."], &[][..]),
        ("exo-sample_with_color_info.mp4", hevc, [hvc1, aac], ["hvc1.2.", "mp4a.40."], &["VIDEO-RANGE=HLG"]),
        (
            "exo-sample_with_colr_mdcv_and_clli.mp4",
            av1,
            [("av1", "av01"), aac],
            ["av01.0.", "mp4a.40."],
            &["VIDEO-RANGE=PQ"],
        ),
    ] {
        if let Some(source) = Source::open(name) {
            check_source(
                &Case { name, video: &[], audio: &[], forms, rate: 0, expect, codecs, says },
                &source,
                AUDIO_JITTER_MS,
            );
        }
    }
}

#[test]
fn h264_and_dolby_digital() {
    for (codec, tag, channels) in [("ac3", "ac-3", "6"), ("eac3", "ec-3", "2")] {
        let four_cc = tag.as_bytes().try_into().expect("four bytes");
        check(&Case {
            name: tag,
            video: &["-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "50"],
            audio: &["-c:a", codec, "-ar", "48000", "-ac", channels],
            forms: [Form::CodedFrames(*b"avc1"), Form::CodedFrames(four_cc)],
            rate: 25,
            expect: [("h264", "avc1"), (codec, tag)],
            codecs: ["avc1.64", tag],
            says: &[&format!("CHANNELS=\"{channels}\"")],
        });
    }
}
