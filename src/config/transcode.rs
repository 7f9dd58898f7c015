//! The section `[transcode]`: conversions by `telstar-worker`.

use std::path::PathBuf;

use super::section::section;
use super::value::word;

word! {
    /// Whether a worker must be confined.
    Sandbox {
        /// Conversions run only where the kernel confines the worker.
        On = "on",
        /// They run with whatever of the sandbox the kernel has.
        Off = "off",
    }
}

word! {
    /// How much work x264 puts into a picture.
    VideoPreset {
        /// The least.
        Ultrafast = "ultrafast",
        /// A little more.
        Superfast = "superfast",
        /// About twice the least.
        Veryfast = "veryfast",
    }
}

section! {
    /// Conversions: what an output cannot carry is decoded and encoded again by `telstar-worker`, once for everybody and only
    /// while somebody needs it.
    Transcode {
        /// The worker's executable. Empty: `telstar-worker` beside the server's own.
        worker: PathBuf = PathBuf::new(),
        /// Whether a worker must be confined by the kernel (landlock, seccomp, no_new_privs). `off` lets conversions run on a
        /// kernel without them: a stream that breaks a decoder then has the rights of the server's user.
        sandbox: Sandbox = Sandbox::On,
        /// Conversions at once, each a process of its own. Beyond it one that is needed waits, and says so. 0: none.
        conversions_max: u32 = 16 => 0..=1_000,
        /// Address space of one worker. A stream that makes a decoder want more ends its own conversion. 4K pictures need
        /// about 1,500.
        memory_max_mib: u32 = 2_048 => 256..=65_536,
        /// Threads of one worker's codecs. 0: one for each two cores, at most four.
        threads: u32 = 0 => 0..=64,
        /// The largest picture that is converted, in pixels. 8,912,896 is 4096x2176.
        pixels_max: u32 = 8_912_896 => 16_384..=35_651_584,
        /// Pictures per second at most; more are left out.
        fps_max: u32 = 60 => 1..=240,
        /// The most that a converted picture may take.
        video_max_kbps: u32 = 4_000 => 100..=100_000,
        /// Sound in stereo.
        audio_kbps: u32 = 128 => 32..=510,
        /// How much work goes into H.264: `ultrafast`, `superfast` or `veryfast`. More work gives a better picture for the
        /// same rate.
        video_preset: VideoPreset = VideoPreset::Ultrafast,
        /// Width of the picture that is mixed of a call, in pixels. It never changes while a mix lasts, whatever people send.
        mix_width: u16 = 1_280 => 64..=3_840,
        /// Its height, in pixels.
        mix_height: u16 = 720 => 64..=2_160,
        /// Its pictures per second. Each costs a picture's encoding, whether or not anybody moves.
        mix_fps: u16 = 25 => 1..=60,
        /// Cameras and screens of a call that are decoded for its mix; those beyond are only heard.
        mix_pictures_max: u16 = 6 => 1..=16,
        /// Voices of a call that are mixed: of more, those that spoke last.
        mix_sounds_max: u16 = 32 => 1..=64,
    }
}
