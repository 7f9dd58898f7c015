//! What a request to the origin gets, and when.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use futures_util::stream;

use super::fault::Fault;
use super::stream::{FIRST_MSN, PARTS_AT_START, PARTS_PER_SEGMENT, TARGET_SECS, Track};
use super::write::{View, msn_of};
use super::{Edge, Shared};

/// Three target durations.
const HOLD: Duration = Duration::from_secs(3 * TARGET_SECS as u64);
/// Three seconds of parts.
const ADVANCE_PARTS_MAX: usize = 6;

/// What goes back.
struct Answer {
    status: u16,
    kind: &'static str,
    max_age: usize,
    body: Bytes,
    gzip: bool,
    slow: bool,
    extra: Vec<(&'static str, String)>,
}

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MEDIA: &str = "video/iso.segment";

pub async fn answer(State(origin): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or("").to_owned();
    let headers = request.headers().clone();
    let names: Vec<&str> = path.trim_start_matches("/live/").split('/').collect();
    let answer = match names.as_slice() {
        ["index.m3u8"] => multivariant(&origin, &headers),
        [track, file] => match Track::ALL.into_iter().find(|known| known.name() == *track) {
            Some(track) if *file == "index.m3u8" => playlist(&origin, track, &query, &headers).await,
            Some(track) => media(&origin, track, file, &headers).await,
            None => refuse(404, TARGET_SECS),
        },
        _ => refuse(404, TARGET_SECS),
    };
    respond(&origin, answer)
}

fn respond(origin: &Shared, answer: Answer) -> Response<Body> {
    let fault = origin.fault;
    let mut response = Response::builder().status(answer.status).header("content-type", answer.kind);
    let kept = match fault {
        Fault::PlaylistKeptTooLong if answer.kind == PLAYLIST => 60,
        Fault::ErrorKeptTooLong if answer.status == 400 || answer.status == 404 => 600,
        _ => answer.max_age,
    };
    let cache = match fault {
        Fault::MediaNotKept if answer.kind == MEDIA && answer.status == 200 => "no-store".to_owned(),
        _ => format!("public, max-age={kept}"),
    };
    response = response.header("cache-control", cache);
    if fault != Fault::NoCors {
        response = response.header("access-control-allow-origin", "*");
    }
    if fault == Fault::SendsAge {
        response = response.header("age", "3");
    }
    if answer.kind == PLAYLIST && fault != Fault::NoVary {
        response = response.header("vary", "accept-encoding");
    }
    for (name, value) in answer.extra {
        response = response.header(name, value);
    }
    let body = match (answer.gzip, answer.slow) {
        (true, _) => {
            response = response.header("content-encoding", "gzip");
            Body::from(packed(&answer.body))
        }
        (false, true) => slowly(answer.body),
        (false, false) => Body::from(answer.body),
    };
    response.body(body).expect("the headers are right")
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(body).expect("writing to memory does not fail");
    writer.finish().expect("writing to memory does not fail")
}

/// A body in pieces with pauses in between.
fn slowly(body: Bytes) -> Body {
    const PIECES: usize = 8;
    const PAUSE: Duration = Duration::from_millis(60);
    let len = body.len().div_ceil(PIECES).max(1);
    let pieces: Vec<Bytes> = body.chunks(len).map(Bytes::copy_from_slice).collect();
    let clock = tokio::time::interval(PAUSE);
    Body::from_stream(stream::unfold((pieces.into_iter(), clock), |(mut pieces, mut clock)| async move {
        clock.tick().await;
        let piece = pieces.next()?;
        Some((Ok::<Bytes, Infallible>(piece), (pieces, clock)))
    }))
}

fn refuse(status: u16, max_age: usize) -> Answer {
    let body = Bytes::from_static(b"no");
    Answer { status, kind: "text/plain", max_age, body, gzip: false, slow: false, extra: Vec::new() }
}

fn text(origin: &Shared, text: String, max_age: usize, headers: &HeaderMap) -> Answer {
    let takes = headers.get("accept-encoding").is_some_and(|value| value.as_bytes() == b"gzip");
    let gzip = takes && origin.fault != Fault::NoGzip;
    let kind = if origin.fault == Fault::WrongType { "text/plain" } else { PLAYLIST };
    let mut answer = Answer { status: 200, kind, max_age, body: text.into(), gzip, slow: false, extra: Vec::new() };
    if kind != PLAYLIST {
        answer.extra.push(("vary", "accept-encoding".to_owned()));
    }
    answer
}

fn multivariant(origin: &Shared, headers: &HeaderMap) -> Answer {
    let edge = *origin.edge.borrow();
    text(origin, view(origin, Track::Video, edge, false, (0, 0)).multivariant(), TARGET_SECS / 2, headers)
}

fn view(origin: &Shared, track: Track, edge: Edge, skip: bool, (count, ended_count): (usize, usize)) -> View {
    let other = if track == Track::Audio { Track::Video } else { Track::Audio };
    View {
        fault: origin.fault,
        track,
        edge: origin.parts_of(track, edge),
        other_edge: origin.parts_of(other, edge),
        ended: edge.ended,
        query: "t=token".to_owned(),
        base: origin.base.clone(),
        skip,
        count,
        ended_count,
        age_secs: origin.started.elapsed().as_secs_f64(),
    }
}

/// `_HLS_msn` and `_HLS_part`.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    msn: Option<usize>,
    part: Option<usize>,
    malformed: bool,
}

fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let wanted = match name {
            "_HLS_msn" => &mut asked.msn,
            "_HLS_part" => &mut asked.part,
            _ => continue,
        };
        match value.parse() {
            Ok(number) => *wanted = Some(number),
            Err(_) => asked.malformed = true,
        }
    }
    asked
}

async fn playlist(origin: &Shared, track: Track, query: &str, headers: &HeaderMap) -> Answer {
    let fault = origin.fault;
    let directives = asked(query);
    let blocking = query.contains("_HLS_msn=");
    let refused = |status| refuse(status, 4 * TARGET_SECS);
    let mut edge = *origin.edge.borrow();
    let refuses_ended = fault == Fault::EndedRefuses && query.contains("_HLS_");
    if edge.ended && refuses_ended {
        return refused(400);
    }
    if !edge.ended {
        let without_msn = directives.msn.is_none() && directives.part.is_some();
        if directives.malformed && fault != Fault::WordsTaken {
            return refused(400);
        }
        if without_msn && !directives.malformed && fault != Fault::PartWithoutMsnTaken {
            return refused(400);
        }
        if let Some(msn) = directives.msn {
            if let Some(status) = origin.refuses(track, edge, msn, directives.part) {
                return refused(status);
            }
            if fault != Fault::AnsweredEarly {
                match origin.wait_for(track, wanted(track, msn, directives.part)).await {
                    Some(there) => edge = there,
                    None if fault == Fault::GivesUpWith404 => return refused(404),
                    None => return refused(503),
                }
            }
        }
    }
    let skip = query.contains("_HLS_skip=") && !edge.ended && track != Track::IFrames;
    let max_age = if blocking { 6 * TARGET_SECS } else { TARGET_SECS / 2 };
    let counts = origin.count(track, edge.ended);
    text(origin, view(origin, track, edge, skip, counts).media(), max_age, headers)
}

/// How many parts there must be before a request is answered.
fn wanted(track: Track, msn: usize, part: Option<usize>) -> usize {
    let per_segment = PARTS_PER_SEGMENT / track.segments_per_segment();
    let first = |msn: usize| msn.saturating_sub(FIRST_MSN) * per_segment;
    match part {
        Some(part) if part < per_segment && track != Track::IFrames => first(msn) + part + 1,
        // The part behind the last one is the first of the next segment.
        Some(_) if track != Track::IFrames => first(msn + 1) + 1,
        _ => first(msn + 1),
    }
}

impl Shared {
    /// What must be refused at once.
    fn refuses(&self, track: Track, edge: Edge, msn: usize, part: Option<usize>) -> Option<u16> {
        let parts = self.parts_of(track, edge);
        let last = (msn_of(parts - 1), (parts - 1) % PARTS_PER_SEGMENT);
        let fault = self.fault;
        if track == Track::IFrames {
            return (msn > FIRST_MSN + parts / 2 + 2).then_some(400);
        }
        if fault == Fault::PastRefused && msn < last.0 - 10 {
            return Some(400);
        }
        if fault == Fault::BehindFinishedRefused && msn < last.0 && part.is_some_and(|part| part >= PARTS_PER_SEGMENT) {
            return Some(400);
        }
        let open = last.1 + 1 < PARTS_PER_SEGMENT;
        let beyond = open && msn == last.0 && part.is_some_and(|part| part > last.1 + ADVANCE_PARTS_MAX);
        let too_far = msn > last.0 + 2 || beyond;
        (too_far && fault != Fault::TooFarHeld).then_some(400)
    }

