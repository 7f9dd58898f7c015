//! Tracks without a connection, and copies of publishers' packets for the room's owner.

use std::time::Instant;

use telstar_units::{ParticipantId, TrackId};

use crate::api::{FeedDemand, FeedFormat, FeedPacket, NewSource, RoomId, Tapped};
use crate::sfu::Sfu;

impl Sfu {
    /// Packets of a source, in order.
    pub fn handle_feed(&mut self, _now: Instant, _track: TrackId, _format: FeedFormat, _packets: &[FeedPacket]) {}

    /// The owner needs a keyframe of a track that it taps.
    pub fn handle_keyframe_request(&mut self, _now: Instant, _track: TrackId) {}

    /// The next copy of a packet of a tapped track.
    pub fn poll_tapped(&mut self) -> Option<Tapped> {
        None
    }

    /// The next source whose watching began or ended.
    pub fn poll_feed_demand(&mut self) -> Option<FeedDemand> {
        None
    }

    pub(crate) fn add_source(&mut self, _room: RoomId, _participant: ParticipantId, _source: NewSource) {}

    pub(crate) fn tap(&mut self, _track: TrackId, _enabled: bool) {}
}
