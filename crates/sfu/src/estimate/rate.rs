//! How much of what is sent arrives: the acknowledged bitrate, and the rate within a burst.
//!
//! In: packets that arrived, in the order of their arrival, on the receiver's clock. Out: bits per second.

use super::history::{Micros, SECOND};

/// The first rate is counted over so long, later ones over less (libwebrtc's `BitrateEstimator`).
const FIRST_WINDOW: i64 = 500_000;
const WINDOW: i64 = 150_000;
/// A window with fewer bytes than these is a poor sample when it says less.
const SMALL_BYTES: u64 = 2_000;
const UNCERTAINTY: f64 = 10.0;
const UNCERTAINTY_SMALL: f64 = 25.0;
/// The variance before the first window, and when the rate may change at once.
const VARIANCE_FIRST: f64 = 50.0;
const VARIANCE_CHANGE: f64 = 200.0;
/// What each window adds to the variance: rates change.
const VARIANCE_GROWTH: f64 = 5.0;

/// The acknowledged bitrate: a Bayesian estimate over windows, as libwebrtc's `AcknowledgedBitrateEstimator`.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    bytes: u64,
    window: i64,
    last: Option<i64>,
    bps: Option<f64>,
    variance: f64,
}

impl Acknowledged {
    /// Nothing arrived.
    pub fn new() -> Acknowledged {
        Acknowledged { bytes: 0, window: 0, last: None, bps: None, variance: VARIANCE_FIRST }
    }

    /// Bits per second. None: not enough arrived.
    pub fn bps(&self) -> Option<f64> {
        self.bps
    }

    /// More is sent from now on: the next windows count more.
    pub fn expect_change(&mut self) {
        self.variance += VARIANCE_CHANGE;
    }

    /// A packet arrived.
    pub fn handle_arrival(&mut self, at: i64, bytes: u16) {
        let length = if self.bps.is_some() { WINDOW } else { FIRST_WINDOW };
        if let Some((bps, is_small)) = self.window(at, length) {
            self.add(bps, is_small);
        }
        self.bytes += u64::from(bytes);
    }

    fn window(&mut self, at: i64, length: i64) -> Option<(f64, bool)> {
        let passed = at.saturating_sub(self.last.replace(at).unwrap_or(at));
        if passed < 0 {
            (self.bytes, self.window) = (0, 0);
            return None;
        }
        self.window = self.window.saturating_add(passed);
        if passed >= length {
            // Nothing for so long is silence, not a rate.
            self.bytes = 0;
            self.window %= length;
        }
        if self.window < length {
            return None;
        }
        let bps = self.bytes as f64 * 8.0 * SECOND as f64 / length as f64;
        let is_small = self.bytes < SMALL_BYTES;
        self.bytes = 0;
        self.window -= length;
        Some((bps, is_small))
    }

    fn add(&mut self, sample: f64, is_small: bool) {
        let Some(bps) = self.bps.filter(|bps| *bps > 0.0) else {
            self.bps = Some(sample);
            return;
        };
        let scale = if is_small && sample < bps { UNCERTAINTY_SMALL } else { UNCERTAINTY };
        // Relative to the larger one: libwebrtc's, relative to the estimate, takes seconds to follow a rate that became tenfold,
        // and a queue that grows meanwhile makes the estimate fall to what was sent before.
        let uncertainty = scale * (bps - sample).abs() / bps.max(sample);
        let of_sample = uncertainty * uncertainty;
        let before = self.variance + VARIANCE_GROWTH;
        self.bps = Some((of_sample * bps + before * sample) / (of_sample + before));
        self.variance = of_sample * before / (of_sample + before);
    }
}

/// A burst is looked at in slices of so long.
const SLICE: i64 = 5_000;
/// So many of them: 200 ms.
const SLICES: usize = 40;
/// A burst is at least so long. Shorter is more of jitter than of the path, longer misses pictures of a slow path.
const BURST_MIN: i64 = 50_000;

