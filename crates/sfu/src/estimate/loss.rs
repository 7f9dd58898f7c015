//! How far loss limits the rate: loss that any rate has is borne, loss that comes of too much is not.
//!
//! In: what was reported, the delay's estimate. Out: bits per second, while loss limits.
//!
//! libwebrtc's `LossBasedBweV2`: the path is taken for one with an inherent loss and a bandwidth; what is sent beyond the
//! bandwidth is lost as well. Of a few candidates the one is taken that explains best what was lost over the last seconds.

use super::history::{Micros, SECOND};

/// An observation is of so much time at least, and so many are looked at.
const OBSERVATION: Micros = 250_000;
const OBSERVATIONS: usize = 15;
/// How much less each older one counts.
const AGEING: f64 = 0.9;
/// The inherent loss: at first, at least, and at most (so much, and as many kbit/s of the bandwidth).
const INHERENT: f64 = 0.01;
const INHERENT_MIN: f64 = 0.001;
const INHERENT_MAX: (f64, f64) = (0.05, 100_000.0);
/// One step of Newton's method, so wide.
const NEWTON_STEP: f64 = 0.75;
/// Candidates, beside the delay's estimate and what arrives: parts of the bandwidth.
const CANDIDATES: [f64; 3] = [1.02, 1.0, 0.95];
/// How much higher bandwidths are preferred: per kbit/s and per its logarithm, up to so much loss.
const BIAS: (f64, f64) = (0.0002, 0.02);
const BIAS_LOSS: f64 = 0.2;
const BIAS_SMOOTHING: f64 = 0.002;
/// Loss beyond this limits at once: so many bits per second, divided by the excess.
const INSTANT: (f64, f64) = (0.05, 100_000.0);
/// Less loss than this never keeps it from growing: it may be of the radio. (libwebrtc: any loss that is more than the inherent one,
/// which is as likely as not at any time.) draft-ietf-rmcat-gcc-02 §6 grows up to 2 % and falls from 10 %.
const GROWS_UNTIL: f64 = 0.07;
/// How fast it grows again: to so much of what arrives; less while held, so much in each window.
const RAMP: f64 = 1.5;
const RAMP_HELD: f64 = 1.2;
const HELD_UNTIL: f64 = 1.3;
const WINDOW: Micros = 300_000;
const WINDOW_GROWTH: f64 = 1.3;
/// How long it is held after it fell, at first; twice as long each time, up to the second.
const HOLD: (Micros, Micros) = (300_000, 60 * SECOND);
/// The limit follows what arrives faster the longer nothing fell, up to so many seconds.
const ACCELERATION_MAX: f64 = 60.0;

/// Which of the two limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// The delay's estimate holds.
    Delay,
    /// Loss does, and less and less of it.
    Rising,
    /// Loss does.
    Falling,
}

/// What one report said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub bytes: u64,
    pub lost: u64,
    /// When the newest of the packets left.
    pub sent: Micros,
}

impl Report {
    /// A packet was reported for the first time.
    pub fn add(&mut self, sent_at: Micros, bytes: u16, is_lost: bool) {
        self.bytes += u64::from(bytes);
        self.lost += if is_lost { u64::from(bytes) } else { 0 };
        self.sent = self.sent.max(sent_at);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    /// Kilobytes, as the bias is made for.
    size: f64,
    lost: f64,
    bps: f64,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    inherent: f64,
    bps: f64,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Micros,
    length: Micros,
    bps: f64,
}

/// The controller.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    observations: [Observation; OBSERVATIONS],
    count: usize,
    partial: Report,
    newest: Option<Micros>,
    channel: Channel,
    limit: Limit,
    instant: f64,
    window: f64,
    window_since: Option<Micros>,
    fell: Option<Micros>,
    hold: Hold,
}

impl Loss {
    /// Begins there.
    pub fn new(bps: f64) -> Loss {
        Loss {
            observations: [Observation::default(); OBSERVATIONS],
            count: 0,
            partial: Report::default(),
            newest: None,
            channel: Channel { inherent: INHERENT, bps },
            limit: Limit::Delay,
            instant: f64::INFINITY,
            window: f64::INFINITY,
            window_since: None,
            fell: None,
            hold: Hold { until: 0, length: HOLD.0, bps: f64::INFINITY },
        }
    }

