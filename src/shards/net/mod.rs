//! The sockets of calls on one media thread: one UDP socket each on the port that all share, and the ways to ICE-TCP
//! connections, which are tasks.
//!
//! In: datagrams, in batches, each stamped once with the time of its batch. Out: those for this thread's rooms with their
//! path; those for others in one batch for each thread; what is to be sent, in few system calls. It knows no room.

mod counters;
mod crossing;
mod demux;
mod outbox;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mio::{Interest, Registry, Token};
use telstar_sfu::{LocalCandidate, Path, Transmit, Transport};

pub use counters::NetCounters;
use crossing::{Crossing, Inbox, Ways};
use demux::{AddressMap, Route, Ufrags};
use outbox::{Outbox, Packet};
pub(super) use tcp::TcpWay;
pub use tcp::{IceTcp, TcpLimits};
use udp::{RECEIVE_BATCH, Receiver, Sender, Socket};

use super::commands::ShardWaker;

/// Receiving calls of one turn, so that a flood leaves time for the thread's other rooms. Higher drains a burst in one
/// go; lower lets HLS and timers in sooner.
pub(super) const RECEIVES_PER_TURN: usize = 4;
/// Batches from other threads in one turn, for the same reason.
const CROSSINGS_PER_TURN: usize = 4;

/// What all media threads share of their sockets.
#[derive(Debug)]
pub(super) struct NetShared {
    ufrags: Ufrags,
    inboxes: Vec<Inbox>,
    ways: Ways,
    pub(super) counters: Arc<NetCounters>,
}

impl NetShared {
    pub(super) fn new(
        candidates: Vec<LocalCandidate>,
        wakers: impl IntoIterator<Item = Arc<ShardWaker>>,
        counters: Arc<NetCounters>,
    ) -> NetShared {
        let inboxes = wakers.into_iter().map(Inbox::new).collect();
        NetShared { ufrags: Ufrags::default(), inboxes, ways: Ways::new(candidates), counters }
    }

    /// A STUN request with this name is for a connection of this thread.
    pub(super) fn name(&self, ufrag: String, shard: usize) {
        self.ufrags.insert(ufrag, shard);
    }

    /// Nobody has this name any more.
    pub(super) fn unname(&self, ufrag: &str) {
        self.ufrags.remove(ufrag);
    }

    /// Hands datagrams to the thread that runs their room.
    fn cross(&self, shard: usize, crossing: Crossing) {
        let count = crossing.len() as u64;
        if !self.inboxes[shard].push(crossing) {
            self.counters.add(&self.counters.crossing_dropped_packets, count);
        }
    }
}

/// The memory of one thread's system calls. It cannot leave the thread.
pub(super) struct Memory {
    receiver: Receiver,
    sender: Sender,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { receiver: Receiver::new(), sender: Sender::new() }
    }
}

/// Takes datagrams for this thread's rooms, with the time they came.
pub(super) trait Deliver {
    /// A datagram came.
    fn deliver(&mut self, now: Instant, path: Path, datagram: &[u8]);
    /// What is to be sent now.
    fn poll_transmit(&mut self) -> Option<Transmit>;
    /// The memory of a datagram that left.
    fn recycle(&mut self, payload: Vec<u8>);
}

/// The sockets of one media thread.
pub(super) struct Net {
    index: usize,
    socket: Socket,
    shared: Arc<NetShared>,
    addresses: AddressMap,
    outbox: Outbox,
    tcp: HashMap<Path, Arc<TcpWay>>,
    /// The kernel may have more.
    is_readable: bool,
    /// What the present batch has for each other thread.
    leaving: Vec<Option<Crossing>>,
}

