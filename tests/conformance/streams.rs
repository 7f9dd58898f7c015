//! This server's streams, of every kind that the checklist asks for, watched by the client.
//!
//! Frames come in real time, behind a start that is faster, so that windows slide while the client watches.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use source::{Arrival, Rate, Source};
use telstar::config::PlaylistType;
use telstar::rooms::{IngestHandle, IngestRequest, IngestVia};
use telstar::shards::IngestItem;
use telstar_units::RoomName;
use tokio::task::JoinSet;

use crate::client::{Course, Options, RULES, Report, examine};
use crate::support::Rig;

#[path = "hevc.rs"]
mod hevc;
#[path = "../../crates/hls/tests/support/source.rs"]
#[allow(dead_code, reason = "shared with the simulations of the packager, which use all of it")]
mod source;
#[path = "../support/worker.rs"]
mod worker;

/// Media that has come before the client, unless a stream says otherwise: a full window, and regular groups of pictures.
const BEFORE: Duration = Duration::from_secs(12);
/// Long enough for what leaves the window to be asked for again.
const WATCH: Duration = Duration::from_secs(11);
/// When frames stop or the stream ends, counted from the client's start.
const UNTIL_STOP: Duration = Duration::from_secs(4);
/// More media than any course takes.
const SOURCE_SECS: f64 = 180.0;
const HEVC: &str = "HEVC by Enhanced RTMP";
/// Ten streams at once leave little of a small machine to the encoder of one. How late it is is measured end to end.
const CONVERTED_APART_SECS_MAX: f64 = 5.0;
/// How often the encoder hands over what is due.
const TICK: Duration = Duration::from_millis(10);
/// A window above two minutes, for which delta updates are asked (Apple 14.4), and far more than one leaves in.
const BEFORE_DVR: Duration = Duration::from_secs(125);

/// A stream and what the client is told of it.
struct Stream {
    name: &'static str,
    source: Source,
    course: Course,
    keyframes_in_time: bool,
    /// Over TLS and HTTP/2, in a room that needs a token.
    is_private: bool,
    /// From an encoder on a socket, whose pictures are HEVC; they are listed in H.264 as well.
    hevc: bool,
    /// Media that has come before the client.
    before: Duration,
    /// What the server is told besides.
    configure: fn(&mut telstar::Config),
}

impl Stream {
    fn new(name: &'static str, source: Source) -> Stream {
        let source = Source { secs: SOURCE_SECS, ..source };
        Stream {
            name,
            source,
            course: Course::Live,
            keyframes_in_time: true,
            is_private: false,
            hevc: false,
            before: BEFORE,
            configure: |_| {},
        }
    }
}

fn streams() -> Vec<Stream> {
    let with_b_frames = || Source { b_frames: 2, ..Source::default() };
    // Regular at first, so that the target duration is fixed; then a keyframe every ten seconds.
    let long_groups = Source { gop_frames: 300, scene_cuts: vec![60, 120, 180], ..Source::default() };
    let streams = vec![
        Stream { is_private: true, ..Stream::new("sound and pictures with B-frames", with_b_frames()) },
        Stream::new(
            "25 pictures a second, 44.1 kHz",
            Source { rate: Some(Rate::Constant(25.0)), gop_frames: 50, audio_hz: Some(44_100), ..Source::default() },
        ),
        Stream::new("sound only", Source { rate: None, ..Source::default() }),
        Stream::new("pictures only", Source { audio_hz: None, ..with_b_frames() }),
        Stream { keyframes_in_time: false, ..Stream::new("long groups of pictures", long_groups) },
        Stream { course: Course::Stalls, ..Stream::new("frames stop", with_b_frames()) },
        Stream { course: Course::Ends, ..Stream::new("the encoder ends", with_b_frames()) },
    ];
    let hevc = Stream {
        hevc: true,
        configure: |config| config.transcode.worker = worker::worker(),
        ..Stream::new(HEVC, Source::default())
    };
    let dvr = Stream {
        before: BEFORE_DVR,
        configure: |config| config.hls.dvr_window_secs = 600,
        ..Stream::new("a DVR window", with_b_frames())
    };
    let event = Stream {
        before: BEFORE_DVR,
        configure: |config| config.hls.playlist_type = PlaylistType::Event,
        ..Stream::new("an event", with_b_frames())
    };
    streams.into_iter().chain([hevc, dvr, event]).collect()
}

