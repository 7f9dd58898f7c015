//! ICE-TCP (RFC 6544), passive on our side: connections to the port that UDP has as well.
//!
//! In: byte streams of strangers. Out: datagrams for the thread whose room the first one names. A connection is a task;
//! it costs nobody else anything. It is closed when its first frame is not a STUN request for a connection of ours, when a
//! frame is too long or takes too long, and when nothing is said to it for a while: whoever has a peer is answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use telstar_sfu::rfc4571::{Rfc4571, write_frame};
use telstar_sfu::{Path, Sort, Transport, sort};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::crossing::Crossing;
use super::{NetCounters, NetShared};
use crate::listen;
use crate::shards::commands::{Command, CommandQueue};
use crate::slots::{Slot, Slots};
use crate::tasks::Tasks;

/// From the connection to its first whole frame. A browser sends it at once; longer holds slots for strangers.
const FIRST_FRAME_DEADLINE: Duration = Duration::from_secs(10);
/// From a frame's first byte to its last. A frame is a datagram: on 64 kbit/s it takes 0.3 s.
const FRAME_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that is told nothing for so long has no peer any more: consent is asked for every 5 s and ends after 30
/// (RFC 7675 §5.1).
const UNANSWERED_MAX: Duration = Duration::from_secs(30);
/// Frames that wait for a slow connection. Beyond it the oldest go: at 2 Mbit/s 256 frames are 1.2 s.
const FRAMES_MAX: usize = 256;
/// Bytes of one read: some 13 datagrams.
const READ_BYTES: usize = 16 * 1024;
/// Frames of one write.
const WRITE_FRAMES_MAX: usize = 32;
/// A peer that acknowledges nothing of what we sent for this long is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct TcpLimits {
    /// In all.
    pub connections_max: u32,
    /// From one address.
    pub connections_per_address_max: u32,
}

/// The way from a media thread to one connection.
#[derive(Debug)]
pub(in crate::shards) struct TcpWay {
    frames: ArrayQueue<Vec<u8>>,
    changed: Notify,
    taken: Notify,
}

impl TcpWay {
    fn new() -> TcpWay {
        TcpWay { frames: ArrayQueue::new(FRAMES_MAX), changed: Notify::new(), taken: Notify::new() }
    }

    /// The media thread knows the way from now on.
    pub(super) fn take_over(&self) {
        self.taken.notify_one();
    }

    /// Takes a frame, on the media thread. Returns how many were lost for it.
    pub(super) fn push(&self, frame: Vec<u8>) -> u64 {
        let lost = self.frames.force_push(frame).is_some();
        self.changed.notify_one();
        u64::from(lost)
    }
}

/// The listener of ICE-TCP.
#[derive(Clone)]
pub struct IceTcp {
    shared: Arc<NetShared>,
    commands: Arc<[CommandQueue]>,
    slots: Slots,
    tasks: Tasks,
}

impl IceTcp {
    pub(in crate::shards) fn new(
        shared: Arc<NetShared>,
        commands: Arc<[CommandQueue]>,
        limits: TcpLimits,
        tasks: Tasks,
    ) -> IceTcp {
        let slots = Slots::new(limits.connections_max, limits.connections_per_address_max);
        IceTcp { shared, commands, slots, tasks }
    }

    /// Accepts on `listener` until the doors close; connections end when the task set stops.
    pub fn listen(&self, listener: TcpListener) {
        let server = self.clone();
        let admit = move |stream, address| server.admit(stream, address);
        self.tasks.spawn("media tcp", listen::accept_all(listener, "an ICE-TCP connection", self.tasks.clone(), admit));
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let counters = Arc::clone(&self.shared.counters);
        let Some(slot) = self.slots.take(address.ip(), false) else {
            return counters.add(&counters.tcp_refused_connections, 1);
        };
        counters.add(&counters.tcp_accepted_connections, 1);
        let server = self.clone();
        let stop = self.tasks.child_token();
        self.tasks.spawn("media tcp connection", async move {
            counters.tcp_connections.fetch_add(1, Ordering::Relaxed);
            // Cancel-safe: a stopping server ends the connection for good.
            let outcome = tokio::select! {
                () = stop.cancelled() => Ok(()),
                outcome = server.serve(stream, address, slot) => outcome,
            };
            counters.tcp_connections.fetch_sub(1, Ordering::Relaxed);
            if let Err(error) = outcome {
                tracing::debug!(%error, peer = %address, "an ICE-TCP connection ended");
            }
        });
    }

