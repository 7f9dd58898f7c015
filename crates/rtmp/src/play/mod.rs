//! Frames of the hub to messages for one player: times from a zero of the player's own, configurations before the frames
//! that need them, metadata before the configurations.
//!
//! In go [`PlayItem`]s in the order of their times; out come messages through a sink. It knows no chunk and no command.

mod body;
mod metadata;

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use telstar_media::{CodecConfig, Frame, MediaKind, TrackInfo};
use telstar_units::{Timescale, TrackId, rescale};

use crate::capabilities::Capabilities;
use crate::chunk::message_type;
use body::{Body, Wire};
use metadata::Described;

/// A message's length has 24 bits. A longer frame cannot be written; none that long can have come over RTMP.
const BODY_LEN_MAX: usize = 0xff_ffff;

/// What a player is given.
#[derive(Clone, Debug)]
pub enum PlayItem {
    /// What there is to play from here on: at most one picture and one sound.
    Tracks {
        /// The tracks.
        tracks: Vec<TrackInfo>,
        /// Another connection publishes: its times have another zero.
        restarts: bool,
    },
    /// A frame of one of these tracks.
    Frame(TrackId, Frame),
    /// The stream has ended. Another may follow.
    Ended,
}

/// Where messages go.
pub(crate) trait Sink {
    /// Takes a media message whose body lies in two places.
    fn media(&mut self, kind: u8, timestamp_ms: u32, head: &[u8], payload: &[u8]);
    /// Takes a data message.
    fn data(&mut self, timestamp_ms: u32, body: &BytesMut);
}

/// What a player wants at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) paused: bool,
    pub(crate) video: bool,
    pub(crate) audio: bool,
}

/// One player's view of a room.
pub(crate) struct Playback {
    capabilities: Capabilities,
    video: Option<Track>,
    audio: Option<Track>,
    /// What is taken from a frame's time to get the player's.
    zero_ms: Option<i64>,
    /// The newest time that the player has, and when it got it.
    last: Option<(i64, Instant)>,
    /// What the metadata said last.
    described: Option<(Option<Described>, Option<Described>)>,
    wish: Wish,
    frames: u64,
}

struct Track {
    info: TrackInfo,
    wire: Wire,
    /// The newest configuration, which the metadata is made from.
    config: Option<Arc<CodecConfig>>,
    /// The configuration that the player has.
    sent: Option<Arc<CodecConfig>>,
    /// Pictures are left out until one that stands alone.
    waits_for_key: bool,
}

impl Track {
    fn describe(&self) -> Described {
        Described { wire: self.wire, sample_rate: self.info.timescale.hz(), config: self.config.clone() }
    }
}

impl Playback {
    pub(crate) fn new(capabilities: Capabilities) -> Playback {
        let wish = Wish { paused: false, video: true, audio: true };
        Playback { capabilities, video: None, audio: None, zero_ms: None, last: None, described: None, wish, frames: 0 }
    }

