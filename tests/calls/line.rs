//! A line between a viewer and the server: a relay of UDP that can be narrow and lossy, and knows what it dropped.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What IPv4 (RFC 791 §3.1) and UDP (RFC 768) put in front of each datagram: lines are sold with it counted.
const HEADERS: usize = 20 + 8;
/// What waits at a narrow line before the line drops what comes: 300 ms of it.
const QUEUE: Duration = Duration::from_millis(300);
/// More than any datagram of media.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// What a line is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Bits a second towards the viewer; `None` is as fast as the machine.
    pub limit: Option<u32>,
    /// How many of a hundred datagrams are lost, each way.
    pub loss_percent: u64,
}

/// Packets of RTP that never arrived, by SSRC and sequence number.
#[derive(Clone, Default)]
pub struct Drops {
    pub queue: HashSet<(u32, u16)>,
    pub loss: HashSet<(u32, u16)>,
}

impl Drops {
    pub fn contains(&self, packet: (u32, u16)) -> bool {
        self.queue.contains(&packet) || self.loss.contains(&packet)
    }
}

/// A line to one server for one viewer. Ends when it is dropped.
pub struct Line {
    /// Where the viewer sends to.
    pub address: SocketAddr,
    terms: watch::Sender<Terms>,
    drops: Arc<Mutex<Drops>>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn to(server: SocketAddr, seed: u64) -> Line {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let front = UdpSocket::bind(any).await.expect("a free port");
        let back = UdpSocket::bind(any).await.expect("a free port");
        back.connect(server).await.expect("loopback is there");
        let address = front.local_addr().expect("it is bound");
        let (terms, changes) = watch::channel(Terms::default());
        let drops = Arc::<Mutex<Drops>>::default();
        let ends = Ends { front, back, changes, drops: drops.clone(), dice: seed, queue: VecDeque::new() };
        Line { address, terms, drops, task: tokio::spawn(ends.run()) }
    }

    /// From now on. What waits at a limit that is lifted goes at once.
    pub fn set(&self, terms: Terms) {
        self.terms.send_replace(terms);
    }

    pub fn drops(&self) -> Drops {
        self.drops.lock().expect("no one panics with it").clone()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Ends {
    front: UdpSocket,
    back: UdpSocket,
    changes: watch::Receiver<Terms>,
    drops: Arc<Mutex<Drops>>,
    dice: u64,
    /// Datagrams to the viewer with the times at which their last bit has gone.
    queue: VecDeque<(Instant, Vec<u8>)>,
}

impl Ends {
    async fn run(mut self) {
        let (mut up, mut down) = ([0; DATAGRAM_BYTES_MAX], [0; DATAGRAM_BYTES_MAX]);
        let mut viewer = None;
        loop {
            let due = self.queue.front().map_or_else(Instant::now, |(at, _)| *at);
            tokio::select! {
                received = self.front.recv_from(&mut up) => {
                    let Ok((length, from)) = received else { continue };
                    viewer = Some(from);
                    if !self.loses() {
                        let _ = self.back.send(&up[..length]).await; // a server that is gone is what the test sees
                    }
                }
                received = self.back.recv(&mut down) => {
                    let Ok(length) = received else { continue };
                    self.take(&down[..length]);
                }
                () = sleep_until(due), if !self.queue.is_empty() => {}
                changed = self.changes.changed() => if changed.is_err() { return },
            }
            let is_free = self.changes.borrow_and_update().limit.is_none();
            while let Some((at, _)) = self.queue.front()
                && (is_free || *at <= Instant::now())
            {
                let (_, datagram) = self.queue.pop_front().expect("it was just seen");
                if let Some(viewer) = viewer {
                    let _ = self.front.send_to(&datagram, viewer).await; // likewise
                }
            }
        }
    }

    /// A datagram on its way to the viewer.
    fn take(&mut self, datagram: &[u8]) {
        if self.loses() {
            return self.note(datagram, |drops| &mut drops.loss);
        }
        let now = Instant::now();
        let free_at = self.queue.back().map_or(now, |(at, _)| (*at).max(now));
        let bits = (datagram.len() + HEADERS) as f64 * 8.0;
        let takes = self.changes.borrow().limit.map_or(0.0, |limit| bits / f64::from(limit));
        let gone_at = free_at + Duration::from_secs_f64(takes);
        match gone_at - now > QUEUE {
            true => self.note(datagram, |drops| &mut drops.queue),
            false => self.queue.push_back((gone_at, datagram.to_vec())),
        }
    }

    /// The next number of SplitMix64 decides.
    fn loses(&mut self) -> bool {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100 < self.changes.borrow().loss_percent
    }

    /// RTP's header is not encrypted (RFC 3711 §3.1); RTCP's types stand where these would be from 64 on (RFC 5761 §4).
    fn note(&self, datagram: &[u8], of: impl Fn(&mut Drops) -> &mut HashSet<(u32, u16)>) {
        let [first, second, high, low, _, _, _, _, a, b, c, d, ..] = *datagram else { return };
        if first >> 6 == 2 && !(64..96).contains(&(second & 0x7f)) {
            let mut drops = self.drops.lock().expect("no one panics with it");
            of(&mut drops).insert((u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([high, low])));
        }
    }
}
