//! A debt in bytes that is paid off at a rate, kept as the time at which it will be paid.

use std::time::{Duration, Instant};

use super::{DEBT_MAX, nanos};

/// What one byte costs is kept in 2⁻¹⁶ nanoseconds: exact to a thousandth at 10 Gbit/s.
const COST_SHIFT: u32 = 16;
/// Packets are shorter; more is taken for this.
const BYTES_MAX: usize = 1 << 20;

/// Nanoseconds since the pacer began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new(now: Instant) -> Clock {
        Clock(now)
    }

    pub(super) fn nanos(self, now: Instant) -> u64 {
        // 584 years.
        nanos(now.saturating_duration_since(self.0))
    }

    pub(super) fn instant(self, at: u64) -> Instant {
        self.0 + Duration::from_nanos(at)
    }
}

/// Nanoseconds for so many bytes, in 2⁻¹⁶.
fn cost_of_byte(bps: u64) -> u64 {
    (8_000_000_000 << COST_SHIFT) / bps.max(1)
}

/// Nanoseconds that so many bytes take at a rate that [`Pace`] was made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bps: u64,
    cost: u64,
}

impl Pace {
    pub(super) fn new(bps: u64) -> Pace {
        Pace { bps, cost: cost_of_byte(bps) }
    }

    pub(super) fn bps(self) -> u64 {
        self.bps
    }

    pub(super) fn nanos(self, bytes: usize) -> u64 {
        // At 5 kbit/s a byte costs 2³⁷, so that this is below 2⁵⁷.
        (bytes.min(BYTES_MAX) as u64).saturating_mul(self.cost) >> COST_SHIFT
    }
}

/// One budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pace: Pace,
    /// The pace at the moment, while a queue has to leave faster.
    hurried: Pace,
    paid_at: u64,
}

impl Account {
    pub(super) fn new(bps: u64) -> Account {
        let pace = Pace::new(bps);
        Account { pace, hurried: pace, paid_at: 0 }
    }

    pub(super) fn rate_bps(&self) -> u64 {
        self.pace.bps
    }

    pub(super) fn paid_at(&self) -> u64 {
        self.paid_at
    }

    /// Nanoseconds until it is paid off.
    pub(super) fn debt(&self, now: u64) -> u64 {
        self.paid_at.saturating_sub(now)
    }

    /// Another rate; what is owed in bytes stays.
    pub(super) fn set_rate(&mut self, now: u64, bps: u64) {
        if bps == self.pace.bps && bps == self.hurried.bps {
            return;
        }
        self.change(now, Pace::new(bps));
        self.pace = self.hurried;
    }

    /// At least this rate, until told otherwise; the usual one if that is higher.
    pub(super) fn hurry(&mut self, now: u64, bps: u64) {
        if bps > self.pace.bps {
            self.change(now, Pace::new(bps));
        } else if self.hurried.bps != self.pace.bps {
            self.change(now, self.pace);
        }
    }

    fn change(&mut self, now: u64, to: Pace) {
        let debt = u128::from(self.debt(now)) * u128::from(to.cost) / u128::from(self.hurried.cost.max(1));
        self.paid_at = now + debt.min(u128::from(nanos(DEBT_MAX))) as u64;
        self.hurried = to;
    }

    /// So many bytes left.
    #[inline]
    pub(super) fn charge(&mut self, now: u64, bytes: usize) {
        self.charge_since(now, now, bytes);
    }

    /// So many bytes left, which could have left at this earlier time: what was not used since then is.
    #[inline]
    pub(super) fn charge_since(&mut self, now: u64, since: u64, bytes: usize) {
        // A rate of nothing never pays, and nobody asks it.
        let paid_at = self.paid_at.max(since).saturating_add(self.hurried.nanos(bytes));
        self.paid_at = paid_at.min(now + nanos(DEBT_MAX));
    }

    /// How many bytes the rate makes in a time.
    pub(super) fn bytes_within(&self, nanos: u64) -> usize {
        (u128::from(self.pace.bps) * u128::from(nanos) / 8_000_000_000) as usize
    }
}
