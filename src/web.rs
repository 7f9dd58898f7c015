//! The pages and their assets, embedded in the executable.
//!
//! In: `static/dist`, as `npm run build` leaves it, and the page about errors. Out: pages under a strict content security policy, hashed assets
//! that browsers keep for ever, the client library. Only `/embed/…` can be framed, and only by the origins of its room or asset.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{LazyLock, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::api::error::Problem;
use crate::api::extract::{AssetPath, RoomPath};
use crate::auth::{Action, AssetFacts, Caller, Credential, RoomFacts, Secret, Subject};
use crate::client::Client;
use crate::config::address::parse_origin;
use crate::door::{authenticate, permit, playback_token_of};
use crate::state::AppState;

/// A hashed asset never changes under its name.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";
/// Pages name the hashed assets, so they are asked for each time; the answer is mostly 304.
const CACHE_ASK: &str = "no-cache";
/// The client library has a stable name; a fix reaches everyone within this time.
const CACHE_SHORT: &str = "public, max-age=300";
/// What the pages of a call and the studio may use.
const DEVICE_PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), \
                                geolocation=(), payment=(), usb=()";
/// The page about errors, as it stands in the repository.
const PROBLEMS: &str = include_str!("../docs/problems.md");
/// Smaller files gain nothing from compression.
const GZIP_BYTES_MIN: usize = 1_024;

/// Compressed files by the hash of their content and their name.
type CompressedFiles = HashMap<([u8; 32], String), Bytes>;

#[derive(RustEmbed)]
#[folder = "static/dist"]
struct Files;

/// The routes of pages and assets. All of them pass [`admit`].
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(|client, headers| page("index.html", client, headers)))
        .route("/sign-in", get(|client, headers| page("sign-in.html", client, headers)))
        .route("/watch/{room}", get(watch))
        .route("/embed/watch/{room}", get(embed_watch))
        .route("/call/{room}", get(call))
        .route("/embed/call/{room}", get(embed_call))
        .route("/studio/{room}", get(studio))
        .route("/library", get(|client, headers| page("library.html", client, headers)))
        .route("/library/{asset}", get(library_asset))
        .route("/embed/vod/{asset}", get(embed_vod))
        .route("/docs/problems", get(problems))
        .route("/assets/{name}", get(asset))
        .route("/client/v1.js", get(client_library))
        .route_layer(from_fn(admit))
}

/// Pages and scripts are for everybody, so nobody's credential is looked at: one that is not good must not keep a
/// person from the sign-in page. What a page shows, it asks for itself.
async fn admit(request: Request, next: Next) -> Result<Response, Problem> {
    permit(&Caller::anonymous(), Action::ReadPages, None)?;
    Ok(next.run(request).await)
}

async fn page(name: &'static str, client: Client, headers: HeaderMap) -> Result<Response, Problem> {
    page_framed_by(name, &client, &headers, &[])
}

/// The page tells by itself when there is no such room; the server does not give away which rooms exist.
async fn watch(RoomPath(_): RoomPath, client: Client, headers: HeaderMap) -> Result<Response, Problem> {
    page_framed_by("watch.html", &client, &headers, &[])
}

/// Who may frame a room is told to whoever may watch it: to everybody when it is open, else to a good `?t=`. A room
/// that is not there looks like one that may not be watched.
async fn embed_watch(
    State(state): State<AppState>,
    RoomPath(room): RoomPath,
    client: Client,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let room = state.rooms.get(&room).await?.map(|room| room.facts());
    let facts = room.as_deref().map(RoomFacts::from);
    let caller = caller_of_query(&state, &client, query.as_deref()).await;
    let may_watch = permit(&caller, Action::WatchRoom, facts.as_ref()).is_ok();
    let origins = room.filter(|_| may_watch).map(|room| room.embed_origins.clone()).unwrap_or_default();
    page_framed_by("embed-watch.html", &client, &headers, &origins)
}

/// Who shows the token of a query. One that is not good watches nothing; the page is sent all the same and says so.
async fn caller_of_query(state: &AppState, client: &Client, query: Option<&str>) -> Caller {
    match playback_token_of(query.unwrap_or_default()) {
        Some(token) => {
            let credential = Credential::Playback(Secret::new(token.to_owned()));
            authenticate(state, client, credential).await.unwrap_or(Caller::anonymous())
        }
        None => Caller::anonymous(),
    }
}

/// As with [`watch`], the page finds out by itself what there is.
async fn call(RoomPath(_): RoomPath, client: Client, headers: HeaderMap) -> Result<Response, Problem> {
    device_page_framed_by("call.html", &client, &headers, &[])
}

/// The token of a call stands in the fragment of the address, which no request carries: so who may frame the room is told
/// to everybody. It gives away that there is a room of this name, and only where its owner has named sites.
async fn embed_call(
    State(state): State<AppState>,
    RoomPath(room): RoomPath,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let origins = state.rooms.get(&room).await?.map(|room| room.facts().embed_origins.clone()).unwrap_or_default();
    device_page_framed_by("embed-call.html", &client, &headers, &origins)
}

/// As with [`watch`], the page finds out by itself what there is.
async fn library_asset(AssetPath(_): AssetPath, client: Client, headers: HeaderMap) -> Result<Response, Problem> {
    page_framed_by("library.html", &client, &headers, &[])
}

