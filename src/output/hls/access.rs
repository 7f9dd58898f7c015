//! Which room a request is about, and whether its caller may watch it.

use std::sync::Arc;

use axum::extract::RawPathParams;
use axum::http::{HeaderMap, Method};
use telstar_units::RoomName;

use crate::api::error::Problem;
use crate::auth::{Action, Caller, Credential, RoomFacts, Secret, authorise};
use crate::client::Client;
use crate::door::{TOKEN_PARAMETER, authenticate, caller_of, permit, playback_token_of};
use crate::rooms::RoomEntry;
use crate::state::AppState;

/// A caller who may watch a room.
pub struct Viewing {
    /// What it watches.
    pub room: Arc<RoomEntry>,
    /// Who it is; nobody in an open room, where nobody is asked.
    pub caller: Caller,
    /// The answer is for this caller only: shared caches keep it from others.
    pub is_private: bool,
    /// `t=TOKEN`, for child addresses.
    child_query: Option<String>,
}

impl Viewing {
    /// What is appended to every address in a playlist. Directives (`_HLS_…`) are never copied.
    pub fn child_query(&self) -> Option<&str> {
        self.child_query.as_deref()
    }
}

/// Finds the room and asks whether the caller may watch it. An open room costs neither the store nor a signature.
pub async fn admit(
    state: &AppState,
    client: &Client,
    method: &Method,
    headers: &HeaderMap,
    params: &RawPathParams,
    query: &str,
) -> Result<Viewing, Problem> {
    let name = params.iter().find(|(key, _)| *key == "room").and_then(|(_, name)| RoomName::parse(name).ok());
    let room = match &name {
        Some(name) => state.rooms.get(name).await?,
        None => None,
    };
    let facts = room.as_ref().map(|room| RoomFacts::from(&*room.facts()));
    let token = playback_token_of(query);
    let mut caller = Caller::anonymous();
    let anyone = authorise(&caller, Action::WatchRoom, facts.as_ref()).is_ok();
    if !anyone {
        caller = match token {
            Some(token) => authenticate(state, client, Credential::Playback(Secret::new(token.to_owned()))).await?,
            None => caller_of(state, client, method, headers).await?,
        };
        permit(&caller, Action::WatchRoom, facts.as_ref())?;
    }
    let room = room.ok_or_else(|| Problem::not_found("room"))?;
    let child_query = token.map(|token| format!("{TOKEN_PARAMETER}={token}"));
    Ok(Viewing { room, caller, is_private: !anyone, child_query })
}
