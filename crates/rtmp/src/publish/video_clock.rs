//! Milliseconds and composition offsets to 90 kHz decode and presentation times that keep the hub's two promises:
//! decode times strictly increase, and no presentation time is before its decode time.

use super::output::{Outputs, WarningKind};

/// Ticks of 90 kHz in a millisecond.
const TICKS_PER_MS: i64 = 90;
const NANOS_PER_MS: i64 = 1_000_000;
/// A composition offset beyond this is nonsense and taken as zero. 16 pictures of reordering at 5 per second.
const COMPOSITION_MAX_MS: i32 = 3_200;

/// The clock of one video track.
#[derive(Default)]
pub(super) struct VideoClock {
    last_dts: Option<i64>,
    /// Encoders that stamp pictures with presentation times of the first picture send negative composition offsets.
    /// Then decode times are moved back by the largest one seen, which leaves the presentation as it was meant.
    shift: i64,
}

impl VideoClock {
    /// Decode and presentation time.
    pub(super) fn stamp(&mut self, wire_ms: i64, nanos: u32, composition_ms: i32, outputs: &mut Outputs) -> (i64, i64) {
        let fraction = (i64::from(nanos) * TICKS_PER_MS + NANOS_PER_MS / 2) / NANOS_PER_MS;
        let composition_ms = if composition_ms.abs() <= COMPOSITION_MAX_MS { composition_ms } else { 0 };
        let wire = wire_ms.saturating_mul(TICKS_PER_MS) + fraction;
        let meant_pts = wire + i64::from(composition_ms) * TICKS_PER_MS;
        self.shift = self.shift.max(wire - meant_pts);
        let wanted = (wire - self.shift).max(0);
        let dts = self.last_dts.map_or(wanted, |last| wanted.max(last + 1));
        let pts = meant_pts.max(dts);
        if dts != wanted || pts != meant_pts {
            outputs.warn(WarningKind::TimestampOrder);
        }
        self.last_dts = Some(dts);
        (dts, pts)
    }
}
