//! Sound comes back at the time that it was sent at.

mod support;

use bytes::Bytes;
use support::decode::{Piece, onsets};
use support::source::{BEEPS, ffmpeg, flv};
use support::{Outcome, SETTINGS, Worker};
use telstar_media::codec::AacConfig;
use telstar_media::{CodecConfig, Frame};
use telstar_transcode::{MediaFrame, Target};

/// The promise: sound and picture apart by less.
const ERROR_MAX_SECS: f64 = 0.005;

/// ADTS, so that the reference is not decoded in the worker's way.
fn adts(frame: &Frame) -> Vec<u8> {
    let CodecConfig::Aac(AacConfig { sample_rate, channels, .. }) = &*frame.config else { panic!("AAC is expected") };
    let index = match sample_rate {
        48_000 => 3,
        44_100 => 4,
        other => panic!("{other}"),
    };
    let len = frame.payload.len() + 7;
    let mut bytes = vec![0xff, 0xf1, 1 << 6 | index << 2 | channels >> 2, (channels & 3) << 6 | (len >> 11) as u8];
    bytes.extend([(len >> 3) as u8, (len << 5) as u8 | 0x1f, 0xfc]);
    bytes.extend_from_slice(&frame.payload);
    bytes
}

fn output_onsets(name: &str, frames: &[MediaFrame]) -> Vec<f64> {
    let asc = Bytes::from_static(&[0x11, 0x90]);
    let config = std::sync::Arc::new(CodecConfig::Aac(AacConfig::parse(asc).expect("LC, 48 kHz, stereo")));
    let bytes: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| match name {
            "aac" => adts(&Frame {
                config: config.clone(),
                dts: frame.dts,
                pts: frame.pts,
                duration: 0,
                key: true,
                payload: frame.payload.clone(),
            }),
            _ => frame.payload.to_vec(),
        })
        .collect();
    let pieces: Vec<Piece<'_>> =
        frames.iter().zip(&bytes).map(|(frame, bytes)| Piece { at: frame.pts, bytes }).collect();
    onsets(name, 48_000, &pieces)
}

#[track_caller]
fn assert_same_times(before: &[f64], after: &[f64]) {
    assert!(before.len() >= 4, "{before:?}");
    assert_eq!(before.len(), after.len(), "{before:?} became {after:?}");
    for (before, after) in before.iter().zip(after) {
        assert!((before - after).abs() < ERROR_MAX_SECS, "{before} became {after}");
    }
    println!("worst error: {:.2} ms", worst_ms(before, after));
}

fn worst_ms(before: &[f64], after: &[f64]) -> f64 {
    before.iter().zip(after).map(|(before, after)| (before - after).abs() * 1_000.0).fold(0.0, f64::max)
}

/// Every frame follows the one before it without a hole.
#[track_caller]
fn assert_unbroken(outcome: &Outcome, len: i64) {
    assert_eq!(outcome.failed, None);
    assert!(outcome.frames.len() > 100);
    for pair in outcome.frames.windows(2) {
        assert_eq!(pair[1].dts - pair[0].dts, len);
    }
    assert!(outcome.frames[0].record.is_some() && outcome.frames[1].record.is_none());
}

fn check_aac(options: &str, target: Target, decoder: &str, len: i64) {
    let frames = flv(&ffmpeg(&format!("{BEEPS} -c:a aac {options} -f flv")));
    let bytes: Vec<Vec<u8>> = frames.iter().map(adts).collect();
    let pieces: Vec<Piece<'_>> =
        frames.iter().zip(&bytes).map(|(frame, bytes)| Piece { at: frame.pts, bytes }).collect();
    let before = onsets("aac", frames[0].config.sample_rate().expect("AAC has one"), &pieces);
    let outcome = Worker::start().convert(&frames, target, SETTINGS);
    assert_unbroken(&outcome, len);
    assert_same_times(&before, &output_onsets(decoder, &outcome.frames));
}

#[test]
fn aac_becomes_opus_at_the_same_time() {
    check_aac("-ar 48000 -ac 2", Target::Opus, "opus", 960);
}

