//! The publishing half of RTMP: an admitted encoder's events become batches of its room.
//!
//! In: who asks to publish, then what the RTMP core makes of the connection. Out: batches into the room's ring, and the
//! reason why the encoder has to go. It knows no socket.

mod admission;

use std::time::Duration;

use telstar_media::{Origin, TrackInfo};
use telstar_rtmp::{PublishedFrame, RejectReason, TrackAdded, TrackNumber, Warning, WarningKind};
use telstar_signaling::room::KickReason;
use telstar_units::{ParticipantId, TrackId};
use tracing::{debug, info};

pub use admission::Admission;

use crate::rooms::IngestHandle;
use crate::shards::{IngestItem, IngestWarning};

/// How long to wait for the reason after the ring was closed. It is set before.
const KICK_REASON_WAIT: Duration = Duration::from_secs(1);
/// Bits of a track id that count the tracks of one connection; the rest is the participant, so that no two connections
/// of a room share an id.
const TRACK_NUMBER_BITS: u32 = 20;

/// An admitted encoder.
pub struct Publisher {
    room: IngestHandle,
    batch: Vec<IngestItem>,
    /// Frames of this publish that could not be used, as far as the room was told.
    dropped_told: u64,
}

impl Publisher {
    /// One whose way into its room is `room`.
    pub fn new(room: IngestHandle) -> Publisher {
        Publisher { room, batch: Vec::new(), dropped_told: 0 }
    }

    /// Who it is in the room.
    pub fn participant(&self) -> ParticipantId {
        self.room.participant()
    }

    /// A track that begins, perhaps in the place of another.
    pub fn add_track(&mut self, added: &TrackAdded) {
        info!(codec = added.codec.name(), rfc6381 = added.config.rfc6381(), wire_id = added.wire_id, "a track");
        let info = TrackInfo {
            id: self.track_id(added.track),
            codec: added.codec,
            timescale: added.timescale,
            keyframes: added.keyframes,
            origin: Origin::Publisher,
        };
        self.batch.push(match added.replaces {
            Some(old) => IngestItem::TrackReplaced { old: self.track_id(old), by: info },
            None => IngestItem::Track(info),
        });
    }

    /// A frame.
    pub fn add_frame(&mut self, published: PublishedFrame) {
        let track = self.track_id(published.track);
        self.batch.push(IngestItem::Frame(track, published.frame));
    }

    /// The source's clock jumped.
    pub fn restart_clock(&mut self) {
        self.batch.push(IngestItem::ClockRestarted);
    }

    /// Something that the person at the encoder should know.
    pub fn warn(&mut self, warning: &Warning) {
        debug!(?warning, "the encoder's stream");
        let known = match &warning.kind {
            WarningKind::AudioGap { .. } | WarningKind::AudioOverlap => IngestWarning::AudioGap,
            WarningKind::TimestampJump { .. } => IngestWarning::TimestampsJump,
            WarningKind::CodecUnsupported(tag) => IngestWarning::CodecUnsupported(tag.name()),
            WarningKind::TimestampOrder
            | WarningKind::BadConfiguration(_)
            | WarningKind::Malformed(_)
            | WarningKind::MalformedFrame
            | WarningKind::NoConfiguration
            | WarningKind::TooManyTracks
            | WarningKind::AbandonedMessage
            | WarningKind::BadMetadata => return,
        };
        self.batch.push(IngestItem::Warning(known));
    }

    /// Hands the batch to the room, as slowly as the room takes it. `dropped_frames` are those that could not be used, since
    /// the publish began. An error is why the encoder has to go.
    pub async fn send(&mut self, dropped_frames: u64) -> Result<(), RejectReason> {
        let before = std::mem::replace(&mut self.dropped_told, dropped_frames);
        if dropped_frames > before {
            self.batch.push(IngestItem::Dropped(dropped_frames - before));
        }
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        // A batch that is lost to a kick belongs to a connection that ends.
        let reason = tokio::select! {
            biased;
            sent = self.room.send(batch) => match sent {
                Ok(()) => return Ok(()),
                Err(_) => tokio::time::timeout(KICK_REASON_WAIT, self.room.kicked()).await.ok(),
            },
            reason = self.room.kicked() => Some(reason),
        };
        Err(reason.map_or(RejectReason::Unavailable, reject_reason))
    }

    /// Completes when the room sends the encoder away, with the reason. Cancel-safe.
    pub async fn kicked(&self) -> RejectReason {
        reject_reason(self.room.kicked().await)
    }

    fn track_id(&self, number: TrackNumber) -> TrackId {
        TrackId(self.room.participant().0 << TRACK_NUMBER_BITS | u64::from(number.0))
    }
}

fn reject_reason(reason: KickReason) -> RejectReason {
    match reason {
        KickReason::TakenOver => RejectReason::TakenOver,
        KickReason::KeyRevoked | KickReason::RoomDeleted | KickReason::Removed => RejectReason::Revoked,
        KickReason::Shutdown => RejectReason::ShuttingDown,
    }
}
