//! Playback tokens: links to rooms and assets that are not open.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::assets::permitted_asset;
use super::error::Problem;
use super::extract::{AssetPath, OptionalJson, RoomPath};
use super::rooms::permitted_room;
use crate::auth::{Action, AssetFacts, Caller, Minted, PLAYBACK_TOKEN_LIFETIME_SECS, RoomFacts};
use crate::client::Client;
use crate::state::AppState;

/// How long a new playback token is good.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewPlaybackToken {
    /// From 1 to 2,592,000; a day if absent.
    #[serde(default = "default_lifetime")]
    #[schema(minimum = 1, maximum = 2_592_000, default = 86_400)]
    expires_in_secs: i64,
}

fn default_lifetime() -> i64 {
    PLAYBACK_TOKEN_LIFETIME_SECS
}

/// A playback token.
#[derive(Serialize, ToSchema)]
pub(super) struct PlaybackToken {
    /// It, for `?t=`.
    token: String,
    /// When it ends (RFC 3339).
    #[schema(format = "date-time")]
    expires_at: String,
    /// The page of the room or asset, with the token.
    watch_url: String,
}

/// Makes a token that lets whoever has it watch this room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/playback-tokens", tag = "playback tokens",
    operation_id = "createPlaybackToken", request_body = Option<NewPlaybackToken>,
    params(("room" = String, Path, description = "The room's name.")),
    responses((status = 201, description = "Made.", body = PlaybackToken)))]
pub(super) async fn create(
    caller: Caller,
    client: Client,
    RoomPath(name): RoomPath,
    State(state): State<AppState>,
    OptionalJson(body): OptionalJson<NewPlaybackToken>,
) -> Result<impl IntoResponse, Problem> {
    let room = permitted_room(&state, &caller, &name, Action::MintPlaybackTokens).await?;
    let facts = RoomFacts::from(&*room.facts());
    let minted = state.authority.create_playback_token(&facts, body.expires_in_secs)?;
    Ok(created(&state, &client, &minted, &format!("/watch/{name}")))
}

/// Makes a token that lets whoever has it watch this asset.
#[utoipa::path(post, path = "/api/v1/assets/{asset}/playback-tokens", tag = "playback tokens",
    operation_id = "createAssetPlaybackToken", request_body = Option<NewPlaybackToken>,
    params(("asset" = String, Path, description = "The asset's name.")),
    responses((status = 201, description = "Made.", body = PlaybackToken)))]
pub(super) async fn create_of_asset(
    caller: Caller,
    client: Client,
    AssetPath(name): AssetPath,
    State(state): State<AppState>,
    OptionalJson(body): OptionalJson<NewPlaybackToken>,
) -> Result<impl IntoResponse, Problem> {
    let asset = permitted_asset(&state, &caller, &name, Action::MintAssetTokens).await?;
    let minted = state.authority.create_asset_playback_token(&AssetFacts::from(&asset), body.expires_in_secs)?;
    Ok(created(&state, &client, &minted, &format!("/library/{name}")))
}

fn created(state: &AppState, client: &Client, minted: &Minted, page: &str) -> impl IntoResponse + use<> {
    let token = minted.secret.expose();
    let origin = state.links.public_url().unwrap_or(&client.reached_origin);
    let body = PlaybackToken {
        token: token.to_owned(),
        expires_at: minted.expires_at.to_rfc3339_millis(),
        watch_url: format!("{origin}{page}?t={token}"),
    };
    (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(body))
}
