//! How much a path carries, from what its other end reports about each packet.
//!
//! In: packets that leave, transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), what is wanted, `now`.
//! Out: bits per second, probes to be sent, the round trip and the loss. No socket, no clock.
//!
//! The estimator is GoogCC: draft-ietf-rmcat-gcc-02 as libwebrtc has developed it further, because that is what browsers send by and
//! networks know. Each part names what of libwebrtc it follows, and where it does not.
//!
//! - [`history`]: what left, by number; the loss of the last second;
//! - [`rate`]: how much arrives, how fast a burst did, whether the sender sends less than it might;
//! - [`trend`]: whether a queue grows; [`aimd`]: the rate that follows from it;
//! - [`loss`]: the rate that follows from loss;
//! - [`probing`] and [`cluster`]: when more is looked for, and what is found.

use std::time::{Duration, Instant};

mod aimd;
mod cluster;
mod history;
mod loss;
mod probing;
mod rate;
mod trend;

use aimd::Aimd;
use cluster::Clusters;
use history::{Fate, History, Losses, Micros, SECOND, Sent};
use loss::{Loss, Report};
use probing::{Probing, Situation};
use rate::{Acknowledged, Burst, Limited};
use trend::{Trend, Usage};

/// The times of feedback begin anew after so long: 24 bits of 64 ms.
const CLOCK_PERIOD: i64 = (1 << 24) * 64_000;
/// A step of the peer's clock, there or back, that is not of packets on their way. What is beyond it is taken for so much.
const CLOCK_STEP_MAX: i64 = 60 * SECOND as i64;
/// [`Estimator::poll_timeout`] never asks for more than one call in so long.
const TIMEOUT_EVERY: Micros = 25_000;
/// Nothing arrived for so long: what the queue did then says nothing any more.
const USAGE_FOR: Micros = SECOND / 2;
/// A queue longer than this is not made longer by a probe.
const QUEUE_BORNE: Duration = Duration::from_millis(80);
/// Loss that limits keeps probes away for so long after it last made the limit fall.
const LOSS_CALM: Micros = 5 * SECOND;
/// While so young an estimator sees no loss, it does not look at it (libwebrtc's `kStartPhase`).
const START: Micros = 2 * SECOND;
/// How long after a sender began to use its path, or more of it, what arrives may still be of before.
const LIMITED_UNTIL: Micros = SECOND;
/// A sender counts as limited by what it has to send for so long after it last was: around the threshold it goes to and fro.
const LIMITED_LATELY: Micros = 3 * SECOND;
/// Loss that comes at any rate is after the queue, as far as anybody can tell: what came out of the queue is more by so much.
const BORNE_LOSS: f64 = 0.1;
/// Nobody reported what left so long ago, though it was reported before: the path stands. Each second more makes the estimate less
/// (libwebrtc's `RttBasedBackoff`).
const SILENT_AFTER: Micros = 3 * SECOND;
const SILENT_FALL: f64 = 0.8;
/// What is used of what arrives, when a probe found less than that.
const PROBE_FALL: f64 = 0.85;
/// An estimate below this part of the one before fell.
const FELL: f64 = 0.98;
/// How much a new round trip counts (RFC 6298 §2).
const ROUND_TRIP_WEIGHT: u64 = 8;
/// The round trip before one is known.
const ROUND_TRIP_FIRST: Micros = 200_000;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody wants it.
    Media,
    /// It is sent to find out more.
    Padding,
}

/// Packets to be sent at a rate, to see whether they arrive at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What [`Estimator::handle_sent`] is told of its packets. Never 0.
    pub id: u32,
    /// How fast.
    pub bps: u64,
    /// How many packets at least.
    pub packets: u32,
    /// And how many bytes, with IP and UDP.
    pub bytes: usize,
}

/// What is known of one path.
#[derive(Debug)]
pub struct Estimator {
    origin: Instant,
    /// The newest moment anybody told.
    now: Micros,
    timeout_at: Micros,
    history: History,
    losses: Losses,
    /// Packets before this one say nothing about the path as it is taken to be since.
    begun: u64,
    clock: Clock,
    /// What arrived by one report; kept for its memory. As many as the report has.
    arrived: Vec<Arrived>,
    round_trip: Option<Micros>,
    path: Path,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    at: i64,
    number: u64,
    sent: Sent,
}

