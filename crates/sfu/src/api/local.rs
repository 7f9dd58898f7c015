//! Media that the room's owner itself brings or takes: sources without a connection, and copies of what publishers send.

use std::sync::Arc;
use std::time::Instant;

use telstar_media::Codec;
use telstar_units::TrackId;

use crate::api::{Kind, Source};

/// A track without a connection: its packets come through [`crate::Sfu::handle_feed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSource {
    /// Its id, issued by the room.
    pub track: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// What it shows.
    pub source: Source,
    /// It is another track in a codec that more peers decode: whoever cannot decode that one gets this one in its place.
    pub alternate_of: Option<TrackId>,
    /// Only viewers get it: whoever takes part in the call has what it is made of.
    pub for_viewers: bool,
}

/// What the packets of a source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedFormat {
    /// The codec.
    pub codec: Codec,
    /// Of H.264: profile_idc, constraint flags, level_idc (RFC 6184 §8.1).
    pub profile_level_id: Option<[u8; 3]>,
}

/// A packet of a source.
#[derive(Clone, Debug)]
pub struct FeedPacket {
    /// Counts up by one, without holes.
    pub sequence: u64,
    /// In ticks of the kind's RTP clock (90 kHz, 48 kHz) from the zero that all tracks of the participant share.
    pub time: i64,
    /// The last packet of a picture.
    pub marker: bool,
    /// It begins an independent picture.
    pub key: bool,
    /// RTP payload.
    pub payload: Arc<[u8]>,
}

/// Whether anybody watches a source; told when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedDemand {
    /// Which.
    pub track: TrackId,
    /// Whether its packets are wanted.
    pub wanted: bool,
}

/// A copy of a publisher's packet, as it came: out of order, with holes that a resend may still fill.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// Which track.
    pub track: TrackId,
    /// What it is.
    pub codec: Codec,
    /// Another stream of the track than before: its numbers and times begin anew.
    pub ssrc: u32,
    /// Extended.
    pub sequence: u64,
    /// RTP time.
    pub time: u32,
    /// The last packet of a picture.
    pub marker: bool,
    /// RTP payload.
    pub payload: Arc<[u8]>,
    /// The last sender report of its stream: NTP time and RTP time (RFC 3550 §6.4.1).
    pub report: Option<(u64, u32)>,
    /// When it came.
    pub arrived: Instant,
}
