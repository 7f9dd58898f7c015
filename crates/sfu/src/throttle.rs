//! How often a publisher is asked for a keyframe (PLI, RFC 4585 §6.3.1; FIR, RFC 5104 §4.3.1).
//!
//! In: requests of any number of viewers, keyframes that were seen, `now`. Out: whether to ask the publisher now, and
//! when to ask again. A keyframe costs the publisher five to ten times a frame's bits and every viewer of the layer
//! gets it, so that a thousand viewers' requests become one, and a viewer that asks without end is not heard. LiveKit
//! and mediasoup ask at once first as well, then hold requests back (0.5 to 1 s) and merge them; backing off when
//! nothing answers is ours.

use std::time::{Duration, Instant};

use crate::police::TokenBucket;

/// How long after a request the next one is sent. Shorter repairs a lost keyframe sooner, longer costs the publisher
/// fewer bits. Half a second is above most round trips and what LiveKit does for low layers.
pub const KEYFRAME_INTERVAL_MIN: Duration = Duration::from_millis(500);
/// A publisher that never answers is asked less and less often, down to this.
pub const KEYFRAME_INTERVAL_MAX: Duration = Duration::from_secs(8);
/// Requests per second that one viewer's connection may make, over all its tracks. A viewer of 30 tracks needs 30 at
/// once.
pub const VIEWER_REQUESTS_PER_SEC: u64 = 4;
/// Requests at once.
pub const VIEWER_REQUESTS_BURST: u64 = 60;

const _: () = assert!(KEYFRAME_INTERVAL_MIN.as_millis() < KEYFRAME_INTERVAL_MAX.as_millis(), "the back-off grows");

/// Keyframe requests to one layer of one publisher.
///
/// Invariant: two requests are never closer together than [`KEYFRAME_INTERVAL_MIN`], whoever asks and however often a
/// keyframe is seen in between.
#[derive(Clone, Debug)]
pub struct KeyframeThrottle {
    /// When the publisher was asked last.
    asked: Option<Instant>,
    /// A keyframe came since then.
    answered: bool,
    /// Somebody waits for a keyframe.
    wanted: bool,
    /// The distance from `asked` to the next request.
    interval: Duration,
}

impl Default for KeyframeThrottle {
    fn default() -> KeyframeThrottle {
        KeyframeThrottle { asked: None, answered: true, wanted: false, interval: KEYFRAME_INTERVAL_MIN }
    }
}

impl KeyframeThrottle {
    /// Nobody has asked.
    pub fn new() -> KeyframeThrottle {
        KeyframeThrottle::default()
    }

    /// Somebody needs a keyframe. True: ask the publisher now; otherwise [`KeyframeThrottle::poll_timeout`] says when,
    /// unless a keyframe comes before.
    pub fn request(&mut self, now: Instant) -> bool {
        self.wanted = true;
        self.handle_timeout(now)
    }

    /// A keyframe of the layer began: whoever waited has it.
    pub fn keyframe_seen(&mut self) {
        self.wanted = false;
        self.answered = true;
        self.interval = KEYFRAME_INTERVAL_MIN;
    }

    /// The layer sends again after a silence: what was asked before was asked in vain, so the back-off ends.
    pub fn wake(&mut self) {
        self.interval = KEYFRAME_INTERVAL_MIN;
    }

    /// Nobody waits any more (the last viewer left).
    pub fn cancel(&mut self) {
        self.wanted = false;
    }

    /// Whether to ask the publisher (again) now.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let too_soon = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < self.interval);
        if !self.wanted || too_soon {
            return false;
        }
        let doubled = (self.interval * 2).min(KEYFRAME_INTERVAL_MAX);
        self.interval = if self.answered { KEYFRAME_INTERVAL_MIN } else { doubled };
        self.asked = Some(now);
        self.answered = false;
        true
    }

    /// When to call [`KeyframeThrottle::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.asked.filter(|_| self.wanted).map(|asked| asked + self.interval)
    }
}

/// Keyframe requests of one viewer's connection, before they reach any layer's throttle.
#[derive(Clone, Debug)]
pub struct ViewerRequests {
    tokens: TokenBucket,
}

