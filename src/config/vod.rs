//! The section `[vod]`: what is uploaded, what is made of it, and what both may take. How often a job is tried is fixed
//! in `telstar-store`.

use super::section::section;
use super::value::word;

word! {
    /// Whether segments are encrypted on their way.
    Encryption {
        /// They are sent as they are.
        Off = "off",
        /// With AES-128, a key for each asset.
        Aes128 = "aes-128",
    }
}

word! {
    /// How much work x264 puts into a picture of a rendition.
    RenditionPreset {
        /// About three times as fast as `medium`.
        Veryfast = "veryfast",
        /// About twice as fast.
        Faster = "faster",
        /// A little faster.
        Fast = "fast",
        /// What x264 does unless told otherwise.
        Medium = "medium",
    }
}

section! {
    /// Video on demand: uploads, the renditions that `telstar-worker` makes of them, and how they are sent.
    Vod {
        /// Whether anything is uploaded and made. Without it what is there can still be watched, changed and deleted.
        enabled: bool = true,
        /// Jobs at once, each a process of its own. More let several uploads come forward together, each of them more
        /// slowly. One more may run beside them if it makes a new upload playable, which must not wait for the other
        /// renditions of older ones.
        jobs_at_once: u32 = 1 => 1..=64,
        /// The largest file. Beyond it an upload is answered 413.
        upload_max_mib: u32 = 102_400 => 1..=16_777_216,
        /// What the uploads, assets and renditions of one account may take: uploads from their beginning on, renditions
        /// once they are made. Beyond it an upload is answered 409, and of what is there only the first rendition is
        /// still made, with which it plays.
        account_quota_mib: u32 = 1_048_576 => 1..=1_073_741_824,
        /// What those of all accounts may take together.
        total_quota_mib: u32 = 4_194_304 => 1..=1_073_741_824,
        /// Space on the disk of the data folder that stays free for the rest of the machine. Below it an upload is
        /// answered 507.
        disk_free_mib: u32 = 2_048 => 0..=16_777_216,
        /// How long an upload waits for somebody to go on with it. Then what came of it is deleted.
        upload_expires_hours: u32 = 24 => 1..=8_760,
        /// Whether segments of picture and sound are sent encrypted (`off` or `aes-128`), with a key that only those
        /// get who may watch: caches between them then hold nothing that can be watched. Subtitles, posters and sources
        /// are sent as they are, and there are no I-frame playlists.
        encrypt: Encryption = Encryption::Off,
        /// Whether smaller pictures are made beside the first rendition, for slower connections.
        ladder: bool = true,
        /// Whether every size is made as HEVC as well. Takes several times the processor time of H.264.
        hevc: bool = false,
        /// Whether every size is made as AV1 as well. Takes many times the processor time of H.264.
        av1: bool = false,
        /// Sound in stereo. Mono takes half as much, 5.1 two and a half times as much.
        audio_kbps: u32 = 128 => 32..=510,
        /// How much work goes into H.264: `veryfast`, `faster`, `fast` or `medium`. More work gives smaller files of
        /// the same quality.
        preset: RenditionPreset = RenditionPreset::Fast,
        /// Address space of one job's worker. A file that makes a decoder want more fails its own job.
        memory_max_mib: u32 = 4_096 => 256..=65_536,
        /// Threads of one job's codecs. 0: one for each core, at most 16.
        threads: u32 = 0 => 0..=64,
        /// The largest picture of a source, in pixels. 35,651,584 is 8192x4352.
        pixels_max: u32 = 35_651_584 => 16_384..=134_217_728,
        /// The longest side of a source's picture, in pixels.
        side_max: u32 = 8_192 => 128..=32_768,
        /// Pictures per second of a source. One with more is refused.
        fps_max: u32 = 240 => 1..=1_000,
        /// The longest source.
        duration_max_hours: u32 = 24 => 1..=24,
        /// Streams of a source, of any kind. One with more is refused.
        streams_max: u32 = 64 => 1..=1_000,
        /// What one job may write. Beyond it the job fails.
        output_max_mib: u32 = 131_072 => 1..=16_777_216,
        /// How many times as long as its source lasts a job may take, and never less than ten minutes. Then it counts
        /// as hung.
        lasts_factor_max: u32 = 60 => 1..=10_000,
    }
}
