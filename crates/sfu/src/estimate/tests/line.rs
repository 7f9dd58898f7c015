//! A path in virtual time: a sender that follows its estimate, a bottleneck with a queue, a receiver that reports.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::{Estimator, Kind, Probe};

/// What a line is like.
#[derive(Clone, Debug)]
pub struct Line {
    /// Bits per second from a second on.
    pub rates: Vec<(f64, u64)>,
    pub delay_ms: u64,
    /// Packets that would wait longer are dropped.
    pub queue_ms: u64,
    pub loss: f64,
    pub jitter_ms: f64,
}

impl Line {
    pub fn of(bps: u64) -> Line {
        Line { rates: vec![(0.0, bps)], delay_ms: 25, queue_ms: 500, loss: 0.0, jitter_ms: 0.0 }
    }

    pub fn jittering(self, jitter_ms: f64) -> Line {
        Line { jitter_ms, ..self }
    }

    pub fn losing(self, loss: f64) -> Line {
        Line { loss, ..self }
    }

    pub fn then(mut self, from: f64, bps: u64) -> Line {
        self.rates.push((from, bps));
        self
    }

    pub fn rate(&self, micros: u64) -> u64 {
        let secs = micros as f64 / 1e6;
        self.rates.iter().rev().find(|(from, _)| *from <= secs).map_or(1, |(_, bps)| *bps)
    }
}

/// What a sender has to send.
#[derive(Clone, Debug)]
pub struct Media {
    /// At most; less when the estimate is less.
    pub bps: u64,
    pub wanted: u64,
    /// A picture of so many bytes every so many seconds.
    pub keyframe: Option<(f64, usize)>,
    /// Or the highest of these that fits the estimate, beginning with a keyframe of 250 ms of it.
    pub layers: &'static [u64],
}

/// What was seen every 10 ms.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub secs: f64,
    pub estimate: u64,
    pub queue_ms: f64,
    /// Bytes that came out so far.
    pub carried: u64,
}

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| _ = random.word());
        random
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// As Chrome: what it says about packets it says so often.
const REPORT_EVERY: u64 = 100_000;
const PACKET: usize = 1_200;

pub struct Call {
    pub estimator: Estimator,
    pub media: Media,
    pub probes: Vec<(f64, Probe)>,
    /// When the layer changed, from which to which.
    pub switches: Vec<(f64, u64, u64)>,
    layer: u64,
    pub sent: u64,
    pub lost: u64,
    line: Line,
    random: Random,
    start: Instant,
    now: u64,
    number: u64,
    waiting: VecDeque<usize>,
    budget: f64,
    picture_at: u64,
    keyframe_at: u64,
    probe: Option<(Probe, u64, usize, u32)>,
    busy_until: u64,
    last_arrival: u64,
    on_way: VecDeque<(u64, u64, usize)>,
    received: Vec<(u64, u64)>,
    reported: u64,
    report_at: u64,
    reports: VecDeque<(u64, u64, Vec<Option<i64>>)>,
    carried: u64,
    clock: i64,
}

impl Call {
    pub fn new(seed: u64, line: Line, media: Media, start_bps: u64) -> Call {
        let start = Instant::now();
        let mut random = Random::new(seed);
        let number = random.word() % 200_000;
        let clock = (random.word() % (1 << 24)) as i64 * 64_000;
        let mut estimator = Estimator::new(start, start_bps);
        estimator.set_wanted(start, media.wanted);
        let phase = random.word() % 33_000;
        Call {
            estimator,
            keyframe_at: media.keyframe.map_or(u64::MAX, |(every, _)| (every * 1e6) as u64),
            media,
            probes: Vec::new(),
            switches: Vec::new(),
            layer: 0,
            sent: 0,
            lost: 0,
            line,
            start,
            now: 0,
            number,
            waiting: VecDeque::new(),
            budget: 0.0,
            picture_at: phase,
            probe: None,
            busy_until: 0,
            last_arrival: 0,
            on_way: VecDeque::new(),
            received: Vec::new(),
            reported: number,
            report_at: random.word() % REPORT_EVERY,
            reports: VecDeque::new(),
            carried: 0,
            clock,
            random,
        }
    }

