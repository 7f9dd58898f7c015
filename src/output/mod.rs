//! Outputs: what takes a room's main picture out to viewers, one adapter per protocol.
//!
//! In: requests of players, and the snapshots that rooms publish. Out: playlists and media.
//! An output never talks to an ingest or to a media thread; it reads what the room shows.
//!
//! - `hls`: low-latency HLS over HTTP.

pub mod hls;
