//! Rules about HTTP: versions, encodings, ranges, caches, types (Appendix B.1, RFC 9110, Apple 10 and 12).

use super::Findings;
use crate::client::playlist::Resource;
use crate::client::record::{Exchange, MediaKind, Probe, What};
use crate::client::session::{Log, Session};

/// T1: over TLS everything is HTTP/2. That PING frames are answered is the client's condition for going on.
pub fn http2(session: &Session, found: &mut Findings<'_>) {
    for exchange in session.exchanges().filter(|exchange| exchange.url.starts_with("https:") && exchange.status != 0) {
        found.check(exchange.http2, || "not HTTP/2, although it was offered".into(), || exchange.summary());
    }
}

/// T2: playlists are compressed for whoever takes it, and only then; caches are told.
pub fn gzip(session: &Session, found: &mut Findings<'_>) {
    for exchange in session.exchanges().filter(|exchange| exchange.is_playlist() && exchange.status == 200) {
        let wanted = !matches!(exchange.what, What::Probe(_, Probe::Identity));
        found.check(
            exchange.gzip == wanted,
            || if wanted { "a playlist is not compressed" } else { "a playlist is compressed unasked" }.into(),
            || exchange.summary(),
        );
        let varies = exchange.header("vary").unwrap_or("").to_ascii_lowercase();
        found.check(
            varies.contains("accept-encoding") || varies == "*",
            || "a playlist that may be compressed without `Vary: accept-encoding` (RFC 9110 §12.5.5)".into(),
            || exchange.summary(),
        );
    }
}

/// T2: ranges, where they are offered.
pub fn ranges(session: &Session, found: &mut Findings<'_>) {
    for exchange in session.exchanges() {
        let What::Probe(index, Probe::Range(resource, asked)) = &exchange.what else { continue };
        let Some(whole) = session.logs[*index].media.get(resource).filter(|whole| whole.is_there()) else { continue };
        if !offers_ranges(&whole.exchange, &session.logs[*index]) {
            continue;
        }
        let wrong = wrong_range(exchange, asked, &whole.exchange.body);
        found.check(
            wrong.is_none(),
            || wrong.clone().unwrap_or_default(),
            || format!("{asked}: {}", exchange.summary()),
        );
    }
}

fn offers_ranges(whole: &Exchange, log: &Log) -> bool {
    let byteranges = log.history.values().flat_map(|segment| &segment.parts).any(|part| part.resource.range.is_some());
    byteranges || whole.header("accept-ranges") == Some("bytes")
}

fn wrong_range(exchange: &Exchange, asked: &str, whole: &[u8]) -> Option<String> {
    let len = whole.len();
    let (first, last) = asked.trim_start_matches("bytes=").split_once('-')?;
    let (from, to) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(len)),
        (Ok(first), Err(_)) => (first, len),
        (Err(_), Ok(suffix)) => (len.saturating_sub(suffix), len),
        _ => return None,
    };
    let content_range = exchange.header("content-range").unwrap_or("");
    if from >= len {
        let right = exchange.status == 416 && content_range == format!("bytes */{len}");
        return (!right).then(|| format!("behind the end: {} with `{content_range}`, not 416", exchange.status));
    }
    if exchange.status != 206 {
        return Some(format!("status {}, not 206", exchange.status));
    }
    if content_range != format!("bytes {from}-{}/{len}", to - 1) {
        return Some(format!("Content-Range: {content_range}"));
    }
    (exchange.body != whole[from..to]).then(|| "other bytes than those of the range".to_owned())
}

/// T4.
pub fn no_age(session: &Session, found: &mut Findings<'_>) {
    for exchange in session.exchanges().filter(|exchange| exchange.status != 0) {
        found.check(exchange.header("age").is_none(), || "an origin that sends Age".into(), || exchange.summary());
    }
}

/// What a lifetime must be, in seconds.
struct Lifetime {
    secs: Vec<u64>,
    class: &'static str,
}

