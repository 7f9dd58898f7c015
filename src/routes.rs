//! All routes of HTTP in one table, and the layers that every request passes.
//!
//! From outside in: the panic cell and the log, who the client is, the headers that every answer carries.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::{Level, debug};

use crate::api::error::{Code, Problem};
use crate::state::AppState;
use crate::telemetry::redact;
use crate::{api, client, gateway, output, vod, web, whx};

/// What answers without a policy of their own get: nothing may load, nobody may frame.
const NOTHING_LOADS: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Everything that is answered over HTTP.
pub fn router(state: &AppState) -> Router {
    Router::new()
        .merge(web::router())
        .merge(api::router())
        .merge(output::hls::router(state.viewer_keys.clone()))
        .merge(gateway::router(state))
        .merge(whx::router())
        .merge(vod::tus::router())
        .merge(vod::serve::router())
        .fallback(async || Problem::not_found("page"))
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed, "See the Allow header."))
        .layer(from_fn(common_headers))
        .layer(from_fn_with_state(state.clone(), client::identify))
        .layer(from_fn_with_state(state.clone(), observe))
        .with_state(state.clone())
}

/// Counts and logs every request, and keeps a handler's panic to its own request.
async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let target = tracing::enabled!(Level::DEBUG)
        .then(|| request.uri().path_and_query().map(|target| redact(target.as_str())).unwrap_or_default());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route_name = || route.as_ref().map_or("", MatchedPath::as_str);
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            state.metrics.tasks_panics.add(1);
            Problem::internal(format!("a handler of {} panicked", route_name())).into_response()
        }
    };
    let status = response.status();
    state.metrics.http_answered_requests.add(1);
    if status.is_client_error() {
        state.metrics.http_refused_requests.add(1);
    } else if status.is_server_error() {
        state.metrics.http_failed_requests.add(1);
    }
    let took_ms = started.elapsed().as_millis() as u64;
    debug!(%method, target = target.as_deref(), route = route_name(), status = status.as_u16(), took_ms, "an HTTP request");
    response
}

/// Headers that make browsers careful. A handler's own value stays.
async fn common_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if !is_upgrade {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NOTHING_LOADS);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Links carry tokens; none of them may travel to other sites.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
