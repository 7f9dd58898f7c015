//! The codecs of Enhanced RTMP, each from its bodies to frames.

use telstar_media::Codec;
use telstar_media::codec::VideoRange;

use super::*;
use crate::amf::{self, Value};

/// libx265's record for 128x96 pixels without its SEI message; the sequence parameter set of another one for 322x180.
const HEVC: &[u8] = &[
    0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1e, 0xf0, 0x00, 0xfc, 0xfd, 0xf8, 0xf8,
    0x00, 0x00, 0x0f, 0x03, 0xa0, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00,
    0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x1e, 0x95, 0x94, 0x09, 0xa1, 0x00, 0x01, 0x00, 0x29,
    0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x1e, 0xa0,
    0x10, 0x20, 0x61, 0x65, 0x95, 0x95, 0x29, 0x30, 0xbc, 0x05, 0xa0, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00,
    0x03, 0x03, 0x21, 0xa2, 0x00, 0x01, 0x00, 0x06, 0x44, 0x01, 0xc0, 0x73, 0xc1, 0x89,
];
const LARGER_SPS: &[u8] = &[
    0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x3c, 0xa0,
    0x0a, 0x88, 0x0c, 0x1c, 0x44, 0xf9, 0x65, 0x65, 0x4a, 0x4c, 0x2f, 0x01, 0x68, 0x08, 0x00, 0x01, 0xf4, 0x80, 0x00,
    0x3a, 0x98, 0x04,
];
/// Slices of an IDR, a CRA, and a picture that nothing refers to; an access unit delimiter; a prefix SEI.
const HEVC_IDR: &[u8] = &[0x26, 0x01, 0xaf, 0x11];
const HEVC_CRA: &[u8] = &[0x2a, 0x01, 0xaf, 0x12];
const HEVC_INTER: &[u8] = &[0x02, 0x01, 0xd0, 0x13];
const HEVC_DELIMITER: &[u8] = &[0x46, 0x01, 0x10];
const HEVC_SEI: &[u8] = &[0x4e, 0x01, 0x05, 0x00];

/// libaom's record for 322x180 and SVT-AV1's for 640x360; a key frame and another one.
const AV1: &[u8] =
    &[0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3d, 0x06, 0xcc, 0xda, 0xf9, 0x00, 0x40];
const LARGER_AV1: &[u8] = &[
    0x81, 0x01, 0x4c, 0x00, 0x0a, 0x0e, 0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x00, 0xbe, 0x14, 0x24, 0x48, 0x24,
    0x10,
];
const AV1_KEY: &[u8] = &[0x32, 0x03, 0x10, 0xaa, 0xbb];
const AV1_INTER: &[u8] = &[0x32, 0x03, 0x30, 0xaa, 0xbb];
const AV1_DELIMITER: &[u8] = &[0x12, 0x00];

/// libvpx' key frame of 322x180 pixels and another frame.
const VP9_KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0x00, 0x14, 0x10, 0x0b, 0x36, 0x06, 0x38, 0x24];
const VP9_INTER: &[u8] = &[0x86, 0x00, 0x40, 0x92];

fn enhanced_video(first: u8, four_cc: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&[first], &four_cc[..], body].concat()
}

fn hevc(key: bool, composition_ms: i32, units: &[&[u8]]) -> Vec<u8> {
    let body = [&composition_ms.to_be_bytes()[1..], &units_of(units, 4)].concat();
    enhanced_video(if key { 0x91 } else { 0xa1 }, b"hvc1", &body)
}

fn picture_size(config: &CodecConfig) -> Option<(u32, u32)> {
    config.picture_size()
}

