use std::time::Duration;

use proptest::prelude::*;
use telstar_media::{CodecConfig, Frame};

use super::*;
use crate::limits::{CONFIGURATION_CHANGE_INTERVAL, CONFIGURATION_CHANGES_MAX, MESSAGE_FRAMES_MAX, TRACK_CHANGES_MAX};

mod codecs;

/// Parameter sets of x264 in the baseline profile: 128x96, 320x180, and the PPS of both.
const SMALL: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x02, 0x0d, 0xb0, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32,
    0x0f, 0x12, 0x26, 0x48,
];
const LARGE: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03,
    0x03, 0x20, 0xf1, 0x42, 0xa4, 0x80,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
/// First macroblock 0 and slice type 7 (I) or 5 (P).
const IDR: &[u8] = &[0x65, 0b1000_1000, 0x84];
const INTRA: &[u8] = &[0x41, 0b1000_1000, 0x84];
const INTER: &[u8] = &[0x41, 0b1001_1010, 0x24];
const DELIMITER: &[u8] = &[0x09, 0xf0];
const SEI: &[u8] = &[0x06, 0x05, 0x01, 0x00, 0x80];

/// A publication, the time, and what came out as words.
struct Bench {
    publication: Publication,
    now: Instant,
    frames: Vec<(u32, Frame)>,
    words: Vec<String>,
}

impl Bench {
    fn new() -> Bench {
        Bench { publication: Publication::default(), now: Instant::now(), frames: Vec::new(), words: Vec::new() }
    }

    fn with_headers() -> Bench {
        let mut bench = Bench::new();
        bench.video(0, &header(SMALL, 3));
        bench.audio(0, b"\xaf\x00\x12\x10");
        bench.words.clear();
        bench
    }

    fn video(&mut self, ms: u32, body: &[u8]) {
        self.publication.video(self.now, ms, Bytes::copy_from_slice(body));
        self.drain();
    }

    fn audio(&mut self, ms: u32, body: &[u8]) {
        self.publication.audio(self.now, ms, Bytes::copy_from_slice(body));
        self.drain();
    }

    fn finish(&mut self) {
        self.publication.finish();
        self.drain();
    }

    /// A picture and the sound of its time, in real time.
    fn both(&mut self, ms: u32) {
        self.video(ms, &picture(true, 0, &[IDR]));
        self.audio(ms, AUDIO);
        self.now += Duration::from_millis(40);
    }

    fn drain(&mut self) {
        while let Some(output) = self.publication.poll() {
            self.words.push(match output {
                Output::TrackAdded(added) => {
                    let replaces = added.replaces.map_or(String::new(), |track| format!(" for {}", track.0));
                    format!("track {} {} {}{replaces}", added.track.0, added.codec.name(), added.timescale.hz())
                }
                Output::Frame(PublishedFrame { track, frame }) => {
                    let key = if frame.key { " key" } else { "" };
                    let word = format!("frame {} {} {}{key}", track.0, frame.dts, frame.pts);
                    self.frames.push((track.0, frame));
                    word
                }
                Output::ClockRestarted => "restart".to_owned(),
                Output::Warning(warning) => format!("warning {:?} x{}", warning.kind, warning.count),
            });
        }
    }

    fn warnings(&self) -> Vec<&String> {
        self.words.iter().filter(|word| word.starts_with("warning")).collect()
    }

    /// (decode, presentation) of the frames of a track.
    fn times(&self, track: u32) -> Vec<(i64, i64)> {
        self.frames.iter().filter(|(of, _)| *of == track).map(|(_, frame)| (frame.dts, frame.pts)).collect()
    }

    fn config(&self, index: usize) -> &CodecConfig {
        &self.frames[index].1.config
    }
}

const AUDIO: &[u8] = b"\xaf\x01\x21\x10\x04";

fn header(sps: &[u8], length_size_minus_one: u8) -> Vec<u8> {
    let mut body = vec![0x17, 0, 0, 0, 0, 1, sps[1], sps[2], sps[3], 0xfc | length_size_minus_one, 0xe1];
    body.extend((sps.len() as u16).to_be_bytes());
    body.extend(sps);
    body.push(1);
    body.extend((PPS.len() as u16).to_be_bytes());
    body.extend(PPS);
    body
}

