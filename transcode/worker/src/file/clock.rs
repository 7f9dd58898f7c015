//! A stream's times on the asset's timeline.

use ffmpeg::Rational;
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::CLOCK;
use telstar_units::Timescale;

/// Ticks of [`CLOCK`] in a second.
pub const HZ: i64 = 90_000;
/// FFmpeg's clock of whole files.
const MICROS: i128 = 1_000_000;
/// Times are brought inside this, so that no product overflows: 100 days of nanoseconds.
const TICKS_MAX: i64 = 1 << 53;

/// The clock of a stream, and how far its zero is from the asset's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamClock {
    /// Seconds of a tick.
    num: i128,
    den: i128,
    /// The asset's time of the stream's zero, in ticks of [`CLOCK`].
    shift: i128,
}

impl StreamClock {
    /// Of a stream whose ticks last `time_base`.
    pub fn new(time_base: Rational, shift: i64) -> StreamClock {
        // A demuxer that says nothing means microseconds.
        let (num, den) = match (time_base.numerator(), time_base.denominator()) {
            (num @ 1.., den @ 1..) => (num.into(), den.into()),
            _ => (1, MICROS),
        };
        StreamClock { num, den, shift: bounded(shift) }
    }

    /// The asset's time of `ticks`, in ticks of [`CLOCK`].
    pub fn asset(&self, ticks: i64) -> i64 {
        self.asset_in(ticks, CLOCK)
    }

    /// The same in ticks of another clock, rounded once.
    pub fn asset_in(&self, ticks: i64, timescale: Timescale) -> i64 {
        let hz = i128::from(HZ);
        divided((bounded(ticks) * self.num * hz + self.shift * self.den) * i128::from(timescale.hz()), self.den * hz)
    }

    /// How long so many ticks last, in ticks of [`CLOCK`].
    pub fn lasts(&self, ticks: i64) -> i64 {
        divided(bounded(ticks) * self.num * i128::from(HZ), self.den)
    }

    /// The stream's tick at an asset's time.
    pub fn ticks(&self, asset: i64) -> i64 {
        divided((bounded(asset) - self.shift) * self.den, self.num * i128::from(HZ))
    }

    /// What FFmpeg is told to seek to for a tick: never before it.
    pub fn micros(&self, ticks: i64) -> i64 {
        let micros = bounded(ticks) * self.num * MICROS;
        within(micros.div_euclid(self.den) + i128::from(micros.rem_euclid(self.den) != 0))
    }
}

/// Rounded half away from zero. Times far outside can only come from a broken file.
fn divided(product: i128, divisor: i128) -> i64 {
    let half = if product >= 0 { divisor / 2 } else { -(divisor / 2) };
    within((product + half) / divisor)
}

fn bounded(ticks: i64) -> i128 {
    ticks.clamp(-TICKS_MAX, TICKS_MAX).into()
}

fn within(value: i128) -> i64 {
    // Half of what there is, so that sums and differences of two stay inside.
    value.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_once_and_come_back() {
        assert_eq!(HZ, i64::from(CLOCK.hz()));
        let clock = StreamClock::new(Rational(1, 44_100), 1_920);
        assert_eq!(clock.asset(0), 1_920);
        assert_eq!(clock.asset(44_100), 91_920);
        let samples = Timescale::new(44_100).expect("not zero");
        assert_eq!(clock.asset_in(1_024, samples), 1_024 + 941, "1,920 ticks are 940.8 samples");
        assert_eq!(clock.ticks(91_920), 44_100);
        assert_eq!(StreamClock::new(Rational(1, 30), 0).micros(1), 33_334, "never before it");
        assert_eq!(StreamClock::new(Rational(1_001, 30_000), 0).lasts(30_000), 90_090_000);
    }

    #[test]
    fn broken_times_are_far_away_and_no_overflow() {
        let clock = StreamClock::new(Rational(i32::MAX, 1), i64::MAX);
        assert!(clock.asset(i64::MIN) < 0 && clock.asset(i64::MAX) > 0);
        assert_eq!(StreamClock::new(Rational(0, 0), 0).asset(1_000_000), 90_000);
    }
}
