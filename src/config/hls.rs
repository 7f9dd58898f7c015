//! The section `[hls]`: how live video is cut and how much of it is kept.

use super::section::section;
use super::value::word;

word! {
    /// What a playlist keeps of a stream that goes on.
    PlaylistType {
        /// A window that slides.
        Live = "live",
        /// All of it.
        Event = "event",
    }
}

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
        /// Whether HEVC, AV1 and VP9 are listed with the same picture in H.264 beside them while somebody watches. Without it
        /// players that do not decode them see nothing, and no processor time is spent.
        h264_beside: bool = true,
        /// How long an encoder may be away and still continue the same stream, behind a discontinuity. Then the stream
        /// ends and its playlist says so.
        reconnect_window_secs: u32 = 30 => 0..=3_600,
        /// Requests that may wait for a part at once, over all rooms. Beyond it a request is answered 503.
        waiting_requests_max: u32 = 20_000 => 1..=1_000_000,
        /// What playlists keep. `live` lists a window that slides. `event` lists everything since the stream began, on
        /// disk, until `dvr_disk_max_mib` is reached: from then on it slides as well and says so.
        playlist_type: PlaylistType = PlaylistType::Live,
        /// How far back viewers may go, on disk. 0 is off: then a few segments in memory are all there is. A stream of 6
        /// Mbit/s takes 2.7 GB an hour, and up to twice that, because what left the window stays fetchable for a while.
        dvr_window_secs: u32 = 0 => 0..=604_800,
        /// Disk for what all rooms keep, in the data folder. When it is full the oldest segments of the largest room go
        /// first.
        dvr_disk_max_mib: u32 = 20_480 => 64..=16_777_216,
        /// Space on that disk that stays free for the rest of the machine. Below it nothing more is kept.
        dvr_disk_free_mib: u32 = 1_024 => 0..=16_777_216,
    }
}
