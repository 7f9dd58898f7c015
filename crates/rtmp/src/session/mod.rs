//! The server side of one RTMP connection: [`Session`].

mod commands;
mod config;
mod event;
mod input;
mod media;
mod metadata;
mod play;
mod request;
mod timers;
mod writer;

pub use config::Config;
pub use event::{EndReason, Event, RejectReason, TimedOut};
pub use metadata::Metadata;
pub use play::{PlayRefusal, PlayRequest};
pub use request::{Encoder, PublishMode, PublishRequest, Secret};

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::chunk::ChunkReader;
use crate::error::Error;
use crate::handshake::Handshake;
use crate::limits::ChunkLimits;
use crate::publish::Publication;
use play::Player;
use timers::{Timer, TimerTable};
use writer::Writer;

/// Input that may wait behind a publish request. The shell should not read while
/// [`wants_input`](Session::wants_input) is false; what one read delivered beyond the request always fits.
const WAITING_INPUT_BYTES_MAX: usize = 1 << 20;

/// One connection.
///
/// Every call that takes `&mut self` must be followed by a complete drain: [`poll_output`](Self::poll_output) and
/// [`poll_event`](Self::poll_event) until both return `None`. Then the shell waits for bytes, for
/// [`poll_timeout`](Self::poll_timeout), or for its own reasons to end the publish.
///
/// 1. Give bytes to [`handle_input`](Self::handle_input) while [`wants_input`](Self::wants_input).
/// 2. Answer [`Event::PublishRequested`] with [`accept_publish`](Self::accept_publish) or [`reject`](Self::reject), and
///    [`Event::PlayRequested`] with [`accept_play`](Self::accept_play) or [`refuse_play`](Self::refuse_play); then give
///    media to [`play`](Self::play) as fast as the output is taken.
/// 3. At the deadline call [`handle_timeout`](Self::handle_timeout); at the end of the stream
///    [`handle_disconnect`](Self::handle_disconnect).
/// 4. After [`Event::Closed`] send the remaining output and close the socket.
pub struct Session {
    config: Config,
    stage: Stage,
    reader: ChunkReader,
    writer: Writer,
    timers: TimerTable,
    events: VecDeque<Event>,
    /// Input behind a publish request that is not answered yet.
    waiting_input: BytesMut,
    bytes_in: u64,
    useless_messages: u32,
    abandoned_messages: u64,
    connected: Option<commands::Connected>,
    publication: Publication,
}

/// Where the connection is. It only moves down, but for `Publishing` and `Deciding`, which return to `Commands`.
enum Stage {
    Handshake(Box<Handshake>),
    /// Before `connect` or between publishes.
    Commands,
    /// A publish request waits for the shell's answer. Input is held meanwhile, so that nothing sent behind the
    /// request is lost: several cameras do not wait for the answer.
    Deciding {
        stream_id: u32,
        asked: Asked,
    },
    Publishing {
        stream_id: u32,
    },
    Playing(Box<Player>),
    Closed,
}

/// What a request that waits for the shell is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Publish,
    Play,
}

/// What a connection has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub bytes_in: u64,
    /// Frames of the current publish passed on.
    pub frames: u64,
    /// Frames of the current publish that could not be used.
    pub dropped_frames: u64,
    /// Frames of the current play that were written.
    pub played_frames: u64,
}

impl Session {
    /// A connection that was accepted at `now`.
    pub fn new(config: Config, now: Instant) -> Session {
        let mut timers = TimerTable::default();
        timers.set(Timer::Stage, now + config.limits.handshake_timeout);
        Session {
            stage: Stage::Handshake(Box::new(Handshake::new(config.handshake_seed))),
            reader: ChunkReader::new(&config.limits),
            writer: Writer::default(),
            timers,
            events: VecDeque::new(),
            waiting_input: BytesMut::new(),
            bytes_in: 0,
            useless_messages: 0,
            abandoned_messages: 0,
            connected: None,
            publication: Publication::default(),
            config,
        }
    }

    /// Bytes from the peer.
    pub fn handle_input(&mut self, now: Instant, input: &[u8]) {
        if input.is_empty() || matches!(self.stage, Stage::Closed) {
            return;
        }
        self.bytes_in += input.len() as u64;
        self.note_life(now);
        if self.waiting_input.is_empty() && self.wants_input() {
            self.process(now, input);
        } else if self.waiting_input.len() + input.len() > WAITING_INPUT_BYTES_MAX {
            self.fail(Error::Held { max: WAITING_INPUT_BYTES_MAX });
        } else {
            self.waiting_input.extend_from_slice(input);
        }
        self.acknowledge();
    }

