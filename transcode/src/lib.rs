//! What the server and its FFmpeg worker say to each other, and when a worker that died is started again.
//!
//! In flow bytes of the socket between them and `now`, out flow messages and what to do. This crate knows no process, no
//! socket and no codec library; both ends are built on it.
//!
//! A conversation: the worker starts, confines itself and says [`Ready`]. The server sends a [`Config`], then frames from
//! a keyframe on; converted frames come back. Another [`Config`] begins anew in the same process. Or it sends a [`Mix`], adds
//! and removes inputs as they come and go, and says what time it is: one picture and one sound come back.

pub mod file;
pub mod ladder;
pub mod map;
mod message;
pub mod plan;
mod record;
mod restart;
mod wire;

pub use message::{
    Config, Failed, FailureKind, FromWorker, Layout, MediaFrame, Mix, MixInput, Preset, Progress, Ready, Sandbox,
    Settings, ToWorker,
};
pub use record::{CodecRecord, RECORD_BYTES_MAX, RecordError};
pub use restart::Restart;
pub use wire::{LOG_BYTES_MAX, MESSAGE_BYTES_MAX, Message, PROTOCOL_VERSION, Reader, WireError, Writer};

use telstar_media::codec::OPUS_SAMPLE_RATE;
use telstar_media::{Codec, MediaKind};
use telstar_units::Timescale;

/// What a track is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Sound for WebRTC.
    Opus,
    /// Sound for HLS.
    Aac,
    /// Pictures without B-frames that every browser but Firefox decodes over WebRTC, and everything over HLS.
    H264,
    /// Pictures for WebRTC without H.264.
    Vp8,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 4] = [Target::Opus, Target::Aac, Target::H264, Target::Vp8];

    /// The codec of what comes out.
    pub fn codec(self) -> Codec {
        match self {
            Target::Opus => Codec::Opus,
            Target::Aac => Codec::Aac,
            Target::H264 => Codec::H264,
            Target::Vp8 => Codec::Vp8,
        }
    }

    /// The clock of what comes out: sound is always made at 48 kHz.
    pub fn timescale(self) -> Timescale {
        match self.codec().kind() {
            MediaKind::Audio => Timescale::new(OPUS_SAMPLE_RATE).expect("48,000 is not zero"),
            MediaKind::Video => Timescale::VIDEO,
        }
    }
}
