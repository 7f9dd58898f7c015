//! The door that every HTTP request passes: who asks, and whether it may.
//!
//! In: a request's headers and the client that [`crate::client`] identified. Out: a [`Caller`], or a problem. Whether
//! the caller may do what it asks for is [`permit`]'s one question to `auth::authorise`.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use crate::api::error::{Code, Problem};
use crate::auth::{
    Action, AuthError, Caller, Credential, OriginCheck, Reason, RoomFacts, Secret, Throttle, ThrottleConfig, authorise,
    session_of,
};
use crate::client::Client;
use crate::state::AppState;

/// How often each address may show a wrong credential: one budget over HTTP, WebSocket and RTMP.
///
/// Loopback has no more than others. A proxy on this machine that names nobody looks like a local program, and one
/// budget for all its clients is better than none; a local program that is wrong a hundred times can wait a second.
pub struct Doorkeeper(Mutex<Throttle>);

impl Default for Doorkeeper {
    fn default() -> Self {
        Doorkeeper(Mutex::new(Throttle::new(ThrottleConfig::default())))
    }
}

impl Doorkeeper {
    /// Whether `address` may show a credential now, or for how many seconds not.
    pub fn check(&self, address: IpAddr) -> Result<(), u32> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner).check(Instant::now(), address);
        waits.map_err(|wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// Notes why a credential was refused.
    pub fn refused(&self, address: IpAddr, reason: Reason) {
        if reason.is_guess() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).handle_failure(Instant::now(), address);
        }
    }
}

/// Says who shows this credential, unless its address was wrong too often.
pub async fn authenticate(state: &AppState, client: &Client, credential: Credential) -> Result<Caller, Problem> {
    state.doorkeeper.check(client.address).map_err(|secs| {
        state.metrics.auth_refused_requests.add(1);
        Problem::new(Code::TooManyRequests, "Too many wrong credentials came from this address.").retry_after_secs(secs)
    })?;
    match state.authority.authenticate(credential).await {
        Ok(caller) => Ok(caller.at_loopback(client.is_on_this_machine())),
        Err(error) => {
            if let AuthError::Rejected(reason) = error {
                state.metrics.auth_refused_requests.add(1);
                state.doorkeeper.refused(client.address, reason);
            }
            Err(error.into())
        }
    }
}

/// Who asks: by bearer, by session cookie, or nobody. A bearer that is not good is refused; a cookie whose session has
/// ended is none, because browsers go on sending it.
pub async fn caller_of(
    state: &AppState,
    client: &Client,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        // RFC 9110 §11.1: the scheme's case does not count.
        let value = value.to_str().unwrap_or_default();
        let secret = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, secret) = secret.ok_or_else(Problem::unauthorised)?;
        return authenticate(state, client, Credential::Bearer(Secret::new(secret.trim().to_owned()))).await;
    }
    let anonymous = Caller::anonymous().at_loopback(client.is_on_this_machine());
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let Some(session) = session_of(cookies) else { return Ok(anonymous) };
    let origin = origin_check(state, client, method, headers);
    let outcome = state.authority.authenticate(Credential::Session(session, origin)).await;
    match outcome {
        Ok(caller) => Ok(caller.at_loopback(client.is_on_this_machine())),
        Err(AuthError::Rejected(Reason::SignedOut)) => Ok(anonymous),
        Err(error) => Err(error.into()),
    }
}

/// What a request shows of where it comes from.
pub fn origin_check(state: &AppState, client: &Client, method: &Method, headers: &HeaderMap) -> OriginCheck {
    if method.is_safe() {
        return OriginCheck::NotNeeded;
    }
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let ours = origin.is_some_and(|origin| client.is_our_origin(origin, &state.config.general));
    if ours { OriginCheck::Ours } else { OriginCheck::Foreign }
}

/// Whether `caller` may, as a problem when not.
pub fn permit(caller: &Caller, action: Action, room: Option<&RoomFacts>) -> Result<(), Problem> {
    authorise(caller, action, room).map_err(Problem::from)
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let client = Client::from_request_parts(parts, state).await?;
        caller_of(state, &client, &parts.method, &parts.headers).await
    }
}
