//! Ingest adapters: what encoders push becomes tracks and frames of a room.
//!
//! Each adapter owns its sockets, finds out who is there, asks [`authorise`](crate::auth::authorise) and the
//! [rooms](crate::rooms), and hands over batches; it knows nothing of who watches. RTMP is the only one so far.

mod admission;
mod bitrate;
mod connection;
mod rtmp;

pub use rtmp::RtmpServer;
