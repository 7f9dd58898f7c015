//! Probes: so many packets at a rate that is higher than what the path is known to carry.
//!
//! libwebrtc's `BitrateProber`. What leaves is due at the time at which the bytes before it have left at the probe's rate;
//! so the rate is right whatever the packets' sizes are.

use std::collections::VecDeque;
use std::time::Duration;

use super::account::Pace;
use super::nanos;

/// Probes that wait for those before them: `kMaxPendingProbeClusters`. The oldest one that waits makes room: a newer one
/// knows the path better.
const PROBES_MAX: usize = 5;
/// A probe that lasts longer is given up. The estimator looks back no further.
const PROBE_FOR: Duration = Duration::from_secs(1);
/// Between two bursts of a probe passes at least this time: `min_probe_delta`. Higher means fewer timers and larger bursts.
const BURST_APART: Duration = Duration::from_millis(2);
/// What is late by more than this is not caught up, because a burst is no rate: `max_probe_delay`, which ends the probe there.
const LATE_MAX: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: u32,
    pace: Pace,
    packets_left: u32,
    bytes_left: usize,
    /// When it is given up, once it is its turn.
    until: Option<u64>,
    /// When the next packet is due.
    due: u64,
    /// When to look after it again, which is never before a burst's time.
    wake: u64,
}

/// The probe that is sent, and those behind it.
#[derive(Debug, Default)]
pub(super) struct Probes {
    waiting: VecDeque<Probe>,
}

impl Probes {
    pub(super) fn start(&mut self, now: u64, id: u32, bps: u64, packets: u32, bytes: usize) {
        if self.waiting.len() >= PROBES_MAX {
            // The first one is being sent.
            self.waiting.remove(1);
        }
        let pace = Pace::new(bps);
        let probe = Probe { id, pace, packets_left: packets, bytes_left: bytes, until: None, due: now, wake: now };
        self.waiting.push_back(probe);
    }

    /// Begins the first one, and gives up what lasts too long.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some(probe) = self.waiting.front_mut() {
            match probe.until {
                None => (probe.until, probe.due) = (Some(now + nanos(PROBE_FOR)), now),
                Some(until) if until <= now => _ = self.waiting.pop_front(),
                Some(_) => return,
            }
        }
    }

    pub(super) fn current(&self) -> Option<u32> {
        self.waiting.front().map(|probe| probe.id)
    }

    /// When the current probe's next packet is due.
    pub(super) fn due(&mut self, now: u64) -> Option<u64> {
        let probe = self.waiting.front_mut()?;
        // Only so much is caught up.
        probe.due = probe.due.max(now.saturating_sub(nanos(LATE_MAX)));
        Some(probe.due)
    }

    /// When to look after it.
    pub(super) fn wake(&self) -> Option<u64> {
        self.waiting.front().map(|probe| probe.due.max(probe.wake))
    }

    /// How many bytes of padding it wants next, and which one it is.
    pub(super) fn chunk(&self) -> Option<(usize, Option<u32>)> {
        let probe = self.waiting.front()?;
        let bytes = (u128::from(probe.pace.bps()) * BURST_APART.as_nanos() / 8_000_000_000) as usize;
        Some((bytes, Some(probe.id)))
    }

    /// A packet of it left.
    pub(super) fn handle_sent(&mut self, now: u64, id: u32, bytes: usize) {
        let Some(probe) = self.waiting.front_mut().filter(|probe| probe.id == id) else { return };
        probe.due += probe.pace.nanos(bytes);
        probe.wake = now + nanos(BURST_APART);
        probe.packets_left = probe.packets_left.saturating_sub(1);
        probe.bytes_left = probe.bytes_left.saturating_sub(bytes);
        if probe.packets_left == 0 && probe.bytes_left == 0 {
            self.waiting.pop_front();
        }
    }
}