    /// Waits until there are so many parts, or the end; `None` after three target durations.
    async fn wait_for(&self, track: Track, parts: usize) -> Option<Edge> {
        let mut edge = self.edge.clone();
        let mut there = std::pin::pin!(edge.wait_for(|edge| edge.ended || self.parts_of(track, *edge) >= parts));
        if self.fault == Fault::NeverGivesUp {
            return there.await.ok().map(|edge| *edge);
        }
        tokio::time::timeout(HOLD, &mut there).await.ok()?.ok().map(|edge| *edge)
    }
}

/// A file of a rendition by its name.
enum File {
    Init,
    Segment(usize),
    Part(usize, usize),
    Hint(usize, usize),
}

fn file(name: &str) -> Option<File> {
    if name == "init.mp4" {
        return Some(File::Init);
    }
    let stem = name.strip_suffix(".m4s")?;
    let stem = stem.strip_suffix("-again").unwrap_or(stem);
    Some(match stem.split_once('.') {
        None => File::Segment(stem.parse().ok()?),
        Some((msn, part)) => match part.strip_suffix("-hint") {
            Some(part) => File::Hint(msn.parse().ok()?, part.parse().ok()?),
            None => File::Part(msn.parse().ok()?, part.parse().ok()?),
        },
    })
}

async fn media(origin: &Shared, track: Track, name: &str, headers: &HeaderMap) -> Answer {
    let fault = origin.fault;
    let edge = *origin.edge.borrow();
    let Some(file) = file(name) else {
        let mut answer = refuse(404, TARGET_SECS);
        if fault == Fault::UnknownMediaIsEmpty {
            (answer.status, answer.kind) = (200, MEDIA);
        }
        return answer;
    };
    let parts = origin.parts_of(track, edge);
    let oldest = view(origin, track, edge, false, (0, 0)).first_msn();
    // A segment later than it could, so that nothing is gone that a client has just read of.
    let soon = fault == Fault::GoneAfterRemoval && track != Track::IFrames;
    let gone = |msn: usize| msn < FIRST_MSN || (soon && msn + 1 < oldest);
    let body = match file {
        File::Init => Some(track.init(fault)),
        File::Segment(msn) => (parts >= wanted(track, msn, None) && !gone(msn)).then(|| track.segment(fault, msn)),
        File::Part(msn, part) | File::Hint(msn, part) => {
            let number = wanted(track, msn, Some(part));
            let is_next = number == parts + 1 && !edge.ended && part < PARTS_PER_SEGMENT;
            let waits = parts < number && is_next && fault != Fault::HintRefused;
            let edge = if waits { origin.wait_for(track, number).await.unwrap_or(edge) } else { edge };
            let came = origin.parts_of(track, edge) >= number;
            let lost = fault == Fault::PartNotThere && part == 1 && number <= PARTS_AT_START;
            let hint = matches!(file, File::Hint(..));
            (came && !lost && !hint && !gone(msn)).then(|| track.part(fault, msn, part))
        }
    };
    let Some(body) = body else { return refuse(404, TARGET_SECS) };
    if fault == Fault::SegmentsRedirected && matches!(file, File::Segment(_)) {
        let mut answer = refuse(302, TARGET_SECS);
        answer.extra.push(("location", format!("{}/elsewhere", origin.base)));
        return answer;
    }
    let kind = if matches!(file, File::Init) { "video/mp4" } else { MEDIA };
    let slow = fault == Fault::HintSlow && matches!(file, File::Part(..));
    let whole =
        Answer { status: 200, kind, max_age: 6 * TARGET_SECS, body: body.into(), gzip: false, slow, extra: Vec::new() };
    cut(fault, whole, headers)
}

/// The range that was asked for.
fn cut(fault: Fault, mut answer: Answer, headers: &HeaderMap) -> Answer {
    answer.extra.push(("accept-ranges", "bytes".to_owned()));
    let asked =
        headers.get("range").and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("bytes="));
    let Some((first, last)) = asked.and_then(|asked| asked.split_once('-')) else { return answer };
    if fault == Fault::RangeIgnored {
        return answer;
    }
    let len = answer.body.len();
    let from = first.parse().unwrap_or_else(|_| len - last.parse::<usize>().unwrap_or(0).min(len));
    let to =
        if first.is_empty() { len } else { last.parse::<usize>().map_or(len, |last| last.saturating_add(1).min(len)) };
    if from >= len {
        let mut refused = refuse(416, TARGET_SECS);
        refused.extra.push(("content-range", format!("bytes */{len}")));
        return refused;
    }
    let shift = usize::from(fault == Fault::RangeShifted && to < len);
    answer.status = 206;
    answer.extra.push(("content-range", format!("bytes {from}-{}/{len}", to - 1)));
    answer.body = answer.body.slice(from + shift..to + shift);
    answer
}
