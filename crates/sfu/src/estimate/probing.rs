//! When more is looked for than is sent: probes, and how fast each is.
//!
//! In: what is wanted, the estimate and what limits it, results. Out: probes to be sent.
//! libwebrtc's `ProbeController`; where it probes only a sender that is limited by what it has to send, a sender whose next layer
//! does not fit is probed as well, though seldom: it cannot send a little more to find out.

use super::Probe;
use super::history::{Micros, SECOND};

/// The first two probes: parts of the estimate.
const FIRST: [f64; 2] = [3.0, 6.0];
/// So often again, if they are lost.
const FIRST_TIMES: u8 = 2;
/// Any other is tried again so often at once.
const AGAIN_TIMES: u8 = 2;
/// Every further one.
const FURTHER: f64 = 2.0;
/// A result of so much of the rate that was tried asks for a further one.
const FURTHER_FROM: f64 = 0.7;
/// No probe is faster than so many times what is wanted: media comes in bursts.
const WANTED: f64 = 2.0;
/// A probe is of so much time. libwebrtc's 15 ms take jitter of 15 ms for twice the rate; longer is a longer queue where it is full.
const LENGTH: Micros = 30_000;
/// And of so many packets.
const PACKETS: u32 = 5;
/// A result comes within so long, or not at all (`kMaxWaitingTimeForProbingResult`).
const RESULT_WITHIN: Micros = SECOND;
/// More is wanted when it is so many percent more than before. Less takes a measured rate's noise for a wish.
const GREW: f64 = 1.1;
/// A fall to less than this part of what was before is a large one (`kBitrateDropThreshold`), and so much of it is looked for
/// after it ended (`kProbeFractionAfterDrop`).
const LARGE_FALL: f64 = 0.66;
const AFTER_FALL: f64 = 0.85;
/// It ended when nothing fell for so long; after so much more time the periodic probes look for it.
const FALL_ENDED: Micros = SECOND;
const FALL_FORGOTTEN: Micros = 5 * SECOND;
/// How often a sender is probed that is limited by what it has to send: at first, and while nothing is found. libwebrtc: 5 s.
/// Longer finds a path that became wider later, shorter disturbs one that did not more often.
const LIMITED_EVERY: (Micros, Micros) = (3 * SECOND / 2, 4 * SECOND);
/// And one that uses its path.
const USING_EVERY: (Micros, Micros) = (3 * SECOND / 2, 15 * SECOND / 2);
/// And no more often than that a path that is full has to carry one more packet in so many.
const USING_SHARE: f64 = 30.0;
/// A packet of a probe.
const PACKET_BITS: f64 = 9_600.0;
/// A probe found something when it is so much more than before.
const FOUND: f64 = 1.05;
/// So many probes wait at most.
const PLANNED: usize = 2;

/// What a decision depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub estimate: f64,
    /// The queue grows, or loss limits more and more.
    pub is_congested: bool,
    /// The sender is limited by what it has to send.
    pub is_limited: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Micros,
    bps: f64,
    id: u32,
    /// The estimate before it.
    before: f64,
    was_sent: bool,
    has_answer: bool,
}

#[derive(Clone, Copy, Debug)]
struct Fall {
    at: Micros,
    before: f64,
    lowest: f64,
}

/// The controller.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    wanted: f64,
    /// What was wanted when more was last looked for because of it.
    wanted_before: f64,
    has_grown: bool,
    next_id: u32,
    planned: [Option<Probe>; PLANNED],
    last: Option<Last>,
    /// How often the first two may still be tried.
    first: u8,
    /// How often in a row one without an answer may be tried again at once.
    again: u8,
    fall: Option<Fall>,
    failures: u32,
}

impl Probing {
    /// Nothing is wanted; probes have numbers from there.
    pub fn new(next_id: u32) -> Probing {
        Probing {
            wanted: 0.0,
            wanted_before: 0.0,
            has_grown: false,
            next_id,
            planned: [None; PLANNED],
            last: None,
            first: FIRST_TIMES,
            again: AGAIN_TIMES,
            fall: None,
            failures: 0,
        }
    }

    /// For a path that is begun anew: what is wanted stays, and no number comes twice.
    pub fn anew(&self) -> Probing {
        Probing { wanted: self.wanted, has_grown: self.wanted > 0.0, ..Probing::new(self.next_id) }
    }

    /// Whether anything is.
    pub fn wants(&self) -> bool {
        self.wanted > 0.0
    }

    /// So much is wanted. 0: nothing is to be looked for.
    pub fn set_wanted(&mut self, wanted: f64) {
        if wanted > self.wanted_before * GREW {
            self.has_grown = true;
        } else if wanted < self.wanted_before / 2.0 {
            self.wanted_before = wanted;
        }
        self.wanted = wanted;
    }

    /// A packet of a probe left.
    pub fn handle_sent(&mut self, id: u32) {
        if let Some(last) = self.last.as_mut().filter(|last| last.id == id) {
            last.was_sent = true;
        }
    }

    /// The queue made the estimate fall from there.
    pub fn handle_fall(&mut self, now: Micros, before: f64, bps: f64) {
        let fall = self.fall.filter(|fall| now.saturating_sub(fall.at) < FALL_ENDED);
        let before = fall.map_or(before, |fall| fall.before.max(before));
        self.fall = Some(Fall { at: now, before, lowest: bps });
        self.planned = [None; PLANNED];
    }

