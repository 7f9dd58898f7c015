//! A room's stream keys: what encoders push with.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_store::{PageRequest, StreamKey, StreamKeyId};
use telstar_units::WallTime;
use utoipa::ToSchema;

use super::error::Problem;
use super::extract::{IdPath, OptionalJson, RoomPath};
use super::rooms::permitted_room;
use super::text::checked_label;
use crate::auth::{Action, Caller};
use crate::state::{AppState, Shared};

/// A stream key, without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamKey)]
pub(super) struct StreamKeyBody {
    /// Its number.
    id: i64,
    /// What its owner calls it.
    label: String,
    /// Its beginning, by which its owner recognises it.
    #[schema(example = "sk_9x4k…")]
    hint: String,
    /// When it was made (RFC 3339).
    #[schema(format = "date-time")]
    created_at: String,
    /// When an encoder last came with it (RFC 3339), or null.
    #[schema(format = "date-time")]
    last_used_at: Option<String>,
}

impl From<StreamKey> for StreamKeyBody {
    fn from(key: StreamKey) -> StreamKeyBody {
        StreamKeyBody {
            id: key.id.0,
            label: key.label,
            hint: key.hint,
            created_at: key.created_at.to_rfc3339_millis(),
            last_used_at: key.last_used_at.map(WallTime::to_rfc3339_millis),
        }
    }
}

/// A room's stream keys.
#[derive(Serialize, ToSchema)]
pub(super) struct StreamKeyList {
    /// Those that are not revoked, oldest first.
    stream_keys: Vec<StreamKeyBody>,
}

/// What a new stream key is called.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewStreamKey {
    /// At most 100 characters.
    #[serde(default)]
    #[schema(max_length = 100)]
    label: String,
}

/// A stream key, with the key. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedStreamKey {
    /// What can be seen later, too.
    #[serde(flatten)]
    stream_key: StreamKeyBody,
    /// The encoder's box "Stream Key".
    #[schema(example = "sk_…")]
    key: String,
}

/// A room's stream keys.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/stream-keys", tag = "stream keys", operation_id = "listStreamKeys",
    params(("room" = String, Path, description = "The room's name.")),
    responses((status = 200, description = "Those that are not revoked.", body = StreamKeyList)))]
pub(super) async fn list(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
) -> Result<axum::Json<StreamKeyList>, Problem> {
    permitted_room(&state, &caller, &name, Action::ManageStreamKeys).await?;
    // A room's keys fit one page; the store asserts it.
    let page = state.store.stream_keys(name, PageRequest::first()).await?;
    Ok(axum::Json(StreamKeyList { stream_keys: page.items.into_iter().map(StreamKeyBody::from).collect() }))
}

/// Makes a stream key. The answer shows it once.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/stream-keys", tag = "stream keys",
    operation_id = "createStreamKey", request_body = Option<NewStreamKey>,
    params(("room" = String, Path, description = "The room's name.")),
    responses((status = 201, description = "Made; the key is shown this once.", body = CreatedStreamKey,
        headers(("location" = String)))))]
pub(super) async fn create(
    caller: Caller,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
    OptionalJson(body): OptionalJson<NewStreamKey>,
) -> Result<impl IntoResponse, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::ManageStreamKeys).await?;
    let label = checked_label(&body.label)?;
    let owner = caller.account_role().map_or(room.facts().owner, |(account, _)| account);
    let (stream_key, secret) = state.authority.create_stream_key(name.clone(), label, owner).await?;
    let location = format!("/api/v1/rooms/{name}/stream-keys/{}", stream_key.id.0);
    let body = CreatedStreamKey { stream_key: stream_key.into(), key: secret.expose().to_owned() };
    let headers = [(header::LOCATION, state.links.located(&location)), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, axum::Json(body)))
}

/// Revokes a stream key at once, even while an encoder publishes with it.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/stream-keys/{id}", tag = "stream keys",
    operation_id = "revokeStreamKey",
    params(("room" = String, Path, description = "The room's name."), ("id" = i64, Path, description = "The key's number.")),
    responses((status = 204, description = "Revoked; whoever published with it was sent away.")))]
pub(super) async fn revoke(
    caller: Caller,
    RoomPath(name): RoomPath,
    IdPath(id): IdPath,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    permitted_room(&state, &caller, &name, Action::ManageStreamKeys).await?;
    let key = StreamKeyId(id);
    let Shared { rooms, authority, .. } = Shared::clone(&state);
    let change = async move {
        authority.revoke_stream_key(name, key).await?;
        rooms.key_revoked(key).await;
        Ok(())
    };
    state.changes.run(change).await?;
    Ok(StatusCode::NO_CONTENT)
}