fn picture(key: bool, composition_ms: i32, units: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![if key { 0x17 } else { 0x27 }, 1];
    body.extend(&composition_ms.to_be_bytes()[1..]);
    body.extend(units_of(units, 4));
    body
}

fn units_of(units: &[&[u8]], length_size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in units {
        bytes.extend(&(unit.len() as u32).to_be_bytes()[4 - length_size..]);
        bytes.extend(*unit);
    }
    bytes
}

fn size(config: &CodecConfig) -> (u32, u32) {
    match config {
        CodecConfig::H264(h264) => (h264.width, h264.height),
        other => panic!("H.264 was expected, not {other:?}"),
    }
}

#[test]
fn b_frames_keep_the_presentation_times_of_the_encoder() {
    let mut bench = Bench::with_headers();
    // Decode order I P B B, each 40 ms apart, presented 80 ms later than the first is decoded.
    for (ms, composition_ms) in [(0, 80), (40, 160), (80, 40), (120, 40)] {
        bench.video(ms, &picture(ms == 0, composition_ms, &[if ms == 0 { IDR } else { INTER }]));
    }
    assert_eq!(bench.times(0), [(0, 7_200), (3_600, 18_000), (7_200, 10_800), (10_800, 14_400)]);
    assert!(bench.warnings().is_empty());
}

#[test]
fn negative_composition_offsets_move_decode_times_and_not_the_presentation() {
    let mut bench = Bench::with_headers();
    let stamps = [(200, 0), (240, 80), (280, -40), (320, -40), (360, 0), (400, 80), (440, -40), (480, -40)];
    for (ms, composition_ms) in stamps {
        bench.video(ms, &picture(false, composition_ms, &[INTER]));
    }
    let presented: Vec<i64> = bench.times(0).iter().map(|(_, pts)| pts / 90).collect();
    assert_eq!(presented, [200, 320, 240, 280, 360, 480, 400, 440]);
    let decoded: Vec<i64> = bench.times(0).iter().map(|(dts, _)| dts / 90).collect();
    assert_eq!(decoded, [200, 240, 240, 280, 320, 360, 400, 440]);
}

#[test]
fn a_composition_offset_of_hours_is_taken_as_none() {
    let mut bench = Bench::with_headers();
    // What GStreamer 1.22's `flvmux` writes for a picture that is shown after the end of its clip.
    for (ms, composition_ms) in [(0, 80), (40, -6_264_783), (80, 40)] {
        bench.video(ms, &picture(ms == 0, composition_ms, &[if ms == 0 { IDR } else { INTER }]));
    }
    assert_eq!(bench.times(0), [(0, 7_200), (3_600, 3_600), (7_200, 10_800)]);
}

#[test]
fn equal_stamps_become_strictly_increasing_decode_times() {
    let mut bench = Bench::with_headers();
    for ms in [100, 100, 100, 99, 101] {
        bench.video(ms, &picture(false, 0, &[INTER]));
    }
    assert_eq!(bench.times(0), [(9_000, 9_000), (9_001, 9_001), (9_002, 9_002), (9_003, 9_003), (9_090, 9_090)]);
    assert_eq!(bench.warnings(), ["warning TimestampOrder x1", "warning TimestampOrder x2"]);
}

#[test]
fn both_tracks_go_on_over_the_wrap_of_32_bits() {
    let mut bench = Bench::with_headers();
    let start = u32::MAX - 100;
    for index in 0..10 {
        bench.both(start.wrapping_add(index * 40));
    }
    let video: Vec<i64> = bench.times(0).iter().map(|(dts, _)| dts / 90).collect();
    // A late start is moved to a second after zero.
    assert_eq!(video, (0..10).map(|index| 1_000 + index * 40).collect::<Vec<_>>());
    assert!(bench.words.iter().all(|word| !word.contains("Jump")), "{:?}", bench.words);
}

#[test]
fn cd_audio_counts_samples_whatever_the_milliseconds_say() {
    let mut bench = Bench::with_headers();
    for index in 0..1_000u64 {
        bench.audio((index * 1_024 * 1_000 / 44_100) as u32, AUDIO);
    }
    assert!(bench.times(1).iter().enumerate().all(|(index, time)| time.0 == index as i64 * 1_024 && time.0 == time.1));
    assert!(bench.frames.iter().all(|(_, frame)| frame.duration == 1_024 && frame.key));
    assert!(bench.warnings().is_empty());
}