fn lifetime(exchange: &Exchange, target: u64) -> Option<Lifetime> {
    let blocking = exchange.is_blocking();
    let ok = matches!(exchange.status, 200 | 206);
    // That a server is late or busy says nothing about the next request: 5xx and 429 may be kept by nobody.
    let refused = matches!(exchange.status, 400 | 404 | 410);
    let (secs, class) = match &exchange.what {
        What::Multivariant => return None,
        What::Media(..) | What::Removed(..) if ok => (vec![6 * target], "media"),
        What::Media(..) | What::Probe(_, Probe::Unknown) if refused => {
            (vec![target], "an error to a request for media")
        }
        What::Playlist(..) | What::Probe(..) if !exchange.is_playlist() => return None,
        What::Playlist(..) | What::Probe(..) if ok && blocking => (vec![6 * target], "a blocking playlist"),
        // Half of an odd number may be rounded either way.
        What::Playlist(..) | What::Probe(..) if ok => (vec![target / 2, target.div_ceil(2)], "a playlist"),
        What::Playlist(..) | What::Probe(..) if refused && blocking => {
            (vec![4 * target], "an error to a blocking request")
        }
        What::Playlist(..) | What::Probe(..) if refused => (vec![target, 4 * target], "an error to a playlist request"),
        _ => return None,
    };
    Some(Lifetime { secs, class })
}

/// T5, of what is live. What is whole never changes, and how long it is kept is the operator's.
pub fn cache_control(session: &Session, found: &mut Findings<'_>) {
    if session.is_asset() {
        return;
    }
    let Some(target) = session.target().map(|target| target.as_secs()) else { return };
    for exchange in session.exchanges().filter(|exchange| exchange.error.is_none()) {
        let Some(expected) = lifetime(exchange, target) else { continue };
        let value = exchange.header("cache-control").unwrap_or("");
        // What time may change need not be kept: a dropped hint may name a later part, and nothing is too far for ever.
        let passes = matches!(exchange.what, What::Probe(_, Probe::TooFar(_)) | What::Media(_, MediaKind::Hint, _));
        if passes && value == "no-store" && !matches!(exchange.status, 200 | 206) {
            continue;
        }
        let max_age = value.split(',').find_map(|item| item.trim().strip_prefix("max-age=")?.parse::<u64>().ok());
        found.check(
            max_age.is_some_and(|max_age| expected.secs.contains(&max_age)),
            || format!("{}: `{value}`, but {:?} s are right", expected.class, expected.secs),
            || exchange.summary(),
        );
    }
}

/// X1: a player in any page may read every answer.
pub fn cross_origin(session: &Session, found: &mut Findings<'_>) {
    for exchange in session.exchanges().filter(|exchange| exchange.status != 0) {
        let allowed = exchange.header("access-control-allow-origin");
        found.check(
            matches!(allowed, Some("*" | "https://player.example")),
            || "no Access-Control-Allow-Origin for a player of another page".into(),
            || exchange.summary(),
        );
    }
}

/// M9.
pub fn media_types(session: &Session, found: &mut Findings<'_>) {
    for exchange in session.exchanges().filter(|exchange| matches!(exchange.status, 200 | 206)) {
        let expected: &[&str] = match &exchange.what {
            What::Media(_, MediaKind::Init, _) => &["video/mp4", "audio/mp4"],
            What::Media(_, _, resource) | What::Removed(_, resource, _) => media_type(resource),
            _ if exchange.is_playlist() => &["application/vnd.apple.mpegurl", "audio/mpegurl"],
            _ => continue,
        };
        let kind = exchange.header("content-type").unwrap_or("").split(';').next().unwrap_or("").trim();
        found.check(expected.contains(&kind), || format!("Content-Type: {kind}"), || exchange.summary());
    }
}

fn media_type(resource: &Resource) -> &'static [&'static str] {
    let path = resource.url.split('?').next().unwrap_or("");
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("ts") => &["video/mp2t"],
        Some("mp4") => &["video/mp4", "video/iso.segment"],
        Some("vtt") => &["text/vtt"],
        _ => &["video/iso.segment"],
    }
}
