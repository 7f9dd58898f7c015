//! What leaves a media thread over UDP: a bounded queue, and the plan by which it goes out in few system calls.
//!
//! In: datagrams one by one. Out: calls for [`super::udp::Sender`]. Packets for one destination stay in order. Where a run of
//! them has one size (the last may be shorter), the kernel cuts them out of one message (UDP_SEGMENT); messages of one
//! piece size, to whomever, go by one call.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::counters::NetCounters;
use super::udp::Call;

/// Packets that are collected before they are sent in the middle of a turn. Higher finds longer runs where one packet
/// goes to many; lower keeps them in the cache: 1,024 are 1.2 MB.
pub(super) const FLUSH_PACKETS: usize = 1_024;
/// Bytes that wait while the kernel takes no more. Then the oldest go: 4 MiB are half a second at 64 Mbit/s, and what is
/// later than that is of no use to a call.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Pieces of one message; older kernels take 64 (UDP_MAX_SEGMENTS).
const PIECES_MAX: usize = 64;
/// Bytes of one message, which must fit an IP packet before it is cut.
const MESSAGE_BYTES_MAX: usize = 60_000;
/// The pause when the network card's queue is full (ENOBUFS), which nobody tells the end of.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// A datagram on its way out.
#[derive(Debug)]
pub(super) struct Packet {
    /// The address of this machine that it leaves from.
    pub(super) local: IpAddr,
    pub(super) remote: SocketAddr,
    pub(super) payload: Vec<u8>,
}

/// Why nothing is sent at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    /// Until the socket says that it is writable.
    UntilWritable,
    /// Until then.
    Until(Instant),
}

/// Sends the messages of a call: how many were taken, at least one, or why not even the first.
pub(super) type Send<'s> = dyn FnMut(&Call<'_>) -> io::Result<usize> + 's;

/// The queue of one socket.
pub(super) struct Outbox {
    waiting: VecDeque<Packet>,
    /// The memory of what left in the last flush.
    spent: Vec<Vec<u8>>,
    bytes: usize,
    blocked: Option<Blocked>,
    /// The kernel cuts messages. Off after it once said that it cannot.
    cuts: bool,
    plan: Plan,
}

/// A run of packets to one destination, by their places in [`Plan::order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    /// The how manieth of its destination it is.
    round: u32,
    local: IpAddr,
    segment: u16,
    first: usize,
    count: usize,
}

/// Kept from one flush to the next for its memory.
#[derive(Default)]
struct Plan {
    /// Destinations, by the place of their list.
    places: HashMap<(IpAddr, SocketAddr), usize>,
    lists: Vec<Vec<usize>>,
    /// Packets by their index, destination by destination.
    order: Vec<usize>,
    messages: Vec<Message>,
}

impl Outbox {
    pub(super) fn new() -> Outbox {
        Outbox {
            waiting: VecDeque::new(),
            spent: Vec::new(),
            bytes: 0,
            blocked: None,
            cuts: true,
            plan: Plan::default(),
        }
    }

    pub(super) fn push(&mut self, packet: Packet, counters: &NetCounters) {
        self.bytes += packet.payload.len();
        self.waiting.push_back(packet);
        while self.bytes > WAITING_BYTES_MAX {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.payload.len();
            counters.add(&counters.late_packets, 1);
        }
    }

    /// The memory of what left, to be used again.
    pub(super) fn spent(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.spent.drain(..)
    }

    /// Enough is there to be sent before the turn is over.
    pub(super) fn is_full(&self) -> bool {
        self.blocked.is_none() && self.waiting.len() >= FLUSH_PACKETS
    }

    /// The socket takes more again.
    pub(super) fn handle_writable(&mut self) {
        if self.blocked == Some(Blocked::UntilWritable) {
            self.blocked = None;
        }
    }

    /// When to try again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.blocked {
            Some(Blocked::Until(at)) => Some(at),
            Some(Blocked::UntilWritable) | None => None,
        }
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(super) fn flush(&mut self, now: Instant, counters: &NetCounters, send: &mut Send<'_>) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.blocked = None;
        }
        if self.waiting.is_empty() || self.blocked.is_some() {
            return;
        }
        let packets = self.waiting.make_contiguous();
        self.plan.make(packets, self.cuts);
        let mut sending =
            Sending { packets, order: &self.plan.order, counters, send, unsent: None, cuts: &mut self.cuts };
        let mut messages = &self.plan.messages[..];
        while let Some(first) = messages.first() {
            let alike = |message: &Message| (message.round, message.local, message.segment) == key_of(first);
            let count = messages.iter().take_while(|message| alike(message)).count();
            let sent = sending.call(&messages[..count]);
            messages = &messages[sent..];
            if sending.unsent.is_some() {
                break;
            }
        }
        let blocked_by = sending.unsent;
        let Some(errno) = blocked_by else {
            self.spent.clear();
            self.spent.extend(self.waiting.drain(..).map(|packet| packet.payload).take(FLUSH_PACKETS));
            self.bytes = 0;
            return;
        };
        self.blocked =
            Some(if errno == Errno::ENOBUFS { Blocked::Until(now + FULL_QUEUE_PAUSE) } else { Blocked::UntilWritable });
        let mut unsent: Vec<usize> = messages
            .iter()
            .flat_map(|message| &self.plan.order[message.first..message.first + message.count])
            .copied()
            .collect();
        unsent.sort_unstable();
        let mut unsent = unsent.into_iter().peekable();
        let mut index = 0;
        self.waiting.retain(|_| {
            let stays = unsent.next_if_eq(&index).is_some();
            index += 1;
            stays
        });
        self.bytes = self.waiting.iter().map(|packet| packet.payload.len()).sum();
    }
}

