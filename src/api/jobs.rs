//! Jobs: what is being done to an asset, what it came to, cancelling and wanting again.

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_store::{AttemptRecord, JobId, JobRecord, OpenState, StoreError};
use telstar_units::WallTime;
use utoipa::ToSchema;

use super::assets::{job_bodies, permitted_asset};
use super::error::{Code, Problem};
use super::extract::{AssetPath, Json, QueryOf};
use super::job_schema::{JobBody, JobFacts};
use crate::auth::{Action, AssetFacts, Caller, Subject};
use crate::door::permit;
use crate::state::AppState;

/// The job of the path. What is no number is no job.
pub(super) struct JobPath(JobId);

impl FromRequestParts<AppState> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("job"))?;
        let id = params.iter().find(|(key, _)| *key == "job").and_then(|(_, value)| value.parse().ok());
        id.map(|id| JobPath(JobId(id))).ok_or_else(|| Problem::not_found("job"))
    }
}

/// Which jobs.
#[derive(Deserialize)]
pub(super) struct JobQuery {
    state: Option<OpenStateWord>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OpenStateWord {
    Blocked,
    Ready,
    Leased,
    Failed,
    Cancelled,
}

impl From<OpenStateWord> for OpenState {
    fn from(word: OpenStateWord) -> OpenState {
        match word {
            OpenStateWord::Blocked => OpenState::Blocked,
            OpenStateWord::Ready => OpenState::Ready,
            OpenStateWord::Leased => OpenState::Leased,
            OpenStateWord::Failed => OpenState::Failed,
            OpenStateWord::Cancelled => OpenState::Cancelled,
        }
    }
}

/// What is to be made anew.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewJob {
    /// The rendition's name.
    #[schema(example = "v720")]
    rendition: String,
}

/// Several jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct JobList {
    /// They.
    jobs: Vec<JobBody>,
}

/// A job with what was tried.
#[derive(Serialize, ToSchema)]
pub(super) struct JobWithAttempts {
    /// The job.
    #[serde(flatten)]
    facts: JobFacts,
    /// Its attempts, oldest first.
    attempts: Vec<AttemptBody>,
}

/// An attempt at a job.
#[derive(Serialize, ToSchema)]
#[schema(as = JobAttempt)]
pub(super) struct AttemptBody {
    /// Its number, from 1 on.
    attempt: u32,
    /// When it began (RFC 3339).
    #[schema(format = "date-time")]
    began_at: String,
    /// When it ended (RFC 3339), or null.
    #[schema(format = "date-time")]
    ended_at: Option<String>,
    /// How it ended, for people; empty while it lasts.
    outcome: String,
    /// The end of what its worker said.
    log: String,
}

impl From<AttemptRecord> for AttemptBody {
    fn from(record: AttemptRecord) -> AttemptBody {
        AttemptBody {
            attempt: record.attempt.0,
            began_at: record.began_at.to_rfc3339_millis(),
            ended_at: record.ended_at.map(WallTime::to_rfc3339_millis),
            outcome: record.outcome,
            log: record.log,
        }
    }
}

/// The account's jobs that are not done.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", operation_id = "listJobs",
    params(("state" = Option<String>, Query,
        description = "`blocked`, `ready`, `leased`, `failed` or `cancelled`; all of these if absent.")),
    responses((status = 200, description = "At most a hundred, those under way first.", body = JobList)))]
pub(super) async fn list(
    caller: Caller,
    QueryOf(query): QueryOf<JobQuery>,
    State(state): State<AppState>,
) -> Result<axum::Json<JobList>, Problem> {
    permit(&caller, Action::ListAssets, Subject::Server)?;
    let (account, _) = caller.account_role().ok_or_else(Problem::unauthorised)?;
    let records = state.store.open_jobs(account, query.state.map(OpenState::from)).await?;
    Ok(axum::Json(JobList { jobs: job_bodies(&state, &records).await? }))
}

/// An asset's jobs, done or not.
#[utoipa::path(get, path = "/api/v1/assets/{asset}/jobs", tag = "jobs", operation_id = "listJobsOfAsset",
    params(("asset" = String, Path, description = "The asset's name.")),
    responses((status = 200, description = "All of them, in the order of their making.", body = JobList)))]
pub(super) async fn list_of_asset(
    caller: Caller,
    AssetPath(name): AssetPath,
    State(state): State<AppState>,
) -> Result<axum::Json<JobList>, Problem> {
    permitted_asset(&state, &caller, &name, Action::ManageJobs).await?;
    // The store limits an asset's jobs.
    let records = state.store.jobs_of(name).await?;
    Ok(axum::Json(JobList { jobs: job_bodies(&state, &records).await? }))
}

