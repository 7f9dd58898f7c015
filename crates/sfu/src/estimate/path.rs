//! One path: what is learnt of it, from its first report until it is begun anew.
//!
//! In: reports, in the order of arrival; time. Out: the estimate, probes that are due.

use std::time::Duration;

use super::aimd::{self, Aimd};
use super::cluster::Clusters;
use super::history::{Micros, SECOND, Sent};
use super::loss::{Loss, Report};
use super::probing::{Probing, Situation};
use super::rate::{Acknowledged, Burst, Limited};
use super::trend::{Trend, Usage};
use super::{Kind, Probe, TIMEOUT_EVERY};

/// Nothing arrived for so long: what the queue did then says nothing any more.
const USAGE_FOR: Micros = SECOND / 2;
/// A queue longer than this is not made longer, by a probe or by more media.
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

/// A packet that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// On the peer's clock, without its periods.
    pub at: i64,
    pub number: u64,
    pub sent: Sent,
}

/// All that [`super::Estimator::set_estimate`] forgets.
#[derive(Debug)]
pub(super) struct Path {
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
    /// When a probe may be due.
    look_at: Micros,
    estimate: f64,
}

impl Path {
    /// A path that is taken to carry so much.
    pub fn new(now: Micros, bps: f64, probing: Probing) -> Path {
        let aimd = Aimd::new(bps);
        let estimate = aimd.bps();
        let look_at = if probing.wants() { now } else { Micros::MAX };
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
            look_at,
            estimate,
        }
    }

    /// What the path carries.
    pub fn estimate(&self) -> f64 {
        self.estimate
    }

    /// When which probe is sent.
    pub fn probing(&self) -> &Probing {
        &self.probing
    }

    /// Whether a queue grows.
    pub fn is_overusing(&self, now: Micros) -> bool {
        self.usage(now) == Usage::Over
    }

    /// A packet left.
    pub fn handle_sent(&mut self, now: Micros, bytes: u16, kind: Kind, probe: u32) {
        if kind == Kind::Media {
            self.limited.handle_sent(now, bytes);
        }
        if probe != 0 {
            self.probing.handle_sent(probe);
        }
        self.unanswered.get_or_insert(now);
    }

    /// A packet that was reported as lost came after all.
    pub fn amend(&mut self, bytes: u16) {
        self.loss.amend(bytes);
    }

    /// So much is wanted.
    pub fn set_wanted(&mut self, bps: f64) {
        self.probing.set_wanted(bps);
        self.look_at = 0;
    }

    /// A probe to be sent now.
    pub fn poll_probe(&mut self, now: Micros) -> Option<Probe> {
        if now < self.look_at {
            return None;
        }
        self.look(now);
        let probe = self.probing.poll()?;
        self.clusters.begin(probe.id, probe.packets, probe.bytes);
        self.look_at = 0;
        Some(probe)
    }

    /// A report came: what it says of packets for the first time, in the order of their arrival.
    pub fn handle_report(&mut self, now: Micros, arrived: &[Arrived], report: Report, round_trip: Option<Micros>) {
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
        let usage = match self.trend.usage() {
            // libwebrtc falls again and again until the slope is flat, though the queue is gone long before.
            Usage::Over if self.trend.is_drained() => Usage::Under,
            // And it grows while a queue stands that does not grow.
            Usage::Normal if self.trend.queue() > QUEUE_BORNE => Usage::Under,
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

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Micros) {
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

    /// When something is due.
    pub fn timeout(&self) -> Option<Micros> {
        let silent = self.unanswered.filter(|_| self.started.is_some()).map(|since| since + SILENT_AFTER);
        let probe = Some(self.look_at).filter(|at| *at != Micros::MAX);
        silent.into_iter().chain(probe).min()
    }

    /// Plans a probe that is due, and says when to look again.
    fn look(&mut self, now: Micros) {
        let situation = self.situation(now);
        self.probing.handle_time(now, situation);
        self.look_at = match self.probing.timeout(now, situation) {
            Some(due) if self.probing.has_planned() => due,
            Some(due) => due.max(now + TIMEOUT_EVERY),
            None => Micros::MAX,
        };
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