#[test]
fn missing_sound_is_a_gap_and_overlapping_sound_is_dropped() {
    let mut bench = Bench::with_headers();
    let behind = (0..9).map(|frame| 500 + frame * 1_024_000 / 44_100);
    for ms in [0, 23].into_iter().chain(behind).chain([300, 709]) {
        bench.audio(ms, AUDIO);
    }
    let behind = (0..10).map(|frame| 22_050 + frame * 1_024);
    assert!(bench.times(1).into_iter().map(|time| time.0).eq([0, 1_024].into_iter().chain(behind)));
    assert_eq!(bench.warnings(), ["warning AudioGap { ms: 454 } x1", "warning AudioOverlap x1"]);
    assert_eq!(bench.publication.dropped_frames(), 1);
}

#[test]
fn sound_whose_stamps_fall_back_to_its_count_has_no_gap() {
    let mut bench = Bench::with_headers();
    // As GStreamer stamps sound that is late into its muxer: not before the last picture.
    for ms in [0, 23, 133, 133, 133, 133, 139, 162] {
        bench.audio(ms, AUDIO);
    }
    assert!(bench.times(1).into_iter().map(|time| time.0).eq((0..8).map(|frame| frame * 1_024)));
    assert!(bench.warnings().is_empty());
}

#[test]
fn late_audio_and_late_video_share_the_zero_of_the_first_track() {
    let mut bench = Bench::new();
    bench.video(5_000, &header(SMALL, 3));
    bench.video(5_000, &picture(true, 0, &[IDR]));
    bench.audio(9_000, b"\xaf\x00\x12\x10");
    bench.audio(9_000, AUDIO);
    assert_eq!(
        bench.words,
        ["track 0 H.264 90000", "frame 0 450000 450000 key", "track 1 AAC 44100", "frame 1 396900 396900 key"]
    );

    let mut bench = Bench::new();
    bench.audio(3_600_000, b"\xaf\x00\x12\x10");
    bench.audio(3_600_000, AUDIO);
    bench.video(3_599_960, &header(SMALL, 3));
    bench.video(3_599_960, &picture(true, 0, &[IDR]));
    assert_eq!((bench.times(0), bench.times(1)), (vec![(44_100, 44_100)], vec![(86_400, 86_400)]));
}

#[test]
fn a_jump_of_the_encoder_is_taken_out_for_both_tracks_together() {
    for jump_to in [7_200_000u32, 0] {
        let mut bench = Bench::with_headers();
        for ms in [3_000, 3_040, 3_080] {
            bench.both(ms);
        }
        for ms in [0, 40, 80] {
            bench.both(jump_to + ms);
        }
        let video: Vec<i64> = bench.times(0).iter().map(|(dts, _)| dts / 90).collect();
        assert_eq!(video, [3_000, 3_040, 3_080, 3_120, 3_160, 3_200], "to {jump_to}");
        let jumps = bench.warnings();
        assert_eq!(jumps.iter().filter(|word| word.contains("Jump")).count(), 1, "{jumps:?}");
        let restarts = bench.words.iter().filter(|word| *word == "restart").count();
        assert_eq!(restarts, 1, "told once, at its place among the frames");
        let place = bench.words.iter().position(|word| word == "restart").expect("told");
        assert_eq!(bench.words[..place].iter().filter(|word| word.starts_with("frame 0")).count(), 3);
        // The sound goes on beside its picture; its stamps are 40 ms apart, its samples 23 ms.
        let audio: Vec<i64> = bench.times(1).iter().map(|(dts, _)| dts * 1_000 / 44_100).collect();
        assert!(video.iter().zip(&audio).all(|(video, audio)| (video - audio).abs() <= 50), "{video:?} {audio:?}");
    }
}