/// The peer's clock, without its periods.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    last: Option<i64>,
    time: i64,
}

/// All that [`Estimator::set_estimate`] forgets.
#[derive(Debug)]
struct Path {
    acknowledged: Acknowledged,
    burst: Burst,
    limited: Limited,
    limited_end: Option<Micros>,
    trend: Trend,
    aimd: Aimd,
    loss: Loss,
    clusters: Clusters,
    probing: Probing,
    /// When a probe last found more.
    raised: Option<Micros>,
    smooth_round_trip: Micros,
    started: Option<Micros>,
    /// When something last arrived.
    heard: Option<Micros>,
    /// Since when nothing was reported of what leaves.
    unanswered: Option<Micros>,
    estimate: f64,
}

impl Estimator {
    /// A path nobody knows, which is taken to carry so much.
    pub fn new(now: Instant, start_bps: u64) -> Estimator {
        Estimator {
            origin: now,
            now: 0,
            timeout_at: 0,
            history: History::new(),
            losses: Losses::default(),
            begun: 0,
            clock: Clock::default(),
            arrived: Vec::new(),
            round_trip: None,
            path: Path::new(0, start_bps as f64, Probing::new(1)),
        }
    }

    /// A packet left. `number` counts all packets of the connection (its low 16 bits are on the wire), `bytes` are with IP and UDP.
    pub fn handle_sent(&mut self, now: Instant, number: u64, bytes: usize, kind: Kind, probe: Option<u32>) {
        let now = self.advance(now);
        let bytes = bytes.min(usize::from(u16::MAX)) as u16;
        let probe = probe.unwrap_or(0);
        self.history.push(number, Sent { at: now, probe, bytes, fate: Fate::Unknown });
        if kind == Kind::Media {
            self.path.limited.handle_sent(now, bytes);
        }
        if probe != 0 {
            self.path.probing.handle_sent(probe);
        }
        self.path.unanswered.get_or_insert(now);
    }

    /// A report: for each number from `base` on, when it arrived on the peer's clock, in microseconds. Numbers that were never sent,
    /// are too old or known to have arrived are passed over.
    pub fn handle_feedback(&mut self, now: Instant, base: u16, statuses: impl Iterator<Item = (u16, Option<i64>)>) {
        let now = self.advance(now);
        let Some(first) = self.history.extend(base) else { return };
        let mut report = Report::default();
        let mut newest = None;
        self.arrived.clear();
        for (low, arrived) in statuses.take(usize::from(u16::MAX)) {
            let number = first + u64::from(low.wrapping_sub(base));
            let Some(sent) = self.history.get_mut(number, now) else { continue };
            let before = sent.fate;
            match (before, arrived) {
                (Fate::Done, _) | (Fate::Lost, None) => continue,
                (_, None) => sent.fate = Fate::Lost,
                (_, Some(_)) => sent.fate = Fate::Done,
            }
            let sent = *sent;
            match before {
                Fate::Lost => self.losses.amend(sent.at),
                _ => self.losses.report(sent.at, arrived.is_none()),
            }
            if arrived.is_some() {
                newest = newest.max(Some((number, sent.at)));
            }
            if number < self.begun {
                continue;
            }
            if before == Fate::Lost {
                self.path.loss.amend(sent.bytes);
            } else {
                report.add(sent.at, sent.bytes, arrived.is_none());
            }
            if let Some(at) = arrived {
                self.arrived.push(Arrived { at: self.clock.unwrap(at), number, sent });
            }
        }
        if let Some((_, at)) = newest {
            self.round_trip = Some(now.saturating_sub(at));
        }
        if report.bytes > 0 || !self.arrived.is_empty() {
            self.arrived.sort_unstable_by_key(|arrived| (arrived.at, arrived.number));
            self.path.handle_report(now, &self.arrived, report, self.round_trip);
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.timeout_at = now;
        self.path.handle_timeout(now);
    }

    /// When [`Estimator::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.path.timeout(self.now)?.max(self.timeout_at + TIMEOUT_EVERY);
        Some(self.origin + Duration::from_micros(due))
    }

