//! The section `[play]`: what players over RTMP may take. (`rtmp` at the top of the file is where they connect.)

use super::section::section;

section! {
    /// What players over RTMP may take. Viewers in browsers use HLS, which has its own limits.
    Play {
        /// Players at once. Beyond it a new one is refused. Each costs its share of the outgoing bandwidth.
        players_max: u32 = 1_000 => 0..=100_000,
        /// Players at once from one address, an IPv6 /64 counting as one. Beyond it a new one is refused.
        players_per_address_max: u32 = 100 => 1..=100_000,
        /// What may wait for one slow player. Beyond it the player loses pictures up to the next keyframe. Less than the
        /// newest group of pictures, which a new player gets at once, would lose that.
        buffer_max_kib: u32 = 8_192 => 5_120..=65_536,
    }
}
