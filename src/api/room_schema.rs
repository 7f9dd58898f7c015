//! The schema of a room, for the description of the API.
//!
//! Rooms go out as `telstar_signaling::wire` has them, over REST and `/ws` alike; that crate is a core and knows no
//! OpenAPI. These types say the same once more, and the test below holds them against what is really sent.

#![expect(dead_code, reason = "only the schemas of these types are used")]

use utoipa::ToSchema;

use super::rooms::Mode;

/// The account's own rooms.
#[derive(ToSchema)]
#[schema(as = RoomList)]
pub(super) struct RoomListDoc {
    /// Oldest first.
    rooms: Vec<RoomDoc>,
}

/// A room.
#[derive(ToSchema)]
#[schema(as = Room)]
pub(super) struct RoomDoc {
    /// Its name in links.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$", example = "demo")]
    name: String,
    /// Its title.
    title: String,
    /// Whether whoever has the link may watch.
    open: bool,
    /// Whose it is.
    #[schema(example = "account:1")]
    owner: String,
    /// The origins whose pages may frame it.
    embed_origins: Vec<String>,
    /// When it was made (RFC 3339).
    #[schema(format = "date-time")]
    created_at: String,
    /// What is live in it.
    live: RoomStateDoc,
    /// How the media of its calls travels. It stays as it is.
    mode: Mode,
}

/// The live half of a room.
#[derive(ToSchema)]
#[schema(as = RoomState)]
pub(super) struct RoomStateDoc {
    /// `waiting`: an encoder is connected, its first playlist is not there yet.
    state: LiveStateDoc,
    /// Who watches.
    viewers: u64,
    /// When this stream began (RFC 3339).
    #[schema(format = "date-time")]
    started_at: Option<String>,
    /// The path of the multivariant playlist while there is one.
    #[schema(example = "/live/demo/index.m3u8")]
    playlist: Option<String>,
    /// People are in a call that can be watched: while the room is offline, whoever asks for
    /// `/live/{room}/index.m3u8` or watches over WHEP has it mixed.
    has_call: bool,
    /// What the encoder sends; null for whoever may not administer the room.
    ingest: Option<IngestDoc>,
    /// What is wrong with it; empty for whoever may not administer the room.
    warnings: Vec<WarningDoc>,
    /// What the server converts for those who watch; empty for whoever may not administer the room.
    conversions: Vec<ConversionDoc>,
}

/// A track that is converted, once however many watch it.
#[derive(ToSchema)]
#[schema(as = Conversion)]
pub(super) struct ConversionDoc {
    /// From which codec, for people.
    #[schema(example = "AAC")]
    from: String,
    /// To which, for people.
    #[schema(example = "Opus")]
    to: String,
    /// `waiting`: the worker died or refused, and the next one starts in a moment.
    #[schema(pattern = "^(starting|running|waiting)$")]
    state: String,
    /// Of one core.
    cpu_percent: f64,
    /// Why it does not run, with the remedy if there is one; for people.
    error: Option<String>,
}

/// What a room's main picture is doing.
#[derive(ToSchema)]
#[schema(as = LiveState, rename_all = "snake_case")]
pub(super) enum LiveStateDoc {
    Offline,
    Waiting,
    Live,
    Reconnecting,
}

/// What the encoder sends.
#[derive(ToSchema)]
#[schema(as = Ingest)]
pub(super) struct IngestDoc {
    /// How it came.
    #[schema(example = "rtmp")]
    protocol: String,
    /// What the encoder calls itself.
    encoder: Option<String>,
    /// Its tracks.
    tracks: Vec<IngestTrackDoc>,
    /// Frames that the server dropped.
    dropped_frames: u64,
}

/// One track. What is not known yet is null.
#[derive(ToSchema)]
#[schema(as = IngestTrack)]
pub(super) struct IngestTrackDoc {
    /// `video` or `audio`.
    #[schema(pattern = "^(video|audio)$")]
    kind: String,
    /// For people.
    #[schema(example = "H.264")]
    codec: String,
    /// RFC 6381.
    #[schema(example = "avc1.64001f")]
    rfc6381: String,
    /// Video: pixels.
    #[schema(required = false)]
    width: Option<u32>,
    /// Video: pixels.
    #[schema(required = false)]
    height: Option<u32>,
    /// Video: frames per second, measured.
    #[schema(required = false)]
    frame_rate: Option<f64>,
    /// Video: seconds between the latest keyframes.
    #[schema(required = false)]
    keyframe_interval_secs: Option<f64>,
    /// Video: whether frames come in another order than they are shown.
    #[schema(required = false)]
    b_frames: bool,
    /// Audio: hertz.
    #[schema(required = false)]
    sample_rate: u32,
    /// Audio: channels.
    #[schema(required = false)]
    channels: u32,
    /// Bits per second, measured.
    bitrate_bps: Option<u64>,
}

/// Something that the streamer should mend.
#[derive(ToSchema)]
#[schema(as = Warning)]
pub(super) struct WarningDoc {
    /// A stable word, which pages translate.
    #[schema(example = "keyframe_interval")]
    code: String,
    /// What the sentence needs, such as `seconds`.
    #[schema(value_type = Object)]
    params: (),
}