    /// Frames that were written.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn wish(&self) -> Wish {
        self.wish
    }

    /// What is left out is missing until the next picture that stands alone.
    pub(crate) fn set_wish(&mut self, wish: Wish) {
        let plays = |wish: Wish| wish.video && !wish.paused;
        if let (false, true, Some(video)) = (plays(self.wish), plays(wish), &mut self.video) {
            video.waits_for_key = true;
        }
        self.wish = wish;
    }

    /// Tracks are there, and this player can take none of them.
    pub(crate) fn takes_nothing_of(&self, tracks: &[TrackInfo]) -> bool {
        !tracks.is_empty() && tracks.iter().all(|info| self.wire_of(info).is_none())
    }

    fn wire_of(&self, info: &TrackInfo) -> Option<Wire> {
        let wire = Wire::of(info.codec);
        match wire {
            Wire::Avc | Wire::Aac | Wire::Mp3 => Some(wire),
            Wire::FourCc(four_cc) => self.capabilities.takes(&four_cc).then_some(wire),
        }
    }

    pub(crate) fn set_tracks(&mut self, tracks: &[TrackInfo], restarts: bool) {
        if restarts {
            self.zero_ms = None;
        }
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let info = tracks.iter().find(|info| info.kind() == kind);
            let found = info.and_then(|info| Some((info, self.wire_of(info)?)));
            let slot = self.slot(kind);
            if slot.as_ref().map(|track| track.info.id) == found.map(|(info, _)| info.id) {
                continue;
            }
            *slot = found.map(|(info, wire)| {
                let waits_for_key = kind == MediaKind::Video;
                Track { info: info.clone(), wire, config: None, sent: None, waits_for_key }
            });
        }
    }

    fn slot(&mut self, kind: MediaKind) -> &mut Option<Track> {
        match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        }
    }

    fn track(&mut self, id: TrackId) -> Option<&mut Track> {
        [&mut self.video, &mut self.audio].into_iter().flatten().find(|track| track.info.id == id)
    }

    /// Looks at what is about to come, so that the metadata knows of the configurations.
    pub(crate) fn preview(&mut self, items: &[PlayItem]) {
        for item in items {
            let PlayItem::Frame(id, frame) = item else { continue };
            if let Some(track) = self.track(*id)
                && track.config.as_ref().is_none_or(|config| !Arc::ptr_eq(config, &frame.config))
            {
                track.config = Some(Arc::clone(&frame.config));
            }
        }
    }

    /// Writes a frame, and before it what it needs.
    pub(crate) fn frame(&mut self, now: Instant, id: TrackId, frame: &Frame, sink: &mut dyn Sink) {
        let wish = self.wish;
        let Some(track) = self.track(id) else { return };
        let is_video = track.info.kind() == MediaKind::Video;
        if wish.paused || !(if is_video { wish.video } else { wish.audio }) {
            return;
        }
        track.waits_for_key &= !frame.key;
        if track.waits_for_key {
            return;
        }
        let timescale = track.info.timescale;
        let timestamp_ms = self.player_time(now, frame.dts, timescale);
        self.describe(timestamp_ms, sink);
        let Some(track) = self.track(id) else { return };
        let kind = if is_video { message_type::VIDEO } else { message_type::AUDIO };
        if track.sent.as_ref().is_none_or(|sent| *sent != frame.config) {
            track.sent = Some(Arc::clone(&frame.config));
            if let Some(header) = body::sequence_header(track.wire, &frame.config) {
                put(kind, timestamp_ms, &header, sink);
            }
        }
        let shown_later = millis(frame.pts, timescale) - millis(frame.dts, timescale);
        put(kind, timestamp_ms, &body::coded_frame(track.wire, frame, shown_later), sink);
        self.frames += 1;
    }

    /// Milliseconds since the player's zero, wrapping at 2^32 as the wire does. Behind a restart they go on in real time.
    fn player_time(&mut self, now: Instant, dts: i64, timescale: Timescale) -> u32 {
        let time_ms = millis(dts, timescale);
        let last = self.last;
        let zero_ms = *self.zero_ms.get_or_insert_with(|| {
            let resume_ms = last.map_or(0, |(last_ms, at)| {
                let elapsed = now.saturating_duration_since(at).as_millis();
                last_ms + i64::try_from(elapsed).unwrap_or(i64::MAX / 4).max(1)
            });
            time_ms - resume_ms
        });
        // Sound may begin a little before the picture that came first.
        let player_ms = (time_ms - zero_ms).max(0);
        let newest_ms = last.map_or(player_ms, |(last_ms, _)| last_ms.max(player_ms));
        self.last = Some((newest_ms, now));
        player_ms as u32
    }

    fn describe(&mut self, timestamp_ms: u32, sink: &mut dyn Sink) {
        let described = (self.video.as_ref().map(Track::describe), self.audio.as_ref().map(Track::describe));
        if self.described.as_ref() != Some(&described) {
            sink.data(timestamp_ms, &metadata::on_metadata(described.0.as_ref(), described.1.as_ref()));
            self.described = Some(described);
        }
    }
}

fn put(kind: u8, timestamp_ms: u32, body: &Body, sink: &mut dyn Sink) {
    if body.len() <= BODY_LEN_MAX {
        sink.media(kind, timestamp_ms, body.head(), &body.payload);
    }
}

fn millis(ticks: i64, timescale: Timescale) -> i64 {
    rescale(ticks, timescale, Timescale::MILLIS)
}
