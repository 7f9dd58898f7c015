//! Packets of one stream in order, with a limit on how long and for how many a missing one is waited for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Arrived;

/// Packets that wait behind a missing one at most; with more it is given up on. Higher costs memory, lower gives up on
/// resends of fast streams: it is twice what 20 Mb/s send in 500 ms.
pub const PACKETS_MAX: usize = 2_048;
/// The same in bytes of payload.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Buffer {
    wait: Duration,
    /// The number that comes next; none before the first packets have been waited for, which may be out of order too.
    next: Option<u64>,
    /// By number.
    waiting: VecDeque<Arrived>,
    waiting_bytes: usize,
    /// When it was seen that a packet is missing before the first one that waits.
    missing_since: Option<Instant>,
}

impl Buffer {
    pub(super) fn new(wait: Duration) -> Buffer {
        Buffer { wait, next: None, waiting: VecDeque::new(), waiting_bytes: 0, missing_since: None }
    }

    /// Takes a packet; a duplicate and one that was given up on are ignored.
    pub(super) fn push(&mut self, packet: Arrived) {
        let at = self.waiting.partition_point(|waiting| waiting.sequence < packet.sequence);
        let is_duplicate = self.waiting.get(at).is_some_and(|waiting| waiting.sequence == packet.sequence);
        if is_duplicate || self.next.is_some_and(|next| packet.sequence < next) {
            return;
        }
        if self.next != Some(packet.sequence) {
            self.missing_since.get_or_insert(packet.arrived);
        }
        self.waiting_bytes += packet.payload.len();
        // Nearly always at the end.
        self.waiting.insert(at, packet);
    }

    /// The next packet if it is there, or if nothing before it is waited for any more.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Arrived> {
        let is_next = self.next == Some(self.waiting.front()?.sequence);
        let is_full = self.waiting.len() > PACKETS_MAX || self.waiting_bytes > BYTES_MAX;
        let is_due = self.timeout().is_none_or(|timeout| timeout <= now);
        if is_next || is_full || is_due { self.pop_first() } else { None }
    }

    /// The next packet that is there.
    pub(super) fn pop_first(&mut self) -> Option<Arrived> {
        let packet = self.waiting.pop_front()?;
        self.waiting_bytes -= packet.payload.len();
        let next = packet.sequence.saturating_add(1);
        let was_hole = self.next != Some(packet.sequence);
        self.next = Some(next);
        let is_hole = self.waiting.front().is_some_and(|first| first.sequence != next);
        if !is_hole {
            self.missing_since = None;
        } else if was_hole || self.missing_since.is_none() {
            // Each of those that wait lies behind the hole, and the first to come has shown it.
            self.missing_since = self.waiting.iter().map(|packet| packet.arrived).min();
        }
        Some(packet)
    }

    /// When the missing packet is given up on.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.missing_since.map(|since| since + self.wait)
    }
}