#[test]
fn a_track_that_jumps_alone_does_not_pull_the_other_along() {
    let mut bench = Bench::with_headers();
    for index in 0..20 {
        let ms = 1_000 + index * 40;
        bench.video(if index < 10 { ms } else { ms + 500_000 }, &picture(true, 0, &[IDR]));
        bench.audio(ms, AUDIO);
        bench.now += Duration::from_millis(40);
    }
    let video: Vec<i64> = bench.times(0).iter().map(|(dts, _)| dts / 90).collect();
    assert_eq!(video, (0..20).map(|index| 1_000 + index * 40).collect::<Vec<_>>());
    assert_eq!(bench.words.iter().filter(|word| word.contains("Jump")).count(), 1);
}

#[test]
fn a_real_pause_is_not_a_jump() {
    let mut bench = Bench::with_headers();
    bench.both(1_000);
    bench.now += Duration::from_secs(60);
    bench.both(61_040);
    assert_eq!(bench.times(0).last(), Some(&(61_040 * 90, 61_040 * 90)));
}

#[test]
fn a_track_that_was_silent_returns_beside_the_other_however_fast_the_stream_is_pushed() {
    let mut bench = Bench::with_headers();
    bench.audio(0, AUDIO);
    for ms in (0..30_000).step_by(40) {
        bench.video(ms, &picture(true, 0, &[IDR]));
    }
    bench.audio(30_000, AUDIO);
    bench.finish();
    assert_eq!(bench.times(1).last(), Some(&(30 * 44_100, 30 * 44_100)));
    assert_eq!(bench.warnings(), ["warning AudioGap { ms: 29977 } x1"]);
}

#[test]
fn a_new_sequence_header_makes_a_new_configuration_and_a_repeated_one_does_not() {
    let mut bench = Bench::with_headers();
    bench.video(0, &picture(true, 0, &[IDR]));
    bench.video(0, &header(SMALL, 3));
    bench.video(40, &picture(true, 0, &[IDR]));
    bench.video(40, &header(LARGE, 3));
    bench.video(80, &picture(true, 0, &[IDR]));
    assert!(std::sync::Arc::ptr_eq(&bench.frames[0].1.config, &bench.frames[1].1.config));
    assert_eq!((size(bench.config(0)), size(bench.config(2))), ((128, 96), (320, 180)));
    assert_eq!(bench.words.len(), 3, "the track stays");
}

#[test]
fn parameter_sets_inside_a_picture_change_the_configuration_and_leave_the_sample() {
    let mut bench = Bench::with_headers();
    bench.video(0, &picture(true, 0, &[DELIMITER, SMALL, PPS, SEI, IDR]));
    bench.video(40, &picture(true, 0, &[DELIMITER, LARGE, PPS, IDR]));
    bench.video(80, &picture(false, 0, &[INTER]));
    assert_eq!((0..3).map(|index| size(bench.config(index))).collect::<Vec<_>>(), [(128, 96), (320, 180), (320, 180)]);
    let payloads: Vec<_> = bench.frames.iter().map(|(_, frame)| frame.payload.to_vec()).collect();
    assert_eq!(payloads, [units_of(&[SEI, IDR], 4), units_of(&[IDR], 4), units_of(&[INTER], 4)]);
}

#[test]
fn a_stream_without_a_sequence_header_starts_at_its_first_parameter_sets() {
    let mut bench = Bench::new();
    bench.video(0, &picture(false, 0, &[INTER]));
    bench.video(40, &picture(true, 0, &[SMALL, PPS, IDR]));
    assert_eq!(bench.words, ["warning NoConfiguration x1", "track 0 H.264 90000", "frame 0 3600 3600 key"]);
}

#[test]
fn samples_are_slices_of_the_message_unless_something_inside_must_go() {
    let check = |units: &[&[u8]], copied: bool| {
        let mut bench = Bench::with_headers();
        let message = Bytes::from(picture(true, 0, units));
        bench.publication.video(bench.now, 0, message.clone());
        bench.drain();
        let within = message.as_ptr_range().contains(&bench.frames[0].1.payload.as_ptr());
        assert_eq!(within, !copied);
    };
    check(&[IDR], false);
    check(&[DELIMITER, SMALL, PPS, SEI, IDR], false);
    check(&[SEI, PPS, IDR], true);
}

