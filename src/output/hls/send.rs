//! Responses: bodies made of the packager's own bytes, one range of them, playlists with gzip, cache headers.

use std::io::SeekFrom;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use telstar_hls::Rendered;
use telstar_hls::request::CacheClass;
use telstar_media::MediaKind;
use tokio::io::AsyncSeekExt;

use super::body::{Chunks, FileBody, Opened};
use crate::metrics::Metrics;
use crate::representation::{Wanted, takes_gzip, wanted_of};

const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
const INIT_TYPE: &str = "video/mp4";
const MEDIA_TYPE: &str = "video/iso.segment";

/// How urgent a response is (RFC 9218 §4.1), as RFC 8216bis Appendix B.1 has it: playlists before media, and of media
/// never the higher bitrate before the lower. It tells caches on the way; hyper itself sends streams in turn.
const PLAYLIST_PRIORITY: &str = "u=1";
const AUDIO_PRIORITY: &str = "u=2";
const VIDEO_PRIORITY: &str = "u=3";

/// What a response depends on of its request. Kept instead of the headers, which would hold the connection's read buffer
/// for as long as the request waits.
pub struct Wishes {
    gzip: bool,
    range: Option<String>,
}

impl Wishes {
    /// What these headers ask for.
    pub fn of(headers: &HeaderMap) -> Wishes {
        let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        Wishes { gzip: takes_gzip(headers), range: range.map(str::to_owned) }
    }
}

/// What a request is answered with.
pub struct Payload {
    source: Source,
    content_type: &'static str,
    priority: &'static str,
    gzip: bool,
    /// Ranges of it may be asked for.
    ranges: bool,
}

enum Source {
    Memory(Vec<Bytes>),
    /// These bytes, and a range of a file behind them.
    File(Bytes, Opened, Range<u64>),
}

impl Payload {
    /// A playlist, with `query` on each address in it, compressed if the player takes that.
    pub fn playlist(rendered: &Rendered, query: Option<&str>, wishes: &Wishes) -> Payload {
        let gzip = wishes.gzip;
        let text = match (query, gzip) {
            (None, false) => rendered.text().clone(),
            (None, true) => rendered.gzip(),
            (Some(query), false) => rendered.with_query(query),
            (Some(query), true) => telstar_hls::gzip(&rendered.with_query(query)),
        };
        let (content_type, priority) = (PLAYLIST_TYPE, PLAYLIST_PRIORITY);
        Payload { source: Source::Memory(vec![text]), content_type, priority, gzip, ranges: false }
    }

    /// An init segment.
    pub fn init(bytes: Bytes) -> Payload {
        let (content_type, priority) = (INIT_TYPE, AUDIO_PRIORITY);
        Payload { source: Source::Memory(vec![bytes]), content_type, priority, gzip: false, ranges: true }
    }

    /// A part, a segment or a picture.
    pub fn media(kind: MediaKind, chunks: Vec<Bytes>) -> Payload {
        Payload::of_media(kind, Source::Memory(chunks))
    }

    /// The same from disk: `head`, and a range of a file behind it.
    pub fn kept(kind: MediaKind, head: Bytes, file: Opened, range: Range<u64>) -> Payload {
        Payload::of_media(kind, Source::File(head, file, range))
    }

    fn of_media(kind: MediaKind, source: Source) -> Payload {
        let priority = match kind {
            MediaKind::Video => VIDEO_PRIORITY,
            MediaKind::Audio => AUDIO_PRIORITY,
        };
        Payload { source, content_type: MEDIA_TYPE, priority, gzip: false, ranges: true }
    }

    fn len(&self) -> u64 {
        match &self.source {
            Source::Memory(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Source::File(head, _, range) => head.len() as u64 + (range.end - range.start),
        }
    }

    /// The response, or the range of it that was asked for (RFC 9110 §14).
    pub async fn respond(self, wishes: &Wishes, cache_control: HeaderValue, metrics: &Metrics) -> Response {
        let len = self.len();
        let wanted = wishes.range.as_deref().filter(|_| self.ranges);
        let (status, range) = match wanted.map_or(Wanted::All, |value| wanted_of(value, len)) {
            Wanted::All => (StatusCode::OK, 0..len),
            Wanted::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
            Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let content_range = match status {
            StatusCode::PARTIAL_CONTENT => Some(format!("bytes {}-{}/{len}", range.start, range.end - 1)),
            StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{len}")),
            _ => None,
        };
        let (content_type, priority, gzip, ranges) = (self.content_type, self.priority, self.gzip, self.ranges);
        let mut response = Response::new(self.source.body(range, metrics).await);
        *response.status_mut() = status;
        let out = response.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        out.insert(header::CACHE_CONTROL, cache_control);
        out.insert("priority", HeaderValue::from_static(priority));
        if ranges {
            out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        } else {
            out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if gzip {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(value) = content_range.and_then(|text| HeaderValue::try_from(text).ok()) {
            out.insert(header::CONTENT_RANGE, value);
        }
        response
    }
}

impl Source {
    async fn body(self, range: Range<u64>, metrics: &Metrics) -> Body {
        let sent_bytes = Arc::clone(&metrics.hls_sent_bytes);
        match self {
            Source::Memory(chunks) => Body::new(Chunks::new(chunks, range, sent_bytes)),
            Source::File(head, mut file, within) => {
                let head_len = head.len() as u64;
                let clipped = |at: u64| at.min(head_len) as usize;
                let head = head.slice(clipped(range.start)..clipped(range.end));
                let start = within.start + range.start.saturating_sub(head_len);
                let rest = range.end.saturating_sub(head_len.max(range.start));
                // A seek of a regular file only sets a number. If it fails, so does the first read, in the body.
                let _ = file.file.seek(SeekFrom::Start(start)).await;
                Body::new(FileBody::new(head, file, rest, sent_bytes))
            }
        }
    }
}

/// How long caches may keep a response (RFC 8216bis Appendix B.1). What one caller may see, shared caches do not keep.
pub fn cache_control(class: CacheClass, target_duration_secs: u64, is_private: bool) -> HeaderValue {
    let scope = if is_private { "private" } else { "public" };
    let value = format!("{scope}, max-age={}", class.max_age_secs(target_duration_secs));
    HeaderValue::try_from(value).expect("letters and digits make a header")
}
