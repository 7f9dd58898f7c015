//! What a seed does: who takes part, what goes wrong and when, and what must hold once nothing goes wrong any more.
//!
//! In: a seed. Out: what became of it, or why it failed. A run has three parts: a good start, faults, and calm, in which every
//! viewer has to reach a steady state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use str0m::format::Codec;
use telstar_sfu::{Flow, PeerId};

use crate::call::{Call, LAYERS, ONE};
use crate::decoder::FREEZE;
use crate::random::Random;

/// How long the call goes well at first.
const START: Duration = Duration::from_secs(4);
/// How long faults go on.
const FAULTS: Duration = Duration::from_secs(8);
/// How long a viewer may take to reach a steady state when faults stop: the allocator's longest wait before it tries a better layer
/// again is 12 s, and the estimate has to rise before it.
const SETTLE: Duration = Duration::from_secs(30);
/// How long a state has to last to be called steady.
const STEADY: Duration = Duration::from_secs(2);
/// On a path that is limited for good pictures may hesitate while a better layer is tried.
const FREEZE_LIMITED: Duration = Duration::from_secs(1);
/// A path is expected to show the best layers that take so many percent less than it carries.
const EXPECTED_PERCENT: u64 = 50;
/// A viewer's picture may stand for so long after a NAT has moved it or whom it sees: until the next check of who moved, which an idle
/// engine makes every 3 s at the latest (browsers: 2.5 to 5 s), and a second each for the way of media and for a keyframe.
const MOVED_MAX: Duration = Duration::from_secs(5);
/// Whose path is not touched sees no picture stand for longer, whatever becomes of the others: a keyframe and what waits for it.
const UNTOUCHED_MAX: Duration = Duration::from_millis(500);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A viewer's path narrows and widens.
    Bandwidth,
    /// Viewers change what they want.
    Layers,
    /// Packets are lost, one by one and in bursts, overtake each other and come twice.
    Loss,
    /// One viewer's path is narrow for good, beside others.
    SlowBesideFast,
    /// A publisher's machine vanishes.
    PublisherVanishes,
    /// NATs give clients other addresses.
    Rebind,
    /// Everything at once.
    Everything,
    /// Sockets of signalling break and come back, in a call with media.
    Storm,
}

/// All of them; a seed's is the one at its place.
pub const SCENARIOS: [Scenario; 8] = [
    Scenario::Bandwidth,
    Scenario::Layers,
    Scenario::Loss,
    Scenario::SlowBesideFast,
    Scenario::PublisherVanishes,
    Scenario::Rebind,
    Scenario::Everything,
    Scenario::Storm,
];

/// What became of a run that broke no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it did.
    pub scenario: Scenario,
    /// How long everybody took to be steady after the last fault.
    pub settled: Duration,
    /// Equal for two runs of one seed.
    pub digest: u64,
    /// What went wrong, and how often.
    pub faults: BTreeMap<&'static str, u32>,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A rule was broken that holds after each step: which, and when.
    Broken(String),
    /// Somebody did not reach a steady state in time: why, and when it was given up.
    Unsteady(String),
}

impl Failure {
    /// The same with what was running and when.
    pub(crate) fn within(self, scenario: Scenario, at: Duration) -> Failure {
        let say = |rule: String| format!("{scenario:?}, {:.3} s in: {rule}", at.as_secs_f64());
        match self {
            Failure::Broken(rule) => Failure::Broken(say(rule)),
            Failure::Unsteady(why) => Failure::Unsteady(say(why)),
        }
    }
}

impl From<String> for Failure {
    fn from(rule: String) -> Failure {
        Failure::Broken(rule)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Broken(rule) => formatter.write_str(rule),
            Failure::Unsteady(why) => write!(formatter, "not steady: {why}"),
        }
    }
}

/// The scenario of a seed.
pub fn scenario(seed: u64) -> Scenario {
    SCENARIOS[(seed % SCENARIOS.len() as u64) as usize]
}

/// Runs a seed. `now` is where the clock begins; nothing else of it matters.
///
/// # Errors
///
/// The first rule that was broken, and when.
pub fn run(seed: u64, now: Instant) -> Result<Report, Failure> {
    let scenario = scenario(seed);
    if scenario == Scenario::Storm {
        return crate::storm::run(seed, now);
    }
    let mut run = Run::new(seed, now, scenario);
    let outcome = run.whole();
    let at = run.call.world.now - now;
    let settled = outcome.map_err(|failure| failure.within(scenario, at))?;
    Ok(Report { scenario, settled, digest: run.call.world.wire.digest, faults: run.faults })
}

pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) random: Random,
    pub(crate) call: Call,
    /// The limit that stays, by viewer.
    pub(crate) limits: Vec<Option<u64>>,
    pub(crate) next_address: u8,
    pub(crate) faults: BTreeMap<&'static str, u32>,
    /// Who was moved by a NAT, and when.
    pub(crate) moves: Vec<(Instant, PeerId)>,
}

