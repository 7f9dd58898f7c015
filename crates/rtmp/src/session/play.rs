//! Playing, RTMP §7.2.2.1: requests, what a player may say while it plays, and the media on its way to it.

use std::time::Instant;

use bytes::BytesMut;

use super::commands::Command;
use super::request::{Encoder, Secret};
use super::timers::Timer;
use super::writer::Writer;
use super::{Asked, EndReason, Event, Session, Stage};
use crate::amf::Value;
use crate::error::Error;
use crate::limits::NO_CODEC_PATIENCE;
use crate::play::{PlayItem, Playback, Sink, Wish};

/// A request to play that waits for an answer. Has no `Debug`: it holds a secret.
#[derive(Clone)]
pub struct PlayRequest {
    /// The room that was named, if one was. Unchecked, at most [`NAME_BYTES_MAX`](crate::limits::NAME_BYTES_MAX) bytes.
    pub name: Option<String>,
    /// The playback token, if one came as `?t=`.
    pub token: Option<Secret>,
    /// Who is asking.
    pub player: Encoder,
}

/// Why the server does not let somebody play, or ends it. The player is told in words, never with the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayRefusal {
    /// No such room, token or right. One answer for all three.
    NotFound,
    /// The token has ended, or the room is not open any more.
    Ended,
    /// A limit of the server is reached.
    Busy,
    /// The stream's codecs are none that this player announced.
    Codec,
    /// The server is shutting down.
    ShuttingDown,
    /// The server cannot decide now.
    Unavailable,
}

impl PlayRefusal {
    /// The status code that players know.
    pub fn code(self) -> &'static str {
        match self {
            PlayRefusal::NotFound => "NetStream.Play.StreamNotFound",
            PlayRefusal::ShuttingDown => "NetConnection.Connect.AppShutdown",
            PlayRefusal::Ended | PlayRefusal::Busy | PlayRefusal::Codec | PlayRefusal::Unavailable => {
                "NetStream.Play.Failed"
            }
        }
    }

    /// The words that players show.
    pub fn description(self) -> &'static str {
        match self {
            PlayRefusal::NotFound => "There is no such stream.",
            PlayRefusal::Ended => "The right to watch this stream has ended.",
            PlayRefusal::Busy => "The server takes no more players at the moment.",
            PlayRefusal::Codec => "This stream's codec needs a player with Enhanced RTMP.",
            PlayRefusal::ShuttingDown => "The server is shutting down.",
            PlayRefusal::Unavailable => "The server cannot play the stream at the moment.",
        }
    }
}

/// The session's part of a play: its message stream and what the player was told.
pub(super) struct Player {
    pub(super) stream_id: u32,
    playback: Playback,
    /// The player was told of an end, so that a beginning is told as well.
    ended: bool,
    /// Since when there is nothing that this player can take.
    nothing_since: Option<Instant>,
}

impl Session {
    /// Lets the waiting play request in. Without one nothing happens.
    pub fn accept_play(&mut self, now: Instant) {
        let Stage::Deciding { stream_id, asked: Asked::Play } = self.stage else { return };
        let capabilities = self.connected.as_ref().map(|connected| connected.capabilities.clone());
        let playback = Playback::new(capabilities.unwrap_or_default());
        self.stage = Stage::Playing(Box::new(Player { stream_id, playback, ended: false, nothing_since: None }));
        self.timers.clear(Timer::Stage);
        self.note_life(now);
        self.writer.play_start(stream_id);
        let waiting = std::mem::take(&mut self.waiting_input);
        self.process(now, &waiting);
    }

    /// Refuses the waiting play request, or ends a running play, with a status that players show; ends the connection.
    pub fn refuse_play(&mut self, refusal: PlayRefusal) {
        let stream_id = match &self.stage {
            Stage::Deciding { stream_id, asked: Asked::Play } => *stream_id,
            Stage::Playing(player) => player.stream_id,
            Stage::Handshake(_)
            | Stage::Commands
            | Stage::Deciding { .. }
            | Stage::Publishing { .. }
            | Stage::Closed => {
                return;
            }
        };
        self.writer.play_refused(stream_id, refusal);
        self.close(EndReason::NotPlayed(refusal));
    }

    /// True between an accepted play and its end.
    pub fn is_playing(&self) -> bool {
        matches!(self.stage, Stage::Playing(_))
    }

