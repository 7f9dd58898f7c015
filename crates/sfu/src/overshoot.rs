//! Notices within two or three reports that more is sent over a path than it carries.
//!
//! In: ten times a second what was sent so far, the round trip of the newest packet that was acknowledged, and the share that
//! was lost in the last second. Out: what the path delivers, once, when it is far less than what is sent.
//!
//! The estimator (GoogCC, `estimate.rs`) falls over a second or two, because it must not mistake a hiccup for a narrow path; all that
//! is sent meanwhile fills the path's queue, and the picture stands until it has left. libwebrtc bears it, because its encoder
//! follows at once; a forwarder has to stop a layer and wait for a keyframe of another, so it cannot be late as well.
//!
//! What was delivered follows from the round trip: the newest acknowledged packet was sent one round trip ago, so all that
//! was sent before has arrived or is lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is delivered and sent is compared over so long. Longer is surer, shorter is sooner.
const WINDOW: Duration = Duration::from_millis(200);
/// A queue in the path so much longer than any lately, twice in a row and growing, is not jitter. A stall of Wi-Fi is seldom
/// longer than both together.
const QUEUE_LONG: Duration = Duration::from_millis(80);
/// What the path does without an overshoot is what it did until so long ago. Longer hides a queue that grows slowly, which is the
/// estimator's to find; shorter takes the first reports of a queue for jitter.
const USUAL_UNTIL: Duration = Duration::from_millis(400);
/// A queue so short is none.
const QUEUE_GONE: Duration = Duration::from_millis(40);
/// Loss of so many percent in two windows in a row is of a queue that overflows. Random loss of 5 % does not come near.
const LOSS_PERCENT: u64 = 25;
/// Fewer bytes than these in a window say nothing about loss: a dozen packets.
const LOSS_BYTES_MIN: u64 = 12_000;
/// So many reports in a row without a queue, and with less loss than this, say that a path is clear. As for random loss of 5 %.
const CLEAR_SAMPLES: usize = 3;
const CLEAR_LOSS_PERCENT: u64 = 15;
/// Jitter beyond this is not told from a queue. Of mobile networks and bad Wi-Fi.
const JITTER_MAX: Duration = Duration::from_millis(60);
/// Less than so many percent of what is sent has to be delivered. Small overshoots are the estimator's to mend.
const DELIVERED_PERCENT: u64 = 75;
/// What is used of what is delivered, so that the queue becomes shorter. GoogCC's factor.
const USED_PERCENT: u64 = 85;
/// Less than this is never taken for what a path delivers: what is measured within two reports is off by a packet or two, and
/// a keyframe of a lowest layer must not wait in our own pacer. Less is the estimator's to find.
const LEAST_BPS: u64 = 250_000;
/// The shortest round trip is that of so long ago at most, because routes change.
const SHORTEST_FOR: Duration = Duration::from_secs(10);
/// How long the loss is counted over that the estimator tells.
const LOSS_OVER: Duration = Duration::from_secs(1);
/// How long after an overshoot nothing is believed that is told about the path: reports about what was sent before come in. It
/// ends early when the queue is gone.
const SETTLE_MIN: Duration = Duration::from_millis(300);
/// And at the latest.
const SETTLE_MAX: Duration = Duration::from_millis(700);
/// How long after an overshoot no probe is sent, and nothing rises: a keyframe needs the path.
pub const CALM_FOR: Duration = Duration::from_millis(1_500);
/// More samples than any of these times need.
const SAMPLES_MAX: usize = 24;

/// A path's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The estimator may be believed.
    Fine,
    /// From now on the path is taken to carry so many bits per second.
    Overshoot(u64),
    /// Still so many.
    Settling(u64),
}

