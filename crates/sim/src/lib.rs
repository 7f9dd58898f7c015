//! Calls under a virtual clock and a virtual network: the real cores, clients on the engine's own stack, one seed one run.
//!
//! In: a seed. Out: what happened, or the rule that was broken. Nothing here sleeps, opens a socket or draws a random number that
//! does not come from the seed; the engines' ICE names and stream numbers come from it as well ([`world::World::new`]).
//!
//! The rules, and what keeps an eye on each:
//! - no number of a stream is used twice, resends and padding included ([`wire`], on every datagram of the server);
//! - what is allocated is never above the estimate, but for lowest layers on credit ([`wire`], after every step);
//! - a decoder is handed nothing that builds on a picture it has not seen, and one stream whatever layer or track it is of: numbers,
//!   picture ids and times go on; on paths that lose nothing it begins with a keyframe and nothing is missing ([`decoder`]);
//! - nobody loses or doubles an event, and everybody believes the same in the end ([`caller`], [`storm`]);
//! - a picture does not stand because of others, and after a NAT not for longer than a check takes; when faults stop, every viewer
//!   gets the best its path carries ([`scenario`]).
//!
//! What no seed rules, and what becomes of it:
//! - the cryptography of DTLS: keys, nonces, signatures (a byte or two shorter now and then), the pause before a lost handshake is
//!   sent again. [`link`] neither loses nor queues handshakes, and nothing else depends on them.
//! - the order in which the engine looks at the streams of one connection (it keeps them in a hash map with keys of the process). It
//!   decides which of two waiting packets leaves first, so a seed has a handful of variants that differ by milliseconds
//!   ([`wire::Wire::digest`] tells them apart). `examples/replay.rs` therefore runs a seed several times.

pub mod call;
pub mod caller;
pub mod camera;
pub mod client;
pub mod decoder;
pub mod encoder;
mod faults;
pub mod hub;
pub mod limits;
pub mod link;
pub mod random;
pub mod scenario;
pub mod storm;
pub mod wire;
pub mod world;

pub use camera::{Camera, assert_decodable, begins_key, frame_of, layer_of, vp8, vp8_part};
pub use client::{Client, Got, Packet};
pub use encoder::Encoder;
pub use link::Link;
pub use random::Random;
pub use world::{World, certificate, config, server};

/// What the shell's translation between the cores calls a room.
mod shards {
    #[derive(Clone, Copy)]
    pub(crate) struct RoomKey(pub(crate) u64);

    /// Made and let go: no room here has frames.
    #[allow(dead_code, reason = "only the media threads of the server read it")]
    pub(crate) struct Feed {
        pub(crate) video: Option<telstar_units::TrackId>,
        pub(crate) audio: Option<telstar_units::TrackId>,
        pub(crate) alternate: Option<telstar_units::TrackId>,
    }
}