/// The rate of the newest burst.
#[derive(Clone, Debug)]
pub(super) struct Burst {
    slices: [(i64, u64); SLICES],
    newest: usize,
    last: i64,
}

impl Burst {
    /// Nothing arrived.
    pub fn new() -> Burst {
        Burst { slices: [(i64::MIN, 0); SLICES], newest: 0, last: i64::MIN }
    }

    /// A packet arrived.
    pub fn handle_arrival(&mut self, at: i64, bytes: u16) {
        if at < self.last {
            *self = Burst::new();
        }
        self.last = at;
        if at.saturating_sub(self.slices[self.newest].0) >= SLICE {
            self.newest = (self.newest + 1) % SLICES;
            self.slices[self.newest] = (at, 0);
        }
        self.slices[self.newest].1 += u64::from(bytes);
    }

    /// The highest rate at which anything of at least [`BURST_MIN`] arrived that reaches to now.
    pub fn bps(&self) -> Option<f64> {
        let mut bytes = 0;
        let mut best: Option<f64> = None;
        for back in 0..SLICES {
            let (at, more) = self.slices[(self.newest + SLICES - back) % SLICES];
            if at == i64::MIN {
                break;
            }
            let passed = self.last.saturating_sub(at);
            // What came in the first slice came at its begin, mostly: the time before it is not in `passed`.
            if passed >= BURST_MIN {
                let bps = bytes as f64 * 8.0 * SECOND as f64 / passed as f64;
                best = Some(best.map_or(bps, |best| best.max(bps)));
            }
            bytes += more;
        }
        best
    }
}

/// What is sent may be so many percent of the estimate before a sender counts as limited by its path
/// (libwebrtc's `AlrDetector`).
const USED_PERCENT: u64 = 65;
/// The budget is of so long.
const BUDGET: Micros = SECOND / 2;
/// Limited by what it has to send from so many percent of budget that nobody used, until so few.
const BEGIN_PERCENT: i64 = 80;
const END_PERCENT: i64 = 50;

/// Whether a sender is limited by what it has to send (the application-limited region), not by its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limited {
    /// Bits per second, and bits times a million that are left of the budget.
    target: i64,
    left: i64,
    at: Micros,
    is: bool,
    ended: Option<Micros>,
}

impl Limited {
    /// A sender that sent nothing.
    pub fn new(now: Micros, estimate: f64) -> Limited {
        let mut limited = Limited { target: 0, left: 0, at: now, is: false, ended: None };
        limited.set_estimate(estimate);
        limited
    }

    /// The path carries so much.
    pub fn set_estimate(&mut self, estimate: f64) {
        self.target = (estimate as i64).clamp(0, 100_000_000_000) * USED_PERCENT as i64 / 100;
        let most = self.most();
        self.left = self.left.clamp(-most, most);
    }

    /// Media left; or nothing did, with 0 bytes.
    pub fn handle_sent(&mut self, now: Micros, bytes: u16) {
        let passed = now.saturating_sub(self.at).min(BUDGET * 2) as i64;
        self.at = self.at.max(now);
        let most = self.most();
        self.left = (self.left - i64::from(bytes) * 8_000_000).max(-most);
        self.left = (self.left + passed * self.target).min(most);
        if self.is && self.left < most / 100 * END_PERCENT {
            (self.is, self.ended) = (false, Some(now));
        } else if !self.is && self.left > most / 100 * BEGIN_PERCENT {
            self.is = true;
        }
    }

    /// Whether it is.
    pub fn is(&self) -> bool {
        self.is
    }

    /// Whether it is, or was until so short a time ago.
    pub fn was_within(&self, now: Micros, time: Micros) -> bool {
        self.is || self.ended.is_some_and(|at| now.saturating_sub(at) < time)
    }

    /// Once after it ended.
    pub fn take_end(&mut self, seen: &mut Option<Micros>) -> bool {
        let is_new = self.ended.is_some() && *seen != self.ended;
        *seen = self.ended;
        is_new
    }

    fn most(&self) -> i64 {
        self.target * BUDGET as i64
    }
}
