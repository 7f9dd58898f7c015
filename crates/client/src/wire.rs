//! The messages of the signalling protocol as this client reads and writes them. In: JSON text. Out: values.
//!
//! They are the client's own types, held against `docs/protocol.schema.json` by a test, so that this crate is a second
//! reading of the protocol and not the server's own one. Fields and events that are not known here are ignored, as the
//! protocol asks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// What a track shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A person's picture.
    Camera,
    /// A person's voice.
    Microphone,
    /// A screen.
    Screen,
    /// The sound of a screen.
    ScreenAudio,
    /// Anything else, such as a clip.
    #[serde(other)]
    Other,
}

/// Which of the two peer connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The client offers and sends.
    Publish,
    /// The server offers and sends.
    Subscribe,
}

/// One encoding of a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `a=rid` (RFC 8851).
    pub rid: String,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Frames a second.
    #[serde(default)]
    pub frame_rate: u8,
    /// Bits a second; 0 when unknown.
    #[serde(default)]
    pub bitrate_bps: u64,
}

/// A published track.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Track {
    /// Such as `t9`.
    pub id: String,
    /// Audio or video.
    pub kind: Kind,
    /// What it shows.
    pub source: Source,
    /// Its publisher's name for it.
    #[serde(default)]
    pub name: String,
    /// Whether nothing comes from it at the moment.
    #[serde(default)]
    pub muted: bool,
    /// Who muted it: `self` or `moderator`.
    #[serde(default)]
    pub muted_by: Option<String>,
    /// Once known.
    #[serde(default)]
    pub codec: Option<String>,
    /// Its simulcast layers, the lowest first.
    #[serde(default)]
    pub layers: Vec<Layer>,
}

/// Somebody in the call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Participant {
    /// Such as `p7`.
    pub id: String,
    /// Who it is for the application.
    pub identity: String,
    /// What people see.
    #[serde(default)]
    pub name: String,
    /// `browser`, `ingest` or `device`.
    #[serde(default)]
    pub kind: String,
    /// The application's own words.
    #[serde(default)]
    pub metadata: String,
    /// What it may do.
    #[serde(default)]
    pub grants: Vec<String>,
    /// `active`, or `away` while its socket is gone.
    #[serde(default)]
    pub state: String,
    /// What it publishes; absent in `participant-updated`.
    #[serde(default)]
    pub tracks: Vec<Track>,
}

/// One section of the subscribing connection and what it carries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Slot {
    /// The media section (`a=mid`).
    pub mid: String,
    /// What it carries.
    pub track: Option<String>,
    /// Whose that is.
    pub participant: Option<String>,
    /// `active`, `paused`, `bandwidth`, `silent` or `codec`.
    pub flow: String,
    /// The layer, counted from the lowest.
    pub layer: Option<u8>,
}

/// Which encodings of an own track somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Demand {
    /// The track.
    pub track: String,
    /// Whether anything of it is wanted.
    pub wanted: bool,
    /// The wanted layers.
    #[serde(default)]
    pub rids: Vec<String>,
}

/// A participant who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Speaker {
    /// Who.
    pub participant: String,
    /// 0 is the loudest, 127 silence (RFC 6464 §3).
    pub level: u8,
}

/// How good a participant's connection is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Quality {
    /// Whose.
    pub participant: String,
    /// `lost`, `poor`, `good` or `excellent`.
    pub quality: String,
}

/// Proof of this participant, for [`Request::Resume`].
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// Which.
    pub id: String,
    /// Good for one resume.
    pub secret: String,
    /// How long a dropped socket may take to come back.
    pub resume_secs: u64,
}

/// A STUN or TURN server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IceServer {
    /// `stun:…`, `turn:…`.
    pub urls: Vec<String>,
    /// For TURN.
    pub username: Option<String>,
    /// For TURN.
    pub credential: Option<String>,
}

/// The room as it was at the join.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RoomState {
    /// Its slug.
    pub name: String,
    /// What people see.
    #[serde(default)]
    pub title: String,
    /// `sfu` or `p2p`.
    pub mode: String,
    /// Everybody, oneself included.
    pub participants: Vec<Participant>,
}

/// The reply to [`Request::Join`].
#[derive(Clone, Deserialize)]
pub struct Joined {
    /// Oneself.
    pub participant: String,
    /// For a resume.
    pub session: Session,
    /// For both connections.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// Who is there.
    pub state: RoomState,
}

/// A track that an offer brings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewTrack {
    /// The media section of the offer.
    pub mid: String,
    /// Audio or video.
    pub kind: Kind,
    /// What it shows.
    pub source: Source,
    /// For people.
    pub name: String,
    /// Whether it begins muted.
    pub muted: bool,
    /// The lowest first; empty without simulcast.
    pub layers: Vec<Layer>,
}

/// The reply to [`Request::Publish`].
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    /// The answer.
    pub sdp: String,
    /// The ids of the new tracks.
    #[serde(default)]
    pub tracks: Vec<PublishedTrack>,
}

