//! Sockets and threads as they are, with something in the SFU's place that says what it got.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use mio::Poll;

use super::*;
use crate::config::address::Listen;
use crate::listen;

/// Generous: loopback takes microseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A STUN binding request (RFC 8489 §5) with nothing in it but USERNAME.
pub(super) fn request(ufrag: &str) -> Vec<u8> {
    let username = format!("{ufrag}:them");
    let padded = username.len().next_multiple_of(4);
    let mut datagram = vec![0, 1];
    datagram.extend_from_slice(&(4 + padded as u16).to_be_bytes());
    datagram.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    datagram.extend_from_slice(&[7; 12]);
    datagram.extend_from_slice(&[0, 6]);
    datagram.extend_from_slice(&(username.len() as u16).to_be_bytes());
    datagram.extend_from_slice(username.as_bytes());
    datagram.resize(24 + padded, 0);
    datagram
}

pub(super) fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Keeps what it is given and sends it back.
#[derive(Default)]
struct Echo {
    got: Vec<(Path, Vec<u8>)>,
    answers: Vec<Transmit>,
}

impl Deliver for Echo {
    fn deliver(&mut self, _now: Instant, path: Path, datagram: &[u8]) {
        self.got.push((path, datagram.to_vec()));
        self.answers.push(Transmit { path, payload: datagram.to_vec() });
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.answers.pop()
    }

    fn recycle(&mut self, _: Vec<u8>) {}
}

struct Ground {
    nets: Vec<Net>,
    memory: Memory,
    shared: Arc<NetShared>,
    address: SocketAddr,
    _polls: Vec<Poll>,
}

/// Two threads' sockets without their threads.
fn ground(runtime: &tokio::runtime::Runtime) -> Ground {
    let _inside = runtime.enter();
    let any = Listen::At((Ipv4Addr::LOCALHOST, 0).into());
    let sockets = listen::bind_media(any, 2).expect("a free port").expect("it is on");
    let advertised: SocketAddr = "203.0.113.7:4000".parse().expect("an address");
    let candidate = |transport| LocalCandidate { transport, base: sockets.address, advertised };
    let candidates = vec![candidate(Transport::Udp), candidate(Transport::Tcp)];
    let wakers = (0..2).map(|_| ShardWaker::for_tests());
    let shared = Arc::new(NetShared::new(candidates, wakers, Arc::default()));
    let polls: Vec<Poll> = (0..2).map(|_| Poll::new().expect("the system has polls")).collect();
    let net = |(index, (socket, poll)): (usize, (_, &Poll))| {
        Net::new(index, socket, Arc::clone(&shared), poll.registry(), Token(1)).expect("a socket")
    };
    let nets = sockets.udp.into_iter().zip(&polls).enumerate().map(net).collect();
    Ground { nets, memory: Memory::new(), shared, address: sockets.address, _polls: polls }
}

impl Ground {
    /// Lets each thread have turns until there is what is wanted.
    fn turn_until(&mut self, echoes: &mut [Echo; 2], done: impl Fn(&[Echo; 2], &NetCounters) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(echoes, &self.shared.counters) {
            assert!(Instant::now() < deadline, "it did not come in time");
            for (net, echo) in self.nets.iter_mut().zip(echoes.iter_mut()) {
                net.handle_ready(true, true);
                net.receive(&mut self.memory, echo);
                net.collect(Instant::now(), &mut self.memory, echo);
                net.flush(Instant::now(), &mut self.memory);
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn two_peers_reach_the_threads_that_they_name_whichever_socket_hears_them() {
    let runtime = runtime();
    let mut ground = ground(&runtime);
    ground.shared.name("zero".to_owned(), 0);
    ground.shared.name("one".to_owned(), 1);
    let clients: Vec<UdpSocket> =
        (0..8).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")).collect();
    let mut echoes = [Echo::default(), Echo::default()];
    for (number, client) in clients.iter().enumerate() {
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client.connect(ground.address).expect("an address");
        client.send(&request(if number % 2 == 0 { "zero" } else { "one" })).expect("sent");
    }
    ground.turn_until(&mut echoes, |echoes, _| echoes.iter().all(|echo| echo.got.len() == 4));
    for (index, echo) in echoes.iter().enumerate() {
        for (path, _) in &echo.got {
            let number = clients.iter().position(|client| client.local_addr().is_ok_and(|at| at == path.remote));
            assert_eq!(number.map(|number| number % 2), Some(index));
            assert_eq!(path.local.to_string(), "203.0.113.7:4000", "as the candidate says it");
        }
    }
    // The answers come from the port, and so does media find its way.
    for client in &clients {
        let mut bytes = [0; 200];
        assert!(client.recv(&mut bytes).expect("an answer") > 20);
        client.send(&[0x80; 20]).expect("sent");
    }
    ground.turn_until(&mut echoes, |echoes, _| echoes.iter().all(|echo| echo.got.len() == 8));
    let counters = &ground.shared.counters;
    assert_eq!((count(&counters.received_packets), count(&counters.unknown_packets)), (16, 0));
    assert_eq!(count(&counters.crossing_dropped_packets), 0);
}

#[test]
fn strangers_are_dropped_and_counted() {
    let runtime = runtime();
    let mut ground = ground(&runtime);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    client.connect(ground.address).expect("an address");
    for datagram in [&request("nobody")[..], &[0x80; 20], &[22; 20], &[250; 20], b"", &[1; 3_000]] {
        client.send(datagram).expect("sent");
    }
    let mut echoes = [Echo::default(), Echo::default()];
    ground.turn_until(&mut echoes, |_, counters| {
        count(&counters.unknown_packets) == 3 && count(&counters.alien_packets) == 3
    });
    assert!(echoes.iter().all(|echo| echo.got.is_empty()));
    assert_eq!(count(&ground.shared.counters.sent_packets), 0, "nobody is answered");
}

#[test]
fn a_thread_that_takes_nothing_over_loses_what_crosses_and_it_is_counted() {
    let runtime = runtime();
    let ground = ground(&runtime);
    let path = ground.shared.ways.path(Transport::Udp, ground.address, ground.address);
    for _ in 0..crossing::CROSSINGS_MAX + 3 {
        let mut crossing = Crossing::new(Instant::now());
        crossing.push(path, b"first");
        crossing.push(path, b"second");
        ground.shared.cross(1, crossing);
    }
    assert_eq!(count(&ground.shared.counters.crossing_dropped_packets), 6);
}

#[test]
fn a_flood_gets_a_share_of_a_turn_and_no_more() {
    let runtime = runtime();
    let mut ground = ground(&runtime);
    ground.shared.name("zero".to_owned(), 0);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    client.connect(ground.address).expect("an address");
    let all = RECEIVES_PER_TURN * RECEIVE_BATCH + 10;
    (0..all).for_each(|_| assert!(client.send(&request("zero")).is_ok()));
    let mut echoes = [Echo::default(), Echo::default()];
    for net in &mut ground.nets {
        net.handle_ready(true, true);
        let before = count(&ground.shared.counters.received_packets);
        let [echo, _] = &mut echoes;
        let more = net.receive(&mut ground.memory, echo);
        let taken = count(&ground.shared.counters.received_packets) - before;
        assert!(taken <= (RECEIVES_PER_TURN * RECEIVE_BATCH) as u64);
        assert_eq!(more, taken > 0, "the rest is for the next turn");
    }
}
