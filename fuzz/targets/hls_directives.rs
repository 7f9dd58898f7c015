//! The query string of a playlist request, read and answered against streams that are live, ended and not there.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telstar_hls::request::{Answer, Directives, answer, answer_pictures};
use telstar_hls::{Budget, DvrWindow, Effect, HlsConfig, Packager, Snapshot};
use telstar_media::codec::H264Config;
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, MediaKind, Origin, TrackInfo};
use telstar_units::{Epoch, Timescale, TrackId, WallTime};

/// libx264's record for 320x180 Baseline.
const AVCC: [u8; 41] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb,
    0x83, 0xcb, 0x20,
];
const FRAMES: i64 = 1_510;

static SNAPSHOTS: LazyLock<Vec<Arc<Snapshot>>> = LazyLock::new(snapshots);

/// A minute of video: while it is live, and after its end.
fn snapshots() -> Vec<Arc<Snapshot>> {
    let config = HlsConfig { dvr_window: DvrWindow::Last(Duration::from_secs(60)), ..HlsConfig::default() };
    let mut packager = Packager::new(config, Budget::new(1 << 30), 100, 7).with_disk(Budget::new(1 << 30));
    let (id, now) = (TrackId(1), Instant::now());
    let (codec, keyframes, origin) = (Codec::H264, KeyframeMode::Periodic, Origin::Publisher);
    let track = TrackInfo { id, codec, timescale: Timescale::VIDEO, keyframes, origin };
    packager.start_epoch(now, Epoch(100), WallTime(100_000_000), vec![track]);
    let record = Arc::new(CodecConfig::H264(H264Config::parse(&AVCC).expect("a record")));
    for n in 0..FRAMES {
        let (config, dts, key) = (Arc::clone(&record), n * 3_600, n % 50 == 0);
        let payload = Bytes::from_static(&[0, 0, 0, 4, 0x65, 1, 2, 3]);
        let frame = Frame { config, dts, pts: dts, duration: 0, key, payload };
        packager.handle_frame(now + Duration::from_millis(n as u64 * 40), id, &frame);
    }
    let live = newest(&mut packager);
    packager.finish(now + Duration::from_secs(61));
    vec![Arc::new(Snapshot::offline()), live, newest(&mut packager)]
}

fn newest(packager: &mut Packager) -> Arc<Snapshot> {
    let mut newest = None;
    while let Some(effect) = packager.poll_effect() {
        if let Effect::Snapshot(snapshot) = effect {
            newest = Some(snapshot);
        }
    }
    newest.expect("something is listed")
}

fuzz_target!(|query: &str| {
    let Ok(directives) = Directives::parse(query) else { return };
    for (index, snapshot) in SNAPSHOTS.iter().enumerate() {
        for answer in [
            answer(snapshot, MediaKind::Video, &directives),
            answer(snapshot, MediaKind::Audio, &directives),
            answer_pictures(snapshot, &directives),
        ] {
            match answer {
                Answer::Ready(text) => assert!(text.text().starts_with(b"#EXTM3U\n")),
                Answer::Wait | Answer::BadRequest(_) => assert_eq!(index, 1, "only what goes on is waited for"),
                Answer::NotFound => {}
            }
        }
    }
});
