//! tus 1.0 over HTTP (<https://tus.io/protocols/resumable-upload>), with every extension: creation,
//! creation-defer-length, creation-with-upload, expiration, checksum, termination, concatenation.
//!
//! In: requests. Out: answers in the protocol's words. What an upload is and becomes is `uploads`' to know.

mod answer;
pub mod headers;
pub mod sum;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use telstar_store::UploadKind;
use telstar_units::{AccountId, UploadName};
use tracing::debug;

use self::answer::Answer;
use self::headers::{BadHeader, Checksum, Concat, Length, Metadata};
use super::uploads::linger::lingering;
use super::uploads::{Create, UploadError};
use crate::api::error::{Code, Problem};
use crate::auth::{Action, Caller, Subject};
use crate::door::permit;
use crate::state::AppState;

/// Where uploads are.
pub const UPLOADS_PATH: &str = "/api/v1/uploads";
/// The version of the protocol, which every request and answer names.
pub const VERSION: &str = "1.0.0";
/// What `Tus-Extension` lists.
pub const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation";

static TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
static TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
static METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
static UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
static UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
static UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
static UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
static UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
static UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");

/// The routes of uploads.
pub fn router() -> Router<AppState> {
    Router::new()
        .route(UPLOADS_PATH, any(collection))
        .route("/api/v1/uploads/{upload}", any(upload))
        .layer(middleware::from_fn(name_version))
}

/// Every answer names the version, whatever it says.
async fn name_version(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(&TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

/// The method that is meant: clients behind firewalls send POST and say another. No other method is taken for another,
/// because what is safe by its name is asked less of.
fn method_of(request: &Request) -> Result<Method, Problem> {
    let named = request.headers().get(&METHOD_OVERRIDE).filter(|_| request.method() == Method::POST);
    let Some(named) = named else { return Ok(request.method().clone()) };
    let named = Method::from_bytes(named.as_bytes());
    named.map_err(|_| Problem::new(Code::BadRequest, "X-HTTP-Method-Override names no method."))
}

/// What the asset is called.
fn title_of(metadata: &Metadata) -> String {
    match metadata.text("title") {
        Some(title) => super::title_of(&title),
        None => super::title_of_file(&metadata.text("filename").or_else(|| metadata.text("name")).unwrap_or_default()),
    }
}

/// A field as text, which all of this protocol are.
fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{0}"))
}

fn bad(error: &BadHeader) -> Problem {
    Problem::new(Code::BadRequest, format!("{error}."))
}

/// Whether the client speaks this version: asked before anything is done, of every method but OPTIONS.
fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    if field(headers, &TUS_RESUMABLE) == Some(VERSION) {
        return Ok(());
    }
    let problem = Problem::new(Code::PreconditionFailed, format!("Tus-Resumable must be {VERSION}."));
    Err(problem.with(TUS_VERSION.clone(), HeaderValue::from_static(VERSION)))
}

async fn collection(caller: Caller, State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let request = lingering(request, &state.tasks);
    let answer = match method_of(&request)? {
        Method::OPTIONS => return Ok(answer::options(state.vod.uploads.limits().bytes_max)),
        Method::POST => {
            let owner = owner_of(&caller)?;
            check_version(request.headers())?;
            create(&state, owner, request).await?
        }
        _ => return Err(other_method("OPTIONS, POST")),
    };
    Ok(answer.into_response())
}

fn other_method(allowed: &'static str) -> Problem {
    let problem = Problem::new(Code::MethodNotAllowed, "See the Allow header.");
    problem.with(header::ALLOW, HeaderValue::from_static(allowed))
}

async fn upload(
    caller: Caller,
    State(state): State<AppState>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let request = lingering(request, &state.tasks);
    let method = method_of(&request)?;
    if method == Method::OPTIONS {
        return Ok(answer::options(state.vod.uploads.limits().bytes_max));
    }
    let owner = owner_of(&caller)?;
    check_version(request.headers())?;
    let name = UploadName::parse(&name).map_err(|_| Problem::not_found("upload"))?;
    let answer = match method {
        Method::HEAD => head(&state, &name, owner).await?,
        Method::PATCH => patch(&state, &name, owner, request).await?,
        Method::DELETE => delete(&state, &name, owner).await?,
        _ => return Err(other_method("DELETE, HEAD, OPTIONS, PATCH")),
    };
    Ok(answer.into_response())
}

/// Whose uploads the caller's are.
fn owner_of(caller: &Caller) -> Result<AccountId, Problem> {
    permit(caller, Action::CreateAsset, Subject::Server)?;
    caller.account_role().map(|(account, _)| account).ok_or_else(Problem::unauthorised)
}

