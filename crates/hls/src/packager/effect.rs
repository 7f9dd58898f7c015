//! What a packager says: what the shell has to do, what the owner of the source should know, and what was counted.

use std::sync::Arc;

use telstar_media::{Codec, MediaKind};

use super::KeptInit;
use crate::segment::Segment;
use crate::snapshot::Snapshot;

/// What the shell has to do. Every call that takes `now` is followed by taking effects until there is none.
#[derive(Debug)]
pub enum Effect {
    /// Replace what viewers see.
    Snapshot(Arc<Snapshot>),
    /// Tell whoever administers the room.
    Warning(Warning),
    /// Keyframes come often enough again.
    KeyframeIntervalMended,
    /// Keep this init segment: segments that need it follow.
    KeepInit(KeptInit),
    /// Keep the bytes of this finished segment (of a gap: that there is one), and say so with
    /// [`super::Packager::handle_kept`]; also when they will not be kept.
    Keep {
        /// Whose.
        kind: MediaKind,
        /// It.
        segment: Arc<Segment>,
        /// The number of the first one that is listed now.
        listed_from: u64,
    },
    /// What was kept of this rendition below a number is not needed any more.
    Discard {
        /// Whose.
        kind: MediaKind,
        /// Media sequence number; the greatest of all: the rendition is over.
        below: u64,
    },
    /// The listing is over: what was kept until here is for those who play it, not to be listed again.
    ListingOver,
}

/// Something about the source that its owner should know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warning {
    /// Keyframes are so far apart that viewers wait for one.
    KeyframeInterval {
        /// Seconds between keyframes, or at least so many when the second one has not come.
        seconds: f64,
    },
    /// A segment was cut at the target duration because no keyframe came. Each one counts.
    LongGopCut,
    /// The byte budget was exceeded and this room's oldest segments went early.
    BudgetEvicted {
        /// How much.
        bytes: u64,
    },
    /// The track cannot be carried in HLS and is left out.
    CodecUnsupported(Codec),
    /// Media time jumped; a discontinuity hides it.
    TimestampsJump {
        /// Seconds, positive forwards.
        seconds: f64,
    },
}

/// Where a packager begins to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The first media sequence number.
    pub msn: u64,
    /// The first discontinuity sequence number.
    pub discontinuity_sequence: u64,
}

/// Counts since the packager was made. They never go down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Segments cut at the target duration without a keyframe.
    pub long_gop_cuts: u64,
    /// Frames that could not be used: before the first keyframe, out of order, of an unknown or surplus track.
    pub frames_dropped: u64,
    /// Bytes dropped early because of the budget.
    pub evicted_bytes: u64,
    /// Segments that left the DVR window early because they were not kept.
    pub lost_segments: u64,
    /// Bytes that left the DVR window early because the disk's share was used up.
    pub evicted_kept_bytes: u64,
}
