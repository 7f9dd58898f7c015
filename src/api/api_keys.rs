//! An account's API keys: with one, an app's own server signs room tokens itself.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_store::{API_KEYS_PER_ACCOUNT_MAX, ApiKey, PAGE_LIMIT_MAX, PageRequest};
use telstar_units::AccountId;
use utoipa::ToSchema;

use super::error::Problem;
use super::extract::OptionalJson;
use super::text::checked_label;
use crate::auth::{Action, Caller};
use crate::door::permit;
use crate::state::{AppState, Shared};

const _: () = assert!(API_KEYS_PER_ACCOUNT_MAX <= PAGE_LIMIT_MAX, "an account's keys fit one page");

/// What a new API key is called.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewApiKey {
    /// At most 100 characters.
    #[serde(default)]
    #[schema(max_length = 100)]
    label: String,
}

/// An API key, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct ApiKeyBody {
    /// What tokens carry as `iss`.
    #[schema(example = "ak_3n8v0qk2c5w7r1tz")]
    id: String,
    /// What its owner calls it.
    label: String,
    /// When it was made (RFC 3339).
    #[schema(format = "date-time")]
    created_at: String,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> ApiKeyBody {
        ApiKeyBody { id: key.id, label: key.label, created_at: key.created_at.to_rfc3339_millis() }
    }
}

/// An account's API keys.
#[derive(Serialize, ToSchema)]
pub(super) struct ApiKeyList {
    /// Those that are not revoked, oldest first.
    api_keys: Vec<ApiKeyBody>,
}

/// An API key, with its secret. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedApiKey {
    /// What can be seen later, too.
    #[serde(flatten)]
    api_key: ApiKeyBody,
    /// The bytes of this text are the key of HS256.
    secret: String,
}

fn permitted_account(caller: &Caller) -> Result<AccountId, Problem> {
    permit(caller, Action::ManageApiKeys, None)?;
    caller.account_role().map(|(account, _)| account).ok_or_else(Problem::unauthorised)
}

/// The account's own API keys.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "API keys", operation_id = "listApiKeys",
    responses((status = 200, description = "Those that are not revoked.", body = ApiKeyList)))]
pub(super) async fn list(caller: Caller, State(state): State<AppState>) -> Result<axum::Json<ApiKeyList>, Problem> {
    let account = permitted_account(&caller)?;
    let page = state.store.api_keys(account, PageRequest::first()).await?;
    Ok(axum::Json(ApiKeyList { api_keys: page.items.into_iter().map(ApiKeyBody::from).collect() }))
}

/// Makes an API key. The answer shows its secret once.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "API keys", operation_id = "createApiKey",
    request_body = Option<NewApiKey>,
    responses((status = 201, description = "Made; the secret is shown this once.", body = CreatedApiKey,
        headers(("location" = String)))))]
pub(super) async fn create(
    caller: Caller,
    State(state): State<AppState>,
    OptionalJson(body): OptionalJson<NewApiKey>,
) -> Result<impl IntoResponse, Problem> {
    let account = permitted_account(&caller)?;
    let label = checked_label(&body.label)?;
    let (api_key, secret) = state.authority.create_api_key(account, label).await?;
    let location = format!("/api/v1/api-keys/{}", api_key.id);
    let body = CreatedApiKey { api_key: api_key.into(), secret: secret.expose().to_owned() };
    let headers = [(header::LOCATION, state.links.located(&location)), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, axum::Json(body)))
}

/// Revokes an API key, and with it every token that it ever signed. Whoever is connected with one is disconnected.
#[utoipa::path(delete, path = "/api/v1/api-keys/{key}", tag = "API keys", operation_id = "revokeApiKey",
    params(("key" = String, Path, description = "The key's id.")),
    responses((status = 204, description = "Revoked.")))]
pub(super) async fn revoke(
    caller: Caller,
    Path(id): Path<String>,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    let account = permitted_account(&caller)?;
    let Shared { authority, .. } = Shared::clone(&state);
    state.changes.run(async move { Ok(authority.revoke_api_key(account, id).await?) }).await?;
    Ok(StatusCode::NO_CONTENT)
}
