//! Responses: bodies made of the packager's own bytes, one range of them, playlists with gzip, cache headers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use telstar_hls::Rendered;
use telstar_hls::request::CacheClass;

use crate::metrics::{Counter, Metrics};

const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
const INIT_TYPE: &str = "video/mp4";
const MEDIA_TYPE: &str = "video/iso.segment";

/// What a request is answered with.
pub struct Payload {
    chunks: Vec<Bytes>,
    content_type: &'static str,
    gzip: bool,
    /// Ranges of it may be asked for.
    ranges: bool,
}

impl Payload {
    /// A playlist, with `query` on each address in it, compressed if the player takes that.
    pub fn playlist(rendered: &Rendered, query: Option<&str>, headers: &HeaderMap) -> Payload {
        let gzip = takes_gzip(headers);
        let text = match (query, gzip) {
            (None, false) => rendered.text().clone(),
            (None, true) => rendered.gzip(),
            (Some(query), false) => rendered.with_query(query),
            (Some(query), true) => telstar_hls::gzip(&rendered.with_query(query)),
        };
        Payload { chunks: vec![text], content_type: PLAYLIST_TYPE, gzip, ranges: false }
    }

    /// An init segment.
    pub fn init(bytes: Bytes) -> Payload {
        Payload { chunks: vec![bytes], content_type: INIT_TYPE, gzip: false, ranges: true }
    }

    /// A part or a segment.
    pub fn media(chunks: Vec<Bytes>) -> Payload {
        Payload { chunks, content_type: MEDIA_TYPE, gzip: false, ranges: true }
    }

    fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The response, or the range of it that was asked for (RFC 9110 §14).
    pub fn respond(self, headers: &HeaderMap, cache_control: HeaderValue, metrics: &Metrics) -> Response {
        let len = self.len();
        let wanted = headers.get(header::RANGE).filter(|_| self.ranges).and_then(|value| value.to_str().ok());
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
        let (content_type, gzip, ranges) = (self.content_type, self.gzip, self.ranges);
        let body = Chunks::new(self.chunks, range, Arc::clone(&metrics.hls_sent_bytes));
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = status;
        let out = response.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        out.insert(header::CACHE_CONTROL, cache_control);
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

/// How long caches may keep a response (RFC 8216bis Appendix B.1). What one caller may see, shared caches do not keep.
pub fn cache_control(class: CacheClass, target_duration_secs: u64, is_private: bool) -> HeaderValue {
    let scope = if is_private { "private" } else { "public" };
    let value = format!("{scope}, max-age={}", class.max_age_secs(target_duration_secs));
    HeaderValue::try_from(value).expect("letters and digits make a header")
}

/// RFC 9110 §12.5.3: `gzip` or `*`, unless with a weight of zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut star = false;
    for coding in values.flat_map(|value| value.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=').trim();
        let wanted = weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return wanted,
            "*" => star = wanted,
            _ => {}
        }
    }
    star
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Some(Range<u64>),
    Nothing,
}

/// Reads `Range`. What is not one range of bytes is ignored, which RFC 9110 §14.2 allows.
fn wanted_of(value: &str, len: u64) -> Wanted {
    let Some(spec) = value.strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::All };
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Beyond 64 bits is beyond every file.
        true if !text.is_empty() => Some(text.parse().unwrap_or(u64::MAX)),
        _ => None,
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(suffix)) if first.is_empty() => len.saturating_sub(suffix)..len,
        _ => return Wanted::All,
    };
    if range.start >= range.end { Wanted::Nothing } else { Wanted::Some(range) }
}

/// A body of known length that hands out the packager's own bytes.
struct Chunks {
    chunks: VecDeque<Bytes>,
    remaining: u64,
    sent_bytes: Arc<Counter>,
}

impl Chunks {
    fn new(chunks: Vec<Bytes>, range: Range<u64>, sent_bytes: Arc<Counter>) -> Chunks {
        let mut at = 0;
        let clip = |chunk: Bytes| {
            let (start, end) = (at, at + chunk.len() as u64);
            at = end;
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            (from < to).then(|| chunk.slice((from - start) as usize..(to - start) as usize))
        };
        let chunks = chunks.into_iter().filter_map(clip).collect();
        Chunks { chunks, remaining: range.end - range.start, sent_bytes }
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.pop_front();
        if let Some(chunk) = &next {
            self.remaining -= chunk.len() as u64;
            self.sent_bytes.add(chunk.len() as u64);
        }
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[test]
    fn one_range_is_served_and_anything_else_ignored() {
        for (value, expect) in [
            ("bytes=0-3", Wanted::Some(0..4)),
            ("bytes=4-", Wanted::Some(4..10)),
            ("bytes=-3", Wanted::Some(7..10)),
            ("bytes=-30", Wanted::Some(0..10)),
            ("bytes=2-9007199254740991", Wanted::Some(2..10)),
            ("bytes=0-99999999999999999999999", Wanted::Some(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("items=0-1", Wanted::All),
        ] {
            assert_eq!(wanted_of(value, 10), expect, "{value}");
        }
    }

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (value, expect) in [
            ("gzip, deflate, br", true),
            ("GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(takes_gzip(&headers), expect, "{value}");
        }
    }

    #[tokio::test]
    async fn a_range_runs_over_chunks_and_its_length_is_known() {
        let chunks = || vec![Bytes::from_static(b"abc"), Bytes::from_static(b"defg"), Bytes::from_static(b"h")];
        for (range, expect) in [(0..8, "abcdefgh"), (2..5, "cde"), (3..7, "defg"), (7..8, "h"), (0..0, "")] {
            let sent = Arc::new(Counter::default());
            let body = Chunks::new(chunks(), range, Arc::clone(&sent));
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(expect.len() as u64));
            let bytes = body.collect().await.expect("infallible").to_bytes();
            assert_eq!((bytes.as_ref(), sent.get()), (expect.as_bytes(), expect.len() as u64));
        }
    }
}