#[test]
fn aac_of_another_rate_and_one_channel_becomes_opus_at_the_same_time() {
    check_aac("-ar 44100 -ac 1", Target::Opus, "opus", 960);
}

#[test]
fn mp3_becomes_opus_and_aac_at_the_same_time() {
    let frames = flv(&ffmpeg(&format!("{BEEPS} -c:a libmp3lame -ar 44100 -ac 2 -b:a 128k -f flv")));
    let pieces: Vec<Piece<'_>> = frames.iter().map(|frame| Piece { at: frame.pts, bytes: &frame.payload }).collect();
    let before = onsets("mp3float", 44_100, &pieces);
    let mut worker = Worker::start();
    for (target, decoder, len) in [(Target::Opus, "opus", 960), (Target::Aac, "aac", 1_024)] {
        let outcome = worker.convert(&frames, target, SETTINGS);
        assert_unbroken(&outcome, len);
        assert_same_times(&before, &output_onsets(decoder, &outcome.frames));
    }
}

#[test]
fn opus_becomes_aac_at_the_same_time() {
    let frames = flv(&ffmpeg(&format!("{BEEPS} -c:a aac -ar 48000 -ac 2 -f flv")));
    let mut worker = Worker::start();
    let opus = worker.convert(&frames, Target::Opus, SETTINGS);
    let before = output_onsets("opus", &opus.frames);
    let frames = opus.into_source();
    let aac = worker.convert(&frames, Target::Aac, SETTINGS);
    assert_unbroken(&aac, 1_024);
    assert_same_times(&before, &output_onsets("aac", &aac.frames));
}

#[test]
fn sound_behind_a_gap_is_where_it_was() {
    let mut frames = flv(&ffmpeg(&format!("{BEEPS} -c:a aac -ar 48000 -ac 2 -f flv")));
    // A second and a half is missing from the middle on.
    let middle = frames.len() / 2;
    for frame in &mut frames[middle..] {
        (frame.dts, frame.pts) = (frame.dts + 72_000, frame.pts + 72_000);
    }
    let bytes: Vec<Vec<u8>> = frames.iter().map(adts).collect();
    let pieces: Vec<Piece<'_>> =
        frames.iter().zip(&bytes).map(|(frame, bytes)| Piece { at: frame.pts, bytes }).collect();
    let before = onsets("aac", 48_000, &pieces);
    let outcome = Worker::start().convert(&frames, Target::Opus, SETTINGS);
    assert_same_times(&before, &output_onsets("opus", &outcome.frames));
    let gaps: Vec<i64> =
        outcome.frames.windows(2).map(|pair| pair[1].dts - pair[0].dts).filter(|step| *step != 960).collect();
    assert!(matches!(gaps[..], [gap] if (69_000..73_000).contains(&gap)), "{gaps:?}");
}

#[test]
fn corrupt_frames_are_skipped_and_counted_and_too_many_are_the_end() {
    let mut frames = flv(&ffmpeg(&format!("{BEEPS} -c:a aac -ar 48000 -ac 2 -f flv")));
    for frame in frames.iter_mut().skip(40).step_by(10) {
        frame.payload = Bytes::from(vec![0xff; frame.payload.len()]);
    }
    let mut worker = Worker::start();
    let outcome = worker.convert(&frames, Target::Opus, SETTINGS);
    assert_eq!(outcome.failed, None);
    assert!(outcome.frames.len() > 100, "{}", outcome.frames.len());
    let garbage: Vec<Frame> = (0..400)
        .map(|n| Frame { dts: n * 1_024, pts: n * 1_024, payload: Bytes::from(vec![0xff; 300]), ..frames[0].clone() })
        .collect();
    let outcome = worker.convert(&garbage, Target::Opus, SETTINGS);
    assert!(outcome.failed.is_some_and(|text| text.contains("corrupt")));
    // And it takes another conversion.
    assert!(worker.convert(&frames, Target::Opus, SETTINGS).frames.len() > 100);
}
