//! WHIP and WHEP over real sockets: every line of docs/whip-whep.md's table, and media by `telstar-client` (the `webrtc` crate,
//! which the server does not share).
//!
//! What a PATCH means and what a fragment is, is tested in `src/whx`; what a call does with ingests and viewers in
//! `telstar-signaling`.

#[path = "whx/access.rs"]
mod access;
#[path = "whx/converted.rs"]
mod converted;
#[path = "whx/endings.rs"]
mod endings;
#[path = "whx/endpoint.rs"]
mod endpoint;
#[path = "whx/fed.rs"]
mod fed;
#[path = "whx/lines.rs"]
mod lines;
#[path = "whx/media.rs"]
mod media;
#[path = "whx/mixed.rs"]
mod mixed;
#[allow(dead_code, reason = "shared with the tests of calls, which use all of it")]
#[path = "calls/people.rs"]
mod people;
#[path = "whx/restart.rs"]
mod restart;
#[path = "whx/session.rs"]
mod session;
#[path = "whx/stage.rs"]
mod stage;
#[allow(dead_code, reason = "shared with the tests of the other doors, which use all of it")]
#[path = "ws/support.rs"]
mod support;
