//! What clients ask of a call.

use std::fmt;

use serde::Deserialize;
use serde::de::Error;

use super::call::{CallGrant, Layer, MediaConnection, ParticipantKind, TrackKind, TrackSource};
use super::p2p::{Description, IceCandidate};
use super::text::{Candidate, Label, Metadata, Mid, Name, ParticipantRef, Payload, Sdp, TrackRef};
use crate::limits::{DATA_RECEIVERS_MAX, LAYERS_MAX, TRACKS_MAX};

/// A request of a call, without its id.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(tag = "type", rename_all = "kebab-case"))]
pub enum CallRequest {
    /// Takes part in the call of a room.
    Join(Join),
    /// Ends taking part.
    Leave(Leave),
    /// Offers media: new tracks, or a renegotiation.
    Publish(Publish),
    /// Ends a track.
    Unpublish(Unpublish),
    /// Changes what is said about an own track.
    UpdateTrack(UpdateTrack),
    /// Mutes or unmutes.
    Mute(Mute),
    /// A candidate of the client (RFC 8838).
    Candidate(CandidateFor),
    /// The answer to the event `offer`.
    Answer(Answer),
    /// Asks for new ICE credentials of the subscribing connection.
    RestartIce(RestartIce),
    /// Says how a track is wanted.
    UpdateSubscription(UpdateSubscription),
    /// Changes a participant.
    UpdateParticipant(UpdateParticipant),
    /// Removes a participant.
    Remove(Remove),
    /// Sends a message to all or some.
    SendData(SendData),
    /// Asks for an event `bandwidth` each second.
    Report(Report),
    /// In a p2p room: passes something on to another browser.
    Signal(Signal),
}

/// The `type` of every [`CallRequest`].
pub const CALL_REQUEST_TYPES: [&str; 15] = [
    "join",
    "leave",
    "publish",
    "unpublish",
    "update-track",
    "mute",
    "candidate",
    "answer",
    "restart-ice",
    "update-subscription",
    "update-participant",
    "remove",
    "send-data",
    "report",
    "signal",
];

impl CallRequest {
    /// Reads the request of this type; `None` when it is none of a call's. A field that is missing, of the wrong type or over
    /// its limit is an error.
    pub(super) fn parse(kind: &str, text: &str) -> Option<Result<CallRequest, serde_json::Error>> {
        fn read<'a, T: Deserialize<'a>>(
            text: &'a str,
            wrap: fn(T) -> CallRequest,
        ) -> Result<CallRequest, serde_json::Error> {
            serde_json::from_str(text).map(wrap)
        }
        // By hand: serde's tagged enums build the whole value first, which would copy payloads and lose their spelling.
        Some(match kind {
            "join" => read(text, CallRequest::Join),
            "leave" => read(text, CallRequest::Leave),
            "publish" => read(text, CallRequest::Publish),
            "unpublish" => read(text, CallRequest::Unpublish),
            "update-track" => read(text, CallRequest::UpdateTrack),
            "mute" => read(text, CallRequest::Mute),
            "candidate" => read(text, CallRequest::Candidate),
            "answer" => read(text, CallRequest::Answer),
            "restart-ice" => read(text, CallRequest::RestartIce),
            "update-subscription" => read(text, CallRequest::UpdateSubscription),
            "update-participant" => read(text, CallRequest::UpdateParticipant),
            "remove" => read(text, CallRequest::Remove),
            "send-data" => read(text, CallRequest::SendData),
            "report" => read(text, CallRequest::Report),
            "signal" => read(text, CallRequest::Signal),
            _ => return None,
        })
    }

    /// Its `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            CallRequest::Join(_) => "join",
            CallRequest::Leave(_) => "leave",
            CallRequest::Publish(_) => "publish",
            CallRequest::Unpublish(_) => "unpublish",
            CallRequest::UpdateTrack(_) => "update-track",
            CallRequest::Mute(_) => "mute",
            CallRequest::Candidate(_) => "candidate",
            CallRequest::Answer(_) => "answer",
            CallRequest::RestartIce(_) => "restart-ice",
            CallRequest::UpdateSubscription(_) => "update-subscription",
            CallRequest::UpdateParticipant(_) => "update-participant",
            CallRequest::Remove(_) => "remove",
            CallRequest::SendData(_) => "send-data",
            CallRequest::Report(_) => "report",
            CallRequest::Signal(_) => "signal",
        }
    }

    /// Whether it is one of those that come in bursts and have a rate of their own.
    pub fn is_message(&self) -> bool {
        matches!(self, CallRequest::Candidate(_) | CallRequest::SendData(_) | CallRequest::Signal(_))
    }
}

/// The type only: the rest is a client's own.
impl fmt::Debug for CallRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind())
    }
}

fn yes() -> bool {
    true
}

fn middle() -> u8 {
    128
}

fn at_most<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let list = Vec::<T>::deserialize(deserializer)?;
    if list.len() > MAX { Err(D::Error::custom("too many")) } else { Ok(list) }
}

/// The fields of `join`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Join {
    /// The room's name.
    pub room: String,
    /// For people; without it the credential's.
    #[serde(default)]
    pub name: Option<Name>,
    /// The application's own; without it the credential's.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// What joins; an encoder joins by publishing.
    #[serde(default)]
    pub kind: ClientKind,
    /// Whether every track is received without asking.
    #[serde(default = "yes")]
    pub auto_subscribe: bool,
}

/// What a client may call itself.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ClientKind {
    /// A person in a browser.
    #[default]
    Browser,
    /// A program.
    Device,
}

