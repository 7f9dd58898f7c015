//! `/ws` over real sockets: a server on free ports, tokio-tungstenite as the client.
//!
//! Each module is one promise of docs/protocol.md. What the core decides (limits of the outbox, order, coalescing) is
//! tested in `telstar-signaling` without sockets; here is what only sockets show.

#[path = "ws/doors.rs"]
mod doors;
#[path = "ws/endings.rs"]
mod endings;
#[path = "ws/messages.rs"]
mod messages;
#[allow(dead_code, reason = "shared with the tests of the other doors, which look at headers as well")]
#[path = "ws/support.rs"]
mod support;
#[path = "ws/topics.rs"]
mod topics;
