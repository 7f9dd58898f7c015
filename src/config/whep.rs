//! The section `[whep]`: what viewers over WebRTC may take.

use super::section::section;

section! {
    /// What viewers over WHEP may take. Viewers over HLS have their own limits.
    Whep {
        /// Viewers over WHEP at once. Beyond it a new one is answered 503. Each costs its share of the outgoing bandwidth and
        /// some 100 KiB.
        viewers_max: u32 = 2_000 => 0..=100_000,
        /// Viewers over WHEP of one room. Beyond it a new one is answered 503. One media thread serves all of a room.
        viewers_per_room_max: u32 = 1_000 => 0..=100_000,
        /// Viewers over WHEP at once from one address, an IPv6 /64 counting as one. Beyond it a new one is answered 503.
        /// Programs on this machine are exempt.
        viewers_per_address_max: u32 = 200 => 1..=100_000,
    }
}
