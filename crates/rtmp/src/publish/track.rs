//! One track of the wire: its codec, its configuration, its number in the hub.

use std::time::Instant;

use telstar_media::{Codec, KeyframeMode};
use telstar_units::Timescale;

use super::color_info::colour_of;
use super::decoder::{Configured, Decoder, Picture, timescale_of};
use super::output::{Outputs, TrackAdded, TrackNumber, WarningKind};
use super::timeline::{Stamp, Timeline, TrackTime};
use crate::flv::{AudioPacket, CodecTag, FrameKind, VideoPacket, multichannel_channels};

/// How the wire tells tracks apart: medium and Enhanced RTMP's track id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WireTrack {
    pub(super) is_video: bool,
    pub(super) id: u8,
}

/// A wire track in its current codec.
pub(super) struct Track {
    wire: WireTrack,
    tag: CodecTag,
    decoder: Decoder,
    time: TrackTime,
    /// Set once the track has a configuration.
    current: Option<Current>,
    /// Whether that is this decoder's.
    is_current: bool,
    /// The decoder that it is of, while the encoder tries another codec: what comes back to it goes on with its clock.
    parked: Option<(CodecTag, Decoder)>,
}

/// What a hub track is fixed to.
#[derive(Clone, Copy)]
struct Current {
    number: TrackNumber,
    codec: Codec,
    timescale: Timescale,
}

impl Track {
    pub(super) fn new(wire: WireTrack, tag: CodecTag, outputs: &mut Outputs) -> Track {
        let decoder = new_decoder(wire, tag, outputs);
        Track { wire, tag, decoder, time: TrackTime::default(), current: None, is_current: false, parked: None }
    }

    /// Changes the codec if the encoder did.
    pub(super) fn use_codec(&mut self, tag: CodecTag, outputs: &mut Outputs) {
        if self.tag == tag {
            return;
        }
        self.flush(outputs);
        let parked = self.parked.take_if(|(parked, _)| *parked == tag);
        let is_current = parked.is_some();
        let decoder = parked.map_or_else(|| new_decoder(self.wire, tag, outputs), |(_, decoder)| decoder);
        let left = (std::mem::replace(&mut self.tag, tag), std::mem::replace(&mut self.decoder, decoder));
        if std::mem::replace(&mut self.is_current, is_current) {
            self.parked = Some(left);
        }
    }

    /// Passes on what waits for a later frame.
    pub(super) fn flush(&mut self, outputs: &mut Outputs) {
        if let Decoder::Sound(sound) = &mut self.decoder {
            sound.flush(outputs);
        }
    }

    pub(super) fn audio(&mut self, stamp: Stamp, packet: AudioPacket, timeline: &mut Timeline, outputs: &mut Outputs) {
        let Decoder::Sound(sound) = &mut self.decoder else {
            return drop_unsupported(matches!(packet, AudioPacket::Frame(_)), outputs);
        };
        match packet {
            AudioPacket::SequenceStart(record) => {
                let result = sound.configure(&record, outputs);
                self.configured(stamp.now, result, outputs);
            }
            AudioPacket::MultichannelConfig(body) => match multichannel_channels(body) {
                Ok(channels) => sound.describe_channels(channels),
                Err(error) => outputs.warn(WarningKind::Malformed(error)),
            },
            AudioPacket::Frame(payload) => {
                let result = Ok(sound.configure_in_band(&payload, outputs));
                self.configured(stamp.now, result, outputs);
                let Some(number) = self.number_of_frame(outputs) else { return };
                let Some(wire_ms) = timeline.map(&mut self.time, stamp, outputs) else { return };
                if let Decoder::Sound(sound) = &mut self.decoder {
                    sound.frames(number, wire_ms, payload, outputs);
                }
            }
            // What follows begins with a configuration of its own.
            AudioPacket::SequenceEnd => {}
        }
    }

