//! Signing in with a one-time code, and out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use serde::{Deserialize, Serialize};
use telstar_store::{Account, Role};
use utoipa::ToSchema;

use super::error::{Code, Problem};
use super::extract::Json;
use crate::auth::{
    Action, AuthError, Caller, OriginCheck, SESSION_LIFETIME_SECS, Secret, Standing, clear_session_cookies,
    session_cookie,
};
use crate::client::Client;
use crate::door::{origin_check, permit};
use crate::state::AppState;

/// A one-time code.
#[derive(Deserialize, ToSchema)]
pub(super) struct SignIn {
    /// What follows `#` in the sign-in link.
    code: String,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The account that the session stands for.
    account: AccountBody,
}

/// Who signs in.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountBody {
    /// Its number.
    id: i64,
    /// How it is called.
    #[schema(example = "admin")]
    name: String,
    /// What it may do: `admin` or `member`.
    #[schema(example = "admin", pattern = "^(admin|member)$")]
    role: &'static str,
}

impl From<Account> for Session {
    fn from(account: Account) -> Session {
        let role = match account.role {
            Role::Admin => "admin",
            Role::Member => "member",
        };
        Session { account: AccountBody { id: account.id.0, name: account.name, role } }
    }
}

/// Exchanges a one-time sign-in code for a session cookie. A code works once, within 15 minutes.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "sessions", operation_id = "signIn", request_body = SignIn,
    responses((status = 201, description = "Signed in; the cookie is set.", body = Session,
        headers(("set-cookie" = String, description = "The session."), ("location" = String)))))]
pub(super) async fn sign_in(
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    State(state): State<AppState>,
    Json(body): Json<SignIn>,
) -> Result<impl IntoResponse, Problem> {
    permit(&caller, Action::SignIn, None)?;
    // Another site's page must not sign a browser in as somebody else. Programs send no Origin, and need none.
    let foreign = origin_check(&state, &client, &Method::POST, &headers) == OriginCheck::Foreign;
    if foreign && headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(Code::ForeignOrigin, "A sign-in must come from a page of this server."));
    }
    state.doorkeeper.check(client.address).map_err(|secs| {
        Problem::new(Code::TooManyRequests, "Too many wrong codes came from this address.").retry_after_secs(secs)
    })?;
    let signed_in = state.authority.sign_in(&Secret::new(body.code)).await.map_err(|error| match error {
        AuthError::Rejected(reason) => {
            state.metrics.auth_refused_requests.add(1);
            state.doorkeeper.refused(client.address, reason);
            Problem::new(Code::BadSignInCode, "Print a new link with `telstar sign-in` on the server.")
        }
        error => error.into(),
    })?;
    let cookie =
        session_cookie(&signed_in.session, SESSION_LIFETIME_SECS, client.is_secure(&headers, &state.config.general));
    let headers = AppendHeaders([
        (header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(Problem::internal)?),
        (header::LOCATION, HeaderValue::from_static("/api/v1/sessions/current")),
    ]);
    Ok((StatusCode::CREATED, headers, axum::Json(Session::from(signed_in.account))))
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/v1/sessions/current", tag = "sessions", operation_id = "readSession",
    responses((status = 200, description = "The account behind this credential.", body = Session)))]
pub(super) async fn read(caller: Caller) -> Result<axum::Json<Session>, Problem> {
    permit(&caller, Action::ReadSession, None)?;
    caller.account.map(|account| axum::Json(account.into())).ok_or_else(Problem::unauthorised)
}

/// Signs this browser out.
#[utoipa::path(delete, path = "/api/v1/sessions/current", tag = "sessions", operation_id = "signOut",
    responses((status = 204, description = "Signed out; the cookie is cleared.")))]
pub(super) async fn sign_out(caller: Caller, State(state): State<AppState>) -> Result<impl IntoResponse, Problem> {
    permit(&caller, Action::SignOut, None)?;
    if let Standing::Session(session, ..) = caller.standing {
        let authority = Arc::clone(&state.authority);
        state.changes.run(async move { Ok(authority.sign_out(session).await?) }).await?;
    }
    let [secure, plain] = clear_session_cookies();
    let cleared = |cookie| HeaderValue::try_from(cookie).map(|value| (header::SET_COOKIE, value));
    let headers = [cleared(secure).map_err(Problem::internal)?, cleared(plain).map_err(Problem::internal)?];
    Ok((StatusCode::NO_CONTENT, AppendHeaders(headers)))
}
