//! What a probe found: the rate at which its packets arrived.
//!
//! In: packets of probes that arrived. Out: bits per second. libwebrtc's `ProbeBitrateEstimator`.

use super::history::{Micros, SECOND};

/// So many packets say something at least (`kMinClusterSize`).
const PACKETS_MIN: u32 = 4;
/// So much of what was to be sent has to arrive, in percent.
const ARRIVED_PERCENT: u64 = 80;
/// A probe is no longer than this, when sent and when it arrives.
const LENGTH_MAX: u64 = SECOND;
/// What arrives so much faster than it was sent was held up: it says nothing.
const RATIO_MAX: f64 = 2.0;
/// What arrives slower than this part of what was sent has filled the path.
const RATIO_UNFILLED: f64 = 0.9;
/// And this part of it is used, so that the queue becomes shorter.
const USED: f64 = 0.95;
/// So many probes are under way at most; a further one takes the place of the oldest.
const CLUSTERS: usize = 8;

/// A probe that is under way.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    /// 0: none.
    id: u32,
    packets_wanted: u32,
    bytes_wanted: u64,
    packets: u32,
    bytes: u64,
    sent: (Micros, Micros),
    arrived: (i64, i64),
    last_sent: u64,
    first_arrived: u64,
}

const NONE: Cluster = Cluster {
    id: 0,
    packets_wanted: 0,
    bytes_wanted: 0,
    packets: 0,
    bytes: 0,
    sent: (0, 0),
    arrived: (0, 0),
    last_sent: 0,
    first_arrived: 0,
};

/// All that are.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    clusters: [Cluster; CLUSTERS],
}

impl Clusters {
    /// No probe.
    pub fn new() -> Clusters {
        Clusters { clusters: [NONE; CLUSTERS] }
    }

    /// A probe is to be sent.
    pub fn begin(&mut self, id: u32, packets: u32, bytes: usize) {
        let slot = id as usize % CLUSTERS;
        self.clusters[slot] = Cluster { id, packets_wanted: packets, bytes_wanted: bytes as u64, ..NONE };
    }

    /// A packet of a probe arrived. The rate, once enough did.
    pub fn handle_arrival(&mut self, id: u32, sent: Micros, arrived: i64, bytes: u16) -> Option<f64> {
        let cluster = self.clusters.iter_mut().find(|cluster| cluster.id == id && id != 0)?;
        cluster.add(sent, arrived, u64::from(bytes));
        cluster.bps()
    }
}

impl Cluster {
    fn add(&mut self, sent: Micros, arrived: i64, bytes: u64) {
        let is_first = self.packets == 0;
        self.packets += 1;
        self.bytes += bytes;
        if is_first {
            (self.sent, self.arrived) = ((sent, sent), (arrived, arrived));
            (self.last_sent, self.first_arrived) = (bytes, bytes);
            return;
        }
        self.sent.0 = self.sent.0.min(sent);
        if sent >= self.sent.1 {
            (self.sent.1, self.last_sent) = (sent, bytes);
        }
        if arrived < self.arrived.0 {
            (self.arrived.0, self.first_arrived) = (arrived, bytes);
        }
        self.arrived.1 = self.arrived.1.max(arrived);
    }

    fn bps(&self) -> Option<f64> {
        let is_enough = self.packets >= PACKETS_MIN
            && u64::from(self.packets) * 100 >= u64::from(self.packets_wanted) * ARRIVED_PERCENT
            && self.bytes * 100 >= self.bytes_wanted * ARRIVED_PERCENT;
        let sent_for = self.sent.1 - self.sent.0;
        let arrived_for = self.arrived.1.saturating_sub(self.arrived.0) as u64;
        let is_valid = |length: u64| (1..=LENGTH_MAX).contains(&length);
        if !is_enough || !is_valid(sent_for) || !is_valid(arrived_for) {
            return None;
        }
        let rate = |bytes: u64, time: u64| bytes as f64 * 8.0 * SECOND as f64 / time as f64;
        let sent = rate(self.bytes - self.last_sent, sent_for);
        let arrived = rate(self.bytes - self.first_arrived, arrived_for);
        if arrived > sent * RATIO_MAX {
            return None;
        }
        Some(if arrived < sent * RATIO_UNFILLED { arrived * USED } else { sent.min(arrived) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a probe of 10 packets of 1,000 bytes finds, sent in so many milliseconds and arrived in so many.
    fn found(sent: u64, arrived: i64, packets: u64) -> Option<f64> {
        let mut clusters = Clusters::new();
        clusters.begin(7, 5, 10_000);
        let all = (0..packets).map(|index| {
            clusters.handle_arrival(7, index * sent * 1_000 / 9, index as i64 * arrived * 1_000 / 9, 1_000)
        });
        all.last().flatten()
    }

    #[test]
    fn a_probe_finds_the_rate_it_was_sent_at_or_a_little_less_than_it_arrived_at() {
        assert_eq!(found(18, 18, 10), Some(4_000_000.0));
        assert_eq!(found(18, 17, 10), Some(4_000_000.0));
        assert_eq!(found(18, 36, 10), Some(2_000_000.0 * USED));
    }

    #[test]
    fn a_probe_says_nothing_when_too_much_of_it_is_lost_or_it_was_held_up() {
        assert_eq!(found(18, 18, 7), None);
        assert!(found(18, 18, 8).is_some());
        assert_eq!(found(18, 5, 10), None);
        assert_eq!(found(18, 2_000, 10), None);
        assert_eq!(found(0, 18, 10), None);
        assert_eq!(Clusters::new().handle_arrival(0, 0, 0, 1), None);
    }
}
