//! Jobs as they go out, over REST and as events.
//!
//! In: the store's records, and how the attempts under way go. Out: bodies.

use serde::Serialize;
use telstar_store::job::State;
use telstar_store::{JobKind, JobRecord};
use utoipa::ToSchema;

use super::asset_schema::words;
use crate::vod::jobs::planned_of;

/// Below this share of the work, or this long after its beginning, what is left is not told: the worker still opens the
/// file.
const ETA_SHARE_MIN: f64 = 0.02;
const ETA_SECS_MIN: f64 = 2.0;

/// A durable piece of work on an asset.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobBody {
    /// What it is and how far.
    #[serde(flatten)]
    pub(super) facts: JobFacts,
    /// Attempts that were begun.
    attempts: u32,
}

/// What a job is, and how far.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = JobFacts)]
pub(super) struct JobFacts {
    /// Its number.
    pub(super) job: i64,
    /// What it is on.
    asset: String,
    /// What it does: `first` makes the asset playable, `more` makes it better.
    kind: JobKindBody,
    /// `blocked`: another has to be done before. `leased`: it is under way.
    pub(super) state: JobStateBody,
    /// What it makes, by name.
    renditions: Vec<String>,
    /// How far it is: 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub(super) progress: f64,
    /// Seconds until it is done, or null until that can be said.
    pub(super) eta_secs: Option<f64>,
    /// Attempts that failed since it was last asked for.
    failures: u32,
    /// Why the last attempt ended without a result, or why none begins now, for people, or null.
    problem: Option<String>,
    /// Since when it is wanted (RFC 3339).
    #[schema(format = "date-time")]
    wanted_at: String,
    /// When it changed last (RFC 3339).
    #[schema(format = "date-time")]
    pub(super) updated_at: String,
    /// When the next attempt may begin (RFC 3339), while it is ready; else null.
    #[schema(format = "date-time")]
    due_at: Option<String>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobKind)]
pub(super) enum JobKindBody {
    Probe,
    First,
    More,
    Images,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobState)]
pub(super) enum JobStateBody {
    Blocked,
    Ready,
    Leased,
    Done,
    Failed,
    Cancelled,
}

impl JobStateBody {
    fn of(state: State) -> JobStateBody {
        match state {
            State::Blocked(_) => JobStateBody::Blocked,
            State::Ready(_) => JobStateBody::Ready,
            State::Leased(..) => JobStateBody::Leased,
            State::Done => JobStateBody::Done,
            State::Failed => JobStateBody::Failed,
            State::Cancelled => JobStateBody::Cancelled,
        }
    }

    /// It goes on, or waits to.
    pub(super) fn is_to_be_done(self) -> bool {
        match self {
            JobStateBody::Blocked | JobStateBody::Ready | JobStateBody::Leased => true,
            JobStateBody::Done | JobStateBody::Failed | JobStateBody::Cancelled => false,
        }
    }
}

/// How an attempt at a job goes: the share that is done, and the seconds since it began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) share: f64,
    pub(super) secs: f64,
}

impl Pace {
    /// Seconds until it is done, if it goes on as it went.
    fn eta_secs(self) -> Option<f64> {
        if self.share < ETA_SHARE_MIN || self.secs < ETA_SECS_MIN {
            return None;
        }
        Some(self.secs * (1.0 - self.share).max(0.0) / self.share)
    }
}

impl JobFacts {
    /// Nothing is done now, whatever its last attempt came to.
    pub(super) fn waits_because(&mut self, standstill: Option<String>) {
        self.problem = standstill.or(self.problem.take());
    }
}

/// A job's body. `pace` is that of the attempt under way.
pub(super) fn job_body(record: &JobRecord, pace: Option<Pace>) -> JobBody {
    let state = JobStateBody::of(record.job.state);
    let progress = match state {
        JobStateBody::Done => 1.0,
        _ => pace.map_or(0.0, |pace| pace.share),
    };
    let facts = JobFacts {
        job: record.id.0,
        asset: record.asset.to_string(),
        kind: match record.kind {
            JobKind::Probe => JobKindBody::Probe,
            JobKind::First => JobKindBody::First,
            JobKind::More => JobKindBody::More,
            JobKind::Images => JobKindBody::Images,
        },
        state,
        renditions: planned_of(record).into_iter().map(|one| one.name).collect(),
        progress,
        eta_secs: pace.and_then(Pace::eta_secs),
        failures: record.job.failures,
        problem: words(&record.problem).filter(|_| state != JobStateBody::Done),
        wanted_at: record.wanted_at.to_rfc3339_millis(),
        updated_at: record.updated_at.to_rfc3339_millis(),
        due_at: match record.job.state {
            State::Ready(from) => Some(from.to_rfc3339_millis()),
            _ => None,
        },
    };
    JobBody { facts, attempts: record.job.attempts }
}

#[cfg(test)]
pub(super) mod tests {
    use telstar_store::JobId;
    use telstar_store::job::{Attempt, Class, Job};
    use telstar_units::{AccountId, AssetName, WallTime};

    use super::*;

    pub(crate) const NAME: &str = "0123456789abcdefghijkm";

    pub(crate) fn record(state: State, problem: &str) -> JobRecord {
        JobRecord {
            id: JobId(7),
            asset: AssetName::parse(NAME).expect("a name"),
            owner: AccountId(1),
            kind: JobKind::More,
            class: Class::Extra,
            work: String::new(),
            job: Job { state, attempts: 2, failures: 1 },
            progress: 0,
            problem: problem.to_owned(),
            wanted_at: WallTime(0),
            updated_at: WallTime(0),
        }
    }

    pub(crate) fn leased(share: f64, secs: f64) -> JobBody {
        job_body(&record(State::Leased(Attempt(2), WallTime(1)), ""), Some(Pace { share, secs }))
    }

    #[test]
    fn a_job_says_what_its_last_attempt_came_to_until_it_is_done() {
        let waits = job_body(&record(State::Ready(WallTime(2_000_000)), "the disk is full"), None);
        assert_eq!(waits.facts.problem.as_deref(), Some("the disk is full"));
        assert_eq!(waits.facts.due_at.as_deref(), Some("1970-01-01T00:00:02.000Z"));
        assert_eq!(job_body(&record(State::Done, "the disk is full"), None).facts.problem, None);
        assert_eq!(waits.facts.renditions, Vec::<String>::new());
    }
}