/// An encoder in the process: hands over frames when they are due.
async fn encode(encoder: IngestHandle, frames: Vec<Arrival>, course: Course, before: Duration) {
    let stop = (before + UNTIL_STOP).as_millis() as i64;
    let mut frames = frames.into_iter().filter(|arrival| course == Course::Live || arrival.at_ms < stop).peekable();
    let mut clock = tokio::time::interval(TICK);
    let started = Instant::now();
    while frames.peek().is_some() {
        let due = (before + started.elapsed()).as_millis() as i64;
        while let Some(arrival) = frames.next_if(|arrival| arrival.at_ms < due) {
            let sent = encoder.send(vec![IngestItem::Frame(arrival.track, arrival.frame)]).await;
            if sent.is_err() {
                return;
            }
        }
        clock.tick().await;
    }
    if course == Course::Stalls {
        // It is still connected.
        encoder.kicked().await;
    }
}

async fn watch(stream: Stream) -> (&'static str, Report) {
    let Stream { name, source, course, keyframes_in_time, is_private, hevc, before, configure } = stream;
    let rig = Rig::start_with(|config| {
        config.hls.reconnect_window_secs = 0;
        configure(config);
    })
    .await;
    let mut encoder = JoinSet::new();
    if hevc {
        let (address, key) = hevc::door(&rig);
        encoder.spawn(hevc::publish(address, key, hevc::Clip::encode()));
    } else {
        let room = RoomName::parse("demo").expect("a room name");
        let request = IngestRequest { room, key: None, protocol: "rtmp", encoder: None, via: IngestVia::Ring };
        let handle = rig.running.state().rooms.open_ingest(request).await.expect("admitted");
        handle.send(source.tracks().into_iter().map(IngestItem::Track).collect()).await.expect("taken");
        encoder.spawn(encode(handle, source.frames(), course, before));
    }
    let url = match is_private {
        true => rig.https(&format!("/live/demo/index.m3u8?t={}", playback_token(&rig).await)),
        false => rig.http("/live/demo/index.m3u8"),
    };
    let watch = if course == Course::Live { WATCH } else { UNTIL_STOP + Duration::from_secs(2) };
    let apart_secs_max = hevc.then_some(CONVERTED_APART_SECS_MAX);
    let options = Options { url, watch, course, i_frames_required: true, keyframes_in_time, apart_secs_max };
    (name, examine(options).await)
}

/// Closes the room to all but those with this token.
async fn playback_token(rig: &Rig) -> String {
    let admin = format!("Bearer {}", rig.token(600).await);
    let ask = |method, path| {
        let request = rig.request(method, path).header("authorization", &admin);
        request.header("origin", rig.http(""))
    };
    let closed = ask(reqwest::Method::PATCH, "/api/v1/rooms/demo").json(&serde_json::json!({ "open": false }));
    assert!(closed.send().await.expect("answered").status().is_success());
    let made = ask(reqwest::Method::POST, "/api/v1/rooms/demo/playback-tokens").send().await.expect("answered");
    let made: serde_json::Value = made.json().await.expect("a token in JSON");
    made["token"].as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_stream_conforms_from_its_start_to_its_end() {
    let mut watched = JoinSet::new();
    for stream in streams() {
        watched.spawn(watch(stream));
    }
    let (mut wrong, mut judged) = (Vec::new(), BTreeSet::new());
    while let Some(done) = watched.join_next().await {
        let (name, report) = done.expect("neither client nor server panics");
        if !report.violations.is_empty() {
            wrong.push(format!("{name}: {report}"));
        }
        report.keep_playlists(name);
        if name == HEVC {
            let is_beside = |text: &&String| text.contains("CODECS=\"hvc1.") && text.contains("CODECS=\"avc1.");
            assert!(report.texts.iter().any(|text| is_beside(&text)), "H.264 is listed beside it");
        }
        judged.extend(report.judged.iter().copied());
        assert!(report.playlists > 15 && report.media > 15, "{name}: it looked at too little: {report}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What only an asset has to be judged is judged there.
    let of_assets = ["M7", "M8"];
    let unjudged: Vec<&str> =
        RULES.iter().map(|rule| rule.id).filter(|id| !judged.contains(id) && !of_assets.contains(id)).collect();
    assert!(unjudged.is_empty(), "rules that judged nothing: {unjudged:?}");
}
