//! Each viewer gets the layer that their line carries: a clip of three layers, one viewer behind a line that becomes narrow
//! and wide again, and one beside them who must not notice. Judged by the clip's own bytes, packet for packet.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use telstar_client::clip::{Clip, Video, play_video};
use telstar_client::{Codec, JoinOptions, Kind, LocalTrackOptions, Source, Subscription};
use tokio::sync::OnceCell;

use crate::line::{Line, Terms};
use crate::people::{Person, Stage};
use crate::recording::{Judged, Recording};

/// Width, height and bits a second of the clip's layers. The lowest fits into [`THIN`], the next does not.
const SIZES: [(u16, u16, u32); 3] = [(320, 180, 140_000), (640, 360, 500_000), (1280, 720, 1_700_000)];
const THIN: u32 = 300_000;
const LOSS_PERCENT: u64 = 5;
const SEED: u64 = 4;
/// What a machine may take that does much else meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// A layer has come when so many pictures of it came one after another: a second of them.
const HELD: usize = 30;
/// Where time is judged, five seconds; and twelve of the top layer, because the server waits longer with each rise that did
/// not last for ten (`RISE_LASTED` in `crates/sfu/src/allocate.rs`), and each round is to be a path of its own.
const LOW_HELD_TIMED: usize = 150;
const TOP_HELD_TIMED: usize = 360;
/// How often the limit comes and goes where time is judged.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_line_gets_the_low_layer_and_the_top_one_again_when_it_is_wide() {
    let mut call = Watched::begin(0).await;
    let round = call.round(HELD, HELD).await;
    println!("{}", call.figures(&round));
    call.assert_exact(&round);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_line_with_loss_gets_the_low_layer_and_the_top_one_again_when_it_is_wide() {
    let mut call = Watched::begin(LOSS_PERCENT).await;
    let round = call.round(HELD, HELD).await;
    println!("{}", call.figures(&round));
    call.assert_exact(&round);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures time, for which a machine has to be quiet"]
async fn timed_limits_without_loss() {
    print_rounds(0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures time, for which a machine has to be quiet"]
async fn timed_limits_with_loss() {
    print_rounds(LOSS_PERCENT).await;
}

/// For `tests/e2e/run.sh call-limits-exact`, which judges the medians of the times that this prints.
async fn print_rounds(loss_percent: u64) {
    let mut call = Watched::begin(loss_percent).await;
    for _ in 0..ROUNDS {
        let round = call.round(LOW_HELD_TIMED, TOP_HELD_TIMED).await;
        println!("{}", call.figures(&round));
        call.assert_exact(&round);
    }
}

/// Made once for all tests: it takes some seconds.
static CLIP: OnceCell<Arc<[Video]>> = OnceCell::const_new();

async fn clip() -> Arc<[Video]> {
    let made = tokio::task::spawn_blocking(|| Clip::convert("test", &SIZES)).await.expect("it does not panic");
    made.expect("ffmpeg makes it").layers.into()
}

/// A call with its publisher and two viewers.
struct Watched {
    clip: Arc<[Video]>,
    line: Line,
    loss_percent: u64,
    thin: Recording,
    wide: Recording,
    _people: [Person; 3],
    _stage: Stage,
}

/// When the limit came, when it went, and when all was as before.
struct Round {
    limited: Instant,
    freed: Instant,
    ended: Instant,
}

impl Watched {
    /// Both viewers have the top layer.
    async fn begin(loss_percent: u64) -> Watched {
        let clip = CLIP.get_or_init(clip).await.clone();
        let stage = Stage::with_media().await;
        let server = stage.rig.running.addresses().media.expect("media is on");
        let line = Line::to(server, SEED).await;
        let relayed = JoinOptions { media_relay: Some(line.address), ..JoinOptions::default() };
        let anna = stage.person("anna").await;
        let mut thin = stage.person_at(&stage.ws(), "thin", relayed).await;
        let mut wide = stage.person("wide").await;
        let layers = ["l", "m", "h"].iter().zip(&*clip).map(|(rid, video)| video.layer(rid)).collect();
        let options = LocalTrackOptions { codec: Codec::Vp8, source: Source::Camera, name: String::new(), layers };
        let mut track = anna.call.publish(options).await.expect("the server takes it");
        let playing = clip.clone();
        tokio::spawn(async move { play_video(&mut track, &playing).await });
        let (mut thin_seen, mut wide_seen) = (record(&mut thin).await, record(&mut wide).await);
        wide_seen.until_layer(&clip, 2, HELD, PATIENCE).await;
        thin_seen.until_layer(&clip, 2, HELD, PATIENCE).await;
        line.set(Terms { limit: None, loss_percent });
        let people = [anna, thin, wide];
        Watched { clip, line, loss_percent, thin: thin_seen, wide: wide_seen, _people: people, _stage: stage }
    }

    async fn round(&mut self, low_held: usize, top_held: usize) -> Round {
        let limited = Instant::now();
        self.line.set(Terms { limit: Some(THIN), loss_percent: self.loss_percent });
        self.thin.until_layer(&self.clip, 0, low_held, PATIENCE).await;
        let freed = Instant::now();
        self.line.set(Terms { limit: None, loss_percent: self.loss_percent });
        self.thin.until_layer(&self.clip, 2, top_held, PATIENCE).await;
        Round { limited, freed, ended: Instant::now() }
    }

    fn judged(&self) -> (Judged, Judged) {
        (self.thin.judge(&self.clip), self.wide.judge(&self.clip))
    }

    fn figures(&self, round: &Round) -> serde_json::Value {
        let ((thin, wide), drops) = (self.judged(), self.line.drops());
        let Round { limited, freed, ended } = *round;
        let ms = |time: Duration| time.as_millis() as u64;
        json!({
            "loss_percent": self.loss_percent,
            "low_ms": ms(thin.settled(limited, freed)),
            "top_ms": ms(thin.settled(freed, ended)),
            "freeze_ms": ms(thin.freeze(limited, ended)),
            "beside_freeze_ms": ms(wide.freeze(limited, ended)),
            "layers_limited": thin.layers(limited, freed),
            "layers_freed": thin.layers(freed, ended),
            "missing": thin.missing.len(),
            "dropped_by_queue": drops.queue.len(),
            "lost": drops.loss.len(),
        })
    }

    /// What holds whatever the time: see also what [`Recording::judge`] asserts of every picture.
    fn assert_exact(&self, round: &Round) {
        let ((thin, wide), drops) = (self.judged(), self.line.drops());
        let limited = thin.layers(round.limited, round.freed);
        assert!(limited.is_sorted_by(|a, b| a > b) && limited.last() == Some(&0), "down and not up: {limited:?}");
        let freed = thin.layers(round.freed, round.ended);
        assert!(freed.is_sorted() && freed.last() == Some(&2), "up and not down: {freed:?}");
        let unexplained: Vec<_> = thin.missing.iter().filter(|packet| !drops.contains(**packet)).collect();
        assert!(unexplained.is_empty(), "packets that the line did not drop: {unexplained:?}");
        assert_eq!(wide.missing, [], "the other viewer misses nothing");
        assert_eq!(wide.layers(round.limited, round.ended), [2], "and keeps the top layer");
    }
}

/// Shows the camera of anna as large as it is.
async fn record(viewer: &mut Person) -> Recording {
    let track = viewer.track_of("anna", Kind::Video).await;
    let remote = viewer.call.subscribe(&track.id, Subscription::default()).await.expect("the track is there");
    Recording::of(remote)
}
