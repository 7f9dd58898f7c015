//! Hostile input to calls over real sockets: each attack meets a limit, costs a bounded amount of work and memory, and another
//! call on the same server goes on beside it without losing a packet. What each costs is measured by
//! `tests/e2e/scripts/threats.mjs`; which test is for which threat stands in `docs/calls.md`.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

mod beside;
mod cost;
mod edge;
mod feedback;
mod machine;
mod media;
mod peer;
mod sctp;
mod sdp;
mod signalling;
mod stage;
mod stun;
mod tcp;

#[path = "../support/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "../ws/support.rs"]
mod support;
