//! Jobs: rows that `crate::job` moves from state to state, each move in the transaction that causes it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use telstar_units::{AccountId, AssetName, WallTime};

use super::{assets, attempts, events};
use crate::job::{Attempt, Candidate, Class, Job, Refusal, State, next};
use crate::{
    AssetId, AssetState, AttemptFailure, Completed, Completion, EventKind, JOB_WORK_LEN_MAX, JOBS_PER_ASSET_MAX, JobId,
    JobKind, JobRecord, NewJob, NextJob, OpenState, PAGE_LIMIT_MAX, StoreError, Subject, TEXT_LEN_MAX,
};

const COLUMNS: &str = "j.id, a.name, j.owner, j.kind, j.class, j.work, j.state, j.blockers, j.due_at, j.attempts, j.failures, \
                       j.progress, j.problem, j.wanted_at, j.updated_at, j.asset";

/// A job and the number of its asset.
struct Found {
    record: JobRecord,
    asset: AssetId,
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<Found> {
    let (kind, state): (String, String) = (row.get(3)?, row.get(6)?);
    let attempts: u32 = row.get(9)?;
    let due = WallTime(row.get(8)?);
    // The columns' CHECKs allow no other values.
    let state = match state.as_str() {
        "blocked" => State::Blocked(row.get(7)?),
        "ready" => State::Ready(due),
        "leased" => State::Leased(Attempt(attempts), due),
        "done" => State::Done,
        "failed" => State::Failed,
        _ => State::Cancelled,
    };
    let record = JobRecord {
        id: JobId(row.get(0)?),
        asset: assets::name(row, 1, AssetName::parse)?,
        owner: AccountId(row.get(2)?),
        kind: match kind.as_str() {
            "probe" => JobKind::Probe,
            "first" => JobKind::First,
            "more" => JobKind::More,
            _ => JobKind::Images,
        },
        class: class(row.get(4)?),
        work: row.get(5)?,
        job: Job { state, attempts, failures: row.get(10)? },
        progress: row.get(11)?,
        problem: row.get(12)?,
        wanted_at: WallTime(row.get(13)?),
        updated_at: WallTime(row.get(14)?),
    };
    Ok(Found { record, asset: AssetId(row.get(15)?) })
}

fn class(number: i64) -> Class {
    match number {
        0 => Class::First,
        1 => Class::Preview,
        _ => Class::Extra,
    }
}

fn kind_word(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Probe => "probe",
        JobKind::First => "first",
        JobKind::More => "more",
        JobKind::Images => "images",
    }
}

/// What the columns say of a state: its word, its blockers and when it is due.
fn state_columns(state: State, now: WallTime) -> (&'static str, u32, i64) {
    match state {
        State::Blocked(blockers) => ("blocked", blockers, now.0),
        State::Ready(from) => ("ready", 0, from.0),
        State::Leased(_, until) => ("leased", 0, until.0),
        State::Done => ("done", 0, now.0),
        State::Failed => ("failed", 0, now.0),
        State::Cancelled => ("cancelled", 0, now.0),
    }
}

fn find(connection: &Connection, id: JobId) -> Result<Found, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM jobs j JOIN assets a ON a.id = j.asset WHERE j.id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([id.0], read_job).optional()?;
    found.ok_or(StoreError::NotFound("job"))
}

pub(super) fn job(connection: &Connection, id: JobId) -> Result<Option<JobRecord>, StoreError> {
    match find(connection, id) {
        Ok(found) => Ok(Some(found.record)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn jobs_of(connection: &Connection, asset: &AssetName) -> Result<Vec<JobRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM jobs j JOIN assets a ON a.id = j.asset WHERE a.name = ?1 ORDER BY j.id");
    let rows: Result<Vec<Found>, _> = connection.prepare_cached(&sql)?.query_map([asset.as_str()], read_job)?.collect();
    Ok(rows?.into_iter().map(|found| found.record).collect())
}

pub(super) fn open(
    connection: &Connection,
    owner: AccountId,
    state: Option<OpenState>,
) -> Result<Vec<JobRecord>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM jobs j JOIN assets a ON a.id = j.asset
         WHERE j.owner = ?1 AND j.state <> 'done' AND (?2 IS NULL OR j.state = ?2)
         ORDER BY instr('leased ready blocked failed cancelled', j.state), j.id LIMIT ?3"
    );
    let word = state.map(|state| match state {
        OpenState::Blocked => "blocked",
        OpenState::Ready => "ready",
        OpenState::Leased => "leased",
        OpenState::Failed => "failed",
        OpenState::Cancelled => "cancelled",
    });
    let limit = PAGE_LIMIT_MAX as i64;
    let rows: Result<Vec<Found>, _> =
        connection.prepare_cached(&sql)?.query_map(params![owner.0, word, limit], read_job)?.collect();
    Ok(rows?.into_iter().map(|found| found.record).collect())
}

