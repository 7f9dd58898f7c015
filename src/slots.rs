//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open connections of one kind. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Slots {
    all_max: usize,
    per_address_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only addresses that have connections, so `all_max` bounds it.
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection. Dropping it frees the slot.
pub(crate) struct Slot {
    slots: Slots,
    address: IpAddr,
}

impl Slots {
    pub(crate) fn new(all_max: u32, per_address_max: u32) -> Slots {
        Slots { all_max: all_max as usize, per_address_max: per_address_max as usize, taken: Arc::default() }
    }

    /// A slot for a connection from `address`, if there is one. One that is exempt counts for all of them together only.
    pub(crate) fn take(&self, address: IpAddr, is_exempt: bool) -> Option<Slot> {
        let address = household(address);
        let mut taken = self.taken();
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= self.all_max || (here >= self.per_address_max && !is_exempt) {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, here + 1);
        drop(taken);
        Some(Slot { slots: self.clone(), address })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all -= 1;
        if let Some(here) = taken.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, however it is written, or the /64 that a provider gives a household.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_exempt_is_limited_with_all_others_only() {
        let slots = Slots::new(3, 1);
        let proxy: IpAddr = [127, 0, 0, 1].into();
        let held: Vec<Slot> = (0..4).filter_map(|_| slots.take(proxy, true)).collect();
        assert_eq!(held.len(), 3);
        drop(held);
        assert!(slots.taken().by_address.is_empty());
    }

    #[test]
    fn slots_are_limited_in_all_and_per_address_and_come_back() {
        let slots = Slots::new(3, 2);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = slots.take(address("10.0.0.1"), false);
        let _second = slots.take(address("::ffff:10.0.0.1"), false).expect("the same address, its second");
        assert!(first.is_some() && slots.take(address("10.0.0.1"), false).is_none());
        let third = slots.take(address("2001:db8::1"), false);
        assert!(third.is_some() && slots.take(address("10.0.0.2"), false).is_none(), "three in all");
        drop(first);
        let _fourth = slots.take(address("2001:db8::ffff"), false).expect("the same /64, its second");
        drop(third);
        assert!(slots.take(address("10.0.0.1"), false).is_some());
        assert_eq!(slots.taken().by_address.len(), 2);
    }
}
