//! When what leaves: a picture is spread over time, so that no queue on the path has to take it at once.
//!
//! In: packets that want to leave, what the path carries, probes, `now`. Out: packets, requests for padding, the next
//! deadline. It knows no packet, no header, no estimator.
//!
//! It decides as libwebrtc's `PacingController` does. Media leaves at 2.5 times the estimate, a queue that lasts too long
//! faster. A probe's packets, whatever they are, follow the probe's rate and not the budget, but are charged to it. Padding
//! needs an empty queue; without a probe, it also needs that nothing is owed at its own rate, to which everything is
//! charged, so that it fills up what else leaves and does not get between the packets of a picture that is coming in.
//! What differs: a probe is given up after a second, not five; what it is late by is caught up in part, where libwebrtc
//! ends it. There is no window of bytes in flight (`overshoot.rs` answers that).
//!
//! A debt is the time at which it is paid off (the virtual scheduling of ITU-T I.371): nothing has to be counted down, and
//! while nothing waits there is no deadline.

mod account;
mod probe;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use account::{Account, Clock};
use probe::Probes;

/// Media leaves at so many tenths of the estimate: libwebrtc's `kDefaultPaceMultiplier`. Higher delivers a keyframe sooner
/// and strains short queues on the path, lower delays pictures that are larger than the mean.
const PACE_TENTHS: u64 = 25;
/// So much of that rate may leave at once. Higher means fewer and larger bursts (a system call and a timer each), lower is
/// gentler to short queues. libwebrtc's default is 40 ms.
const BURST: Duration = Duration::from_millis(5);
/// What waits and was not asked for in time is caught up by so much. Higher keeps the rate with coarser timers and more to do,
/// lower keeps bursts shorter.
const LATE_MAX: Duration = Duration::from_millis(10);
/// A debt is forgiven beyond this: `kMaxDebtInTime`. Higher keeps media waiting longer behind what passed by (sound, probes).
const DEBT_MAX: Duration = Duration::from_millis(500);
/// What waits leaves at a rate at which its mean age stays below this: `kMaxExpectedQueueLength`. Higher obeys a bad
/// estimate for longer, lower overruns a thin path sooner.
const QUEUE_AGE_MAX: Duration = Duration::from_millis(2_000);
/// And when it is that old already, within this time.
const QUEUE_LEFT_MIN: Duration = Duration::from_millis(1);
/// Packets that wait, of all classes. Higher only delays what nobody waits for any more; lower does not hold what is kept of a source
/// (`feed.rs`: 4 MiB), which a viewer gets all at once: 2 s of 20 Mbit/s.
pub const QUEUE_PACKETS_MAX: usize = 4_096;
/// And of them resends, so that a receiver that asks for everything still gets pictures.
const RESENDS_WAITING_MAX: usize = 500;
/// A queue that had room for more packets gives its memory back when it is empty. Lower does so with every keyframe.
const QUEUE_ROOM_KEPT: usize = 512;
/// The rate until the first estimate, and the lowest one: libwebrtc's start, and `kCongestionControllerMinBitrate`.
const ESTIMATE_START_BPS: u64 = 300_000;
const ESTIMATE_MIN_BPS: u64 = 5_000;
/// More is taken for this: nobody's path, but arithmetic has an end.
const RATE_MAX_BPS: u64 = 10_000_000_000;
/// Padding is asked for so much at a time: `kTargetPaddingDuration`. Higher means fewer and larger bursts.
const PADDING_BURST: Duration = Duration::from_millis(5);
/// But no less than this, as a packet of few bytes costs more than it says. libwebrtc's `min_packet_size` of probes.
const PADDING_BYTES_MIN: usize = 200;
/// And no more than this, whatever the rate: `kMaxBurstSize`. Higher fills the socket's buffer with what nobody needs.
const PADDING_BYTES_MAX: usize = 63_000;
/// When there was nothing to pad with, it is asked for again after this time. Lower asks in vain more often.
const PADDING_PAUSE: Duration = Duration::from_millis(20);

/// What may wait. Earlier ones leave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The receiver's picture stands until it has it.
    Resend,
    /// Everything else that is paced.
    Video,
}