/// As with [`embed_watch`], who may frame an asset is told to whoever may watch it.
async fn embed_vod(
    State(state): State<AppState>,
    AssetPath(asset): AssetPath,
    client: Client,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let asset = state.store.asset(asset).await?;
    let facts = asset.as_ref().map(AssetFacts::from);
    let caller = caller_of_query(&state, &client, query.as_deref()).await;
    let may_watch = permit(&caller, Action::WatchAsset, Subject::Asset(facts.as_ref())).is_ok();
    let origins = asset.filter(|_| may_watch).map(|asset| asset.embed_origins).unwrap_or_default();
    page_framed_by("embed-vod.html", &client, &headers, &origins)
}

/// Where a stream is sent from the browser. Never framed: a site around it could lay its own words over *Go live*.
async fn studio(RoomPath(_): RoomPath, client: Client, headers: HeaderMap) -> Result<Response, Problem> {
    device_page_framed_by("studio.html", &client, &headers, &[])
}

/// A page that may ask for camera, microphone, screen and loudspeaker. In a frame the page around it has to allow them too
/// (Permissions Policy, section 9.5).
fn device_page_framed_by(
    name: &str,
    client: &Client,
    headers: &HeaderMap,
    origins: &[String],
) -> Result<Response, Problem> {
    let mut response = page_framed_by(name, client, headers, origins)?;
    response.headers_mut().insert("permissions-policy", HeaderValue::from_static(DEVICE_PERMISSIONS));
    Ok(response)
}

/// What the `type` of every problem points at.
async fn problems() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8"), (header::CACHE_CONTROL, CACHE_SHORT)];
    (headers, PROBLEMS)
}

fn page_framed_by(name: &str, client: &Client, headers: &HeaderMap, origins: &[String]) -> Result<Response, Problem> {
    let mut response = file(name, CACHE_ASK, headers)?;
    let policy = content_security_policy(client, origins);
    let policy = HeaderValue::try_from(policy).map_err(Problem::internal)?;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response.headers_mut().insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response.headers_mut().insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    );
    Ok(response)
}

/// No inline script or style, nothing from elsewhere. Origins were checked when they entered and are again here,
/// because they stand in a header.
fn content_security_policy(client: &Client, frame_ancestors: &[String]) -> String {
    // Safari before 15.4 does not count a WebSocket to the same host as 'self'.
    let socket = parse_origin(&client.reached_origin).map(|origin| origin.replacen("http", "ws", 1));
    let socket = socket.map(|origin| format!(" {origin}")).unwrap_or_default();
    let ancestors: Vec<String> = frame_ancestors.iter().filter_map(|origin| parse_origin(origin)).collect();
    let ancestors = if ancestors.is_empty() { "'none'".to_owned() } else { ancestors.join(" ") };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
         connect-src 'self'{socket}; worker-src 'self' blob:; font-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors {ancestors}"
    )
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    // An escaped slash is a slash by now; assets have no folders.
    if name.contains('/') {
        return Err(Problem::not_found("page"));
    }
    file(&format!("assets/{name}"), CACHE_FOREVER, &headers)
}

/// Other sites may import it: it holds nothing secret and gives no right.
async fn client_library(headers: HeaderMap) -> Result<Response, Problem> {
    let mut response = file("client/v1.js", CACHE_SHORT, &headers)?;
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response.headers_mut().insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    Ok(response)
}

fn file(name: &str, cache: &'static str, headers: &HeaderMap) -> Result<Response, Problem> {
    let file = Files::get(name).ok_or_else(|| Problem::not_found("page"))?;
    let etag = etag_of(&file);
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = text(header::IF_NONE_MATCH).split(',').any(|known| known.trim().trim_start_matches("W/") == etag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (body, encoding) = encoded(name, &file, text(header::ACCEPT_ENCODING));
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type(&file)?);
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(format!("W/{etag}")).map_err(Problem::internal)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

fn etag_of(file: &EmbeddedFile) -> String {
    let hash: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}

fn content_type(file: &EmbeddedFile) -> Result<HeaderValue, Problem> {
    let essence = file.metadata.mimetype();
    let is_text = essence.starts_with("text/") || essence.ends_with("javascript") || essence.ends_with("json");
    let full = if is_text { format!("{essence}; charset=utf-8") } else { essence.to_owned() };
    HeaderValue::try_from(full).map_err(Problem::internal)
}

/// The bytes to send: compressed once, at the first request that takes gzip, and kept. There are a dozen files.
fn encoded(name: &str, file: &EmbeddedFile, accept_encoding: &str) -> (Bytes, Option<&'static str>) {
    static COMPRESSED: LazyLock<Mutex<CompressedFiles>> = LazyLock::new(Mutex::default);
    let plain = match &file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::copy_from_slice(bytes),
    };
    if !accept_encoding.contains("gzip") || plain.len() < GZIP_BYTES_MIN {
        return (plain, None);
    }
    let mut compressed = COMPRESSED.lock().expect("no code panics while it holds this lock");
    let key = (file.metadata.sha256_hash(), name.to_owned());
    let bytes = compressed.entry(key).or_insert_with(|| gzip(&plain));
    (bytes.clone(), Some("gzip"))
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("writing to memory cannot fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_framed_only_by_the_rooms_origins() {
        let client = Client {
            address: std::net::IpAddr::from([127, 0, 0, 1]),
            reached_origin: "https://10.0.0.5:8443".to_owned(),
            is_forwarded: false,
        };
        let policy = content_security_policy(&client, &[]);
        assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
        assert!(policy.contains("connect-src 'self' wss://10.0.0.5:8443;"), "{policy}");
        let origins = ["https://blog.example".to_owned(), "https://x; script-src *".to_owned()];
        let policy = content_security_policy(&client, &origins);
        assert!(policy.ends_with("frame-ancestors https://blog.example"), "{policy}");
    }
}
