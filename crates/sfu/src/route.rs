//! Where a peer's media goes: to the path that the peer uses now, also after its address changed without a word.
//!
//! In: what came on which path, and checks of the peer that were right. Out: the path of what is sent.
//!
//! The engine's ICE agent sends to the pair of highest priority among those that the peer nominated, until that pair was silent for
//! 15 s. After a NAT gave the peer another address (RFC 8445 §7.3.1.3: a peer-reflexive candidate, of no higher priority) it would
//! therefore send into the void for so long, and for ever if the peer does not nominate again. So the engine chooses the first path
//! only, and afterwards the peer's own checks do, by one rule: a peer that is heard on the present path has not left it; once that is
//! silent, the next right check says where the peer is. Whoever sends a recorded check again from elsewhere (RFC 8445 §19.3) thus
//! moves nothing while the peer is heard, and otherwise not for longer than until the peer's next check. What is heard is not
//! authenticated: whoever forges the sender's address of a peer that has moved can hold its media where it was, no more.

use std::time::{Duration, Instant};

use crate::api::Path;

/// After so long without any datagram on the present path a check that nominates (USE-CANDIDATE) elsewhere is followed. Receivers of
/// media report every 50 to 100 ms, and senders send. Higher leaves a picture standing longer when the check comes early; lower
/// believes a gap to be a move.
const NOMINATED_AFTER: Duration = Duration::from_millis(500);
/// The same for a check that does not nominate: peers keep further paths warm with such. Some (Firefox's consent checks, RFC 7675
/// §5.1; the controlled side with full ICE) move without any other sign. Longer than the 2.5 s between two checks of a path that is
/// in use but idle.
const CHECKED_AFTER: Duration = Duration::from_secs(3);
/// Paths that answered a check of ours. As many as a peer may have (`demux.rs`).
const PROVEN_MAX: usize = 16;

/// The path of one peer.
#[derive(Debug)]
pub(crate) struct Route {
    /// Whether the peer's checks are all the proof there will be, because we make none (RFC 8445 §2.5).
    is_lite: bool,
    present: Option<Path>,
    /// When something came on it.
    heard: Option<Instant>,
    /// The last right check from elsewhere, and whether it nominates.
    asked: Option<(Path, bool)>,
    proven: Vec<Path>,
}

impl Route {
    pub(crate) fn new(is_lite: bool) -> Route {
        Route { is_lite, present: None, heard: None, asked: None, proven: Vec::new() }
    }

    /// Something came.
    pub(crate) fn hear(&mut self, now: Instant, path: &Path) {
        if self.present.as_ref() == Some(path) {
            self.heard = Some(now);
        }
    }

    /// A right check came from the peer.
    pub(crate) fn checked(&mut self, now: Instant, path: Path, nominates: bool) {
        if self.present == Some(path) {
            self.asked = None;
        } else if self.present.is_some() {
            self.asked = Some((path, nominates));
            self.decide(now);
        }
    }

    /// A check of ours was answered.
    pub(crate) fn proved(&mut self, now: Instant, path: Path) {
        if !self.proven.contains(&path) {
            if self.proven.len() >= PROVEN_MAX {
                self.proven.remove(0);
            }
            self.proven.push(path);
        }
        self.decide(now);
    }

    fn decide(&mut self, now: Instant) {
        let Some((path, nominates)) = self.asked else { return };
        let patience = if nominates { NOMINATED_AFTER } else { CHECKED_AFTER };
        let is_left = self.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= patience);
        if is_left && (self.is_lite || self.proven.contains(&path)) {
            (self.present, self.heard, self.asked) = (Some(path), Some(now), None);
        }
    }

    /// A connection ended: nothing will be heard on it.
    pub(crate) fn closed(&mut self, path: &Path) {
        if self.present.as_ref() == Some(path) {
            self.heard = None;
        }
        self.proven.retain(|other| other != path);
    }

    /// The path that is used now.
    pub(crate) fn present(&self) -> Option<Path> {
        self.present
    }

    /// Where something goes that the engine sends to `chosen`.
    pub(crate) fn path(&mut self, now: Instant, chosen: Path) -> Path {
        if self.present.is_none() {
            (self.present, self.heard) = (Some(chosen), Some(now));
        }
        self.present.unwrap_or(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Transport;

    fn path(port: u16) -> Path {
        let address = |port| (std::net::Ipv4Addr::LOCALHOST, port).into();
        Path { transport: Transport::Udp, local: address(1), remote: address(port) }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_nomination_elsewhere_is_followed_when_the_present_path_is_silent_and_not_before() {
        let now = Instant::now();
        let mut route = Route::new(true);
        assert_eq!(route.path(now, path(5)), path(5));
        route.hear(now + millis(900), &path(5));
        route.checked(now + millis(1_000), path(6), true);
        assert_eq!(route.path(now + millis(1_000), path(5)), path(5), "heard a moment ago");
        route.checked(now + millis(1_400), path(6), true);
        assert_eq!(route.path(now + millis(1_400), path(5)), path(6));
        route.hear(now + millis(2_000), &path(5));
        route.checked(now + millis(2_000), path(5), true);
        assert_eq!(route.path(now + millis(2_000), path(5)), path(5), "and back, as nothing came on the other");
    }

    #[test]
    fn a_check_that_nominates_nothing_is_followed_after_three_seconds() {
        let now = Instant::now();
        let mut route = Route::new(true);
        route.path(now, path(5));
        route.checked(now + millis(2_900), path(6), false);
        assert_eq!(route.path(now + millis(2_900), path(5)), path(5));
        route.checked(now + millis(3_000), path(6), false);
        assert_eq!(route.path(now + millis(3_000), path(5)), path(6));
    }

    #[test]
    fn with_full_ice_a_path_is_followed_once_it_answered_a_check_of_ours() {
        let now = Instant::now();
        let mut route = Route::new(false);
        route.path(now, path(5));
        route.checked(now + millis(1_000), path(6), true);
        assert_eq!(route.path(now + millis(1_000), path(5)), path(5));
        route.proved(now + millis(1_050), path(7));
        assert_eq!(route.path(now + millis(1_050), path(5)), path(5));
        route.proved(now + millis(1_060), path(6));
        assert_eq!(route.path(now + millis(1_060), path(5)), path(6));
        for port in 100..1_000 {
            route.proved(now, path(port));
        }
        assert_eq!(route.proven.len(), PROVEN_MAX);
    }

    #[test]
    fn a_connection_that_ended_is_left_at_the_next_check() {
        let now = Instant::now();
        let mut route = Route::new(true);
        route.path(now, path(5));
        route.closed(&path(5));
        route.checked(now, path(6), true);
        assert_eq!(route.path(now, path(5)), path(6));
    }
}
