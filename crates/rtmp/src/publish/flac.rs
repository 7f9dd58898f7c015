//! FLAC: a streaminfo block and one frame in each message, whose length its header says.

use bytes::Bytes;
use telstar_media::CodecConfig;
use telstar_media::codec::{FlacConfig, flac_frame_samples};

use super::decoder::{Configured, Sound, SoundCodec};
use super::output::{Outputs, TrackNumber, WarningKind};

/// The state of one FLAC track.
#[derive(Default)]
pub(super) struct FlacTrack {
    current: Option<Sound>,
}

impl SoundCodec for FlacTrack {
    fn configure(&mut self, record: &Bytes, outputs: &mut Outputs) -> Configured {
        if record.is_empty() {
            return Ok(None);
        }
        let config = CodecConfig::Flac(FlacConfig::parse(record).map_err(|error| error.to_string())?);
        let known = self.current.as_ref().is_some_and(|sound| *sound.config() == config);
        Ok((!known).then(|| Sound::change(&mut self.current, config, outputs)))
    }

    fn frames(&mut self, track: TrackNumber, wire_ms: i64, payload: Bytes, outputs: &mut Outputs) {
        let Some(sound) = &mut self.current else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        match flac_frame_samples(&payload) {
            None => outputs.drop_frame(WarningKind::MalformedFrame),
            Some(duration) => sound.frame(track, wire_ms, duration, payload, outputs),
        }
    }

    fn sound(&mut self) -> Option<&mut Sound> {
        self.current.as_mut()
    }
}
