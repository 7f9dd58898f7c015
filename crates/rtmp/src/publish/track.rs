//! One track of the wire: its codec, its configuration, its number in the hub.

use std::sync::Arc;

use telstar_media::{Codec, CodecConfig, KeyframeMode};
use telstar_units::Timescale;

use super::aac::AacTrack;
use super::h264::{H264Track, Picture};
use super::mp3::Mp3Track;
use super::output::{Outputs, TrackAdded, TrackNumber, WarningKind};
use super::timeline::{Stamp, Timeline, TrackTime};
use crate::flv::{AudioPacket, CodecTag, FrameKind, VideoPacket};

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
}

/// What a hub track is fixed to.
#[derive(Clone, Copy)]
struct Current {
    number: TrackNumber,
    codec: Codec,
    timescale: Timescale,
}

/// What turns the bodies of one codec into frames.
enum Decoder {
    H264(H264Track),
    Aac(AacTrack),
    Mp3(Mp3Track),
    /// Told as a warning when it appeared; its frames are dropped and counted.
    Unsupported,
}

impl Track {
    pub(super) fn new(wire: WireTrack, tag: CodecTag, outputs: &mut Outputs) -> Track {
        let decoder = Decoder::new(wire, tag, outputs);
        Track { wire, tag, decoder, time: TrackTime::default(), current: None }
    }

    /// Changes the codec if the encoder did.
    pub(super) fn use_codec(&mut self, tag: CodecTag, outputs: &mut Outputs) {
        if self.tag != tag {
            self.flush(outputs);
            self.tag = tag;
            self.decoder = Decoder::new(self.wire, tag, outputs);
        }
    }

    /// Passes on what waits for a later frame.
    pub(super) fn flush(&mut self, outputs: &mut Outputs) {
        match &mut self.decoder {
            Decoder::Aac(aac) => aac.flush(outputs),
            Decoder::Mp3(mp3) => mp3.flush(outputs),
            Decoder::H264(_) | Decoder::Unsupported => {}
        }
    }

    pub(super) fn audio(&mut self, stamp: Stamp, packet: AudioPacket, timeline: &mut Timeline, outputs: &mut Outputs) {
        match packet {
            AudioPacket::SequenceStart(record) => {
                let result = match &mut self.decoder {
                    Decoder::Aac(aac) => aac.configure(record).map_err(|error| error.to_string()),
                    Decoder::H264(_) | Decoder::Mp3(_) | Decoder::Unsupported => return,
                };
                self.configured(result, outputs);
            }
            AudioPacket::Frame(payload) => {
                if let Decoder::Mp3(mp3) = &mut self.decoder {
                    let config = mp3.configure(&payload);
                    self.configured(Ok(config), outputs);
                }
                let Some(number) = self.number_of_frame(outputs) else { return };
                let Some(wire_ms) = timeline.map(&mut self.time, stamp, outputs) else { return };
                match &mut self.decoder {
                    Decoder::Aac(aac) => aac.frame(number, wire_ms, payload, outputs),
                    Decoder::Mp3(mp3) => mp3.frames(number, wire_ms, payload, outputs),
                    Decoder::H264(_) | Decoder::Unsupported => {}
                }
            }
            AudioPacket::SequenceEnd | AudioPacket::MultichannelConfig(_) => {}
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
        match packet {
            VideoPacket::SequenceStart(record) => {
                let result = match &mut self.decoder {
                    Decoder::H264(h264) => h264.configure(&record).map_err(|error| error.to_string()),
                    Decoder::Aac(_) | Decoder::Mp3(_) | Decoder::Unsupported => return,
                };
                self.configured(result, outputs);
            }
            VideoPacket::Frame { composition_ms, payload } => {
                if let Decoder::H264(h264) = &mut self.decoder {
                    let config = h264.configure_in_band(&payload);
                    self.configured(Ok(config), outputs);
                }
                let Some(number) = self.number_of_frame(outputs) else { return };
                let Some(wire_ms) = timeline.map(&mut self.time, stamp, outputs) else { return };
                let key = frame == FrameKind::Key;
                let picture = Picture { wire_ms, nanos: stamp.nanos, composition_ms, key, payload };
                if let Decoder::H264(h264) = &mut self.decoder {
                    h264.frame(number, picture, outputs);
                }
            }
            VideoPacket::Unknown(_) => {
                self.number_of_frame(outputs);
            }
            VideoPacket::SequenceEnd | VideoPacket::Metadata(_) | VideoPacket::Mpeg2TsSequenceStart(_) => {}
        }
    }

    /// The hub track of a frame; without one the frame is counted as dropped. Frames without a track do not touch
    /// the timeline: nothing is known of them.
    fn number_of_frame(&self, outputs: &mut Outputs) -> Option<TrackNumber> {
        match (&self.decoder, self.current) {
            (Decoder::Unsupported, _) => outputs.dropped_frames += 1,
            (_, Some(current)) => return Some(current.number),
            (_, None) => outputs.drop_frame(WarningKind::NoConfiguration),
        }
        None
    }

    /// A configuration that came with a record or in-band. A change of codec or clock is another track; a change
    /// within both is told by the frames alone.
    fn configured(&mut self, result: Result<Option<Arc<CodecConfig>>, String>, outputs: &mut Outputs) {
        let config = match result {
            Ok(Some(config)) => config,
            Ok(None) => return,
            Err(error) => return outputs.warn(WarningKind::BadConfiguration(error)),
        };
        let (codec, timescale) = (config.codec(), timescale_of(&config));
        if self.current.is_some_and(|current| current.codec == codec && current.timescale == timescale) {
            return;
        }
        if self.current.is_some() && !outputs.may_change_track() {
            self.decoder = Decoder::Unsupported;
            return outputs.warn(WarningKind::TooManyTracks);
        }
        let number = outputs.next_number();
        let replaces = self.current.replace(Current { number, codec, timescale }).map(|previous| previous.number);
        let keyframes = if self.wire.is_video { KeyframeMode::Periodic } else { KeyframeMode::None };
        let wire_id = self.wire.id;
        outputs.add_track(TrackAdded { track: number, wire_id, replaces, codec, timescale, keyframes, config });
    }
}

impl Decoder {
    /// Enhanced RTMP's further codecs are further lines here.
    fn new(wire: WireTrack, tag: CodecTag, outputs: &mut Outputs) -> Decoder {
        match tag {
            CodecTag::AVC if wire.is_video => Decoder::H264(H264Track::default()),
            CodecTag::AAC if !wire.is_video => Decoder::Aac(AacTrack::default()),
            CodecTag::MP3 if !wire.is_video => Decoder::Mp3(Mp3Track::default()),
            _ => {
                outputs.warn_codec(tag);
                Decoder::Unsupported
            }
        }
    }
}

/// 90 kHz for video, the sample rate for audio.
fn timescale_of(config: &CodecConfig) -> Timescale {
    let sample_rate = match config {
        CodecConfig::Aac(aac) => aac.sample_rate,
        CodecConfig::Mp3 { sample_rate, .. } => *sample_rate,
        CodecConfig::H264(_) | CodecConfig::Opus { .. } | CodecConfig::Opaque { .. } => return Timescale::VIDEO,
    };
    Timescale::new(sample_rate).expect("configurations with a sample rate of zero are refused")
}
