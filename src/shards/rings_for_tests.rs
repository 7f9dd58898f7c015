//! Rings without a media thread, for tests of whoever is at their other ends.

use std::sync::Arc;

use super::table::Bell;
use super::{IngestItem, IngestRing, ViewerItem, ViewerRing};

/// A ring of frames, and what a media thread does to it.
pub(crate) struct Frames(pub(crate) Arc<ViewerRing>);

impl Frames {
    pub(crate) fn new(bytes_max: usize) -> Frames {
        Frames(Arc::new(ViewerRing::new(bytes_max, Bell::for_tests())))
    }

    pub(crate) fn push(&self, item: ViewerItem) -> u64 {
        self.0.push(item)
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }
}

/// A ring into a hub, and what a media thread does to it.
pub(crate) struct Converted(pub(crate) Arc<IngestRing>);

impl Converted {
    pub(crate) fn new() -> Converted {
        Converted(Arc::new(IngestRing::new(Bell::for_tests())))
    }

    pub(crate) fn take(&self) -> Vec<IngestItem> {
        std::iter::from_fn(|| self.0.take()).flatten().collect()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over()
    }

    pub(crate) fn detach(&self) {
        self.0.detach();
    }
}
