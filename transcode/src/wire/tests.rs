//! Messages there and back, cut and broken.

use std::fmt::Debug;

use bytes::Bytes;
use proptest::prelude::*;
use telstar_media::Codec;
use telstar_units::{Timescale, TrackId};

use super::*;
use crate::file::{
    EncoderPreset, FileNews, FileProgress, FileTask, Images, Key, Limits, Make, Output, Rendition, RenditionKind,
    Segment, Source, SourceAudio, SourceSubtitles, SourceVideo, Storyboard, VideoCodec,
};
use crate::ladder::Rung;
use crate::map::SegmentMap;
use crate::{
    CodecRecord, Config, Failed, FailureKind, FromWorker, Layout, MediaFrame, Mix, MixInput, Preset, Progress, Ready,
    Sandbox, Settings, Target, ToWorker,
};

fn record() -> impl Strategy<Value = CodecRecord> {
    let codec = prop::sample::select(vec![Codec::H264, Codec::Vp8, Codec::Aac, Codec::Opus, Codec::Eac3]);
    (codec, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(codec, record)| CodecRecord { codec, record: record.into() })
}

fn frame() -> impl Strategy<Value = MediaFrame> {
    let numbers = (any::<u64>(), any::<i64>(), any::<i64>(), any::<u32>());
    let rest = (prop::option::of(record()), any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200));
    (numbers, rest).prop_map(|((track, dts, pts, duration), (record, key, decode_only, payload))| MediaFrame {
        track: TrackId(track),
        record,
        dts,
        pts,
        duration,
        key,
        decode_only,
        payload: payload.into(),
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let preset = prop::sample::select(vec![Preset::Ultrafast, Preset::Superfast, Preset::Veryfast]);
    (any::<[u32; 6]>(), preset).prop_map(|(numbers, preset)| {
        let [video_kbps_max, audio_kbps, pixels_max, fps_max, threads, keyframe_interval_ms] = numbers;
        Settings { video_kbps_max, audio_kbps, pixels_max, fps_max, threads, preset, keyframe_interval_ms }
    })
}

fn timescale() -> impl Strategy<Value = Timescale> {
    (1..=u32::MAX).prop_map(|hz| Timescale::new(hz).expect("not zero"))
}

fn config() -> impl Strategy<Value = Config> {
    let tracks = (any::<u64>(), any::<u64>(), timescale());
    let target = prop::sample::select(Target::ALL.to_vec());
    (tracks, record(), target, settings()).prop_map(|((track, as_track, timescale), input, target, settings)| Config {
        track: TrackId(track),
        as_track: TrackId(as_track),
        input,
        timescale,
        target,
        settings,
    })
}

fn mix() -> impl Strategy<Value = Mix> {
    let numbers = (any::<[u64; 2]>(), any::<[u16; 3]>(), any::<[u8; 3]>());
    (numbers, settings()).prop_map(|((tracks, shorts, bytes), settings)| Mix {
        video: TrackId(tracks[0]),
        audio: TrackId(tracks[1]),
        width: shorts[0],
        height: shorts[1],
        fps: bytes[0],
        delay_ms: shorts[2],
        pictures_max: bytes[1],
        sounds_max: bytes[2],
        settings,
    })
}

fn input() -> impl Strategy<Value = MixInput> {
    (any::<u64>(), record(), timescale()).prop_map(|(track, input, timescale)| MixInput {
        track: TrackId(track),
        input,
        timescale,
    })
}

fn layout() -> impl Strategy<Value = Layout> {
    (prop::collection::vec(any::<u64>().prop_map(TrackId), 0..20), any::<bool>())
        .prop_map(|(pictures, featured)| Layout { pictures, featured })
}

fn source() -> impl Strategy<Value = Source> {
    let copy = || prop_oneof![prop::collection::vec(any::<i64>(), 0..9).prop_map(Ok), "[a-z]{0,9}".prop_map(Err)];
    let times = (any::<u32>(), any::<i64>());
    let video = (any::<[u32; 2]>(), times, any::<[bool; 3]>(), any::<u64>(), copy());
    let video = video.prop_map(|([width, height], (fps_millis, first), flags, bps, copy)| {
        let [mirrored, interlaced, hdr] = flags;
        let (stream, codec, rotation, bits) = (1, "h264".to_owned(), 90, 10);
        SourceVideo {
            stream,
            codec,
            width,
            height,
            fps_millis,
            first,
            rotation,
            mirrored,
            interlaced,
            bits,
            hdr,
            bps,
            copy,
        }
    });
    let audio = ("[a-z]{0,9}", "[a-zé]{0,9}", any::<u8>()).prop_map(|(language, title, channels)| SourceAudio {
        stream: 2,
        codec: "aac".into(),
        channels,
        sample_rate: 48_000,
        language,
        title,
        copy: Err("no".into()),
    });
    let times = any::<[i64; 2]>();
    let lists =
        (prop::option::of(video), prop::collection::vec(audio, 0..3), prop::collection::vec("[a-z]{0,9}", 0..3));
    (times, lists).prop_map(|([duration, shift], (video, audio, left_out))| Source {
        container: "mov".into(),
        duration,
        shift,
        video,
        audio,
        subtitles: vec![SourceSubtitles {
            stream: 3,
            codec: "subrip".into(),
            language: "de".into(),
            title: String::new(),
            forced: true,
            hearing_impaired: false,
        }],
        left_out,
    })
}

fn limits() -> Limits {
    Limits {
        pixels_max: 1,
        side_max: 2,
        fps_max: 3,
        duration_secs_max: 4,
        streams_max: 5,
        output_bytes_max: 6,
        threads: 7,
    }
}

fn task() -> impl Strategy<Value = FileTask> {
    let make = (source(), 0..100 * 90_000_i64).prop_map(|(source, end)| {
        let rung = Rung { width: 640, height: 360, fps_millis: 25_000, crf: 22, bps_max: 1 << 40 };
        FileTask::Make(Make {
            source,
            map: SegmentMap::even(end).expect("short"),
            outputs: vec![
                Output::CopyVideo { stream: 0 },
                Output::Video { stream: 0, codec: VideoCodec::Av1, rung },
                Output::Audio { stream: 1, channels: 2, bps: 128_000, normalise: true },
                Output::Subtitles { stream: 2 },
            ],
            limits: limits(),
            preset: EncoderPreset::Faster,
        })
    });
    let storyboard = Storyboard { every: 900_000, width: 160, height: 90, columns: 5, rows: 5 };
    let images = source()
        .prop_map(move |source| FileTask::Images(Images { source, limits: limits(), poster_side: 1_280, storyboard }));
    prop_oneof![Just(FileTask::Probe(limits())), make, images]
}

fn news() -> impl Strategy<Value = FileNews> {
    let segment =
        (any::<[u64; 4]>(), any::<[i64; 3]>()).prop_map(|([offset, len, at, to], [start, duration, shown])| {
            let keys = vec![Key { offset: at, len: to, start: shown }];
            FileNews::Segment { output: 1, segment: Segment { offset, len, start, duration, keys } }
        });
    let begun = prop::collection::vec(any::<u8>(), 0..200).prop_map(|init| {
        let kind = RenditionKind::Video { width: 1, height: 2, fps_millis: 3 };
        FileNews::Begun {
            output: 2,
            rendition: Rendition { kind, codecs: "avc1.640028".into(), timescale: 90_000 },
            init,
        }
    });
    let failed =
        ("[a-zé]{0,40}", any::<bool>()).prop_map(|(text, is_permanent)| FileNews::Failed { is_permanent, text });
    let image = prop::collection::vec(any::<i64>(), 0..30).prop_map(|times| FileNews::Image {
        output: 0,
        offset: 1,
        len: 2,
        width: 3,
        height: 4,
        times,
    });
    let progress = FileProgress { position: -1, cpu_micros: 2, frames: u64::MAX, corrupt: 0 };
    prop_oneof![
        source().prop_map(|source| FileNews::Source(Box::new(source))),
        segment,
        begun,
        failed,
        image,
        Just(FileNews::Progress(progress)),
        Just(FileNews::Done),
    ]
}

fn to_worker() -> impl Strategy<Value = ToWorker> {
    prop_oneof![
        config().prop_map(ToWorker::Config),
        frame().prop_map(ToWorker::Frame),
        Just(ToWorker::ForceKeyframe),
        Just(ToWorker::Flush),
        mix().prop_map(ToWorker::Mix),
        input().prop_map(ToWorker::AddInput),
        any::<u64>().prop_map(|track| ToWorker::RemoveInput(TrackId(track))),
        layout().prop_map(ToWorker::Layout),
        any::<i64>().prop_map(ToWorker::Tick),
        task().prop_map(|task| ToWorker::File(Box::new(task))),
    ]
}

fn from_worker() -> impl Strategy<Value = FromWorker> {
    let ready = any::<[bool; 5]>().prop_map(|[limits, no_new_privileges, dies_with_parent, landlock, seccomp]| Ready {
        sandbox: Sandbox { limits, no_new_privileges, dies_with_parent, landlock, seccomp },
        decoders: vec![Codec::Aac, Codec::Av1],
        targets: Target::ALL.to_vec(),
    });
    let progress = any::<[u64; 5]>().prop_map(|[frames_in, frames_out, frames_corrupt, frames_skipped, cpu_micros]| {
        Progress { frames_in, frames_out, frames_corrupt, frames_skipped, cpu_micros }
    });
    let failed = (any::<bool>(), "[a-zé]{0,40}").prop_map(|(unsupported, text)| Failed {
        kind: if unsupported { FailureKind::Unsupported } else { FailureKind::Broken },
        text,
    });
    prop_oneof![
        ready.prop_map(FromWorker::Ready),
        frame().prop_map(FromWorker::Frame),
        Just(FromWorker::Flushed),
        progress.prop_map(FromWorker::Progress),
        "[a-zé]{0,40}".prop_map(FromWorker::Log),
        failed.prop_map(FromWorker::Failed),
        news().prop_map(FromWorker::File),
    ]
}

fn bytes_of<M: Message>(messages: &[M]) -> Vec<u8> {
    let (mut writer, mut bytes) = (Writer::default(), Vec::new());
    messages.iter().for_each(|message| writer.write(message, &mut bytes).expect("short enough"));
    bytes
}

/// What comes of `bytes` in pieces of `cut`.
fn read<M: Message>(bytes: &[u8], cut: usize) -> (Vec<M>, Option<WireError>) {
    let (mut reader, mut messages) = (Reader::default(), Vec::new());
    for piece in bytes.chunks(cut) {
        reader.handle_bytes(piece);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fn check_round_trip<M: Message + Debug + PartialEq>(messages: &[M], cut: usize) {
    let (again, error) = read::<M>(&bytes_of(messages), cut);
    assert_eq!((&again[..], error), (messages, None));
}

proptest! {
    #[test]
    fn what_the_server_says_arrives_however_it_is_cut(
        messages in prop::collection::vec(to_worker(), 1..8),
        cut in 1usize..300,
    ) {
        check_round_trip(&messages, cut);
    }

    #[test]
    fn what_the_worker_says_arrives_however_it_is_cut(
        messages in prop::collection::vec(from_worker(), 1..8),
        cut in 1usize..300,
    ) {
        check_round_trip(&messages, cut);
    }

    #[test]
    fn garbage_is_an_error_or_messages_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let begun: Vec<u8> = std::iter::once(PROTOCOL_VERSION).chain(bytes).collect();
        read::<ToWorker>(&begun, 7);
        read::<FromWorker>(&begun, 7);
    }
}

fn a_frame() -> MediaFrame {
    MediaFrame {
        track: TrackId(1),
        record: Some(CodecRecord { codec: Codec::Aac, record: Bytes::from_static(&[0x11, 0x90]) }),
        dts: -312,
        pts: 4,
        duration: 960,
        key: true,
        decode_only: false,
        payload: Bytes::from_static(b"payload"),
    }
}

#[test]
fn truncation_at_every_byte_waits_or_is_an_error() {
    let bytes = bytes_of(&[FromWorker::Ready(Ready::default()), FromWorker::Frame(a_frame())]);
    for len in 0..bytes.len() {
        let (messages, error) = read::<FromWorker>(&bytes[..len], 3);
        assert!(messages.len() < 2 && error.is_none(), "{len}");
    }
    // The same fields in a message that says it ends earlier. A shorter payload is a payload.
    let whole = bytes_of(&[ToWorker::Frame(a_frame())]);
    for len in 1..whole.len() - 5 - a_frame().payload.len() {
        let mut cut = whole[..5 + len].to_vec();
        cut[1..5].copy_from_slice(&(len as u32).to_be_bytes());
        assert_eq!(read::<ToWorker>(&cut, 64).1, Some(WireError::Truncated(2)), "{len}");
    }
    let layout = Layout { pictures: vec![TrackId(1), TrackId(2)], featured: true };
    let input = MixInput {
        track: TrackId(1),
        input: CodecRecord { codec: Codec::Opus, record: Bytes::new() },
        timescale: Timescale::VIDEO,
    };
    for message in [
        ToWorker::Layout(layout),
        ToWorker::AddInput(input),
        ToWorker::Tick(7),
        ToWorker::File(Box::new(FileTask::Probe(limits()))),
    ] {
        let (kind, whole) = (message.kind(), bytes_of(&[message]));
        for len in 1..whole.len() - 5 {
            let mut cut = whole[..5 + len].to_vec();
            cut[1..5].copy_from_slice(&(len as u32).to_be_bytes());
            assert_eq!(read::<ToWorker>(&cut, 64).1, Some(WireError::Truncated(kind)), "{len}");
        }
    }
}

#[test]
fn what_is_no_message_says_why() {
    let check = |bytes: &[u8], expect| assert_eq!(read::<ToWorker>(bytes, 64).1, Some(expect), "{bytes:?}");
    check(&[9], WireError::Version(9));
    check(&[PROTOCOL_VERSION, 0xff, 0, 0, 0, 2], WireError::TooLong(0xff00_0000));
    check(&[PROTOCOL_VERSION, 0, 0, 0, 0, 2], WireError::Truncated(2));
    check(&[PROTOCOL_VERSION, 0, 0, 0, 1, 5], WireError::Kind(5));
    check(&[PROTOCOL_VERSION, 0, 0, 0, 2, 3, 0], WireError::Invalid(3));
    let mut bad_target = bytes_of(&[ToWorker::Frame(a_frame())]);
    bad_target[1 + 5 + 8 + 8 + 8 + 4] |= 8;
    check(&bad_target, WireError::Invalid(2));
}

#[test]
fn an_error_is_for_good_and_nothing_is_kept_behind_it() {
    let mut reader = Reader::<ToWorker>::default();
    reader.handle_bytes(&[9]);
    assert_eq!(reader.next_message(), Err(WireError::Version(9)));
    reader.handle_bytes(&bytes_of(&[ToWorker::Flush]));
    assert_eq!(reader.next_message(), Err(WireError::Version(9)));
    assert_eq!(reader.held.len(), 0);
}

#[test]
fn what_is_too_long_is_not_written_and_lines_are_cut() {
    let (mut writer, mut bytes) = (Writer::default(), Vec::new());
    let payload = Bytes::from(vec![0; MESSAGE_BYTES_MAX]);
    let error = writer.write(&FromWorker::Frame(MediaFrame { payload, ..a_frame() }), &mut bytes);
    assert!(matches!(error, Err(WireError::TooLong(_))) && bytes.is_empty());
    writer.write(&FromWorker::Log("é".repeat(LOG_BYTES_MAX)), &mut bytes).expect("cut");
    let (messages, error) = read::<FromWorker>(&bytes, 999);
    assert_eq!(error, None);
    assert!(matches!(&messages[..], [FromWorker::Log(line)] if line.len() == LOG_BYTES_MAX));
}
