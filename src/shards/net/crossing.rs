//! Between media threads: datagrams that came to one thread's socket and are for a room of another's.
//!
//! A datagram crosses at most once, in a batch with its neighbours. The ring is bounded; when it is full the batch is
//! dropped and counted, as the kernel does with a full socket.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use telstar_sfu::Path;

use super::super::thread::ShardWaker;

/// Batches that wait for one thread. Each is what one receiving call or one read of a TCP connection brought, up to 32
/// datagrams: 256 of them bridge a thread that is busy for 80 ms at 100,000 packets a second.
pub(super) const CROSSINGS_MAX: usize = 256;

/// Datagrams on their way to another thread.
#[derive(Debug)]
pub(super) struct Crossing {
    /// When they came.
    pub(super) now: Instant,
    bytes: Vec<u8>,
    datagrams: Vec<(Path, Range<usize>)>,
}

impl Crossing {
    pub(super) fn new(now: Instant) -> Crossing {
        Crossing { now, bytes: Vec::new(), datagrams: Vec::new() }
    }

    pub(super) fn push(&mut self, path: Path, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((path, start..self.bytes.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = (Path, &[u8])> {
        self.datagrams.iter().map(|(path, range)| (*path, &self.bytes[range.clone()]))
    }
}

/// What other threads and TCP connections have for one thread.
#[derive(Debug)]
pub(super) struct Inbox {
    crossings: ArrayQueue<Crossing>,
    waker: Arc<ShardWaker>,
}

impl Inbox {
    pub(super) fn new(waker: Arc<ShardWaker>) -> Inbox {
        Inbox { crossings: ArrayQueue::new(CROSSINGS_MAX), waker }
    }

    /// False: it is full, and the datagrams are lost.
    pub(super) fn push(&self, crossing: Crossing) -> bool {
        let taken = self.crossings.push(crossing).is_ok();
        self.waker.wake();
        taken
    }

    pub(super) fn take(&self) -> Option<Crossing> {
        self.crossings.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.crossings.is_empty()
    }
}

/// The addresses that peers are told, and those that their packets come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways(Vec<telstar_sfu::LocalCandidate>);

impl Ways {
    pub(super) fn new(candidates: Vec<telstar_sfu::LocalCandidate>) -> Ways {
        Ways(candidates)
    }

    /// The path of a datagram that came to `base`. Where that was not offered it stands for itself.
    pub(super) fn path(&self, transport: telstar_sfu::Transport, base: SocketAddr, remote: SocketAddr) -> Path {
        let known = self.0.iter().find(|way| way.transport == transport && way.base == base);
        Path { transport, local: known.map_or(base, |way| way.advertised), remote }
    }

    /// The address of this machine that a datagram on this path leaves from.
    pub(super) fn base(&self, path: &Path) -> SocketAddr {
        let known = self.0.iter().find(|way| way.transport == path.transport && way.advertised == path.local);
        known.map_or(path.local, |way| way.base)
    }
}
