//! How many bits a layer sends each second, over a sliding window.
//!
//! In: the length of each packet and the time it came. Out: a rate. The window is a ring of short buckets, so that a
//! packet costs one addition and a silent layer's rate falls to zero by itself.

use std::time::{Duration, Instant};

/// How much time one bucket covers. Shorter follows a change faster within the window and costs memory.
const BUCKET: Duration = Duration::from_millis(100);
/// Buckets of the window. More smooth the rate over more keyframes (a keyframe is five to ten times as large as another
/// frame), fewer follow a change faster. Two seconds: over one, as most servers measure, a keyframe that another viewer
/// asked for makes a layer look two or three times as dear as it is.
const BUCKETS: usize = 20;
/// What a rate is taken over.
pub const WINDOW: Duration = Duration::from_millis(BUCKET.as_millis() as u64 * BUCKETS as u64);

/// A pause after which a layer counts as begun again. Longer than the gap between two frames of a slow camera.
const PAUSE: Duration = Duration::from_millis(500);

/// The rate of one layer.
#[derive(Clone, Debug, Default)]
pub struct BitrateMeter {
    buckets: [u64; BUCKETS],
    /// When the first packet came; buckets are counted from here.
    began: Option<Instant>,
    /// The number of the newest bucket since `began`.
    newest: u64,
    last: Option<Instant>,
    /// The first packet after the last pause.
    since: Option<Instant>,
}

impl BitrateMeter {
    /// A meter that has seen nothing.
    pub fn new() -> BitrateMeter {
        BitrateMeter::default()
    }

    /// A packet of `bytes` came.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        self.advance(now);
        self.began.get_or_insert(now);
        let bucket = &mut self.buckets[(self.newest % BUCKETS as u64) as usize];
        *bucket = bucket.saturating_add(bytes as u64);
        if self.last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE) {
            self.since = Some(now);
        }
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
    }

    /// Bits per second over the window. While the window is younger than its length, over the time that there was, but
    /// never over less than a bucket: the first packet alone says nothing about a rate.
    pub fn bps(&mut self, now: Instant) -> u64 {
        self.advance(now);
        let Some(began) = self.began else { return 0 };
        let in_bucket = now.saturating_duration_since(began).as_micros() as u64 % BUCKET.as_micros() as u64;
        let whole = self.newest.min(BUCKETS as u64 - 1) * BUCKET.as_micros() as u64;
        let micros = (whole + in_bucket).max(BUCKET.as_micros() as u64);
        let bytes: u64 = self.buckets.iter().fold(0, |sum, bucket| sum.saturating_add(*bucket));
        (u128::from(bytes) * 8_000_000 / u128::from(micros)).min(u128::from(u64::MAX)) as u64
    }

    /// When the newest packet came.
    pub fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Since when packets have come without a pause of half a second.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Empties the buckets that time has passed over. A time before the newest bucket counts into the newest.
    fn advance(&mut self, now: Instant) {
        let Some(began) = self.began else { return };
        let bucket = (now.saturating_duration_since(began).as_micros() / BUCKET.as_micros()) as u64;
        let passed = bucket.saturating_sub(self.newest);
        for step in 1..=passed.min(BUCKETS as u64) {
            self.buckets[((self.newest + step) % BUCKETS as u64) as usize] = 0;
        }
        // After more than a window the ring is empty, wherever the newest bucket then lies.
        self.newest = self.newest.max(bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(meter: &mut BitrateMeter, from: Instant, millis: u64, every: u64, bytes: usize) -> Instant {
        for at in (0..millis).step_by(every as usize) {
            meter.add(from + Duration::from_millis(at), bytes);
        }
        from + Duration::from_millis(millis)
    }

    #[test]
    fn a_steady_stream_measures_its_rate() {
        let mut meter = BitrateMeter::new();
        let end = feed(&mut meter, Instant::now(), 3_000, 10, 1_250);
        let bps = meter.bps(end);
        assert!((900_000..=1_100_000).contains(&bps), "1 Mbit/s, measured {bps}");
    }

    #[test]
    fn a_young_meter_does_not_divide_by_a_full_window() {
        let mut meter = BitrateMeter::new();
        let end = feed(&mut meter, Instant::now(), 300, 10, 1_250);
        let bps = meter.bps(end);
        assert!((900_000..=1_350_000).contains(&bps), "1 Mbit/s, measured {bps}");
    }

    #[test]
    fn a_silent_layer_falls_to_zero_within_the_window() {
        let mut meter = BitrateMeter::new();
        let end = feed(&mut meter, Instant::now(), 2_000, 10, 1_250);
        assert!(meter.bps(end + WINDOW / 2) < 700_000);
        assert_eq!(meter.bps(end + WINDOW * 2), 0);
        assert_eq!(meter.bps(end + Duration::from_secs(1_000_000)), 0);
        assert_eq!(meter.last(), Some(end - Duration::from_millis(10)));
    }

    #[test]
    fn a_pause_begins_a_layer_again_and_a_slow_camera_does_not() {
        let mut meter = BitrateMeter::new();
        let began = Instant::now();
        let end = feed(&mut meter, began, 2_000, 400, 1_250);
        assert_eq!(meter.since(), Some(began));
        let again = end + Duration::from_millis(200);
        meter.add(again, 1_250);
        assert_eq!(meter.since(), Some(again));
    }

    #[test]
    fn a_meter_without_packets_measures_nothing() {
        assert_eq!(BitrateMeter::new().bps(Instant::now()), 0);
        assert_eq!(BitrateMeter::new().last(), None);
    }

    proptest! {
        #[test]
        fn the_rate_never_exceeds_what_came_over_one_bucket(
            steps in proptest::collection::vec((0u64..400, 0usize..2_000), 1..200)
        ) {
            let mut meter = BitrateMeter::new();
            let mut now = Instant::now();
            let mut total = 0u64;
            for (millis, bytes) in steps {
                now += Duration::from_millis(millis);
                meter.add(now, bytes);
                total += bytes as u64;
                prop_assert!(meter.bps(now) <= total * 80);
            }
        }
    }
}