fn key_of(message: &Message) -> (u32, IpAddr, u16) {
    (message.round, message.local, message.segment)
}

impl Plan {
    fn make(&mut self, packets: &[Packet], cuts: bool) {
        self.places.clear();
        self.order.clear();
        self.messages.clear();
        let mut used = 0;
        let mut latest = None;
        for (index, packet) in packets.iter().enumerate() {
            let key = (packet.local, packet.remote);
            let place = match latest {
                Some((latest, place)) if latest == key => place,
                _ => *self.places.entry(key).or_insert_with(|| {
                    used += 1;
                    used - 1
                }),
            };
            latest = Some((key, place));
            if place == self.lists.len() {
                self.lists.push(Vec::new());
            }
            self.lists[place].push(index);
        }
        for list in &mut self.lists[..used] {
            let mut at = 0;
            let mut round = 0;
            while at < list.len() {
                let (count, segment) = if cuts { run_of(packets, &list[at..]) } else { (1, 0) };
                let local = packets[list[at]].local;
                self.messages.push(Message { round, local, segment, first: self.order.len() + at, count });
                at += count;
                round += 1;
            }
            self.order.append(list);
        }
        // Stable, so that a destination that came first stays first.
        self.messages.sort_by_key(key_of);
    }
}

/// How many of these packets of one destination make one message, and the size of its pieces; 0 for a single one.
fn run_of(packets: &[Packet], list: &[usize]) -> (usize, u16) {
    let length = |index: usize| packets[index].payload.len();
    let size = length(list[0]);
    let (Ok(segment), true) = (u16::try_from(size), size > 0) else { return (1, 0) };
    let pieces_max = PIECES_MAX.min(MESSAGE_BYTES_MAX / size).max(1);
    let equal = list.iter().take(pieces_max).take_while(|index| length(**index) == size).count();
    // The last piece may be shorter, and must not be empty.
    let tail = list.get(equal).filter(|_| equal < pieces_max).is_some_and(|index| (1..size).contains(&length(*index)));
    match equal + usize::from(tail) {
        1 => (1, 0),
        count => (count, segment),
    }
}

struct Sending<'a, 's> {
    packets: &'a [Packet],
    order: &'a [usize],
    counters: &'a NetCounters,
    send: &'a mut Send<'s>,
    /// Why the kernel took no more.
    unsent: Option<Errno>,
    cuts: &'a mut bool,
}

impl Sending<'_, '_> {
    /// Sends messages of one kind. Returns how many are done with, sent or not.
    fn call(&mut self, messages: &[Message]) -> usize {
        let (packets, order) = (self.packets, self.order);
        let slices: Vec<IoSlice<'_>> = messages
            .iter()
            .flat_map(|message| &order[message.first..message.first + message.count])
            .map(|index| IoSlice::new(&packets[*index].payload))
            .collect();
        let mut rest = &slices[..];
        let mut parts = Vec::with_capacity(messages.len());
        for message in messages {
            let (mine, others) = rest.split_at(message.count);
            rest = others;
            parts.push((packets[order[message.first]].remote, mine));
        }
        let mut done = 0;
        while done < messages.len() {
            let call = Call { local: messages[done].local, segment: messages[done].segment, messages: &parts[done..] };
            match (self.send)(&call) {
                Ok(sent) => {
                    let sent = sent.clamp(1, messages.len() - done);
                    let bytes = parts[done..done + sent].iter().flat_map(|(_, slices)| slices.iter());
                    let bytes: usize = bytes.map(|slice| slice.len()).sum();
                    let count: usize = messages[done..done + sent].iter().map(|message| message.count).sum();
                    self.counters.add(&self.counters.sent_packets, count as u64);
                    self.counters.add(&self.counters.sent_bytes, bytes as u64);
                    done += sent;
                }
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    Errno::EINTR => {}
                    full @ (Errno::EAGAIN | Errno::ENOBUFS) => {
                        self.unsent = Some(full);
                        return done;
                    }
                    errno => {
                        self.refused(errno, &messages[done], &parts[done]);
                        if self.unsent.is_some() {
                            // What could not be sent of a message that was taken apart is lost: it is a few packets.
                            return done + 1;
                        }
                        done += 1;
                    }
                },
            }
        }
        done
    }

    /// A message that the kernel will not send: its route is gone, a firewall forbids it, or it cannot be cut.
    fn refused(&mut self, errno: Errno, message: &Message, (remote, slices): &(SocketAddr, &[IoSlice<'_>])) {
        if message.segment == 0 {
            return self.lose(&self.counters.refused_packets, 1);
        }
        if errno == Errno::EIO {
            tracing::info!("the network card cannot cut datagrams (UDP_SEGMENT): each is sent by itself");
            *self.cuts = false;
        }
        // EINVAL is what a path with a small MTU gives: one by one they may pass.
        for slice in slices.chunks(1) {
            let call = Call { local: message.local, segment: 0, messages: &[(*remote, slice)] };
            match (self.send)(&call) {
                Ok(_) => {
                    self.counters.add(&self.counters.sent_packets, 1);
                    self.counters.add(&self.counters.sent_bytes, slice[0].len() as u64);
                }
                Err(error) => {
                    self.lose(&self.counters.refused_packets, 1);
                    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                    if matches!(errno, Errno::EAGAIN | Errno::ENOBUFS) {
                        self.unsent = Some(errno);
                    }
                }
            }
        }
    }

    fn lose(&self, counter: &AtomicU64, packets: u64) {
        self.counters.add(counter, packets);
    }
}

#[cfg(test)]
mod tests;
