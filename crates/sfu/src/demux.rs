//! Which peer a datagram is for: by the path it came on, or by the name fragment in a STUN request.
//!
//! In: datagrams from anybody. Out: a peer's key, or nothing. Nothing is stored and nothing is computed for a
//! datagram that names none of our peers. A path counts as a peer's only after the peer answered for it with its
//! password, which the engine checks ([`Demux::bind`] is called when the engine answers a request).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::api::Path;

/// Where a peer sits in its shard.
pub(crate) type Key = usize;

/// STUN's magic cookie (RFC 8489 §5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const STUN_HEADER: usize = 20;
const USERNAME: u16 = 0x0006;
const USE_CANDIDATE: u16 = 0x0025;
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_FAILURE: [u8; 2] = [0x01, 0x11];

/// Paths of one peer. Browsers check every pair of candidates, so a laptop with VPN and IPv6 has about ten; beyond
/// this the longest silent one is forgotten, once it has been silent for [`PATH_KEPT`].
const PATHS_MAX: usize = 16;
/// A path that answered for its owner within this time is not given to another peer: whoever can forge source
/// addresses could otherwise cut off somebody else. Consent checks come every 5 s (RFC 7675 §5.1).
const PATH_KEPT: Duration = Duration::from_secs(15);
/// Our own checks whose answers are still expected, of all peers. Only with full ICE. The oldest is forgotten and
/// checked again.
const CHECKS_MAX: usize = 4_096;

/// What a datagram is by its first byte (RFC 7983 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort<'a> {
    /// A STUN request with our side of USERNAME (RFC 8445 §7.2.2).
    Request(&'a str),
    /// A STUN answer with its transaction.
    Response([u8; 12]),
    /// DTLS.
    Handshake,
    /// RTP or RTCP.
    Media,
    /// None of them.
    Other,
}

/// Reads what is needed to find a datagram's peer and nothing else.
pub fn sort(bytes: &[u8]) -> Sort<'_> {
    match bytes.first() {
        Some(0..=1) => sort_stun(bytes),
        Some(20..=63) => Sort::Handshake,
        Some(128..=191) if bytes.len() > 12 => Sort::Media,
        _ => Sort::Other,
    }
}

fn sort_stun(bytes: &[u8]) -> Sort<'_> {
    let Some(header) = bytes.get(..STUN_HEADER) else { return Sort::Other };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[4..8] != MAGIC_COOKIE || length % 4 != 0 || bytes.len() != STUN_HEADER + length {
        return Sort::Other;
    }
    let class = [header[0], header[1]];
    if class == BINDING_REQUEST {
        return username(&bytes[STUN_HEADER..]).map_or(Sort::Other, Sort::Request);
    }
    if class == BINDING_SUCCESS || class == BINDING_FAILURE {
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&header[8..20]);
        return Sort::Response(transaction);
    }
    Sort::Other
}

/// Our half of USERNAME, which is in front of the colon in a request to us.
fn username(attributes: &[u8]) -> Option<&str> {
    let ours = attribute(attributes, USERNAME)?.split(|byte| *byte == b':').next()?;
    std::str::from_utf8(ours).ok()
}

/// Whether a request nominates the path that it comes on (RFC 8445 §7.1.2).
pub(crate) fn nominates(request: &[u8]) -> bool {
    request.get(STUN_HEADER..).is_some_and(|attributes| attribute(attributes, USE_CANDIDATE).is_some())
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, rest) = attributes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(..length)?;
        if u16::from_be_bytes([head[0], head[1]]) == wanted {
            return Some(value);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// What one of our outgoing datagrams says about its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The peer's request was right: the path is the peer's.
    Answered,
    /// We asked.
    Asked([u8; 12]),
    /// The peer's request was wrong, or not for us.
    Refused,
    /// Nothing: it is no STUN.
    Nothing,
}

