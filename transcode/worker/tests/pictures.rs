//! Pictures come back with their own times, without B-frames, in a form that browsers take.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use ffmpeg_next::codec::Id;
use support::decode::{Piece, pictures};
use support::source::{ffmpeg, flv, hevc, ivf};
use support::{Outcome, SETTINGS, Worker};
use telstar_media::codec::{H264Config, NalKind, nal_kinds};
use telstar_media::{Codec, CodecConfig, Frame};
use telstar_transcode::{MediaFrame, Settings, Target, ToWorker};

/// Three seconds that get brighter with every picture, so that each picture says when it is.
const RAMP: &str = "-f lavfi -i nullsrc=s=320x180:r=30:d=3,geq=lum=16+N*2:cb=128:cr=128";
/// A picture of the ramp is known by its brightness, which encoders change by less than half a step.
const STEP: i64 = 2;

fn h264_source(options: &str) -> Vec<Frame> {
    flv(&ffmpeg(&format!("{RAMP} -c:v libx264 -pix_fmt yuv420p {options} -f flv")))
}

/// The elementary stream of what came out.
fn output(outcome: &Outcome) -> Vec<(i64, Vec<u8>)> {
    let mut sets = Vec::new();
    let unit = |frame: &MediaFrame| {
        if let Some(record) = frame.record.as_ref().filter(|record| record.codec == Codec::H264) {
            sets = annex_b_sets(&record.config().expect("x264's own"));
        }
        let mut bytes = if frame.key { sets.clone() } else { Vec::new() };
        match sets.is_empty() {
            true => bytes.extend_from_slice(&frame.payload),
            false => {
                for unit in nal_kinds(&frame.payload, 4) {
                    bytes.extend([0, 0, 0, 1]);
                    bytes.extend_from_slice(unit.expect("well formed").1);
                }
            }
        }
        (frame.pts, bytes)
    };
    outcome.frames.iter().map(unit).collect()
}

fn annex_b_sets(config: &CodecConfig) -> Vec<u8> {
    let CodecConfig::H264(config) = config else { panic!("H.264 is expected") };
    let (sps, pps) = config.parameter_sets();
    sps.into_iter().chain(pps).flat_map(|set| [&[0, 0, 0, 1], set].concat()).collect()
}

/// Each picture that came out shows what the source shows at the same time, within one picture's brightness.
#[track_caller]
fn check(frames: &[Frame], target: Target, least: usize) -> Outcome {
    let outcome = Worker::start().convert(frames, target, SETTINGS);
    assert_eq!(outcome.failed, None);
    assert!(outcome.frames.len() >= least, "{} of {}", outcome.frames.len(), frames.len());
    let first = frames.iter().map(|frame| frame.pts).min().expect("not empty");
    let id = if target == Target::Vp8 { Id::VP8 } else { Id::H264 };
    let output = output(&outcome);
    let pieces: Vec<Piece<'_>> = output.iter().map(|(at, bytes)| Piece { at: *at, bytes }).collect();
    let seen = pictures(id, &pieces);
    assert_eq!(seen.len(), outcome.frames.len());
    for (at, size, brightness) in seen {
        assert_eq!(size, (320, 180));
        // RTMP's clock has milliseconds: a time is off by half of one at most.
        let number = (at - first + 1_500) / 3_000;
        assert!((brightness - (16 + STEP * number)).abs() <= STEP, "{at}: {brightness}, picture {number}");
    }
    for pair in outcome.frames.windows(2) {
        assert!(pair[1].dts > pair[0].dts && pair[1].dts == pair[1].pts, "no B-frames");
    }
    assert!(outcome.frames[0].key && outcome.frames[0].record.is_some());
    outcome
}

#[test]
fn h264_with_b_frames_becomes_constrained_baseline_with_the_same_times() {
    let frames = h264_source("-bf 3 -g 60");
    assert!(frames.iter().any(|frame| frame.pts > frame.dts + 3_000), "the source has B-frames");
    let outcome = check(&frames, Target::H264, 88);
    let record = outcome.frames[0].record.as_ref().expect("checked");
    let CodecConfig::H264(H264Config { profile, compatibility, .. }) = record.config().expect("x264's own") else {
        panic!("H.264 is expected")
    };
    assert_eq!((profile, compatibility & 0xc0), (66, 0xc0));
    for frame in &outcome.frames {
        let is_idr = nal_kinds(&frame.payload, 4).any(|unit| unit.is_ok_and(|(kind, _)| kind == NalKind::Idr));
        assert_eq!(frame.key, is_idr, "every keyframe is one to begin at");
    }
    let keys: Vec<i64> = outcome.frames.iter().filter(|frame| frame.key).map(|frame| frame.pts).collect();
    assert!(keys.windows(2).all(|pair| (178_000..=183_500).contains(&(pair[1] - pair[0]))), "{keys:?}");
    assert!(keys.len() >= 2);
}

#[test]
fn h264_becomes_vp8_with_the_same_times() {
    check(&h264_source("-bf 2 -g 60"), Target::Vp8, 88);
}

