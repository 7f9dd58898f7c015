//! What jobs write into records, and read from them: the store keeps it as it is and knows nothing of it.
//!
//! What another version wrote and this one cannot read counts as not there: it can be made anew.

use serde::{Deserialize, Serialize};
use telstar_store::JobRecord;
use telstar_transcode::file::{Index, Rendition, Source};
use telstar_transcode::map::SegmentMap;
use telstar_transcode::plan::Planned;

/// The name of the poster among the renditions.
pub const POSTER: &str = "poster";
/// All sheets of the storyboard.
pub const STORYBOARD: &str = "storyboard";

/// What is known of a source, as the asset's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What the probe found.
    pub source: Source,
    /// Where every rendition is cut.
    pub map: SegmentMap,
    /// Why its pictures are not passed on as they are.
    pub encoded_because: Option<String>,
}

/// What is to be made, as a job's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The renditions, one output each.
    pub renditions: Vec<Planned>,
}

/// The renditions that a job makes; of a probe and of images none.
pub fn planned_of(job: &JobRecord) -> Vec<Planned> {
    serde_json::from_str(&job.work).map_or_else(|_| Vec::new(), |Work { renditions }| renditions)
}

/// A rendition's index, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptIndex {
    /// What it is.
    pub rendition: Rendition,
    /// What players load first.
    pub init: Vec<u8>,
    /// What is where.
    pub index: Index,
}

/// An image in its blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptImage {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
    /// Pixels across.
    pub width: u16,
    /// Pixels down.
    pub height: u16,
    /// When its tiles are of.
    pub times: Vec<i64>,
}
