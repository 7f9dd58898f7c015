//! Ingest adapters: what encoders push becomes tracks and frames of a room.
//!
//! Each adapter finds out who is there, asks [`authorise`](crate::auth::authorise) and the [rooms](crate::rooms), and
//! hands over batches; it knows nothing of who watches. RTMP is the only one so far; its sockets are
//! [`crate::rtmp`]'s, because players come through the same door.

pub mod rtmp;
