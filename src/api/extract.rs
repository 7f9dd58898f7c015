//! What handlers take from a request, each refusing with a problem: JSON bodies, queries and names in paths.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use axum::http::header;
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use telstar_units::{AssetName, RoomName};

use super::error::{Code, Problem};
use crate::state::AppState;

/// How long a body may take to arrive. Bodies are a few hundred bytes; a phone on a bad link needs a second or two.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body, limited in size and time.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::new(Code::UnsupportedMediaType, "The body must be application/json."));
        }
        let bytes = read_body(request, state.config.limits.body_max_kib as usize * 1024).await?;
        parse(&bytes).map(Json)
    }
}

/// A JSON body that may be absent, which stands for `{}`.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let declared = is_json(&request);
        let bytes = read_body(request, state.config.limits.body_max_kib as usize * 1024).await?;
        if bytes.is_empty() {
            return parse(b"{}").map(OptionalJson);
        }
        if !declared {
            return Err(Problem::new(Code::UnsupportedMediaType, "The body must be application/json."));
        }
        parse(&bytes).map(OptionalJson)
    }
}

fn is_json(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

/// A body of at most `limit` bytes, within a time.
pub(crate) async fn read_body(request: Request, limit: usize) -> Result<bytes::Bytes, Problem> {
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Code::BodyTooLarge, format!("The body may have at most {limit} bytes.")))
        }
        Ok(Err(_)) => Err(Problem::new(Code::BadRequest, "The body broke off.")),
        Err(_) => Err(Problem::new(Code::RequestTimeout, "The body took too long to arrive.")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        // serde_json's messages name fields, types and places; a value appears only when it is of a wrong type.
        let code = if error.is_data() { Code::InvalidFields } else { Code::BadJson };
        Problem::new(code, format!("{error}."))
    })
}

/// The room named in the path. What is no room name is no room.
pub struct RoomPath(pub RoomName);

impl FromRequestParts<AppState> for RoomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("room"))?;
        let name = params.iter().find(|(key, _)| *key == "room").map(|(_, value)| RoomName::parse(value));
        match name {
            Some(Ok(name)) => Ok(RoomPath(name)),
            _ => Err(Problem::not_found("room")),
        }
    }
}

/// The asset named in the path. What is no asset name is no asset.
pub struct AssetPath(pub AssetName);

impl FromRequestParts<AppState> for AssetPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("asset"))?;
        let name = params.iter().find(|(key, _)| *key == "asset").map(|(_, value)| AssetName::parse(value));
        match name {
            Some(Ok(name)) => Ok(AssetPath(name)),
            _ => Err(Problem::not_found("asset")),
        }
    }
}

/// The fields of the query.
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(fields)) => Ok(QueryOf(fields)),
            Err(_) => Err(Problem::new(Code::InvalidFields, "The query is not what this takes.")),
        }
    }
}

/// The number named `id` in the path. What is no number is no thing.
pub struct IdPath(pub i64);

impl FromRequestParts<AppState> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let path = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(params)| params.get("id").and_then(|id| id.parse().ok()));
        id.map(IdPath).ok_or_else(|| Problem::not_found("id"))
    }
}
