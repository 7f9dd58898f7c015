//! What a rendition lists at one moment, and its playlists as texts: each made when first asked for, then shared.
//!
//! Making them is not the media thread's work: with hours of segments a text is a megabyte, and few players want the
//! whole of it more than once.

use std::sync::{Arc, OnceLock};

use crate::config::SKIP_TARGET_DURATIONS;
use crate::pictures;
use crate::playlist::{self, PartId, RenditionId};
use crate::rendered::Rendered;
use crate::segment::Segment;

/// What stands in the header and the footer.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub target_duration_secs: u64,
    pub part_target_ms: u64,
    /// The largest part target of all renditions, which sets the hold-back of all (RFC 8216bis §4.4.3.8).
    pub part_target_max_ms: u64,
    pub parts_from_msn: u64,
    /// Where the next part will be found, while one is expected.
    pub hint: Option<PartId>,
    /// The other renditions and their last parts.
    pub reports: Vec<(RenditionId, PartId)>,
    pub ended: bool,
    /// EXT-X-PLAYLIST-TYPE:EVENT.
    pub is_event: bool,
    /// Delta updates are offered.
    pub skips: bool,
    pub all_independent: bool,
}

/// The listed segments with their playlists.
#[derive(Debug)]
pub(crate) struct Listing {
    finished: Arc<[Arc<Segment>]>,
    /// The first so many are not listed.
    unlisted: usize,
    open: Option<Arc<Segment>>,
    pub facts: Facts,
    full: OnceLock<Arc<Rendered>>,
    delta: OnceLock<Option<Arc<Rendered>>>,
    pictures: OnceLock<Arc<Rendered>>,
    pictures_delta: OnceLock<Option<Arc<Rendered>>>,
}

impl Listing {
    pub fn new(finished: Arc<[Arc<Segment>]>, unlisted: usize, open: Option<Arc<Segment>>, facts: Facts) -> Listing {
        Listing {
            finished,
            unlisted,
            open,
            facts,
            full: OnceLock::new(),
            delta: OnceLock::new(),
            pictures: OnceLock::new(),
            pictures_delta: OnceLock::new(),
        }
    }

    /// The finished segments that are listed.
    pub fn finished(&self) -> &[Arc<Segment>] {
        &self.finished[self.unlisted..]
    }

    pub fn open(&self) -> Option<&Segment> {
        self.open.as_deref()
    }

    /// All that is listed, the open segment last.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> + Clone {
        self.finished().iter().map(Arc::as_ref).chain(self.open())
    }

    /// The media playlist.
    pub fn full(&self) -> &Arc<Rendered> {
        self.full.get_or_init(|| Arc::new(playlist::render(self, 0)))
    }

    /// The same as a delta update (RFC 8216bis §6.2.5.1), or whole if there is nothing to leave out.
    pub fn delta(&self) -> &Arc<Rendered> {
        let make = |skip| Arc::new(playlist::render(self, skip));
        self.delta.get_or_init(|| self.skippable(self.open()).map(make)).as_ref().unwrap_or_else(|| self.full())
    }

    /// The I-frame playlist.
    pub fn pictures(&self) -> &Arc<Rendered> {
        self.pictures.get_or_init(|| Arc::new(pictures::render(self, 0)))
    }

    /// The I-frame playlist as a delta update.
    pub fn pictures_delta(&self) -> &Arc<Rendered> {
        let make = |skip| Arc::new(pictures::render(self, skip));
        self.pictures_delta.get_or_init(|| self.skippable(None).map(make)).as_ref().unwrap_or_else(|| self.pictures())
    }

    /// How many segments a delta update leaves out: those that end before the skip boundary (RFC 8216bis §4.4.5.2), which is
    /// counted from the end of what is listed. `open`: the segment under way, where it is.
    fn skippable(&self, open: Option<&Segment>) -> Option<usize> {
        if !self.facts.skips || self.facts.ended {
            return None;
        }
        let boundary_secs = self.skip_until_secs() as f64;
        let parts = open.into_iter().flat_map(|open| &open.parts);
        let mut after_secs: f64 = parts.map(|part| part.duration_secs()).sum();
        for (index, segment) in self.finished().iter().enumerate().rev() {
            if after_secs >= boundary_secs {
                return Some(index + 1);
            }
            after_secs += segment.duration_secs.unwrap_or(0.0);
        }
        None
    }

    /// CAN-SKIP-UNTIL.
    pub fn skip_until_secs(&self) -> u64 {
        self.facts.target_duration_secs * SKIP_TARGET_DURATIONS
    }
}
