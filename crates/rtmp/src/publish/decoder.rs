//! What turns the bodies of one codec into frames: a table of codecs, and what they have in common.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::codec::Colour;
use telstar_media::{CodecConfig, Frame};
use telstar_units::Timescale;

use super::aac::AacTrack;
use super::ac3::Ac3Track;
use super::av1::Av1Track;
use super::flac::FlacTrack;
use super::h264::H264Track;
use super::h265::H265Track;
use super::mp3::Mp3Track;
use super::opus::OpusTrack;
use super::output::{Outputs, TrackNumber};
use super::sample_clock::SampleClock;
use super::vp8::Vp8Track;
use super::vp9::Vp9Track;
use crate::flv::CodecTag;

/// What came of a configuration record: a configuration if it is a new one, or why it cannot be read.
pub(super) type Configured = Result<Option<Arc<CodecConfig>>, String>;

/// The decoder of one wire track.
pub(super) enum Decoder {
    Picture(Box<dyn PictureCodec>),
    Sound(Box<dyn SoundCodec>),
    /// Told as a warning when it appeared; its frames are dropped and counted.
    Unsupported,
}

impl Decoder {
    /// Further codecs are further lines here.
    pub(super) fn new(is_video: bool, tag: CodecTag) -> Decoder {
        match (is_video, tag) {
            (true, CodecTag::AVC) => Decoder::Picture(Box::<H264Track>::default()),
            (true, CodecTag::HEVC) => Decoder::Picture(Box::<H265Track>::default()),
            (true, CodecTag::AV1) => Decoder::Picture(Box::<Av1Track>::default()),
            (true, CodecTag::VP9) => Decoder::Picture(Box::<Vp9Track>::default()),
            (true, CodecTag::VP8) => Decoder::Picture(Box::<Vp8Track>::default()),
            (false, CodecTag::AAC) => Decoder::Sound(Box::<AacTrack>::default()),
            (false, CodecTag::MP3) => Decoder::Sound(Box::<Mp3Track>::default()),
            (false, CodecTag::OPUS) => Decoder::Sound(Box::<OpusTrack>::default()),
            (false, CodecTag::FLAC) => Decoder::Sound(Box::<FlacTrack>::default()),
            (false, CodecTag::AC3 | CodecTag::EAC3) => Decoder::Sound(Box::<Ac3Track>::default()),
            _ => Decoder::Unsupported,
        }
    }
}

/// One access unit of pictures on its way to a frame.
pub(super) struct Picture {
    pub(super) wire_ms: i64,
    pub(super) nanos: u32,
    pub(super) composition_ms: i32,
    /// What the FLV header claims.
    pub(super) key: bool,
    pub(super) payload: Bytes,
}

/// A codec of pictures.
pub(super) trait PictureCodec: Send + Sync {
    /// A configuration record. An empty one says nothing (some encoders send it).
    fn configure(&mut self, record: &Bytes) -> Configured;

    /// A configuration as an MPEG-2 TS descriptor.
    fn configure_ts(&mut self, _descriptor: &Bytes) -> Configured {
        Err("a configuration as an MPEG-2 TS descriptor is known for AV1 only".into())
    }

    /// The configuration that an access unit carries, if it is a new one.
    fn configure_in_band(&mut self, payload: &Bytes) -> Option<Arc<CodecConfig>>;

    /// Colour as metadata describes it, or no longer does. Passed over where it changes too often.
    fn describe_colour(&mut self, colour: Option<Colour>, now: Instant, outputs: &mut Outputs);

    /// An access unit.
    fn frame(&mut self, track: TrackNumber, picture: Picture, outputs: &mut Outputs);
}

/// A codec of sound.
pub(super) trait SoundCodec: Send + Sync {
    /// A configuration record. An empty one says nothing (some encoders send it). What waits on a clock that ends goes to
    /// `outputs`, before the track that follows.
    fn configure(&mut self, record: &Bytes, outputs: &mut Outputs) -> Configured;