    /// Deadlines that have come by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::EarlyS1 => {
                    if let Stage::Handshake(handshake) = &mut self.stage {
                        handshake.send_early(self.writer.raw());
                    }
                }
                Timer::Ping => {
                    self.writer.ping_request();
                    if self.is_playing() {
                        // A player has little to say, so what it said counts anew with each ping.
                        self.useless_messages = 0;
                        self.note_life(now);
                    }
                }
                Timer::Idle => self.close(EndReason::TimedOut(TimedOut::Idle)),
                Timer::Stage => match (&self.stage, &self.connected) {
                    (Stage::Handshake(_), _) => self.close(EndReason::TimedOut(TimedOut::Handshake)),
                    (_, None) => self.close(EndReason::TimedOut(TimedOut::Connect)),
                    (Stage::Deciding { asked: Asked::Play, .. }, _) => self.refuse_play(PlayRefusal::Unavailable),
                    (Stage::Deciding { asked: Asked::Publish, .. }, _) => self.refuse(RejectReason::Unavailable),
                    (Stage::Playing(_), _) => self.refuse_play(PlayRefusal::Codec),
                    (_, Some(_)) => self.close(EndReason::TimedOut(TimedOut::Publish)),
                },
            }
        }
    }

    /// The peer closed its side, or the socket failed.
    pub fn handle_disconnect(&mut self) {
        self.close(EndReason::Disconnected);
    }

    /// Lets the waiting publish request in. Without one nothing happens.
    pub fn accept_publish(&mut self, now: Instant) {
        let Stage::Deciding { stream_id, asked: Asked::Publish } = self.stage else { return };
        self.stage = Stage::Publishing { stream_id };
        self.publication = Publication::default();
        self.reader.set_limits(self.config.limits.publisher);
        self.timers.clear(Timer::Stage);
        self.note_life(now);
        self.writer.publish_start(stream_id);
        let waiting = std::mem::take(&mut self.waiting_input);
        self.process(now, &waiting);
    }

    /// Refuses the waiting publish request with a status that encoders show, and ends the connection.
    pub fn reject(&mut self, reason: RejectReason) {
        if matches!(self.stage, Stage::Deciding { asked: Asked::Publish, .. }) {
            self.refuse(reason);
        }
    }

    /// Whether the client announced that it follows a request to reconnect.
    pub fn follows_reconnect(&self) -> bool {
        self.connected.as_ref().is_some_and(|connected| connected.capabilities.reconnects())
    }

    /// Asks an encoder to connect again, elsewhere or here, and goes on taking what it sends until it leaves; false for
    /// one that did not announce that it follows.
    pub fn request_reconnect(&mut self) -> bool {
        let asks = self.follows_reconnect() && !matches!(self.stage, Stage::Closed);
        if asks {
            self.writer.reconnect_request();
        }
        asks
    }

    /// Ends the connection for a reason of the server, at any time: a revoked key, a takeover, a shutdown.
    pub fn shutdown(&mut self, reason: RejectReason) {
        self.refuse_play(match reason {
            RejectReason::ShuttingDown => PlayRefusal::ShuttingDown,
            _ => PlayRefusal::Unavailable,
        });
        self.refuse(reason);
    }

    /// Bytes for the peer.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        self.writer.poll()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    /// False while a publish request waits for its answer, and after the end.
    pub fn wants_input(&self) -> bool {
        !matches!(self.stage, Stage::Deciding { .. } | Stage::Closed)
    }

    /// True between an accepted publish and its end.
    pub fn is_publishing(&self) -> bool {
        matches!(self.stage, Stage::Publishing { .. })
    }

    /// What the connection has done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            bytes_in: self.bytes_in,
            frames: self.publication.frames(),
            dropped_frames: self.publication.dropped_frames(),
            played_frames: match &self.stage {
                Stage::Playing(player) => player.frames(),
                _ => 0,
            },
        }
    }

    /// Any byte is a sign of life, while publishing. A player may be silent, as long as it takes what it is sent; the
    /// pings are for those that have not come to a stream yet.
    fn note_life(&mut self, now: Instant) {
        let idle = self.config.limits.idle_timeout;
        if self.is_publishing() {
            self.timers.set(Timer::Idle, now + idle);
        }
        if self.is_admitted() {
            self.timers.set(Timer::Ping, now + idle / 2);
        }
    }

    /// A publish or a play was accepted.
    fn is_admitted(&self) -> bool {
        self.is_publishing() || self.is_playing()
    }

    fn acknowledge(&mut self) {
        if !matches!(self.stage, Stage::Handshake(_) | Stage::Closed) {
            self.writer.acknowledge(self.bytes_in);
        }
    }

    /// The publish is over, the connection is not.
    fn end_publish(&mut self, now: Instant, reason: EndReason) {
        let Stage::Publishing { stream_id } = self.stage else { return };
        self.stage = Stage::Commands;
        self.timers.clear(Timer::Idle);
        self.timers.clear(Timer::Ping);
        self.timers.set(Timer::Stage, now + self.config.limits.publish_timeout);
        self.reader.set_limits(ChunkLimits::STRANGER);
        if let Some(connected) = &mut self.connected {
            connected.bytes_before = self.bytes_in;
        }
        self.writer.unpublished(stream_id);
        self.finish_media();
        self.events.push_back(Event::PublishEnded(reason));
    }

    fn refuse(&mut self, reason: RejectReason) {
        if let Stage::Deciding { stream_id, asked: Asked::Publish } | Stage::Publishing { stream_id } = self.stage {
            self.writer.publish_error(stream_id, reason);
        }
        self.close(EndReason::Refused(reason));
    }

    /// The peer is told what it did, unless it speaks another protocol.
    fn fail(&mut self, error: Error) {
        let stream_id = match &self.stage {
            Stage::Handshake(_) | Stage::Closed => None,
            Stage::Commands => Some(0),
            Stage::Deciding { stream_id, .. } | Stage::Publishing { stream_id } => Some(*stream_id),
            Stage::Playing(player) => Some(player.stream_id),
        };
        if let Some(stream_id) = stream_id {
            self.writer.connection_failed(stream_id, &error.to_string());
        }
        self.close(EndReason::Error(error));
    }

    fn close(&mut self, reason: EndReason) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        if self.is_publishing() {
            self.finish_media();
            self.events.push_back(Event::PublishEnded(reason.clone()));
        }
        if self.is_playing() {
            self.events.push_back(Event::PlayEnded);
        }
        self.stage = Stage::Closed;
        self.timers = TimerTable::default();
        self.waiting_input = BytesMut::new();
        self.events.push_back(Event::Closed(reason));
    }
}
