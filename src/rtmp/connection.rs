//! One connection: bytes from a socket through the RTMP core to an adapter, and back.
//!
//! The core decides; here are the socket, the clock, and what the connection turned out to be. While an encoder's room is
//! behind, nothing is read, so that TCP slows the encoder down. While a player is behind, its ring loses pictures.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_rtmp::{
    Config, EndReason, Event, Limits, PlayItem, PlayRefusal, PlayRequest, PublishRequest, RejectReason, Session,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::{debug, info};

use super::bitrate::BitrateLimit;
use super::leaving::{Leaving, Present};
use super::writing::{self, ANSWER_PATIENCE, PLAYER_PATIENCE};
use crate::ingest::rtmp::{Admission, Publisher};
use crate::metrics::Metrics;
use crate::output::rtmp::{PlayDoor, Watching};
use crate::slots::{Slot, Slots};
use crate::tasks::Tasks;

/// The read buffer before a publish is accepted. Everything an encoder sends until then fits twice.
const STRANGER_BUFFER_BYTES: usize = 8 * 1_024;
/// The read buffer of a publisher. Larger: fewer reads for high bitrates; smaller: less memory per stream, and smaller
/// batches. Most reads bring one or two frames.
const PUBLISHER_BUFFER_BYTES: usize = 64 * 1_024;
/// How long a closed connection is still read, so that the last status arrives: a socket that is closed with unread
/// bytes resets the connection, and the peer then loses what we said.
const LINGER: Duration = Duration::from_millis(500);

/// What every connection may need of the server.
pub(super) struct Doors {
    pub(super) limits: Limits,
    pub(super) bitrate_max_kbps: u32,
    pub(super) publish: Admission,
    pub(super) play: PlayDoor,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: Tasks,
    /// Of encoders, and of who has not said what it wants.
    pub(super) slots: Slots,
    pub(super) leaving: Leaving,
}

/// A connection from its accept to its end.
pub(super) struct Connection<S> {
    stream: S,
    address: IpAddr,
    /// `rtmp` or `rtmps`, for pages.
    protocol: &'static str,
    session: Session,
    doors: Arc<Doors>,
    /// Among the encoders and those who have not said what they want. A player has another.
    slot: Option<Slot>,
    buffer: Vec<u8>,
    bitrate: BitrateLimit,
    role: Role,
    /// Resolves when the server begins to end; `None` behind that.
    doors_closed: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    items: Vec<PlayItem>,
    /// A room has let it in, so that its end is no refusal.
    was_admitted: bool,
}

/// What a connection turned out to be.
enum Role {
    Undecided,
    Publisher {
        publisher: Box<Publisher>,
        /// It can be asked to connect elsewhere, and the end of the server waits for it a little.
        _present: Option<Present>,
    },
    Player(Box<Watching>),
}

