//! Ingest adapters: what encoders push becomes tracks and frames of a room.
//!
//! Each adapter finds out who is there, asks [`authorise`](crate::auth::authorise) and the [rooms](crate::rooms), and
//! hands over what comes; it knows nothing of who watches.
//!
//! - `rtmp`: frames of encoders, whose sockets are [`crate::rtmp`]'s, because players come through the same door;
//! - `whip`: packets of encoders and browsers over WebRTC, whose requests are [`crate::whx`]'s for the same reason.

pub mod rtmp;
pub mod whip;
