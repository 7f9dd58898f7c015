//! Delivery directives, RFC 8216bis §6.2.5: what a request asks for, and whether a snapshot can answer it yet.
//!
//! Query strings and snapshots go in; "send it", "wait" or "no" comes out. Clocks, sockets and status codes are the
//! caller's.

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::MediaKind;
use telstar_units::Epoch;

use crate::pictures;
use crate::playlist::{PartId, RenditionId};
use crate::rendered::Rendered;
use crate::segment::Content;
use crate::snapshot::{RenditionView, Snapshot};

/// Segments that a request may be ahead of the playlist. RFC 8216bis §6.2.5.2.
const ADVANCE_SEGMENTS_MAX: u64 = 2;

/// The `_HLS_` directives of a playlist request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: hold until this segment.
    pub msn: Option<u64>,
    /// `_HLS_part`: of this segment, hold until this part only.
    pub part: Option<u32>,
    /// `_HLS_skip`: what may be left out.
    pub skip: Option<Skip>,
}

/// `_HLS_skip`. There are no date ranges, so both are answered alike; with a whole playlist where none may be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// `YES`: older segments.
    Segments,
    /// `v2`: older segments and date ranges.
    SegmentsAndDateRanges,
}

/// What is wrong with the directives of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// Not a decimal integer.
    #[error("_HLS_msn and _HLS_part are decimal integers")]
    NotAnInteger,
    /// RFC 8216bis §6.2.5.2.
    #[error("_HLS_part needs _HLS_msn")]
    PartWithoutMsn,
    /// Neither `YES` nor `v2`.
    #[error("_HLS_skip is YES or v2")]
    Skip,
    /// A directive stands twice.
    #[error("each directive stands once")]
    Repeated,
    /// Further ahead than the standard lets a client ask.
    #[error("the request is too far ahead of the playlist")]
    TooFarAhead,
}

impl Directives {
    /// Reads a query string, without its `?`. Other parameters are left alone.
    pub fn parse(query: &str) -> Result<Directives, DirectiveError> {
        let mut directives = Directives::default();
        let mut seen = [false; 3];
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let index = match name {
                "_HLS_msn" => 0,
                "_HLS_part" => 1,
                "_HLS_skip" => 2,
                _ => continue,
            };
            if std::mem::replace(&mut seen[index], true) {
                return Err(DirectiveError::Repeated);
            }
            match index {
                0 => directives.msn = Some(integer(value)?),
                1 => directives.part = Some(u32::try_from(integer(value)?).unwrap_or(u32::MAX)),
                _ => directives.skip = Some(skip(value)?),
            }
        }
        if directives.part.is_some() && directives.msn.is_none() {
            return Err(DirectiveError::PartWithoutMsn);
        }
        Ok(directives)
    }

    /// The request asks to be held until something comes.
    pub fn is_blocking(&self) -> bool {
        self.msn.is_some()
    }
}

/// RFC 8216bis §4.2: a decimal integer has 1 to 20 digits and nothing else.
fn integer(value: &str) -> Result<u64, DirectiveError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or(DirectiveError::NotAnInteger)
}

fn skip(value: &str) -> Result<Skip, DirectiveError> {
    match value {
        "YES" => Ok(Skip::Segments),
        "v2" => Ok(Skip::SegmentsAndDateRanges),
        _ => Err(DirectiveError::Skip),
    }
}

/// What to do with a playlist request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Send this.
    Ready(Arc<Rendered>),
    /// Hold the request and ask again with the next snapshot, for at most three target durations.
    Wait,
    /// Status 400.
    BadRequest(DirectiveError),
    /// Status 404.
    NotFound,
}

/// Whether the playlists of a rendition have ended. RFC 8216bis §6.2.5: directives are then ignored, whatever they say.
pub fn has_ended(snapshot: &Snapshot, id: impl Into<RenditionId>) -> bool {
    snapshot.rendition(id).is_some_and(|view| view.ended && view.listing.is_some())
}

/// Answers a request for a media playlist.
pub fn answer(snapshot: &Snapshot, id: impl Into<RenditionId>, directives: &Directives) -> Answer {
    let Some(view) = snapshot.rendition(id) else { return Answer::NotFound };
    let Some(listing) = &view.listing else { return Answer::NotFound };
    let ready = || Answer::Ready(directives.skip.map_or_else(|| listing.full(), |_| listing.delta()).clone());
    // RFC 8216bis §6.2.5.2: an ended playlist is answered at once, whatever is asked.
    let Some(msn) = directives.msn.filter(|_| !view.ended) else { return ready() };
    match view.progress(msn, directives.part) {
        Progress::There => ready(),
        Progress::Coming => Answer::Wait,
        Progress::TooFarAhead => Answer::BadRequest(DirectiveError::TooFarAhead),
    }
}

