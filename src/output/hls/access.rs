//! Which room a request is about, and whether its caller may watch it.

use std::sync::Arc;

use axum::extract::RawPathParams;
use axum::http::{HeaderMap, Method};
use telstar_units::RoomName;

use crate::api::error::Problem;
use crate::auth::{Action, Caller, Credential, RoomFacts, Secret, authorise};
use crate::client::Client;
use crate::door::{authenticate, caller_of, permit};
use crate::rooms::RoomEntry;
use crate::state::AppState;

/// The longest token that is copied to child addresses. Ours have about 300 bytes; it stands before each of some sixty
/// addresses of a playlist.
const TOKEN_BYTES_MAX: usize = 1_024;
/// The query parameter of playback tokens.
const TOKEN_PARAMETER: &str = "t";

/// A caller who may watch a room.
pub struct Viewing {
    pub room: Arc<RoomEntry>,
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
    query: String,
) -> Result<Viewing, Problem> {
    let name = params.iter().find(|(key, _)| *key == "room").and_then(|(_, name)| RoomName::parse(name).ok());
    let room = match &name {
        Some(name) => state.rooms.get(name).await?,
        None => None,
    };
    let facts = room.as_ref().map(|room| RoomFacts::from(&*room.facts()));
    let token = token_of(&query);
    let anyone = authorise(&Caller::anonymous(), Action::WatchRoom, facts.as_ref()).is_ok();
    if !anyone {
        let caller = match token {
            Some(token) => authenticate(state, client, Credential::Playback(Secret::new(token.to_owned()))).await?,
            None => caller_of(state, client, method, headers).await?,
        };
        permit(&caller, Action::WatchRoom, facts.as_ref())?;
    }
    let room = room.ok_or_else(|| Problem::not_found("room"))?;
    let child_query = token.map(|token| format!("{TOKEN_PARAMETER}={token}"));
    Ok(Viewing { room, is_private: !anyone, child_query })
}

/// The token of a query string, if it is written as tokens are (RFC 7515 §2, base64url with dots), so that it can stand
/// in a playlist as it is.
fn token_of(query: &str) -> Option<&str> {
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let token = values.filter(|(name, _)| *name == TOKEN_PARAMETER).map(|(_, value)| value).next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    ((1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(is_plain)).then_some(token)
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
            assert_eq!(token_of(query), expect, "{query}");
        }
    }
}
