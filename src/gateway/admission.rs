//! How many sockets may be open, in total and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Sockets from one address. Higher: one host can take more of the total. Lower: a school behind one address runs dry.
/// Programs on this machine are exempt: they are the operator's own, or a proxy that says nothing of its clients, who
/// would share one limit. Guess.
pub(super) const PER_ADDRESS_MAX: u32 = 500;

/// Counts open sockets. Cheap to clone.
#[derive(Clone)]
pub(super) struct Admission {
    counts: Arc<Mutex<Counts>>,
    total_max: u32,
}

#[derive(Default)]
struct Counts {
    total: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// One open socket; dropping it makes room for another.
pub(super) struct Admitted {
    admission: Admission,
    address: IpAddr,
}

impl Admission {
    pub(super) fn new(total_max: u32) -> Admission {
        Admission { counts: Arc::default(), total_max }
    }

    /// Admits one more from `address`, unless a limit is reached. An exempt one counts for the total only.
    pub(super) fn admit(&self, address: IpAddr, is_exempt: bool) -> Option<Admitted> {
        let address = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.total_max {
            return None;
        }
        let from_here = counts.by_address.entry(address).or_default();
        if *from_here >= PER_ADDRESS_MAX && !is_exempt {
            return None;
        }
        *from_here += 1;
        counts.total += 1;
        Some(Admitted { admission: self.clone(), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(from_here) = counts.by_address.get_mut(&self.address) {
            *from_here -= 1;
            if *from_here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// One customer has one IPv4 address, or a /64 of IPv6 (RFC 6177 §2) with more addresses than a limit could count.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_socket() {
        let admission = Admission::new(PER_ADDRESS_MAX + 2);
        let here: IpAddr = [192, 0, 2, 1].into();
        let mut held: Vec<Admitted> = (0..PER_ADDRESS_MAX).filter_map(|_| admission.admit(here, false)).collect();
        assert_eq!(held.len(), PER_ADDRESS_MAX as usize);
        assert!(admission.admit(here, false).is_none());
        assert!(admission.admit(here, true).is_some(), "the limit is not for a program on this machine");
        let other = [192, 0, 2, 2].into();
        let others = (admission.admit(other, false), admission.admit(other, false));
        assert!(others.0.is_some() && others.1.is_some());
        assert!(admission.admit(other, false).is_none(), "the total");
        held.pop();
        assert!(admission.admit(here, false).is_some(), "a closed socket makes room");
        drop((held, others));
        assert!(admission.counts.lock().expect("no panic").by_address.is_empty());
    }

    #[test]
    fn a_customers_ipv6_addresses_are_one() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert!(of("::1").is_loopback());
    }
}
