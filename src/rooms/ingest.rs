//! What an ingest adapter asks for and gets.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use telstar_sfu::Kind;
use telstar_signaling::room::KickReason;
use telstar_store::StreamKeyId;
use telstar_units::{ParticipantId, RoomName, TrackId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::actor::Gone;
pub use crate::shards::IngestVia;
use crate::shards::{IngestItem, IngestRing, RingClosed, RoomKey, Shards};

/// An encoder that wants to publish. Its credential was checked and `authorise`d before.
#[derive(Debug)]
pub struct IngestRequest {
    /// Where.
    pub room: RoomName,
    /// With which stream key, so that its revocation ends it.
    pub key: Option<StreamKeyId>,
    /// `rtmp`, for pages.
    pub protocol: &'static str,
    /// What the encoder calls itself: foreign text, shown as text only.
    pub encoder: Option<Cow<'static, str>>,
    /// How its media comes.
    pub via: IngestVia,
}

/// Why an encoder may not publish now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// Somebody else publishes into the room.
    #[error("the room is in use by another encoder")]
    InUse,
    /// The room was deleted a moment ago.
    #[error("the room does not exist")]
    NoRoom,
    /// The server has too much to do, or is shutting down.
    #[error("the server is busy")]
    Busy,
}

/// An admitted encoder's way into its room. Dropping it says that the encoder is gone.
#[derive(Debug)]
pub struct IngestHandle {
    pub(super) participant: ParticipantId,
    pub(super) ring: Arc<IngestRing>,
    pub(super) kick: Arc<Kick>,
    pub(super) gone: mpsc::UnboundedSender<Gone>,
    pub(super) room: RoomKey,
    pub(super) shards: Arc<Shards>,
}

/// How the rooms send an encoder away.
#[derive(Debug, Default)]
pub(super) struct Kick {
    pub(super) token: CancellationToken,
    pub(super) reason: OnceLock<KickReason>,
}

impl IngestHandle {
    /// Who it is in the room.
    pub fn participant(&self) -> ParticipantId {
        self.participant
    }

    /// Hands media to the room; waits while the room is behind, so that the encoder is slowed down and nothing lost.
    pub async fn send(&self, batch: Vec<IngestItem>) -> Result<(), RingClosed> {
        self.ring.send(batch).await
    }

    /// The way of its media into the room, for whoever makes it.
    pub(crate) fn ring(&self) -> Arc<IngestRing> {
        Arc::clone(&self.ring)
    }

    /// Its media comes as these tracks of the room's call; for [`IngestVia::Call`]. May be told again when they change.
    pub fn land(&self, tracks: Vec<(TrackId, Kind)>) {
        self.shards.land(self.room, self.participant, tracks);
    }

    /// Completes when the encoder is sent away, with the reason. Cancel-safe.
    pub async fn kicked(&self) -> KickReason {
        self.kick.token.cancelled().await;
        // The reason is set before the token is cancelled.
        self.kick.reason.get().copied().unwrap_or(KickReason::Shutdown)
    }
}

impl Drop for IngestHandle {
    fn drop(&mut self) {
        self.ring.finish();
        // Unbounded but for the number of ingests: each handle sends exactly one message, when it ends.
        let _ = self.gone.send(Gone { room: self.room, participant: self.participant });
    }
}