/// What woke the connection.
enum Wake {
    Read(io::Result<usize>),
    Deadline,
    Kicked(RejectReason),
    /// Media for a player is in `items`; false when its room is gone.
    Media(bool),
    /// It is time to look again whether a player may watch.
    Recheck,
    DoorsClosed,
    Stopping,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        stream: S,
        address: IpAddr,
        protocol: &'static str,
        doors: Arc<Doors>,
        slot: Slot,
    ) -> Result<Connection<S>, getrandom::Error> {
        let mut handshake_seed = [0; 32];
        getrandom::fill(&mut handshake_seed)?;
        let now = Instant::now();
        let config = Config { limits: doors.limits.clone(), ..Config::new(handshake_seed) };
        Ok(Connection {
            session: Session::new(config, now),
            bitrate: BitrateLimit::new(doors.bitrate_max_kbps, now),
            buffer: vec![0; STRANGER_BUFFER_BYTES],
            role: Role::Undecided,
            doors_closed: Some(Box::pin(doors.tasks.doors_closed())),
            items: Vec::new(),
            was_admitted: false,
            slot: Some(slot),
            stream,
            address,
            protocol,
            doors,
        })
    }

    /// Runs to the end of the connection, or a little longer than `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let ended = self.drain().await;
            let flushed = self.flush(&stop).await;
            if let Some(reason) = ended {
                return self.end(&reason).await;
            }
            if let Err(error) = flushed {
                debug!(%error, "what waited for the peer could not be sent");
                self.session.handle_disconnect();
                continue;
            }
            match self.wake(&stop).await {
                Wake::Read(result) => self.handle_read(result),
                Wake::Deadline => self.session.handle_timeout(Instant::now()),
                Wake::Kicked(reason) => self.session.shutdown(reason),
                Wake::Media(true) => self.session.play(Instant::now(), &self.items),
                Wake::Media(false) => self.session.refuse_play(PlayRefusal::Ended),
                Wake::Recheck => self.recheck().await,
                Wake::DoorsClosed => {
                    self.doors_closed = None;
                    if matches!(self.role, Role::Publisher { .. }) && self.session.request_reconnect() {
                        info!("an encoder was asked to connect elsewhere");
                    }
                }
                Wake::Stopping => self.session.shutdown(RejectReason::ShuttingDown),
            }
        }
    }

    /// Waits for what comes first. A kick goes before media; media goes before a deadline, because a connection that
    /// was not read while its room was behind is not idle.
    async fn wake(&mut self, stop: &CancellationToken) -> Wake {
        let kicked = async {
            match &self.role {
                Role::Publisher { publisher, .. } => publisher.kicked().await,
                Role::Undecided | Role::Player(_) => std::future::pending().await,
            }
        };
        let items = &mut self.items;
        let media = async {
            match &self.role {
                Role::Player(watching) => watching.next(items).await,
                Role::Undecided | Role::Publisher { .. } => std::future::pending().await,
            }
        };
        let recheck = async {
            match &self.role {
                Role::Player(watching) => watching.recheck_is_due().await,
                Role::Undecided | Role::Publisher { .. } => std::future::pending().await,
            }
        };
        let closing = self.doors_closed.as_mut();
        let doors_closed = async {
            match closing {
                Some(closing) => closing.await,
                None => std::future::pending().await,
            }
        };
        let deadline_at = self.session.poll_timeout();
        let deadline = async {
            match deadline_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        // Cancel-safe: `read` takes nothing from the socket and `next` nothing from the ring unless it completes; the rest
        // only waits. A player's right to watch goes before what it says, and its pauses and pings before its media, of both
        // of which there may always be more.
        tokio::select! {
            biased;
            reason = kicked => Wake::Kicked(reason),
            () = stop.cancelled() => Wake::Stopping,
            () = doors_closed => Wake::DoorsClosed,
            () = recheck => Wake::Recheck,
            result = self.stream.read(&mut self.buffer) => Wake::Read(result),
            () = deadline => Wake::Deadline,
            there = media => Wake::Media(there),
        }
    }

    fn handle_read(&mut self, result: io::Result<usize>) {
        let len = match result {
            Ok(len @ 1..) => len,
            Ok(0) => return self.session.handle_disconnect(),
            Err(error) => {
                debug!(%error, "a socket failed");
                return self.session.handle_disconnect();
            }
        };
        let now = Instant::now();
        self.doors.metrics.rtmp_received_bytes.add(len as u64);
        if self.bitrate.allows(now, len) {
            self.session.handle_input(now, &self.buffer[..len]);
        } else {
            self.session.shutdown(RejectReason::BitrateTooHigh);
        }
    }

    /// Carries out what the core decided. `Some` when the connection is over.
    async fn drain(&mut self) -> Option<EndReason> {
        self.items.clear();
        let mut ended = None;
        while let Some(event) = self.next_event().await {
            match event {
                Event::PublishRequested(request) => self.decide_publish(request).await,
                Event::PlayRequested(request) => self.decide_play(request).await,
                Event::TrackAdded(added) => self.publish(|publisher| publisher.add_track(&added)),
                Event::Frame(frame) => self.publish(|publisher| publisher.add_frame(frame)),
                Event::ClockRestarted => self.publish(Publisher::restart_clock),
                Event::Warning(warning) => self.publish(|publisher| publisher.warn(&warning)),
                Event::Metadata(metadata) => debug!(?metadata, "metadata"),
                Event::PublishEnded(reason) => {
                    self.send_batch().await;
                    let counters = self.session.counters();
                    info!(?reason, frames = counters.frames, dropped = counters.dropped_frames, "a publish ended");
                    self.role = Role::Undecided;
                }
                Event::PlayEnded => self.end_play(),
                Event::Closed(reason) => ended = Some(reason),
            }
        }
        ended
    }

    /// Hands something to the publish, unless its room is gone.
    fn publish(&mut self, act: impl FnOnce(&mut Publisher)) {
        if let Role::Publisher { publisher, .. } = &mut self.role {
            act(publisher);
        }
    }

    /// Whoever has played is among those again who have not said what they want.
    fn end_play(&mut self) {
        info!("a player stopped");
        self.role = Role::Undecided;
        self.slot = self.doors.slots.take(self.address, false);
        if self.slot.is_none() {
            self.session.shutdown(RejectReason::Busy);
        }
    }

    /// The next event. When there is none the batch is handed over, which may make another: the end.
    async fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.session.poll_event() {
            return Some(event);
        }
        self.send_batch().await;
        self.session.poll_event()
    }

    async fn send_batch(&mut self) {
        let dropped = self.session.counters().dropped_frames;
        if let Role::Publisher { publisher, .. } = &mut self.role
            && let Err(reason) = publisher.send(dropped).await
        {
            self.session.shutdown(reason);
        }
    }

    async fn decide_publish(&mut self, request: PublishRequest) {
        let deciding = self.doors.publish.decide(self.address, self.protocol, &request);
        let decision = tokio::time::timeout(self.doors.limits.publish_timeout, deciding).await;
        match decision.unwrap_or(Err(RejectReason::Unavailable)) {
            Ok(room) => {
                let publisher = Publisher::new(room);
                let participant = publisher.participant();
                info!(encoder = request.encoder.flash_ver, %participant, "an encoder was admitted");
                let present = self.session.follows_reconnect().then(|| self.doors.leaving.enter());
                self.role = Role::Publisher { publisher: Box::new(publisher), _present: present };
                self.was_admitted = true;
                self.buffer.resize(PUBLISHER_BUFFER_BYTES, 0);
                self.session.accept_publish(Instant::now());
            }
            Err(reason) => {
                info!(encoder = request.encoder.flash_ver, ?reason, "an encoder was refused");
                self.session.reject(reason);
            }
        }
    }

    async fn decide_play(&mut self, request: PlayRequest) {
        let deciding = self.doors.play.admit(self.address, &request);
        let decision = tokio::time::timeout(self.doors.limits.publish_timeout, deciding).await;
        match decision.unwrap_or(Err(PlayRefusal::Unavailable)) {
            Ok(watching) => {
                info!(player = request.player.flash_ver, "a player was admitted");
                self.role = Role::Player(Box::new(watching));
                self.was_admitted = true;
                // It has one of the players' from here on.
                self.slot = None;
                self.session.accept_play(Instant::now());
            }
            Err(refusal) => {
                info!(player = request.player.flash_ver, ?refusal, "a player was refused");
                self.session.refuse_play(refusal);
            }
        }
    }

    async fn recheck(&mut self) {
        let Role::Player(watching) = &mut self.role else { return };
        if let Err(refusal) = self.doors.play.recheck(watching).await {
            info!(?refusal, "a player may not watch any more");
            self.session.refuse_play(refusal);
        }
    }

    async fn flush(&mut self, stop: &CancellationToken) -> io::Result<()> {
        while let Some(mut output) = self.session.poll_output() {
            if matches!(self.role, Role::Player(_)) {
                self.doors.metrics.rtmp_sent_bytes.add(output.len() as u64);
            }
            self.write(&mut output, stop).await?;
        }
        Ok(())
    }

    async fn write(&mut self, output: &mut Bytes, stop: &CancellationToken) -> io::Result<()> {
        let is_player = matches!(self.role, Role::Player(_));
        let patience = if is_player { PLAYER_PATIENCE } else { ANSWER_PATIENCE };
        // A server that stops does not wait for a player that is behind; an encoder's last status is worth a moment.
        tokio::select! {
            biased;
            written = writing::write(&mut self.stream, output, patience) => written,
            () = stop.cancelled(), if is_player => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// The last word was written; lets it arrive.
    async fn end(mut self, reason: &EndReason) {
        let left_by_itself = matches!(reason, EndReason::Unpublished | EndReason::Disconnected);
        if !left_by_itself && !self.was_admitted {
            self.doors.metrics.rtmp_refused_connections.add(1);
        }
        match reason {
            EndReason::Unpublished | EndReason::Disconnected => debug!(?reason, "an RTMP connection ended"),
            EndReason::Error(error) => info!(%error, "an RTMP connection was closed"),
            EndReason::TimedOut(_) | EndReason::Refused(_) | EndReason::NotPlayed(_) | EndReason::UnknownApp => {
                info!(?reason, "an RTMP connection was closed");
            }
        }
        self.role = Role::Undecided;
        let linger = async {
            self.stream.shutdown().await?;
            while self.stream.read(&mut self.buffer).await? > 0 {}
            io::Result::Ok(())
        };
        // Whether the peer read it all is its own business.
        let _ = tokio::time::timeout(LINGER, linger).await;
    }
}
