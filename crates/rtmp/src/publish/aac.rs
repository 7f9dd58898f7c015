//! AAC: AudioSpecificConfig and raw frames.

use bytes::Bytes;
use telstar_media::CodecConfig;
use telstar_media::codec::AacConfig;

use super::decoder::{Configured, Sound, SoundCodec};
use super::output::{Outputs, TrackNumber, WarningKind};

/// The state of one AAC track.
#[derive(Default)]
pub(super) struct AacTrack {
    current: Option<Sound>,
}

impl AacTrack {
    fn config(&self) -> Option<&AacConfig> {
        match self.current.as_ref()?.config() {
            CodecConfig::Aac(aac) => Some(aac),
            _ => None,
        }
    }
}

impl SoundCodec for AacTrack {
    fn configure(&mut self, record: &Bytes, outputs: &mut Outputs) -> Configured {
        if record.is_empty() || self.config().is_some_and(|aac| aac.asc == *record) {
            return Ok(None);
        }
        // The record is a slice of its message, which it would keep alive; it is small.
        let aac = AacConfig::parse(Bytes::copy_from_slice(record)).map_err(|error| error.to_string())?;
        Ok(Some(Sound::change(&mut self.current, CodecConfig::Aac(aac), outputs)))
    }

    fn frames(&mut self, track: TrackNumber, wire_ms: i64, payload: Bytes, outputs: &mut Outputs) {
        let duration = self.config().map(|aac| aac.frame_samples);
        let (Some(duration), Some(sound)) = (duration, &mut self.current) else {
            return outputs.drop_frame(WarningKind::NoConfiguration);
        };
        if payload.is_empty() {
            return outputs.drop_frame(WarningKind::MalformedFrame);
        }
        sound.frame(track, wire_ms, duration, payload, outputs);
    }

    fn sound(&mut self) -> Option<&mut Sound> {
        self.current.as_mut()
    }
}
