//! A token bucket on the monotonic clock.

use std::time::Instant;

/// Allows `burst` at once and `rate_per_sec` in the long run.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate_per_sec: f64,
    burst: f64,
    level: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate_per_sec: u32, burst: u32, now: Instant) -> Bucket {
        let burst = f64::from(burst);
        Bucket { rate_per_sec: f64::from(rate_per_sec), burst, level: burst, filled_at: now }
    }

    /// Takes one, or says that there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_many(now, 1)
    }

    /// Takes so many, or none and says that there are not enough.
    pub(crate) fn take_many(&mut self, now: Instant, count: u32) -> bool {
        // Saturating: a caller that hands over an older `now` gets no credit, and no panic.
        let elapsed = now.saturating_duration_since(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        self.level = (self.level + elapsed.as_secs_f64() * self.rate_per_sec).min(self.burst);
        let count = f64::from(count);
        if self.level < count {
            return false;
        }
        self.level -= count;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(201)), 2);
        assert_eq!(taken(&mut bucket, start), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3_600)), 3);
    }
}