#[test]
fn hevc_becomes_h264_with_the_same_times() {
    let stream = ffmpeg(&format!("{RAMP} -c:v libx265 -pix_fmt yuv420p10 -x265-params bframes=0:log-level=0 -f hevc"));
    check(&hevc(&stream), Target::H264, 85);
}

#[test]
fn vp8_vp9_and_av1_become_h264_with_the_same_times() {
    for (encoder, codec) in [
        ("libvpx -deadline realtime -cpu-used 8 -b:v 1M", Codec::Vp8),
        ("libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M", Codec::Vp9),
        ("libaom-av1 -usage realtime -cpu-used 8 -b:v 1M -lag-in-frames 0", Codec::Av1),
    ] {
        let stream = ffmpeg(&format!("{RAMP} -pix_fmt yuv420p -c:v {encoder} -f ivf"));
        check(&ivf(&stream, codec), Target::H264, 85);
    }
}

#[test]
fn a_keyframe_comes_when_it_is_asked_for_and_not_twice_at_once() {
    let frames = h264_source("-bf 0 -tune zerolatency");
    let mut worker = Worker::start();
    worker.configure(&frames[0].config, telstar_units::Timescale::VIDEO, Target::H264, SETTINGS);
    for (number, frame) in frames[..50].iter().enumerate() {
        if [20, 21, 22].contains(&number) {
            worker.say(&ToWorker::ForceKeyframe);
        }
        worker.feed(frame);
    }
    let keys: Vec<usize> =
        worker.flush().frames.iter().enumerate().filter(|(_, frame)| frame.key).map(|(number, _)| number).collect();
    assert_eq!(keys, [0, 20, 28]);
}

#[test]
fn a_new_size_is_a_new_configuration_in_the_same_run_of_times() {
    let (small, mut large) = (h264_source("-bf 0"), h264_source("-bf 0 -vf scale=640:360"));
    let shift = small.last().expect("not empty").dts + 3_000;
    for frame in &mut large {
        (frame.dts, frame.pts) = (frame.dts + shift, frame.pts + shift);
    }
    let outcome = Worker::start().convert(&[small, large].concat(), Target::H264, SETTINGS);
    let sizes: Vec<Option<(u32, u32)>> = outcome
        .frames
        .iter()
        .filter_map(|frame| frame.record.as_ref().map(|record| (frame.key, record)))
        .map(|(key, record)| record.config().expect("x264's own").picture_size().filter(|_| key))
        .collect();
    assert_eq!(sizes, [Some((320, 180)), Some((640, 360))]);
    assert!(outcome.frames.windows(2).all(|pair| pair[1].dts > pair[0].dts));
}

#[test]
fn what_is_fed_to_be_decoded_only_does_not_come_out_and_what_follows_begins_with_a_keyframe() {
    let frames = h264_source("-bf 2 -g 300");
    let mut worker = Worker::start();
    worker.configure(&frames[0].config, telstar_units::Timescale::VIDEO, Target::H264, SETTINGS);
    for (number, frame) in frames.iter().enumerate() {
        worker.feed_as(frame, number < 60);
    }
    let outcome = worker.flush();
    assert!((25..=31).contains(&outcome.frames.len()), "{}", outcome.frames.len());
    assert!(outcome.frames[0].key && outcome.frames[0].pts >= frames[60].pts);
}

#[test]
fn pictures_beyond_the_limits_are_refused_or_left_out() {
    let frames = h264_source("-bf 0");
    let mut worker = Worker::start();
    let outcome = worker.convert(&frames, Target::H264, Settings { pixels_max: 320 * 100, ..SETTINGS });
    assert!(outcome.frames.is_empty());
    assert_eq!(outcome.failed.as_deref(), Some("320x180 is more than transcode.pixels_max (32000)"));
    let outcome = worker.convert(&frames, Target::H264, Settings { fps_max: 10, ..SETTINGS });
    assert!((29..=46).contains(&outcome.frames.len()), "{}", outcome.frames.len());
}

#[test]
fn damage_is_skipped() {
    let mut frames = h264_source("-bf 2 -g 30");
    for frame in frames.iter_mut().skip(10).step_by(7) {
        let len = frame.payload.len();
        let mut bytes = frame.payload.to_vec();
        bytes[len / 2..].fill(0xa5);
        frame.payload = bytes.into();
    }
    frames[50].payload = Bytes::from_static(&[0, 0, 1, 0, 0x65]);
    let outcome = Worker::start().convert(&frames, Target::H264, SETTINGS);
    assert_eq!(outcome.failed, None);
    assert!(outcome.frames.len() > 50, "{}", outcome.frames.len());
}

#[test]
fn sound_does_not_become_a_picture() {
    let config = CodecConfig::Opaque { codec: Codec::Vp8, record: Bytes::new() };
    let frame =
        Frame { config: Arc::new(config), dts: 0, pts: 0, duration: 0, key: true, payload: Bytes::from_static(b"x") };
    let outcome = Worker::start().convert(&[frame], Target::Opus, SETTINGS);
    assert_eq!(outcome.failed.as_deref(), Some("VP8 cannot become Opus"));
}
