//! One direction of a path: what becomes of each datagram.
//!
//! In: a datagram's length and the time. Out: when it arrives, perhaps twice, perhaps never.

use std::time::{Duration, Instant};

use crate::random::Random;

/// How long a link's queue keeps a datagram unless it is set. Home routers hold 100 ms to seconds.
pub const QUEUE_MAX: Duration = Duration::from_millis(300);
/// What IPv4 and UDP add to a datagram.
const HEADER_BYTES: usize = 28;
/// Loss in bursts (Gilbert and Elliott): a good state and a bad one, looked at once per datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bursts {
    /// Of a thousand datagrams so many turn a good time bad.
    pub begin_permille: u32,
    /// And so many a bad one good: 1000 divided by it is the mean length of a burst.
    pub end_permille: u32,
    /// What is lost in a bad time.
    pub loss_permille: u32,
}

/// A direction of a path. The fields may change at any time; what is on its way stays so.
#[derive(Clone, Debug)]
pub struct Link {
    /// Each datagram takes so long at least.
    pub delay: Duration,
    /// And up to so much more, without overtaking.
    pub jitter: Duration,
    /// What it carries, in bits per second.
    pub limit_bps: Option<u64>,
    /// What would wait longer than this for its turn is lost.
    pub queue: Duration,
    /// Of a thousand datagrams so many are lost, each on its own.
    pub loss_permille: u32,
    /// And in bursts.
    pub bursts: Bursts,
    /// So many are held back while later ones overtake them,
    pub reorder_permille: u32,
    /// by this much.
    pub reorder_by: Duration,
    /// So many come twice.
    pub duplicate_permille: u32,
    is_bad: bool,
    /// Whether it ever did more to a datagram than to take time: nothing was lost, doubled, overtaken or made to wait before.
    pub is_spoilt: bool,
    free_at: Option<Instant>,
    last: Option<Instant>,
    /// How long each datagram waited for its turn, while this is some.
    pub waits: Option<Vec<Duration>>,
}

impl Link {
    /// A path that only takes time.
    pub fn new(delay: Duration) -> Link {
        Link {
            delay,
            jitter: Duration::ZERO,
            limit_bps: None,
            queue: QUEUE_MAX,
            loss_permille: 0,
            bursts: Bursts::default(),
            reorder_permille: 0,
            reorder_by: Duration::from_millis(20),
            duplicate_permille: 0,
            is_bad: false,
            is_spoilt: false,
            free_at: None,
            last: None,
            waits: None,
        }
    }

    /// Ends loss, bursts, overtaking and doubling. Delay and limit stay.
    pub fn calm(&mut self) {
        self.loss_permille = 0;
        self.bursts = Bursts::default();
        self.reorder_permille = 0;
        self.duplicate_permille = 0;
        self.is_bad = false;
    }

    /// When a datagram arrives: never, once or twice.
    pub fn pass(&mut self, now: Instant, bytes: &[u8], random: &mut Random) -> [Option<Instant>; 2] {
        if is_handshake(bytes) {
            return [Some(now + self.delay), None];
        }
        self.is_spoilt |= self.limit_bps.is_some();
        let turn = if self.is_bad { self.bursts.end_permille } else { self.bursts.begin_permille };
        if random.permille(turn) {
            self.is_bad = !self.is_bad;
        }
        if random.permille(self.loss_permille) || (self.is_bad && random.permille(self.bursts.loss_permille)) {
            self.is_spoilt = true;
            return [None; 2];
        }
        let Some(leaves) = self.leaves(now, bytes.len()) else { return [None; 2] };
        let jitter = random.range(0, self.jitter.as_micros() as u64);
        let mut arrives = leaves + self.delay + Duration::from_micros(jitter);
        // Routers keep the order, whatever time they take.
        arrives = self.last.map_or(arrives, |last| arrives.max(last));
        self.last = Some(arrives);
        if random.permille(self.reorder_permille) {
            arrives += self.reorder_by;
            self.is_spoilt = true;
        }
        let again = random.permille(self.duplicate_permille).then(|| arrives + random.millis(0, 10));
        self.is_spoilt |= again.is_some();
        [Some(arrives), again]
    }

    /// When it has left the queue, if there is room in it.
    fn leaves(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(limit) = self.limit_bps else { return Some(now) };
        let takes = Duration::from_nanos((bytes + HEADER_BYTES) as u64 * 8 * 1_000_000_000 / limit.max(1));
        let free_at = self.free_at.unwrap_or(now).max(now) + takes;
        let waits = free_at - now;
        if waits > self.queue {
            return None;
        }
        self.free_at = Some(free_at);
        if let Some(list) = &mut self.waits {
            list.push(waits - takes);
        }
        Some(free_at)
    }
}

/// Whether it is of a DTLS handshake (RFC 7983 §7, RFC 6347 §4.3.1). Those only take time: when the engine sends one again, and
/// how long its signatures are, no seed rules.
fn is_handshake(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=22))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(link: &mut Link, count: usize) -> (Instant, Vec<[Option<Instant>; 2]>) {
        let (now, mut random) = (Instant::now(), Random::new(7));
        let pass = |index: usize| link.pass(now + Duration::from_millis(index as u64), &[0x80; 972], &mut random);
        (now, (0..count).map(pass).collect())
    }

    #[test]
    fn a_limited_link_delays_then_loses_and_never_carries_more_than_its_limit() {
        let mut link = Link { limit_bps: Some(800_000), ..Link::new(Duration::from_millis(5)) };
        // 1000 bytes each millisecond are ten times what it carries.
        let (now, arrivals) = arrivals(&mut link, 1_000);
        let came: Vec<_> = arrivals.iter().filter_map(|[first, _]| *first).collect();
        let last = came.iter().max().expect("something came");
        let bits = came.len() as f64 * 8_000.0;
        assert!(bits <= 800_000.0 * (*last - now).as_secs_f64() + 8_000.0);
        assert!(*last - now <= Duration::from_millis(1_000 + 300 + 5));
        assert!(came.len() > 100);
    }

    #[test]
    fn bursts_lose_neighbours() {
        let bursts = Bursts { begin_permille: 10, end_permille: 200, loss_permille: 1_000 };
        let mut link = Link { bursts, ..Link::new(Duration::ZERO) };
        let lost: Vec<bool> = arrivals(&mut link, 10_000).1.iter().map(|[first, _]| first.is_none()).collect();
        let all = lost.iter().filter(|lost| **lost).count();
        let pairs = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
        assert!((300..700).contains(&all), "about one in 21: {all}");
        assert!(pairs * 10 > all * 7, "four of five are followed by another: {pairs} of {all}");
    }

    #[test]
    fn order_is_kept_unless_reordering_was_asked_for_and_doubles_come_twice() {
        let mut link = Link { jitter: Duration::from_millis(30), ..Link::new(Duration::ZERO) };
        let firsts =
            |list: Vec<[Option<Instant>; 2]>| list.into_iter().filter_map(|[first, _]| first).collect::<Vec<_>>();
        assert!(firsts(arrivals(&mut link, 1_000).1).is_sorted());
        let mut link = Link { reorder_permille: 50, duplicate_permille: 50, ..Link::new(Duration::ZERO) };
        let list = arrivals(&mut link, 1_000).1;
        assert!((20..100).contains(&list.iter().filter(|[_, again]| again.is_some()).count()));
        assert!(!firsts(list).is_sorted());
    }
}