    /// A probe to be sent now: so many packets and bytes at least, at this rate, with media and padding.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        let now = self.advance(now);
        self.path.look(now);
        let probe = self.path.probing.poll()?;
        self.path.clusters.begin(probe.id, probe.packets, probe.bytes);
        Some(probe)
    }

    /// What probing is worth: more than so much is not looked for. 0: nothing is.
    pub fn set_wanted(&mut self, now: Instant, desired_bps: u64) {
        self.advance(now);
        self.path.probing.set_wanted(desired_bps as f64);
    }

    /// Begins anew from there: what was learnt is forgotten, what is on its way is not learnt from, and it is probed as at first.
    pub fn set_estimate(&mut self, now: Instant, bps: u64) {
        let now = self.advance(now);
        self.begun = self.history.next();
        let mut probing = Probing::new(self.path.probing.next_id());
        probing.set_wanted(self.path.probing.wanted());
        self.path = Path::new(now, bps as f64, probing);
    }

    /// What the path carries.
    pub fn estimate_bps(&self) -> u64 {
        self.path.estimate as u64
    }

    /// Whether a queue grows in the path.
    pub fn is_overusing(&self) -> bool {
        self.path.usage(self.now) == Usage::Over
    }

    /// From when the newest packet left that is known to have arrived, until that was known.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(Duration::from_micros)
    }

    /// The share that was lost of what left in the last second and was reported.
    pub fn loss(&self) -> Option<f32> {
        self.losses.share(self.now)
    }

    fn advance(&mut self, now: Instant) -> Micros {
        let passed = now.saturating_duration_since(self.origin);
        let now = passed.as_secs() * SECOND + Micros::from(passed.subsec_micros());
        self.now = self.now.max(now);
        self.now
    }
}

impl Path {
    fn new(now: Micros, bps: f64, probing: Probing) -> Path {
        let aimd = Aimd::new(bps);
        let estimate = aimd.bps();
        Path {
            acknowledged: Acknowledged::new(),
            burst: Burst::new(),
            limited: Limited::new(now, estimate),
            limited_end: None,
            trend: Trend::new(),
            aimd,
            loss: Loss::new(estimate),
            clusters: Clusters::new(),
            probing,
            raised: None,
            smooth_round_trip: ROUND_TRIP_FIRST,
            started: None,
            heard: None,
            unanswered: None,
            estimate,
        }
    }

    fn handle_report(&mut self, now: Micros, arrived: &[Arrived], report: Report, round_trip: Option<Micros>) {
        self.started.get_or_insert(now);
        self.unanswered = None;
        if self.limited.take_end(&mut self.limited_end) {
            self.acknowledged.expect_change();
        }
        let mut found = None;
        for &Arrived { at, sent, .. } in arrived {
            self.heard = Some(now);
            self.acknowledged.handle_arrival(at, sent.bytes);
            self.burst.handle_arrival(at, sent.bytes);
            self.trend.handle_arrival(sent.at, at);
            if sent.probe != 0 {
                found = self.clusters.handle_arrival(sent.probe, sent.at, at, sent.bytes).or(found);
            }
        }
        if let Some(round_trip) = round_trip {
            let before = self.smooth_round_trip;
            self.smooth_round_trip = before - before / ROUND_TRIP_WEIGHT + round_trip / ROUND_TRIP_WEIGHT;
        }
        if found.is_some() {
            self.probing.handle_answer();
        }
        let found = found.filter(|_| self.trend.usage() != Usage::Over);
        match found {
            Some(bps) => self.take_found(now, bps),
            None => self.follow_delay(now),
        }
        self.follow_loss(now, report, found.is_some());
        self.settle(now);
        if let Some(bps) = found {
            let situation = self.situation(now);
            self.probing.handle_result(now, bps, situation);
        }
        self.look(now);
    }

    /// A probe says what the path carries. What it finds less is believed down to a little less than what arrives anyway.
    fn take_found(&mut self, now: Micros, bps: f64) {
        let least = self.acknowledged.bps().map_or(0.0, |arriving| (arriving * PROBE_FALL).min(self.aimd.bps()));
        let bps = bps.max(least);
        // A probe is short: jitter makes it slower. While less is sent than may be, nothing is in need of a lower estimate.
        if bps >= self.aimd.bps() || !self.limited.is() {
            if bps > self.aimd.bps() {
                self.raised = Some(now);
                self.acknowledged.expect_change();
            }
            self.aimd.set(now, bps);
            self.loss.set(bps);
        }
    }