#[test]
fn hevc_has_composition_times_random_access_and_no_sets_in_its_samples() {
    let mut bench = Bench::new();
    bench.video(0, &enhanced_video(0x90, b"hvc1", HEVC));
    // An IDR and a CRA start decoding whatever the header claims; nothing else does.
    bench.video(0, &hevc(false, 80, &[HEVC_DELIMITER, HEVC_SEI, HEVC_IDR]));
    bench.video(40, &hevc(true, 120, &[HEVC_INTER]));
    bench.video(80, &hevc(true, 0, &[HEVC_CRA]));
    // CodedFramesX has no composition time, and SequenceEnd says nothing of the next frame.
    bench.video(120, &enhanced_video(0xa3, b"hvc1", &units_of(&[HEVC_INTER], 4)));
    bench.video(120, &enhanced_video(0x92, b"hvc1", &[]));
    bench.video(160, &hevc(true, 0, &[HEVC_IDR]));
    assert_eq!(
        bench.words,
        [
            "track 0 HEVC 90000",
            "frame 0 0 7200 key",
            "frame 0 3600 14400",
            "frame 0 7200 7200 key",
            "frame 0 10800 10800",
            "frame 0 14400 14400 key",
        ]
    );
    assert_eq!(bench.frames[0].1.payload, units_of(&[HEVC_SEI, HEVC_IDR], 4));
}

#[test]
fn hevc_of_codec_id_12_is_the_same() {
    let mut bench = Bench::new();
    bench.video(0, &[&[0x1c, 0, 0, 0, 0], HEVC].concat());
    bench.video(40, &[&[0x1c, 1, 0, 0, 40], &units_of(&[HEVC_IDR], 4)[..]].concat());
    bench.video(80, &[&[0x2c, 1, 0, 0, 0], &units_of(&[HEVC_INTER], 4)[..]].concat());
    assert_eq!(bench.words, ["track 0 HEVC 90000", "frame 0 3600 7200 key", "frame 0 7200 7200"]);
}

#[test]
fn hevc_parameter_sets_inside_a_picture_change_the_configuration_and_leave_the_sample() {
    let mut bench = Bench::new();
    bench.video(0, &enhanced_video(0x90, b"hvc1", HEVC));
    bench.video(0, &hevc(true, 0, &[HEVC_IDR]));
    bench.video(40, &hevc(true, 0, &[HEVC_DELIMITER, LARGER_SPS, HEVC_SEI, HEVC_IDR]));
    bench.video(80, &hevc(false, 0, &[HEVC_INTER]));
    bench.video(120, &hevc(true, 0, &[LARGER_SPS, HEVC_IDR]));
    let sizes: Vec<_> = bench.frames.iter().map(|(_, frame)| picture_size(&frame.config)).collect();
    assert_eq!(sizes, [Some((128, 96)), Some((322, 180)), Some((322, 180)), Some((322, 180))]);
    assert_eq!(bench.frames[1].1.payload, units_of(&[HEVC_SEI, HEVC_IDR], 4));
    assert!(std::sync::Arc::ptr_eq(&bench.frames[1].1.config, &bench.frames[3].1.config), "known sets are no change");
    assert_eq!(bench.words.len(), 5, "the track stays: {:?}", bench.words);
}

#[test]
fn a_flood_of_parameter_sets_is_neither_compared_nor_kept() {
    // 400,000 picture parameter sets with ids of their own, in one picture each of both codecs.
    for (codec, header) in [(b"hvc1", [0x44, 0x01]), (b"avc1", [0x68, 0x00])] {
        let mut units = Vec::new();
        for id in 1..400_000u32 {
            // ue(v) of 19 bits for ids of this size, behind zeros of the same number.
            let unit = [&header[..], &(u64::from(id) << 20).to_be_bytes()].concat();
            units.extend(units_of(&[&unit], 4));
        }
        let mut bench = Bench::new();
        bench.video(0, &enhanced_video(0x91, codec, &[&[0, 0, 0], &units[..]].concat()));
        assert_eq!(bench.words, ["warning NoConfiguration x1"]);
    }
}