/// Which id a new track got.
#[derive(Clone, Debug, Deserialize)]
pub struct PublishedTrack {
    /// The media section.
    pub mid: String,
    /// Its id.
    pub track: String,
}

/// How a track is wanted; the default is: all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// Whether it is wanted at all.
    pub enabled: bool,
    /// Wanted, but not now.
    pub paused: bool,
    /// The largest useful width; 0 for no limit.
    pub width: u16,
    /// The largest useful height; 0 for no limit.
    pub height: u16,
    /// The largest useful frame rate; 0 for no limit.
    pub frame_rate: u8,
    /// Higher comes first when there is not enough for all.
    pub priority: u8,
}

impl Default for Subscription {
    fn default() -> Subscription {
        Subscription { enabled: true, paused: false, width: 0, height: 0, frame_rate: 0, priority: 128 }
    }
}

/// What a client asks. Each is answered by exactly one reply.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[allow(missing_docs)] // the fields are described in docs/protocol.md, where they have the same names
pub enum Request {
    /// Says who this connection is.
    Authenticate { token: String },
    /// Enters a call.
    Join {
        room: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<String>,
        kind: &'static str,
        auto_subscribe: bool,
    },
    /// Offers the publishing connection anew, with what is new in it.
    Publish { sdp: String, tracks: Vec<NewTrack> },
    /// Ends a track.
    Unpublish { track: String },
    /// Mutes or unmutes a track.
    Mute { track: String, muted: bool },
    /// A candidate (RFC 8838); empty for the end of them.
    Candidate { connection: Direction, candidate: String },
    /// Answers the event `offer`.
    Answer { version: u32, sdp: String },
    /// Asks for an offer with new ICE credentials.
    RestartIce {},
    /// Says how a track is wanted.
    UpdateSubscription {
        track: String,
        #[serde(flatten)]
        subscription: Subscription,
    },
    /// Changes a participant.
    UpdateParticipant {
        #[serde(skip_serializing_if = "Option::is_none")]
        participant: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        grants: Option<Vec<String>>,
    },
    /// Removes a participant.
    Remove { participant: String },
    /// Sends data, reliably and in order. Nobody named means everybody.
    SendData {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        to: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        data: Value,
    },
    /// Switches the event `bandwidth`.
    Report { enabled: bool },
    /// Ends the call.
    Leave {},
    /// The first message of a new socket: goes on where the old one broke.
    Resume { session: String, secret: String, seq: u64, pending: Vec<u64> },
}

/// What the server says on its own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
#[allow(missing_docs)] // the fields are described in docs/protocol.md, where they have the same names
pub enum Event {
    /// Somebody came.
    ParticipantJoined { participant: Participant },
    /// Somebody's name, metadata, grants or state changed; without tracks.
    ParticipantUpdated { participant: Participant },
    /// Somebody went.
    ParticipantLeft { participant: String, reason: String },
    /// There is a new track.
    TrackPublished { participant: String, track: Track },
    /// A track changed.
    TrackUpdated { participant: String, track: Track },
    /// A track is gone.
    TrackUnpublished { participant: String, track: String },
    /// An offer of the subscribing connection; [`crate::Call`] answers it.
    Offer { version: u32, sdp: String },
    /// A candidate of the server; [`crate::Call`] takes it.
    Candidate { connection: Direction, candidate: String },
    /// What each section carries.
    Slots { version: u32, slots: Vec<Slot> },
    /// What of the own tracks is wanted.
    Demand { tracks: Vec<Demand> },
    /// Who speaks, the loudest first.
    Speakers { speakers: Vec<Speaker> },
    /// Whose quality changed.
    Quality { participants: Vec<Quality> },
    /// Data of a participant, or of the server (`None`).
    Data { from: Option<String>, label: Option<String>, data: Value },
    /// What the path to this client carries.
    Bandwidth { estimate_bps: u64, allocated_bps: u64, sent_bps: u64, round_trip_ms: Option<f32>, loss: Option<f32> },
    /// A connection was given up. The subscribing one is made anew by itself; tracks that were published on the other
    /// one are gone: publish them again.
    MediaFailed { connection: Direction, reason: String },
    /// What one may do changed.
    Grants { grants: Vec<String> },
    /// The call is over.
    Left { reason: String },
    /// A lossy message (see [`crate::Call::send_lossy`]). It came over the data channel, not as JSON.
    #[serde(skip)]
    Lossy { from: String, payload: bytes::Bytes },
    /// The socket broke and is being replaced; media goes on. Made by this client.
    #[serde(skip)]
    Reconnecting,
    /// The new socket took over, and nothing was missed. Made by this client.
    #[serde(skip)]
    Resumed,
    /// The reader was too slow: so many of the oldest events were dropped. Made by this client.
    #[serde(skip)]
    Missed(u64),
    /// Something that this client does not know.
    #[serde(other)]
    Unknown,
}

/// The server's reason for a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// A stable word, such as `not_found`.
    pub code: String,
    /// For people.
    #[serde(default)]
    pub detail: String,
}
