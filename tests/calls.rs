//! Calls over real sockets: a server on free ports, people with media on `telstar-client` (the `webrtc` crate, which the
//! server does not share) and people without media on a bare WebSocket.
//!
//! Each module is one promise of docs/protocol.md and docs/calls.md. What the cores decide is tested in
//! `telstar-signaling`, `telstar-sfu` and under a virtual network in `telstar-sim`; here is what only sockets show.

#[path = "calls/apps.rs"]
mod apps;
#[path = "calls/endings.rs"]
mod endings;
#[path = "support/ice.rs"]
mod ice;
#[path = "calls/kills.rs"]
mod kills;
#[path = "calls/limits.rs"]
mod limits;
#[path = "calls/line.rs"]
mod line;
#[path = "calls/media.rs"]
mod media;
#[path = "calls/moderation.rs"]
mod moderation;
#[path = "calls/p2p.rs"]
mod p2p;
#[path = "calls/people.rs"]
mod people;
#[path = "calls/recording.rs"]
mod recording;
#[path = "calls/resume.rs"]
mod resume;
#[allow(dead_code, reason = "shared with the tests of the other doors, which use all of it")]
#[path = "ws/support.rs"]
mod support;
#[path = "calls/tcp.rs"]
mod tcp;
