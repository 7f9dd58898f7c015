//! What was asked and what was answered, in order of the answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::playlist::{Place, Resource};
use super::watch::Options;

/// What a rendition carries, as far as the multivariant playlist tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// The address of a variant: pictures, or sound if there is nothing else.
    Variant,
    /// EXT-X-MEDIA of TYPE=AUDIO.
    Sound,
    /// EXT-X-I-FRAME-STREAM-INF.
    IFrames,
    /// Subtitles and other renditions.
    Other,
}

/// A media playlist's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    pub url: String,
    pub carries: Carries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Init,
    Part,
    /// A part that was asked for while it was only hinted.
    Hint,
    Segment,
}

/// Why something was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Multivariant,
    /// A reload by the follower: number of the rendition, what it asked to wait for.
    Playlist(usize, Option<Place>),
    Media(usize, MediaKind, Resource),
    /// Something that had been listed, with the latest moment at which it certainly was.
    Removed(usize, Resource, Instant),
    Probe(usize, Probe),
}

/// A request that no player makes, or that waits for nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// D3: a segment that is long there, or gone.
    Past,
    /// D6, with what is wrong.
    Malformed(&'static str),
    /// D5: beyond what may be asked.
    TooFar(&'static str),
    /// D2: the part behind the last one of this finished segment.
    BehindFinished(u64),
    /// D1: a whole segment.
    Whole(u64),
    /// Media that was never named.
    Unknown,
    /// D8: `YES` or `v2`.
    Skip(&'static str),
    /// Without `Accept-Encoding`.
    Identity,
    /// A range of a resource that was fetched whole.
    Range(Resource, String),
    /// D4: a directive for a playlist that has ended.
    Ended(&'static str),
    /// The playlist again, a while after its end.
    EndedAgain,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub what: What,
    pub url: String,
    pub sent: Instant,
    pub first_byte: Option<Instant>,
    pub done: Instant,
    /// 0 when there was no answer.
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body was compressed on the way.
    pub gzip: bool,
    pub http2: bool,
    pub error: Option<String>,
}

impl Exchange {
    pub fn took(&self) -> Duration {
        self.done - self.sent
    }

    /// How long the body took behind its first byte.
    pub fn body_took(&self) -> Duration {
        self.first_byte.map_or(Duration::ZERO, |first| self.done - first)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn is_playlist(&self) -> bool {
        matches!(
            self.what,
            What::Multivariant
                | What::Playlist(..)
                | What::Probe(
                    _,
                    Probe::Past
                        | Probe::Malformed(_)
                        | Probe::TooFar(_)
                        | Probe::BehindFinished(_)
                        | Probe::Whole(_)
                        | Probe::Skip(_)
                        | Probe::Identity
                        | Probe::Ended(_)
                        | Probe::EndedAgain
                )
        )
    }

    /// The request named a segment or part to wait for.
    pub fn is_blocking(&self) -> bool {
        self.url.contains("_HLS_msn=")
    }

    /// One line for a report.
    pub fn summary(&self) -> String {
        let error = self.error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
        format!("GET {} -> {}{error} after {:.3} s", self.url, self.status, self.took().as_secs_f64())
    }
}

/// Everything that was asked of one server.
#[derive(Clone, Debug)]
pub struct Record {
    pub options: Options,
    pub renditions: Vec<Rendition>,
    pub exchanges: Vec<Exchange>,
}
