//! What a peer may make the server do: packets it may send, and resends it may ask for.
//!
//! In: each packet's length, each resend asked for by NACK (RFC 4585 §6.2.1), `now`. Out: yes or no, and counts. A NACK
//! of four bytes can ask for seventeen full packets, so that resends have a budget of their own, and each packet a
//! number of times: without them a subscriber could make the server send many times what it would be sent otherwise.

use std::time::{Duration, Instant};

/// A second's worth of resends may come at once. Higher lets a burst of losses be repaired sooner, lower keeps a liar's
/// flood shorter.
const RESEND_BURST: Duration = Duration::from_millis(500);
/// How often one packet is resent: after so many round trips the picture that needed it is late anyway. LiveKit resends
/// no packet twice within 100 ms and mediasoup not within a round trip; a cap on the count is ours.
pub const RESENDS_OF_A_PACKET_MAX: u8 = 5;
/// A packet is not resent again within this time, however short the measured round trip (the first answer is on its
/// way).
const RESEND_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Nor must a measured round trip of minutes keep a packet from being resent.
const RESEND_INTERVAL_MAX: Duration = Duration::from_millis(500);
/// Packets whose resends are remembered per connection, 16 bytes each. When two packets fall on one place the older is
/// forgotten, which costs at most a few resends within the budget.
const RESENDS_REMEMBERED: usize = 1024;

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

    /// Another rate and burst from now on.
    pub fn set_rate(&mut self, now: Instant, rate_per_sec: u64, burst: u64) {
        self.fill(now);
        (self.rate_per_sec, self.burst) = (rate_per_sec, burst);
        self.micro_tokens = self.micro_tokens.min(u128::from(burst) * 1_000_000);
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

/// Polices the resends that one subscriber's connection asks for.
#[derive(Debug)]
pub struct Resends {
    bits: TokenBucket,
    remembered: Box<[Resent]>,
    refused: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Resent {
    /// Stream and sequence number, mixed.
    packet: u64,
    /// How often.
    times: u8,
    /// When last.
    at: Option<Instant>,
}

impl Resends {
    /// A budget of `bits_per_sec`: a share of what the path carries.
    pub fn new(bits_per_sec: u64, now: Instant) -> Resends {
        let bits = TokenBucket::new(bits_per_sec, resend_burst(bits_per_sec), now);
        Resends { bits, remembered: vec![Resent::default(); RESENDS_REMEMBERED].into(), refused: 0 }
    }

    /// Another budget, when the estimate changed.
    pub fn set_rate(&mut self, now: Instant, bits_per_sec: u64) {
        self.bits.set_rate(now, bits_per_sec, resend_burst(bits_per_sec));
    }

    /// Whether packet `sequence` of `stream` (any number that names the outgoing stream) is sent again now.
    pub fn admit(&mut self, now: Instant, stream: u32, sequence: u64, bytes: usize, round_trip: Duration) -> bool {
        let packet = u64::from(stream) << 32 ^ sequence;
        // Fibonacci hashing spreads neighbours; a subscriber that aims at collisions gains nothing beyond its budget.
        let place = (packet.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % RESENDS_REMEMBERED;
        let resent = &mut self.remembered[place];
        let known = resent.packet == packet && resent.at.is_some();
        let interval = round_trip.clamp(RESEND_INTERVAL_MIN, RESEND_INTERVAL_MAX);
        let too_soon = known && resent.at.is_some_and(|at| now.saturating_duration_since(at) < interval);
        let times = if known { resent.times } else { 0 };
        let admitted =
            !too_soon && times < RESENDS_OF_A_PACKET_MAX && self.bits.take(now, (bytes as u64).saturating_mul(8));
        if admitted {
            *resent = Resent { packet, times: times + 1, at: Some(now) };
        }
        self.refused += u64::from(!admitted);
        admitted
    }

    /// Resends refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

fn resend_burst(bits_per_sec: u64) -> u64 {
    (u128::from(bits_per_sec) * RESEND_BURST.as_millis() / 1_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

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
    fn a_packet_is_resent_once_per_round_trip_and_five_times_at_most() {
        let start = Instant::now();
        let mut resends = Resends::new(100_000_000, start);
        let ask = |resends: &mut Resends, millis: u64| {
            resends.admit(start + Duration::from_millis(millis), 1, 77, 1_200, Duration::from_millis(100))
        };
        let admitted = (0..2_000).filter(|millis| ask(&mut resends, *millis)).count();
        assert_eq!(admitted, usize::from(RESENDS_OF_A_PACKET_MAX));
        assert_eq!(resends.refused(), 1_995);
    }

    #[test]
    fn a_nack_of_65_536_packets_costs_no_more_than_the_budget() {
        let start = Instant::now();
        let mut resends = Resends::new(1_000_000, start);
        let admitted = (0..65_536).filter(|n| resends.admit(start, 9, *n, 1_250, SECOND)).count();
        assert_eq!(admitted, 50, "500,000 bits at once, 10,000 a packet");
        let later = start + SECOND;
        let admitted = (0..65_536).filter(|n| resends.admit(later, 9, *n, 1_250, SECOND)).count();
        assert_eq!(admitted, 50, "the burst again, not what silence saved up");
    }

    #[test]
    fn the_budget_follows_the_estimate_down_at_once() {
        let start = Instant::now();
        let mut resends = Resends::new(10_000_000, start);
        resends.set_rate(start, 100_000);
        let admitted = (0..100).filter(|n| resends.admit(start, 9, *n, 1_250, SECOND)).count();
        assert_eq!(admitted, 5);
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
            Resends::new(rate, start).admit(later, u32::MAX, amount, usize::MAX, Duration::MAX);
        }
    }
}