impl ViewerRequests {
    /// A viewer that has not asked yet.
    pub fn new(now: Instant) -> ViewerRequests {
        ViewerRequests { tokens: TokenBucket::new(VIEWER_REQUESTS_PER_SEC, VIEWER_REQUESTS_BURST, now) }
    }

    /// Whether a PLI or FIR from the viewer is heard.
    pub fn admit(&mut self, now: Instant) -> bool {
        self.tokens.take(now, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn the_first_request_passes_at_once_and_a_thousand_viewers_make_no_more_of_it() {
        let (mut throttle, start) = (KeyframeThrottle::new(), Instant::now());
        let asked = (0..1_000).filter(|_| throttle.request(start)).count();
        assert_eq!(asked, 1);
        assert_eq!(throttle.poll_timeout(), Some(start + KEYFRAME_INTERVAL_MIN));
    }

    #[test]
    fn a_keyframe_answers_everybody() {
        let (mut throttle, start) = (KeyframeThrottle::new(), Instant::now());
        assert!(throttle.request(start));
        assert!(!throttle.request(at(start, 20)));
        throttle.keyframe_seen();
        assert_eq!(throttle.poll_timeout(), None);
        assert!(!throttle.handle_timeout(at(start, 10_000)));
    }

    #[test]
    fn who_asks_just_after_a_keyframe_is_heard_when_the_interval_is_over() {
        let (mut throttle, start) = (KeyframeThrottle::new(), Instant::now());
        assert!(throttle.request(start));
        throttle.keyframe_seen();
        assert!(!throttle.request(at(start, 100)));
        let due = throttle.poll_timeout().unwrap();
        assert_eq!(due, start + KEYFRAME_INTERVAL_MIN);
        assert!(throttle.handle_timeout(due));
    }

    #[test]
    fn a_publisher_that_never_answers_is_asked_less_and_less() {
        let (mut throttle, start) = (KeyframeThrottle::new(), Instant::now());
        let asked: Vec<_> = (0..60_000).filter(|millis| throttle.request(at(start, *millis))).collect();
        assert_eq!(asked, [0, 500, 1_500, 3_500, 7_500, 15_500, 23_500, 31_500, 39_500, 47_500, 55_500]);
        throttle.wake();
        assert!(throttle.request(at(start, 60_000)), "it sends again");
    }

    #[test]
    fn a_viewer_that_storms_is_heard_as_often_as_its_cap_says() {
        let start = Instant::now();
        let mut viewer = ViewerRequests::new(start);
        let heard = (0..10_000).filter(|millis| viewer.admit(at(start, *millis))).count() as u64;
        assert!(heard <= VIEWER_REQUESTS_BURST + 10 * VIEWER_REQUESTS_PER_SEC, "{heard}");
        assert!(heard >= VIEWER_REQUESTS_BURST + 9 * VIEWER_REQUESTS_PER_SEC, "{heard}");
    }

    proptest! {
        /// The model: whatever viewers and publisher do, requests keep their distance, and a wish that is not
        /// answered is asked for at the latest after the longest interval.
        #[test]
        fn requests_keep_their_distance_and_no_wish_is_forgotten(
            steps in proptest::collection::vec((0u64..700, 0u8..8), 1..300)
        ) {
            let (mut throttle, start) = (KeyframeThrottle::new(), Instant::now());
            let (mut millis, mut last, mut waiting_since) = (0, None::<u64>, None::<u64>);
            for (passed, what) in steps {
                millis += passed;
                let now = at(start, millis);
                let ask = match what {
                    0 => { throttle.keyframe_seen(); waiting_since = None; false }
                    1 => { throttle.cancel(); waiting_since = None; false }
                    2 => { throttle.wake(); false }
                    3 | 4 => throttle.handle_timeout(now),
                    _ => { waiting_since.get_or_insert(millis); throttle.request(now) }
                };
                if ask {
                    prop_assert!(waiting_since.is_some(), "nobody waits");
                    if let Some(last) = last {
                        prop_assert!(millis - last >= KEYFRAME_INTERVAL_MIN.as_millis() as u64);
                    }
                    last = Some(millis);
                }
                if let Some(since) = waiting_since {
                    let heard = last.is_some_and(|last| last >= since);
                    let due = throttle.poll_timeout().expect("who waits has a time");
                    prop_assert!(heard || due <= at(start, since) + KEYFRAME_INTERVAL_MAX);
                }
            }
        }
    }
}
