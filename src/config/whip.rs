//! The section `[whip]`: what encoders over WebRTC may take.

use super::section::section;

section! {
    /// What encoders and browsers that publish over WHIP may take. What one of them may send is in `[media]`.
    Whip {
        /// Publishers over WHIP at once. Beyond it a new one is answered 503. Each room has one at most.
        publishers_max: u32 = 500 => 0..=100_000,
        /// Such publishers at once from one address, an IPv6 /64 counting as one. Beyond it a new one is answered 503.
        /// Programs on this machine are exempt.
        publishers_per_address_max: u32 = 50 => 1..=100_000,
    }
}
