//! Audio frames on the clock of their samples.

use telstar_media::Frame;
use telstar_media::timeline::{AudioClock, Timed};
use telstar_units::{Timescale, rescale};

use super::output::{Outputs, TrackNumber, WarningKind};

/// The clock of one audio track. Frames that it keeps waiting come out with later ones or with [`flush`](Self::flush).
pub(super) struct SampleClock {
    clock: AudioClock<(TrackNumber, Frame)>,
    timescale: Timescale,
}

impl SampleClock {
    pub(super) fn new(timescale: Timescale) -> SampleClock {
        SampleClock { clock: AudioClock::new(timescale), timescale }
    }

    /// Passes on a frame that the wire stamps with `wire_ms`; its own times are set here. One that overlaps what was
    /// passed on by more than the clock tolerates is dropped and counted.
    pub(super) fn frame(&mut self, track: TrackNumber, wire_ms: i64, frame: Frame, outputs: &mut Outputs) {
        self.clock.push(wire_ms, frame.duration, (track, frame));
        self.drain(outputs);
    }

    /// The sound ends here.
    pub(super) fn flush(&mut self, outputs: &mut Outputs) {
        self.clock.flush();
        self.drain(outputs);
    }

    fn drain(&mut self, outputs: &mut Outputs) {
        while let Some(timed) = self.clock.poll() {
            match timed {
                Timed::Frame(dts, (track, frame)) => outputs.add_frame(track, Frame { dts, pts: dts, ..frame }),
                Timed::Gap(ticks) => {
                    outputs.warn(WarningKind::AudioGap { ms: rescale(ticks, self.timescale, Timescale::MILLIS) });
                }
                Timed::Overlap(_) => outputs.drop_frame(WarningKind::AudioOverlap),
            }
        }
    }
}
