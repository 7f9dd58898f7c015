//! Room tokens: for the users of an app, and for guests with an invite.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_units::{AccountId, RoomName};
use utoipa::ToSchema;

use super::error::{Code, Problem};
use super::extract::Json;
use super::text::checked_name;
use crate::auth::{
    Action, AuthError, Caller, Grant, Grants, IDENTITY_BYTES_MAX, Minted, ROOM_TOKEN_LIFETIME_SECS, RoomFacts,
    RoomToken, Secret, TOKEN_METADATA_BYTES_MAX,
};
use crate::client::Client;
use crate::door::permit;
use crate::state::{AppState, Shared};

/// What a token allows unless it is told otherwise: what people do in a call.
const DEFAULT_GRANTS: [Grant; 4] = [Grant::Join, Grant::Publish, Grant::Subscribe, Grant::Chat];

/// A token for somebody of an app (`room`, `identity`), or for a guest (`invite`, `name`).
#[derive(Deserialize, ToSchema)]
pub(super) struct NewToken {
    /// The room that it opens.
    #[schema(example = "demo")]
    room: Option<String>,
    /// Whom it is about, in the app's words: 1 to 256 bytes.
    #[schema(example = "alice")]
    identity: Option<String>,
    /// What others see: 1 to 100 characters.
    #[schema(example = "Alice", max_length = 100)]
    name: Option<String>,
    /// The app's own words, which others get: at most 1,024 bytes.
    #[schema(max_length = 1024)]
    metadata: Option<String>,
    /// Of `join`, `publish`, `subscribe`, `chat`, `upload`, `ingest`, `admin`; the first four if absent.
    #[schema(max_items = 7)]
    grants: Option<Vec<String>>,
    /// From 1 to 31,622,400; six hours if absent.
    #[schema(minimum = 1, maximum = 31_622_400, default = 21_600)]
    expires_in_secs: Option<i64>,
    /// An invite, instead of `room` and a credential.
    #[schema(example = "inv_…")]
    invite: Option<String>,
}

/// A room token.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    /// It.
    token: String,
    /// When it ends (RFC 3339).
    #[schema(format = "date-time")]
    expires_at: String,
    /// The room that it opens.
    room: String,
    /// Whom it is about; a guest is given a name of this server's own.
    identity: String,
    /// The call's page with the token. The token is behind `#`, which browsers do not send.
    call_url: String,
}

/// Makes a room token: with a credential for somebody of an app, with an invite for oneself.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "createToken", request_body = NewToken,
    responses((status = 201, description = "Made.", body = Token)))]
pub(super) async fn create(
    caller: Caller,
    client: Client,
    State(state): State<AppState>,
    Json(body): Json<NewToken>,
) -> Result<impl IntoResponse, Problem> {
    let (minted, room, identity) = match &body.invite {
        Some(invite) => for_guest(&caller, &client, &state, invite, &body).await?,
        None => for_user(&caller, &state, body).await?,
    };
    let origin = state.links.public_url().unwrap_or(&client.reached_origin);
    let token = minted.secret.expose();
    let body = Token {
        token: token.to_owned(),
        expires_at: minted.expires_at.to_rfc3339_millis(),
        call_url: format!("{origin}/call/{room}#token={token}"),
        room: room.to_string(),
        identity,
    };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)))
}

type Made = (Minted, RoomName, String);

/// Who shows an invite need show nothing else, and becomes a guest whoever they are.
async fn for_guest(
    caller: &Caller,
    client: &Client,
    state: &AppState,
    invite: &str,
    body: &NewToken,
) -> Result<Made, Problem> {
    permit(caller, Action::RedeemInvite, None)?;
    let name = checked_name(body.name.as_deref().unwrap_or_default())?;
    state.doorkeeper.check(client.address).map_err(|secs| {
        Problem::new(Code::TooManyRequests, "Too many wrong invites came from this address.").retry_after_secs(secs)
    })?;
    let invite = Secret::new(invite.to_owned());
    let Shared { authority, .. } = Shared::clone(state);
    // To the end even if the client goes: a use that was counted has its token, or was never counted.
    let pass = authority.redeem_invite(&invite, &name).await.map_err(|error| match error {
        AuthError::Rejected(reason) => {
            state.metrics.auth_refused_requests.add(1);
            state.doorkeeper.refused(client.address, reason);
            Problem::new(Code::BadInvite, "This invite is unknown, used up, expired or revoked.")
        }
        error => error.into(),
    })?;
    Ok((pass.token, pass.room, pass.identity))
}

async fn for_user(caller: &Caller, state: &AppState, body: NewToken) -> Result<Made, Problem> {
    let account = caller.account_role().map(|(account, _)| account);
    let name = body.room.as_deref().and_then(|room| RoomName::parse(room).ok());
    let entry = match &name {
        Some(name) => state.rooms.get(name).await?,
        None => None,
    };
    let facts = entry.map(|entry| RoomFacts::from(&*entry.facts()));
    if body.room.is_none() && account.is_some() {
        return Err(Problem::new(Code::InvalidFields, "room: the room that the token opens, or an invite instead."));
    }
    permit(caller, Action::MintTokens, facts.as_ref())?;
    let (account, room): (AccountId, _) = account.zip(name).ok_or_else(Problem::unauthorised)?;
    let identity = checked_identity(body.identity.as_deref().unwrap_or_default())?;
    let metadata = body.metadata.map(checked_metadata).transpose()?;
    let token = RoomToken {
        room: room.clone(),
        identity: identity.clone(),
        name: body.name.as_deref().map(checked_name).transpose()?,
        metadata,
        grants: checked_grants(body.grants.as_deref())?,
        lifetime_secs: body.expires_in_secs.unwrap_or(ROOM_TOKEN_LIFETIME_SECS),
    };
    Ok((state.authority.create_room_token(account, token).await?, room, identity))
}

fn checked_identity(identity: &str) -> Result<String, Problem> {
    let identity = identity.trim();
    if identity.is_empty() || identity.len() > IDENTITY_BYTES_MAX || identity.chars().any(char::is_control) {
        let detail = format!("identity: 1 to {IDENTITY_BYTES_MAX} bytes, none of them a control character.");
        return Err(Problem::new(Code::InvalidFields, detail));
    }
    Ok(identity.to_owned())
}

fn checked_metadata(metadata: String) -> Result<String, Problem> {
    // As it stands in the token: a character that JSON escapes may take six bytes.
    let escaped = serde_json::to_string(&metadata).map_err(Problem::internal)?;
    if escaped.len() > TOKEN_METADATA_BYTES_MAX {
        let detail = format!("metadata: at most {TOKEN_METADATA_BYTES_MAX} bytes as a JSON string.");
        return Err(Problem::new(Code::InvalidFields, detail));
    }
    Ok(metadata)
}

/// The grants of these names. A name that does not exist is a mistake here, where somebody can mend it.
pub(super) fn checked_grants(names: Option<&[String]>) -> Result<Grants, Problem> {
    let Some(names) = names else { return Ok(DEFAULT_GRANTS.into_iter().collect()) };
    let grants = Grants::parse(names.iter().map(String::as_str));
    let known = |name: &String| Grant::ALL.into_iter().any(|grant| grant.name() == name);
    if grants.is_empty() || names.len() > Grant::ALL.len() || !names.iter().all(known) {
        let all: Vec<&str> = Grant::ALL.into_iter().map(Grant::name).collect();
        return Err(Problem::new(Code::InvalidFields, format!("grants: at least one of {}.", all.join(", "))));
    }
    Ok(grants)
}
