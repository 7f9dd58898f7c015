//! How much a path carries, from what its other end reports about each packet.
//!
//! In: packets that leave, transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), what is wanted, `now`.
//! Out: bits per second, probes to be sent, the round trip and the loss. No socket, no clock.
//!
//! The estimator is GoogCC: draft-ietf-rmcat-gcc-02 as libwebrtc has developed it further, because that is what browsers send by and
//! networks know. Each part names what of libwebrtc it follows, and where it does not.
//!
//! - [`path`]: all of the following together, for one path;
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
mod path;
mod probing;
mod rate;
mod trend;

use history::{Fate, History, Losses, Micros, SECOND, Sent};
use loss::Report;
use path::{Arrived, Path};
use probing::Probing;

/// The times of feedback begin anew after so long: 24 bits of 64 ms.
const CLOCK_PERIOD: i64 = (1 << 24) * 64_000;
/// A step of the peer's clock, there or back, that is not of packets on their way. What is beyond it is taken for so much.
const CLOCK_STEP_MAX: i64 = 60 * SECOND as i64;
/// [`Estimator::poll_timeout`] never asks for more than one call in so long.
const TIMEOUT_EVERY: Micros = 25_000;

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

/// The peer's clock, without its periods.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    last: Option<i64>,
    time: i64,
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
        self.path.handle_sent(now, bytes, kind, probe);
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
                self.path.amend(sent.bytes);
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
        let due = self.path.timeout()?.max(self.timeout_at + TIMEOUT_EVERY);
        Some(self.origin + Duration::from_micros(due))
    }

    /// A probe to be sent now: so many packets and bytes at least, at this rate, with media and padding.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        let now = self.advance(now);
        self.path.poll_probe(now)
    }

    /// What probing is worth: more than so much is not looked for. 0: nothing is.
    pub fn set_wanted(&mut self, now: Instant, desired_bps: u64) {
        self.advance(now);
        self.path.set_wanted(desired_bps as f64);
    }

    /// Begins anew from there: what was learnt is forgotten, what is on its way is not learnt from, and it is probed as at first.
    pub fn set_estimate(&mut self, now: Instant, bps: u64) {
        let now = self.advance(now);
        self.begun = self.history.next();
        self.path = Path::new(now, bps as f64, self.path.probing().anew());
    }

    /// What the path carries.
    pub fn estimate_bps(&self) -> u64 {
        self.path.estimate() as u64
    }

    /// Whether a queue grows in the path.
    pub fn is_overusing(&self) -> bool {
        self.path.is_overusing(self.now)
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
