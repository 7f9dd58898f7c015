//! Outputs: what takes a room's main picture out to viewers, one adapter per protocol.
//!
//! In: requests of players, and what rooms give: snapshots, or rings of frames. Out: playlists and media.
//! An output never talks to an ingest, and no media thread waits for it.
//!
//! - `hls`: low-latency HLS over HTTP;
//! - `whep`: packets for viewers over WebRTC, whose requests are [`crate::whx`]'s;
//! - `rtmp`: frames for players over RTMP, whose sockets are [`crate::rtmp`]'s.

pub mod hls;
pub mod rtmp;
pub mod whep;