/// What may leave now.
#[derive(Debug, PartialEq, Eq)]
pub enum Release<T> {
    /// A packet, and the probe that it is part of.
    Send(T, Option<u32>),
    /// About so many bytes of padding; [`Pacer::handle_padding`] has to be told how many it became.
    Padding {
        /// With headers.
        bytes: usize,
        /// The probe that it is part of.
        probe: Option<u32>,
    },
}

/// Whether a packet may leave without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It leaves now, and is part of this probe.
    Free(Option<u32>),
    /// It has to be pushed.
    Wait,
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    bytes: usize,
    /// When it came, for the mean age.
    since_us: u64,
}

/// The pacer of one connection. Sound never waits: it is only told of.
#[derive(Debug)]
pub struct Pacer<T> {
    clock: Clock,
    resends: VecDeque<Waiting<T>>,
    video: VecDeque<Waiting<T>>,
    /// Bytes that wait.
    bytes: u64,
    /// The sum of the times at which what waits came.
    since_us: u64,
    media: Account,
    padding: Account,
    probes: Probes,
    /// Padding was asked for, and nobody said yet how much there was.
    asked: Option<Option<u32>>,
    /// There was nothing to pad with.
    padding_from: u64,
}

impl<T> Pacer<T> {
    /// Nothing waits. Allocates nothing until something does.
    pub fn new(now: Instant) -> Pacer<T> {
        Pacer {
            clock: Clock::new(now),
            resends: VecDeque::new(),
            video: VecDeque::new(),
            bytes: 0,
            since_us: 0,
            media: Account::new(ESTIMATE_START_BPS * PACE_TENTHS / 10),
            padding: Account::new(0),
            probes: Probes::default(),
            asked: None,
            padding_from: 0,
        }
    }

    /// What the path carries, and up to what rate padding fills it up; 0 for none.
    pub fn set_rate(&mut self, now: Instant, estimate_bps: u64, padding_bps: u64) {
        let now = self.clock.nanos(now);
        let estimate_bps = estimate_bps.clamp(ESTIMATE_MIN_BPS, RATE_MAX_BPS / PACE_TENTHS * 10);
        self.media.set_rate(now, estimate_bps * PACE_TENTHS / 10);
        self.padding.set_rate(now, padding_bps.min(RATE_MAX_BPS));
    }

    /// Whether a packet of video may leave at once, because nothing waits and the budget is there: then it is accounted for, and
    /// need not be moved through the queue.
    pub fn pass(&mut self, now: Instant, bytes: usize) -> Passage {
        if self.queued() > 0 {
            return Passage::Wait;
        }
        let now = self.clock.nanos(now);
        self.probes.expire(now);
        let may_leave = match self.probes.due(now) {
            Some(due) => due <= now,
            None => self.media.debt(now) < nanos(BURST),
        };
        if !may_leave {
            return Passage::Wait;
        }
        Passage::Free(self.account(now, now, bytes))
    }

    /// A packet wants to leave, of so many bytes on the wire. `false`: too many wait, and it is dropped.
    pub fn push(&mut self, now: Instant, class: Class, bytes: usize, item: T) -> bool {
        if self.queued() >= QUEUE_PACKETS_MAX {
            return false;
        }
        let since_us = self.clock.nanos(now) / 1_000;
        let queue = match class {
            Class::Resend if self.resends.len() >= RESENDS_WAITING_MAX => return false,
            Class::Resend => &mut self.resends,
            Class::Video => &mut self.video,
        };
        queue.push_back(Waiting { item, bytes, since_us });
        self.bytes += bytes as u64;
        self.since_us += since_us;
        true
    }

    /// So many packets and bytes at least are to leave at this rate, as soon as the probes before it are done.
    pub fn start_probe(&mut self, now: Instant, id: u32, bps: u64, packets: u32, bytes: usize) {
        let now = self.clock.nanos(now);
        self.probes.start(now, id, bps.clamp(ESTIMATE_MIN_BPS, RATE_MAX_BPS), packets, bytes);
    }