    /// Enough of a probe arrived, whatever it means.
    pub fn handle_answer(&mut self) {
        (self.first, self.again) = (0, AGAIN_TIMES);
        if let Some(last) = &mut self.last {
            last.has_answer = true;
        }
    }

    /// A probe found so much.
    pub fn handle_result(&mut self, now: Micros, bps: f64, situation: Situation) {
        let Some(last) = self.last.as_mut() else { return };
        if bps > last.before * FOUND {
            self.failures = 0;
        }
        let last = *last;
        let is_wanted = situation.estimate < self.wanted && last.bps < self.wanted * WANTED * 0.99;
        if is_wanted && !situation.is_congested && bps >= last.bps * FURTHER_FROM {
            self.plan(now, situation.estimate * FURTHER, situation);
        }
    }

    /// Whether a probe is due, and which.
    pub fn handle_time(&mut self, now: Micros, situation: Situation) {
        let estimate = situation.estimate;
        if self.wanted <= estimate {
            (self.has_grown, self.wanted_before) = (false, self.wanted);
        }
        if self.wanted <= estimate || situation.is_congested {
            self.planned = [None; PLANNED];
            return;
        }
        let since = self.last.map_or(Micros::MAX, |last| now.saturating_sub(last.at));
        if since < RESULT_WITHIN {
            return;
        }
        if self.first > 0 || self.last.is_none() {
            self.first -= u8::from(self.last.is_some_and(|last| last.was_sent));
            self.has_grown = false;
            self.wanted_before = self.wanted;
            FIRST.iter().for_each(|part| self.plan(now, part * estimate, situation));
            return;
        }
        if self.has_grown {
            self.has_grown = false;
            self.wanted_before = self.wanted;
            let most = FURTHER * estimate;
            self.plan(now, self.wanted.min(most), situation);
            if self.wanted < most {
                self.plan(now, most, situation);
            }
        } else if let Some(before) = self.large_fall(now) {
            self.fall = None;
            if before * AFTER_FALL > estimate {
                self.plan(now, before * AFTER_FALL, situation);
            }
        } else if since >= self.interval(situation) {
            match self.last {
                Some(last) if last.was_sent && last.has_answer => self.failures = self.failures.saturating_add(1),
                Some(last) if last.was_sent => self.again = self.again.saturating_sub(1),
                _ => {}
            }
            self.plan(now, FURTHER * estimate, situation);
        }
    }

    /// Whether a probe is to be sent now.
    pub fn has_planned(&self) -> bool {
        self.planned.iter().any(Option::is_some)
    }

    /// When a probe may be due, after a moment.
    pub fn timeout(&self, now: Micros, situation: Situation) -> Option<Micros> {
        if self.has_planned() {
            return Some(now);
        }
        if self.wanted <= situation.estimate {
            return None;
        }
        let Some(last) = self.last else { return Some(now) };
        let last = last.at;
        let ended = self.fall.map(|fall| fall.at + FALL_ENDED).filter(|at| *at > now);
        let due = if self.has_grown { last + RESULT_WITHIN } else { last + self.interval(situation) };
        Some(ended.map_or(due, |ended| due.min(ended.max(last + RESULT_WITHIN))))
    }

    /// The next probe.
    pub fn poll(&mut self) -> Option<Probe> {
        let probe = self.planned[0].take();
        self.planned.rotate_left(1);
        probe
    }

    /// What was before a large fall that ended.
    fn large_fall(&mut self, now: Micros) -> Option<f64> {
        let fall = self.fall?;
        let passed = now.saturating_sub(fall.at);
        if passed > FALL_FORGOTTEN {
            self.fall = None;
        }
        let is_large = fall.lowest < fall.before * LARGE_FALL;
        (is_large && (FALL_ENDED..=FALL_FORGOTTEN).contains(&passed)).then_some(fall.before)
    }

    fn interval(&self, situation: Situation) -> Micros {
        // Nothing of it left: there was nothing to pad with, or no path yet. Or too much of it was lost.
        if self.last.is_some_and(|last| !last.was_sent || (!last.has_answer && self.again > 0)) {
            return RESULT_WITHIN;
        }
        let (shortest, longest) = if situation.is_limited { LIMITED_EVERY } else { USING_EVERY };
        let interval = (shortest * u64::from(1 + self.failures.min(8))).min(longest);
        // Its packets are a queue, when the path is full.
        let length = f64::from(PACKETS) * PACKET_BITS / situation.estimate.max(1.0);
        let rarely = if situation.is_limited { 0.0 } else { length * USING_SHARE * SECOND as f64 };
        interval.max(rarely as Micros)
    }

    fn plan(&mut self, now: Micros, bps: f64, situation: Situation) {
        let bps = bps.min(self.wanted * WANTED);
        let Some(slot) = self.planned.iter_mut().find(|slot| slot.is_none()) else { return };
        let id = self.next_id;
        let bytes = (bps * LENGTH as f64 / (8 * SECOND) as f64) as usize;
        *slot = Some(Probe { id, bps: bps as u64, packets: PACKETS, bytes });
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.last = Some(Last { at: now, bps, id, before: situation.estimate, was_sent: false, has_answer: false });
    }
}

#[cfg(test)]
mod tests;