/// Looks at an outgoing datagram.
pub(crate) fn told(bytes: &[u8]) -> Told {
    let Some(header) = bytes.get(..STUN_HEADER) else { return Told::Nothing };
    // RFC 7983 §7: 0 to 3 is STUN.
    if header[0] > 3 || header[4..8] != MAGIC_COOKIE {
        return Told::Nothing;
    }
    match [header[0], header[1]] {
        BINDING_SUCCESS => Told::Answered,
        BINDING_REQUEST => {
            let mut transaction = [0; 12];
            transaction.copy_from_slice(&header[8..20]);
            Told::Asked(transaction)
        }
        _ => Told::Refused,
    }
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    peer: Key,
    seen: Instant,
}

/// The tables.
#[derive(Default)]
pub(crate) struct Demux {
    paths: HashMap<Path, Bound>,
    fragments: HashMap<String, Key>,
    checks: HashMap<[u8; 12], Key>,
    checks_order: VecDeque<[u8; 12]>,
}

impl Demux {
    /// The peer of a datagram.
    pub(crate) fn find(&self, path: &Path, sort: Sort<'_>) -> Option<Key> {
        match sort {
            Sort::Request(fragment) => self.fragments.get(fragment).copied(),
            Sort::Response(transaction) => self.checks.get(&transaction).copied(),
            Sort::Handshake | Sort::Media => self.paths.get(path).map(|bound| bound.peer),
            Sort::Other => None,
        }
    }

    /// Whether a request may be handed to the engine: a new path of a peer that uses enough of them is not.
    pub(crate) fn admits(&self, now: Instant, path: &Path, peer: Key, paths: &[Path]) -> bool {
        let is_stale = |bound: &Bound| now.saturating_duration_since(bound.seen) >= PATH_KEPT;
        let is_free = |path: &Path| self.bound(path, peer).is_none_or(is_stale);
        paths.len() < PATHS_MAX || self.is_bound(path, peer) || paths.iter().any(is_free)
    }

    /// Whether the peer has shown that this path is its own.
    pub(crate) fn is_bound(&self, path: &Path, peer: Key) -> bool {
        self.bound(path, peer).is_some()
    }

    fn bound(&self, path: &Path, peer: Key) -> Option<&Bound> {
        self.paths.get(path).filter(|bound| bound.peer == peer)
    }

    /// Makes a name fragment known.
    pub(crate) fn name(&mut self, fragment: String, peer: Key) {
        self.fragments.insert(fragment, peer);
    }

    /// Forgets a name fragment.
    pub(crate) fn unname(&mut self, fragment: &str) {
        self.fragments.remove(fragment);
    }

    /// The engine answered a request that came on this path. Returns whether the path is the peer's now.
    pub(crate) fn bind(&mut self, now: Instant, path: Path, peer: Key, paths: &mut Vec<Path>) -> bool {
        if let Some(bound) = self.paths.get_mut(&path) {
            if bound.peer == peer {
                bound.seen = now;
                return true;
            }
            if now.saturating_duration_since(bound.seen) < PATH_KEPT {
                return false;
            }
        }
        if paths.len() >= PATHS_MAX {
            self.forget_oldest(peer, paths);
        }
        self.paths.insert(path, Bound { peer, seen: now });
        if !paths.contains(&path) {
            paths.push(path);
        }
        true
    }

    /// One that is another peer's by now counts as the oldest, and stays the other's.
    fn forget_oldest(&mut self, peer: Key, paths: &mut Vec<Path>) {
        let oldest = paths.iter().enumerate().min_by_key(|(_, path)| self.bound(path, peer).map(|bound| bound.seen));
        let Some((index, is_ours)) = oldest.map(|(index, path)| (index, self.is_bound(path, peer))) else { return };
        let path = paths.swap_remove(index);
        if is_ours {
            self.paths.remove(&path);
        }
    }

    /// We asked something.
    pub(crate) fn expect_answer(&mut self, transaction: [u8; 12], peer: Key) {
        if self.checks_order.len() >= CHECKS_MAX
            && let Some(oldest) = self.checks_order.pop_front()
        {
            self.checks.remove(&oldest);
        }
        if self.checks.insert(transaction, peer).is_none() {
            self.checks_order.push_back(transaction);
        }
    }