    pub(super) fn video(
        &mut self,
        stamp: Stamp,
        frame: FrameKind,
        packet: VideoPacket,
        timeline: &mut Timeline,
        outputs: &mut Outputs,
    ) {
        let Decoder::Picture(codec) = &mut self.decoder else {
            return drop_unsupported(matches!(packet, VideoPacket::Frame { .. } | VideoPacket::Unknown(_)), outputs);
        };
        match packet {
            VideoPacket::SequenceStart(record) => {
                let result = codec.configure(&record);
                self.configured(stamp.now, result, outputs);
            }
            VideoPacket::Mpeg2TsSequenceStart(descriptor) => {
                let result = codec.configure_ts(&descriptor);
                self.configured(stamp.now, result, outputs);
            }
            VideoPacket::Metadata(body) => {
                if let Some(colour) = colour_of(&body) {
                    codec.describe_colour(colour, stamp.now, outputs);
                }
            }
            VideoPacket::Frame { composition_ms, payload } => {
                let result = Ok(codec.configure_in_band(&payload));
                self.configured(stamp.now, result, outputs);
                let Some(number) = self.number_of_frame(outputs) else { return };
                let Some(wire_ms) = timeline.map(&mut self.time, stamp, outputs) else { return };
                let key = frame == FrameKind::Key;
                let picture = Picture { wire_ms, nanos: stamp.nanos, composition_ms, key, payload };
                if let Decoder::Picture(codec) = &mut self.decoder {
                    codec.frame(number, picture, outputs);
                }
            }
            VideoPacket::Unknown(_) => drop_unsupported(true, outputs),
            // What follows begins with a configuration of its own.
            VideoPacket::SequenceEnd => {}
        }
    }

    /// The hub track of a frame; without one the frame is counted as dropped. Frames without a track do not touch
    /// the timeline: nothing is known of them.
    fn number_of_frame(&self, outputs: &mut Outputs) -> Option<TrackNumber> {
        match (&self.decoder, self.current.filter(|_| self.is_current)) {
            (Decoder::Unsupported, _) => drop_unsupported(true, outputs),
            (_, Some(current)) => return Some(current.number),
            (_, None) => outputs.drop_frame(WarningKind::NoConfiguration),
        }
        None
    }

    /// A configuration that came with a record or in-band. A change of codec or clock is another track; a change
    /// within both is told by the frames alone.
    fn configured(&mut self, now: Instant, result: Configured, outputs: &mut Outputs) {
        let config = match result {
            Ok(Some(config)) => config,
            Ok(None) => return,
            Err(error) => return outputs.warn(WarningKind::BadConfiguration(error)),
        };
        let (codec, timescale) = (config.codec(), timescale_of(&config));
        if let Some(current) = self.current {
            let is_same = self.is_current && current.codec == codec && current.timescale == timescale;
            if !outputs.may_reconfigure(now) || !is_same && !outputs.may_change_track() {
                self.flush(outputs);
                self.decoder = Decoder::Unsupported;
                return outputs.warn(WarningKind::TooManyTracks);
            }
            if is_same {
                return;
            }
        }
        (self.is_current, self.parked) = (true, None);
        let number = outputs.next_number();
        let replaces = self.current.replace(Current { number, codec, timescale }).map(|previous| previous.number);
        let keyframes = if self.wire.is_video { KeyframeMode::Periodic } else { KeyframeMode::None };
        let wire_id = self.wire.id;
        outputs.add_track(TrackAdded { track: number, wire_id, replaces, codec, timescale, keyframes, config });
    }
}

fn new_decoder(wire: WireTrack, tag: CodecTag, outputs: &mut Outputs) -> Decoder {
    let decoder = Decoder::new(wire.is_video, tag);
    if matches!(decoder, Decoder::Unsupported) {
        outputs.warn_codec(tag);
    }
    decoder
}

/// The codec was told as unsupported once: its frames are only counted.
fn drop_unsupported(is_frame: bool, outputs: &mut Outputs) {
    outputs.dropped_frames += u64::from(is_frame);
}
