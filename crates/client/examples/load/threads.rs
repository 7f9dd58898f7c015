//! A few threads that each own many peers: one wait for all of their sockets and times.
//! In: [`Command`]s. Out: their replies.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::oneshot;

use crate::peer::{Fallible, Peer};
use crate::socket::Batch;
use crate::stream::{Counter, Plan};

/// Commands that wait for a thread. A full queue makes whoever asks wait.
const COMMANDS_MAX: usize = 256;
const WAKER: Token = Token(usize::MAX);

pub enum Command {
    /// A publisher's offer with the mids of its tracks.
    Publish(usize, IpAddr, Vec<Vec<Plan>>, oneshot::Sender<Fallible<(String, Vec<String>)>>),
    /// The server's answer to it.
    Accept(usize, String),
    /// The server's offer to a subscriber that joined then.
    Subscribe(usize, IpAddr, Instant, String, oneshot::Sender<Fallible<String>>),
    /// A candidate of the server.
    Candidate(usize, String),
    /// Forgets what was counted.
    Reset,
    /// What was counted since.
    Report(oneshot::Sender<Vec<Seen>>),
}

/// What one subscriber has seen.
pub struct Seen {
    pub peer: usize,
    pub first: Option<Duration>,
    pub streams: usize,
    pub received: u64,
    pub lost: u64,
    pub bytes: u64,
    pub delays_us: Vec<u32>,
}

#[derive(Clone)]
pub struct Threads(Vec<(SyncSender<Command>, Arc<Waker>)>);

impl Threads {
    pub fn start(count: usize) -> Fallible<Threads> {
        let threads = (0..count).map(|_| {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
            let (sender, commands) = sync_channel(COMMANDS_MAX);
            std::thread::spawn(move || Thread { poll, commands, peers: HashMap::new() }.run());
            Ok((sender, waker))
        });
        Ok(Threads(threads.collect::<Fallible<Vec<_>>>()?))
    }

    /// To the thread that owns the peer.
    pub fn send(&self, peer: usize, command: Command) {
        let (sender, waker) = &self.0[peer % self.0.len()];
        sender.send(command).expect("the thread runs");
        waker.wake().expect("the thread runs");
    }

    pub fn reset(&self) {
        (0..self.0.len()).for_each(|thread| self.send(thread, Command::Reset));
    }

    pub async fn report(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for thread in 0..self.0.len() {
            let (reply, report) = oneshot::channel();
            self.send(thread, Command::Report(reply));
            all.extend(report.await.expect("the thread runs"));
        }
        all
    }
}

struct Thread {
    poll: Poll,
    commands: Receiver<Command>,
    peers: HashMap<usize, Peer>,
}

impl Thread {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut batch = Batch::new();
        loop {
            let now = Instant::now();
            let next = self.peers.values().map(|peer| peer.deadline).min();
            let wait = next.map(|next| next.saturating_duration_since(now));
            if self.poll.poll(&mut events, wait).is_err() {
                continue; // interrupted by a signal
            }
            for event in &events {
                if let Some(peer) = self.peers.get_mut(&event.token().0) {
                    peer.readable(&mut batch);
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                self.take(command);
            }
            let now = Instant::now();
            self.peers.values_mut().filter(|peer| peer.deadline <= now).for_each(Peer::drive);
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Publish(id, ip, tracks, reply) => {
                let made = Peer::sender(ip, &tracks).and_then(|(peer, offer)| {
                    let mids = peer.mids();
                    self.add(id, peer)?;
                    Ok((offer, mids))
                });
                let _ = reply.send(made); // nobody waits any more
            }
            Command::Accept(id, answer) => {
                if let Some(peer) = self.peers.get_mut(&id)
                    && let Err(error) = peer.accept(answer)
                {
                    eprintln!("the answer to publisher {id}: {error}");
                }
            }
            Command::Subscribe(id, ip, joined, offer, reply) => {
                let answer = self.subscriber(id, ip, joined).and_then(|peer| peer.answer(offer));
                let _ = reply.send(answer); // nobody waits any more
            }
            Command::Candidate(id, candidate) => {
                self.peers.get_mut(&id).into_iter().for_each(|peer| peer.add_candidate(candidate.clone()));
            }
            Command::Reset => {
                for seen in self.peers.values_mut().filter_map(Peer::seen) {
                    seen.streams.values_mut().for_each(|counter| *counter = Counter::default());
                    seen.delays_us.clear();
                }
            }
            Command::Report(reply) => {
                let _ = reply.send(self.peers.iter_mut().filter_map(|(id, peer)| seen(*id, peer)).collect()); // nobody waits any more
            }
        }
    }

    fn subscriber(&mut self, id: usize, ip: IpAddr, joined: Instant) -> Fallible<&mut Peer> {
        if !self.peers.contains_key(&id) {
            let peer = Peer::receiver(ip, joined)?;
            self.add(id, peer)?;
        }
        self.peers.get_mut(&id).ok_or_else(|| "it was just added".into())
    }

    fn add(&mut self, id: usize, mut peer: Peer) -> Fallible<()> {
        self.poll.registry().register(&mut peer.socket, Token(id), Interest::READABLE)?;
        self.peers.insert(id, peer);
        Ok(())
    }
}

fn seen(id: usize, peer: &mut Peer) -> Option<Seen> {
    let receiver = peer.seen()?;
    let counters = receiver.streams.values();
    Some(Seen {
        peer: id,
        first: receiver.first,
        streams: counters.clone().filter(|counter| counter.received > 0).count(),
        received: counters.clone().map(|counter| counter.received).sum(),
        lost: counters.clone().map(Counter::lost).sum(),
        bytes: counters.map(|counter| counter.bytes).sum(),
        delays_us: std::mem::take(&mut receiver.delays_us),
    })
}
