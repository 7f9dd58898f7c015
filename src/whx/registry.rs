//! The sessions of WHIP and WHEP that there are, by their addresses, and how many there may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::error::{Code, Problem};
use crate::auth::{Throttle, ThrottleConfig};
use crate::client::Client;
use crate::config::Config;
use crate::slots::{Slot, Slots};

use super::session::Session;

/// Addresses whose requests are counted. Costs 100 bytes each.
const ADDRESSES_MAX: usize = 10_000;
/// Offers from one address: at once, and then one in each interval. Each makes keys and a connection, about a millisecond.
/// Higher: one address makes the server do more; lower: a school whose pupils all open a page waits longer. Guess.
const OFFERS: (u32, Duration) = (100, Duration::from_millis(50));
/// PATCHes from one address. A client trickles ten candidates one by one at worst. Guess.
const PATCHES: (u32, Duration) = (400, Duration::from_millis(10));
/// DELETEs from one address. Guess.
const DELETES: (u32, Duration) = (200, Duration::from_millis(20));

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    /// Publishing.
    Whip,
    /// Watching.
    Whep,
}

impl Protocol {
    /// The first segment of its paths.
    pub(super) fn name(self) -> &'static str {
        match self {
            Protocol::Whip => "whip",
            Protocol::Whep => "whep",
        }
    }
}

/// What is counted per address.
#[derive(Clone, Copy)]
pub(super) enum Asks {
    Offer,
    Patch,
    Delete,
}

/// The sessions of this server. Cheap to clone.
#[derive(Clone)]
pub struct Whx(Arc<Inner>);

struct Inner {
    /// Bounded by the slots.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    publishers: Slots,
    viewers: Slots,
    paces: Mutex<[Throttle; 3]>,
}

impl Whx {
    /// No sessions yet.
    pub fn new(config: &Config) -> Whx {
        let (whip, whep) = (&config.whip, &config.whep);
        let pace = |(at_once, interval): (u32, Duration)| {
            let config =
                ThrottleConfig { failures_max: at_once, forgive_interval: interval, addresses_max: ADDRESSES_MAX };
            Throttle::new(config)
        };
        Whx(Arc::new(Inner {
            sessions: Mutex::default(),
            publishers: Slots::new(whip.publishers_max, whip.publishers_per_address_max),
            viewers: Slots::new(whep.viewers_max, whep.viewers_per_address_max),
            paces: Mutex::new([OFFERS, PATCHES, DELETES].map(pace)),
        }))
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.sessions().len()
    }

    /// Counts one request of an address, or says how long it has to wait.
    pub(super) fn take_turn(&self, address: IpAddr, asks: Asks) -> Result<(), Problem> {
        let now = Instant::now();
        let mut paces = self.0.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = match asks {
            Asks::Offer => &mut paces[0],
            Asks::Patch => &mut paces[1],
            Asks::Delete => &mut paces[2],
        };
        pace.check(now, address).map_err(|wait| {
            let secs = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            Problem::new(Code::TooManyRequests, "Too many requests came from this address.").retry_after_secs(secs)
        })?;
        pace.handle_failure(now, address);
        Ok(())
    }

    /// A place for a session of this client.
    pub(super) fn place(&self, protocol: Protocol, client: &Client) -> Result<Slot, Problem> {
        let slots = match protocol {
            Protocol::Whip => &self.0.publishers,
            Protocol::Whep => &self.0.viewers,
        };
        slots
            .take(client.address, client.is_on_this_machine())
            .ok_or_else(|| Problem::new(Code::Unavailable, "There are too many sessions already."))
    }

    /// Lists a session under its address.
    pub(super) fn insert(&self, session: Arc<Session>) {
        self.sessions().insert(session.id().to_owned(), session);
    }

    /// The session of this address.
    pub(super) fn get(&self, protocol: Protocol, room: &str, id: &str) -> Option<Arc<Session>> {
        self.sessions().get(id).filter(|session| session.is_at(protocol, room)).cloned()
    }

    /// The session is over.
    pub(super) fn remove(&self, id: &str) {
        self.sessions().remove(id);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
