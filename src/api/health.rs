//! Liveness, readiness and metrics, for whoever keeps the server running.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Code, Problem};
use crate::auth::{Action, Caller};
use crate::door::permit;
use crate::state::AppState;

/// OpenMetrics text, as Prometheus asks for it.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`; anything else is a problem.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Liveness: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "readLiveness",
    responses((status = 200, description = "It answers.", body = Health)))]
pub(super) async fn alive(caller: Caller) -> Result<axum::Json<Health>, Problem> {
    permit(&caller, Action::ReadHealth, None)?;
    Ok(axum::Json(Health { status: "ok" }))
}

/// Readiness: newcomers are welcome. It turns to 503 while the server drains, and when a media thread has ended.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readReadiness",
    responses((status = 200, description = "It accepts newcomers.", body = Health)))]
pub(super) async fn ready(caller: Caller, State(state): State<AppState>) -> Result<axum::Json<Health>, Problem> {
    permit(&caller, Action::ReadHealth, None)?;
    if state.tasks.doors_are_closed() {
        return Err(Problem::new(Code::Unavailable, "The server is shutting down."));
    }
    if !state.rooms.media_is_running() {
        return Err(Problem::new(Code::Unavailable, "A media thread has ended; the server must be restarted."));
    }
    state.store.ping().await?;
    Ok(axum::Json(Health { status: "ok" }))
}

/// Numbers for Prometheus. For programs on this machine, and for administrators.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "readMetrics",
    responses((status = 200, description = "OpenMetrics text.", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")))]
pub(super) async fn metrics(caller: Caller, State(state): State<AppState>) -> Result<impl IntoResponse, Problem> {
    permit(&caller, Action::ReadMetrics, None)?;
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], state.metrics.encode()))
}