    /// A connection of a path ended.
    pub(crate) fn unbind(&mut self, path: &Path) -> Option<Key> {
        self.paths.remove(path).map(|bound| bound.peer)
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: Key, paths: &[Path], fragments: &[String]) {
        for path in paths {
            if self.paths.get(path).is_some_and(|bound| bound.peer == peer) {
                self.paths.remove(path);
            }
        }
        for fragment in fragments {
            self.fragments.remove(fragment);
        }
        let checks = &mut self.checks;
        checks.retain(|_, owner| *owner != peer);
        self.checks_order.retain(|transaction| checks.contains_key(transaction));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::Transport;

    fn request(username: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        bytes.extend_from_slice(&[7; 12]);
        // Some other attribute first, with padding.
        bytes.extend_from_slice(&[0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]);
        bytes.extend_from_slice(&[0, 6, 0, username.len() as u8]);
        bytes.extend_from_slice(username);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let length = (bytes.len() - 20) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    fn path(port: u16) -> Path {
        let address = |port| (std::net::Ipv4Addr::LOCALHOST, port).into();
        Path { transport: Transport::Udp, local: address(1), remote: address(port) }
    }

    #[test]
    fn a_request_names_its_peer_whole_or_not_at_all() {
        let bytes = request(b"ours:theirs");
        assert_eq!(sort(&bytes), Sort::Request("ours"));
        for length in 0..bytes.len() {
            assert_eq!(sort(&bytes[..length]), Sort::Other, "cut at {length}");
        }
        assert_eq!(sort(&request(b"")), Sort::Request(""));
        assert_eq!(sort(&request(b"\xff\xfe:x")), Sort::Other);
        assert_eq!(sort(&[]), Sort::Other);
        assert_eq!(sort(&[200; 40]), Sort::Other);
        assert_eq!(sort(&[22; 20]), Sort::Handshake);
        assert_eq!(sort(&[0x80; 20]), Sort::Media);
    }

    #[test]
    fn a_path_in_use_is_kept_and_a_stale_one_changes_hands() {
        let now = Instant::now();
        let mut demux = Demux::default();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        demux.bind(now, path(5), 1, &mut first);
        demux.bind(now + Duration::from_secs(1), path(5), 2, &mut second);
        assert_eq!(demux.find(&path(5), Sort::Media), Some(1));
        demux.bind(now + Duration::from_secs(20), path(5), 2, &mut second);
        assert_eq!(demux.find(&path(5), Sort::Media), Some(2));
        demux.forget(1, &first, &[]);
        assert_eq!(demux.find(&path(5), Sort::Media), Some(2), "the old owner takes only its own with it");
        demux.forget(2, &second, &[]);
        assert_eq!(demux.find(&path(5), Sort::Media), None);
    }

    #[test]
    fn paths_and_checks_of_a_peer_are_limited() {
        let now = Instant::now();
        let mut demux = Demux::default();
        let mut paths = Vec::new();
        for port in 0..1_000 {
            demux.bind(now + Duration::from_millis(u64::from(port)), path(port), 1, &mut paths);
        }
        assert_eq!((paths.len(), demux.paths.len()), (PATHS_MAX, PATHS_MAX));
        assert_eq!(demux.find(&path(999), Sort::Media), Some(1), "the newest is known");
        assert!(!demux.admits(now, &path(5_000), 1, &paths));
        assert!(demux.admits(now + Duration::from_secs(20), &path(5_000), 1, &paths), "who moved often may move again");
        for number in 0..10_000u32 {
            let mut transaction = [0; 12];
            transaction[..4].copy_from_slice(&number.to_be_bytes());
            demux.expect_answer(transaction, 1);
        }
        assert_eq!((demux.checks.len(), demux.checks_order.len()), (CHECKS_MAX, CHECKS_MAX));
        demux.forget(1, &paths, &[]);
        assert_eq!((demux.paths.len(), demux.checks.len(), demux.checks_order.len()), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), stun: bool) {
            let mut bytes = bytes;
            if stun && bytes.len() >= 20 {
                let length = (bytes.len() - 20) as u16;
                bytes[..2].copy_from_slice(&[0, 1]);
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
            }
            let _ = sort(&bytes);
            let _ = told(&bytes);
        }
    }
}
