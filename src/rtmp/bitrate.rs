//! The fastest that one connection may push, averaged over a few seconds.

use std::time::{Duration, Instant};

/// The time over which the rate is averaged. Longer lets bursts after a stall through; shorter closes connections for
/// one large keyframe. Guess.
const WINDOW: Duration = Duration::from_secs(4);

/// A token bucket of bytes.
pub(super) struct BitrateLimit {
    bytes_per_sec: f64,
    left: f64,
    refilled_at: Instant,
}

impl BitrateLimit {
    pub(super) fn new(max_kbps: u32, now: Instant) -> BitrateLimit {
        let bytes_per_sec = f64::from(max_kbps) * 1_000.0 / 8.0;
        BitrateLimit { bytes_per_sec, left: bytes_per_sec * WINDOW.as_secs_f64(), refilled_at: now }
    }

    /// Counts bytes; false when they are too many.
    pub(super) fn allows(&mut self, now: Instant, bytes: usize) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled_at).as_secs_f64();
        self.refilled_at = now;
        self.left = (self.left + elapsed * self.bytes_per_sec).min(self.bytes_per_sec * WINDOW.as_secs_f64());
        self.left -= bytes as f64;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_a_higher_average_does_not() {
        let start = Instant::now();
        let mut limit = BitrateLimit::new(8, start);
        assert!(limit.allows(start, 4_000), "4 s at once");
        for second in 1..100 {
            assert!(limit.allows(start + Duration::from_secs(second), 1_000));
        }
        assert!(!limit.allows(start + Duration::from_secs(99), 1));
    }
}