/// Makes jobs that may wait for each other.
pub(super) fn insert_all(
    connection: &Connection,
    asset: AssetId,
    owner: AccountId,
    jobs: &[NewJob],
    now: WallTime,
) -> Result<(), StoreError> {
    let there: i64 = connection
        .prepare_cached("SELECT count(*) FROM jobs WHERE asset = ?1")?
        .query_row([asset.0], |row| row.get(0))?;
    if there as usize + jobs.len() > JOBS_PER_ASSET_MAX {
        return Err(StoreError::Limit { what: "jobs of one asset", max: JOBS_PER_ASSET_MAX });
    }
    let mut ids: Vec<i64> = Vec::new();
    for job in jobs {
        if job.work.len() > JOB_WORK_LEN_MAX {
            return Err(StoreError::Limit { what: "bytes in a job's work", max: JOB_WORK_LEN_MAX });
        }
        // Each waits for those before it in the list alone, so that none waits for itself.
        if job.after.iter().any(|before| *before >= ids.len()) {
            return Err(StoreError::Invalid("order of jobs"));
        }
        let (state, blockers, due_at) = state_columns(Job::new(now, job.after.len() as u32).state, now);
        connection
            .prepare_cached(
                "INSERT INTO jobs (owner, asset, kind, class, work, state, blockers, due_at, wanted_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
            )?
            .execute(params![
                owner.0,
                asset.0,
                kind_word(job.kind),
                job.class as i64,
                job.work,
                state,
                blockers,
                due_at,
                now.0
            ])?;
        let id = connection.last_insert_rowid();
        for before in &job.after {
            connection
                .prepare_cached("INSERT OR IGNORE INTO job_blockers (job, blocker) VALUES (?1, ?2)")?
                .execute([id, ids[*before]])?;
        }
        ids.push(id);
    }
    Ok(())
}

pub(super) fn add(
    connection: &Connection,
    asset: &AssetName,
    job: &NewJob,
    now: WallTime,
) -> Result<JobRecord, StoreError> {
    let asset = assets::existing(connection, asset)?;
    insert_all(connection, asset.id, asset.owner, std::slice::from_ref(job), now)?;
    Ok(find(connection, JobId(connection.last_insert_rowid()))?.record)
}

/// Writes where a job is now.
fn save(connection: &Connection, id: JobId, job: Job, now: WallTime) -> Result<(), StoreError> {
    let (state, blockers, due_at) = state_columns(job.state, now);
    connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, blockers = ?3, due_at = ?4, attempts = ?5, failures = ?6, updated_at = ?7 WHERE id = ?1",
        )?
        .execute(params![id.0, state, blockers, due_at, job.attempts, job.failures, now.0])?;
    Ok(())
}

fn refused(refusal: Refusal) -> StoreError {
    match refusal {
        Refusal::LeaseLost => StoreError::NotFound("attempt"),
        Refusal::NotReady => StoreError::Invalid("time for a job"),
        Refusal::Over | Refusal::NotOver => StoreError::Conflict("state of the job"),
    }
}

fn tell(connection: &Connection, found: &Found, now: WallTime) -> Result<(), StoreError> {
    let subject = Subject::Asset(found.record.asset.clone());
    events::append(connection, EventKind::JobChanged, found.record.owner, &subject, now)
}