#[test]
fn hevc_without_a_header_starts_at_its_first_parameter_sets() {
    let sets = telstar_media::codec::H265Config::parse(HEVC).expect("valid");
    let sets = sets.parameter_sets();
    let mut bench = Bench::new();
    bench.video(0, &hevc(true, 0, &[HEVC_IDR]));
    bench.video(40, &hevc(true, 0, &[sets.vps[0], sets.sps[0], sets.pps[0], HEVC_IDR]));
    assert_eq!(bench.words, ["warning NoConfiguration x1", "track 0 HEVC 90000", "frame 0 3600 3600 key"]);
}

#[test]
fn av1_takes_its_configuration_from_a_record_or_from_its_first_key_frame() {
    let header = &AV1[4..];
    for record in [AV1, &AV1[..4], &[]] {
        let mut bench = Bench::new();
        bench.video(0, &enhanced_video(0x90, b"av01", record));
        bench.video(0, &enhanced_video(0x91, b"av01", &[AV1_DELIMITER, header, AV1_KEY].concat()));
        bench.video(40, &enhanced_video(0xa1, b"av01", &[AV1_DELIMITER, AV1_INTER].concat()));
        bench.video(80, &enhanced_video(0xa3, b"av01", AV1_INTER));
        let expect = ["track 0 AV1 90000", "frame 0 0 0 key", "frame 0 3600 3600", "frame 0 7200 7200"];
        assert_eq!(bench.words, expect, "{record:02x?}");
        assert_eq!(picture_size(bench.config(0)), Some((322, 180)));
        let payloads: Vec<_> = bench.frames.iter().map(|(_, frame)| frame.payload.to_vec()).collect();
        assert_eq!(payloads, [[header, AV1_KEY].concat(), AV1_INTER.to_vec(), AV1_INTER.to_vec()]);
    }
}

#[test]
fn another_sequence_header_inside_av1_is_another_configuration() {
    let mut bench = Bench::new();
    bench.video(0, &enhanced_video(0x90, b"av01", AV1));
    for (ms, record) in [(0, AV1), (40, AV1), (80, LARGER_AV1), (120, LARGER_AV1)] {
        bench.video(ms, &enhanced_video(0x91, b"av01", &[&record[4..], AV1_KEY].concat()));
    }
    let sizes: Vec<_> = bench.frames.iter().map(|(_, frame)| picture_size(&frame.config)).collect();
    assert_eq!(sizes, [Some((322, 180)), Some((322, 180)), Some((640, 360)), Some((640, 360))]);
    assert_eq!(bench.frames[3].1.config.colour().map(|colour| colour.video_range()), Some(VideoRange::Hlg));
}

#[test]
fn descriptors_of_transport_streams_are_read_and_refused_in_words() {
    let mut bench = Bench::new();
    bench.video(0, &enhanced_video(0x95, b"av01", &[0x80, 4, 0x81, 0, 0x0c, 0]));
    assert!(bench.words.is_empty(), "{:?}", bench.words);
    bench.video(0, &enhanced_video(0x91, b"av01", &[&AV1[4..], AV1_KEY].concat()));
    assert_eq!(bench.words, ["track 0 AV1 90000", "frame 0 0 0 key"]);
    bench.video(40, &enhanced_video(0x95, b"av01", &[0x05, 4, 0, 0, 0, 0]));
    bench.video(40, &enhanced_video(0x95, b"hvc1", &[0x38, 13]));
    assert_eq!(bench.warnings().len(), 2, "{:?}", bench.words);
}

