//! What was acknowledged survives: the server and its workers are killed, and the power fails, wherever that can happen.
//! Afterwards every upload is an asset that was made exactly once, and no file is left that belongs to nothing.
//!
//! `TELSTAR_KILL_ROUNDS=1000` fails the power at every sync there is, `TELSTAR_KILL_SEED=7` at others than usual.

#[path = "vod_kill/life.rs"]
mod life;
#[path = "vod_kill/power.rs"]
mod power;
#[path = "vod_kill/server.rs"]
mod server;
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
#[path = "support/worker.rs"]
mod support;
#[path = "vod_kill/walk.rs"]
mod walk;