    pub fn instant(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    pub fn run_until(&mut self, secs: f64) -> Vec<Sample> {
        let mut samples = Vec::new();
        while (self.now as f64) < secs * 1e6 {
            self.now += 1_000;
            self.step();
            if self.now.is_multiple_of(10_000) {
                samples.push(Sample {
                    secs: self.now as f64 / 1e6,
                    estimate: self.estimator.estimate_bps(),
                    queue_ms: self.busy_until.saturating_sub(self.now) as f64 / 1e3,
                    carried: self.carried,
                });
            }
        }
        samples
    }

    fn step(&mut self) {
        self.receive();
        self.hear();
        if self.estimator.poll_timeout().is_some_and(|at| at <= self.instant()) {
            self.estimator.handle_timeout(self.instant());
        }
        self.produce();
        if self.probe.is_none()
            && let Some(probe) = self.estimator.poll_probe(self.instant())
        {
            self.probes.push((self.now as f64 / 1e6, probe));
            self.probe = Some((probe, self.now, 0, 0));
        }
        self.pace();
    }

    fn produce(&mut self) {
        if self.now < self.picture_at {
            return;
        }
        self.picture_at += 33_333;
        let estimate = self.estimator.estimate_bps();
        let layer = self.media.layers.iter().rev().find(|bps| **bps <= estimate);
        let bps = layer.copied().unwrap_or(self.media.bps.min(estimate));
        let mut bytes = (bps as f64 / 8.0 / 30.0 * (0.7 + 0.6 * self.random.unit())) as usize;
        if layer.is_some() && bps != self.layer {
            self.switches.push((self.now as f64 / 1e6, self.layer, bps));
            self.layer = bps;
            bytes = bps as usize / 32;
        }
        if let Some((every, size)) = self.media.keyframe
            && self.now >= self.keyframe_at
        {
            self.keyframe_at += (every * 1e6) as u64;
            bytes = size;
        }
        while bytes > 0 {
            let packet = bytes.clamp(100, PACKET);
            self.waiting.push_back(packet);
            bytes = bytes.saturating_sub(packet);
        }
    }

    fn pace(&mut self) {
        if let Some((probe, since, mut bytes, mut packets)) = self.probe {
            while bytes as f64 * 8.0 <= probe.bps as f64 * (self.now - since) as f64 / 1e6 {
                if packets >= probe.packets && bytes >= probe.bytes {
                    self.probe = None;
                    return;
                }
                let (packet, kind) = match self.waiting.pop_front() {
                    Some(packet) => (packet, Kind::Media),
                    None => (PACKET, Kind::Padding),
                };
                self.send(packet, kind, Some(probe.id));
                (bytes, packets) = (bytes + packet, packets + 1);
            }
            self.probe = Some((probe, since, bytes, packets));
            return;
        }
        let rate = self.estimator.estimate_bps() as f64 * 2.5;
        self.budget = (self.budget + rate / 8.0 * 1e-3).min(rate / 8.0 * 5e-3);
        while self.budget > 0.0
            && let Some(packet) = self.waiting.pop_front()
        {
            self.budget -= packet as f64;
            self.send(packet, Kind::Media, None);
        }
    }

    fn send(&mut self, bytes: usize, kind: Kind, probe: Option<u32>) {
        let at = self.instant();
        self.estimator.handle_sent(at, self.number, bytes, kind, probe);
        self.number += 1;
        self.sent += 1;
        let begin = self.busy_until.max(self.now);
        if begin - self.now > self.line.queue_ms * 1_000 {
            self.lost += 1;
            return;
        }
        self.busy_until = begin + (bytes as u64 * 8_000_000) / self.line.rate(self.now);
        let jitter = (self.random.unit() * self.line.jitter_ms * 1e3) as u64;
        if self.random.unit() < self.line.loss {
            self.lost += 1;
            return;
        }
        let arrival = (self.busy_until + self.line.delay_ms * 1_000 + jitter).max(self.last_arrival);
        self.last_arrival = arrival;
        self.on_way.push_back((arrival, self.number - 1, bytes));
    }

    fn receive(&mut self) {
        while self.on_way.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (at, number, bytes) = self.on_way.pop_front().expect("there is one");
            self.carried += bytes as u64;
            self.received.push((number, at));
        }
        if self.now < self.report_at {
            return;
        }
        self.report_at += REPORT_EVERY;
        let Some((newest, _)) = self.received.last().copied() else { return };
        let base = self.reported;
        let mut statuses = vec![None; (newest + 1 - base) as usize];
        for (number, at) in self.received.drain(..) {
            // In steps of 250 µs, since a reference that wraps.
            let at = (at as i64 / 250 * 250 + self.clock) % ((1 << 24) * 64_000);
            statuses[(number - base) as usize] = Some(at);
        }
        self.reported = newest + 1;
        self.reports.push_back((self.now + self.line.delay_ms * 1_000, base, statuses));
    }

    fn hear(&mut self) {
        while self.reports.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, base, statuses) = self.reports.pop_front().expect("there is one");
            let statuses = statuses.into_iter().enumerate();
            let statuses = statuses.map(|(index, at)| ((base as u16).wrapping_add(index as u16), at));
            self.estimator.handle_feedback(self.instant(), base as u16, statuses);
        }
    }
}
