//! What a peer may make the server do: packets that it may send, and checks that anybody may send in its name.
//!
//! In: each packet's length and where it came from, `now`. Out: yes or no, and counts. Resends have a limit of their own
//! where they are made (`egress/write.rs`): they are at most a share of what is sent, whatever is asked for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Instant;

/// Checks (RFC 8445 §7.2.2) a second from one address in the name of one connection, on paths that it has not shown to
/// be its own: each costs a MAC before it can be told whether it is genuine. A browser sends 20 until it is answered
/// (§14.2); fewer would delay people behind one address, more lets whoever has seen a name cost more.
const CHECKS_PER_SEC: u64 = 25;
/// So many may come at once: every pair of candidates of a laptop with VPN and IPv6.
const CHECKS_BURST: u64 = 100;
/// Pairs of address and connection that are told apart; those that fall on one place share its limit. 64 bytes each.
const SOURCES: usize = 1_024;

/// Tokens that come at a steady rate up to a burst.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate_per_sec: u64,
    burst: u64,
    /// In millionths of a token, so that a slow rate loses nothing between two calls.
    micro_tokens: u128,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate_per_sec: u64, burst: u64, now: Instant) -> TokenBucket {
        TokenBucket { rate_per_sec, burst, micro_tokens: u128::from(burst) * 1_000_000, filled: now }
    }

    /// Takes `amount` tokens, or none when there are fewer.
    pub fn take(&mut self, now: Instant, amount: u64) -> bool {
        self.fill(now);
        let wanted = u128::from(amount) * 1_000_000;
        let enough = self.micro_tokens >= wanted;
        if enough {
            self.micro_tokens -= wanted;
        }
        enough
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        let full = u128::from(self.burst) * 1_000_000;
        let added = passed.as_micros().saturating_mul(u128::from(self.rate_per_sec));
        self.micro_tokens = self.micro_tokens.saturating_add(added).min(full);
    }
}

/// What one publisher may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngressLimits {
    /// Bits of RTP payload and header per second.
    pub bits_per_sec: u64,
    /// Packets per second.
    pub packets_per_sec: u64,
}

/// Polices what one publisher sends. What is refused is dropped before anything is done with it.
#[derive(Clone, Debug)]
pub struct Ingress {
    bits: TokenBucket,
    packets: TokenBucket,
    refused: u64,
}

impl Ingress {
    /// Begins with a second's worth of both: a keyframe of every layer arrives at once.
    pub fn new(limits: IngressLimits, now: Instant) -> Ingress {
        let IngressLimits { bits_per_sec, packets_per_sec } = limits;
        Ingress {
            bits: TokenBucket::new(bits_per_sec, bits_per_sec, now),
            packets: TokenBucket::new(packets_per_sec, packets_per_sec, now),
            refused: 0,
        }
    }

    /// Whether a packet of `bytes` is within the limits.
    pub fn admit(&mut self, now: Instant, bytes: usize) -> bool {
        // A refused packet costs a packet token all the same: reading it cost us as much as one that passes.
        let admitted = self.packets.take(now, 1) && self.bits.take(now, (bytes as u64).saturating_mul(8));
        self.refused += u64::from(!admitted);
        admitted
    }

    /// Packets refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// Polices checks on paths that are nobody's yet. It is as large as it will ever be from the beginning, so that a flood
/// from forged addresses costs no memory.
#[derive(Debug)]
pub struct Sources {
    buckets: Box<[TokenBucket]>,
}

impl Sources {
    /// Nobody has asked.
    pub fn new(now: Instant) -> Sources {
        Sources { buckets: vec![TokenBucket::new(CHECKS_PER_SEC, CHECKS_BURST, now); SOURCES].into() }
    }

    /// Whether a check from this address in the name of connection `peer` is within the limits.
    pub fn admit(&mut self, now: Instant, from: IpAddr, peer: usize) -> bool {
        let mut hasher = DefaultHasher::new();
        match from {
            IpAddr::V4(address) => address.hash(&mut hasher),
            // One host has a whole /64 (RFC 4291 §2.5.4).
            IpAddr::V6(address) => address.octets()[..8].hash(&mut hasher),
        }
        peer.hash(&mut hasher);
        self.buckets[hasher.finish() as usize % SOURCES].take(now, 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_publisher_of_100_000_packets_a_second_gets_through_what_its_limit_says() {
        let start = Instant::now();
        let mut ingress = Ingress::new(IngressLimits { bits_per_sec: 1 << 40, packets_per_sec: 3_000 }, start);
        let admitted = (0..1_000_000u64).filter(|n| ingress.admit(start + Duration::from_micros(n * 10), 100)).count();
        // Ten seconds of the rate, and the burst of one.
        assert!((32_900..=33_000).contains(&admitted), "{admitted}");
        assert_eq!(ingress.refused() + admitted as u64, 1_000_000);
    }

    #[test]
    fn a_publisher_of_a_gigabit_gets_through_what_its_limit_says() {
        let start = Instant::now();
        let mut ingress = Ingress::new(IngressLimits { bits_per_sec: 20_000_000, packets_per_sec: 1 << 40 }, start);
        let admitted = (0..100_000u64).filter(|n| ingress.admit(start + Duration::from_micros(n * 10), 1_250)).count();
        assert!((3_990..=4_000).contains(&admitted), "{admitted} packets of 10,000 bits in a second");
    }

    #[test]
    fn one_address_is_held_to_its_checks_and_takes_nothing_from_another() {
        let start = Instant::now();
        let mut sources = Sources::new(start);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let admitted =
            (0..100_000u64).filter(|n| sources.admit(start + Duration::from_micros(n * 100), one, 7)).count();
        // The burst, and ten seconds of the rate.
        assert!((345..=350).contains(&admitted), "{admitted}");
        let later = start + Duration::from_secs(10);
        assert!(sources.admit(later, other, 7) && sources.admit(later, one, 8));
        let in_a_network = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, host, 2, 3, host]);
        let admitted = (0..1_000).filter(|host| sources.admit(start, in_a_network(*host), 7)).count();
        assert_eq!(admitted as u64, CHECKS_BURST, "a network of one host is one address");
    }

    proptest! {
        #[test]
        fn a_bucket_never_gives_more_than_burst_and_rate(
            rate in 0u64..10_000, burst in 0u64..10_000,
            steps in proptest::collection::vec((0u64..100_000, 0u64..5_000), 0..100),
        ) {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(rate, burst, start);
            let (mut micros, mut given) = (0, 0);
            for (passed, amount) in steps {
                micros += passed;
                if bucket.take(start + Duration::from_micros(micros), amount) {
                    given += amount;
                }
                prop_assert!(u128::from(given) <= u128::from(burst) + u128::from(micros) * u128::from(rate) / 1_000_000);
            }
        }

        #[test]
        fn hostile_numbers_never_panic(rate: u64, burst: u64, amount: u64, secs in 0u64..1 << 40) {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(rate, burst, start);
            let later = start.checked_add(Duration::from_secs(secs)).unwrap_or(start);
            bucket.take(later, amount);
            bucket.take(start, amount);
        }
    }
}