/// Makes a rendition anew. What is there stays until the new one takes its place.
#[utoipa::path(post, path = "/api/v1/assets/{asset}/jobs", tag = "jobs", operation_id = "createJob",
    request_body = NewJob, params(("asset" = String, Path, description = "The asset's name.")),
    responses((status = 201, description = "The job.", body = JobBody, headers(("location" = String)))))]
pub(super) async fn create(
    caller: Caller,
    AssetPath(name): AssetPath,
    State(state): State<AppState>,
    Json(body): Json<NewJob>,
) -> Result<impl IntoResponse, Problem> {
    permitted_asset(&state, &caller, &name, Action::ManageJobs).await?;
    let vod = state.vod.clone();
    let under_way = "A job that is not over makes this rendition.";
    let change = async move { vod.make_again(name, &body.rendition).await.map_err(|error| refused(error, under_way)) };
    let record = state.changes.run(change).await?;
    let headers = [(header::LOCATION, state.links.located(&format!("/api/v1/jobs/{}", record.id.0)))];
    Ok((StatusCode::CREATED, headers, axum::Json(body_of(&state, record).await?)))
}

/// A job with what was tried, and what its worker said.
#[utoipa::path(get, path = "/api/v1/jobs/{job}", tag = "jobs", operation_id = "readJob",
    params(("job" = i64, Path, description = "The job's number.")),
    responses((status = 200, description = "The job.", body = JobWithAttempts)))]
pub(super) async fn read(
    caller: Caller,
    JobPath(id): JobPath,
    State(state): State<AppState>,
) -> Result<axum::Json<JobWithAttempts>, Problem> {
    let record = permitted_job(&state, &caller, id).await?;
    let attempts = state.store.job_attempts(id).await?;
    let attempts = attempts.into_iter().map(AttemptBody::from).collect();
    Ok(axum::Json(JobWithAttempts { facts: body_of(&state, record).await?.facts, attempts }))
}

/// A job that failed or was cancelled is wanted again.
#[utoipa::path(post, path = "/api/v1/jobs/{job}/attempts", tag = "jobs", operation_id = "createAttempt",
    params(("job" = i64, Path, description = "The job's number.")),
    responses((status = 202, description = "It waits for its turn.", body = JobBody)))]
pub(super) async fn retry(
    caller: Caller,
    JobPath(id): JobPath,
    State(state): State<AppState>,
) -> Result<impl IntoResponse, Problem> {
    permitted_job(&state, &caller, id).await?;
    let vod = state.vod.clone();
    let wanted = "Only a job that failed or was cancelled can be wanted again.";
    let change = async move { vod.retry_job(id).await.map_err(|error| refused(error, wanted)) };
    let record = state.changes.run(change).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(body_of(&state, record).await?)))
}

/// Cancels a job. What it was to make is not made; an asset that is not playable yet fails.
#[utoipa::path(delete, path = "/api/v1/jobs/{job}", tag = "jobs", operation_id = "cancelJob",
    params(("job" = i64, Path, description = "The job's number.")),
    responses((status = 204, description = "Cancelled.")))]
pub(super) async fn cancel(
    caller: Caller,
    JobPath(id): JobPath,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    permitted_job(&state, &caller, id).await?;
    let vod = state.vod.clone();
    let change = async move {
        vod.cancel_job(id).await.map_err(|error| refused(error, "The job is over already."))?;
        Ok(())
    };
    state.changes.run(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The job of this number, if the caller may manage it.
async fn permitted_job(state: &AppState, caller: &Caller, id: JobId) -> Result<JobRecord, Problem> {
    let record = state.store.job(id).await?;
    let asset = match &record {
        Some(record) => state.store.asset(record.asset.clone()).await?,
        None => None,
    };
    let facts = asset.as_ref().map(AssetFacts::from);
    permit(caller, Action::ManageJobs, Subject::Asset(facts.as_ref()))?;
    record.ok_or_else(|| Problem::not_found("job"))
}

async fn body_of(state: &AppState, record: JobRecord) -> Result<JobBody, Problem> {
    let bodies = job_bodies(state, &[record]).await?;
    bodies.into_iter().next().ok_or_else(|| Problem::not_found("job"))
}

/// A job that is in another state than it must be.
fn refused(error: StoreError, why: &str) -> Problem {
    match error {
        StoreError::Conflict(_) => Problem::new(Code::Conflict, why),
        error => error.into(),
    }
}
