//! Whose a datagram is: which media thread runs the room of whoever sent it.
//!
//! In: a datagram and where it came from. Out: a thread, or a reason to drop it. A STUN request says by its USERNAME whom
//! it is for; everything else goes where the address's last request went. Nothing here is proof of anything: the
//! connection itself checks what it is given (RFC 8445 §7.3, SRTP, DTLS).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use telstar_sfu::{Sort, sort};

/// Addresses that one thread knows. A participant has two or three. When it is full new ones are not remembered: their
/// requests arrive, their media does not. 100 bytes each.
const ADDRESSES_MAX: usize = 65_536;
/// An address that was silent for so long is forgotten. Consent is asked for every 5 s and ends after 30 (RFC 7675 §5.1).
const ADDRESS_AGE_MAX: Duration = Duration::from_secs(60);
/// How often silent addresses are looked for.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// After so much silence an address may begin to talk to another room. Shorter lets whoever guesses a name fragment and
/// forges an address take another's packets away; longer makes whoever rejoins from the same port wait.
const TAKEOVER_SILENCE: Duration = Duration::from_secs(3);

/// Name fragments of all threads' connections. Written when a connection begins, restarts or ends; read for STUN requests
/// only. Bounded by the connections that there may be, two for each.
#[derive(Debug, Default)]
pub(super) struct Ufrags(RwLock<HashMap<String, usize>>);

impl Ufrags {
    pub(super) fn insert(&self, ufrag: String, shard: usize) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(ufrag, shard);
    }

    pub(super) fn remove(&self, ufrag: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(ufrag);
    }

    /// The thread whose connection has this name.
    pub(super) fn shard_of(&self, ufrag: &str) -> Option<usize> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(ufrag).copied()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the connections of this thread.
    Shard(usize),
    /// It is nothing of WebRTC's.
    Alien,
    /// Nobody here knows its sender.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    shard: usize,
    heard: Instant,
}

/// The addresses that one thread's socket hears from.
#[derive(Debug, Default)]
pub(super) struct AddressMap {
    known: HashMap<SocketAddr, Known>,
    next_sweep: Option<Instant>,
    forgotten: u64,
}

impl AddressMap {
    pub(super) fn new() -> AddressMap {
        AddressMap::default()
    }

    /// Says where a datagram of `remote` goes.
    pub(super) fn route(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8], ufrags: &Ufrags) -> Route {
        match sort(datagram) {
            Sort::Other => Route::Alien,
            Sort::Request(ufrag) => match ufrags.shard_of(ufrag) {
                Some(shard) => {
                    self.remember(now, remote, shard);
                    Route::Shard(shard)
                }
                None => Route::Unknown,
            },
            Sort::Response { .. } | Sort::Handshake | Sort::Media => self.known(now, remote),
        }
    }

    fn known(&mut self, now: Instant, remote: SocketAddr) -> Route {
        match self.known.get_mut(&remote) {
            Some(known) => {
                known.heard = now;
                Route::Shard(known.shard)
            }
            None => Route::Unknown,
        }
    }

    fn remember(&mut self, now: Instant, remote: SocketAddr, shard: usize) {
        let is_full = self.known.len() >= ADDRESSES_MAX;
        match self.known.get_mut(&remote) {
            Some(known) if known.shard == shard => known.heard = now,
            Some(known) => {
                if now.saturating_duration_since(known.heard) >= TAKEOVER_SILENCE {
                    *known = Known { shard, heard: now };
                }
            }
            None if is_full => self.forgotten += 1,
            None => {
                self.known.insert(remote, Known { shard, heard: now });
            }
        }
    }

    /// When silent addresses are looked for next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_sweep.filter(|_| !self.known.is_empty())
    }

    /// Forgets who was silent for long. Returns how many could not be remembered since the last time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> u64 {
        if self.next_sweep.is_none_or(|at| at <= now) {
            self.next_sweep = Some(now + SWEEP_INTERVAL);
            self.known.retain(|_, known| now.saturating_duration_since(known.heard) < ADDRESS_AGE_MAX);
        }
        std::mem::take(&mut self.forgotten)
    }
}

#[cfg(test)]
mod tests;
