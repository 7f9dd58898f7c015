//! What is watched on demand, over HTTP: `/vod/{asset}/…`.
//!
//! In: requests of players and of people. Out: playlists, segments, pictures and sources, as they are in blobs. Nothing
//! is kept waiting: what is not made yet is not there. Whatever is long is read as it is sent.
//!
//! - `access`: which asset, and whether the caller may have what it asks for;
//! - `texts`: playlists and storyboards as text;
//! - `body`: parts of blobs, encrypted on their way where that is configured (`cipher`);
//! - `source`: what the source is called, and of what type.

mod access;
mod body;
mod cipher;
mod source;
mod texts;

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use bytes::Bytes;
use telstar_store::{BlobError, BlobReader};
use telstar_transcode::file::RenditionKind;
use telstar_units::BlobName;
use tokio::sync::Semaphore;

use self::access::{Downloading, Viewing, Watching};
use self::body::{Span, SpanBody};
use self::cipher::Sealing;
pub use self::texts::{ListingTexts, RenditionTexts, VERSION_PARAMETER, version_of};
use self::texts::{Text, media_of, multivariant_of, pictures_of, storyboard_of};
use super::listings::{Listed, ListedImages};
use crate::api::error::{Code, Problem};
use crate::config::Encryption;
use crate::cross_origin::{self, preflight};
use crate::representation::{Validators, Wanted, content_range, takes_gzip};
use crate::state::AppState;

/// Blobs that are open at once, a response each. Each costs a descriptor and 64 KiB, or 512 KiB while the disk is waited
/// for. Beyond it a request is answered 503. Higher serves more viewers at once; lower spares descriptors, of which most systems give a
/// process a few thousand at least. A guess.
const OPEN_BLOBS_MAX: usize = 1_024;

const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
const INIT_TYPE: &str = "video/mp4";
const MEDIA_TYPE: &str = "video/iso.segment";
const TEXT_TYPE: &str = "text/vtt; charset=utf-8";
const IMAGE_TYPE: &str = "image/jpeg";
/// Whatever is in a source, it does nothing here.
const SANDBOX: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox; frame-ancestors 'none'");

/// The routes of what is watched on demand.
pub fn router() -> Router<AppState> {
    let sender = Arc::new(Sender { places: Arc::new(Semaphore::new(OPEN_BLOBS_MAX)) });
    Router::new()
        .route("/vod/{asset}/index.m3u8", get(multivariant).options(preflight))
        .route("/vod/{asset}/poster.jpg", get(poster).options(preflight))
        .route("/vod/{asset}/storyboard.vtt", get(storyboard).options(preflight))
        .route("/vod/{asset}/storyboard/{file}", get(sheet).options(preflight))
        .route("/vod/{asset}/source", get(source).options(preflight))
        .route("/vod/{asset}/key", get(key).options(preflight))
        .route("/vod/{asset}/{rendition}/{file}", get(rendition).options(preflight))
        .layer(Extension(sender))
        .layer(middleware::from_fn(cross_origin::allow))
}

/// What all answers share.
struct Sender {
    /// Places for open blobs.
    places: Arc<Semaphore>,
}

/// How long caches may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// It never changes under its address, which says of which version it is.
    Forever,
    /// It is whole, and hardly ever changes.
    Hour,
    /// More may join it.
    Minute,
    /// It grows.
    Second,
    /// It is of another version than its address says.
    Not,
}

impl Lasting {
    fn cache_control(self, is_private: bool) -> HeaderValue {
        let scope = if is_private { "private" } else { "public" };
        let value = match self {
            Lasting::Forever => format!("{scope}, max-age=31536000, immutable"),
            Lasting::Hour => format!("{scope}, max-age=3600"),
            Lasting::Minute => format!("{scope}, max-age=60"),
            Lasting::Second => format!("{scope}, max-age=1"),
            Lasting::Not => format!("{scope}, no-cache"),
        };
        HeaderValue::try_from(value).expect("letters and digits make a header")
    }
}

/// Bytes of a blob on their way, and what is said of them.
struct Part {
    blob: BlobName,
    span: Range<u64>,
    sealing: Option<Sealing>,
    content_type: &'static str,
    validators: Validators,
    lasting: Lasting,
}

impl Viewing {
    fn is_encrypted(&self) -> bool {
        self.state.vod.encryption == Encryption::Aes128
    }

    /// What an address of a version may be kept for.
    fn lasting(&self, version: &str) -> Lasting {
        match self.version.as_deref() {
            Some(asked) if asked == version => Lasting::Forever,
            Some(_) => Lasting::Not,
            None => Lasting::Minute,
        }
    }

    /// What a rendition's playlist may be kept for. It says how it is encrypted as well, which its version does not.
    fn lasting_of_playlist(&self, listed: &Listed) -> Lasting {
        match self.lasting(version_of(listed)) {
            _ if !listed.is_whole => Lasting::Second,
            Lasting::Forever => Lasting::Hour,
            lasting => lasting,
        }
    }

