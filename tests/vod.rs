//! Video on demand over real sockets: tus line by line, what is sent of assets, and who gets it.
//!
//! What a worker would make is put into the store as its supervisor does. What workers make is tested in
//! `transcode/worker`, what jobs do in `telstar-store`.

#[path = "vod/access.rs"]
mod access;
#[path = "vod/files.rs"]
mod files;
#[path = "vod/hostile.rs"]
mod hostile;
#[path = "vod/raw.rs"]
mod raw;
#[path = "vod/rest.rs"]
mod rest;
#[path = "vod/serving.rs"]
mod serving;
#[path = "vod/stage.rs"]
mod stage;
#[allow(dead_code, reason = "shared with the tests of the ground, which use all of it")]
#[path = "support/mod.rs"]
mod support;
#[path = "vod/tus.rs"]
mod tus;
#[path = "vod/waits.rs"]
mod waits;
#[path = "support/worker.rs"]
mod worker;