pub(super) fn take(connection: &Connection, least: Class, now: WallTime) -> Result<NextJob, StoreError> {
    // Of each owner and class the oldest: more of one owner would only hide the others.
    let candidates: Result<Vec<Candidate>, _> = connection
        .prepare_cached(
            "SELECT id, owner, class, wanted_at FROM (
                 SELECT id, owner, class, wanted_at,
                        row_number() OVER (PARTITION BY class, owner ORDER BY wanted_at, id) AS place
                 FROM jobs WHERE state = 'ready' AND due_at <= ?1 AND class <= ?2)
             WHERE place = 1",
        )?
        .query_map([now.0, least as i64], |row| {
            let (job, wanted_at): (i64, i64) = (row.get(0)?, row.get(3)?);
            Ok(Candidate {
                job: job as u64,
                owner: row.get(1)?,
                class: class(row.get(2)?),
                wanted_at: WallTime(wanted_at),
            })
        })?
        .collect();
    let running: Result<BTreeMap<i64, usize>, _> = connection
        .prepare_cached("SELECT owner, count(*) FROM jobs WHERE state = 'leased' GROUP BY owner")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize)))?
        .collect();
    let Some(chosen) = next(&candidates?, &running?) else {
        let at: Option<i64> = connection
            .prepare_cached("SELECT min(due_at) FROM jobs WHERE state = 'leased' OR (state = 'ready' AND class <= ?1)")?
            .query_row([least as i64], |row| row.get(0))?;
        return Ok(at.map_or(NextJob::Nothing, |at| NextJob::At(WallTime(at))));
    };
    let mut found = find(connection, JobId(chosen.job as i64))?;
    let attempt = found.record.job.lease(now).map_err(refused)?;
    save(connection, found.record.id, found.record.job, now)?;
    connection.prepare_cached("UPDATE jobs SET progress = 0 WHERE id = ?1")?.execute([found.record.id.0])?;
    attempts::begin(connection, found.record.id, attempt, now)?;
    tell(connection, &found, now)?;
    found.record.progress = 0;
    Ok(NextJob::Leased(Box::new(found.record), attempt))
}

pub(super) fn heartbeat(
    connection: &Connection,
    id: JobId,
    attempt: Attempt,
    progress: u16,
    now: WallTime,
) -> Result<(), StoreError> {
    let mut found = find(connection, id)?;
    found.record.job.heartbeat(now, attempt).map_err(refused)?;
    save(connection, id, found.record.job, now)?;
    connection
        .prepare_cached("UPDATE jobs SET progress = ?2 WHERE id = ?1")?
        .execute(params![id.0, progress.min(10_000)])?;
    Ok(())
}

pub(super) fn complete(
    connection: &Connection,
    id: JobId,
    attempt: Attempt,
    completion: &Completion,
    now: WallTime,
) -> Result<Completed, StoreError> {
    let mut found = find(connection, id)?;
    found.record.job.complete(now, attempt).map_err(refused)?;
    save(connection, id, found.record.job, now)?;
    connection.prepare_cached("UPDATE jobs SET progress = 10000, problem = '' WHERE id = ?1")?.execute([id.0])?;
    attempts::end(connection, id, attempt, "done", &completion.log, now)?;
    if let Some(facts) = &completion.facts {
        assets::set_facts(connection, found.asset, facts, now)?;
    }
    let mut freed = Vec::new();
    for rendition in &completion.renditions {
        freed.extend(assets::put_rendition(connection, found.asset, rendition, now)?);
    }
    insert_all(connection, found.asset, found.record.owner, &completion.jobs, now)?;
    unblock(connection, id, now)?;
    tell(connection, &found, now)?;
    let asset = match found.record.kind {
        JobKind::First => assets::set_state(connection, found.asset, AssetState::Ready, "", now)?,
        JobKind::Probe | JobKind::More | JobKind::Images => assets::by_id(connection, found.asset)?,
    };
    Ok(Completed { asset, freed })
}

/// Those that waited for a job that is done.
fn unblock(connection: &Connection, id: JobId, now: WallTime) -> Result<(), StoreError> {
    let waiting: Result<Vec<i64>, _> = connection
        .prepare_cached("DELETE FROM job_blockers WHERE blocker = ?1 RETURNING job")?
        .query_map([id.0], |row| row.get(0))?
        .collect();
    for job in waiting? {
        let mut found = find(connection, JobId(job))?;
        found.record.job.handle_unblocked(now);
        save(connection, found.record.id, found.record.job, now)?;
    }
    Ok(())
}

pub(super) fn fail(
    connection: &Connection,
    id: JobId,
    attempt: Attempt,
    failure: &AttemptFailure,
    now: WallTime,
) -> Result<JobRecord, StoreError> {
    let mut found = find(connection, id)?;
    found.record.job.fail(now, attempt, failure.failure).map_err(refused)?;
    note_failure(connection, &mut found, attempt, &failure.problem, &failure.log, now)?;
    Ok(found.record)
}

