//! How often an address may show a wrong credential: a token bucket for each, `now` passed in.
//!
//! Secrets have 128 random bits, so this is not what keeps them from being guessed; it keeps guessing from costing
//! us look-ups and log lines. The server has one, for all transports (`crate::door::Doorkeeper`).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How many failures are forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// Failures at once. More: a script with a wrong key does more work; fewer: a home behind one address, in which an
    /// encoder has an old key, is locked out sooner. Guess.
    pub failures_max: u32,
    /// After this long one more failure is forgiven. Guess.
    pub forgive_interval: Duration,
    /// Addresses remembered. At the limit the one that has been known longest is forgotten. Each costs about 100 bytes.
    pub addresses_max: usize,
}

impl Default for ThrottleConfig {
    fn default() -> ThrottleConfig {
        ThrottleConfig { failures_max: 100, forgive_interval: Duration::from_secs(1), addresses_max: 10_000 }
    }
}

/// Failures by address.
pub struct Throttle {
    config: ThrottleConfig,
    /// When the bucket of an address will be full again: every failure moves it one interval on.
    forgiven_at: HashMap<IpAddr, Instant>,
    /// The addresses, in the order in which they came.
    order: VecDeque<IpAddr>,
}

impl Throttle {
    /// Nobody has failed yet.
    pub fn new(config: ThrottleConfig) -> Throttle {
        Throttle { config, forgiven_at: HashMap::new(), order: VecDeque::new() }
    }

    /// Whether `address` may show a credential now, or how long it has to wait.
    pub fn check(&self, now: Instant, address: IpAddr) -> Result<(), Duration> {
        let Some(forgiven_at) = self.forgiven_at.get(&bucket_of(address)) else { return Ok(()) };
        let owed = forgiven_at.saturating_duration_since(now);
        let limit = self.config.forgive_interval * self.config.failures_max.saturating_sub(1);
        if owed > limit { Err(owed - limit) } else { Ok(()) }
    }

    /// Notes that `address` showed a wrong credential.
    pub fn handle_failure(&mut self, now: Instant, address: IpAddr) {
        let bucket = bucket_of(address);
        if !self.forgiven_at.contains_key(&bucket) {
            self.make_room(now);
            self.order.push_back(bucket);
        }
        // Failures beyond the limit are not made before the wait is over, so the debt has a limit as well.
        let limit = now + self.config.forgive_interval * self.config.failures_max;
        let from = self.forgiven_at.get(&bucket).copied().unwrap_or(now).max(now);
        self.forgiven_at.insert(bucket, (from + self.config.forgive_interval).min(limit));
    }

    /// Addresses remembered.
    pub fn addresses(&self) -> usize {
        self.forgiven_at.len()
    }

    /// Forgets whoever came first, if it is forgiven or there is no room for another.
    fn make_room(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let forgiven = self.forgiven_at.get(oldest).is_none_or(|at| *at <= now);
            if !forgiven && self.order.len() < self.config.addresses_max {
                return;
            }
            self.forgiven_at.remove(oldest);
            self.order.pop_front();
        }
    }
}

/// Whoever has one address of an IPv6 /64 has all of it (RFC 6177 §2), and an IPv4 address has two spellings.
fn bucket_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ThrottleConfig =
        ThrottleConfig { failures_max: 3, forgive_interval: Duration::from_secs(10), addresses_max: 4 };

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn failed(throttle: &mut Throttle, now: Instant, address: &str, times: usize) {
        for _ in 0..times {
            throttle.handle_failure(now, ip(address));
        }
    }

    #[test]
    fn an_address_waits_after_its_last_forgiven_failure() {
        let (start, mut throttle) = (Instant::now(), Throttle::new(CONFIG));
        let secs = Duration::from_secs;
        failed(&mut throttle, start, "192.0.2.1", 2);
        assert_eq!(throttle.check(start, ip("192.0.2.1")), Ok(()));
        failed(&mut throttle, start, "192.0.2.1", 1);
        assert_eq!(throttle.check(start, ip("192.0.2.1")), Err(secs(10)));
        assert_eq!(throttle.check(start + secs(9), ip("192.0.2.1")), Err(secs(1)));
        assert_eq!(throttle.check(start + secs(10), ip("192.0.2.1")), Ok(()));
        assert_eq!(throttle.check(start, ip("192.0.2.2")), Ok(()), "others are not held up");
    }

    #[test]
    fn a_flood_of_failures_owes_no_more_than_the_limit() {
        let (start, mut throttle) = (Instant::now(), Throttle::new(CONFIG));
        failed(&mut throttle, start, "192.0.2.1", 1_000);
        assert_eq!(throttle.check(start, ip("192.0.2.1")), Err(Duration::from_secs(10)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_ipv4_has_one_bucket() {
        let (start, mut throttle) = (Instant::now(), Throttle::new(CONFIG));
        for n in 0..3 {
            throttle.handle_failure(start, ip(&format!("2001:db8::{n}")));
            throttle.handle_failure(start, ip("::ffff:192.0.2.1"));
        }
        assert!(throttle.check(start, ip("2001:db8::ffff")).is_err());
        assert!(throttle.check(start, ip("2001:db8:0:1::1")).is_ok());
        assert!(throttle.check(start, ip("192.0.2.1")).is_err());
        assert_eq!(throttle.addresses(), 2);
    }

    #[test]
    fn no_number_of_addresses_takes_more_memory_than_the_limit() {
        let (start, mut throttle) = (Instant::now(), Throttle::new(CONFIG));
        for n in 0..100 {
            throttle.handle_failure(start, ip(&format!("192.0.2.{n}")));
            assert!(throttle.addresses() <= CONFIG.addresses_max && throttle.order.len() == throttle.addresses());
        }
        failed(&mut throttle, start + Duration::from_secs(60), "198.51.100.1", 1);
        assert_eq!(throttle.addresses(), 1, "whoever is forgiven is forgotten");
    }
}
