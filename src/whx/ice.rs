//! What a PATCH means to a session: the core of it. In: `If-Match`, a fragment, `now`. Out: what to do, or why not.
//!
//! Each ICE session has an entity tag of its own (RFC 9725 §4.3.1), so that what was meant for an earlier one is refused.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fragment::Fragment;

/// ICE restarts of one session within [`RESTARTS_WINDOW`]. Each makes credentials and checks all paths anew. Higher: one client
/// makes the server do more; lower: a phone on a train is sent away. Guess.
const RESTARTS_MAX: usize = 10;
/// See [`RESTARTS_MAX`].
const RESTARTS_WINDOW: Duration = Duration::from_secs(60);

/// One session's ICE.
#[derive(Debug)]
pub(super) struct Ice {
    /// With its quotes.
    tag: String,
    /// The peer's name in the present ICE session.
    ufrag: String,
    /// When it was restarted, of late.
    restarts: VecDeque<Instant>,
}

/// What a PATCH asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Candidates of the present ICE session.
    Trickle,
    /// Another ICE session.
    Restart,
}

/// Why a PATCH is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not say which ICE session it is for.
    NoCondition,
    /// It is for another one.
    Stale,
    /// Too many restarts; after so many seconds it may try again.
    TooOften(u32),
}

impl Ice {
    /// The first ICE session.
    pub(super) fn new(tag: String, ufrag: String) -> Ice {
        Ice { tag, ufrag, restarts: VecDeque::new() }
    }

    /// The present entity tag.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// Decides about a PATCH. Other credentials are another ICE session (RFC 8839 §4.4.1.1.1): with `*` they begin it, and with
    /// the tag of the present one they are those of an earlier one. A client that trickles with `*` means the present one.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        if_match: Option<&str>,
        fragment: &Fragment,
    ) -> Result<Step, Refusal> {
        let condition = if_match.ok_or(Refusal::NoCondition)?;
        if !matches(condition, &self.tag) {
            return Err(Refusal::Stale);
        }
        match &fragment.credentials {
            Some(credentials) if credentials.ufrag == self.ufrag => Ok(Step::Trickle),
            Some(_) if is_any(condition) => self.may_restart(now),
            Some(_) => Err(Refusal::Stale),
            None => Ok(Step::Trickle),
        }
    }

    fn may_restart(&mut self, now: Instant) -> Result<Step, Refusal> {
        while self.restarts.front().is_some_and(|at| now.saturating_duration_since(*at) >= RESTARTS_WINDOW) {
            self.restarts.pop_front();
        }
        if let (true, Some(first)) = (self.restarts.len() >= RESTARTS_MAX, self.restarts.front()) {
            let wait = (*first + RESTARTS_WINDOW).saturating_duration_since(now);
            return Err(Refusal::TooOften(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)));
        }
        self.restarts.push_back(now);
        Ok(Step::Restart)
    }

    /// A restart went through.
    pub(super) fn restarted(&mut self, tag: String, ufrag: String) {
        (self.tag, self.ufrag) = (tag, ufrag);
    }
}

/// RFC 9110 §13.1.1, with strong comparison.
fn matches(condition: &str, tag: &str) -> bool {
    is_any(condition) || condition.split(',').any(|one| one.trim() == tag)
}

/// The drafts of WHIP wrote `"*"` in their examples, and clients followed them.
fn is_any(condition: &str) -> bool {
    matches!(condition.trim(), "*" | "\"*\"")
}

#[cfg(test)]
mod tests {
    use super::super::fragment::Credentials;
    use super::*;

    fn with(ufrag: Option<&str>) -> Fragment {
        let credentials = ufrag.map(|ufrag| Credentials { ufrag: ufrag.to_owned(), password: String::new() });
        Fragment { credentials, ..Fragment::default() }
    }

    #[test]
    fn a_patch_is_for_one_ice_session() {
        for (if_match, ufrag, expect) in [
            (None, Some("old"), Err(Refusal::NoCondition)),
            (Some("\"a\""), None, Ok(Step::Trickle)),
            (Some("\"a\""), Some("old"), Ok(Step::Trickle)),
            (Some("\"b\""), Some("old"), Err(Refusal::Stale)),
            (Some("\"b\", \"a\""), Some("old"), Ok(Step::Trickle)),
            (Some("W/\"a\""), Some("old"), Err(Refusal::Stale)),
            (Some("a"), Some("old"), Err(Refusal::Stale)),
            (Some(""), Some("old"), Err(Refusal::Stale)),
            (Some("*"), Some("old"), Ok(Step::Trickle)),
            (Some("*"), Some("new"), Ok(Step::Restart)),
            (Some("\"*\""), Some("new"), Ok(Step::Restart)),
            (Some("\"a\""), Some("new"), Err(Refusal::Stale)),
            (Some("\"b\""), Some("new"), Err(Refusal::Stale)),
        ] {
            let mut ice = Ice::new("\"a\"".to_owned(), "old".to_owned());
            assert_eq!(ice.decide(Instant::now(), if_match, &with(ufrag)), expect, "{if_match:?} {ufrag:?}");
        }
    }

    #[test]
    fn a_restart_that_failed_leaves_the_old_session_and_one_that_did_not_replaces_it() {
        let now = Instant::now();
        let mut ice = Ice::new("\"a\"".to_owned(), "old".to_owned());
        assert_eq!(ice.decide(now, Some("*"), &with(Some("new"))), Ok(Step::Restart));
        assert_eq!(ice.decide(now, Some("\"a\""), &with(Some("old"))), Ok(Step::Trickle), "the restart failed");
        ice.restarted("\"b\"".to_owned(), "new".to_owned());
        assert_eq!(ice.tag(), "\"b\"");
        assert_eq!(ice.decide(now, Some("\"a\""), &with(Some("new"))), Err(Refusal::Stale));
        assert_eq!(ice.decide(now, Some("\"b\""), &with(Some("new"))), Ok(Step::Trickle));
    }

    #[test]
    fn restarts_are_limited() {
        let now = Instant::now();
        let mut ice = Ice::new("\"a\"".to_owned(), "old".to_owned());
        for _ in 0..RESTARTS_MAX {
            assert_eq!(ice.decide(now, Some("*"), &with(Some("new"))), Ok(Step::Restart));
        }
        assert_eq!(ice.decide(now, Some("*"), &with(Some("new"))), Err(Refusal::TooOften(61)));
        assert_eq!(ice.decide(now, Some("*"), &with(None)), Ok(Step::Trickle));
        assert_eq!(ice.decide(now + RESTARTS_WINDOW, Some("*"), &with(Some("new"))), Ok(Step::Restart));
    }
}
