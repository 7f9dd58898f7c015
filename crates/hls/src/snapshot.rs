//! What viewers see at one moment: immutable, shared, replaced as a whole once per part.
//!
//! An HTTP request reads a snapshot and never asks the packager anything.

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::MediaKind;
use telstar_units::Epoch;

use crate::listing::Listing;
use crate::playlist::{PartId, RenditionId};
use crate::rendered::Rendered;
use crate::rendition::Init;
use crate::segment::{Part, Segment};

/// Where a room's stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing has come, or what came is over and forgotten.
    Offline,
    /// Frames come, but the first playlist is not there yet.
    Waiting,
    /// Playlists grow.
    Live,
    /// The source is gone and may come back: playlists stand still and stay open.
    Reconnecting,
    /// The playlists end with ENDLIST.
    Ended,
}

/// Everything that can be fetched of a room.
#[derive(Debug)]
pub struct Snapshot {
    /// Where the stream stands.
    pub state: State,
    /// `index.m3u8`, once there is something to play.
    pub multivariant: Option<Arc<Rendered>>,
    /// EXT-X-TARGETDURATION, once it is fixed.
    pub target_duration_secs: Option<u64>,
    /// The pictures.
    pub video: Option<RenditionView>,
    /// The sound.
    pub audio: Option<RenditionView>,
    /// The pictures in H.264, beside others that not every player decodes.
    pub alternate: Option<RenditionView>,
    /// Not every player decodes the pictures; [`Snapshot::alternate`] is not listed, but may be in a moment if it is wanted.
    pub lacks_alternate: bool,
}

impl Snapshot {
    /// The snapshot of a room that nobody publishes to.
    pub fn offline() -> Snapshot {
        Snapshot {
            state: State::Offline,
            multivariant: None,
            target_duration_secs: None,
            video: None,
            audio: None,
            alternate: None,
            lacks_alternate: false,
        }
    }

    /// A rendition by its name.
    pub fn rendition(&self, id: impl Into<RenditionId>) -> Option<&RenditionView> {
        match id.into() {
            RenditionId::Source(MediaKind::Video) => self.video.as_ref(),
            RenditionId::Source(MediaKind::Audio) => self.audio.as_ref(),
            RenditionId::Alternate => self.alternate.as_ref(),
        }
    }
}

/// One rendition of a snapshot.
#[derive(Debug)]
pub struct RenditionView {
    pub(crate) id: RenditionId,
    pub(crate) listing: Option<Listing>,
    /// Fetchable segments in order of their consecutive numbers.
    pub(crate) finished: Arc<[Arc<Segment>]>,
    /// The one that is growing.
    pub(crate) open: Option<Arc<Segment>>,
    pub(crate) inits: Vec<Init>,
    pub(crate) hint: Option<PartId>,
    pub(crate) part_target_ms: u64,
    pub(crate) ended: bool,
}

impl RenditionView {
    /// The media playlist, while anything is listed. Bytes may be fetchable longer.
    pub fn playlist(&self) -> Option<&Arc<Rendered>> {
        self.listing.as_ref().map(Listing::full)
    }

    /// The media playlist as a delta update (RFC 8216bis §6.2.5.1), or whole where there is nothing to leave out.
    pub fn delta_playlist(&self) -> Option<&Arc<Rendered>> {
        self.listing.as_ref().map(Listing::delta)
    }

    /// The I-frame playlist, while anything is listed. Only the source's pictures have one.
    pub fn picture_playlist(&self) -> Option<&Arc<Rendered>> {
        self.picture_listing().map(Listing::pictures)
    }

    pub(crate) fn picture_listing(&self) -> Option<&Listing> {
        self.listing.as_ref().filter(|listing| self.id == MediaKind::Video.into() && !listing.finished().is_empty())
    }

    /// The part that will come next, while one is announced.
    pub fn hint(&self) -> Option<PartId> {
        self.hint
    }

    /// The newest part, or the last one of the newest segment when the next has none yet.
    pub fn last_part(&self) -> Option<PartId> {
        last_part(self.finished.iter().chain(&self.open).map(Arc::as_ref))
    }

    /// The newest finished segment's number.
    pub fn last_finished_msn(&self) -> Option<u64> {
        self.finished.last().map(|segment| segment.msn)
    }

    /// The segment with this number, if it is held.
    pub(crate) fn by_msn(&self, msn: u64) -> Option<&Arc<Segment>> {
        let first = self.finished.first().or(self.open.as_ref())?.msn;
        let index = usize::try_from(msn.checked_sub(first)?).ok()?;
        self.finished.get(index).or(self.open.as_ref().filter(|_| index == self.finished.len()))
    }

    /// A finished segment with media in it.
    pub fn segment(&self, epoch: Epoch, msn: u64) -> Option<&Arc<Segment>> {
        let segment = self.by_msn(msn)?;
        (segment.epoch == epoch && segment.duration_secs.is_some() && !segment.gap).then_some(segment)
    }

    /// A part that is in memory, listed or held beyond its listing.
    pub fn part(&self, id: PartId) -> Option<&Arc<Part>> {
        let segment = self.by_msn(id.msn).filter(|segment| segment.epoch == id.epoch)?;
        segment.parts.get(id.part as usize)
    }

    /// Whether a part can be fetched, from memory or from where it is kept.
    pub fn has_part(&self, id: PartId) -> bool {
        let segment = self.by_msn(id.msn).filter(|segment| segment.epoch == id.epoch);
        segment.is_some_and(|segment| (id.part as usize) < segment.part_count())
    }

    /// What is not there under this epoch and number never will be.
    pub fn is_past(&self, epoch: Epoch, msn: u64) -> bool {
        let newest = self.finished.iter().chain(&self.open).next_back();
        newest.is_some_and(|newest| epoch < newest.epoch) || self.last_finished_msn().is_some_and(|last| msn <= last)
    }

    /// An init segment.
    pub fn init(&self, epoch: Epoch, number: u32) -> Option<&Bytes> {
        let init = self.inits.iter().find(|init| init.epoch == epoch && init.number == number)?;
        Some(&init.bytes)
    }

    /// All segments that are held, oldest first.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        self.finished.iter().chain(&self.open).cloned().collect()
    }
}

/// RFC 8216bis §4.4.5.4: LAST-MSN and LAST-PART. An open segment counts once it has a part.
pub(crate) fn last_part<'a>(segments: impl DoubleEndedIterator<Item = &'a Segment>) -> Option<PartId> {
    let last = segments.rev().find(|segment| segment.duration_secs.is_some() || !segment.is_empty())?;
    let part = u32::try_from(last.part_count()).unwrap_or(u32::MAX).saturating_sub(1);
    Some(PartId { epoch: last.epoch, msn: last.msn, part })
}