impl Net {
    pub(super) fn new(
        index: usize,
        socket: UdpSocket,
        shared: Arc<NetShared>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Net> {
        let mut socket = Socket::new(socket)?;
        registry.register(socket.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        let leaving = shared.inboxes.iter().map(|_| None).collect();
        Ok(Net {
            index,
            socket,
            shared,
            addresses: AddressMap::new(),
            outbox: Outbox::new(),
            tcp: HashMap::new(),
            is_readable: true,
            leaving,
        })
    }

    /// The socket says that it is readable or writable.
    pub(super) fn handle_ready(&mut self, readable: bool, writable: bool) {
        self.is_readable |= readable;
        if writable {
            self.outbox.handle_writable();
        }
    }

    /// A TCP connection has shown whom it is for.
    pub(super) fn open_tcp(&mut self, path: Path, way: Arc<TcpWay>) {
        way.take_over();
        self.tcp.insert(path, way);
    }

    /// A TCP connection is gone.
    pub(super) fn close_tcp(&mut self, path: &Path) {
        self.tcp.remove(path);
    }

    /// Takes what waits in the kernel and from other threads, no more than a turn's share. True: more is waiting.
    pub(super) fn receive(&mut self, memory: &mut Memory, rooms: &mut dyn Deliver) -> bool {
        for _ in 0..RECEIVES_PER_TURN {
            if !self.is_readable {
                break;
            }
            self.receive_batch(memory, rooms);
        }
        for _ in 0..CROSSINGS_PER_TURN {
            let shared = Arc::clone(&self.shared);
            let Some(crossing) = shared.inboxes[self.index].take() else { break };
            for (path, datagram) in crossing.datagrams() {
                rooms.deliver(crossing.now, path, datagram);
            }
            self.collect(crossing.now, memory, rooms);
        }
        self.is_readable || !self.shared.inboxes[self.index].is_empty()
    }

    fn receive_batch(&mut self, memory: &mut Memory, rooms: &mut dyn Deliver) {
        match memory.receiver.receive(&self.socket) {
            // Fewer than asked for: the kernel has no more, and says so when it has.
            Ok(count) => self.is_readable = count == RECEIVE_BATCH,
            Err(error) => {
                self.is_readable = false;
                if error.kind() == io::ErrorKind::Interrupted {
                    self.is_readable = true;
                } else if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::warn!(%error, "a media thread cannot receive");
                }
                return;
            }
        }
        let now = Instant::now();
        let shared = Arc::clone(&self.shared);
        let counters = &shared.counters;
        let (mut packets, mut bytes) = (0, 0);
        let Memory { receiver, sender } = memory;
        for datagram in receiver.datagrams() {
            let Some((received, datagram)) = datagram else {
                counters.add(&counters.alien_packets, 1);
                continue;
            };
            (packets, bytes) = (packets + 1, bytes + datagram.len() as u64);
            match self.addresses.route(now, received.remote, datagram, &shared.ufrags) {
                Route::Shard(shard) => {
                    let path = shared.ways.path(Transport::Udp, received.local, received.remote);
                    if shard == self.index {
                        rooms.deliver(now, path, datagram);
                    } else if let Some(leaving) = self.leaving.get_mut(shard) {
                        leaving.get_or_insert_with(|| Crossing::new(now)).push(path, datagram);
                    }
                }
                Route::Alien => counters.add(&counters.alien_packets, 1),
                Route::Unknown => counters.add(&counters.unknown_packets, 1),
            }
        }
        // After the whole batch: what it holds for one viewer then leaves one after the other, as a run that the kernel
        // takes at once, and each viewer's state is fetched into the processor's cache once.
        collect(&mut self.outbox, &self.socket, &shared, &self.tcp, now, sender, rooms);
        counters.add(&counters.received_packets, packets);
        counters.add(&counters.received_bytes, bytes);
        for (shard, leaving) in self.leaving.iter_mut().enumerate() {
            if let Some(crossing) = leaving.take() {
                shared.cross(shard, crossing);
            }
        }
    }

    /// Takes over what is to be sent, and sends it when it is much.
    pub(super) fn collect(&mut self, now: Instant, memory: &mut Memory, rooms: &mut dyn Deliver) {
        let shared = Arc::clone(&self.shared);
        collect(&mut self.outbox, &self.socket, &shared, &self.tcp, now, &mut memory.sender, rooms);
    }

    /// Sends what was collected.
    pub(super) fn flush(&mut self, now: Instant, memory: &mut Memory) {
        let (socket, sender) = (&self.socket, &mut memory.sender);
        self.outbox.flush(now, &self.shared.counters, &mut |call| sender.send(socket, call));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.outbox.poll_timeout(), self.addresses.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let forgotten = self.addresses.handle_timeout(now);
        if forgotten > 0 {
            self.shared.counters.add(&self.shared.counters.forgotten_addresses, forgotten);
        }
    }
}

fn collect(
    outbox: &mut Outbox,
    socket: &Socket,
    shared: &NetShared,
    tcp: &HashMap<Path, Arc<TcpWay>>,
    now: Instant,
    sender: &mut Sender,
    rooms: &mut dyn Deliver,
) {
    let counters = &shared.counters;
    outbox.spent().for_each(|payload| rooms.recycle(payload));
    while let Some(Transmit { path, payload }) = rooms.poll_transmit() {
        if path.transport == Transport::Tcp {
            // One that is gone already takes nothing, and the connection's end is on its way to its peer.
            if let Some(way) = tcp.get(&path) {
                counters.sent_packets.fetch_add(1, Ordering::Relaxed);
                counters.sent_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
                counters.add(&counters.tcp_dropped_packets, way.push(payload));
            }
            continue;
        }
        let local = shared.ways.base(&path).ip();
        outbox.push(Packet { local, remote: path.remote, payload }, counters);
        if outbox.is_full() {
            outbox.flush(now, counters, &mut |call| sender.send(socket, call));
            outbox.spent().for_each(|payload| rooms.recycle(payload));
        }
    }
}

#[cfg(test)]
mod tests;
