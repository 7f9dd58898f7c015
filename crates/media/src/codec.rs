//! Codecs and their configurations: what a decoder must know before the first frame.

use bytes::Bytes;

mod aac;
mod bits;
mod h264;

pub use aac::{AacConfig, AacError};
pub use h264::{FrameRate, H264Config, H264Error, NalKind, ParameterSets, nal_kinds};

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
}

impl Codec {
    /// Audio or video.
    pub fn kind(self) -> MediaKind {
        match self {
            Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp8 | Codec::Vp9 => MediaKind::Video,
            Codec::Aac | Codec::Opus | Codec::Mp3 => MediaKind::Audio,
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
        }
    }
}

/// Codec configuration as a decoder and a container need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecConfig {
    /// AVCDecoderConfigurationRecord and what its SPS says.
    H264(H264Config),
    /// AudioSpecificConfig and what it says.
    Aac(AacConfig),
    /// Channels and pre-skip of RFC 7845 §5.1; the clock is always 48 kHz.
    Opus {
        /// Output channels.
        channels: u8,
        /// Samples at 48 kHz to discard at the start.
        pre_skip: u16,
    },
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
            CodecConfig::Aac(_) => Codec::Aac,
            CodecConfig::Opus { .. } => Codec::Opus,
            CodecConfig::Mp3 { .. } => Codec::Mp3,
            CodecConfig::Opaque { codec, .. } => *codec,
        }
    }

    /// The `CODECS` attribute value (RFC 6381), if one can be told.
    pub fn rfc6381(&self) -> Option<String> {
        match self {
            CodecConfig::H264(config) => Some(config.rfc6381()),
            CodecConfig::Aac(config) => Some(config.rfc6381()),
            CodecConfig::Opus { .. } => Some("opus".into()),
            // MP4RA: object type 0x6B is MPEG-1 audio; 0x34 of MPEG-4 Audio is layer 3. hls.js and Safari know the latter.
            CodecConfig::Mp3 { .. } => Some("mp4a.40.34".into()),
            CodecConfig::Opaque { .. } => None,
        }
    }
}
