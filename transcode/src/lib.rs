//! What the server and its FFmpeg worker say to each other.
//!
//! In flow bytes of the socket between them, out flow messages, and the other way round. This crate knows no process, no
//! socket and no codec library.

use telstar_media::Codec;

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
    /// The codec of what comes out.
    pub fn codec(self) -> Codec {
        match self {
            Target::Opus => Codec::Opus,
            Target::Aac => Codec::Aac,
            Target::H264 => Codec::H264,
            Target::Vp8 => Codec::Vp8,
        }
    }
}
