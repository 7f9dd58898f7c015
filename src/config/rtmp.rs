//! The section `[ingest]`: what encoders may do. (`rtmp` at the top of the file is where they connect.)

use super::section::section;
use super::value::word;

word! {
    /// What a second publisher on a stream key in use meets.
    SecondPublisher {
        /// It is turned away.
        Refuse = "refuse",
        /// It replaces the first.
        TakeOver = "take-over",
    }
}

section! {
    /// What encoders may do.
    Rtmp {
        /// What happens to a second encoder that pushes to a room that is already live.
        second_publisher: SecondPublisher = SecondPublisher::Refuse,
        /// From the TCP connection to the end of the handshake. Shorter frees slots sooner; longer helps slow links.
        handshake_timeout_secs: u32 = 5 => 1..=60,
        /// From the handshake to an accepted publish.
        publish_timeout_secs: u32 = 10 => 1..=120,
        /// How long a publishing encoder may be silent before it counts as gone.
        idle_timeout_secs: u32 = 15 => 2..=600,
        /// Connections at once, of encoders and of whoever has not said yet what it wants. Beyond it a new one is closed.
        connections_max: u32 = 500 => 1..=100_000,
        /// Such connections at once from one address. Beyond it a new one is closed.
        connections_per_address_max: u32 = 50 => 1..=100_000,
        /// The largest message, which holds one frame. A keyframe of 50 Mb/s video fits the default with ease.
        message_max_kib: u32 = 8_192 => 64..=65_536,
        /// The fastest an encoder may push, averaged over a few seconds. Beyond it the connection is closed.
        bitrate_max_kbps: u32 = 100_000 => 100..=10_000_000,
    }
}
