//! Assets: making from a whole body, listing, reading, changing, deleting. Resumable uploads are `vod::tus`'s.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use telstar_store::{
    Asset, AssetChange, AssetState, AssetsOf, Cursor, JobRecord, PAGE_LIMIT_MAX, PageRequest, StoreError,
    job::State as JobState,
};
use telstar_units::AssetName;
use utoipa::ToSchema;

use super::asset_schema::{AssetBody, Sight, asset_body};
use super::error::Problem;
use super::extract::{AssetPath, Json, QueryOf};
use super::job_schema::{JobBody, Pace, job_body};
use super::rooms::{checked_origins, checked_title};
use crate::auth::{Action, AssetFacts, Caller, Subject, authorise};
use crate::door::permit;
use crate::state::{AppState, Shared};
use crate::vod::title_of_file;
use crate::vod::uploads::linger::lingering;

/// Which part of the list.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    cursor: Option<i64>,
    limit: Option<usize>,
}

/// What a new asset is called.
#[derive(Deserialize)]
pub(super) struct CreateQuery {
    title: Option<String>,
}

/// What changes in an asset; absent fields stay.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeAsset {
    /// 1 to 100 characters of any script.
    #[schema(min_length = 1, max_length = 100)]
    pub(super) title: Option<String>,
    /// Whether whoever has the link may watch.
    pub(super) open: Option<bool>,
    /// The origins whose pages may frame it, such as `https://blog.example`.
    #[schema(max_items = 32)]
    pub(super) embed_origins: Option<Vec<String>>,
}

/// Several assets.
#[derive(Serialize, ToSchema)]
pub(super) struct AssetList {
    /// Newest first.
    assets: Vec<AssetBody>,
    /// The `cursor` of the next page, or null.
    next: Option<String>,
}

/// The account's own assets, newest first.
#[utoipa::path(get, path = "/api/v1/assets", tag = "assets", operation_id = "listAssets",
    params(("cursor" = Option<String>, Query, description = "What the page before gave as `next`."),
        ("limit" = Option<u32>, Query, description = "1 to 100; 100 if absent.")),
    responses((status = 200, description = "A page of them.", body = AssetList)))]
pub(super) async fn list(
    caller: Caller,
    QueryOf(query): QueryOf<ListQuery>,
    State(state): State<AppState>,
) -> Result<axum::Json<AssetList>, Problem> {
    permit(&caller, Action::ListAssets, Subject::Server)?;
    let (account, _) = caller.account_role().ok_or_else(Problem::unauthorised)?;
    let request = PageRequest::new(query.cursor.map(Cursor), query.limit.unwrap_or(PAGE_LIMIT_MAX));
    let page = state.store.assets(AssetsOf::Owner(account), request).await?;
    let mut assets = Vec::with_capacity(page.items.len());
    for asset in &page.items {
        assets.push(body_of(&state, asset, Sight::OWNER).await?.0);
    }
    Ok(axum::Json(AssetList { assets, next: page.next.map(|cursor| cursor.0.to_string()) }))
}

/// Makes an asset of a whole body. What breaks off is gone: large files go to `/api/v1/uploads`, which can be resumed.
#[utoipa::path(post, path = "/api/v1/assets", tag = "assets", operation_id = "createAsset",
    params(("title" = Option<String>, Query,
        description = "1 to 100 characters. If absent, the `filename` of `Content-Disposition`.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file, of any type."),
    responses((status = 201, description = "Made; work on it has begun.", body = AssetBody,
            headers(("location" = String)))))]
pub(super) async fn create(
    caller: Caller,
    QueryOf(query): QueryOf<CreateQuery>,
    State(state): State<AppState>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    permit(&caller, Action::CreateAsset, Subject::Server)?;
    let (owner, _) = caller.account_role().ok_or_else(Problem::unauthorised)?;
    let title = match &query.title {
        Some(title) => checked_title(title)?,
        None => title_of_file(&filename_of(request.headers()).unwrap_or_default()),
    };
    let len = request.headers().get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok());
    let body = lingering(request, &state.tasks).into_body();
    let asset = state.vod.uploads.whole_body(owner, title, body, len).await?;
    let (body, _) = body_of(&state, &asset, Sight::OWNER).await?;
    let headers = [(header::LOCATION, state.links.located(&format!("/api/v1/assets/{}", asset.name)))];
    Ok((StatusCode::CREATED, headers, axum::Json(body)))
}