/// Where the sending to one path is.
#[derive(Clone, Debug, Default)]
pub struct Overshoot {
    samples: VecDeque<Sample>,
    shortest: Option<(Instant, Duration)>,
    /// The shortest of the period before, so that a new period does not begin with a full queue as its shortest.
    shortest_before: Option<Duration>,
    cut: Option<(Instant, u64)>,
    settled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    sent: u64,
    queue: Duration,
    /// Bytes that were sent before the newest that was acknowledged.
    reached: u64,
    /// Bytes of them that were found lost since the sample before.
    lost: u64,
}

impl Overshoot {
    /// A path over which nothing was sent.
    pub fn new() -> Overshoot {
        Overshoot::default()
    }

    /// Whether an overshoot is so fresh that nothing may be tried.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.cut.is_some_and(|(at, _)| now.saturating_duration_since(at) < CALM_FOR)
    }

    /// Whether there is neither a queue nor much loss: then nothing speaks for less than what was found before.
    pub fn is_clear(&self) -> bool {
        self.is_clear_but_for(Duration::ZERO)
    }

    /// Whether what looks like a queue may be jitter: then more may be looked for, although falls have to be believed.
    pub fn may_be_clear(&self) -> bool {
        self.is_clear_but_for(self.jitter())
    }

    fn is_clear_but_for(&self, jitter: Duration) -> bool {
        let newest = self.samples.iter().rev().take(CLEAR_SAMPLES);
        let lost: u64 = newest.clone().map(|sample| sample.lost).sum();
        let begin = self.samples.iter().rev().nth(CLEAR_SAMPLES).map_or(0, |sample| sample.reached);
        let reached = self.samples.back().map_or(0, |sample| sample.reached).saturating_sub(begin);
        self.samples.len() > CLEAR_SAMPLES
            && newest.clone().all(|sample| sample.queue <= QUEUE_GONE.max(jitter))
            && lost * 100 <= reached * CLEAR_LOSS_PERCENT
    }

    /// What is known now: bytes sent so far, the newest round trip, the share lost within [`LOSS_OVER`].
    pub fn handle_sample(
        &mut self,
        now: Instant,
        sent: u64,
        round_trip: Option<Duration>,
        loss: Option<f32>,
    ) -> Verdict {
        let Some(round_trip) = round_trip else { return Verdict::Fine };
        let queue = round_trip.saturating_sub(self.shortest(now, round_trip));
        let reached = self.sent_by(now.checked_sub(round_trip), sent, now);
        let lost = self.newly_lost(now, reached, loss.unwrap_or(0.0).clamp(0.0, 1.0));
        self.samples.push_back(Sample { at: now, sent, queue, reached, lost });
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
        if let Some((at, bps)) = self.cut.filter(|_| !self.settled) {
            let passed = now.saturating_duration_since(at);
            self.settled = passed >= SETTLE_MAX || (passed >= SETTLE_MIN && queue <= QUEUE_GONE);
            return Verdict::Settling(bps);
        }
        if self.is_fresh(now) {
            return Verdict::Fine;
        }
        match self.delivered(now) {
            Some(bps) => {
                (self.cut, self.settled) = (Some((now, bps)), false);
                Verdict::Overshoot(bps)
            }
            None => Verdict::Fine,
        }
    }

    /// What the path delivers, if that is far less than what is sent.
    fn delivered(&self, now: Instant) -> Option<u64> {
        let newest = self.samples.back()?;
        let before = self.before(now, WINDOW)?;
        let (last, _) = (self.samples.iter().rev().nth(1)?, ());
        let micros = newest.at.saturating_duration_since(before.at).as_micros().max(1) as u64;
        let rate = |bytes: u64| bytes.saturating_mul(8_000_000) / micros;
        let lost_since = |since: Instant| -> u64 {
            self.samples.iter().filter(|sample| sample.at > since).map(|sample| sample.lost).sum()
        };
        let reached = newest.reached.saturating_sub(before.reached);
        let lost = lost_since(before.at).min(reached);
        let delivered = rate(reached - lost);
        let sent = rate(newest.sent.saturating_sub(before.sent));
        let long = self.usual(now) + QUEUE_LONG;
        let is_queued = newest.queue >= long && last.queue >= long && newest.queue > last.queue;
        let earlier = self.before(now, WINDOW * 2);
        let is_lossy = earlier.is_some_and(|earlier| {
            let reached_before = before.reached.saturating_sub(earlier.reached);
            let lost_before = (lost_since(earlier.at) - lost_since(before.at)).min(reached_before);
            let is_much = |lost: u64, of: u64| of >= LOSS_BYTES_MIN && lost * 100 >= of * LOSS_PERCENT;
            is_much(lost, reached) && is_much(lost_before, reached_before)
        });
        let is_less = delivered * 100 < sent * DELIVERED_PERCENT || is_lossy;
        ((is_queued || is_lossy) && is_less).then(|| (delivered * USED_PERCENT / 100).max(LEAST_BPS))
    }

    /// How far reports are from each other mostly: half of the last ones came within it of the shortest. A queue that stands is
    /// taken for no more than [`JITTER_MAX`].
    fn jitter(&self) -> Duration {
        let mut queues: Vec<Duration> = self.samples.iter().map(|sample| sample.queue).collect();
        queues.sort_unstable();
        queues.get(queues.len() / 2).copied().unwrap_or_default().min(JITTER_MAX) * 3 / 2
    }

    /// The longest queue before anything that may be an overshoot now.
    fn usual(&self, now: Instant) -> Duration {
        let since = |sample: &&Sample| now.saturating_duration_since(sample.at) >= USUAL_UNTIL;
        self.samples.iter().filter(since).map(|sample| sample.queue).max().unwrap_or_default()
    }

    /// The newest sample that is at least so old.
    fn before(&self, now: Instant, age: Duration) -> Option<&Sample> {
        // Samples come a little late now and then.
        let age = age - Duration::from_millis(20);
        self.samples.iter().rev().find(|sample| now.saturating_duration_since(sample.at) >= age)
    }

    /// How many bytes were sent by a moment, between samples by their proportion.
    fn sent_by(&self, moment: Option<Instant>, sent: u64, now: Instant) -> u64 {
        let Some(moment) = moment else { return 0 };
        let mut later = (now, sent);
        for sample in self.samples.iter().rev() {
            if sample.at <= moment {
                let whole = later.0.saturating_duration_since(sample.at).as_micros().max(1) as u64;
                let part = moment.saturating_duration_since(sample.at).as_micros() as u64;
                return sample.sent + (later.1.saturating_sub(sample.sent)).saturating_mul(part.min(whole)) / whole;
            }
            later = (sample.at, sample.sent);
        }
        later.1
    }

    /// Bytes that are lost and were not known to be at the sample before.
    fn newly_lost(&self, now: Instant, reached: u64, loss: f32) -> u64 {
        let begin = self.sent_by(now.checked_sub(LOSS_OVER), reached, now).min(reached);
        let lost = ((reached - begin) as f64 * f64::from(loss)) as u64;
        // What was sent before the period is not in what the estimator tells any more.
        let known = self.samples.iter().filter(|sample| sample.reached > begin).map(|sample| sample.lost).sum();
        lost.saturating_sub(known)
    }

    fn shortest(&mut self, now: Instant, round_trip: Duration) -> Duration {
        let (since, shortest) = *self.shortest.get_or_insert((now, round_trip));
        if now.saturating_duration_since(since) >= SHORTEST_FOR {
            self.shortest_before = Some(shortest);
            self.shortest = Some((now, round_trip));
        } else {
            self.shortest = Some((since, shortest.min(round_trip)));
        }
        let current = self.shortest.map_or(round_trip, |(_, shortest)| shortest);
        self.shortest_before.map_or(current, |before| before.min(current))
    }
}

#[cfg(test)]
mod tests;
