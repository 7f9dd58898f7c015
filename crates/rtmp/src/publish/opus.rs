//! Opus: an identification header, which may be left out, and one packet in each message.

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::CodecConfig;
use telstar_media::codec::{OpusConfig, opus_channels, opus_duration};

use super::decoder::{Configured, Sound, SoundCodec};
use super::output::{Outputs, TrackNumber, WarningKind};

/// The state of one Opus track.
#[derive(Default)]
pub(super) struct OpusTrack {
    current: Option<Sound>,
    /// What the encoder says apart from a header.
    channels: Option<u8>,
}

impl OpusTrack {
    fn change(&mut self, opus: OpusConfig, outputs: &mut Outputs) -> Option<Arc<CodecConfig>> {
        let config = CodecConfig::Opus(opus);
        let known = self.current.as_ref().is_some_and(|sound| *sound.config() == config);
        (!known).then(|| Sound::change(&mut self.current, config, outputs))
    }
}

impl SoundCodec for OpusTrack {
    fn configure(&mut self, record: &Bytes, outputs: &mut Outputs) -> Configured {
        if record.is_empty() {
            return Ok(None);
        }
        let opus = OpusConfig::parse(record).map_err(|error| error.to_string())?;
        Ok(self.change(opus, outputs))
    }

    /// Enhanced RTMP v2, "Enhanced Audio": without a header the channels are those of the multichannel configuration,
    /// or mono or stereo, as the packet says.
    fn configure_in_band(&mut self, payload: &[u8], outputs: &mut Outputs) -> Option<Arc<CodecConfig>> {
        if self.current.is_some() {
            return None;
        }
        let surround = self.channels.and_then(OpusConfig::surround);
        self.change(surround.unwrap_or(OpusConfig::plain(opus_channels(payload)?, 0)), outputs)
    }

    fn describe_channels(&mut self, channels: u8) {
        self.channels = Some(channels);
    }

    fn frames(&mut self, track: TrackNumber, wire_ms: i64, payload: Bytes, outputs: &mut Outputs) {
        let Some(sound) = &mut self.current else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        match opus_duration(&payload) {
            0 => outputs.drop_frame(WarningKind::MalformedFrame),
            duration => sound.frame(track, wire_ms, duration, payload, outputs),
        }
    }

    fn sound(&mut self) -> Option<&mut Sound> {
        self.current.as_mut()
    }
}
