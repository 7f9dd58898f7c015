//! The selective forwarding unit: what every publisher sends goes to whoever wants it, as much as each path carries.
//!
//! In: datagrams, commands of the room's owner, `now`. Out: datagrams, events, deadlines.
//! This crate knows no socket, no clock, no name and no right.

mod api;
mod assign;
mod budget;
mod commands;
mod config;
mod demux;
mod engine;
mod forward;
mod keyframes;
mod messages;
mod peer;
mod peers;
#[cfg(feature = "probes")]
mod probes;
mod publisher;
mod room;
mod route;
mod sdp;
mod sfu;
mod subscriber;
mod tick;

// The parts that know no WebRTC engine: values and state machines that the peers plug together.
pub mod allocate;
pub mod bitrate;
pub mod credit;
pub mod data;
pub mod dependency;
pub mod descriptor;
pub mod estimate;
pub mod overshoot;
pub mod police;
pub mod rewrite;
pub mod rfc4571;
pub mod select;
pub mod speakers;
pub mod throttle;

pub use api::*;
pub use config::{Limits, SfuConfig};
pub use demux::{Sort, sort};
pub use engine::Certificate;
pub use sfu::{Allocated, Counters, Sfu};

/// Doors for the fuzz targets to what reads bytes of strangers.
#[doc(hidden)]
pub mod fuzz {
    /// A datagram from anywhere, and one of ours on its way out.
    pub fn datagram(bytes: &[u8]) {
        let _ = crate::demux::sort(bytes);
        let _ = crate::demux::told(bytes);
    }

    /// An SDP: what is made of it has as many sections and no candidates.
    pub fn sdp(text: &str) {
        let Ok(sheet) = crate::sdp::Sheet::read(text, 40) else { return };
        let written = sheet.write(|section| section.known_codec);
        let again = crate::sdp::Sheet::read(&written, 40).expect("what was written can be read");
        assert_eq!(again.sections.len(), sheet.sections.len());
        assert!(again.candidates.is_empty());
        let _ = sheet.in_offered_order(&written);
    }
}
