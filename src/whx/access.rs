//! Who may begin a session, and who may go on with one.
//!
//! The address of a session is a secret that only the server and whoever began it know. RFC 9725 §4.1 wants the bearer with
//! its requests all the same, so whoever showed a credential to begin shows one of the same principal to go on; whoever
//! watches an open room, or by a token in the address, has shown none in a header and needs none.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use telstar_store::SecretHash;
use telstar_units::RoomName;

use crate::api::error::{Code, Problem};
use crate::auth::{Action, Caller, Credential, Principal, RoomFacts, Standing};
use crate::client::Client;
use crate::door::{authenticate, bearer_of, caller_of, permit};
use crate::rooms::RoomEntry;
use crate::state::AppState;

/// The longest name of an encoder that is shown. Browsers' have about 120 characters.
const ENCODER_CHARS_MAX: usize = 200;

/// What a request must show to go on with a session.
pub(super) enum Lock {
    /// Its address.
    Address,
    /// And a credential of this principal: the same bearer, or another one, such as its next token.
    Principal { bearer: Option<SecretHash>, principal: Option<Principal> },
}

impl Lock {
    /// What this beginning asks of what follows.
    pub(super) fn of(headers: &HeaderMap, caller: &Caller) -> Result<Lock, Problem> {
        let bearer = bearer_of(headers)?.map(|bearer| bearer.hash());
        let by_header = bearer.is_some() || matches!(caller.standing, Standing::Session(..));
        Ok(match by_header && !caller.is_anonymous() {
            true => Lock::Principal { bearer, principal: caller.principal.clone() },
            false => Lock::Address,
        })
    }

    /// Whether a request may go on with the session.
    pub(super) async fn open(
        &self,
        state: &AppState,
        client: &Client,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let Lock::Principal { bearer, principal } = self else { return Ok(()) };
        let shown = bearer_of(headers)?;
        // The same as before needs no second look: what was taken back has ended the session.
        if let (Some(shown), Some(bearer)) = (&shown, bearer)
            && shown.matches(bearer)
        {
            return Ok(());
        }
        let caller = encoder_of(state, client, method, headers).await?;
        if caller.is_anonymous() {
            return Err(Problem::unauthorised());
        }
        if caller.principal != *principal {
            return Err(Problem::new(Code::Forbidden, "Somebody else began this session."));
        }
        Ok(())
    }
}

/// Who asks, where an encoder may ask: its bearer may be a stream key.
async fn encoder_of(
    state: &AppState,
    client: &Client,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    match bearer_of(headers)? {
        Some(secret) => authenticate(state, client, Credential::of_encoder(secret)).await,
        None => caller_of(state, client, method, headers).await,
    }
}

/// Finds the room and asks whether the caller may publish into it.
pub(super) async fn publisher(
    state: &AppState,
    client: &Client,
    method: &Method,
    headers: &HeaderMap,
    room: &str,
) -> Result<(Caller, Arc<RoomEntry>), Problem> {
    let caller = encoder_of(state, client, method, headers).await?;
    let room = match RoomName::parse(room) {
        Ok(name) => state.rooms.get(&name).await?,
        Err(_) => None,
    };
    let facts = room.as_ref().map(|room| RoomFacts::from(&*room.facts()));
    permit(&caller, Action::Publish, facts.as_ref())?;
    Ok((caller, room.ok_or_else(|| Problem::not_found("room"))?))
}

/// What an encoder calls itself, for people to read.
pub(super) fn encoder_name(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(ENCODER_CHARS_MAX).collect())
}