    /// Whether loss limits, and made it less within so long.
    pub fn is_falling(&self, now: Micros, within: Micros) -> bool {
        self.limit == Limit::Falling && self.fell.is_some_and(|at| now.saturating_sub(at) < within)
    }

    /// The share that is lost at any rate, as it seems.
    pub fn inherent(&self) -> f64 {
        self.channel.inherent
    }

    /// What may be sent, with the delay's estimate.
    pub fn bps(&self, delay: f64) -> f64 {
        if self.limit == Limit::Delay { delay } else { self.channel.bps.min(self.instant).min(delay) }
    }

    /// A probe found so much.
    pub fn set(&mut self, bps: f64) {
        self.channel.bps = bps;
    }

    /// A packet that was reported as lost came after all.
    pub fn amend(&mut self, bytes: u16) {
        self.partial.lost = self.partial.lost.saturating_sub(u64::from(bytes));
    }

    /// A report came. `arriving` is what arrives, unless the sender is limited by what it has to send: then it says nothing.
    pub fn handle_report(&mut self, report: Report, delay: f64, arriving: Option<f64>) {
        let Some(now) = self.observe(report) else { return };
        let average = self.average();
        self.instant = instant(average);
        if average == 0.0 && self.limit == Limit::Delay {
            // Nothing to explain; nearly always so.
            self.channel = Channel { inherent: (self.channel.inherent / 2.0).max(INHERENT_MIN), bps: delay };
            return;
        }
        let mut best = self.best(now, delay, arriving, average);
        let current = self.channel.bps;
        if best.bps < current {
            self.fell = Some(now);
        }
        if average > best.inherent.max(GROWS_UNTIL) && current < best.bps {
            best.bps = current;
        }
        if self.limit != Limit::Delay {
            best.bps = self.bounded(now, best.bps, arriving);
        }
        if self.limit == Limit::Falling && self.hold.until > now && best.bps < delay {
            self.channel = Channel { bps: best.bps.min(self.hold.bps), ..best };
            return;
        }
        let rises = self.rises(best.bps);
        if rises && best.bps < delay {
            self.limit = Limit::Rising;
        } else if best.bps < delay {
            if self.limit != Limit::Falling {
                let until = now + self.hold.length;
                self.hold = Hold { until, length: (self.hold.length * 2).min(HOLD.1), bps: best.bps };
            }
            self.limit = Limit::Falling;
        } else {
            self.hold = Hold { until: 0, length: HOLD.0, bps: f64::INFINITY };
            self.limit = Limit::Delay;
        }
        self.channel = best;
        if self.limit != Limit::Delay && self.window_since.is_none_or(|at| at + WINDOW < now) {
            self.window = best.bps * WINDOW_GROWTH;
            self.window_since = Some(now);
        }
        // What the delay does not allow is not to be found by loss.
        self.channel.bps = self.channel.bps.min(delay);
    }

    /// How far the candidate may be above the current one while loss limits.
    fn bounded(&self, now: Micros, mut bps: f64, arriving: Option<f64>) -> f64 {
        if self.window_since.is_some_and(|at| at + WINDOW > now) {
            bps = bps.min(self.window);
        }
        let current = self.channel.bps;
        if let Some(arriving) = arriving.filter(|_| self.rises(bps)) {
            let is_held = arriving < self.hold.bps * HELD_UNTIL && self.hold.bps.is_finite();
            let ramp = if is_held { RAMP_HELD } else { RAMP };
            bps = current.max(bps.min(arriving * ramp));
            if self.limit == Limit::Falling && bps == current {
                bps += 1.0;
            }
        }
        bps
    }

    fn rises(&self, bps: f64) -> bool {
        let current = self.channel.bps;
        self.limit != Limit::Delay && (current < bps || (current == bps && self.limit == Limit::Rising))
    }

    /// Adds to the observation that is made, and says when it is complete.
    fn observe(&mut self, report: Report) -> Option<Micros> {
        if report.bytes == 0 {
            return None;
        }
        self.partial.bytes += report.bytes;
        self.partial.lost += report.lost;
        let since = *self.newest.get_or_insert(report.sent);
        let passed = report.sent.saturating_sub(since);
        if passed <= OBSERVATION {
            return None;
        }
        self.newest = Some(report.sent);
        let Report { bytes, lost, .. } = std::mem::take(&mut self.partial);
        let observation = Observation {
            size: bytes as f64 / 1_000.0,
            lost: lost.min(bytes) as f64 / 1_000.0,
            bps: bytes as f64 * 8.0 * SECOND as f64 / passed as f64,
        };
        self.observations[self.count % OBSERVATIONS] = observation;
        self.count += 1;
        Some(report.sent)
    }

