//! The schema of a participant, for the description of the API.
//!
//! Participants go out as `/ws` has them; these types say the same once more (see `room_schema`).

#![expect(dead_code, reason = "only the schemas of these types are used")]

use utoipa::ToSchema;

/// Who takes part in a call.
#[derive(ToSchema)]
#[schema(as = ParticipantList)]
pub(super) struct ParticipantListDoc {
    /// In the order in which they came.
    participants: Vec<ParticipantDoc>,
}

/// Somebody in a call.
#[derive(ToSchema)]
#[schema(as = Participant)]
pub(super) struct ParticipantDoc {
    /// Its id in this call.
    #[schema(example = "p7")]
    id: String,
    /// Who it is: one person on two devices has one identity and two ids.
    #[schema(example = "alice")]
    identity: String,
    /// What others see.
    name: String,
    /// `browser`, `ingest` or `device`.
    #[schema(pattern = "^(browser|ingest|device)$")]
    kind: String,
    /// The app's own words.
    metadata: String,
    /// What it may do.
    grants: Vec<String>,
    /// `away`: its socket is gone, and its media may go on.
    #[schema(pattern = "^(active|away)$")]
    state: String,
    /// When it came (RFC 3339).
    #[schema(format = "date-time")]
    joined_at: String,
    /// What it publishes.
    tracks: Vec<TrackDoc>,
}

/// A published source.
#[derive(ToSchema)]
#[schema(as = Track)]
pub(super) struct TrackDoc {
    /// Its id.
    #[schema(example = "t9")]
    id: String,
    /// `audio` or `video`.
    #[schema(pattern = "^(audio|video)$")]
    kind: String,
    /// `camera`, `microphone`, `screen`, `screen-audio` or `other`.
    source: String,
    /// What its owner calls it.
    name: String,
    /// Whether nothing of it is passed on.
    muted: bool,
    /// `self` or `moderator`.
    muted_by: Option<String>,
    /// Such as `VP8`; null until its first packet.
    codec: Option<String>,
    /// Its simulcast layers, lowest first; empty for one encoding.
    layers: Vec<LayerDoc>,
}

/// A simulcast layer, as its publisher announces it.
#[derive(ToSchema)]
#[schema(as = Layer)]
pub(super) struct LayerDoc {
    /// RFC 8851.
    #[schema(example = "h")]
    rid: String,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
    /// Frames per second.
    frame_rate: u32,
    /// Bits per second.
    bitrate_bps: u64,
}