/// An asset. Whoever may only watch it is told what a player needs.
#[utoipa::path(get, path = "/api/v1/assets/{asset}", tag = "assets", operation_id = "readAsset",
    params(("asset" = String, Path, description = "The asset's name.")),
    responses((status = 200, description = "The asset.", body = AssetBody)))]
pub(super) async fn read(
    caller: Caller,
    AssetPath(name): AssetPath,
    State(state): State<AppState>,
) -> Result<axum::Json<AssetBody>, Problem> {
    let asset = permitted_asset(&state, &caller, &name, Action::WatchAsset).await?;
    Ok(axum::Json(body_of(&state, &asset, sight_of(&caller, &asset)).await?.0))
}

/// Changes an asset.
#[utoipa::path(patch, path = "/api/v1/assets/{asset}", tag = "assets", operation_id = "changeAsset",
    request_body = ChangeAsset, params(("asset" = String, Path, description = "The asset's name.")),
    responses((status = 200, description = "The asset after the change.", body = AssetBody)))]
pub(super) async fn change(
    caller: Caller,
    AssetPath(name): AssetPath,
    State(state): State<AppState>,
    Json(body): Json<ChangeAsset>,
) -> Result<axum::Json<AssetBody>, Problem> {
    permitted_asset(&state, &caller, &name, Action::ChangeAsset).await?;
    let change = AssetChange {
        title: body.title.as_deref().map(checked_title).transpose()?,
        open: body.open,
        embed_origins: body.embed_origins.map(checked_origins).transpose()?,
    };
    let Shared { store, vod, authority, .. } = Shared::clone(&state);
    let change = async move {
        let asset = store.change_asset(name, change, authority.now()).await?;
        vod.listings.changed(&asset.name);
        Ok(asset)
    };
    let asset = state.changes.run(change).await?;
    Ok(axum::Json(body_of(&state, &asset, sight_of(&caller, &asset)).await?.0))
}

/// Deletes an asset with its source, its renditions and its jobs, one under way included.
#[utoipa::path(delete, path = "/api/v1/assets/{asset}", tag = "assets", operation_id = "deleteAsset",
    params(("asset" = String, Path, description = "The asset's name.")),
    responses((status = 204, description = "Gone.")))]
