//! The byte budget that all packagers of a server share.
//!
//! Bytes of parts are charged when a part is made and given back when the packager lets go of it.
//! When it is exceeded, packagers that hold more than an equal share drop their oldest segments, so that one room with a
//! high bitrate does not cost the others theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes of media the packagers may hold together. Cloning shares the account.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: u64,
    used: AtomicU64,
    sharers: AtomicU64,
}

/// One packager's membership, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share(Budget);

impl Share {
    /// Bytes that the holder of `held` bytes has to give up: what is over the limit, as far as it is over its equal share.
    pub fn owes(&self, held: u64) -> u64 {
        let Account { limit, sharers, .. } = &*self.0.0;
        let equal = limit / sharers.load(Ordering::Relaxed).max(1);
        self.0.excess().min(held.saturating_sub(equal))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.sharers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Budget {
        Budget(Arc::new(Account { limit, used: AtomicU64::new(0), sharers: AtomicU64::new(0) }))
    }

    /// Bytes charged at the moment.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Counts one more packager.
    pub(crate) fn share(&self) -> Share {
        self.0.sharers.fetch_add(1, Ordering::Relaxed);
        Share(self.clone())
    }

    /// Bytes beyond the limit.
    fn excess(&self) -> u64 {
        self.used().saturating_sub(self.0.limit)
    }

    pub(crate) fn charge(&self, bytes: u64) {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_more_than_an_equal_share_gives_up() {
        let budget = Budget::new(100);
        let (large, small) = (budget.share(), budget.share());
        budget.charge(90);
        budget.charge(30);
        assert_eq!((large.owes(90), small.owes(30)), (20, 0));
        budget.give_back(20);
        assert_eq!((large.owes(70), small.owes(30)), (0, 0));
        drop(large);
        budget.charge(80);
        assert_eq!(small.owes(110), 10, "alone it may hold all of it");
    }
}
