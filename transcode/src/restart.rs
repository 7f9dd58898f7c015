//! When a worker that died is started again.

use std::time::{Duration, Instant};

/// How long the first restart waits. Acceptance: a converted track is back within 2 s. Lower starts twice while the
/// kernel still takes the dead one's memory back.
const FIRST: Duration = Duration::from_millis(100);
/// How long a restart waits at most. Higher leaves a track away for longer after its cause is gone; lower lets a stream
/// that kills its worker take more of the machine: a start costs some 50 ms of a core.
const LONGEST: Duration = Duration::from_secs(30);
/// Who ran for so long is sound: the next death waits as the first did.
const SOUND_AFTER: Duration = Duration::from_secs(60);

/// The back-off of one conversion: each death in a row waits twice as long as the last.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    deaths_in_a_row: u32,
    running_since: Option<Instant>,
}

impl Restart {
    /// Of a conversion that begins.
    pub fn new() -> Restart {
        Restart { deaths_in_a_row: 0, running_since: None }
    }

    /// A worker's frames come out.
    pub fn handle_running(&mut self, now: Instant) {
        self.running_since.get_or_insert(now);
    }

    /// It died. Returns when the next one is started.
    pub fn handle_death(&mut self, now: Instant) -> Instant {
        let ran = self.running_since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if ran >= SOUND_AFTER {
            self.deaths_in_a_row = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.deaths_in_a_row.min(16)).min(LONGEST);
        self.deaths_in_a_row += 1;
        now + wait
    }

    /// What was asked is beyond any worker: the next attempt is as late as one can be.
    pub fn handle_refusal(&mut self, now: Instant) -> Instant {
        self.running_since = None;
        now + LONGEST
    }
}

impl Default for Restart {
    fn default() -> Self {
        Restart::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_death_in_a_row_waits_twice_as_long_and_a_sound_run_forgives() {
        let (mut restart, mut now) = (Restart::new(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..11 {
            let next = restart.handle_death(now);
            waits.push((next - now).as_millis());
            now = next;
            restart.handle_running(now);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(restart.handle_death(now + SOUND_AFTER), now + SOUND_AFTER + FIRST);
    }

    #[test]
    fn who_never_ran_is_not_forgiven_by_time() {
        let (mut restart, now) = (Restart::new(), Instant::now());
        restart.handle_death(now);
        let later = now + 10 * SOUND_AFTER;
        assert_eq!(restart.handle_death(later), later + 2 * FIRST);
        assert_eq!(restart.handle_refusal(later), later + LONGEST);
    }

    proptest! {
        #[test]
        fn a_restart_always_comes_and_never_too_soon(runs in prop::collection::vec((any::<bool>(), 0u64..200), 1..50)) {
            let (mut restart, mut now) = (Restart::new(), Instant::now());
            for (has_run, secs) in runs {
                if has_run {
                    restart.handle_running(now);
                }
                now += Duration::from_secs(secs);
                let next = restart.handle_death(now);
                prop_assert!((FIRST..=LONGEST).contains(&(next - now)));
                now = next;
            }
        }
    }
}