impl Run {
    fn new(seed: u64, now: Instant, scenario: Scenario) -> Run {
        let mut random = Random::new(!seed);
        let codec = *random.pick(&[Codec::Vp8, Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1]);
        let mut call = Call::new(seed, now, codec);
        let senders = if scenario == Scenario::PublisherVanishes { 2 } else { random.range(1, 2) };
        for _ in 0..senders {
            let has_layers = scenario == Scenario::SlowBesideFast || !random.permille(200);
            let layers: &[_] = if has_layers { &LAYERS } else { &ONE };
            call.add_sender(layers, random.permille(400));
        }
        let viewers = random.range(1, 2).max(u64::from(scenario == Scenario::SlowBesideFast) * 2);
        for _ in 0..viewers {
            call.add_viewer();
        }
        for client in call.world.clients.values_mut() {
            let (delay, jitter) = (random.millis(2, 60), random.millis(0, 8));
            for link in [&mut client.up, &mut client.down] {
                (link.delay, link.jitter) = (delay, jitter);
                link.queue = random.millis(100, 600);
            }
        }
        let limits = vec![None; viewers as usize];
        Run { scenario, random, call, limits, next_address: 1, faults: BTreeMap::new(), moves: Vec::new() }
    }

    fn whole(&mut self) -> Result<Duration, Failure> {
        self.call.connect()?;
        self.call.film(START)?;
        let end = self.call.world.now + FAULTS;
        while self.call.world.now < end {
            self.fault();
            let pause = self.random.millis(300, 2_500);
            self.call.film(pause)?;
        }
        self.calm();
        let settled = self.settle();
        self.judge_pictures(end - FAULTS)?;
        settled
    }

    /// Nobody's picture stands because of others, and not for long because of a NAT.
    fn judge_pictures(&self, from: Instant) -> Result<(), String> {
        for (index, viewer) in self.call.viewers.iter().enumerate() {
            for sender in self.call.senders.iter().filter(|sender| !sender.is_gone) {
                let Some((_, _, decoder)) = self.call.screen(index, sender.track) else { continue };
                let who = format!("{:?}'s picture of {:?}", viewer.peer, sender.peer);
                let is_untouched = match self.scenario {
                    Scenario::SlowBesideFast => self.limits[index].is_none(),
                    Scenario::PublisherVanishes => true,
                    _ => false,
                };
                let freeze = decoder.longest_freeze(from, self.call.world.now);
                if is_untouched && freeze > UNTOUCHED_MAX {
                    return Err(format!("{who} stood for {freeze:?} because of others"));
                }
                if self.scenario == Scenario::Rebind {
                    let moves = self.moves.iter().filter(|(_, peer)| [viewer.peer, sender.peer].contains(peer));
                    let moves: Vec<Instant> = moves.map(|(at, _)| *at).collect();
                    let still = decoder.longest_still(from, self.call.world.now, &moves);
                    if still > MOVED_MAX {
                        return Err(format!("{who} stood for {still:?} after a move"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until every viewer has been steady for a while.
    fn settle(&mut self) -> Result<Duration, Failure> {
        let (begin, mut since) = (self.call.world.now, self.call.world.now);
        loop {
            self.call.frame()?;
            let now = self.call.world.now;
            let gone = self.call.senders.iter().filter(|sender| sender.is_gone).map(|sender| sender.peer);
            let gone: Vec<PeerId> = gone.collect();
            if let Some(peer) = self.call.failed().into_iter().find(|peer| !gone.contains(peer)) {
                return Err(format!("the server gave {peer:?} up").into());
            }
            let unsteady = self.unsteady(now);
            if unsteady.is_some() {
                since = now;
            } else if now - since >= STEADY {
                return Ok(since - begin);
            }
            if now - begin >= SETTLE
                && let Some(why) = unsteady
            {
                return Err(Failure::Unsteady(format!("{} s after the last fault: {why}", SETTLE.as_secs())));
            }
        }
    }

    /// Why somebody is not in a steady state.
    fn unsteady(&self, now: Instant) -> Option<String> {
        for (index, viewer) in self.call.viewers.iter().enumerate() {
            let limit = self.limits[index];
            let freeze_max = if limit.is_some() { FREEZE_LIMITED } else { FREEZE };
            for sender in self.call.senders.iter().filter(|sender| !sender.is_gone) {
                let who = format!("{:?} and the track of {:?}", viewer.peer, sender.peer);
                let Some((flow, layer, decoder)) = self.call.screen(index, sender.track) else {
                    return Some(format!("{who}: no slot"));
                };
                let expected = self.expected(sender.camera.layers.len(), limit);
                if flow != Flow::Active {
                    match expected {
                        Some(_) => return Some(format!("{who}: {flow:?}")),
                        None => continue,
                    }
                }
                let top = sender.camera.layers.len() > 1;
                if top && layer < expected {
                    return Some(format!("{who}: layer {layer:?} instead of {expected:?}"));
                }
                let Some(last) = decoder.shown.last() else { return Some(format!("{who}: no picture")) };
                if now.saturating_duration_since(last.at) > freeze_max {
                    return Some(format!("{who}: no picture since {:?}", now - last.at));
                }
            }
        }
        None
    }

    /// The least layer of a track that a viewer is to have in the end: what its path carries with every track at that layer.
    fn expected(&self, layers: usize, limit: Option<u64>) -> Option<u8> {
        let Some(limit) = limit else { return Some(layers as u8 - 1) };
        let tracks = self.call.senders.iter().filter(|sender| !sender.is_gone).count() as u64;
        let budget = (limit * EXPECTED_PERCENT / 100) / tracks;
        (0..layers as u8).rev().find(|layer| LAYERS[usize::from(*layer)].1 <= budget)
    }
}