    async fn serve(&self, stream: TcpStream, remote: SocketAddr, _slot: Slot) -> Result<(), End> {
        // Media is late as soon as it waits for more.
        stream.set_nodelay(true)?;
        let unacknowledged_ms = u32::try_from(UNACKNOWLEDGED_MAX.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, unacknowledged_ms);
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let local = plain(stream.local_addr()?);
        let path = self.shared.ways.path(Transport::Tcp, local, plain(remote));
        let (read, write) = stream.into_split();
        let mut reader = Reader { stream: read, framing: Rfc4571::new(), path, shared: &self.shared };
        let opened = tokio::time::timeout(FIRST_FRAME_DEADLINE, reader.first()).await;
        let (shard, crossing) = opened.map_err(|_| End::Late).and_then(|opened| opened).inspect_err(|_| {
            self.shared.counters.add(&self.shared.counters.tcp_refused_connections, 1);
        })?;
        let way = Arc::new(TcpWay::new());
        let commands = &self.commands[shard];
        if !commands.push(Command::TcpOpened { path, way: Arc::clone(&way) }) {
            self.shared.counters.add(&self.shared.counters.tcp_refused_connections, 1);
            return Err(End::Busy);
        }
        // Also when this future is dropped: the thread must let go of the way.
        let _closing = Closing { commands, path };
        // Commands and datagrams come to the thread by two queues. An answer to a request that overtook the way would be
        // lost, and over TCP nobody asks twice (RFC 8489 §6.2.2).
        tokio::time::timeout(FIRST_FRAME_DEADLINE, way.taken.notified()).await.map_err(|_| End::Busy)?;
        self.shared.cross(shard, crossing);
        // Whoever ends first ends the connection: cancel-safe, because nothing is taken up again.
        tokio::select! {
            outcome = reader.follow(shard) => outcome,
            outcome = write_all(write, &way) => outcome,
        }
    }
}

/// Tells the thread that a connection is gone.
struct Closing<'a> {
    commands: &'a CommandQueue,
    path: Path,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.commands.push(Command::TcpClosed { path: self.path });
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("no whole frame came in time")]
    Late,
    #[error("its first frame is not a request for a connection of ours")]
    Stranger,
    #[error("the media thread takes no more connections now")]
    Busy,
    #[error("nothing was said to it for {UNANSWERED_MAX:?}")]
    Unanswered,
    #[error("{0}")]
    Frame(#[from] telstar_sfu::rfc4571::FrameTooLong),
    #[error("{0}")]
    Io(#[from] io::Error),
}

struct Reader<'a> {
    stream: OwnedReadHalf,
    framing: Rfc4571,
    path: Path,
    shared: &'a NetShared,
}

impl Reader<'_> {
    /// Reads up to the first frame, which says for which thread the connection is.
    async fn first(&mut self) -> Result<(usize, Crossing), End> {
        let mut bytes = [0; 2 * 1024];
        loop {
            self.read(&mut bytes).await?;
            let Some(frame) = self.framing.next_frame()? else { continue };
            let Sort::Request(ufrag) = sort(frame) else { return Err(End::Stranger) };
            let shard = self.shared.ufrags.shard_of(ufrag).ok_or(End::Stranger)?;
            let mut crossing = Crossing::new(Instant::now());
            crossing.push(self.path, frame);
            self.take_frames(&mut crossing)?;
            self.count(&crossing);
            return Ok((shard, crossing));
        }
    }

    /// Hands over what comes from then on. Each read's frames go together.
    async fn follow(&mut self, shard: usize) -> Result<(), End> {
        let mut bytes = vec![0; READ_BYTES];
        let mut began = None;
        loop {
            began = if self.framing.is_within_frame() { began.or_else(|| Some(Instant::now())) } else { None };
            match began {
                None => self.read(&mut bytes).await?,
                Some(began) => {
                    let deadline = tokio::time::Instant::from_std(began + FRAME_DEADLINE);
                    tokio::time::timeout_at(deadline, self.read(&mut bytes)).await.map_err(|_| End::Late)??;
                }
            }
            let mut crossing = Crossing::new(Instant::now());
            self.take_frames(&mut crossing)?;
            if crossing.len() > 0 {
                began = None;
                self.count(&crossing);
                self.shared.cross(shard, crossing);
            }
        }
    }

    async fn read(&mut self, bytes: &mut [u8]) -> Result<(), End> {
        match self.stream.read(bytes).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => {
                self.framing.handle_bytes(&bytes[..count]);
                Ok(())
            }
        }
    }

    fn take_frames(&mut self, crossing: &mut Crossing) -> Result<(), End> {
        while let Some(frame) = self.framing.next_frame()? {
            crossing.push(self.path, frame);
        }
        Ok(())
    }

    fn count(&self, crossing: &Crossing) {
        let counters: &NetCounters = &self.shared.counters;
        counters.add(&counters.received_packets, crossing.len() as u64);
        counters.add(&counters.received_bytes, crossing.datagrams().map(|(_, datagram)| datagram.len() as u64).sum());
    }
}

/// Writes what the thread has for the connection, as slowly as the peer reads.
async fn write_all(mut stream: OwnedWriteHalf, way: &TcpWay) -> Result<(), End> {
    let mut bytes = Vec::new();
    loop {
        let changed = way.changed.notified();
        bytes.clear();
        for frame in std::iter::from_fn(|| way.frames.pop()).take(WRITE_FRAMES_MAX) {
            // A datagram is never longer than a frame can be.
            write_frame(&frame, &mut bytes);
        }
        if bytes.is_empty() {
            tokio::time::timeout(UNANSWERED_MAX, changed).await.map_err(|_| End::Unanswered)?;
        } else {
            stream.write_all(&bytes).await?;
        }
    }
}

#[cfg(test)]
mod tests;
