//! Assets of every kind that a real worker makes, judged by the conformance client (`tests/conformance`), whose readers of playlists and
//! boxes share nothing with the server. A program of its own: workers at work would make the streams of `conformance` late.

#[path = "conformance/asset_faults.rs"]
mod asset_faults;
#[path = "conformance/assets.rs"]
mod assets;
#[allow(dead_code, reason = "shared with the origin that serves them")]
#[path = "conformance/origin/boxes.rs"]
mod boxes;
#[allow(dead_code, unused_imports, reason = "shared with the tests of streams, which use all of it")]
#[path = "conformance/client/mod.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests of the ground, which use all of it")]
#[path = "support/mod.rs"]
mod support;
#[path = "support/worker.rs"]
mod worker;

/// What the client's own tests read.
#[cfg(test)]
mod origin {
    pub(crate) use super::boxes;
}
