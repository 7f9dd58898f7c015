//! A viewer of three layers whose path becomes thin and wide again, beside one whose path stays as it is: the second line of
//! what calls are accepted by.
//!
//! In: a seed, and how much is lost. Out: how long each change took, and how long pictures stood still meanwhile.

use std::time::{Duration, Instant};

use str0m::format::Codec;

use crate::call::Call;
use crate::decoder::Shown;
use crate::random::Random;

/// What a browser's camera sends in 1280 x 720, as its statistics say.
const LAYERS: [(Option<&str>, u64); 3] = [(Some("l"), 140_000), (Some("m"), 490_000), (Some("h"), 1_700_000)];
/// What a thin path carries: the lowest layer with its keyframes, and not the next.
const THIN_BPS: u64 = 300_000;
/// How long the thin path's queue is.
const THIN_QUEUE: Duration = Duration::from_millis(300);
/// How long a picture is watched before the first change, and after each.
const WATCH: Duration = Duration::from_secs(20);
/// A layer counts as reached when nothing else was shown for so long after it.
const HOLD: Duration = Duration::from_secs(2);

/// What became of a run. `None`: not within the time that was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Until the top layer was shown at first.
    pub joined: Option<Duration>,
    /// Until the lowest layer was shown after the path had become thin.
    pub down: Option<Duration>,
    /// The longest time without a picture on the thin path.
    pub down_freeze: Duration,
    /// Until the top layer was shown after the path had become wide.
    pub up: Option<Duration>,
    /// The longest time without a picture after it.
    pub up_freeze: Duration,
    /// The longest time without a picture beside it.
    pub beside_freeze: Duration,
    /// Whether the viewer beside it had the top layer all the time.
    pub beside_top: bool,
}

/// Runs a seed, with `loss_permille` in both directions of the viewer's path.
///
/// # Errors
///
/// The first rule that was broken.
pub fn run(seed: u64, now: Instant, loss_permille: u32) -> Result<Outcome, String> {
    let mut random = Random::new(!seed);
    let mut call = Call::new(seed, now, *random.pick(&[Codec::Vp8, Codec::Vp8, Codec::H264]));
    let sender = call.add_sender(&LAYERS, true);
    call.senders[0].camera.key_scale = random.range(5, 8) as usize;
    let viewers = [call.add_viewer(), call.add_viewer()];
    // The publisher's way there and back is most of what it takes to answer a request for a keyframe.
    let delays = [random.millis(20, 50), random.millis(2, 40), random.millis(2, 40)];
    let jitter = random.millis(0, 5);
    for (peer, delay) in [sender, viewers[0], viewers[1]].into_iter().zip(delays) {
        let client = call.world.client(peer);
        for link in [&mut client.up, &mut client.down] {
            (link.delay, link.jitter) = (delay, jitter);
        }
    }
    call.connect()?;
    let wide = *random.pick(&[None, None, Some(2_600_000), Some(4_000_000)]);
    let limit = |call: &mut Call, limit_bps| {
        let down = &mut call.world.client(viewers[0]).down;
        (down.limit_bps, down.queue) = (limit_bps, THIN_QUEUE);
    };
    limit(&mut call, wide);
    let joined = call.world.now;
    call.film(WATCH / 2)?;
    let client = call.world.client(viewers[0]);
    (client.up.loss_permille, client.down.loss_permille) = (loss_permille, loss_permille);
    let settle = random.millis(5_000, 7_000);
    call.film(settle)?;

    let thin = call.world.now;
    limit(&mut call, Some(THIN_BPS));
    call.film(WATCH)?;
    let freed = call.world.now;
    limit(&mut call, wide);
    call.film(WATCH)?;
    let end = call.world.now;

    let top = LAYERS.len() as u8 - 1;
    let shown = |viewer: usize| call.viewers[viewer].screens.values().next().map(|(decoder, _)| decoder);
    let (Some(first), Some(second)) = (shown(0), shown(1)) else { return Err("nobody saw anything".to_owned()) };
    let steady = second.shown.iter().filter(|shown| shown.at >= joined + WATCH / 2);
    Ok(Outcome {
        joined: reached(&first.shown, joined, top),
        down: reached(&first.shown, thin, 0),
        down_freeze: first.longest_freeze(thin, freed),
        up: reached(&first.shown, freed, top),
        up_freeze: first.longest_freeze(freed, end),
        beside_freeze: second.longest_freeze(thin, end),
        beside_top: steady.map(|shown| shown.layer).all(|layer| layer == top),
    })
}

/// When a layer was shown after `from`, and nothing else for a while.
fn reached(shown: &[Shown], from: Instant, layer: u8) -> Option<Duration> {
    let after: Vec<&Shown> = shown.iter().filter(|shown| shown.at >= from).collect();
    let others = |at: Instant| after.iter().any(|shown| shown.layer != layer && (at..at + HOLD).contains(&shown.at));
    let found = after.iter().find(|shown| shown.layer == layer && !others(shown.at));
    found.map(|shown| shown.at - from)
}
