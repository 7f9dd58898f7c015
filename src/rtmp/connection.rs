//! One encoder's connection: bytes from a socket through the RTMP core into a room.
//!
//! The core decides; here are the socket, the clock, the answer to a publish request, and the batches. While the room
//! is behind, nothing is read, so that TCP slows the encoder down.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::{Codec, Origin, TrackInfo};
use telstar_rtmp::flv::CodecTag;
use telstar_rtmp::{
    Config, EndReason, Event, Limits, PublishRequest, RejectReason, Session, TrackAdded, TrackNumber, Warning,
    WarningKind,
};
use telstar_signaling::room::KickReason;
use telstar_units::TrackId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::admission::Admission;
use super::bitrate::BitrateLimit;
use crate::metrics::Metrics;
use crate::rooms::IngestHandle;
use crate::shards::{IngestItem, IngestWarning};

/// The read buffer before a publish is accepted. Everything an encoder sends until then fits twice.
const STRANGER_BUFFER_BYTES: usize = 8 * 1_024;
/// The read buffer of a publisher. Larger: fewer reads for high bitrates; smaller: less memory per stream, and smaller
/// batches. Most reads bring one or two frames.
const PUBLISHER_BUFFER_BYTES: usize = 64 * 1_024;
/// How long a peer may take to accept an answer, which fits into any socket buffer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a closed connection is still read, so that the last status arrives: a socket that is closed with unread
/// bytes resets the connection, and the peer then loses what we said.
const LINGER: Duration = Duration::from_millis(500);
/// How long to wait for the reason after the ring was closed. It is set before.
const KICK_REASON_WAIT: Duration = Duration::from_secs(1);
/// Bits of a track id that count the tracks of one connection; the rest is the participant, so that no two connections
/// of a room share an id.
const TRACK_NUMBER_BITS: u32 = 20;

/// What a connection is configured with.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) bitrate_max_kbps: u32,
}

/// A connection from its accept to its end.
pub(super) struct Connection<S> {
    stream: S,
    address: IpAddr,
    session: Session,
    settings: Settings,
    admission: Admission,
    metrics: Arc<Metrics>,
    buffer: Vec<u8>,
    bitrate: BitrateLimit,
    room: Option<IngestHandle>,
    batch: Vec<IngestItem>,
    /// Frames of this publish that could not be used, as far as the room was told.
    dropped_told: u64,
    /// A room has let it in, so that its end is no refusal.
    was_admitted: bool,
}