    /// The configuration that an access unit carries, if it is a new one.
    fn configure_in_band(&mut self, _payload: &[u8], _outputs: &mut Outputs) -> Option<Arc<CodecConfig>> {
        None
    }

    /// How many channels the encoder says that there are. Records say it themselves, except Opus' when it is left out.
    fn describe_channels(&mut self, _channels: u8) {}

    /// One access unit, or several in a row.
    fn frames(&mut self, track: TrackNumber, wire_ms: i64, payload: Bytes, outputs: &mut Outputs);

    /// What is in force, once there is a configuration.
    fn sound(&mut self) -> Option<&mut Sound>;

    /// Passes on what waits for a later frame.
    fn flush(&mut self, outputs: &mut Outputs) {
        if let Some(sound) = self.sound() {
            sound.clock.flush(outputs);
        }
    }
}

/// The configuration of a picture codec in force: what the stream says, and the colour that metadata adds to it.
#[derive(Default)]
pub(super) struct InForce {
    own: Option<CodecConfig>,
    colour: Option<Colour>,
    config: Option<Arc<CodecConfig>>,
}

impl InForce {
    /// What the stream says, without what metadata adds.
    pub(super) fn own(&self) -> Option<&CodecConfig> {
        self.own.as_ref()
    }

    /// What frames are given.
    pub(super) fn config(&self) -> Option<Arc<CodecConfig>> {
        self.config.clone()
    }

    /// The stream has a new configuration.
    pub(super) fn set(&mut self, own: CodecConfig) -> Arc<CodecConfig> {
        let described = self.colour.and_then(|colour| own.with_colour(colour));
        let config = Arc::new(described.unwrap_or_else(|| own.clone()));
        self.own = Some(own);
        self.config = Some(config.clone());
        config
    }

    /// Metadata describes the colour, from the next frame on.
    pub(super) fn describe_colour(&mut self, colour: Option<Colour>, now: Instant, outputs: &mut Outputs) {
        if self.colour != colour && outputs.may_reconfigure(now) {
            self.colour = colour;
            if let Some(own) = self.own.take() {
                self.set(own);
            }
        }
    }
}

/// The configuration of a sound codec in force, and its clock, which goes on over changes that keep the sample rate.
pub(super) struct Sound {
    config: Arc<CodecConfig>,
    timescale: Timescale,
    clock: SampleClock,
}

impl Sound {
    /// The stream has a new configuration. With another sample rate the clock ends, and what waits on it goes out at its
    /// times.
    pub(super) fn change(current: &mut Option<Sound>, config: CodecConfig, outputs: &mut Outputs) -> Arc<CodecConfig> {
        let timescale = timescale_of(&config);
        let config = Arc::new(config);
        let clock = match current.take() {
            Some(before) if before.timescale == timescale => before.clock,
            before => {
                if let Some(mut before) = before {
                    before.clock.flush(outputs);
                }
                SampleClock::new(timescale)
            }
        };
        *current = Some(Sound { config: config.clone(), timescale, clock });
        config
    }

    /// What frames are given.
    pub(super) fn config(&self) -> &CodecConfig {
        &self.config
    }

    /// One access unit of `duration` samples.
    pub(super) fn frame(
        &mut self,
        track: TrackNumber,
        wire_ms: i64,
        duration: u32,
        payload: Bytes,
        outputs: &mut Outputs,
    ) {
        let payload = outputs.kept(payload);
        let frame = Frame { config: self.config.clone(), dts: 0, pts: 0, duration, key: true, payload };
        self.clock.frame(track, wire_ms, frame, outputs);
    }
}

/// 90 kHz for pictures, the sample rate for sound.
pub(super) fn timescale_of(config: &CodecConfig) -> Timescale {
    match config.sample_rate() {
        Some(rate) => Timescale::new(rate).expect("configurations with a sample rate of zero are refused"),
        None => Timescale::VIDEO,
    }
}
