//! Whether a queue grows in the path: the delay between groups of packets, and the slope of its sum.
//!
//! In: packets that arrived, in the order of their arrival. Out: [`Usage`].
//!
//! draft-ietf-rmcat-gcc-02 §5.2 to §5.4; the groups are those of libwebrtc's `InterArrivalDelta`, the filter is its
//! `TrendlineEstimator`, which replaced the draft's Kalman filter.

use std::time::Duration;

use super::history::{Micros, SECOND};

/// Packets that left within so long are one group (§5.2).
const GROUP: Micros = 5_000;
/// What arrives so soon after another, and sooner than it left after it, was held up with it: one group.
const BURST_GAP: i64 = 5_000;
/// But a group is no longer than this.
const BURST_MAX: i64 = 100_000;
/// So many groups in a row that arrive before their predecessor, and the clock was set: begin anew.
const BACKWARDS_MAX: u32 = 3;
/// Nothing for so long, and what was before says nothing (libwebrtc's `kStreamTimeOut`).
const SILENCE: i64 = 2 * SECOND as i64;
/// What an empty queue is like is known from the last two periods of so long. Longer mistakes another route for a queue.
const LOWEST_FOR: i64 = 10 * SECOND as i64;
/// A queue so short is none: of jitter, of pictures.
const QUEUE_GONE: Duration = Duration::from_millis(30);
/// No queue is longer, in seconds.
const QUEUE_MAX: f64 = 60.0;

/// The slope is taken over so many groups. More is surer, fewer is sooner.
const GROUPS: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
/// The slope counts as much as over so many groups at most.
const GROUPS_COUNTED: u32 = 60;
/// The threshold in milliseconds: at first, its limits, how fast it follows (§5.4).
const THRESHOLD: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;
/// A slope so far beyond the threshold is an event of its own; the threshold does not follow it.
const FOLLOW_WITHIN: f64 = 15.0;
/// The threshold is exceeded for so long, before it is overuse.
const OVERUSE_FOR: f64 = 10.0;

/// What the path's queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    Normal,
    /// It grows.
    Over,
    /// It becomes shorter.
    Under,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Micros,
    last_sent: Micros,
    first_arrived: i64,
    last_arrived: i64,
}

/// The detector.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    current: Option<Group>,
    before: Option<Group>,
    backwards: u32,
    /// When a group arrived, since the first, and the smoothed delay then, in milliseconds.
    points: [(f64, f64); GROUPS],
    count: u32,
    origin: i64,
    delay: f64,
    smoothed: f64,
    slope_before: f64,
    threshold: f64,
    adapted: Option<i64>,
    /// Since when, the lowest delay since then, and of the period before: what an empty queue is like.
    lowest: Option<(i64, f64, f64)>,
    /// How long, and in how many groups, the threshold is exceeded.
    over: Option<(f64, u32)>,
    usage: Usage,
}

impl Trend {
    /// A path nothing arrived over.
    pub fn new() -> Trend {
        Trend {
            current: None,
            before: None,
            backwards: 0,
            points: [(0.0, 0.0); GROUPS],
            count: 0,
            origin: 0,
            delay: 0.0,
            smoothed: 0.0,
            slope_before: 0.0,
            threshold: THRESHOLD,
            adapted: None,
            lowest: None,
            over: None,
            usage: Usage::Normal,
        }
    }

    /// What the queue does.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether the queue is gone already, although its slope is steep: the newest packets waited less than those before, and not long.
    pub fn is_drained(&self) -> bool {
        self.delay < self.smoothed && self.queue() < QUEUE_GONE
    }

    /// How long the queue is: how much later packets come than the earliest did lately.
    pub fn queue(&self) -> Duration {
        let lowest = self.lowest.map_or(self.delay, |(_, lowest, before)| lowest.min(before));
        Duration::from_secs_f64(((self.delay - lowest).max(0.0) / 1_000.0).min(QUEUE_MAX))
    }

