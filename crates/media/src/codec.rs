//! Codecs and their configurations: what a decoder must know before the first frame.

use bytes::Bytes;

mod aac;
mod ac3;
pub mod annexb;
mod av1;
mod bits;
mod colour;
mod flac;
mod h264;
mod h265;
mod nal;
mod opus;
mod parameter_sets;
mod vp8;
mod vp9;

pub use aac::{AacConfig, AacError};
pub use ac3::Ac3Config;
pub use av1::{Av1Config, Av1Error, Av1Unit, Obu, ObuKind, obus};
pub(crate) use av1::{leb128, put_leb128};
pub use bits::BitReader;
pub use colour::{Colour, VideoRange};
pub use flac::{FlacConfig, FlacError, flac_frame_samples};
pub use h264::{FrameRate, H264Config, H264Error, NalKind, ParameterSets, h264_parameter_set_id, nal_kinds};
pub use h265::{H265Config, H265Error, H265NalKind, H265ParameterSets, h265_is_skipped_leading, h265_parameter_set_id};
pub use nal::{UnitOverrun, nal_units};
pub use opus::{OPUS_SAMPLE_RATE, OpusConfig, OpusError, OpusMapping, opus_channels, opus_duration};
pub(crate) use parameter_sets::{ParameterSetsById, Repetition};
pub use vp8::Vp8Config;
pub use vp9::{Vp9Config, Vp9Error, Vp9Record};

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// The codecs that can cross the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// ITU-T H.264, AVC.
    H264,
    /// ITU-T H.265, HEVC.
    H265,
    /// AOMedia AV1.
    Av1,
    /// VP8, RFC 6386.
    Vp8,
    /// VP9.
    Vp9,
    /// MPEG-4 AAC.
    Aac,
    /// Opus, RFC 6716.
    Opus,
    /// MPEG-1/2 audio layer III.
    Mp3,
    /// FLAC, RFC 9639.
    Flac,
    /// Dolby Digital, ETSI TS 102 366.
    Ac3,
    /// Dolby Digital Plus, ETSI TS 102 366 Annex E.
    Eac3,
}

impl Codec {
    /// Audio or video.
    pub fn kind(self) -> MediaKind {
        match self {
            Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp8 | Codec::Vp9 => MediaKind::Video,
            Codec::Aac | Codec::Opus | Codec::Mp3 | Codec::Flac | Codec::Ac3 | Codec::Eac3 => MediaKind::Audio,
        }
    }

    /// The name people know it by: for pages, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Codec::H264 => "H.264",
            Codec::H265 => "HEVC",
            Codec::Av1 => "AV1",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::Aac => "AAC",
            Codec::Opus => "Opus",
            Codec::Mp3 => "MP3",
            Codec::Flac => "FLAC",
            Codec::Ac3 => "AC-3",
            Codec::Eac3 => "E-AC-3",
        }
    }
}

/// Codec configuration as a decoder and a container need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecConfig {
    /// AVCDecoderConfigurationRecord and what its SPS says.
    H264(H264Config),
    /// HEVCDecoderConfigurationRecord and what its SPS says.
    H265(H265Config),
    /// AV1CodecConfigurationRecord and what its sequence header says.
    Av1(Av1Config),
    /// What a key frame says; there is no record.
    Vp8(Vp8Config),
    /// VPCodecConfigurationRecord and what a key frame says.
    Vp9(Vp9Config),
    /// AudioSpecificConfig and what it says.
    Aac(AacConfig),
    /// What an identification header says; the clock is always 48 kHz.
    Opus(OpusConfig),
    /// A streaminfo block and what it says.
    Flac(FlacConfig),
    /// AC-3 or E-AC-3, from the first sync frame.
    Ac3(Ac3Config),
    /// From the first frame header.
    Mp3 {
        /// In Hz.
        sample_rate: u32,
        /// 1 or 2.
        channels: u8,
    },
    /// A codec that is carried as packets only, or whose record is not read yet.
    Opaque {
        /// Which one.
        codec: Codec,
        /// Its configuration record, if it has one.
        record: Bytes,
    },
}

