//! How many bodies are taken at once, in all and of one account: each holds a file and a batch of bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telstar_units::AccountId;

/// Bodies of all accounts. Each takes a descriptor and some 256 KiB while the disk is slower than its client. Beyond it
/// an upload is answered 503, and clients try again. A guess.
const ALL_MAX: usize = 512;
/// Bodies of one account, so that nobody keeps others out. A page sends three files at once, a script perhaps fifty.
const OF_ACCOUNT_MAX: usize = 64;
const _: () = assert!(OF_ACCOUNT_MAX * 4 <= ALL_MAX, "one account leaves room for others");

/// Every place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only accounts that have some, so that `ALL_MAX` bounds it.
    by_account: HashMap<AccountId, usize>,
}

/// The bodies that are being taken. Cheap to clone.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<Taken>>);

/// A body's place. Dropping it frees the place.
pub struct Place {
    places: Places,
    account: AccountId,
}

impl Places {
    /// A place for a body of `account`.
    pub fn take(&self, account: AccountId) -> Result<Place, Crowded> {
        let mut taken = self.lock();
        let own = taken.by_account.get(&account).copied().unwrap_or(0);
        if taken.all >= ALL_MAX || own >= OF_ACCOUNT_MAX {
            return Err(Crowded);
        }
        taken.all += 1;
        taken.by_account.insert(account, own + 1);
        drop(taken);
        Ok(Place { places: self.clone(), account })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.by_account.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                taken.by_account.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_all() {
        let places = Places::default();
        let own: Vec<Place> = (0..OF_ACCOUNT_MAX).filter_map(|_| places.take(AccountId(1)).ok()).collect();
        assert_eq!(own.len(), OF_ACCOUNT_MAX);
        assert!(places.take(AccountId(1)).is_err());
        let others: Vec<Place> = (2..1_000).filter_map(|account| places.take(AccountId(account)).ok()).collect();
        assert_eq!(others.len(), ALL_MAX - OF_ACCOUNT_MAX);
        drop(own);
        assert!(places.take(AccountId(1)).is_ok());
        drop(others);
        assert!(places.lock().by_account.is_empty() && places.lock().all == 0, "nothing is left of them");
    }
}