    /// A packet arrived that left then.
    pub fn handle_arrival(&mut self, sent: Micros, arrived: i64) {
        // As libwebrtc: to the millisecond, so that what left together stays together.
        let sent = (sent + 500) / 1_000 * 1_000;
        let fresh = Group { first_sent: sent, last_sent: sent, first_arrived: arrived, last_arrived: arrived };
        let Some(mut current) = self.current else {
            self.current = Some(fresh);
            return;
        };
        if arrived.saturating_sub(current.last_arrived) >= SILENCE {
            *self = Trend { current: Some(fresh), ..Trend::new() };
            return;
        }
        if sent < current.first_sent {
            return;
        }
        if !current.begins_another(sent, arrived) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrived = current.last_arrived.max(arrived);
            self.current = Some(current);
            return;
        }
        if let Some(before) = self.before {
            let arrival_gap = current.last_arrived - before.last_arrived;
            if arrival_gap < 0 {
                self.backwards += 1;
                if self.backwards >= BACKWARDS_MAX {
                    *self = Trend { current: Some(fresh), ..Trend::new() };
                    return;
                }
            } else {
                self.backwards = 0;
                let sent_gap = current.last_sent.saturating_sub(before.last_sent) as f64 / 1_000.0;
                self.handle_group(sent_gap, arrival_gap as f64 / 1_000.0, current.last_arrived);
            }
        }
        self.before = Some(current);
        self.current = Some(fresh);
    }

    fn handle_group(&mut self, sent_gap: f64, arrival_gap: f64, arrived: i64) {
        if self.count == 0 {
            self.origin = arrived;
        }
        self.delay += arrival_gap - sent_gap;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.delay;
        self.keep_lowest(arrived);
        let at = arrived.saturating_sub(self.origin) as f64 / 1_000.0;
        self.points[self.count as usize % GROUPS] = (at, self.smoothed);
        self.count = self.count.saturating_add(1);
        let is_full = self.count as usize >= GROUPS;
        let slope = if is_full { self.slope().unwrap_or(self.slope_before) } else { self.slope_before };
        self.detect(slope, sent_gap, arrived);
    }

    fn keep_lowest(&mut self, arrived: i64) {
        let (since, lowest, before) = self.lowest.unwrap_or((arrived, self.delay, self.delay));
        self.lowest = Some(if arrived.saturating_sub(since) >= LOWEST_FOR {
            (arrived, self.delay, lowest)
        } else {
            (since, lowest.min(self.delay), before)
        });
    }

    /// Linear regression over the points.
    fn slope(&self) -> Option<f64> {
        let sum = self.points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let mean = (sum.0 / GROUPS as f64, sum.1 / GROUPS as f64);
        let (above, below) = self.points.iter().fold((0.0, 0.0), |(above, below), point| {
            let (x, y) = (point.0 - mean.0, point.1 - mean.1);
            (above + x * y, below + x * x)
        });
        (below > 0.0).then(|| above / below)
    }

    fn detect(&mut self, slope: f64, sent_gap: f64, arrived: i64) {
        if self.count < 2 {
            return;
        }
        let weighed = f64::from(self.count.min(GROUPS_COUNTED)) * slope * GAIN;
        if weighed > self.threshold {
            let (time, groups) = self.over.map_or((sent_gap / 2.0, 1), |(time, groups)| (time + sent_gap, groups + 1));
            self.over = Some((time, groups));
            if time > OVERUSE_FOR && groups > 1 && slope >= self.slope_before {
                self.over = Some((0.0, 0));
                self.usage = Usage::Over;
            }
        } else {
            self.over = None;
            self.usage = if weighed < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.slope_before = slope;
        self.adapt(weighed.abs(), arrived);
    }

    fn adapt(&mut self, weighed: f64, arrived: i64) {
        let passed = arrived.saturating_sub(self.adapted.replace(arrived).unwrap_or(arrived)).clamp(0, 100_000);
        if weighed > self.threshold + FOLLOW_WITHIN {
            return;
        }
        let follow = if weighed < self.threshold { FOLLOW_DOWN } else { FOLLOW_UP };
        self.threshold += follow * (weighed - self.threshold) * passed as f64 / 1_000.0;
        self.threshold = self.threshold.clamp(THRESHOLD_MIN, THRESHOLD_MAX);
    }
}

impl Group {
    /// Whether a packet that left and arrived then is of the next group.
    fn begins_another(&self, sent: Micros, arrived: i64) -> bool {
        let arrival_gap = arrived - self.last_arrived;
        let sent_gap = sent as i64 - self.last_sent as i64;
        let is_burst = sent_gap == 0
            || (arrival_gap < sent_gap && arrival_gap <= BURST_GAP && arrived - self.first_arrived < BURST_MAX);
        !is_burst && sent.saturating_sub(self.first_sent) > GROUP
    }
}
