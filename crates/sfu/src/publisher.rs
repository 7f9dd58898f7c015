//! The publishing side of a connection: which of its sections and streams are which track and layer.

use std::collections::BTreeMap;

use telstar_units::TrackId;

use crate::engine::Format;
use crate::feed::Clock;

/// Streams of one publisher: tracks times layers. Those of a layer that has a new stream make room.
pub(crate) const SOURCES_MAX: usize = 64;

/// A stream that a publisher sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) ssrc: u32,
    pub(crate) track: TrackId,
    /// Its place among the track's layers.
    pub(crate) layer: u8,
    pub(crate) payload_type: u8,
    pub(crate) format: Format,
}

/// A publishing connection.
#[derive(Default)]
pub(crate) struct Publisher {
    /// Which track is in which section.
    pub(crate) sections: BTreeMap<String, TrackId>,
    pub(crate) sources: Vec<Source>,
    /// Repair streams of the sources.
    pub(crate) repairs: Vec<u32>,
    /// What its sender reports go by.
    pub(crate) clock: Clock,
}

impl Publisher {
    /// The stream of a packet, if it was seen before with this payload type.
    pub(crate) fn source(&self, ssrc: u32, payload_type: u8) -> Option<Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc && source.payload_type == payload_type).copied()
    }

    /// Notes a stream in place of what its layer was before.
    pub(crate) fn note(&mut self, source: Source) {
        self.sources
            .retain(|other| other.ssrc != source.ssrc && (other.track, other.layer) != (source.track, source.layer));
        if self.sources.len() < SOURCES_MAX {
            self.sources.push(source);
        }
    }

    /// Whether a stream was authenticated before.
    pub(crate) fn knows(&self, ssrc: u32) -> bool {
        self.sources.iter().any(|source| source.ssrc == ssrc) || self.repairs.contains(&ssrc)
    }

    /// The stream of a layer.
    pub(crate) fn ssrc(&self, track: TrackId, layer: u8) -> Option<u32> {
        self.sources.iter().find(|source| source.track == track && source.layer == layer).map(|source| source.ssrc)
    }

    /// A track ended.
    pub(crate) fn forget(&mut self, track: TrackId) {
        self.sections.retain(|_, other| *other != track);
        self.sources.retain(|source| source.track != track);
    }
}
