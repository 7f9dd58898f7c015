//! One piece of durable work: its states, and what may happen in each.
//!
//! In: what happened and when. Out: the job as it is from then on, or why that cannot be. The store applies it to a row
//! inside the transaction that causes it, so that two workers never both succeed; this file knows no store and no process.
//! Times are of the calendar, because a job outlives the process that began it.
//!
//! An attempt may end without a word: its lease then ends, and the next attempt begins. The one that was lost may still be
//! alive, so everything that it says afterwards carries its attempt's number and is refused.

mod order;

use std::time::Duration;

use telstar_units::WallTime;

pub use order::{Candidate, Class, next};

/// How long a worker keeps a job without a heartbeat. Shorter returns the job of a lost worker sooner; longer bears a machine
/// that stands still.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often a worker's supervisor says that it is alive: three may be lost.
pub const HEARTBEAT: Duration = Duration::from_secs(8);
const _: () = assert!(LEASE.as_millis() > 3 * HEARTBEAT.as_millis(), "three heartbeats may be lost");
/// Attempts that may fail before a job is given up. A crash, a full disk and a restart in the middle are three; what fails
/// five times fails always.
pub const FAILURES_MAX: u32 = 5;
/// So often a server may end, without a word, in the middle of a job before the job is taken for the cause. A worker's end
/// does not end the server, so that crashes of the machine are what counts here: fewer would give up long jobs on one
/// whose power fails, more would keep a server that one job ends from coming to anything else.
pub const SERVER_ENDS_MAX: u32 = 10;
/// The wait behind the first failure; each further one waits four times as long.
const BACKOFF: Duration = Duration::from_secs(2);
const BACKOFF_FACTOR: u32 = 4;
/// No wait is longer.
const BACKOFF_MAX: Duration = Duration::from_secs(600);

/// The number of an attempt, from 1 on. Each lease has its own; none comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// So many jobs must be done before it.
    Blocked(u32),
    /// It may begin, from then on.
    Ready(WallTime),
    /// Somebody works on it, until then unless a heartbeat comes.
    Leased(Attempt, WallTime),
    /// Its results are committed.
    Done,
    /// It was given up, and can be retried by hand.
    Failed,
    /// Its owner does not want it any more.
    Cancelled,
}

/// How an attempt ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another attempt may succeed: a crash, a full disk.
    Transient,
    /// No attempt will succeed: the source is not what it should be.
    Permanent,
}

/// A job's state and what led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where it is.
    pub state: State,
    /// Attempts that were begun, of which the last is the current one.
    pub attempts: u32,
    /// Those of them that failed since it was last asked for.
    pub failures: u32,
}

/// Why something cannot happen to a job now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The attempt is not the current one any more: its lease ended, or the job was cancelled.
    #[error("the attempt has lost its lease")]
    LeaseLost,
    /// It does not wait to be begun, or not yet.
    #[error("the job is not ready")]
    NotReady,
    /// It has come to its end.
    #[error("the job is over")]
    Over,
    /// It goes on, or waits to.
    #[error("the job is not over")]
    NotOver,
}

impl Job {
    /// A job that begins when `blockers` others are done.
    pub fn new(now: WallTime, blockers: u32) -> Job {
        let state = if blockers == 0 { State::Ready(now) } else { State::Blocked(blockers) };
        Job { state, attempts: 0, failures: 0 }
    }

    /// One that it waits for is done.
    pub fn handle_unblocked(&mut self, now: WallTime) {
        if let State::Blocked(blockers) = self.state {
            self.state = if blockers > 1 { State::Blocked(blockers - 1) } else { State::Ready(now) };
        }
    }

    /// One that it waits for is done no more: it was asked for again.
    pub fn handle_blocked(&mut self) {
        match self.state {
            State::Blocked(blockers) => self.state = State::Blocked(blockers + 1),
            State::Ready(_) => self.state = State::Blocked(1),
            // What has begun had what it needs.
            State::Leased(..) | State::Done | State::Failed | State::Cancelled => {}
        }
    }