#[test]
fn short_lengths_become_four_bytes() {
    for length_size in [1usize, 2] {
        let mut bench = Bench::new();
        bench.video(0, &header(SMALL, length_size as u8 - 1));
        let body = [&[0x17, 1, 0, 0, 0], &units_of(&[DELIMITER, SEI, IDR], length_size)[..]].concat();
        bench.video(0, &body);
        assert_eq!(bench.frames[0].1.payload, units_of(&[SEI, IDR], 4));
    }
    let mut bench = Bench::new();
    bench.video(0, &header(SMALL, 2));
    assert!(bench.words[0].starts_with("warning BadConfiguration"), "{:?}", bench.words);
}

#[test]
fn keyframes_are_idr_pictures_and_intra_pictures_that_claim_it() {
    for (claimed, unit, expect) in [
        (true, IDR, true),
        (false, IDR, true),
        (true, INTRA, true),
        (false, INTRA, false),
        (true, INTER, false),
        (false, INTER, false),
    ] {
        let mut bench = Bench::with_headers();
        bench.video(0, &picture(claimed, 0, &[unit]));
        assert_eq!(bench.frames[0].1.key, expect, "{claimed} {unit:02x?}");
    }
}

#[test]
fn broken_frames_are_dropped_and_counted_and_the_next_one_passes() {
    let mut bench = Bench::with_headers();
    let mut overrun = picture(true, 0, &[IDR]);
    overrun[5 + 3] = 200;
    for body in
        [&overrun[..], &picture(true, 0, &[]), &picture(true, 0, &[SEI]), &[0x17, 1, 0], &[0x17, 9, 0, 0, 0], &[]]
    {
        bench.video(0, body);
    }
    bench.audio(0, &[0xaf, 1]);
    bench.audio(0, &[0xaf, 7]);
    bench.video(0, &picture(true, 0, &[IDR]));
    assert_eq!((bench.publication.dropped_frames(), bench.publication.frames()), (7, 1));
}

#[test]
fn another_sample_rate_is_another_track_and_another_channel_count_is_not() {
    let mut bench = Bench::with_headers();
    bench.audio(0, AUDIO);
    bench.audio(0, b"\xaf\x00\x12\x08");
    bench.audio(23, AUDIO);
    bench.audio(23, b"\xaf\x00\x11\x90");
    bench.audio(46, AUDIO);
    bench.audio(46, b"\xaf\x00");
    bench.audio(46, b"\xaf\x00\xff\xff");
    assert_eq!(
        bench.words[..4],
        ["frame 1 0 0 key", "frame 1 1024 1024 key", "track 2 AAC 48000 for 1", "frame 2 2208 2208 key"]
    );
    assert_eq!(bench.warnings().len(), 1, "the unreadable record: {:?}", bench.words);
}

#[test]
fn sound_that_waits_when_the_sample_rate_changes_comes_out_at_its_own_times() {
    // Three frames behind a gap that is not certain yet, when the encoder turns to 48 kHz.
    let mut bench = Bench::with_headers();
    [0, 500, 523, 546].into_iter().for_each(|ms| bench.audio(ms, AUDIO));
    assert_eq!(bench.words, ["frame 1 0 0 key"]);
    bench.audio(569, b"\xaf\x00\x11\x90");
    bench.audio(569, AUDIO);
    assert_eq!(
        bench.words[1..],
        [
            "warning AudioGap { ms: 477 } x1",
            "frame 1 22050 22050 key",
            "frame 1 23074 23074 key",
            "frame 1 24098 24098 key",
            "track 2 AAC 48000 for 1",
            "frame 2 27312 27312 key",
        ]
    );
    // The same where the frames themselves say it.
    let mp3 = |third: u8| {
        let mut frame = vec![0x2f, 0xff, 0xfb, third, 0x00];
        frame.resize(if third == 0x90 { 418 } else { 385 }, 0);
        frame
    };
    let mut bench = Bench::new();
    [0, 500, 526].into_iter().for_each(|ms| bench.audio(ms, &mp3(0x90)));
    bench.audio(552, &mp3(0x94));
    bench.finish();
    assert_eq!((bench.times(0).len(), bench.times(1).len(), bench.publication.dropped_frames()), (3, 1, 0));
}

