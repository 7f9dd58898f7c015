//! The log of jobs: each attempt, when it began and how it ended.

use rusqlite::{Connection, Row, params};
use telstar_units::WallTime;

use crate::job::Attempt;
use crate::{AttemptRecord, JOB_LOG_LEN_MAX, JobId, JobRecord, StoreError, TEXT_LEN_MAX};

/// What the log says of an attempt whose server is gone.
pub(super) const SERVER_ENDED: &str = "the server ended";

/// An attempt begins.
pub(super) fn begin(connection: &Connection, id: JobId, attempt: Attempt, now: WallTime) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO job_attempts (job, attempt, began_at) VALUES (?1, ?2, ?3)")?
        .execute(params![id.0, attempt.0, now.0])?;
    Ok(())
}

/// It ends, with this outcome.
pub(super) fn end(
    connection: &Connection,
    id: JobId,
    attempt: Attempt,
    outcome: &str,
    log: &str,
    now: WallTime,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE job_attempts SET ended_at = ?3, outcome = ?4, log = ?5 WHERE job = ?1 AND attempt = ?2",
        )?
        .execute(params![id.0, attempt.0, now.0, cut(outcome, TEXT_LEN_MAX), cut_front(log, JOB_LOG_LEN_MAX)])?;
    Ok(())
}

/// The beginning of a text.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// The end of a text, where a log says what went wrong.
fn cut_front(text: &str, max: usize) -> &str {
    let from = (text.len().saturating_sub(max)..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[from.unwrap_or(text.len())..]
}

pub(super) fn of_job(connection: &Connection, id: JobId) -> Result<Vec<AttemptRecord>, StoreError> {
    let read = |row: &Row<'_>| {
        Ok(AttemptRecord {
            attempt: Attempt(row.get(0)?),
            began_at: WallTime(row.get(1)?),
            ended_at: row.get::<_, Option<i64>>(2)?.map(WallTime),
            outcome: row.get(3)?,
            log: row.get(4)?,
        })
    };
    let rows: Result<Vec<AttemptRecord>, _> = connection
        .prepare_cached(
            "SELECT attempt, began_at, ended_at, outcome, log FROM job_attempts WHERE job = ?1 ORDER BY attempt",
        )?
        .query_map([id.0], read)?
        .collect();
    Ok(rows?)
}

/// How often a server ended in the middle of a job since it was last asked for.
pub(super) fn server_ends(connection: &Connection, job: &JobRecord) -> Result<u32, StoreError> {
    let ends = connection
        .prepare_cached("SELECT count(*) FROM job_attempts WHERE job = ?1 AND outcome = ?2 AND began_at >= ?3")?
        .query_row(params![job.id.0, SERVER_ENDED, job.wanted_at.0], |row| row.get(0))?;
    Ok(ends)
}
