//! Rooms and the tracks in them.

use std::collections::BTreeSet;

use telstar_units::{ParticipantId, TrackId};

use crate::api::{Kind, NewLayer, RoomId, Source};
use crate::demux::Key;
use crate::engine::Format;

/// One room.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) peers: BTreeSet<Key>,
    /// In the order in which they came.
    pub(crate) tracks: BTreeSet<TrackId>,
}

/// A subscriber's slot that carries a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Viewer {
    pub(crate) peer: Key,
    pub(crate) slot: usize,
}

/// A published track.
pub(crate) struct Track {
    pub(crate) room: RoomId,
    pub(crate) publisher: Key,
    pub(crate) participant: ParticipantId,
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    pub(crate) muted: bool,
    pub(crate) announced: Vec<NewLayer>,
    pub(crate) format: Option<Format>,
    pub(crate) viewers: Vec<Viewer>,
}

impl Track {
    /// The place of a rid among the layers.
    pub(crate) fn layer(&self, rid: Option<&str>) -> Option<u8> {
        match rid {
            None => Some(0),
            Some(rid) => self.announced.iter().position(|layer| layer.rid == rid).map(|index| index as u8),
        }
    }
}