#[test]
fn a_configuration_may_change_once_a_second_for_ever_and_at_once_to_the_limit_only() {
    let change = |bench: &mut Bench, index: u32| {
        let sps = if index.is_multiple_of(2) { LARGE } else { SMALL };
        bench.video(index * 40, &picture(true, 0, &[sps, PPS, IDR]));
    };
    let mut bench = Bench::with_headers();
    for index in 0..3 * CONFIGURATION_CHANGES_MAX {
        bench.now += CONFIGURATION_CHANGE_INTERVAL;
        change(&mut bench, index);
    }
    assert_eq!((bench.publication.dropped_frames(), bench.warnings().len()), (0, 0));
    let mut bench = Bench::with_headers();
    (0..3 * CONFIGURATION_CHANGES_MAX).for_each(|index| change(&mut bench, index));
    assert_eq!(bench.publication.frames(), u64::from(CONFIGURATION_CHANGES_MAX));
    assert_eq!(bench.publication.dropped_frames(), u64::from(2 * CONFIGURATION_CHANGES_MAX));
    assert_eq!(bench.warnings(), ["warning TooManyTracks x1"]);
}

#[test]
fn a_small_frame_does_not_keep_a_large_message_alive() {
    let mut bench = Bench::with_headers();
    let padding = vec![0x09; 100_000];
    let mut mp3 = vec![0xff, 0xfb, 0x90, 0x00];
    mp3.resize(417, 0);
    let bodies = [
        (true, picture(true, 0, &[&padding, IDR])),
        (false, [&[0x2f], &mp3[..], &padding].concat()),
        (true, picture(true, 0, &[IDR, &[0x65; 100_000]])),
    ];
    let mut lies_inside = Vec::new();
    for (is_video, body) in bodies {
        let body = Bytes::from(body);
        let range = body.as_ptr_range();
        match is_video {
            true => bench.publication.video(bench.now, 0, body.clone()),
            false => bench.publication.audio(bench.now, 0, body.clone()),
        }
        bench.drain();
        lies_inside.push(range.contains(&bench.frames.last().expect("a frame").1.payload.as_ptr()));
    }
    assert_eq!(lies_inside, [false, false, true], "and a large one is not copied");
}

#[test]
fn a_message_has_no_more_frames_than_any_encoder_puts_there() {
    // 24 bytes each: 8 kbit/s at 24 kHz.
    let mut frame = vec![0xff, 0xf3, 0x14, 0xc0];
    frame.resize(24, 0);
    let mut bench = Bench::new();
    bench.audio(0, &[&[0x2f], &frame.repeat(10_000)[..]].concat());
    assert_eq!(bench.publication.frames(), MESSAGE_FRAMES_MAX as u64);
    assert_eq!(bench.publication.dropped_frames(), 10_000 - MESSAGE_FRAMES_MAX as u64);
}

#[test]
fn sound_that_waits_is_limited_in_bytes() {
    let mut bench = Bench::with_headers();
    let large = [AUDIO, &[0; 1 << 20]].concat();
    bench.audio(0, AUDIO);
    bench.audio(500, &large);
    assert_eq!(bench.frames.len(), 2, "no sound is that large, and nobody waits for it");
}

#[test]
fn codecs_that_are_not_taken_are_told_once_and_do_not_disturb_the_others() {
    let mut bench = Bench::with_headers();
    for ms in [0, 40, 80] {
        bench.video(ms, b"\x91vvc1\x00\x00\x00abc");
        bench.audio(ms, b"\xb2speex");
    }
    bench.video(120, &picture(true, 0, &[IDR]));
    let expect = [
        "warning CodecUnsupported(VVC (vvc1)) x1",
        "warning CodecUnsupported(Speex (11)) x1",
        "frame 0 10800 10800 key",
        "frame 0 14400 14400 key",
    ];
    bench.video(160, &header(SMALL, 3));
    bench.video(160, &picture(true, 0, &[IDR]));
    assert_eq!(bench.words, expect, "back to H.264, the track goes on, with or without another header");
}

#[test]
fn enhanced_headers_of_the_old_codecs_are_the_same_as_the_old_ones() {
    let mut bench = Bench::new();
    bench.video(0, &[b"\x90avc1", &header(SMALL, 3)[5..]].concat());
    bench.video(40, &[&b"\x91avc1\x00\x00\x28"[..], &units_of(&[IDR], 4)].concat());
    bench.video(80, &[&b"\xa3avc1"[..], &units_of(&[INTER], 4)].concat());
    bench.audio(0, b"\x90mp4a\x12\x10");
    bench.audio(0, b"\x91mp4aabc");
    assert_eq!(
        bench.words,
        ["track 0 H.264 90000", "frame 0 3600 7200 key", "frame 0 7200 7200", "track 1 AAC 44100", "frame 1 0 0 key",]
    );
}

