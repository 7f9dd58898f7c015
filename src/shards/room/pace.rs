//! Where a participant's timeline lies on our clock: by the frames that came fastest of late.
//!
//! Landed times follow the sender's calendar, whose clock runs differently from ours and begins where its first packet
//! happened to come. One publisher alone does not notice; of many that are mixed, the one that falls behind would not be
//! heard any more. In: times of frames and when they came. Out: what is added to all times of the participant, so that its
//! picture and its sound stay in step.

/// The shift is that of the fastest frame of one to two of these, in microseconds. Longer leaves somebody whose path has become
/// slower unheard for longer; shorter takes a network's slow moment for it.
const WINDOW_MICROS: i64 = 2_000_000;
/// Smaller changes are left alone: a mix bears them, and sound would be stretched for nothing.
const STEP_MIN_MICROS: i64 = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How late the fastest frame was, in the window before and in this one.
    fastest: [Option<i64>; 2],
    /// When this window ends.
    until: Option<i64>,
    shift_micros: Option<i64>,
}

impl Pace {
    /// A frame of `at` came at `now`, both in microseconds from one zero.
    pub(super) fn handle(&mut self, now: i64, at: i64) {
        if self.until.is_none_or(|until| until <= now) {
            self.fastest = [self.fastest[1], None];
            self.until = Some(now.saturating_add(WINDOW_MICROS));
        }
        let late = now.saturating_sub(at);
        self.fastest[1] = Some(self.fastest[1].map_or(late, |fastest| fastest.min(late)));
        let fastest = self.fastest.into_iter().flatten().min().unwrap_or(late);
        if self.shift_micros.is_none_or(|shift| shift.abs_diff(fastest) >= STEP_MIN_MICROS as u64) {
            self.shift_micros = Some(fastest);
        }
    }

    /// What is added to the participant's times, in microseconds.
    pub(super) fn shift_micros(&self) -> i64 {
        self.shift_micros.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shifts after frames each 20 ms, each so late.
    fn shifts(late: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut pace = Pace::default();
        late.enumerate()
            .map(|(number, late)| {
                let at = number as i64 * 20_000;
                pace.handle(at + late, at);
                pace.shift_micros()
            })
            .collect()
    }

    #[test]
    fn jitter_and_a_short_stop_change_nothing() {
        let late = (0..1_000).map(|number| match number {
            300..350 => 400_000,
            number => 100_000 + number % 7 * 5_000,
        });
        assert!(shifts(late).iter().all(|shift| *shift == 100_000));
    }

    #[test]
    fn who_becomes_slower_is_followed_within_two_windows_and_who_becomes_faster_at_once() {
        let found = shifts((0..600).map(|number| if (100..400).contains(&number) { 500_000 } else { 50_000 }));
        let slower = found.iter().position(|shift| *shift == 500_000).expect("it is followed");
        assert!((150..=320).contains(&slower), "{slower}");
        assert_eq!(found[400], 50_000);
    }

    #[test]
    fn a_clock_that_runs_differently_is_followed_in_small_steps() {
        // Half a millisecond in each second, for two hours.
        let found = shifts((0..360_000).map(|number| number / 100));
        let end = found[found.len() - 1];
        assert!((0..=30_000).contains(&(3_600 - end).abs()), "{end}");
        assert!(found.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 30_000));
        // And one whose times are ahead.
        assert_eq!(shifts((0..10).map(|_| -700_000))[9], -700_000);
    }
}
