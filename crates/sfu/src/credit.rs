//! How far first layers may go beyond the estimate of a path that nobody has found to be narrow.
//!
//! In: the estimate, what was allocated last, `now`. Out: bits per second that may be lent.
//!
//! An estimate says what was carried, not what could be: a path over which nothing is sent never gets a better one,
//! and the estimate of a new path is a guess. A track of one encoding that does not fit it would stay black until
//! padding has raised it, five seconds and more. mediasoup never holds such a track back; LiveKit begins with an
//! estimate of 7 Mbit/s. Here it is sent, on credit, and the path answers within a round trip or two: the estimate
//! rises to what is sent, or it falls, and then the credit is closed for a while.

use std::time::{Duration, Instant};

/// What is sent at most on credit, with what the estimate carries. Higher lets more pictures start at once, lower
/// keeps the burst shorter that a narrow path has to lose. As LiveKit's first estimate.
const LEND_UP_TO_BPS: u64 = 7_000_000;
/// What is allocated may be so many percent of the estimate without being on credit: a measured rate moves with each
/// keyframe.
const TOLERATED_PERCENT: u64 = 110;
/// An estimate below so many percent of the best one since the credit was taken says that the path is narrow. GoogCC
/// goes to 85 % at the first sign of a queue. Higher takes noise for that sign.
const FALLEN_PERCENT: u64 = 92;
/// An estimate above so many percent of the best one grows. It is told ten times a second; lower takes noise for growth.
const GROWN_PERCENT: u64 = 104;
/// How long the estimate may stay without growing. It grows by 8 % a second without probes: longer gives slow ones time,
/// shorter ends sooner what the pacer squeezes into a narrow path without a queue.
const GROW_WITHIN: Duration = Duration::from_millis(2_500);
/// How long the first refusal lasts; each further one twice as long. Lower shows a picture sooner on a path that got
/// better, higher disturbs a narrow one (its sound) less often.
const CLOSED_FOR: Duration = Duration::from_secs(60);
/// The longest refusal.
const CLOSED_FOR_MAX: Duration = Duration::from_secs(240);

const _: () = assert!(CLOSED_FOR.as_millis() < CLOSED_FOR_MAX.as_millis(), "refusals grow");

/// The credit of one subscriber's path.
#[derive(Clone, Debug)]
pub struct Credit {
    state: State,
    /// How long the next refusal lasts.
    refusal: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing speaks against it.
    Open,
    /// Taken; the best estimate since then, and when it came.
    Taken(Instant, u64),
    /// Refused until then.
    Closed(Instant),
}

impl Default for Credit {
    fn default() -> Credit {
        Credit { state: State::Open, refusal: CLOSED_FOR }
    }
}

/// How much first layers may go beyond what is assumed of a path of which nothing is told: not yet, or never, because the peer
/// knows no transport-wide feedback (aiortc). Nothing but an overshoot (`overshoot.rs`), by the peer's receiver reports, speaks
/// against it; an estimate that nobody makes cannot grow.
pub fn lend_unheard(assumed_bps: u64) -> u64 {
    LEND_UP_TO_BPS.saturating_sub(assumed_bps)
}

impl Credit {
    /// A path that nobody knows.
    pub fn new() -> Credit {
        Credit::default()
    }

    /// How much first layers may take beyond the estimate, after `used_bps` were allocated last.
    pub fn lend(&mut self, now: Instant, estimate_bps: u64, used_bps: u64) -> u64 {
        let tolerated = (u128::from(estimate_bps) * u128::from(TOLERATED_PERCENT) / 100) as u64;
        let is_over = used_bps > tolerated;
        if let State::Closed(until) = self.state
            && now >= until
        {
            self.state = State::Open;
        }
        self.state = match self.state {
            State::Open if is_over => State::Taken(now, estimate_bps),
            State::Taken(..) if !is_over => {
                // Repaid: the path carries it.
                self.refusal = CLOSED_FOR;
                State::Open
            }
            State::Taken(since, best) => {
                let percent = u128::from(estimate_bps) * 100 / u128::from(best.max(1));
                if percent >= u128::from(GROWN_PERCENT) {
                    State::Taken(now, estimate_bps)
                } else if percent < u128::from(FALLEN_PERCENT) || now.saturating_duration_since(since) >= GROW_WITHIN {
                    let until = now + self.refusal;
                    self.refusal = (self.refusal * 2).min(CLOSED_FOR_MAX);
                    State::Closed(until)
                } else {
                    State::Taken(since, best)
                }
            }
            other => other,
        };
        let tolerated = tolerated - estimate_bps;
        match self.state {
            State::Open | State::Taken(..) => lend_unheard(estimate_bps).max(tolerated),
            State::Closed(_) => tolerated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: u64 = 1_500_000;

    /// A stream of 1.5 Mbit/s is allocated whenever estimate and credit carry it; says for each 300 ms whether it was.
    fn flows(secs: u64, estimate: impl Fn(u64) -> u64) -> Vec<bool> {
        let (mut credit, start, mut used) = (Credit::new(), Instant::now(), 0);
        let step = |millis: u64| {
            let lent = credit.lend(start + Duration::from_millis(millis), estimate(millis), used);
            used = if estimate(millis) + lent >= STREAM { STREAM } else { 0 };
            used > 0
        };
        (0..secs * 1_000).step_by(300).map(step).collect()
    }

    #[test]
    fn a_stream_above_the_first_estimate_starts_at_once_and_stays_when_the_estimate_rises() {
        assert!(flows(60, |millis| (1_000_000 + millis * 150).min(1_600_000)).into_iter().all(|flows| flows));
    }

    #[test]
    fn an_estimate_that_falls_ends_the_credit_and_it_is_tried_again_less_and_less_often() {
        let flows = flows(300, |millis| if millis < 900 { 1_000_000 } else { 300_000 });
        assert_eq!(flows.iter().take_while(|flows| **flows).count(), 3, "until the estimate fell");
        let starts = flows.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((2..=5).contains(&starts), "{starts} times in five minutes");
    }

    #[test]
    fn an_estimate_that_does_not_rise_ends_it_too() {
        let flows = flows(12, |_| 1_000_000);
        let time = flows.iter().filter(|flows| **flows).count() as u64 * 300;
        assert!((2_400..3_500).contains(&time), "{time} ms");
    }

    #[test]
    fn a_rate_that_moves_around_the_estimate_is_not_held_back() {
        assert!(
            flows(120, |millis| if millis / 900 % 2 == 0 { 1_400_000 } else { 1_700_000 }).iter().all(|flows| *flows)
        );
    }

    proptest! {
        #[test]
        fn no_more_is_lent_than_the_limit_or_the_tolerance(
            steps in proptest::collection::vec((0u64..20_000, any::<u64>(), any::<u64>()), 1..100)
        ) {
            let (mut credit, mut now) = (Credit::new(), Instant::now());
            for (millis, estimate, used) in steps {
                now += Duration::from_millis(millis);
                let estimate = estimate / 2;
                let lent = credit.lend(now, estimate, used);
                prop_assert!(estimate + lent <= LEND_UP_TO_BPS.max(estimate + estimate / 10 + 1));
            }
        }
    }
}
