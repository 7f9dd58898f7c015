//! Media time and wall time. The monotonic clock is `std::time::Instant`, given to cores as `now`.
//!
//! The three never mix: `now` drives deadlines, media ticks order frames, wall time is the calendar.

use std::num::NonZeroU32;

/// Ticks per second of a track's clock: 90,000 for video, the sample rate for audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// The clock of every video track (RFC 3551 §5 uses the same).
    pub const VIDEO: Timescale = Timescale(NonZeroU32::new(90_000).expect("90,000 is not zero"));
    /// Milliseconds, RTMP's clock.
    pub const MILLIS: Timescale = Timescale(NonZeroU32::new(1_000).expect("1,000 is not zero"));
    /// Microseconds.
    pub const MICROS: Timescale = Timescale(NonZeroU32::new(1_000_000).expect("1,000,000 is not zero"));

    /// A clock of `hz` ticks per second, or `None` for zero.
    pub fn new(hz: u32) -> Option<Timescale> {
        NonZeroU32::new(hz).map(Timescale)
    }

    /// Ticks per second.
    pub fn hz(self) -> u32 {
        self.0.get()
    }

    /// `ticks` of this clock in seconds.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 / f64::from(self.hz())
    }
}

/// Converts `ticks` from one clock to another, rounding half away from zero.
///
/// ```
/// use telstar_units::{rescale, Timescale};
/// assert_eq!(rescale(40, Timescale::MILLIS, Timescale::VIDEO), 3_600);
/// assert_eq!(rescale(-1, Timescale::VIDEO, Timescale::MILLIS), 0);
/// ```
pub fn rescale(ticks: i64, from: Timescale, to: Timescale) -> i64 {
    let product = i128::from(ticks) * i128::from(to.hz());
    let divisor = i128::from(from.hz());
    let half = if product >= 0 { divisor / 2 } else { -(divisor / 2) };
    // Saturating: ticks far outside an i64 can only come from a broken sender.
    ((product + half) / divisor).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// A calendar time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl WallTime {
    /// Whole seconds since the Unix epoch.
    pub fn unix_secs(self) -> u64 {
        self.0.max(0) as u64 / 1_000_000
    }

    /// This time plus `micros` microseconds.
    pub fn plus_micros(self, micros: i64) -> WallTime {
        WallTime(self.0.saturating_add(micros))
    }

    /// RFC 3339 in UTC with milliseconds, as EXT-X-PROGRAM-DATE-TIME wants it: `2026-01-31T12:00:00.250Z`.
    pub fn to_rfc3339_millis(self) -> String {
        let millis = self.0.div_euclid(1_000);
        let (days, millis_of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let seconds = millis_of_day / 1_000;
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60,
            millis_of_day % 1_000
        )
    }
}

/// The proleptic Gregorian date of a day number counted from 1970-01-01.
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_prints_as_rfc3339() {
        for (micros, expect) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_795_270_942_123_999, "2026-11-21T14:22:22.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(WallTime(micros).to_rfc3339_millis(), expect);
        }
    }

    #[test]
    fn rescale_rounds_half_away_from_zero_and_never_overflows() {
        let cd = Timescale::new(44_100).expect("not zero");
        assert_eq!(rescale(1, Timescale::MILLIS, cd), 44);
        assert_eq!(rescale(5, Timescale::MILLIS, cd), 221);
        assert_eq!(rescale(-5, Timescale::MILLIS, cd), -221);
        assert_eq!(rescale(i64::MAX, Timescale::MILLIS, Timescale::VIDEO), i64::MAX);
    }
}