#[test]
fn vp9_waits_for_a_key_frame_and_goes_on_without_a_record() {
    for record in [&[0u8, 0x15, 0x82, 1, 1, 1, 0, 0][..], &[]] {
        let mut bench = Bench::new();
        bench.video(0, &enhanced_video(0x90, b"vp09", record));
        bench.video(0, &enhanced_video(0xa1, b"vp09", VP9_INTER));
        bench.video(40, &enhanced_video(0x91, b"vp09", VP9_KEY));
        bench.video(80, &enhanced_video(0xa1, b"vp09", VP9_INTER));
        bench.video(120, &enhanced_video(0xa1, b"vp09", &[]));
        let expect = [
            "warning NoConfiguration x1",
            "track 0 VP9 90000",
            "frame 0 3600 3600 key",
            "frame 0 7200 7200",
            "warning MalformedFrame x1",
        ];
        assert_eq!(bench.words, expect);
        let level = if record.is_empty() { 11 } else { 21 };
        assert_eq!(bench.config(0).rfc6381(), Some(format!("vp09.00.{level}.08")));
    }
}

#[test]
fn an_encoder_that_tries_another_codec_and_comes_back_goes_on_with_its_clock() {
    // Found by fuzzing: the times of the track began again.
    let key = enhanced_video(0x91, b"vp09", VP9_KEY);
    for other in [enhanced_video(0x91, b"vp??", VP9_KEY), enhanced_video(0x93, b"avc1", &[])] {
        let mut bench = Bench::new();
        bench.video(0, &key);
        bench.video(0, &other);
        bench.video(0, &key);
        bench.video(40, &key);
        assert_eq!(bench.times(0), [(0, 0), (1, 1), (3_600, 3_600)]);
    }
}

#[test]
fn vp8_is_kept_as_a_track() {
    let mut bench = Bench::new();
    bench.video(0, &enhanced_video(0xa1, b"vp08", &[0x31, 0, 0, 1, 2, 3]));
    bench.video(40, &enhanced_video(0x91, b"vp08", &[0x30, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 1, 0xb4, 0]));
    bench.video(80, &enhanced_video(0xa1, b"vp08", &[0x31, 0, 0, 1, 2, 3]));
    assert_eq!(
        bench.words,
        ["warning NoConfiguration x1", "track 0 VP8 90000", "frame 0 3600 3600 key", "frame 0 7200 7200"]
    );
}