    /// The client has it already.
    fn known(&self, validators: &Validators, lasting: Lasting) -> Option<Response> {
        if !validators.are_known(&self.headers) {
            return None;
        }
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        validators.write(response.headers_mut());
        response.headers_mut().insert(header::CACHE_CONTROL, lasting.cache_control(self.is_private));
        Some(response)
    }

    /// A text, with the token on each address in it and compressed if the client takes that.
    fn text(&self, text: &Text, lasting: Lasting) -> Response {
        let validators = Validators { etag: text.etag.clone(), modified: None };
        let mut response = self.known(&validators, lasting).unwrap_or_else(|| {
            let is_gzip = takes_gzip(&self.headers);
            let body = match (self.child_query(), is_gzip) {
                (None, false) => text.rendered.text().clone(),
                (None, true) => text.rendered.gzip(),
                (Some(query), false) => text.rendered.with_query(query),
                (Some(query), true) => telstar_hls::gzip(&text.rendered.with_query(query)),
            };
            let mut response = self.bytes(body, PLAYLIST_TYPE, &validators, lasting);
            if is_gzip {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        });
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }

    /// Bytes from memory, all of them.
    fn bytes(&self, body: Bytes, content_type: &'static str, validators: &Validators, lasting: Lasting) -> Response {
        self.state.metrics.vod_sent_bytes.add(body.len() as u64);
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, lasting.cache_control(self.is_private));
        validators.write(headers);
        response
    }

