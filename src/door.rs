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
    About, Action, AuthError, Caller, Credential, Denied, OriginCheck, Reason, Secret, Subject, Throttle,
    ThrottleConfig, authorise, sessions_of,
};
use crate::client::Client;
use crate::state::AppState;

/// The longest token that is copied to child addresses. Ours have about 300 bytes; it stands before each of some sixty
/// addresses of a playlist.
const TOKEN_BYTES_MAX: usize = 1_024;
/// The query parameter of playback tokens.
pub const TOKEN_PARAMETER: &str = "t";

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
    if let Some(secret) = bearer_of(headers)? {
        return authenticate(state, client, Credential::Bearer(secret)).await;
    }
    let anonymous = Caller::anonymous().at_loopback(client.is_on_this_machine());
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let origin = origin_check(state, client, method, headers);
    for session in sessions_of(cookies) {
        match state.authority.authenticate(Credential::Session(session, origin)).await {
            Ok(caller) => return Ok(caller.at_loopback(client.is_on_this_machine())),
            Err(AuthError::Rejected(Reason::SignedOut)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(anonymous)
}

/// The bearer of a request, if it shows any credential in `Authorization`.
pub fn bearer_of(headers: &HeaderMap) -> Result<Option<Secret>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    // RFC 9110 §11.1: the scheme's case does not count.
    let value = value.to_str().unwrap_or_default();
    let secret = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, secret) = secret.ok_or_else(Problem::unauthorised)?;
    Ok(Some(Secret::new(secret.trim().to_owned())))
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

/// The token of a query string, if it is written as tokens are (RFC 7515 §2, base64url with dots), so that it can stand
/// in a playlist as it is.
pub fn playback_token_of(query: &str) -> Option<&str> {
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let token = values.filter(|(name, _)| *name == TOKEN_PARAMETER).map(|(_, value)| value).next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    ((1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(is_plain)).then_some(token)
}

/// Whether `caller` may, as a problem when not.
pub fn permit<'a>(caller: &Caller, action: Action, subject: impl Into<Subject<'a>>) -> Result<(), Problem> {
    authorise(caller, action, subject).map_err(|denied| match denied {
        Denied::NotFound if action.about() == About::Asset => Problem::not_found("asset"),
        denied => denied.into(),
    })
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let client = Client::from_request_parts(parts, state).await?;
        caller_of(state, &client, &parts.method, &parts.headers).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_token_is_copied_into_playlists() {
        let long = format!("t={}", "a".repeat(TOKEN_BYTES_MAX + 1));
        for (query, expect) in [
            ("t=eyJh.b-c_d.e", Some("eyJh.b-c_d.e")),
            ("_HLS_msn=3&t=abc", Some("abc")),
            ("", None),
            ("t=", None),
            ("tt=abc", None),
            ("t=a%0a#EXT-X-ENDLIST", None),
            ("t=\"", None),
            (&long, None),
        ] {
            assert_eq!(playback_token_of(query), expect, "{query}");
        }
    }
}