    /// The observations with their weights, the newest first.
    fn weighed(&self) -> impl Iterator<Item = (f64, &Observation)> {
        let mut weight = 1.0;
        (0..self.count.min(OBSERVATIONS)).map(move |age| {
            let now = weight;
            weight *= AGEING;
            (now, &self.observations[(self.count - 1 - age) % OBSERVATIONS])
        })
    }

    fn average(&self) -> f64 {
        let (size, lost) = self.weighed().fold((0.0, 0.0), |(size, lost), (weight, observation)| {
            (size + weight * observation.size, lost + weight * observation.lost)
        });
        if size > 0.0 { lost / size } else { 0.0 }
    }

    fn best(&self, now: Micros, delay: f64, arriving: Option<f64>, average: f64) -> Channel {
        let current = self.channel.bps;
        let most = current.max(self.upper(now, delay, arriving));
        let of_current = CANDIDATES.iter().map(|part| part * current);
        let others = [Some(delay).filter(|delay| *delay > current), arriving];
        let mut best = (f64::MIN, self.channel);
        for bps in of_current.chain(others.into_iter().flatten()) {
            let bps = bps.min(most);
            let channel = self.fit(Channel { inherent: feasible(self.channel.inherent, bps), bps });
            let score = self.score(channel, average);
            if score > best.0 {
                best = (score, channel);
            }
        }
        best.1
    }

    fn upper(&self, now: Micros, delay: f64, arriving: Option<f64>) -> f64 {
        let window = if self.limit == Limit::Delay { f64::INFINITY } else { self.window };
        let upper = window.min(self.instant).min(delay);
        let Some((arriving, fell)) = arriving.zip(self.fell) else { return upper };
        upper + arriving * (now.saturating_sub(fell) as f64 / SECOND as f64).min(ACCELERATION_MAX)
    }

    /// The inherent loss that explains more, one step of Newton's method away.
    fn fit(&self, channel: Channel) -> Channel {
        let (mut first, mut second) = (0.0, 0.0);
        for (weight, observation) in self.weighed() {
            let loss = channel.loss(observation.bps);
            let arrived = observation.size - observation.lost;
            first += weight * (observation.lost / loss - arrived / (1.0 - loss));
            second -= weight * (observation.lost / (loss * loss) + arrived / ((1.0 - loss) * (1.0 - loss)));
        }
        let second = if second < 0.0 { second } else { -1e-6 };
        Channel { inherent: feasible(channel.inherent - NEWTON_STEP * first / second, channel.bps), ..channel }
    }

    /// How well a channel explains what was lost; with a preference for higher bandwidths.
    fn score(&self, channel: Channel, average: f64) -> f64 {
        let (spare, kbps) = (BIAS_LOSS - average, channel.bps / 1_000.0);
        let scale = spare / (BIAS_SMOOTHING + spare.abs());
        let bias = scale * (BIAS.0 * kbps + BIAS.1 * (1.0 + kbps).ln());
        self.weighed().fold(0.0, |score, (weight, observation)| {
            let loss = channel.loss(observation.bps);
            let arrived = observation.size - observation.lost;
            score + weight * (observation.lost * loss.ln() + arrived * (1.0 - loss).ln() + bias * observation.size)
        })
    }
}

impl Channel {
    /// The probability that a packet is lost at a rate.
    fn loss(&self, bps: f64) -> f64 {
        let excess = if bps > self.bps { (bps - self.bps) / bps } else { 0.0 };
        (self.inherent + (1.0 - self.inherent) * excess).clamp(1e-6, 1.0 - 1e-6)
    }
}

fn feasible(inherent: f64, bps: f64) -> f64 {
    let most = (INHERENT_MAX.0 + INHERENT_MAX.1 / bps.max(1.0)).min(1.0);
    inherent.clamp(INHERENT_MIN, most)
}

fn instant(average: f64) -> f64 {
    if average > INSTANT.0 { INSTANT.1 / (average - INSTANT.0) } else { f64::INFINITY }
}