#[test]
fn mp3_carries_its_own_configuration() {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
    frame.resize(417, 0);
    let mut bench = Bench::new();
    bench.audio(0, &[&[0x2f], &frame[..]].concat());
    bench.audio(26, &[&[0x2f], &frame[..], &frame[..]].concat());
    bench.audio(78, b"\x2fgarbage");
    assert_eq!(
        bench.words,
        [
            "track 0 MP3 44100",
            "frame 0 0 0 key",
            "frame 0 1152 1152 key",
            "frame 0 2304 2304 key",
            "warning MalformedFrame x1",
        ]
    );
}

#[test]
fn tracks_beyond_the_limit_are_dropped() {
    let mut bench = Bench::new();
    for id in 0..=TRACKS_MAX as u8 {
        bench.audio(0, &[&b"\x95\x00mp4a"[..], &[id], b"\x12\x10"].concat());
    }
    assert_eq!(bench.words.iter().filter(|word| word.starts_with("track")).count(), TRACKS_MAX);
    assert_eq!(bench.warnings(), ["warning TooManyTracks x1"]);
}

#[test]
fn a_flood_of_bad_messages_is_not_a_flood_of_warnings() {
    let mut bench = Bench::with_headers();
    for _ in 0..10_000 {
        bench.video(0, &[0x17, 9, 0, 0, 0]);
    }
    assert_eq!(bench.words.len(), 14);
}

#[derive(Clone, Debug)]
enum Step {
    Video { ms: i32, composition_ms: i32 },
    Audio { ms: i32 },
    Jump { ms: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (-20..90i32, -200..400i32).prop_map(|(ms, composition_ms)| Step::Video { ms, composition_ms }),
        5 => (-20..60i32).prop_map(|ms| Step::Audio { ms }),
        1 => any::<u32>().prop_map(|ms| Step::Jump { ms }),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    /// The two promises of the hub, whatever an encoder stamps.
    #[test]
    fn decode_times_increase_and_no_picture_is_shown_before_it_is_decoded(steps in steps(), start in any::<u32>()) {
        let mut bench = Bench::with_headers();
        let mut wire = start;
        for step in steps {
            match step {
                Step::Video { ms, composition_ms } => {
                    wire = wire.wrapping_add_signed(ms);
                    bench.video(wire, &picture(false, composition_ms, &[INTER]));
                }
                Step::Audio { ms } => {
                    wire = wire.wrapping_add_signed(ms);
                    bench.audio(wire, AUDIO);
                }
                Step::Jump { ms } => wire = ms,
            }
            bench.now += Duration::from_millis(20);
        }
        for track in [0, 1] {
            let times = bench.times(track);
            prop_assert!(times.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", times);
            prop_assert!(times.iter().all(|(dts, pts)| *dts >= 0 && pts >= dts));
        }
        // A jump is taken out: the timeline stays near real time.
        prop_assert!(bench.frames.iter().all(|(_, frame)| frame.dts < 90 * 60_000 * 10));
    }
}

#[test]
fn a_track_that_changes_without_end_falls_silent_at_the_limit() {
    let mut bench = Bench::new();
    for index in 0..3 * TRACK_CHANGES_MAX {
        let rate: &[u8] = if index % 2 == 0 { b"\xaf\x00\x12\x10" } else { b"\xaf\x00\x11\x90" };
        bench.audio(index * 40, rate);
        bench.audio(index * 40, AUDIO);
    }
    let tracks = bench.words.iter().filter(|word| word.starts_with("track")).count();
    assert_eq!(tracks as u32, 1 + TRACK_CHANGES_MAX);
    assert_eq!(bench.publication.frames(), 1 + u64::from(TRACK_CHANGES_MAX));
    assert_eq!(bench.warnings(), ["warning TooManyTracks x1"]);
    assert_eq!(bench.publication.dropped_frames(), u64::from(2 * TRACK_CHANGES_MAX - 1));
}
