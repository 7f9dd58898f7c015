//! Audio frames on the clock of their samples.

use telstar_media::Frame;
use telstar_media::timeline::{AudioClock, Timed};
use telstar_units::{Timescale, rescale};

use super::output::{Outputs, TrackNumber, WarningKind};

/// Bytes of sound that wait at most; beyond, it goes on by the count. Higher lets an encoder of nonsense hold as much
/// memory; lower would meet sound: a second of eight channels of 24 bits at 96 kHz in FLAC has less than 2 MiB, and what
/// waits is a burst, of a fraction of it. Found: reckoned.
const WAIT_BYTES_MAX: usize = 1 << 20;

/// The clock of one audio track. Frames that it keeps waiting come out with later ones or with [`flush`](Self::flush).
pub(super) struct SampleClock {
    clock: AudioClock<(TrackNumber, Frame)>,
    timescale: Timescale,
    waiting_bytes: usize,
}

impl SampleClock {
    pub(super) fn new(timescale: Timescale) -> SampleClock {
        SampleClock { clock: AudioClock::new(timescale), timescale, waiting_bytes: 0 }
    }

    /// Passes on a frame that the wire stamps with `wire_ms`; its own times are set here. One that overlaps what was
    /// passed on by more than the clock tolerates is dropped and counted.
    pub(super) fn frame(&mut self, track: TrackNumber, wire_ms: i64, frame: Frame, outputs: &mut Outputs) {
        self.waiting_bytes += frame.payload.len();
        self.clock.push(wire_ms, frame.duration, (track, frame));
        self.drain(outputs);
        if self.waiting_bytes > WAIT_BYTES_MAX {
            self.clock.release();
            self.drain(outputs);
        }
    }

    /// The sound ends here.
    pub(super) fn flush(&mut self, outputs: &mut Outputs) {
        self.clock.flush();
        self.drain(outputs);
    }

    fn drain(&mut self, outputs: &mut Outputs) {
        while let Some(timed) = self.clock.poll() {
            match timed {
                Timed::Frame(dts, (track, frame)) => {
                    self.waiting_bytes -= frame.payload.len();
                    outputs.add_frame(track, Frame { dts, pts: dts, ..frame });
                }
                Timed::Gap(ticks) => {
                    outputs.warn(WarningKind::AudioGap { ms: rescale(ticks, self.timescale, Timescale::MILLIS) });
                }
                Timed::Overlap((_, frame)) => {
                    self.waiting_bytes -= frame.payload.len();
                    outputs.drop_frame(WarningKind::AudioOverlap);
                }
            }
        }
    }
}