async fn create(state: &AppState, owner: AccountId, request: Request) -> Result<Answer, Problem> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let metadata =
        Metadata::parse(field(headers, &UPLOAD_METADATA).unwrap_or_default()).map_err(|error| bad(&error))?;
    let is_name = |text: &str| UploadName::parse(text).is_ok();
    let concat = field(headers, &UPLOAD_CONCAT).map(|text| Concat::parse(text, is_name)).transpose();
    let concat = concat.map_err(|error| bad(&error))?;
    let title = title_of(&metadata);
    let new = |len, is_part| Create { owner, len, metadata: metadata.to_header(), title: title.clone(), is_part };
    let uploads = &state.vod.uploads;
    if let Some(Concat::Final(names)) = concat {
        if headers.contains_key(&UPLOAD_LENGTH) {
            return Err(Problem::new(Code::BadRequest, "Upload-Length: an upload of parts is as long as they are."));
        }
        let names: Vec<UploadName> = names.iter().filter_map(|name| UploadName::parse(name).ok()).collect();
        let upload = uploads.join(new(None, false), names).await?;
        return Ok(Answer::created(state, &upload));
    }
    let len = Length::parse(field(headers, &UPLOAD_LENGTH), field(headers, &UPLOAD_DEFER_LENGTH))
        .map_err(|error| bad(&error))?;
    let len = match len {
        Length::Known(len) => Some(len),
        Length::Deferred => None,
    };
    let carries_bytes = headers.get(header::CONTENT_TYPE).is_some_and(is_bytes);
    let checksum = checksum_of(headers)?;
    let upload = uploads.create(new(len, concat.is_some())).await?;
    if !carries_bytes || upload.is_complete() {
        return Ok(Answer::created(state, &upload));
    }
    // creation-with-upload: the upload exists whatever becomes of these bytes, and says how many there are.
    let (upload, turn) = uploads.read(&upload.name, owner).await?;
    let name = upload.name.clone();
    match uploads.append(upload, turn, 0, checksum, &title, body).await {
        Ok(upload) => Ok(Answer::created(state, &upload)),
        Err(error) => {
            // The client never hears of its address.
            if let Err(error) = uploads.delete(&name, owner).await {
                debug!(%error, "an upload that nobody knows of was not given up; it expires");
            }
            Err(error.into())
        }
    }
}

fn is_bytes(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| text.trim().eq_ignore_ascii_case("application/offset+octet-stream"))
}

fn checksum_of(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    field(headers, &UPLOAD_CHECKSUM).map(Checksum::parse).transpose().map_err(|error| bad(&error))
}

async fn head(state: &AppState, name: &UploadName, owner: AccountId) -> Result<Answer, Problem> {
    let (upload, _turn) = state.vod.uploads.read(name, owner).await?;
    Ok(Answer::head(&upload))
}

async fn patch(
    state: &AppState,
    name: &UploadName,
    owner: AccountId,
    request: Request<Body>,
) -> Result<Answer, Problem> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_bytes) {
        return Err(Problem::new(Code::UnsupportedMediaType, "The body must be application/offset+octet-stream."));
    }
    let offset = field(headers, &UPLOAD_OFFSET).ok_or(BadHeader { field: "Upload-Offset", what: "is missing" });
    let offset = offset.and_then(|text| headers::bytes("Upload-Offset", text)).map_err(|error| bad(&error))?;
    let told = field(headers, &UPLOAD_LENGTH).map(|text| headers::bytes("Upload-Length", text)).transpose();
    let told = told.map_err(|error| bad(&error))?;
    let checksum = checksum_of(headers)?;
    let uploads = &state.vod.uploads;
    let (mut upload, turn) = uploads.read(name, owner).await?;
    if upload.kind == UploadKind::Final {
        return Err(UploadError::Final.into());
    }
    if offset != upload.stored {
        return Err(UploadError::WrongOffset(upload.stored).into());
    }
    match (told, upload.len) {
        (Some(len), None) => upload = uploads.set_len(&upload, len).await?,
        (Some(len), Some(known)) if len != known => {
            return Err(Problem::new(Code::BadRequest, "Upload-Length: it was told before, and does not change."));
        }
        _ => {}
    }
    // It was read when the upload was made.
    let title = title_of(&Metadata::parse(&upload.metadata).unwrap_or_default());
    let upload = uploads.append(upload, turn, offset, checksum, &title, body).await?;
    Ok(Answer::patched(&upload))
}

async fn delete(state: &AppState, name: &UploadName, owner: AccountId) -> Result<Answer, Problem> {
    state.vod.uploads.delete(name, owner).await?;
    Ok(Answer::plain(StatusCode::NO_CONTENT))
}
