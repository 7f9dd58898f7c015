//! The section `[hls]`: how live video is cut and how much of it is kept.

use super::section::section;

section! {
    /// Low-latency HLS, what viewers watch.
    Hls {
        /// The length a part aims at. Shorter lowers the latency and costs requests; longer spares requests.
        part_ms: u32 = 333 => 100..=2_000,
        /// The least length of a segment, which ends at the first keyframe after it. At least three parts. Shorter lets
        /// viewers join sooner; longer makes shorter playlists. A second at least, because segments are numbered from the
        /// time of the start in seconds, and the next start must find a number that was not used.
        segment_min_ms: u32 = 2_000 => 1_000..=10_000,
        /// The longest wait for one whole group of pictures before the first playlist appears.
        first_playlist_secs: u32 = 10 => 1..=60,
        /// Memory for the media of all rooms together. When it is full the oldest segments of the largest room go first.
        memory_budget_mib: u32 = 1_024 => 16..=1_048_576,
        /// How long an encoder may be away and still continue the same stream, behind a discontinuity. Then the stream
        /// ends and its playlist says so.
        reconnect_window_secs: u32 = 30 => 0..=3_600,
        /// Requests that may wait for a part at once, over all rooms. Beyond it a request is answered 503.
        waiting_requests_max: u32 = 20_000 => 1..=1_000_000,
    }
}
