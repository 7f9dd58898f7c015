//! What is said on `/ws` under the subprotocol `telstar.v1`, as typed JSON. `docs/protocol.md` explains it; a test holds both together.
//!
//! This is the only place of the crate that knows serde. Unknown fields are ignored, unknown types are answered with an error.

pub mod call;
mod call_event;
#[cfg(test)]
mod call_examples;
mod call_request;
mod event;
mod p2p;
mod reply;
mod request;
mod room;
#[cfg(test)]
mod schema;
mod text;
#[cfg(test)]
mod typescript;

pub use call::{Layer, Participant, ParticipantInfo, Track};
pub use call_event::CallEventKind;
pub use call_request::{
    Answer, CALL_REQUEST_TYPES, CallRequest, CandidateFor, ClientKind, Join, Leave, Mute, ParticipantChange, Publish,
    PublishedTrack, Remove, Report, RestartIce, SendData, Signal, Unpublish, UpdateParticipant, UpdateSubscription,
    UpdateTrack,
};
pub use event::{EventBody, EventKind};
pub use p2p::{Description, DescriptionKind, IceCandidate};
pub use reply::{CloseCode, ErrorBody, ErrorCode, PublishedMid, Reply};
pub use request::{Parsed, REQUEST_TYPES, Request, RequestId, Unreadable, parse};
pub use room::{
    Conversion, ConversionState, Ingest, IngestTrack, LiveState, Room, RoomState, RoomTopicState, RoomsState, Warning,
};
pub use text::{Candidate, Label, Metadata, Mid, Name, ParticipantRef, Payload, Sdp, Secret, TrackRef};

/// The WebSocket subprotocol (RFC 6455 §1.9) that a client must ask for.
pub const SUBPROTOCOL: &str = "telstar.v1";