    fn follow_delay(&mut self, now: Micros) {
        let mut arriving = self.acknowledged.bps();
        let is_raised = self.raised.is_some_and(|at| now.saturating_sub(at) < LIMITED_UNTIL);
        if self.trend.usage() == Usage::Over && (is_raised || self.limited.was_within(now, LIMITED_UNTIL)) {
            // What arrived before is what little was sent: a keyframe after it makes a queue, but says by how fast it comes
            // out of it what the path carries. (libwebrtc falls to what was sent before.)
            let burst = self.burst.bps();
            arriving = arriving.zip(burst).map(|(arriving, burst)| arriving.max(burst)).or(burst);
        }
        // libwebrtc falls again and again until the slope is flat, though the queue is gone long before.
        let usage = match self.trend.usage() {
            Usage::Over if self.trend.is_draining() => Usage::Under,
            usage => usage,
        };
        let arriving = arriving.map(|bps| bps / (1.0 - self.loss.inherent().min(BORNE_LOSS)));
        self.aimd.handle_report(now, usage, arriving, self.smooth_round_trip);
    }

    fn follow_loss(&mut self, now: Micros, report: Report, is_found: bool) {
        let delay = self.aimd.bps();
        let is_start = self.started.is_some_and(|at| now.saturating_sub(at) < START);
        if is_start && report.lost == 0 {
            self.loss.set(delay);
            return;
        }
        let arriving = self.acknowledged.bps().filter(|_| !self.limited.is() && !is_found);
        self.loss.handle_report(report, delay, arriving);
    }

    /// Takes what both say for the estimate.
    fn settle(&mut self, now: Micros) {
        let before = self.estimate;
        self.estimate = self.loss.bps(self.aimd.bps()).max(aimd::LEAST_BPS);
        if self.estimate < before * FELL {
            self.probing.handle_fall(now, before, self.estimate);
        }
        self.limited.set_estimate(self.estimate);
    }

    fn handle_timeout(&mut self, now: Micros) {
        // Nothing leaves: then nothing else tells it that time passes.
        self.limited.handle_sent(now, 0);
        if let Some(since) = self.unanswered.filter(|_| self.started.is_some())
            && now.saturating_sub(since) >= SILENT_AFTER
        {
            self.unanswered = Some(now - (SILENT_AFTER - SECOND));
            self.aimd.set(now, self.aimd.bps() * SILENT_FALL);
            self.settle(now);
        }
        self.look(now);
    }

    fn timeout(&self, now: Micros) -> Option<Micros> {
        let silent = self.unanswered.filter(|_| self.started.is_some()).map(|since| since + SILENT_AFTER);
        let probe = self.probing.timeout(now, self.situation(now));
        silent.into_iter().chain(probe).min()
    }

    /// Plans a probe that is due.
    fn look(&mut self, now: Micros) {
        let situation = self.situation(now);
        self.probing.handle_time(now, situation);
    }

    fn situation(&self, now: Micros) -> Situation {
        let is_queued = self.is_fresh(now) && self.trend.queue() > QUEUE_BORNE;
        let is_congested = self.usage(now) != Usage::Normal || is_queued || self.loss.is_falling(now, LOSS_CALM);
        let is_limited = self.limited.was_within(now, LIMITED_LATELY);
        Situation { estimate: self.estimate, is_congested, is_limited }
    }

    fn usage(&self, now: Micros) -> Usage {
        if self.is_fresh(now) { self.trend.usage() } else { Usage::Normal }
    }

    fn is_fresh(&self, now: Micros) -> bool {
        self.heard.is_some_and(|at| now.saturating_sub(at) < USAGE_FOR)
    }
}

impl Clock {
    fn unwrap(&mut self, raw: i64) -> i64 {
        let raw = raw.rem_euclid(CLOCK_PERIOD);
        let step = (raw - self.last.replace(raw).unwrap_or(raw)).rem_euclid(CLOCK_PERIOD);
        let step = if step > CLOCK_PERIOD / 2 { step - CLOCK_PERIOD } else { step };
        // Where a step is too long all that compares times begins anew.
        let step = if step.abs() > CLOCK_STEP_MAX { CLOCK_STEP_MAX } else { step };
        self.time = self.time.saturating_add(step);
        self.time
    }
}

#[cfg(test)]
mod tests;
