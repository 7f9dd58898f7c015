//! The byte budget that all packagers of a server share.
//!
//! Bytes of parts are charged when a part is made and given back when the packager lets go of it.
//! A packager that finds the budget exceeded drops its own oldest segments first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes of media the packagers may hold together. Cloning shares the account.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Budget {
        Budget(Arc::new(Account { limit, used: AtomicU64::new(0) }))
    }

    /// Bytes charged at the moment.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes beyond the limit.
    pub(crate) fn excess(&self) -> u64 {
        self.used().saturating_sub(self.0.limit)
    }

    pub(crate) fn charge(&self, bytes: u64) {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
