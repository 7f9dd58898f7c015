//! AC-3 and E-AC-3: access units that carry their configuration in their sync frames.

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::CodecConfig;
use telstar_media::codec::Ac3Config;

use super::decoder::{Configured, Sound, SoundCodec};
use super::output::{Outputs, TrackNumber, WarningKind};

/// The state of one AC-3 or E-AC-3 track.
#[derive(Default)]
pub(super) struct Ac3Track {
    current: Option<(Ac3Config, Sound)>,
}

impl SoundCodec for Ac3Track {
    /// There is no record that would say more than the frames.
    fn configure(&mut self, _record: &Bytes, _outputs: &mut Outputs) -> Configured {
        Ok(None)
    }

    fn configure_in_band(&mut self, payload: &[u8], outputs: &mut Outputs) -> Option<Arc<CodecConfig>> {
        let found = Ac3Config::parse(payload)?;
        let (known, mut sound) = self.current.take().unzip();
        // E-AC-3 may have another bitrate in each frame, which is no other configuration.
        let same = known.is_some_and(|known| known == Ac3Config { bitrate_kbps: known.bitrate_kbps, ..found });
        let changed = (!same).then(|| Sound::change(&mut sound, CodecConfig::Ac3(found), outputs));
        self.current = known.filter(|_| same).or(Some(found)).zip(sound);
        changed
    }

    fn frames(&mut self, track: TrackNumber, wire_ms: i64, payload: Bytes, outputs: &mut Outputs) {
        let Some((config, sound)) = &mut self.current else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        if Ac3Config::parse(&payload).is_none() {
            return outputs.drop_frame(WarningKind::MalformedFrame);
        }
        sound.frame(track, wire_ms, config.samples(), payload, outputs);
    }

    fn sound(&mut self) -> Option<&mut Sound> {
        self.current.as_mut().map(|(_, sound)| sound)
    }
}
