//! Hostile input over real sockets: each attack gets a clear refusal and a bounded cost, and another stream plays on beside
//! it without losing a picture. What each costs in CPU and memory is measured by `tests/e2e/scripts/threats.mjs`.

mod door;
mod http;
mod media;
mod stage;
mod wire;

#[path = "../../crates/rtmp/tests/support/mod.rs"]
mod encoder;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/rtmp.rs"]
mod rtmp;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "../ws/support.rs"]
mod support;
