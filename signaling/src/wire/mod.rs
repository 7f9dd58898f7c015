//! What is said on `/ws` under the subprotocol `telstar.v1`, as typed JSON. `docs/protocol.md` explains it; a test holds both together.
//!
//! This is the only place of the crate that knows serde. Unknown fields are ignored, unknown types are answered with an error.

mod event;
mod reply;
mod request;
mod room;
#[cfg(test)]
mod schema;

pub use event::{EventBody, EventKind};
pub use reply::{CloseCode, ErrorBody, ErrorCode, Reply};
pub use request::{Parsed, REQUEST_TYPES, Request, RequestId, Unreadable, parse};
pub use room::{Ingest, IngestTrack, LiveState, Room, RoomState, RoomTopicState, RoomsState, Warning};

/// The WebSocket subprotocol (RFC 6455 §1.9) that a client must ask for.
pub const SUBPROTOCOL: &str = "telstar.v1";
