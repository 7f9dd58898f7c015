//! What a seed does: who takes part, what goes wrong and when, and what must hold once nothing goes wrong any more.
//!
//! In: a seed. Out: what became of it, or why it failed. A run has three parts: a good start, faults, and calm, in which every
//! viewer has to reach a steady state.

use std::time::{Duration, Instant};

use str0m::format::Codec;
use telstar_sfu::{Flow, PeerId, Subscription};

use crate::call::{Call, LAYERS, ONE};
use crate::decoder::FREEZE;
use crate::link::Bursts;
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
/// Rate limits that are drawn, in bits per second.
const LIMITS_BPS: [u64; 5] = [200_000, 300_000, 500_000, 1_000_000, 2_000_000];

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
pub fn run(seed: u64, now: Instant) -> Result<Report, String> {
    let scenario = scenario(seed);
    if scenario == Scenario::Storm {
        return crate::storm::run(seed, now);
    }
    let mut run = Run::new(seed, now, scenario);
    let outcome = run.whole();
    let at = run.call.world.now - now;
    let settled = outcome.map_err(|rule| format!("{scenario:?}, {:.3} s in: {rule}", at.as_secs_f64()))?;
    Ok(Report { scenario, settled, digest: run.call.world.wire.digest })
}

struct Run {
    scenario: Scenario,
    random: Random,
    call: Call,
    /// The limit that stays, by viewer.
    limits: Vec<Option<u64>>,
    next_address: u8,
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
        Run { scenario, random, call, limits, next_address: 1 }
    }

    fn whole(&mut self) -> Result<Duration, String> {
        self.call.connect()?;
        self.call.film(START)?;
        let end = self.call.world.now + FAULTS;
        while self.call.world.now < end {
            self.fault();
            let pause = self.random.millis(300, 2_500);
            self.call.film(pause)?;
        }
        self.calm();
        self.settle()
    }

    /// Something goes wrong.
    fn fault(&mut self) {
        match self.scenario {
            Scenario::Bandwidth => self.narrow(),
            Scenario::Layers => self.wish(),
            Scenario::Loss => self.lose(),
            Scenario::SlowBesideFast => self.keep_narrow(),
            Scenario::PublisherVanishes => self.vanish(),
            Scenario::Rebind => self.rebind(),
            Scenario::Everything | Scenario::Storm => match self.random.range(0, 3) {
                0 => self.narrow(),
                1 => self.wish(),
                2 => self.lose(),
                _ => self.rebind(),
            },
        }
    }

    fn viewer(&mut self) -> usize {
        self.random.range(0, self.call.viewers.len() as u64 - 1) as usize
    }

    fn narrow(&mut self) {
        let viewer = self.viewer();
        let limit = self.random.permille(700).then(|| *self.random.pick(&LIMITS_BPS));
        let peer = self.call.viewers[viewer].peer;
        self.call.world.client(peer).down.limit_bps = limit;
    }

    fn keep_narrow(&mut self) {
        if self.limits[0].is_none() {
            let limit = *self.random.pick(&LIMITS_BPS[1..]);
            self.limits[0] = Some(limit);
            let peer = self.call.viewers[0].peer;
            self.call.world.client(peer).down.limit_bps = Some(limit);
        }
    }

    fn wish(&mut self) {
        let viewer = self.viewer();
        let sender = self.random.range(0, self.call.senders.len() as u64 - 1) as usize;
        let track = self.call.senders[sender].track;
        let mut subscription = Subscription { priority: self.random.range(0, 255) as u8, ..Subscription::default() };
        match self.random.range(0, 4) {
            0 => subscription.paused = true,
            1 => subscription.enabled = false,
            2 => (subscription.width, subscription.height) = (320, 180),
            3 => (subscription.width, subscription.height) = (640, 360),
            _ => {}
        }
        self.call.wish(viewer, track, subscription);
    }

    fn lose(&mut self) {
        let peers: Vec<PeerId> = self.call.world.clients.keys().copied().collect();
        let peer = *self.random.pick(&peers);
        let (kind, much, is_up) = (self.random.range(0, 4), self.random.range(5, 80) as u32, self.random.permille(500));
        let by = self.random.millis(5, 60);
        let client = self.call.world.client(peer);
        let link = if is_up { &mut client.up } else { &mut client.down };
        match kind {
            0 => link.loss_permille = much,
            1 => link.bursts = Bursts { begin_permille: 10, end_permille: 200, loss_permille: 10 * much },
            2 => (link.reorder_permille, link.reorder_by) = (much, by),
            3 => link.duplicate_permille = much,
            _ => link.calm(),
        }
    }

    fn vanish(&mut self) {
        let sender = &mut self.call.senders[1];
        sender.is_gone = true;
        self.call.world.client(sender.peer).cut = true;
    }

    fn rebind(&mut self) {
        let peers: Vec<PeerId> = self.call.world.clients.keys().copied().collect();
        let peer = *self.random.pick(&peers);
        let address = std::net::Ipv4Addr::new(203, 0, 113, self.next_address);
        self.next_address = self.next_address.wrapping_add(1);
        self.call.world.rebind(peer, (address, 40_000 + u16::from(self.next_address)).into());
    }

    /// Nothing goes wrong any more, and everybody wants everything.
    fn calm(&mut self) {
        for client in self.call.world.clients.values_mut() {
            client.up.calm();
            client.down.calm();
            client.down.limit_bps = None;
        }
        for viewer in 0..self.call.viewers.len() {
            let peer = self.call.viewers[viewer].peer;
            self.call.world.client(peer).down.limit_bps = self.limits[viewer];
            for track in std::mem::take(&mut self.call.viewers[viewer].wishes).into_keys() {
                self.call.wish(viewer, track, Subscription::default());
            }
        }
    }

    /// Waits until every viewer has been steady for a while.
    fn settle(&mut self) -> Result<Duration, String> {
        let (begin, mut since) = (self.call.world.now, self.call.world.now);
        loop {
            self.call.frame()?;
            let now = self.call.world.now;
            let gone = self.call.senders.iter().filter(|sender| sender.is_gone).map(|sender| sender.peer);
            let gone: Vec<PeerId> = gone.collect();
            if let Some(peer) = self.call.failed().into_iter().find(|peer| !gone.contains(peer)) {
                return Err(format!("the server gave {peer:?} up"));
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
                return Err(format!("not steady {} s after the last fault: {why}", SETTLE.as_secs()));
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
