//! All deadlines of a session in one table.

use std::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of the handshake, then `connect`, then `publish`.
    Stage,
    /// S1 without C1.
    EarlyS1,
    /// A ping to a silent publisher.
    Ping,
    /// A publisher silent for too long.
    Idle,
}

const TIMERS: [Timer; 4] = [Timer::Stage, Timer::EarlyS1, Timer::Ping, Timer::Idle];

/// One deadline per [`Timer`].
#[derive(Debug, Default)]
pub(super) struct TimerTable {
    deadlines: [Option<Instant>; TIMERS.len()],
}

impl TimerTable {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.deadlines[timer as usize] = Some(at);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(super) fn earliest(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// A timer that is due, which is cleared.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let timer = TIMERS.into_iter().find(|timer| self.deadlines[*timer as usize].is_some_and(|at| at <= now))?;
        self.clear(timer);
        Some(timer)
    }
}
