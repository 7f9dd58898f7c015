//! AAC: AudioSpecificConfig and raw frames.

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::codec::{AacConfig, AacError};
use telstar_media::{CodecConfig, Frame};
use telstar_units::Timescale;

use super::output::{Outputs, TrackNumber, WarningKind};
use super::sample_clock::SampleClock;

/// The state of one AAC track.
#[derive(Default)]
pub(super) struct AacTrack {
    current: Option<(AacConfig, Arc<CodecConfig>, SampleClock)>,
}

impl AacTrack {
    /// A sequence header; the configuration if it is a new one. An empty one says nothing (some encoders send it).
    pub(super) fn configure(&mut self, record: Bytes) -> Result<Option<Arc<CodecConfig>>, AacError> {
        if record.is_empty() || self.current.as_ref().is_some_and(|(aac, ..)| aac.asc == record) {
            return Ok(None);
        }
        // The record is a slice of its message, which it would keep alive; it is small.
        let aac = AacConfig::parse(Bytes::copy_from_slice(&record))?;
        let timescale = Timescale::new(aac.sample_rate).ok_or(AacError::SampleRate)?;
        let config = Arc::new(CodecConfig::Aac(aac.clone()));
        let clock = match self.current.take() {
            Some((previous, _, clock)) if previous.sample_rate == aac.sample_rate => clock,
            _ => SampleClock::new(timescale),
        };
        self.current = Some((aac, config.clone(), clock));
        Ok(Some(config))
    }

    /// A raw frame.
    pub(super) fn frame(&mut self, track: TrackNumber, wire_ms: i64, payload: Bytes, outputs: &mut Outputs) {
        let Some((aac, config, clock)) = &mut self.current else {
            return outputs.drop_frame(WarningKind::NoConfiguration);
        };
        if payload.is_empty() {
            return outputs.drop_frame(WarningKind::MalformedFrame);
        }
        let duration = aac.frame_samples;
        let frame = Frame { config: config.clone(), dts: 0, pts: 0, duration, key: true, payload };
        clock.frame(track, wire_ms, frame, outputs);
    }

    /// The sound ends here.
    pub(super) fn flush(&mut self, outputs: &mut Outputs) {
        if let Some((_, _, clock)) = &mut self.current {
            clock.flush(outputs);
        }
    }
}
