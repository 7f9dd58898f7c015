//! The selective forwarding unit: what every publisher sends goes to whoever wants it, as much as each path carries.
//!
//! In: datagrams, commands of the room's owner, `now`. Out: datagrams, events, deadlines.
//! This crate knows no socket, no clock, no name and no right.

mod api;
pub mod demux;
pub mod rfc4571;

pub use api::*;