/// Answers a request for the I-frame playlist. `_HLS_msn` counts its entries; it has no parts, so that `_HLS_part` adds
/// nothing.
pub fn answer_pictures(snapshot: &Snapshot, directives: &Directives) -> Answer {
    let Some(view) = snapshot.rendition(MediaKind::Video) else { return Answer::NotFound };
    let Some(listing) = view.picture_listing() else { return Answer::NotFound };
    let ready =
        || Answer::Ready(directives.skip.map_or_else(|| listing.pictures(), |_| listing.pictures_delta()).clone());
    let Some(number) = directives.msn.filter(|_| !view.ended) else { return ready() };
    let next = pictures::next_entry(listing).unwrap_or(0);
    match number.checked_sub(next) {
        None => ready(),
        Some(ahead) if ahead < ADVANCE_SEGMENTS_MAX => Answer::Wait,
        Some(_) => Answer::BadRequest(DirectiveError::TooFarAhead),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    There,
    Coming,
    TooFarAhead,
}

impl RenditionView {
    fn progress(&self, msn: u64, part: Option<u32>) -> Progress {
        let (Some(last), finished) = (self.last_part(), self.last_finished_msn()) else { return Progress::Coming };
        if msn > last.msn.saturating_add(ADVANCE_SEGMENTS_MAX) {
            return Progress::TooFarAhead;
        }
        let is_finished = |msn: u64| finished.is_some_and(|finished| msn <= finished);
        let Some(part) = part else {
            let there = msn < last.msn || is_finished(msn);
            return if there { Progress::There } else { Progress::Coming };
        };
        if msn < last.msn {
            // RFC 8216bis §6.2.5.2: past the last part of a segment means part 0 of the next, which is there already.
            return Progress::There;
        }
        if msn == last.msn && part <= last.part {
            return Progress::There;
        }
        // Beyond the newest part, by at least so many: a segment that has not begun may follow at once, and each has a part.
        let ahead = match msn - last.msn {
            // In a finished segment that is the first part of the next.
            0 if is_finished(msn) => 1,
            0 => u64::from(part - last.part),
            segments => segments + u64::from(part),
        };
        if ahead > self.advance_parts_max() { Progress::TooFarAhead } else { Progress::Coming }
    }

    /// RFC 8216bis §6.2.5.2, Advance Part Limit: three divided by the part target if that is below a second, else three.
    /// A request that is exactly so far ahead waits. Home Assistant refuses it, but behind a cache it is what hls.js and
    /// Appendix C ask for: of a playlist that was kept for half a target duration of six seconds, three seconds more.
    fn advance_parts_max(&self) -> u64 {
        if (1..1_000).contains(&self.part_target_ms) { 3_000_u64.div_ceil(self.part_target_ms) } else { 3 }
    }
}

/// What to do with a request for media.
#[derive(Clone, Debug)]
pub enum Media<T> {
    /// Send this.
    Ready(T),
    /// It is announced: hold the request, send nothing until all of it is there.
    Wait,
    /// Status 404.
    NotFound,
}

/// Answers a request for a part.
pub fn part(snapshot: &Snapshot, rendition: impl Into<RenditionId>, id: PartId) -> Media<Content> {
    let rendition = rendition.into();
    let Some(view) = snapshot.rendition(rendition) else { return Media::NotFound };
    let segment = view.by_msn(id.msn).filter(|segment| segment.epoch == id.epoch);
    let range = segment.and_then(|segment| Some((segment, segment.part_range(id.part)?)));
    match range {
        Some((segment, range)) => Media::Ready(segment.content(rendition.kind(), Bytes::new(), range)),
        // RFC 8216bis §4.4.5.3: only the hinted part is held for; a hint that was dropped is not found.
        None if view.hint == Some(id) => Media::Wait,
        None => Media::NotFound,
    }
}

/// Answers a request for a whole segment.
pub fn segment(snapshot: &Snapshot, id: impl Into<RenditionId>, epoch: Epoch, msn: u64) -> Media<Content> {
    let id = id.into();
    match snapshot.rendition(id).and_then(|view| view.segment(epoch, msn)) {
        Some(segment) => Media::Ready(segment.content(id.kind(), Bytes::new(), 0..segment.len())),
        None => Media::NotFound,
    }
}

/// Answers a request for an entry of the I-frame playlist.
pub fn picture(snapshot: &Snapshot, epoch: Epoch, msn: u64, index: u32) -> Media<Content> {
    let kind = MediaKind::Video;
    let segment = snapshot.rendition(kind).and_then(|view| view.segment(epoch, msn));
    match segment.and_then(|segment| segment.picture(kind, index as usize)) {
        Some(content) => Media::Ready(content),
        None => Media::NotFound,
    }
}

/// What a response is, for how long caches may keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheClass {
    /// A playlist asked for with `_HLS_msn`: its text belongs to that URL for good.
    BlockingPlaylist,
    /// An error to a blocking request.
    BlockingPlaylistError,
    /// A playlist asked for without directives, or the multivariant one.
    Playlist,
    /// An error to such a request.
    PlaylistError,
    /// A part, a segment or an init segment.
    Media,
    /// An error to a request for media.
    MediaError,
}

impl CacheClass {
    /// Seconds that a cache may keep it. RFC 8216bis Appendix B.1.
    pub fn max_age_secs(self, target_duration_secs: u64) -> u64 {
        match self {
            CacheClass::BlockingPlaylist | CacheClass::Media => 6 * target_duration_secs,
            CacheClass::BlockingPlaylistError => 4 * target_duration_secs,
            CacheClass::Playlist => target_duration_secs / 2,
            CacheClass::PlaylistError | CacheClass::MediaError => target_duration_secs,
        }
    }
}
