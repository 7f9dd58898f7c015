//! Who has how many streams of events open, and where a new one begins.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telstar_store::{EventId, Store, StoreError};
use telstar_units::AccountId;

use crate::api::error::{Code, Problem};

/// Streams of one account: a few tabs on each of a few devices, and an app's servers. Each asks the store some times a
/// second.
const STREAMS_PER_ACCOUNT_MAX: usize = 16;
/// Streams of all accounts. More: more readers of the outbox, about 30 us each time. Guess.
const STREAMS_MAX: usize = 512;
const _: () = assert!(STREAMS_PER_ACCOUNT_MAX < STREAMS_MAX, "one account leaves room for others");

/// The open streams. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::api) struct Streams {
    /// Only accounts that have streams, so [`STREAMS_MAX`] bounds it.
    taken: Arc<Mutex<HashMap<AccountId, usize>>>,
    /// The newest event that any of them has seen: where the next one begins to look for the end.
    newest: Arc<AtomicI64>,
}

/// One open stream. Dropping it frees its place.
pub(super) struct Place {
    streams: Streams,
    account: AccountId,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, account: AccountId) -> Result<Place, Problem> {
        let mut taken = self.lock();
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&account).copied().unwrap_or(0));
        if own >= STREAMS_PER_ACCOUNT_MAX {
            let detail = format!("An account has at most {STREAMS_PER_ACCOUNT_MAX} streams of events at once.");
            return Err(Problem::new(Code::TooManyRequests, detail));
        }
        if all >= STREAMS_MAX {
            return Err(Problem::new(Code::Unavailable, "Too many streams of events are open; try again."));
        }
        taken.insert(account, own + 1);
        drop(taken);
        Ok(Place { streams: self.clone(), account })
    }

    /// The newest event there is. The outbox is bounded, so the first call ends, and the others are short.
    pub(super) async fn newest(&self, store: &dyn Store) -> Result<EventId, StoreError> {
        loop {
            let after = EventId(self.newest.load(Ordering::Relaxed));
            match store.events_after(after).await?.last() {
                Some(last) => self.newest.fetch_max(last.id.0, Ordering::Relaxed),
                None => return Ok(after),
            };
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.streams.lock();
        if let Some(own) = taken.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_so_many_streams_and_leaves_room_for_others() {
        let streams = Streams::default();
        let mut places: Vec<Place> =
            (0..STREAMS_PER_ACCOUNT_MAX).map(|_| streams.take(AccountId(1)).expect("a place")).collect();
        assert_eq!(streams.take(AccountId(1)).err().map(|problem| problem.code()), Some(Code::TooManyRequests));
        let mut account = 2;
        while places.len() < STREAMS_MAX {
            let taken = streams.take(AccountId(account));
            match taken {
                Ok(place) => places.push(place),
                Err(_) => account += 1,
            }
        }
        let newcomer = streams.take(AccountId(account + 1));
        assert_eq!(newcomer.err().map(|problem| problem.code()), Some(Code::Unavailable));
        places.pop();
        assert!(streams.take(AccountId(account + 1)).is_ok(), "a stream that ends leaves its place");
        drop(places);
        assert!(streams.lock().is_empty());
    }
}
