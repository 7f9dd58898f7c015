//! All deadlines of a connection, in one place.

use std::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Silence: send a ping.
    Heartbeat,
    /// Silence for too long: the peer is dead.
    Idle,
    /// The oldest waiting message has not left.
    Stall,
    /// The shell has not said who a token belongs to.
    Authentication,
    /// The credential ends.
    Credential,
    /// Closing takes too long.
    Close,
    /// The shell has not answered a join.
    Join,
    /// The client has not come back with another socket.
    Resume,
}

const TIMERS: [Timer; 8] = [
    Timer::Heartbeat,
    Timer::Idle,
    Timer::Stall,
    Timer::Authentication,
    Timer::Credential,
    Timer::Close,
    Timer::Join,
    Timer::Resume,
];

/// One optional deadline per [`Timer`].
#[derive(Debug, Default)]
pub(crate) struct TimerTable {
    deadlines: [Option<Instant>; TIMERS.len()],
}

impl TimerTable {
    pub(crate) fn set(&mut self, timer: Timer, deadline: Instant) {
        self.deadlines[timer as usize] = Some(deadline);
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(crate) fn clear_all(&mut self) {
        self.deadlines = Default::default();
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize].is_some()
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let due = |timer: &Timer| self.deadlines[*timer as usize].filter(|deadline| *deadline <= now);
        let timer = TIMERS.into_iter().filter(|timer| due(timer).is_some()).min_by_key(due)?;
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn due_timers_come_in_the_order_of_their_deadlines_and_once() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut timers = TimerTable::default();
        timers.set(Timer::Idle, at(2));
        timers.set(Timer::Heartbeat, at(1));
        timers.set(Timer::Close, at(3));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.expire(at(0)), None);
        assert_eq!(timers.expire(at(2)), Some(Timer::Heartbeat));
        assert_eq!(timers.expire(at(2)), Some(Timer::Idle));
        assert_eq!(timers.expire(at(2)), None);
        assert!(timers.is_set(Timer::Close));
        timers.clear_all();
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn the_table_lists_every_timer_at_its_index() {
        for (index, timer) in TIMERS.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
    }
}
