//! Frames, packets, tracks, timelines and the hub of tracks.
//!
//! Ingest adapters put [`Frame`]s or [`Packet`]s into a [`hub::Hub`]; output adapters subscribe to tracks and
//! take either view out. Times are i64 ticks in the track's timescale from one zero per publishing connection.
//! This crate knows no protocol by name, no I/O and no clock: `now` comes in as an argument.

pub mod codec;
mod frame;
pub mod hub;
pub mod rtp;
pub mod timeline;

pub use codec::{Codec, CodecConfig, MediaKind};
pub use frame::{Frame, KeyframeMode, Origin, Packet, TrackInfo};
