//! What the two lanes share: limits in ticks, the wall clock of a stretch, and comparing times of two clocks.

use std::time::Duration;

use telstar_units::{Timescale, WallTime, rescale};

use crate::config::{DECODE_EARLY_MAX, HlsConfig, SEGMENT_TOLERANCE, TARGET_DURATION_SLACK};

/// Where a segment of one rendition ends so that the other ends its own there too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boundary {
    pub at: Moment,
    /// A discontinuity begins there.
    pub discontinuity: bool,
}

/// A media time with its clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub ticks: i64,
    pub timescale: Timescale,
}

impl Moment {
    pub fn new(ticks: i64, timescale: Timescale) -> Moment {
        Moment { ticks, timescale }
    }

    pub fn micros(self) -> i64 {
        rescale(self.ticks, self.timescale, Timescale::MICROS)
    }

    /// Exact comparison, without rounding either to the other's clock.
    pub fn is_at_or_after(self, other: Moment) -> bool {
        let scaled = |moment: Moment, hz: u32| i128::from(moment.ticks) * i128::from(hz);
        scaled(self, other.timescale.hz()) >= scaled(other, self.timescale.hz())
    }

    pub fn secs_since(self, earlier: Moment) -> f64 {
        self.timescale.seconds(self.ticks) - earlier.timescale.seconds(earlier.ticks)
    }
}

/// Maps media time to the calendar for one stretch between discontinuities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    pub wall: WallTime,
    pub media_micros: i64,
}

impl WallClock {
    pub fn at(&self, moment: Moment) -> WallTime {
        self.wall.plus_micros(moment.micros() - self.media_micros)
    }
}

/// The lengths that a lane keeps to, in ticks of its clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub segment_min: i64,
    pub target_duration: i64,
    pub tolerance: i64,
    /// A tick below what is listed, because parts are listed a little longer than they are (`Part::listed_secs`).
    pub part_target: i64,
    /// What a segment may last beyond the target duration.
    pub slack: i64,
    pub decode_early_max: i64,
    /// A keyframe that is later than this begins its segment at its own time.
    pub jump_min: i64,
}

impl Limits {
    pub fn new(config: &HlsConfig, timescale: Timescale, target_duration_secs: u64, part_target_ms: u64) -> Limits {
        Limits {
            segment_min: ticks(config.segment_min, timescale),
            target_duration: ticks(Duration::from_secs(target_duration_secs), timescale),
            tolerance: ticks(SEGMENT_TOLERANCE, timescale),
            part_target: (ticks(Duration::from_millis(part_target_ms), timescale) - 1).max(1),
            slack: ticks(TARGET_DURATION_SLACK, timescale),
            decode_early_max: ticks(DECODE_EARLY_MAX, timescale),
            jump_min: ticks(SEGMENT_TOLERANCE, timescale),
        }
    }
}

pub(crate) fn ticks(duration: Duration, timescale: Timescale) -> i64 {
    rescale(duration.as_micros() as i64, Timescale::MICROS, timescale)
}