impl CodecConfig {
    /// Which codec this configures.
    pub fn codec(&self) -> Codec {
        match self {
            CodecConfig::H264(_) => Codec::H264,
            CodecConfig::H265(_) => Codec::H265,
            CodecConfig::Av1(_) => Codec::Av1,
            CodecConfig::Vp8(_) => Codec::Vp8,
            CodecConfig::Vp9(_) => Codec::Vp9,
            CodecConfig::Aac(_) => Codec::Aac,
            CodecConfig::Opus(_) => Codec::Opus,
            CodecConfig::Flac(_) => Codec::Flac,
            CodecConfig::Ac3(ac3) if ac3.enhanced => Codec::Eac3,
            CodecConfig::Ac3(_) => Codec::Ac3,
            CodecConfig::Mp3 { .. } => Codec::Mp3,
            CodecConfig::Opaque { codec, .. } => *codec,
        }
    }

    /// The `CODECS` attribute value (RFC 6381), if one can be told.
    pub fn rfc6381(&self) -> Option<String> {
        Some(match self {
            CodecConfig::H264(config) => config.rfc6381(),
            CodecConfig::H265(config) => config.rfc6381(),
            CodecConfig::Av1(config) => config.rfc6381(),
            // What browsers know it by; VP8 has no parameters that a decoder would not support.
            CodecConfig::Vp8(_) => "vp8".into(),
            CodecConfig::Vp9(config) => config.rfc6381(),
            CodecConfig::Aac(config) => config.rfc6381(),
            // RFC 6381 §3.3: the sample entry's four characters, whose case counts.
            CodecConfig::Opus(_) => "Opus".into(),
            CodecConfig::Flac(_) => "fLaC".into(),
            CodecConfig::Ac3(ac3) if ac3.enhanced => "ec-3".into(),
            CodecConfig::Ac3(_) => "ac-3".into(),
            // MP4RA: object type 0x6B is MPEG-1 audio; 0x34 of MPEG-4 Audio is layer 3. hls.js and Safari know the latter.
            CodecConfig::Mp3 { .. } => "mp4a.40.34".into(),
            CodecConfig::Opaque { .. } => return None,
        })
    }

    /// Width and height of the picture in pixels, as it is displayed.
    pub fn picture_size(&self) -> Option<(u32, u32)> {
        match self {
            CodecConfig::H264(config) => Some((config.width, config.height)),
            CodecConfig::H265(config) => Some((config.width, config.height)),
            CodecConfig::Av1(config) => Some((config.width, config.height)),
            CodecConfig::Vp8(config) => Some((config.width, config.height)),
            CodecConfig::Vp9(config) => Some((config.width, config.height)),
            _ => None,
        }
    }

    /// Colour of the picture, as far as the stream says.
    pub fn colour(&self) -> Option<Colour> {
        match self {
            CodecConfig::H264(config) => config.colour,
            CodecConfig::H265(config) => config.colour,
            CodecConfig::Av1(config) => Some(config.colour),
            CodecConfig::Vp9(config) => Some(config.record.colour),
            _ => None,
        }
    }

    /// The same with `colour` where the stream itself says nothing of it. `None` when that changes nothing.
    pub fn with_colour(&self, colour: Colour) -> Option<CodecConfig> {
        let own = self.colour();
        let known = own.map_or(colour, |own| own.or(colour));
        let mut config = self.clone();
        match &mut config {
            CodecConfig::H264(config) => config.colour = Some(known),
            CodecConfig::H265(config) => config.colour = Some(known),
            CodecConfig::Av1(config) => config.colour = known,
            CodecConfig::Vp9(config) => config.record.colour = known,
            _ => return None,
        }
        (own != Some(known)).then_some(config)
    }

    /// Samples of sound per second. Opus always has 48,000.
    pub fn sample_rate(&self) -> Option<u32> {
        match self {
            CodecConfig::Aac(config) => Some(config.sample_rate),
            CodecConfig::Opus(_) => Some(OPUS_SAMPLE_RATE),
            CodecConfig::Flac(config) => Some(config.sample_rate),
            CodecConfig::Ac3(config) => Some(config.sample_rate),
            CodecConfig::Mp3 { sample_rate, .. } => Some(*sample_rate),
            _ => None,
        }
    }

    /// Output channels of the sound.
    pub fn channels(&self) -> Option<u8> {
        match self {
            CodecConfig::Aac(config) => Some(config.channels),
            CodecConfig::Opus(config) => Some(config.channels),
            CodecConfig::Flac(config) => Some(config.channels),
            CodecConfig::Ac3(config) => Some(config.channels),
            CodecConfig::Mp3 { channels, .. } => Some(*channels),
            _ => None,
        }
    }
}