    /// The next that may leave now; to be asked until there is nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<Release<T>> {
        let now = self.clock.nanos(now);
        self.probes.expire(now);
        let due = self.probes.due(now);
        if self.queued() > 0 {
            // libwebrtc's `GetPendingPacket`: a probe's packets do not wait for the budget.
            let may_leave = due.map_or_else(|| self.media.debt(now) < nanos(BURST), |due| due <= now);
            return if may_leave { self.pop(now) } else { None };
        }
        if self.asked.is_some() || now < self.padding_from {
            return None;
        }
        let (bytes, probe) = match due {
            Some(due) if due > now => return None,
            Some(_) => self.probes.chunk()?,
            None if self.padding.rate_bps() == 0 || self.padding_at() > now => return None,
            None => (self.padding.bytes_within(nanos(PADDING_BURST)), None),
        };
        self.asked = Some(probe);
        Some(Release::Padding { bytes: bytes.clamp(PADDING_BYTES_MIN, PADDING_BYTES_MAX), probe })
    }

    /// So many bytes left without asking: sound, headers of resends.
    pub fn handle_sent(&mut self, now: Instant, bytes: usize) {
        let now = self.clock.nanos(now);
        self.media.charge(now, bytes);
        self.padding.charge(now, bytes);
    }

    /// The padding that was asked for became so many bytes. 0: there is nothing to pad with. A probe counts it as one
    /// packet however many it became, as libwebrtc's does with a burst: at worst it lasts a little longer.
    pub fn handle_padding(&mut self, now: Instant, bytes: usize) {
        let Some(probe) = self.asked.take() else { return };
        let now = self.clock.nanos(now);
        if bytes == 0 {
            self.padding_from = now + nanos(PADDING_PAUSE);
            return;
        }
        self.media.charge(now, bytes);
        self.padding.charge(now, bytes);
        if let Some(id) = probe {
            self.probes.handle_sent(now, id, bytes);
        }
    }

    /// When [`Pacer::poll`] has something next. `None` while nothing waits and there is nothing to fill.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.probes.wake();
        let at = if self.queued() > 0 {
            // Paid off, not just below a burst: so that several packets leave each time.
            due.unwrap_or_else(|| self.media.paid_at())
        } else if self.asked.is_some() {
            return None;
        } else if let Some(due) = due {
            due.max(self.padding_from)
        } else if self.padding.rate_bps() > 0 {
            self.padding_at().max(self.padding_from)
        } else {
            return None;
        };
        Some(self.clock.instant(at))
    }

    /// Whether a probe is being sent, or waits for it.
    pub fn is_probing(&self) -> bool {
        self.probes.current().is_some()
    }

    /// Packets that wait.
    pub fn queued(&self) -> usize {
        self.resends.len() + self.video.len()
    }

    fn pop(&mut self, now: u64) -> Option<Release<T>> {
        // Before it is taken out: what it is part of decides how fast it leaves.
        self.hurry(now);
        let waiting = self.resends.pop_front().or_else(|| self.video.pop_front())?;
        self.bytes -= waiting.bytes as u64;
        self.since_us -= waiting.since_us;
        if self.queued() == 0 && self.resends.capacity() + self.video.capacity() > QUEUE_ROOM_KEPT {
            (self.resends, self.video) = (VecDeque::new(), VecDeque::new());
        }
        let since = (waiting.since_us * 1_000).clamp(now.saturating_sub(nanos(LATE_MAX)), now);
        let probe = self.account(now, since, waiting.bytes);
        Some(Release::Send(waiting.item, probe))
    }

    /// Accounts for a packet that leaves and could have since some time, and says which probe it is part of.
    fn account(&mut self, now: u64, since: u64, bytes: usize) -> Option<u32> {
        self.media.charge_since(now, since, bytes);
        self.padding.charge(now, bytes);
        let probe = self.probes.current()?;
        self.probes.handle_sent(now, probe, bytes);
        Some(probe)
    }

    /// Padding leaves when neither it nor media is in debt.
    fn padding_at(&self) -> u64 {
        self.media.paid_at().max(self.padding.paid_at())
    }

    /// A queue that would become too old at the usual rate leaves faster.
    fn hurry(&mut self, now: u64) {
        let packets = self.queued() as u64;
        if packets < 2 {
            // What leaves last delays nobody.
            return self.media.hurry(now, 0);
        }
        let age_us = (now / 1_000 * packets).saturating_sub(self.since_us) / packets;
        let left_us = (QUEUE_AGE_MAX.as_micros() as u64).saturating_sub(age_us).max(QUEUE_LEFT_MIN.as_micros() as u64);
        self.media.hurry(now, self.bytes.saturating_mul(8_000_000) / left_us);
    }
}

/// A named time in nanoseconds.
const fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests;
