//! Audio time from sample counts, with the answers to what the wire's stamps say against it.

use telstar_media::timeline::{AUDIO_REANCHOR_MS, AudioClock, AudioStamp};
use telstar_units::{Timescale, rescale};

use super::output::{Outputs, WarningKind};

/// The clock of one audio track.
pub(super) struct SampleClock {
    clock: AudioClock,
    timescale: Timescale,
    end: Option<i64>,
}

impl SampleClock {
    pub(super) fn new(timescale: Timescale) -> SampleClock {
        SampleClock { clock: AudioClock::new(timescale), timescale, end: None }
    }

    /// The time of a frame; `None` for one that overlaps what was passed on by more than the clock tolerates, which
    /// is dropped and counted: a re-anchored clock never goes back.
    pub(super) fn stamp(&mut self, wire_ms: i64, samples: u32, outputs: &mut Outputs) -> Option<i64> {
        let wire = rescale(wire_ms, Timescale::MILLIS, self.timescale);
        let limit = rescale(AUDIO_REANCHOR_MS, Timescale::MILLIS, self.timescale);
        if self.end.is_some_and(|end| wire < end - limit) {
            outputs.drop_frame(WarningKind::AudioOverlap);
            return None;
        }
        let (time, stamp) = self.clock.stamp(wire_ms, samples);
        if let AudioStamp::Gap { ticks } = stamp {
            outputs.warn(WarningKind::AudioGap { ms: rescale(ticks, self.timescale, Timescale::MILLIS) });
        }
        self.end = Some(time + i64::from(samples));
        Some(time)
    }
}