#[test]
fn metadata_completes_the_colour_that_a_stream_does_not_state() {
    let color_info = |transfer: f64| {
        let object = |properties: &[(&str, Value)]| {
            Value::Object(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
        };
        let config = object(&[
            ("colorPrimaries", 9.0.into()),
            ("transferCharacteristics", transfer.into()),
            ("matrixCoefficients", 9.0.into()),
        ]);
        let mut body = bytes::BytesMut::new();
        amf::encode(&"colorInfo".into(), &mut body);
        amf::encode(&object(&[("colorConfig", config)]), &mut body);
        body
    };
    let mut bench = Bench::new();
    let range = |bench: &Bench| {
        let (_, frame) = bench.frames.last().expect("a frame");
        frame.config.colour().map(|colour| colour.video_range())
    };
    bench.video(0, &enhanced_video(0x90, b"hvc1", HEVC));
    // As a command to the player and as a picture's: both are in use.
    bench.video(0, &enhanced_video(0xd4, b"hvc1", &color_info(16.0)));
    bench.video(0, &hevc(true, 0, &[HEVC_IDR]));
    assert_eq!(range(&bench), Some(VideoRange::Pq));
    bench.video(40, &enhanced_video(0x94, b"hvc1", &color_info(18.0)));
    bench.video(40, &hevc(true, 0, &[LARGER_SPS, HEVC_IDR]));
    assert_eq!(range(&bench), Some(VideoRange::Hlg), "also of a new configuration");
    let mut undefined = bytes::BytesMut::new();
    amf::encode(&"colorInfo".into(), &mut undefined);
    amf::encode(&Value::Undefined, &mut undefined);
    bench.video(80, &enhanced_video(0x94, b"hvc1", &undefined));
    bench.video(80, &hevc(true, 0, &[HEVC_IDR]));
    assert_eq!(range(&bench), Some(VideoRange::Sdr), "and it is taken back");
    bench.video(120, &enhanced_video(0x94, b"hvc1", b"\x02\x00\x09colorIn"));
    assert_eq!(bench.warnings().len(), 0, "{:?}", bench.words);
}

#[test]
fn opus_counts_its_samples_from_the_packets() {
    let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
    let mut bench = Bench::new();
    bench.audio(0, &[&b"\x90Opus"[..], head].concat());
    // 20, 20, 60 and 2.5 ms; the wire rounds, and stays within its tolerance.
    for (ms, packet) in [(0, &[0xfc, 1][..]), (20, &[0xfc, 2]), (41, &[0x1b, 0x01, 3]), (101, &[0xe0, 4])] {
        bench.audio(ms, &[b"\x91Opus", packet].concat());
    }
    bench.audio(103, b"\x91Opus");
    bench.audio(103, b"\x91Opus\xff\x00");
    assert_eq!(
        bench.words,
        [
            "track 0 Opus 48000",
            "frame 0 0 0 key",
            "frame 0 960 960 key",
            "frame 0 1920 1920 key",
            "frame 0 4800 4800 key",
            "warning MalformedFrame x1",
            "warning MalformedFrame x2",
        ]
    );
    let durations: Vec<u32> = bench.frames.iter().map(|(_, frame)| frame.duration).collect();
    assert_eq!(durations, [960, 960, 2_880, 120]);
}

#[test]
fn opus_without_a_header_has_the_channels_of_the_packet_or_of_the_multichannel_configuration() {
    for (multichannel, channels) in [(None, 2), (Some(&b"\x94Opus\x01\x06\x00\x00\x00\x3f"[..]), 6)] {
        let mut bench = Bench::new();
        bench.audio(0, b"\x90Opus");
        bench.audio(0, multichannel.unwrap_or_default());
        bench.audio(0, b"\x91Opus\xfc\x01");
        assert_eq!(bench.words, ["track 0 Opus 48000", "frame 0 0 0 key"]);
        assert_eq!(bench.config(0).channels(), Some(channels));
    }
    let mut bench = Bench::new();
    bench.audio(0, b"\x94Opus\x02\x06\x00");
    bench.audio(0, b"\x94Opus\x07\x02");
    assert_eq!(bench.warnings(), ["warning Malformed(Truncated) x1", "warning Malformed(ChannelOrder(7)) x2"]);
}

#[test]
fn flac_counts_its_samples_from_the_frames() {
    let mut block = vec![0x10, 0x00, 0x10, 0x00, 0, 0, 0, 0, 0, 0, 0x0a, 0xc4, 0x42, 0xf0];
    block.resize(34, 0);
    let mut bench = Bench::new();
    bench.audio(0, b"\x91fLaC\xff\xf8\xc9\x18\x00\xc2");
    bench.audio(0, &[&b"\x90fLaCfLaC\x80\x00\x00\x22"[..], &block].concat());
    for (ms, frame) in [
        (0, &b"\xff\xf8\xc9\x18\x00\xc2"[..]),
        (93, b"\xff\xf8\xc9\x18\x01\xc5"),
        (186, b"\xff\xf8\x69\x18\x02\x63\x00"),
    ] {
        bench.audio(ms, &[b"\x91fLaC", frame].concat());
    }
    bench.audio(190, b"\x91fLaCnot a frame");
    assert_eq!(
        bench.words,
        [
            "warning NoConfiguration x1",
            "track 0 FLAC 44100",
            "frame 0 0 0 key",
            "frame 0 4096 4096 key",
            "frame 0 8192 8192 key",
            "warning MalformedFrame x1",
        ]
    );
    assert_eq!(bench.frames[2].1.duration, 100);
}

#[test]
fn dolby_digital_configures_itself() {
    let ac3 = [0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0];
    let mut bench = Bench::new();
    bench.audio(0, &[&b"\x91ac-3"[..], &ac3].concat());
    bench.audio(32, &[&b"\x91ac-3"[..], &ac3].concat());
    bench.audio(64, b"\x91ac-3nothing");
    // Another bitrate in E-AC-3 is no other configuration; another codec is another track.
    bench.audio(64, b"\x91ec-3\x0b\x77\x01\x7f\x3f\x80\x00\x00");
    bench.audio(96, b"\x91ec-3\x0b\x77\x01\x00\x3f\x80\x00\x00");
    assert_eq!(
        bench.words,
        [
            "track 0 AC-3 48000",
            "frame 0 0 0 key",
            "frame 0 1536 1536 key",
            "warning MalformedFrame x1",
            "track 1 E-AC-3 48000 for 0",
            "frame 1 3072 3072 key",
            "frame 1 4608 4608 key",
        ]
    );
    assert!(std::sync::Arc::ptr_eq(&bench.frames[2].1.config, &bench.frames[3].1.config));
    assert_eq!(bench.config(0).channels(), Some(6));
}

#[test]
fn nanoseconds_make_up_for_milliseconds() {
    let mut bench = Bench::new();
    bench.video(0, &enhanced_video(0x90, b"av01", AV1));
    // Thirty frames a second: 33.333333 ms, with ModEx before the packet type.
    for index in 0..30u32 {
        let nanos = (u64::from(index) * 1_000_000_000 / 30) as u32;
        let offset = &(nanos % 1_000_000).to_be_bytes()[1..];
        let first = if index == 0 { 0x97 } else { 0xa7 };
        let payload = if index == 0 { AV1_KEY } else { AV1_INTER };
        bench.video(nanos / 1_000_000, &[&[first, 2], offset, &[0x01], b"av01", payload].concat());
    }
    assert_eq!(bench.times(0), (0..30).map(|index| (index * 3_000, index * 3_000)).collect::<Vec<_>>());
}

#[test]
fn every_track_of_a_multitrack_message_is_a_track() {
    let mut bench = Bench::new();
    let track = |four_cc: &[u8; 4], id: u8, body: &[u8]| {
        [&four_cc[..], &[id], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    };
    // ManyTracksManyCodecs: sequence starts, then a frame of each.
    let starts = [track(b"hvc1", 0, HEVC), track(b"av01", 1, AV1), track(b"av01", 2, LARGER_AV1)].concat();
    bench.video(0, &[&[0x96, 0x20], &starts[..]].concat());
    let idr = [&[0, 0, 0], &units_of(&[HEVC_IDR], 4)[..]].concat();
    let frames = [track(b"hvc1", 0, &idr), track(b"av01", 1, AV1_KEY), track(b"av01", 2, AV1_KEY)].concat();
    bench.video(40, &[&[0x96, 0x21], &frames[..]].concat());
    // OneTrack.
    bench.video(80, &[&[0xa6, 0x01], &b"av01"[..], &[2], AV1_INTER].concat());
    assert_eq!(
        bench.words,
        [
            "track 0 HEVC 90000",
            "track 1 AV1 90000",
            "track 2 AV1 90000",
            "frame 0 3600 3600 key",
            "frame 1 3600 3600 key",
            "frame 2 3600 3600 key",
            "frame 2 7200 7200",
        ]
    );
    assert_eq!(bench.config(0).codec(), Codec::H265);
}

#[test]
fn truncation_at_every_byte_of_every_body_never_panics() {
    let bodies = [
        enhanced_video(0x90, b"hvc1", HEVC),
        hevc(true, 0, &[LARGER_SPS, HEVC_IDR]),
        enhanced_video(0x90, b"av01", AV1),
        enhanced_video(0x91, b"av01", &[AV1_DELIMITER, &LARGER_AV1[4..], AV1_KEY].concat()),
        enhanced_video(0x91, b"vp09", VP9_KEY),
    ];
    for body in &bodies {
        let mut bench = Bench::new();
        for len in 0..body.len() {
            bench.video(len as u32, &body[..len]);
        }
    }
}
