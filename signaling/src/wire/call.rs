//! A call as clients see it, over `/ws` and over REST alike: who takes part, and what they send.

use serde::{Deserialize, Serialize};

use super::text::{Metadata, Mid, Name, ParticipantRef, Secret, TrackRef};

/// How a room's media travels; fixed when the room is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Mode {
    /// Through this server.
    #[default]
    Sfu,
    /// Between the browsers; this server only relays what they need to find each other.
    P2p,
}

/// What a participant is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ParticipantKind {
    /// A person in a browser.
    #[default]
    Browser,
    /// An encoder.
    Ingest,
    /// A program.
    Device,
}

/// Whether a participant is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Presence {
    /// Its socket is open.
    Active,
    /// Its socket is gone; it may come back within 30 s, and its media may go on meanwhile.
    Away,
}

/// What a participant may do in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum CallGrant {
    /// Publish tracks.
    Publish,
    /// Receive tracks.
    Subscribe,
    /// Send data messages without publishing.
    Chat,
    /// Mute, change and remove others.
    Admin,
}

/// One connected identity.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Participant {
    /// Its id.
    #[serde(flatten)]
    pub info: ParticipantInfo,
    /// What it publishes.
    pub tracks: Vec<Track>,
}

/// A participant without its tracks.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ParticipantInfo {
    /// Its id.
    pub id: ParticipantRef,
    /// Who it is: the same person on two devices, or coming back, has one identity and two ids.
    pub identity: String,
    /// For people.
    pub name: Name,
    /// What it is.
    pub kind: ParticipantKind,
    /// The application's own.
    pub metadata: Metadata,
    /// What it may do.
    pub grants: Vec<CallGrant>,
    /// Whether it is reached.
    pub state: Presence,
    /// RFC 3339.
    pub joined_at: String,
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// What a track shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum TrackSource {
    /// A person.
    Camera,
    /// A person's voice.
    Microphone,
    /// A screen, a window or a tab.
    Screen,
    /// Its sound.
    ScreenAudio,
    /// Anything else.
    Other,
}

/// Who muted a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum MutedBy {
    /// Its publisher.
    #[serde(rename = "self")]
    Owner,
    /// A moderator.
    Moderator,
}

/// One published source.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Track {
    /// Its id.
    pub id: TrackRef,
    /// Audio or video.
    pub kind: TrackKind,
    /// What it shows.
    pub source: TrackSource,
    /// For people.
    pub name: Name,
    /// Whether nothing of it is forwarded.
    pub muted: bool,
    /// Who muted it.
    pub muted_by: Option<MutedBy>,
    /// `VP8`, `Opus`; null until its first packet.
    pub codec: Option<String>,
    /// Its simulcast layers from the lowest to the highest; empty for one encoding.
    pub layers: Vec<Layer>,
}

/// One simulcast layer, as its publisher announces it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Layer {
    /// `a=rid` (RFC 8851).
    pub rid: Mid,
    /// Pixels.
    #[serde(default)]
    pub width: u16,
    /// Pixels.
    #[serde(default)]
    pub height: u16,
    /// Frames per second.
    #[serde(default)]
    pub frame_rate: u8,
    /// Bits per second; 0 when unknown.
    #[serde(default)]
    pub bitrate_bps: u64,
}

/// The state of the topic `call:{room}`.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CallState {
    /// The room's name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// How its media travels.
    pub mode: Mode,
    /// Everybody, the one who reads this included, in the order in which they came.
    pub participants: Vec<Participant>,
}

/// How to come back after the socket was lost.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Session {
    /// Names the session.
    pub id: Secret,
    /// Proves that it is ours; another one after each resume.
    pub secret: Secret,
    /// How long the server waits, in seconds.
    pub resume_secs: u64,
}

/// A STUN or TURN server (the browser's `RTCIceServer`).
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IceServer {
    /// `stun:…`, `turn:…`.
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// Which of a participant's two peer connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum MediaConnection {
    /// The one that the client offers and sends on.
    Publish,
    /// The one that the server offers and sends on.
    Subscribe,
}

/// Why a participant is not in the call any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// A moderator removed it.
    Removed,
    /// The same identity joined anew.
    DuplicateIdentity,
    /// The room is gone.
    RoomDeleted,
    /// Its credential expired, was revoked, or does not allow to join any more.
    CredentialEnded,
    /// It did not come back in time.
    Timeout,
    /// The server goes away.
    Shutdown,
    /// It did not read what it was sent.
    Slow,
}

/// Whether media flows in a section, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Flow {
    /// It does.
    Active,
    /// It was asked to pause, or nothing is assigned.
    Paused,
    /// The network does not carry it.
    Bandwidth,
    /// The publisher sends nothing, or is muted.
    Silent,
    /// The receiver cannot decode its codec.
    Codec,
}

/// One section of the subscribing connection.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Slot {
    /// The media section.
    pub mid: String,
    /// What it carries.
    pub track: Option<TrackRef>,
    /// Whose that is.
    pub participant: Option<ParticipantRef>,
    /// Whether media flows.
    pub flow: Flow,
    /// The layer being sent: 0 is the lowest; null without layers or media.
    pub layer: Option<u8>,
}

/// Which layers of an own track somebody wants.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Demand {
    /// The track.
    pub track: TrackRef,
    /// Whether anything of it is wanted.
    pub wanted: bool,
    /// The layers that are wanted; empty without layers.
    pub rids: Vec<String>,
}

/// Somebody who speaks.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Speaker {
    /// Who.
    pub participant: ParticipantRef,
    /// How loud: 0 is the loudest, 127 silence (RFC 6464 §3).
    pub level: u8,
}

/// How good a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Quality {
    /// Nothing comes through.
    Lost,
    /// People notice.
    Poor,
    /// Something is held back.
    Good,
    /// Nothing to complain about.
    Excellent,
}

/// How good a participant's connection is: the worse of its two.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ParticipantQuality {
    /// Who.
    pub participant: ParticipantRef,
    /// How good.
    pub quality: Quality,
}

/// What the path to a client carries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bandwidth {
    /// What the estimator believes, in bits per second.
    pub estimate_bps: u64,
    /// What is allocated.
    pub allocated_bps: u64,
    /// What was sent in the last second.
    pub sent_bps: u64,
    /// Round trip time in milliseconds.
    pub round_trip_ms: Option<f32>,
    /// Share of packets lost, 0 to 1.
    pub loss: Option<f32>,
}

/// Why a peer connection was given up, or an offer or an answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum MediaFault {
    /// ICE found no way, or consent was lost for good (RFC 7675).
    NoPath,
    /// DTLS failed or took too long.
    Handshake,
    /// The SDP cannot be read, or breaks a limit.
    BadSdp,
    /// There is no codec that both sides know.
    NoCodec,
    /// There are as many tracks or sections as there may be.
    TooMany,
    /// The server gave up on the connection.
    Internal,
}
