//! Media messages to tracks and frames on one timeline: the only module that knows both FLV and the hub's types.
//!
//! In go message bodies with RTMP's millisecond stamps; out come [`Output`]s. Nothing here ends a connection: what
//! cannot be used is dropped, counted and told as a [`Warning`].

mod aac;
mod ac3;
mod av1;
mod color_info;
mod decoder;
mod exp_golomb;
mod flac;
mod h264;
mod h265;
mod mp3;
mod nal_sample;
mod opus;
mod output;
mod sample_clock;
mod timeline;
mod track;
mod video_clock;
mod vp8;
mod vp9;

pub use output::{Output, PublishedFrame, TrackAdded, TrackNumber, Warning, WarningKind};

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use crate::flv::{CodecTag, FlvError, parse_audio, parse_video};
use crate::limits::TRACKS_MAX;
use output::Outputs;
use timeline::{Stamp, Timeline};
use track::{Track, WireTrack};

/// The media side of one publish, from its start to its end.
///
/// After each [`audio`](Self::audio), [`video`](Self::video) and [`finish`](Self::finish), drain [`poll`](Self::poll).
#[derive(Default)]
pub struct Publication {
    timeline: Timeline,
    tracks: BTreeMap<WireTrack, Track>,
    outputs: Outputs,
}

impl Publication {
    /// The body of an audio message.
    pub fn audio(&mut self, now: Instant, timestamp_ms: u32, body: Bytes) {
        self.outputs.begin_message(body.len());
        let result = parse_audio(body, &mut |tag| {
            let stamp = Stamp { now, timestamp_ms, nanos: tag.nano_offset };
            let wire = WireTrack { is_video: false, id: tag.track_id };
            if let Some(track) = select(&mut self.tracks, &mut self.outputs, wire, tag.codec) {
                track.audio(stamp, tag.packet, &mut self.timeline, &mut self.outputs);
            }
        });
        self.count_malformed(result);
    }

    /// The body of a video message.
    pub fn video(&mut self, now: Instant, timestamp_ms: u32, body: Bytes) {
        self.outputs.begin_message(body.len());
        let result = parse_video(body, &mut |tag| {
            let stamp = Stamp { now, timestamp_ms, nanos: tag.nano_offset };
            let wire = WireTrack { is_video: true, id: tag.track_id };
            if let Some(track) = select(&mut self.tracks, &mut self.outputs, wire, tag.codec) {
                track.video(stamp, tag.frame, tag.packet, &mut self.timeline, &mut self.outputs);
            }
        });
        self.count_malformed(result);
    }

    /// No more comes: passes on what waits for a later frame.
    pub fn finish(&mut self) {
        self.tracks.values_mut().for_each(|track| track.flush(&mut self.outputs));
    }

    /// What came of the messages, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.poll()
    }

    /// Frames that arrived and could not be used.
    pub fn dropped_frames(&self) -> u64 {
        self.outputs.dropped_frames
    }

    /// Frames passed on.
    pub fn frames(&self) -> u64 {
        self.outputs.frames
    }

    /// A warning about something outside the tracks, in order with the frames.
    pub(crate) fn warn(&mut self, kind: WarningKind) {
        self.outputs.warn(kind);
    }

    fn count_malformed(&mut self, result: Result<(), FlvError>) {
        if let Err(error) = result {
            self.outputs.drop_frame(WarningKind::Malformed(error));
        }
    }
}

/// The wire track, made or changed to `codec` if need be; `None` beyond [`TRACKS_MAX`].
fn select<'a>(
    tracks: &'a mut BTreeMap<WireTrack, Track>,
    outputs: &mut Outputs,
    wire: WireTrack,
    codec: CodecTag,
) -> Option<&'a mut Track> {
    if tracks.len() >= TRACKS_MAX && !tracks.contains_key(&wire) {
        outputs.drop_frame(WarningKind::TooManyTracks);
        return None;
    }
    let track = tracks.entry(wire).or_insert_with(|| Track::new(wire, codec, outputs));
    track.use_codec(codec, outputs);
    Some(track)
}

#[cfg(test)]
mod tests;
