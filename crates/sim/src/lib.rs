//! Calls under a virtual clock and a virtual network: the real cores, clients on the engine's own stack, one seed one run.
//!
//! In: a seed. Out: what happened, or the rule that was broken. Nothing here sleeps, opens a socket or draws a random number that
//! does not come from the seed. What no seed rules is the cryptography of DTLS: keys, nonces, signatures (whose lengths vary by a
//! byte or two), and how long the engine waits before it sends a lost handshake again. So [`link`] neither loses nor queues handshakes,
//! and nothing else depends on those: two runs of a seed put equal datagrams at equal times on the wire ([`wire::Wire::digest`]).

pub mod call;
pub mod caller;
pub mod camera;
pub mod client;
pub mod decoder;
pub mod hub;
pub mod link;
pub mod random;
pub mod scenario;
pub mod storm;
pub mod wire;
pub mod world;

pub use camera::{Camera, assert_decodable, begins_key, layer_of, vp8, vp8_part};
pub use client::{Client, Got, Packet};
pub use link::Link;
pub use random::Random;
pub use world::{World, certificate, config, server};

/// What the shell's translation between the cores calls a room.
mod shards {
    #[derive(Clone, Copy)]
    pub(crate) struct RoomKey(pub(crate) u64);
}