/// What woke the connection.
enum Wake {
    Read(io::Result<usize>),
    Deadline,
    Kicked(KickReason),
    Stopping,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        stream: S,
        address: IpAddr,
        settings: Settings,
        admission: Admission,
        metrics: Arc<Metrics>,
    ) -> Result<Connection<S>, getrandom::Error> {
        let mut handshake_seed = [0; 32];
        getrandom::fill(&mut handshake_seed)?;
        let now = Instant::now();
        let config = Config { limits: settings.limits.clone(), ..Config::new(handshake_seed) };
        Ok(Connection {
            session: Session::new(config, now),
            bitrate: BitrateLimit::new(settings.bitrate_max_kbps, now),
            buffer: vec![0; STRANGER_BUFFER_BYTES],
            room: None,
            batch: Vec::new(),
            dropped_told: 0,
            was_admitted: false,
            stream,
            address,
            settings,
            admission,
            metrics,
        })
    }

    /// Runs to the end of the connection, or a little longer than `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let ended = self.drain().await;
            let flushed = self.flush().await;
            if let Some(reason) = ended {
                return self.end(&reason).await;
            }
            if let Err(error) = flushed {
                debug!(%error, "an answer could not be sent");
                self.session.handle_disconnect();
                continue;
            }
            match self.wake(&stop).await {
                Wake::Read(result) => self.handle_read(result),
                Wake::Deadline => self.session.handle_timeout(Instant::now()),
                Wake::Kicked(reason) => self.session.shutdown(reject_reason(reason)),
                Wake::Stopping => self.session.shutdown(RejectReason::ShuttingDown),
            }
        }
    }

    /// Waits for what comes first. A kick goes before media; media goes before a deadline, because a connection that
    /// was not read while its room was behind is not idle.
    async fn wake(&mut self, stop: &CancellationToken) -> Wake {
        let kicked = async {
            match &self.room {
                Some(room) => room.kicked().await,
                None => std::future::pending().await,
            }
        };
        let deadline = async {
            match self.session.poll_timeout() {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        // Cancel-safe: `read` takes nothing from the socket unless it completes; the rest only waits.
        tokio::select! {
            biased;
            reason = kicked => Wake::Kicked(reason),
            () = stop.cancelled() => Wake::Stopping,
            result = self.stream.read(&mut self.buffer) => Wake::Read(result),
            () = deadline => Wake::Deadline,
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
        self.metrics.rtmp_received_bytes.add(len as u64);
        if self.bitrate.allows(now, len) {
            self.session.handle_input(now, &self.buffer[..len]);
        } else {
            self.session.shutdown(RejectReason::BitrateTooHigh);
        }
    }

    /// Carries out what the core decided. `Some` when the connection is over.
    async fn drain(&mut self) -> Option<EndReason> {
        let mut ended = None;
        while let Some(event) = self.next_event().await {
            match event {
                Event::PublishRequested(request) => self.decide(request).await,
                Event::TrackAdded(added) => self.add_track(&added),
                Event::Frame(published) => {
                    let track = self.track_id(published.track);
                    self.batch.push(IngestItem::Frame(track, published.frame));
                }
                Event::ClockRestarted => self.batch.push(IngestItem::ClockRestarted),
                Event::Metadata(metadata) => debug!(?metadata, "metadata"),
                Event::Warning(warning) => self.warn(&warning),
                Event::PublishEnded(reason) => {
                    self.send_batch().await;
                    let counters = self.session.counters();
                    info!(?reason, frames = counters.frames, dropped = counters.dropped_frames, "a publish ended");
                    self.room = None;
                }
                Event::Closed(reason) => ended = Some(reason),
            }
        }
        ended
    }

    /// The next event. When there is none the batch is handed over, which may make another: the end.
    async fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.session.poll_event() {
            return Some(event);
        }
        self.send_batch().await;
        self.session.poll_event()
    }

    async fn decide(&mut self, request: PublishRequest) {
        let deciding = self.admission.decide(self.address, "rtmp", &request);
        let decision = tokio::time::timeout(self.settings.limits.publish_timeout, deciding).await;
        match decision.unwrap_or(Err(RejectReason::Unavailable)) {
            Ok(handle) => {
                info!(encoder = request.encoder.flash_ver, participant = %handle.participant(), "an encoder was admitted");
                self.room = Some(handle);
                self.was_admitted = true;
                self.dropped_told = 0;
                self.buffer.resize(PUBLISHER_BUFFER_BYTES, 0);
                self.session.accept_publish(Instant::now());
            }
            Err(reason) => {
                info!(encoder = request.encoder.flash_ver, ?reason, "an encoder was refused");
                self.session.reject(reason);
            }
        }
    }

    fn add_track(&mut self, added: &TrackAdded) {
        info!(codec = added.codec.name(), rfc6381 = added.config.rfc6381(), "a track");
        let info = TrackInfo {
            id: self.track_id(added.track),
            codec: added.codec,
            timescale: added.timescale,
            keyframes: added.keyframes,
            origin: Origin::Publisher,
        };
        self.batch.push(match added.replaces {
            Some(old) => IngestItem::TrackReplaced { old: self.track_id(old), by: info },
            None => IngestItem::Track(info),
        });
    }

    fn track_id(&self, number: TrackNumber) -> TrackId {
        let participant = self.room.as_ref().map_or(0, |room| room.participant().0);
        TrackId(participant << TRACK_NUMBER_BITS | u64::from(number.0))
    }

    fn warn(&mut self, warning: &Warning) {
        debug!(?warning, "the encoder's stream");
        let known = match &warning.kind {
            WarningKind::AudioGap { .. } | WarningKind::AudioOverlap => IngestWarning::AudioGap,
            WarningKind::TimestampJump { .. } => IngestWarning::TimestampsJump,
            WarningKind::CodecUnsupported(tag) => match codec_of(*tag) {
                Some(codec) => IngestWarning::CodecUnsupported(codec),
                None => return,
            },
            WarningKind::TimestampOrder
            | WarningKind::BadConfiguration(_)
            | WarningKind::Malformed(_)
            | WarningKind::MalformedFrame
            | WarningKind::NoConfiguration
            | WarningKind::TooManyTracks
            | WarningKind::AbandonedMessage
            | WarningKind::BadMetadata => return,
        };
        self.batch.push(IngestItem::Warning(known));
    }

    /// Hands the batch to the room, as slowly as the room takes it.
    async fn send_batch(&mut self) {
        let dropped = self.session.counters().dropped_frames;
        let before = std::mem::replace(&mut self.dropped_told, dropped);
        if dropped > before {
            self.batch.push(IngestItem::Dropped(dropped - before));
        }
        let batch = std::mem::take(&mut self.batch);
        let Some(room) = &self.room else { return };
        if batch.is_empty() {
            return;
        }
        // A batch that is lost to a kick belongs to a connection that ends.
        let reason = tokio::select! {
            biased;
            sent = room.send(batch) => match sent {
                Ok(()) => return,
                Err(_) => tokio::time::timeout(KICK_REASON_WAIT, room.kicked()).await.ok(),
            },
            reason = room.kicked() => Some(reason),
        };
        self.session.shutdown(reason.map_or(RejectReason::Unavailable, reject_reason));
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(output) = self.session.poll_output() {
            match tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(&output)).await {
                Ok(written) => written?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Ok(())
    }

    /// The last word was written; lets it arrive.
    async fn end(mut self, reason: &EndReason) {
        let left_by_itself = matches!(reason, EndReason::Unpublished | EndReason::Disconnected);
        if !left_by_itself && !self.was_admitted {
            self.metrics.rtmp_refused_connections.add(1);
        }
        match reason {
            EndReason::Unpublished | EndReason::Disconnected => debug!(?reason, "an RTMP connection ended"),
            EndReason::Error(error) => info!(%error, "an RTMP connection was closed"),
            EndReason::TimedOut(_) | EndReason::Refused(_) | EndReason::UnknownApp => {
                info!(?reason, "an RTMP connection was closed");
            }
        }
        self.room = None;
        let linger = async {
            self.stream.shutdown().await?;
            while self.stream.read(&mut self.buffer).await? > 0 {}
            io::Result::Ok(())
        };
        // Whether the peer read it all is its own business.
        let _ = tokio::time::timeout(LINGER, linger).await;
    }
}

fn reject_reason(reason: KickReason) -> RejectReason {
    match reason {
        KickReason::TakenOver => RejectReason::TakenOver,
        KickReason::KeyRevoked | KickReason::RoomDeleted => RejectReason::Revoked,
        KickReason::Shutdown => RejectReason::ShuttingDown,
    }
}

/// The hub's name for a codec that RTMP cannot bring yet.
fn codec_of(tag: CodecTag) -> Option<Codec> {
    match tag {
        CodecTag::FlvVideo(12) => Some(Codec::H265),
        CodecTag::FourCc(four_cc) => match &four_cc {
            b"hvc1" => Some(Codec::H265),
            b"av01" => Some(Codec::Av1),
            b"vp08" => Some(Codec::Vp8),
            b"vp09" => Some(Codec::Vp9),
            b"Opus" => Some(Codec::Opus),
            _ => None,
        },
        CodecTag::FlvVideo(_) | CodecTag::FlvAudio(_) => None,
    }
}
