//! How many requests may wait for something to come, in all and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::error::{Code, Problem};
use crate::metrics::{Entered, Gauge};

/// Requests of one address that may wait at once. A low-latency player holds up to four: playlist and part, of picture
/// and sound. Higher lets one address take more of the total; lower turns away a lecture hall behind one router. A guess.
const HELD_PER_ADDRESS_MAX: usize = 4_096;

/// Requests that wait now.
#[derive(Debug, Default)]
pub struct Holding(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many of all: 503.
    Total,
    /// Too many of this address: 429.
    Address,
}

impl Refusal {
    /// The answer.
    pub fn problem(self) -> Problem {
        match self {
            Refusal::Total => Problem::new(Code::Unavailable, "Too many requests wait for this server's streams."),
            Refusal::Address => Problem::new(Code::TooManyRequests, "Too many requests of this address wait."),
        }
    }
}

/// A request that waits, until it is dropped.
#[derive(Debug)]
pub struct Held {
    holding: Arc<Holding>,
    address: IpAddr,
    _counted: Entered,
}

impl Holding {
    /// Lets one more request of `address` wait.
    pub fn hold(self: &Arc<Self>, address: IpAddr, total_max: usize, gauge: &Arc<Gauge>) -> Result<Held, Refusal> {
        let address = subscriber_of(address);
        let mut waiting = self.lock();
        if waiting.total >= total_max {
            return Err(Refusal::Total);
        }
        let of_address = waiting.by_address.entry(address).or_default();
        if *of_address >= HELD_PER_ADDRESS_MAX {
            return Err(Refusal::Address);
        }
        *of_address += 1;
        waiting.total += 1;
        drop(waiting);
        Ok(Held { holding: Arc::clone(self), address, _counted: gauge.enter() })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut waiting = self.holding.lock();
        waiting.total -= 1;
        if let Some(of_address) = waiting.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                waiting.by_address.remove(&self.address);
            }
        }
    }
}

/// RFC 6177: a subscriber has a whole /64 of IPv6 addresses at least, so that is what is counted.
fn subscriber_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_count_what_waits_now() {
        let holding = Arc::new(Holding::default());
        let gauge = Arc::new(Gauge::default());
        let one: IpAddr = [10, 0, 0, 1].into();
        let other: IpAddr = [10, 0, 0, 2].into();
        let hold = |address, total_max| holding.hold(address, total_max, &gauge);
        let first: Vec<Held> = (0..HELD_PER_ADDRESS_MAX).map(|_| hold(one, 10_000).expect("below both")).collect();
        assert_eq!(hold(one, 10_000).err(), Some(Refusal::Address));
        assert_eq!(hold(other, first.len()).err(), Some(Refusal::Total));
        let second = hold(other, 10_000).expect("another address");
        assert_eq!(gauge.get(), first.len() as i64 + 1);
        drop((first, second));
        assert_eq!(gauge.get(), 0);
        assert!(holding.lock().by_address.is_empty() && holding.lock().total == 0);
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let holding = Arc::new(Holding::default());
        let gauge = Arc::new(Gauge::default());
        let held: Vec<Held> = ["2001:db8::1", "2001:db8::2"]
            .map(|address| holding.hold(address.parse().expect("an address"), 9, &gauge).expect("few"))
            .into();
        assert_eq!(holding.lock().by_address.len(), 1);
        drop(held);
    }
}