    /// Part of a blob, or the range of it that is wanted (RFC 9110 §14).
    async fn part(&self, part: Part) -> Result<Response, Problem> {
        let Part { blob, span, sealing, content_type, validators, lasting } = part;
        if let Some(known) = self.known(&validators, lasting) {
            return Ok(known);
        }
        let len = Span::sent_len(&span, sealing.is_some());
        let wanted = validators.wanted(&self.headers, len);
        let (status, range) = match &wanted {
            Wanted::All => (StatusCode::OK, 0..len),
            Wanted::Some(range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
            Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let body = if range.is_empty() {
            Body::empty()
        } else {
            let place = Arc::clone(&self.sender.places).try_acquire_owned();
            let place = place.map_err(|_| Problem::new(Code::Unavailable, "Too many videos are being sent."))?;
            let reader = self.open(blob).await?;
            let span = Span { reader, span, sealing, place };
            let sent_bytes = Arc::clone(&self.state.metrics.vod_sent_bytes);
            Body::new(SpanBody::new(span, &range, self.state.tasks.clone(), sent_bytes))
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, lasting.cache_control(self.is_private));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        match &wanted {
            Wanted::All => {}
            Wanted::Some(range) => drop(headers.insert(header::CONTENT_RANGE, content_range(Some(range), len))),
            Wanted::Nothing => drop(headers.insert(header::CONTENT_RANGE, content_range(None, len))),
        }
        validators.write(headers);
        Ok(response)
    }

    async fn open(&self, blob: BlobName) -> Result<Box<dyn BlobReader>, Problem> {
        let blobs = Arc::clone(&self.state.vod.blobs);
        if let Some(reader) = blobs.open_now(&blob) {
            return Ok(reader);
        }
        self.state.tasks.blocking(move || blobs.open(&blob)).await.map_err(|error| match error {
            // It was there a moment ago.
            BlobError::NotFound => Problem::not_found("file"),
            error => Problem::internal(error),
        })
    }

    /// An image among those of a blob.
    async fn image(&self, images: Option<&ListedImages>, number: usize) -> Result<Response, Problem> {
        let found = images.and_then(|images| Some((&images.blob, images.images.get(number)?)));
        let (blob, image) = found.ok_or_else(|| Problem::not_found("picture"))?;
        self.part(Part {
            blob: blob.clone(),
            span: image.offset..image.offset.saturating_add(image.len),
            sealing: None,
            content_type: IMAGE_TYPE,
            validators: Validators::strong(&format!("{blob}.{number}")),
            lasting: self.lasting(texts::version_of_blob(blob)),
        })
        .await
    }
}

async fn multivariant(Watching(viewing): Watching) -> Result<Response, Problem> {
    let text = multivariant_of(&viewing.listing, viewing.is_encrypted());
    let text = text.ok_or_else(|| Problem::not_found("playlist"))?;
    // A player asks for it once, and again where it knows that more has come: an older one would hide that.
    Ok(viewing.text(&text, Lasting::Second))
}

/// A file below a rendition.
async fn rendition(Watching(viewing): Watching) -> Result<Response, Problem> {
    let listed = viewing.listing.rendition(viewing.param("rendition")).cloned();
    let listed = listed.ok_or_else(|| Problem::not_found("rendition"))?;
    let lasting = viewing.lasting_of_playlist(&listed);
    let is_encrypted = viewing.is_encrypted();
    let none = || Problem::not_found("file");
    match viewing.param("file") {
        "index.m3u8" => {
            let text = media_of(&viewing.listing, &listed, is_encrypted).ok_or_else(none)?;
            Ok(viewing.text(&text, lasting))
        }
        "iframes.m3u8" => {
            let text = pictures_of(&viewing.listing, &listed, is_encrypted).ok_or_else(none)?;
            Ok(viewing.text(&text, lasting))
        }
        "init.mp4" if !listed.init.is_empty() => Ok(init(&viewing, &listed)),
        file => segment(&viewing, &listed, file).await,
    }
}

fn init(viewing: &Viewing, listed: &Listed) -> Response {
    let validators = Validators::strong(&format!("{}.init", listed.blob));
    let lasting = viewing.lasting(version_of(listed));
    if let Some(known) = viewing.known(&validators, lasting) {
        return known;
    }
    let len = listed.init.len() as u64;
    match validators.wanted(&viewing.headers, len) {
        Wanted::Some(range) => {
            let body = listed.init.slice(range.start as usize..range.end as usize);
            let mut response = viewing.bytes(body, INIT_TYPE, &validators, lasting);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response.headers_mut().insert(header::CONTENT_RANGE, content_range(Some(&range), len));
            response
        }
        Wanted::Nothing => {
            let mut response = viewing.bytes(Bytes::new(), INIT_TYPE, &validators, lasting);
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            response.headers_mut().insert(header::CONTENT_RANGE, content_range(None, len));
            response
        }
        Wanted::All => viewing.bytes(listed.init.clone(), INIT_TYPE, &validators, lasting),
    }
}

async fn segment(viewing: &Viewing, listed: &Listed, file: &str) -> Result<Response, Problem> {
    let is_text = matches!(listed.rendition.kind, RenditionKind::Subtitles);
    let (ending, content_type) = if is_text { (".vtt", TEXT_TYPE) } else { (".m4s", MEDIA_TYPE) };
    let number = file.strip_suffix(ending).and_then(number);
    let found = number.and_then(|number| Some((number, listed.index.segments().get(number)?)));
    let (number, segment) = found.ok_or_else(|| Problem::not_found("file"))?;
    let is_sealed = viewing.is_encrypted() && !is_text;
    let sealing = is_sealed.then(|| {
        let key = viewing.state.authority.segment_key(&viewing.asset.name);
        Sealing::new(&key, number as u64)
    });
    let tag = if is_sealed { format!("{}.{number}.sealed", listed.blob) } else { format!("{}.{number}", listed.blob) };
    let part = Part {
        blob: listed.blob.clone(),
        span: segment.offset..segment.offset + segment.len,
        sealing,
        content_type,
        validators: Validators::strong(&tag),
        lasting: viewing.lasting(version_of(listed)),
    };
    viewing.part(part).await
}

async fn poster(Watching(viewing): Watching) -> Result<Response, Problem> {
    viewing.image(viewing.listing.poster.as_ref(), 0).await
}

async fn sheet(Watching(viewing): Watching) -> Result<Response, Problem> {
    let number = viewing.param("file").strip_suffix(".jpg").and_then(number);
    let number = number.ok_or_else(|| Problem::not_found("picture"))?;
    viewing.image(viewing.listing.storyboard.as_ref(), number).await
}

async fn storyboard(Watching(viewing): Watching) -> Result<Response, Problem> {
    let text = storyboard_of(&viewing.listing, viewing.child_query());
    let text = text.ok_or_else(|| Problem::not_found("storyboard"))?;
    let text = Text::new(text);
    let validators = Validators { etag: text.etag.clone(), modified: None };
    let known = viewing.known(&validators, Lasting::Minute);
    let bytes = || viewing.bytes(text.rendered.text().clone(), TEXT_TYPE, &validators, Lasting::Minute);
    Ok(known.unwrap_or_else(bytes))
}

/// The original, as it was uploaded.
async fn source(Downloading(viewing): Downloading) -> Result<Response, Problem> {
    let asset = &viewing.asset;
    let (content_type, ending) = source::kind_of(viewing.listing.facts.as_ref());
    let part = Part {
        blob: asset.source.clone(),
        span: 0..asset.source_len,
        sealing: None,
        content_type,
        validators: Validators { modified: Some(asset.created_at), ..Validators::strong(asset.source.as_str()) },
        lasting: Lasting::Hour,
    };
    let mut response = viewing.part(part).await?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, source::disposition(asset, ending));
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    Ok(response)
}

/// The key of the segments. No cache keeps it: whoever may not watch any more is not to find it.
async fn key(Watching(viewing): Watching) -> Result<Response, Problem> {
    if !viewing.is_encrypted() {
        return Err(Problem::not_found("key"));
    }
    let key = viewing.state.authority.segment_key(&viewing.asset.name);
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, key.to_vec()).into_response())
}

/// One address for each file: no leading zeros, no signs.
fn number(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_address() {
        for (text, expect) in [("0", Some(0)), ("12", Some(12)), ("012", None), ("+1", None), ("-1", None), ("", None)]
        {
            assert_eq!(number(text), expect, "{text}");
        }
    }

    #[test]
    fn what_one_may_see_no_shared_cache_keeps() {
        for lasting in [Lasting::Forever, Lasting::Hour, Lasting::Minute, Lasting::Second, Lasting::Not] {
            let value = lasting.cache_control(true);
            let value = value.to_str().expect("text");
            assert!(value.starts_with("private, "), "{value}");
        }
        assert_eq!(Lasting::Forever.cache_control(false), "public, max-age=31536000, immutable");
    }
}
