//! The door of RTMP and RTMPS. Encoders push through it and players play from it.
//!
//! Here are the sockets, the deadlines, the limits of connections, and the RTMP core of each connection. What a
//! connection turns out to be is carried out by an adapter: [`crate::ingest::rtmp`] for an encoder,
//! [`crate::output::rtmp`] for a player. Neither knows the other (docs/adr/0011).

mod bitrate;
mod connection;
mod leaving;
mod listener;
mod writing;

pub use leaving::Leaving;
pub use listener::RtmpServer;
