//! The bodies of audio and video messages: FLV tags (Adobe FLV 10.1 §E.4) and Enhanced RTMP v2.
//!
//! A body becomes one [`VideoTag`] or [`AudioTag`] per track in it; payloads are slices of the message. Every packet
//! type of Enhanced RTMP is told apart here; which codecs are taken is decided where frames are made.

mod audio;
mod enhanced;
mod video;

pub use audio::{AudioPacket, AudioTag, multichannel_channels, parse_audio};
pub use video::{FrameKind, VideoPacket, VideoTag, parse_video};

use std::fmt;

use bytes::Bytes;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// The body ends inside a field.
    #[error("the media message is truncated")]
    Truncated,
    /// A packet type that neither FLV nor Enhanced RTMP v2 defines.
    #[error("media packet type {0} is not known")]
    PacketType(u8),
    /// A multitrack type that Enhanced RTMP v2 does not define.
    #[error("multitrack type {0} is not known")]
    MultitrackType(u8),
    /// A channel order that Enhanced RTMP v2 does not define.
    #[error("channel order {0} is not known")]
    ChannelOrder(u8),
}

/// A codec as the wire names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CodecTag {
    /// FLV's 4-bit CodecID of video.
    FlvVideo(u8),
    /// FLV's 4-bit SoundFormat.
    FlvAudio(u8),
    /// Enhanced RTMP's FourCC.
    FourCc([u8; 4]),
}

impl CodecTag {
    /// H.264, as Enhanced RTMP names it.
    pub const AVC: CodecTag = CodecTag::FourCc(*b"avc1");
    /// AAC, as Enhanced RTMP names it.
    pub const AAC: CodecTag = CodecTag::FourCc(*b"mp4a");
    /// MP3, as Enhanced RTMP names it.
    pub const MP3: CodecTag = CodecTag::FourCc(*b".mp3");
    /// HEVC.
    pub const HEVC: CodecTag = CodecTag::FourCc(*b"hvc1");
    /// AV1.
    pub const AV1: CodecTag = CodecTag::FourCc(*b"av01");
    /// VP8.
    pub const VP8: CodecTag = CodecTag::FourCc(*b"vp08");
    /// VP9.
    pub const VP9: CodecTag = CodecTag::FourCc(*b"vp09");
    /// Opus.
    pub const OPUS: CodecTag = CodecTag::FourCc(*b"Opus");
    /// FLAC.
    pub const FLAC: CodecTag = CodecTag::FourCc(*b"fLaC");
    /// AC-3.
    pub const AC3: CodecTag = CodecTag::FourCc(*b"ac-3");
    /// E-AC-3.
    pub const EAC3: CodecTag = CodecTag::FourCc(*b"ec-3");

    /// The name people know the codec by.
    pub fn name(self) -> &'static str {
        match self {
            CodecTag::FlvVideo(2) => "Sorenson H.263",
            CodecTag::FlvVideo(3 | 6) => "Screen video",
            CodecTag::FlvVideo(4 | 5) => "VP6",
            CodecTag::FlvVideo(7) => "H.264",
            CodecTag::FlvVideo(12) => "HEVC",
            CodecTag::FlvAudio(0 | 3) => "PCM",
            CodecTag::FlvAudio(1) => "ADPCM",
            CodecTag::FlvAudio(2 | 14) => "MP3",
            CodecTag::FlvAudio(4..=6) => "Nellymoser",
            CodecTag::FlvAudio(7 | 8) => "G.711",
            CodecTag::FlvAudio(10) => "AAC",
            CodecTag::FlvAudio(11) => "Speex",
            CodecTag::FourCc(four_cc) => match &four_cc {
                b"avc1" => "H.264",
                b"hvc1" => "HEVC",
                b"vvc1" => "VVC",
                b"av01" => "AV1",
                b"vp08" => "VP8",
                b"vp09" => "VP9",
                b"mp4a" => "AAC",
                b".mp3" => "MP3",
                b"Opus" => "Opus",
                b"fLaC" => "FLAC",
                b"ac-3" => "AC-3",
                b"ec-3" => "E-AC-3",
                _ => "unknown",
            },
            CodecTag::FlvVideo(_) | CodecTag::FlvAudio(_) => "unknown",
        }
    }

    /// The one tag of a codec that FLV and Enhanced RTMP name differently.
    fn normalised(self) -> CodecTag {
        match self {
            CodecTag::FlvVideo(7) => CodecTag::AVC,
            // Not in FLV, but what several Chinese encoders and servers use, in H.264's form.
            CodecTag::FlvVideo(12) => CodecTag::HEVC,
            CodecTag::FlvAudio(10) => CodecTag::AAC,
            CodecTag::FlvAudio(2 | 14) => CodecTag::MP3,
            other => other,
        }
    }
}

/// `HEVC (hvc1)`, `Speex (11)`.
impl fmt::Display for CodecTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecTag::FlvVideo(id) | CodecTag::FlvAudio(id) => write!(formatter, "{} ({id})", self.name()),
            CodecTag::FourCc(four_cc) => write!(formatter, "{} ({})", self.name(), four_cc.escape_ascii()),
        }
    }
}

impl fmt::Debug for CodecTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Takes `len` bytes from the front of `body` without copying them.
fn take(body: &mut Bytes, len: usize) -> Result<Bytes, FlvError> {
    if body.len() < len {
        return Err(FlvError::Truncated);
    }
    Ok(body.split_to(len))
}

fn take_u8(body: &mut Bytes) -> Result<u8, FlvError> {
    Ok(take(body, 1)?[0])
}

fn take_u24(body: &mut Bytes) -> Result<u32, FlvError> {
    let bytes = take(body, 3)?;
    Ok(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
}

/// SI24: sign-extended to 32 bits.
fn take_i24(body: &mut Bytes) -> Result<i32, FlvError> {
    Ok((take_u24(body)? << 8) as i32 >> 8)
}

#[cfg(test)]
mod tests;
