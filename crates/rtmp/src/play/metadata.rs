//! `onMetaData` for players: what is known of the picture and the sound.

use std::sync::Arc;

use bytes::BytesMut;
use telstar_media::CodecConfig;

use super::body::Wire;
use crate::amf::{self, Value};

/// What is told of one track.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) wire: Wire,
    pub(super) sample_rate: u32,
    pub(super) config: Option<Arc<CodecConfig>>,
}

/// The body of the data message.
pub(super) fn on_metadata(video: Option<&Described>, audio: Option<&Described>) -> BytesMut {
    let mut fields: Vec<(String, Value)> = Vec::new();
    let mut put = |name: &str, value: Value| fields.push((name.to_owned(), value));
    // ffmpeg reads the tracks there are from these two names, and plays nothing of others until it has looked for long.
    if let Some(video) = video {
        put("videocodecid", video.wire.metadata_id().into());
        let size = video.config.as_deref().and_then(CodecConfig::picture_size);
        if let Some((width, height)) = size {
            put("width", f64::from(width).into());
            put("height", f64::from(height).into());
        }
        if let Some(rate) = video.config.as_deref().and_then(frame_rate_of) {
            put("framerate", rate.into());
        }
    }
    if let Some(audio) = audio {
        put("audiocodecid", audio.wire.metadata_id().into());
        put("audiosamplerate", f64::from(audio.sample_rate).into());
        if let Some(channels) = audio.config.as_deref().and_then(CodecConfig::channels) {
            put("audiochannels", f64::from(channels).into());
            put("stereo", Value::Boolean(channels > 1));
        }
    }
    put("server", concat!("Telstar ", env!("CARGO_PKG_VERSION")).into());
    let mut out = BytesMut::new();
    amf::encode(&"onMetaData".into(), &mut out);
    amf::encode_ecma_array(&fields, &mut out);
    out
}

fn frame_rate_of(config: &CodecConfig) -> Option<f64> {
    let rate = match config {
        CodecConfig::H264(h264) => h264.frame_rate,
        CodecConfig::H265(h265) => h265.frame_rate,
        CodecConfig::Av1(av1) => av1.frame_rate,
        _ => None,
    };
    rate.map(|rate| rate.fps()).filter(|fps| fps.is_finite())
}
