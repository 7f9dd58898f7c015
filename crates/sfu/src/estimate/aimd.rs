//! The rate that follows from the delay: more while the queue does not grow, at once less when it does.
//!
//! In: what the queue does, what arrives, results of probes. Out: bits per second.
//! draft-ietf-rmcat-gcc-02 §5.5; libwebrtc's `AimdRateControl` and `LinkCapacityEstimator`.

use super::history::{Micros, SECOND};
use super::trend::Usage;

/// What is used of what arrives when the queue grows (§5.5).
const FALL: f64 = 0.85;
/// And so many bits per second less, so that a slow path's queue shrinks as well.
const FALL_BPS: f64 = 5_000.0;
/// Growth per second far from the link's capacity.
const GROWTH: f64 = 1.08;
/// At least so many bits per second in each step.
const GROWTH_BPS: f64 = 1_000.0;
/// Close to the link's capacity one packet in a response time is added, at least so many bits per second in a second.
const GROWTH_NEAR_BPS: f64 = 4_000.0;
/// What a response takes beyond the round trip.
const RESPONSE: Micros = 100_000;
/// The estimate grows to so much of what arrives: more was not tried.
const AHEAD: f64 = 1.5;
const AHEAD_BPS: f64 = 10_000.0;
/// Never less than this: sound goes through.
pub(super) const LEAST_BPS: f64 = 30_000.0;
/// Never more: of no use to anyone.
pub(super) const MOST_BPS: f64 = 1_000_000_000.0;
/// The pictures of a sender come so often; packets are so large.
const PICTURES: f64 = 30.0;
const PACKET_BITS: f64 = 9_600.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

/// The controller.
#[derive(Clone, Debug)]
pub(super) struct Aimd {
    bps: f64,
    state: State,
    capacity: Capacity,
    changed: Option<Micros>,
}

impl Aimd {
    /// Begins there.
    pub fn new(bps: f64) -> Aimd {
        let bps = bps.clamp(LEAST_BPS, MOST_BPS);
        Aimd { bps, state: State::Hold, capacity: Capacity::default(), changed: None }
    }

    /// What the path carries.
    pub fn bps(&self) -> f64 {
        self.bps
    }

    /// A probe, or another judge, found so much.
    pub fn set(&mut self, now: Micros, bps: f64) {
        self.bps = bps.clamp(LEAST_BPS, MOST_BPS);
        self.changed = Some(now);
    }

    /// A report came: what the queue does, and what arrives. Returns whether it fell.
    pub fn handle_report(&mut self, now: Micros, usage: Usage, arriving: Option<f64>, round_trip: Micros) -> bool {
        match (usage, arriving) {
            (Usage::Over, Some(arriving)) => {
                let is_due = self.may_fall(now, arriving, round_trip);
                if is_due {
                    self.fall(now, arriving);
                }
                is_due
            }
            (Usage::Over, None) => {
                // Nobody knows what arrives, only that it is too much.
                let is_due = self.changed.is_none_or(|at| now.saturating_sub(at) >= round_trip.max(SECOND / 5));
                if is_due {
                    self.set(now, self.bps / 2.0);
                }
                is_due
            }
            (Usage::Under, _) => {
                self.state = State::Hold;
                false
            }
            (Usage::Normal, arriving) => {
                if self.state == State::Hold {
                    (self.state, self.changed) = (State::Increase, Some(now));
                }
                if let Some(arriving) = arriving {
                    self.grow(now, arriving, round_trip);
                }
                false
            }
        }
    }

    /// Once in a round trip, unless hardly anything arrives.
    fn may_fall(&self, now: Micros, arriving: f64, round_trip: Micros) -> bool {
        let interval = round_trip.clamp(10_000, 200_000);
        self.changed.is_none_or(|at| now.saturating_sub(at) >= interval) || arriving < self.bps / 2.0
    }

    fn fall(&mut self, now: Micros, arriving: f64) {
        let mut lower = FALL * arriving - FALL_BPS;
        if let Some(capacity) = self.capacity.bps().filter(|_| lower > self.bps) {
            lower = FALL * capacity;
        }
        if arriving < self.capacity.lowest() {
            self.capacity = Capacity::default();
        }
        self.capacity.handle_overuse(arriving);
        self.state = State::Hold;
        self.set(now, lower.min(self.bps));
    }

    fn grow(&mut self, now: Micros, arriving: f64, round_trip: Micros) {
        if arriving > self.capacity.highest() {
            self.capacity = Capacity::default();
        }
        let passed = now.saturating_sub(self.changed.unwrap_or(now)).min(SECOND) as f64 / SECOND as f64;
        let limit = AHEAD * arriving + AHEAD_BPS;
        let mut bps = self.bps;
        if bps < limit {
            let more = if self.capacity.bps().is_some() {
                self.near_growth(round_trip) * passed
            } else {
                (bps * (GROWTH.powf(passed) - 1.0)).max(GROWTH_BPS)
            };
            bps = (bps + more).min(limit);
        }
        self.set(now, bps);
    }

    /// Bits per second in a second.
    fn near_growth(&self, round_trip: Micros) -> f64 {
        let picture = self.bps / PICTURES;
        let packet = picture / (picture / PACKET_BITS).ceil().max(1.0);
        (packet * SECOND as f64 / (round_trip + RESPONSE) as f64).max(GROWTH_NEAR_BPS)
    }
}

/// What arrived when the queue grew: the link's capacity, in kbit/s, with its spread.
#[derive(Clone, Debug)]
struct Capacity {
    kbps: Option<f64>,
    /// Relative to the estimate.
    deviation: f64,
}

/// How much a new sample counts, and how far the spread goes.
const CAPACITY_WEIGHT: f64 = 0.05;
const DEVIATION: (f64, f64) = (0.4, 2.5);

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity { kbps: None, deviation: DEVIATION.0 }
    }
}

impl Capacity {
    fn bps(&self) -> Option<f64> {
        self.kbps.map(|kbps| kbps * 1_000.0)
    }

    fn handle_overuse(&mut self, bps: f64) {
        let sample = bps / 1_000.0;
        let kbps = self.kbps.map_or(sample, |kbps| kbps + CAPACITY_WEIGHT * (sample - kbps));
        self.kbps = Some(kbps);
        let error = kbps - sample;
        let spread = (1.0 - CAPACITY_WEIGHT) * self.deviation + CAPACITY_WEIGHT * error * error / kbps.max(1.0);
        self.deviation = spread.clamp(DEVIATION.0, DEVIATION.1);
    }

    fn spread(&self, kbps: f64) -> f64 {
        3.0 * (self.deviation * kbps).sqrt()
    }

    /// Less than this is another link.
    fn lowest(&self) -> f64 {
        self.kbps.map_or(0.0, |kbps| (kbps - self.spread(kbps)).max(0.0) * 1_000.0)
    }

    /// So is more than this.
    fn highest(&self) -> f64 {
        self.kbps.map_or(f64::INFINITY, |kbps| (kbps + self.spread(kbps)) * 1_000.0)
    }
}