impl From<ClientKind> for ParticipantKind {
    fn from(kind: ClientKind) -> ParticipantKind {
        match kind {
            ClientKind::Browser => ParticipantKind::Browser,
            ClientKind::Device => ParticipantKind::Device,
        }
    }
}

/// The fields of `leave`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Leave {}

/// The fields of `publish`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Publish {
    /// The offer.
    pub sdp: Sdp,
    /// What is new in it; empty for a renegotiation.
    #[serde(default, deserialize_with = "at_most::<_, _, TRACKS_MAX>")]
    #[cfg_attr(test, schemars(length(max = "TRACKS_MAX")))]
    pub tracks: Vec<PublishedTrack>,
}

/// A new track in an offer.
#[derive(Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PublishedTrack {
    /// Its media section.
    pub mid: Mid,
    /// Audio or video.
    pub kind: TrackKind,
    /// What it shows.
    pub source: TrackSource,
    /// For people.
    #[serde(default)]
    pub name: Name,
    /// Whether it begins muted.
    #[serde(default)]
    pub muted: bool,
    /// Its simulcast layers from the lowest to the highest.
    #[serde(default, deserialize_with = "at_most::<_, _, LAYERS_MAX>")]
    #[cfg_attr(test, schemars(length(max = "LAYERS_MAX")))]
    pub layers: Vec<Layer>,
}

/// The fields of `unpublish`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unpublish {
    /// Which.
    pub track: TrackRef,
}

/// The fields of `update-track`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpdateTrack {
    /// Which.
    pub track: TrackRef,
    /// For people.
    #[serde(default)]
    pub name: Option<Name>,
    /// What the layers are now; the rids stay as they were published.
    #[serde(default, deserialize_with = "layers")]
    #[cfg_attr(test, schemars(length(max = "LAYERS_MAX")))]
    pub layers: Option<Vec<Layer>>,
}

fn layers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Layer>>, D::Error> {
    let list = Option::<Vec<Layer>>::deserialize(deserializer)?;
    if list.as_ref().is_some_and(|list| list.len() > LAYERS_MAX) { Err(D::Error::custom("too many")) } else { Ok(list) }
}

/// The fields of `mute`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mute {
    /// Which: an own one, or for a moderator any.
    pub track: TrackRef,
    /// A moderator can only mute.
    pub muted: bool,
}

/// The fields of `candidate`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CandidateFor {
    /// Of which peer connection.
    pub connection: MediaConnection,
    /// `candidate:…`, or empty for the end of the candidates.
    pub candidate: Candidate,
}

/// The fields of `answer`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// Of the offer that is answered.
    pub version: u32,
    /// The answer.
    pub sdp: Sdp,
}

/// The fields of `restart-ice`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RestartIce {}

/// The fields of `update-subscription`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpdateSubscription {
    /// Which track.
    pub track: TrackRef,
    /// Whether it is wanted at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Wanted, but not now.
    #[serde(default)]
    pub paused: bool,
    /// The largest useful width in pixels; 0 for no limit.
    #[serde(default)]
    pub width: u16,
    /// The largest useful height in pixels; 0 for no limit.
    #[serde(default)]
    pub height: u16,
    /// The largest useful frame rate; 0 for no limit.
    #[serde(default)]
    pub frame_rate: u8,
    /// Higher comes first when there is not enough for all.
    #[serde(default = "middle")]
    pub priority: u8,
}

/// The fields of `update-participant`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpdateParticipant {
    /// Who; oneself when absent.
    #[serde(default)]
    pub participant: Option<ParticipantRef>,
    /// What may be changed.
    #[serde(flatten)]
    pub change: ParticipantChange,
}

/// What about a participant can change.
#[derive(Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ParticipantChange {
    /// For people.
    #[serde(default)]
    pub name: Option<Name>,
    /// The application's own.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// What it may do from now on; a moderator's to say.
    #[serde(default)]
    pub grants: Option<Vec<CallGrant>>,
}

/// The fields of `remove`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Remove {
    /// Who.
    pub participant: ParticipantRef,
}

/// The fields of `send-data`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SendData {
    /// For whom; everybody else when absent.
    #[serde(default, deserialize_with = "receivers")]
    #[cfg_attr(test, schemars(length(min = 1, max = "DATA_RECEIVERS_MAX")))]
    pub to: Option<Vec<ParticipantRef>>,
    /// What it is about.
    #[serde(default)]
    pub label: Option<Label>,
    /// Any JSON of at most 16 KiB.
    #[cfg_attr(test, schemars(with = "serde_json::Value"))]
    pub data: Payload,
}

fn receivers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<ParticipantRef>>, D::Error> {
    let list = Option::<Vec<ParticipantRef>>::deserialize(deserializer)?;
    // An empty list is a program's mistake that would otherwise mean its opposite.
    let fits = list.as_ref().is_none_or(|list| (1..=DATA_RECEIVERS_MAX).contains(&list.len()));
    if fits { Ok(list) } else { Err(D::Error::custom("none, or too many")) }
}

/// The fields of `report`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Whether.
    pub enabled: bool,
}

/// The fields of `signal`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Signal {
    /// To whom.
    pub to: ParticipantRef,
    /// The browser's `RTCSessionDescriptionInit`.
    #[serde(default)]
    pub description: Option<Description>,
    /// The browser's `RTCIceCandidateInit`; null for the end of the candidates is an empty `candidate` in it.
    #[serde(default)]
    pub candidate: Option<IceCandidate>,
}
