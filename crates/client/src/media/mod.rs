//! The two peer connections of a call, on the `webrtc` crate. They know no socket and no protocol message of signalling.

pub(crate) mod engine;
pub(crate) mod local;
pub(crate) mod paths;
pub(crate) mod publisher;
pub(crate) mod remote;
