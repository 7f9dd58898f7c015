//! Where the two hubs of a media thread meet: frames of rooms and packets of calls (docs/adr/0015).
//!
//! In: what a room wants of the SFU, and what the SFU has for a room. Out: the same on the other side, in the same turn.
//! Nothing waits here: each side takes all that the other has before the turn ends.

use std::time::Instant;

use telstar_media::Codec;
use telstar_sfu::{FeedFormat, FeedPacket, Tapped};
use telstar_units::TrackId;

use super::RoomKey;
use super::net::Memory;
use super::thread::Shard;

/// What a room wants of the SFU.
#[derive(Debug)]
pub(super) enum ForCall {
    /// Packets of a source.
    Feed { source: TrackId, format: FeedFormat, packets: Vec<FeedPacket> },
    /// Copies of a track's packets, or no more of them.
    Tap { track: TrackId, enabled: bool },
    /// A keyframe of a track that is tapped.
    Keyframe(TrackId),
}

/// What the SFU has for a room.
#[derive(Debug)]
pub(super) enum ForRoom {
    /// A copy of a packet.
    Tapped(Tapped),
    /// Somebody began to watch a source, or the last one ended.
    Demand { source: TrackId, wanted: bool },
    /// A source is over, or its call.
    SourceGone(TrackId),
    /// Media of a track came for the first time.
    Published { track: TrackId, codec: Codec },
}

impl Shard {
    /// Brings what the SFU has to the rooms that it is for.
    pub(super) fn hear_calls(&mut self, now: Instant) {
        let Some(line) = &mut self.line else { return };
        let mut heard = std::mem::take(&mut self.heard);
        line.calls.take_for_rooms(now, &mut heard);
        for (key, what) in heard.drain(..) {
            self.in_cell(key, |room| match what {
                ForRoom::Tapped(tapped) => room.handle_tapped(now, tapped),
                ForRoom::Demand { source, wanted } => room.handle_feed_demand(source, wanted),
                ForRoom::SourceGone(source) => room.forget_source(source),
                ForRoom::Published { track, codec } => room.handle_published(track, codec),
            });
        }
        self.heard = heard;
    }

    /// Sends what the rooms of this turn have fed, in the same turn.
    pub(super) fn send_fed(&mut self, now: Instant, memory: &mut Memory) {
        if std::mem::take(&mut self.has_fed)
            && let Some(line) = &mut self.line
        {
            line.send(now, memory);
        }
    }

    /// Whatever a room that is gone had asked of the SFU ends.
    pub(super) fn forget_in_calls(&mut self, room: RoomKey) {
        if let Some(line) = &mut self.line {
            line.calls.untap(room);
        }
    }
}