fn note_failure(
    connection: &Connection,
    found: &mut Found,
    attempt: Attempt,
    problem: &str,
    log: &str,
    now: WallTime,
) -> Result<(), StoreError> {
    let id = found.record.id;
    save(connection, id, found.record.job, now)?;
    attempts::end(connection, id, attempt, problem, log, now)?;
    found.record.problem = attempts::cut(problem, TEXT_LEN_MAX).to_owned();
    connection
        .prepare_cached("UPDATE jobs SET problem = ?2 WHERE id = ?1")?
        .execute(params![id.0, found.record.problem])?;
    let is_over = found.record.job.state == State::Failed;
    if is_over && matches!(found.record.kind, JobKind::Probe | JobKind::First) {
        assets::set_state(connection, found.asset, AssetState::Failed, &found.record.problem, now)?;
    }
    tell(connection, found, now)
}

pub(super) fn release(
    connection: &Connection,
    id: JobId,
    attempt: Attempt,
    reason: &str,
    now: WallTime,
) -> Result<(), StoreError> {
    let mut found = find(connection, id)?;
    found.record.job.release(now, attempt).map_err(refused)?;
    save(connection, id, found.record.job, now)?;
    attempts::end(connection, id, attempt, reason, "", now)
}

/// Of a server that is gone: its workers died with it, and that is no fault of the jobs, unless it happens to one of them
/// again and again.
pub(super) fn release_all(connection: &Connection, now: WallTime) -> Result<usize, StoreError> {
    let leased = leased(connection, i64::MAX)?;
    let count = leased.len();
    for mut found in leased {
        let State::Leased(attempt, until) = found.record.job.state else { continue };
        // A lease that has run out meanwhile is released as well: nobody works on it.
        let before = WallTime(now.0.min(until.0 - 1));
        let ends = attempts::server_ends(connection, &found.record)? + 1;
        found.record.job.handle_server_end(before, attempt, ends).map_err(refused)?;
        if found.record.job.state == State::Failed {
            let problem = format!("the server ended {ends} times in the middle of it");
            note_failure(connection, &mut found, attempt, &problem, "", now)?;
            continue;
        }
        save(connection, found.record.id, found.record.job, now)?;
        attempts::end(connection, found.record.id, attempt, attempts::SERVER_ENDED, "", now)?;
    }
    Ok(count)
}

pub(super) fn expire(connection: &Connection, now: WallTime) -> Result<Vec<JobRecord>, StoreError> {
    let mut expired = Vec::new();
    for mut found in leased(connection, now.0)? {
        if let Some(attempt) = found.record.job.handle_timeout(now) {
            note_failure(connection, &mut found, attempt, "the worker was lost", "", now)?;
            expired.push(found.record);
        }
    }
    Ok(expired)
}

fn leased(connection: &Connection, until: i64) -> Result<Vec<Found>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM jobs j JOIN assets a ON a.id = j.asset WHERE j.state = 'leased' AND j.due_at <= ?1 ORDER BY j.id"
    );
    let rows: Result<Vec<Found>, _> = connection.prepare_cached(&sql)?.query_map([until], read_job)?.collect();
    Ok(rows?)
}

pub(super) fn cancel(connection: &Connection, id: JobId, now: WallTime) -> Result<JobRecord, StoreError> {
    let mut found = find(connection, id)?;
    let attempt = match found.record.job.state {
        State::Leased(attempt, _) => Some(attempt),
        _ => None,
    };
    found.record.job.cancel().map_err(refused)?;
    save(connection, id, found.record.job, now)?;
    if let Some(attempt) = attempt {
        attempts::end(connection, id, attempt, "cancelled", "", now)?;
    }
    if matches!(found.record.kind, JobKind::Probe | JobKind::First) {
        assets::set_state(connection, found.asset, AssetState::Failed, "its processing was cancelled", now)?;
    }
    tell(connection, &found, now)?;
    Ok(found.record)
}

pub(super) fn retry(connection: &Connection, id: JobId, now: WallTime) -> Result<JobRecord, StoreError> {
    let mut found = find(connection, id)?;
    let blockers: u32 = connection
        .prepare_cached("SELECT count(*) FROM job_blockers WHERE job = ?1")?
        .query_row([id.0], |row| row.get(0))?;
    // What is done is made anew as another job, so that it never takes back what others were built on.
    if found.record.job.state == State::Done {
        return Err(refused(Refusal::Over));
    }
    found.record.job.requeue(now, blockers).map_err(refused)?;
    save(connection, id, found.record.job, now)?;
    connection.prepare_cached("UPDATE jobs SET wanted_at = ?2, problem = '' WHERE id = ?1")?.execute([id.0, now.0])?;
    if matches!(found.record.kind, JobKind::Probe | JobKind::First) {
        assets::set_state(connection, found.asset, AssetState::Processing, "", now)?;
    }
    tell(connection, &found, now)?;
    Ok(find(connection, id)?.record)
}
