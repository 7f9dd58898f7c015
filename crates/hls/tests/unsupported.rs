//! A track that HLS cannot carry is named once and left out; the other one goes on as if it were alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_hls::{Budget, Effect, HlsConfig, Packager, Snapshot, State, Warning};
use telstar_media::codec::{AacConfig, H264Config};
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, Origin, TrackInfo};
use telstar_units::{Epoch, Timescale, TrackId, WallTime};

const UNIX_SECS: u64 = 1_795_270_942;
const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);
const SECONDS: i64 = 20;
/// libx264's record for 320x180 Baseline.
const AVCC: [u8; 41] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb,
    0x83, 0xcb, 0x20,
];

/// What came of a stream of both.
struct Outcome {
    warnings: Vec<Warning>,
    last: Arc<Snapshot>,
}

fn info(id: TrackId, config: &CodecConfig, hz: u32) -> TrackInfo {
    let keyframes = if id == VIDEO { KeyframeMode::Periodic } else { KeyframeMode::None };
    let timescale = Timescale::new(hz).expect("not zero");
    TrackInfo { id, codec: config.codec(), timescale, keyframes, origin: Origin::Publisher }
}

/// Pictures at 25 a second with a key each second, and sound in frames of 20 ms, which may come late.
fn stream(video: CodecConfig, audio: CodecConfig, audio_from_ms: i64) -> Outcome {
    let begin = Instant::now();
    let mut packager = Packager::new(HlsConfig::default(), Budget::new(64 << 20), UNIX_SECS, UNIX_SECS);
    let tracks = vec![info(VIDEO, &video, 90_000), info(AUDIO, &audio, 48_000)];
    packager.start_epoch(begin, Epoch(UNIX_SECS), WallTime(UNIX_SECS as i64 * 1_000_000), tracks);
    let (video, audio) = (Arc::new(video), Arc::new(audio));
    let (mut warnings, mut last) = (Vec::new(), None);
    for ms in (0..SECONDS * 1_000).step_by(20) {
        let now = begin + Duration::from_millis(ms as u64);
        let frame = |config: &Arc<CodecConfig>, dts, duration, key| {
            let (config, payload) = (Arc::clone(config), Bytes::from_static(&[0, 0, 0, 2, 0x65, 1]));
            Frame { config, dts, pts: dts, duration, key, payload }
        };
        if ms % 40 == 0 {
            packager.handle_frame(now, VIDEO, &frame(&video, ms * 90, 0, ms % 1_000 == 0));
        }
        if ms >= audio_from_ms {
            packager.handle_frame(now, AUDIO, &frame(&audio, ms * 48, 960, true));
        }
        while let Some(effect) = packager.poll_effect() {
            match effect {
                Effect::Warning(warning) => warnings.push(warning),
                Effect::Snapshot(snapshot) => last = Some(snapshot),
                Effect::KeyframeIntervalMended => {}
                // Nothing is kept on disk here.
                other => panic!("{other:?}"),
            }
        }
    }
    Outcome { warnings, last: last.expect("something is shown") }
}

fn aac() -> CodecConfig {
    CodecConfig::Aac(AacConfig::parse(Bytes::from_static(&[0x11, 0x90])).expect("valid"))
}

fn opaque(codec: Codec) -> CodecConfig {
    CodecConfig::Opaque { codec, record: Bytes::new() }
}

#[test]
fn a_picture_that_cannot_be_carried_costs_the_sound_nothing() {
    let Outcome { warnings, last } = stream(opaque(Codec::Vp8), aac(), 0);
    assert_eq!(warnings, [Warning::CodecUnsupported(Codec::Vp8)]);
    assert!(last.state == State::Live && last.video.is_none());
    let sound = last.audio.as_ref().expect("sound");
    assert!(sound.segments().iter().all(|segment| !segment.discontinuity && !segment.gap), "one stretch of time");
    let secs: f64 = sound.segments().iter().filter_map(|segment| segment.duration_secs).sum();
    assert!(secs > 10.0, "{secs} s are listed or still held");
}

#[test]
fn a_sound_that_cannot_be_carried_costs_the_picture_nothing_however_late_it_comes() {
    let h264 = || CodecConfig::H264(H264Config::parse(&AVCC).expect("valid"));
    for from_ms in [0, 10_000] {
        let Outcome { warnings, last } = stream(h264(), opaque(Codec::Mp3), from_ms);
        assert_eq!(warnings, [Warning::CodecUnsupported(Codec::Mp3)], "from {from_ms}");
        assert!(last.state == State::Live && last.audio.is_none());
        let picture = last.video.as_ref().expect("a picture");
        assert!(picture.segments().iter().all(|segment| !segment.discontinuity && !segment.gap), "one stretch of time");
    }
}
