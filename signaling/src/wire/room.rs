//! A room as clients see it, over `/ws` and over REST alike.

use std::borrow::Cow;

use serde::Serialize;

use super::call::Mode;

/// What a room's main picture is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum LiveState {
    /// Nobody publishes.
    #[default]
    Offline,
    /// An encoder is connected, and its first playlist is not there yet.
    Waiting,
    /// There is something to watch.
    Live,
    /// The encoder was lost a moment ago and may come back, or is back with nothing new to watch yet.
    Reconnecting,
}

/// The live half of a room.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RoomState {
    /// What the main picture is doing.
    pub state: LiveState,
    /// Connections that watch.
    pub viewers: u64,
    /// When this stream began (RFC 3339).
    pub started_at: Option<String>,
    /// The path of the multivariant playlist while there is one.
    pub playlist: Option<String>,
    /// People are in a call that can be watched: while the room is offline, whoever asks for its playlist or watches over
    /// WHEP has it mixed.
    pub has_call: bool,
    /// What the encoder sends; only for who may administer the room, null for others.
    pub ingest: Option<Ingest>,
    /// What is wrong with it; only for who may administer the room, empty for others.
    pub warnings: Vec<Warning>,
    /// What the server converts for those who watch; only for who may administer the room, empty for others.
    pub conversions: Vec<Conversion>,
}

impl RoomState {
    /// The same without what only the room's administrators may see.
    pub fn public(&self) -> RoomState {
        RoomState { ingest: None, warnings: Vec::new(), conversions: Vec::new(), ..self.clone() }
    }
}

/// What the encoder sends.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ingest {
    /// `rtmp`.
    pub protocol: Cow<'static, str>,
    /// What the encoder calls itself.
    pub encoder: Option<String>,
    /// Its tracks.
    pub tracks: Vec<IngestTrack>,
    /// Frames that the server dropped.
    pub dropped_frames: u64,
}

/// One track of the encoder. What is not known yet is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum IngestTrack {
    /// A picture.
    Video {
        /// For people: `H.264`.
        codec: String,
        /// RFC 6381: `avc1.64001f`.
        rfc6381: String,
        /// Pixels.
        width: Option<u32>,
        /// Pixels.
        height: Option<u32>,
        /// Frames per second, measured.
        frame_rate: Option<f64>,
        /// Bits per second, measured.
        bitrate_bps: Option<u64>,
        /// Seconds between the latest keyframes.
        keyframe_interval_secs: Option<f64>,
        /// Whether frames come in another order than they are shown.
        b_frames: bool,
    },
    /// A sound.
    Audio {
        /// For people: `AAC`.
        codec: String,
        /// RFC 6381: `mp4a.40.2`.
        rfc6381: String,
        /// Hertz.
        sample_rate: u32,
        /// Channels.
        channels: u32,
        /// Bits per second, measured.
        bitrate_bps: Option<u64>,
    },
}

/// A track that is converted, once however many watch it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Conversion {
    /// From which codec, for people: `AAC`.
    pub from: String,
    /// To which, for people: `Opus`.
    pub to: String,
    /// How it is.
    pub state: ConversionState,
    /// Of one core, over the last second or so.
    pub cpu_percent: f64,
    /// Why it does not run, with the remedy if there is one; for people.
    pub error: Option<String>,
}

/// How a conversion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ConversionState {
    /// A worker is being started.
    Starting,
    /// A worker converts.
    Running,
    /// The worker died or refused; the next one starts in a moment.
    Waiting,
}

/// Something that the streamer should mend. Pages translate the code.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "code", content = "params", rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Warning {
    /// Keyframes are too far apart.
    KeyframeInterval {
        /// The longest distance seen.
        seconds: f64,
    },
    /// There is no audio track.
    NoAudio {},
    /// There is no video track.
    NoVideo {},
    /// A track cannot be offered.
    CodecUnsupported {
        /// Its codec.
        codec: String,
    },
    /// Timestamps jumped.
    TimestampsJump {},
    /// Audio is missing in between.
    AudioGap {},
}

/// The state of the topic `room:{name}`.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RoomTopicState {
    /// The room's name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Whether whoever has the link may watch.
    pub open: bool,
    /// The live half.
    #[serde(flatten)]
    pub live: RoomState,
}

/// A room of the caller.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Room {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Whether whoever has the link may watch.
    pub open: bool,
    /// Who owns it: `account:ID`.
    pub owner: String,
    /// Origins that may frame its pages.
    pub embed_origins: Vec<String>,
    /// How the media of its calls travels. It stays as it is.
    pub mode: Mode,
    /// RFC 3339.
    pub created_at: String,
    /// The live half.
    pub live: RoomState,
}

/// The state of the topic `rooms`.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RoomsState {
    /// The caller's rooms, by name.
    pub rooms: Vec<Room>,
}
