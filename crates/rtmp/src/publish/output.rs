//! What comes out of a publication, and the gate that keeps a flood of bad messages from becoming a flood of warnings.

use std::collections::VecDeque;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode};
use telstar_units::Timescale;

use crate::flv::{CodecTag, FlvError};
use crate::limits::{
    CONFIGURATION_CHANGE_INTERVAL, CONFIGURATION_CHANGES_MAX, MESSAGE_FRAMES_MAX, TRACK_CHANGES_MAX, TRACKS_MAX,
};

/// What may be kept alive of a message beside its frame, and as much again as the frame. Delimiters and parameter sets fit.
/// Higher: more than is counted is held; lower: frames are copied for a few bytes. Guess.
const MESSAGE_REST_BYTES_MAX: usize = 1_024;

/// A track of one publish, in the order in which they appeared. Never reused within a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackNumber(pub u32);

/// One effect of a media message.
#[derive(Clone, Debug)]
pub enum Output {
    /// A track has its first configuration. Its frames follow.
    TrackAdded(TrackAdded),
    /// An access unit.
    Frame(PublishedFrame),
    /// The source's clock jumped here: what follows is another stretch of time, though its times go on without the jump.
    ClockRestarted,
    /// Something the person at the encoder should know.
    Warning(Warning),
}

/// A new track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackAdded {
    /// Its number.
    pub track: TrackNumber,
    /// Enhanced RTMP's track id; 0 for the main one.
    pub wire_id: u8,
    /// The track that ends with this one, because the encoder changed codec or clock.
    pub replaces: Option<TrackNumber>,
    /// Its codec.
    pub codec: Codec,
    /// Its clock.
    pub timescale: Timescale,
    /// RTMP encoders cannot be asked for keyframes.
    pub keyframes: KeyframeMode,
    /// Its first configuration.
    pub config: Arc<CodecConfig>,
}

/// An access unit of a track.
#[derive(Clone, Debug)]
pub struct PublishedFrame {
    /// Which track.
    pub track: TrackNumber,
    /// The frame.
    pub frame: Frame,
}

/// Something that went wrong without ending the stream. Told the first, second, fourth, eighth ... time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What.
    pub kind: WarningKind,
    /// How often it has happened in this publish.
    pub count: u64,
}

/// What a [`Warning`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// The audio's stamps left its sample count by more than 50 ms: sound is missing (or ahead, when negative).
    AudioGap {
        /// How much.
        ms: i64,
    },
    /// Stamps jumped; the timeline continues without the jump.
    TimestampJump {
        /// How far.
        ms: i64,
    },
    /// A frame's decode time was not after the previous one's and was moved by the least possible.
    TimestampOrder,
    /// Audio that overlaps what was already passed on was dropped.
    AudioOverlap,
    /// A codec that is not taken; its track is dropped.
    CodecUnsupported(CodecTag),
    /// A configuration record that cannot be read; the previous one stays.
    BadConfiguration(String),
    /// A media message that cannot be read.
    Malformed(FlvError),
    /// A coded frame that cannot be read.
    MalformedFrame,
    /// A frame before the track's configuration.
    NoConfiguration,
    /// More tracks, or more changes of tracks or of their configuration, than allowed.
    TooManyTracks,
    /// The encoder began a message and replaced it by another.
    AbandonedMessage,
    /// Metadata that cannot be read to its end.
    BadMetadata,
}

/// Queue, counters and the gate.
#[derive(Default)]
pub(super) struct Outputs {
    queue: VecDeque<Output>,
    warned: Vec<(Discriminant<WarningKind>, u64)>,
    codecs_warned: Vec<CodecTag>,
    next_number: u32,
    track_changes: u32,
    /// When as many changes of configuration are forgiven as there were.
    settled_at: Option<Instant>,
    message_bytes: usize,
    message_frames: usize,
    pub(super) frames: u64,
    pub(super) dropped_frames: u64,
}

impl Outputs {
    pub(super) fn poll(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(super) fn next_number(&mut self) -> TrackNumber {
        let number = TrackNumber(self.next_number);
        self.next_number += 1;
        number
    }

    pub(super) fn add_track(&mut self, added: TrackAdded) {
        self.queue.push_back(Output::TrackAdded(added));
    }

    /// Counts a track that becomes another one; false beyond [`TRACK_CHANGES_MAX`].
    pub(super) fn may_change_track(&mut self) -> bool {
        self.track_changes += 1;
        self.track_changes <= TRACK_CHANGES_MAX
    }

    /// Counts a change of configuration; false beyond [`CONFIGURATION_CHANGES_MAX`].
    pub(super) fn may_reconfigure(&mut self, now: Instant) -> bool {
        let settled_at = self.settled_at.map_or(now, |at| at.max(now)) + CONFIGURATION_CHANGE_INTERVAL;
        let may = settled_at - now <= CONFIGURATION_CHANGE_INTERVAL * CONFIGURATION_CHANGES_MAX;
        if may {
            self.settled_at = Some(settled_at);
        }
        may
    }

    pub(super) fn restart_clock(&mut self) {
        self.queue.push_back(Output::ClockRestarted);
    }

    /// What follows comes from a message of so many bytes.
    pub(super) fn begin_message(&mut self, bytes: usize) {
        (self.message_bytes, self.message_frames) = (bytes, 0);
    }

    /// A payload as it may be kept. It is a slice of its message, which it keeps alive, and everybody who keeps frames
    /// counts their own bytes only: a payload that is a small part of its message is copied out of it.
    pub(super) fn kept(&self, payload: Bytes) -> Bytes {
        let is_part = payload.len() * 2 + MESSAGE_REST_BYTES_MAX < self.message_bytes;
        if is_part { Bytes::copy_from_slice(&payload) } else { payload }
    }

    pub(super) fn add_frame(&mut self, track: TrackNumber, frame: Frame) {
        self.message_frames += 1;
        if self.message_frames > MESSAGE_FRAMES_MAX {
            return self.drop_frame(WarningKind::MalformedFrame);
        }
        self.frames += 1;
        self.queue.push_back(Output::Frame(PublishedFrame { track, frame }));
    }

    /// Counts a frame that could not be used, and why.
    pub(super) fn drop_frame(&mut self, kind: WarningKind) {
        self.dropped_frames += 1;
        self.warn(kind);
    }

    pub(super) fn warn(&mut self, kind: WarningKind) {
        let id = discriminant(&kind);
        let index = self.warned.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
            self.warned.push((id, 0));
            self.warned.len() - 1
        });
        let count = &mut self.warned[index].1;
        *count += 1;
        if count.is_power_of_two() {
            self.queue.push_back(Output::Warning(Warning { kind, count: *count }));
        }
    }

    /// Told once for each codec: an encoder may send sound and picture in different unsupported ones.
    pub(super) fn warn_codec(&mut self, tag: CodecTag) {
        if !self.codecs_warned.contains(&tag) && self.codecs_warned.len() < TRACKS_MAX {
            self.codecs_warned.push(tag);
            self.queue.push_back(Output::Warning(Warning { kind: WarningKind::CodecUnsupported(tag), count: 1 }));
        }
    }
}