    /// Somebody begins. Returns the number that all it says must carry.
    pub fn lease(&mut self, now: WallTime) -> Result<Attempt, Refusal> {
        match self.state {
            State::Ready(from) if from <= now => {
                self.attempts += 1;
                let attempt = Attempt(self.attempts);
                self.state = State::Leased(attempt, after(now, LEASE));
                Ok(attempt)
            }
            State::Done | State::Failed | State::Cancelled => Err(Refusal::Over),
            State::Blocked(_) | State::Ready(_) | State::Leased(..) => Err(Refusal::NotReady),
        }
    }

    /// The attempt is alive.
    pub fn heartbeat(&mut self, now: WallTime, attempt: Attempt) -> Result<(), Refusal> {
        self.check(now, attempt)?;
        self.state = State::Leased(attempt, after(now, LEASE));
        Ok(())
    }

    /// Whether what the attempt made may be committed now.
    pub fn check(&self, now: WallTime, attempt: Attempt) -> Result<(), Refusal> {
        match self.state {
            State::Leased(current, until) if current == attempt && now < until => Ok(()),
            _ => Err(Refusal::LeaseLost),
        }
    }

    /// The attempt has made everything, which is committed together with this.
    pub fn complete(&mut self, now: WallTime, attempt: Attempt) -> Result<(), Refusal> {
        self.check(now, attempt)?;
        self.state = State::Done;
        Ok(())
    }

    /// The attempt ends without a result.
    pub fn fail(&mut self, now: WallTime, attempt: Attempt, failure: Failure) -> Result<(), Refusal> {
        self.check(now, attempt)?;
        self.note_failure(now, failure);
        Ok(())
    }

    /// The attempt stops because the server does: that is nobody's failure.
    pub fn release(&mut self, now: WallTime, attempt: Attempt) -> Result<(), Refusal> {
        self.check(now, attempt)?;
        self.state = State::Ready(now);
        Ok(())
    }

    /// The server ended without a word while the attempt was under way, for the `ends`th time since the job was asked for.
    pub fn handle_server_end(&mut self, now: WallTime, attempt: Attempt, ends: u32) -> Result<(), Refusal> {
        if ends < SERVER_ENDS_MAX { self.release(now, attempt) } else { self.fail(now, attempt, Failure::Permanent) }
    }

    /// Time has passed. Returns the attempt that was lost, if its lease has ended.
    pub fn handle_timeout(&mut self, now: WallTime) -> Option<Attempt> {
        let State::Leased(attempt, until) = self.state else { return None };
        if now < until {
            return None;
        }
        self.note_failure(now, Failure::Transient);
        Some(attempt)
    }

    /// When to call [`Job::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<WallTime> {
        match self.state {
            State::Leased(_, until) => Some(until),
            _ => None,
        }
    }

    /// Its owner does not want it any more. An attempt that is under way is told by its next heartbeat.
    pub fn cancel(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::Blocked(_) | State::Ready(_) | State::Leased(..) => {
                self.state = State::Cancelled;
                Ok(())
            }
            State::Done | State::Failed | State::Cancelled => Err(Refusal::Over),
        }
    }

    /// It is wanted again, done or not, when `blockers` others are done. Its attempts go on counting.
    pub fn requeue(&mut self, now: WallTime, blockers: u32) -> Result<(), Refusal> {
        match self.state {
            State::Done | State::Failed | State::Cancelled => {
                *self = Job { attempts: self.attempts, ..Job::new(now, blockers) };
                Ok(())
            }
            State::Blocked(_) | State::Ready(_) | State::Leased(..) => Err(Refusal::NotOver),
        }
    }

    /// Nothing more happens to it by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Failed | State::Cancelled)
    }

    fn note_failure(&mut self, now: WallTime, failure: Failure) {
        self.failures += 1;
        self.state = match failure {
            Failure::Transient if self.failures < FAILURES_MAX => State::Ready(after(now, backoff(self.failures))),
            Failure::Transient | Failure::Permanent => State::Failed,
        };
    }
}

/// The wait behind so many failures.
fn backoff(failures: u32) -> Duration {
    BACKOFF.saturating_mul(BACKOFF_FACTOR.saturating_pow(failures.saturating_sub(1))).min(BACKOFF_MAX)
}

fn after(time: WallTime, wait: Duration) -> WallTime {
    time.plus_micros(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