pub(super) async fn delete(
    caller: Caller,
    AssetPath(name): AssetPath,
    State(state): State<AppState>,
) -> Result<StatusCode, Problem> {
    permitted_asset(&state, &caller, &name, Action::DeleteAsset).await?;
    let vod = state.vod.clone();
    let change = async move {
        vod.delete_asset(name).await?;
        Ok(())
    };
    state.changes.run(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The asset of this name, if the caller may do `action` with it.
pub(super) async fn permitted_asset(
    state: &AppState,
    caller: &Caller,
    name: &AssetName,
    action: Action,
) -> Result<Asset, Problem> {
    let asset = state.store.asset(name.clone()).await?;
    let facts = asset.as_ref().map(AssetFacts::from);
    permit(caller, action, Subject::Asset(facts.as_ref()))?;
    asset.ok_or_else(|| Problem::not_found("asset"))
}

fn sight_of(caller: &Caller, asset: &Asset) -> Sight {
    let facts = AssetFacts::from(asset);
    let may = |action| authorise(caller, action, Subject::Asset(Some(&facts))).is_ok();
    Sight { changes: may(Action::ChangeAsset), downloads: may(Action::DownloadAsset) }
}

/// An asset's body, and its jobs'.
pub(super) async fn body_of(
    state: &Shared,
    asset: &Asset,
    sight: Sight,
) -> Result<(AssetBody, Vec<JobBody>), StoreError> {
    let listing = state.vod.listings.of(asset).await?;
    let jobs = job_bodies(state, &state.store.jobs_of(asset.name.clone()).await?).await?;
    let mut body = asset_body(asset, &listing, &jobs, &state.links, sight);
    if sight.changes && asset.state == AssetState::Processing {
        body.waits_because(state.vod.jobs.standstill());
    }
    Ok((body, jobs))
}

/// The bodies of jobs, those under way with how far they are.
pub(super) async fn job_bodies(state: &Shared, records: &[JobRecord]) -> Result<Vec<JobBody>, StoreError> {
    let mut bodies = Vec::with_capacity(records.len());
    for record in records {
        let pace = match record.job.state {
            JobState::Leased(..) => pace_of(state, record).await?,
            _ => None,
        };
        let mut body = job_body(record, pace);
        if matches!(record.job.state, JobState::Ready(_)) {
            body.facts.waits_because(state.vod.jobs.standstill());
        }
        bodies.push(body);
    }
    Ok(bodies)
}

async fn pace_of(state: &Shared, record: &JobRecord) -> Result<Option<Pace>, StoreError> {
    let JobRecord { id, asset, .. } = record;
    let share = state.vod.listings.progress_of(asset, *id).unwrap_or(record.progress);
    let attempts = state.store.job_attempts(*id).await?;
    let Some(current) = attempts.last().filter(|attempt| attempt.ended_at.is_none()) else { return Ok(None) };
    let micros = state.authority.now().0.saturating_sub(current.began_at.0).max(0);
    Ok(Some(Pace { share: f64::from(share.min(10_000)) / 10_000.0, secs: micros as f64 / 1_000_000.0 }))
}

/// The file's name as the client has it (RFC 6266 §4.3): `filename*` before `filename`.
fn filename_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_DISPOSITION)?;
    // What is not ASCII stands in `filename` as UTF-8 all the same.
    let value = std::str::from_utf8(value.as_bytes()).ok()?;
    let parameters = parameters_of(value);
    let of = |wanted: &str| {
        parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    };
    of("filename*").and_then(extended).or_else(|| of("filename").map(str::to_owned))
}

/// `name=value` and `name="value"` behind semicolons (RFC 9110 §5.6.6).
fn parameters_of(value: &str) -> Vec<(&str, String)> {
    let mut parameters = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_start_matches(';').trim();
        let (value, behind) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        parameters.push((name, value));
        rest = behind.trim_start_matches([' ', '\t', ';']);
    }
    parameters
}

/// A quoted string from behind its first quote, and what is behind its last.
fn unquoted(quoted: &str) -> (String, &str) {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            '"' if !is_escaped => return (value, &quoted[at + 1..]),
            '\\' if !is_escaped => is_escaped = true,
            character => {
                value.push(character);
                is_escaped = false;
            }
        }
    }
    (value, "")
}

/// `UTF-8'en'na%C3%AFve` (RFC 8187 §3.2).
fn extended(value: &str) -> Option<String> {
    let mut fields = value.splitn(3, '\'');
    let (charset, _, text) = (fields.next()?, fields.next()?, fields.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, behind @ ..] = rest else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_title_comes_out_of_the_files_name() {
        for (value, expect) in [
            ("attachment; filename=film.mp4", Some("film.mp4")),
            ("attachment; filename=\"a \\\"b\\\"; c.mp4\"", Some("a \"b\"; c.mp4")),
            ("attachment; filename=\"x\"; filename*=UTF-8''%ED%9A%8C%EC%9D%98.mp4", Some("회의.mp4")),
            ("attachment; FileName*=utf-8'ko'a%20b", Some("a b")),
            ("attachment; filename*=latin1''a; filename=b", Some("b")),
            ("attachment; filename*=UTF-8''a%2", None),
            ("attachment; filename=\"회의.mp4\"", Some("회의.mp4")),
            ("attachment; size=3; filename=b", Some("b")),
            ("inline", None),
            ("", None),
        ] {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("bytes of a header");
            let headers = HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]);
            assert_eq!(filename_of(&headers).as_deref(), expect);
        }
    }
}
