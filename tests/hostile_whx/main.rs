//! Hostile input to WHIP and WHEP over real sockets: each attack meets a limit, costs a bounded amount of work and memory, and a
//! call on the same server goes on beside it without losing a packet. Which test is for which threat stands in
//! `docs/whip-whep.md`.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

#[path = "../hostile_calls/beside.rs"]
mod beside;
#[path = "../hostile_calls/cost.rs"]
mod cost;
mod floods;
mod foreign;
#[path = "../support/process.rs"]
mod process;
mod sessions;
#[allow(dead_code, reason = "shared with the attacks on calls, which use all of it")]
#[path = "../hostile_calls/stage.rs"]
mod stage;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "../ws/support.rs"]
mod support;