    /// Media for the player, in the order of its times. Drain [`poll_output`](Session::poll_output) after it.
    pub fn play(&mut self, now: Instant, items: &[PlayItem]) {
        let Stage::Playing(player) = &mut self.stage else { return };
        player.playback.preview(items);
        let mut refusal = None;
        for (index, item) in items.iter().enumerate() {
            match item {
                PlayItem::Tracks { tracks, restarts } => {
                    if std::mem::take(&mut player.ended) {
                        self.writer.play_begins_again(player.stream_id);
                    }
                    player.playback.set_tracks(tracks, *restarts);
                    player.playback.preview(&items[index..]);
                    let nothing = player.playback.takes_nothing_of(tracks);
                    player.nothing_since = nothing.then(|| player.nothing_since.unwrap_or(now));
                    // The first track may be followed by one that this player knows.
                    refusal = refusal.or_else(|| player.nothing_since.map(|since| since + NO_CODEC_PATIENCE));
                }
                PlayItem::Frame(track, frame) => {
                    let mut sink = Out { writer: &mut self.writer, stream_id: player.stream_id };
                    player.playback.frame(now, *track, frame, &mut sink);
                }
                PlayItem::Ended => {
                    player.ended = true;
                    self.writer.play_ended(player.stream_id);
                }
            }
        }
        match (player.nothing_since, refusal) {
            (None, _) => self.timers.clear(Timer::Stage),
            (Some(_), Some(at)) => self.timers.set(Timer::Stage, at),
            (Some(_), None) => {}
        }
    }

    pub(super) fn play_request(&mut self, now: Instant, command: &Command) -> Result<(), Error> {
        if self.is_publishing() || self.is_playing() {
            self.writer.play_failed(command.stream_id, "This connection is already in use.");
            return Ok(());
        }
        let Some(connected) = &self.connected else { return Err(Error::CommandOrder) };
        let (name, token) = connected.address.play_target(command.text(1))?;
        let request = PlayRequest { name, token, player: connected.encoder.clone() };
        self.stage = Stage::Deciding { stream_id: command.stream_id, asked: Asked::Play };
        self.timers.set(Timer::Stage, now + self.config.limits.publish_timeout);
        self.events.push_back(Event::PlayRequested(request));
        Ok(())
    }

    /// `pause`, `receiveAudio`, `receiveVideo` and `seek`, RTMP §7.2.2.
    pub(super) fn play_control(&mut self, command: &Command) {
        let Stage::Playing(player) = &mut self.stage else { return };
        let flag = match command.arguments.get(1) {
            Some(Value::Boolean(flag)) => *flag,
            // Some players leave it out of `pause`, which then turns.
            _ => command.name != "pause" || !player.playback.wish().paused,
        };
        let wish = player.playback.wish();
        let stream_id = player.stream_id;
        match command.name.as_str() {
            "pause" => {
                player.playback.set_wish(Wish { paused: flag, ..wish });
                self.writer.play_paused(stream_id, flag);
            }
            "receiveAudio" => player.playback.set_wish(Wish { audio: flag, ..wish }),
            "receiveVideo" => player.playback.set_wish(Wish { video: flag, ..wish }),
            // Not an error: ffplay would end at one, because somebody pressed an arrow.
            _ => self.writer.play_warning(stream_id, "NetStream.Seek.Failed", "A live stream has one place only."),
        }
    }

    /// The play is over, the connection is not.
    pub(super) fn end_play(&mut self, now: Instant) {
        let Stage::Playing(player) = &self.stage else { return };
        let stream_id = player.stream_id;
        self.stage = Stage::Commands;
        self.timers.clear(Timer::Ping);
        self.timers.set(Timer::Stage, now + self.config.limits.publish_timeout);
        if let Some(connected) = &mut self.connected {
            connected.bytes_before = self.bytes_in;
        }
        self.writer.play_stopped(stream_id);
        self.events.push_back(Event::PlayEnded);
    }
}

impl Player {
    pub(super) fn frames(&self) -> u64 {
        self.playback.frames()
    }
}

/// The writer of one message stream.
struct Out<'a> {
    writer: &'a mut Writer,
    stream_id: u32,
}

impl Sink for Out<'_> {
    fn media(&mut self, kind: u8, timestamp_ms: u32, head: &[u8], payload: &[u8]) {
        self.writer.media(self.stream_id, kind, timestamp_ms, [head, payload]);
    }

    fn data(&mut self, timestamp_ms: u32, body: &BytesMut) {
        self.writer.data(self.stream_id, timestamp_ms, body);
    }
}
