//! Work on files: what the server asks a worker to make of an uploaded file, and what the worker tells while it works.
//!
//! The file and what is made of it never cross the pipe: with a task come file descriptors (SCM_RIGHTS), the source first and then
//! one for each output, empty. The worker reads the one at will, and only appends to the others. What it tells of what it wrote is a
//! typed index: which bytes are which segment. The server believes no more of it than it can check.
//!
//! Times are ticks of [`CLOCK`] on the asset's timeline, which begins with whatever of the source is shown or heard first, at
//! [`Source::shift`], and not at zero: decoders of sound need what stands before.

mod index;

use serde::{Deserialize, Serialize};
use telstar_units::Timescale;

pub use index::{Index, IndexError, Key, Rendition, RenditionKind, SEGMENT_BYTES_MAX, Segment};

use crate::ladder::Rung;
use crate::map::SegmentMap;

/// Outputs of one task: every rung, sound and subtitle track of one source.
pub const OUTPUTS_MAX: usize = 24;
/// The clock of an asset's timeline and of its pictures.
pub const CLOCK: Timescale = Timescale::VIDEO;

/// What a worker is asked to do with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileTask {
    /// Say what it is. Answered by [`FileNews::Source`] and [`FileNews::Done`].
    Probe(Limits),
    /// Make renditions of it. Answered by news of each, in the order of their segments, and [`FileNews::Done`].
    Make(Make),
    /// Make still pictures of it.
    Images(Images),
}

/// What no source may exceed, and no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Pixels of a picture, as it is coded.
    pub pixels_max: u32,
    /// Either side of a picture, as it is coded.
    pub side_max: u32,
    /// Pictures a second that are decoded; a source with more is refused.
    pub fps_max: u32,
    /// Seconds of the source.
    pub duration_secs_max: u32,
    /// Streams of the source, of any kind.
    pub streams_max: u16,
    /// Bytes of all outputs together.
    pub output_bytes_max: u64,
    /// Threads of the codecs.
    pub threads: u16,
}

/// Which renditions are to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Make {
    /// What came out of the probe; the worker goes by it and does not look again.
    pub source: Source,
    /// Where segments begin.
    pub map: SegmentMap,
    /// What is made, one for each output descriptor.
    pub outputs: Vec<Output>,
    /// What it may take.
    pub limits: Limits,
    /// How much work goes into pictures: x264's name of it.
    pub preset: EncoderPreset,
}

/// How much work an encoder puts into a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncoderPreset {
    /// About three times as fast as [`EncoderPreset::Medium`].
    Veryfast,
    /// About twice as fast.
    Faster,
    /// A little faster.
    Fast,
    /// What x264 does unless told otherwise.
    Medium,
}

impl EncoderPreset {
    /// x264's name.
    pub fn name(self) -> &'static str {
        match self {
            EncoderPreset::Veryfast => "veryfast",
            EncoderPreset::Faster => "faster",
            EncoderPreset::Fast => "fast",
            EncoderPreset::Medium => "medium",
        }
    }
}

/// One rendition to be made. Streams are numbered as the source has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The pictures as they are.
    CopyVideo {
        /// Which stream.
        stream: u16,
    },
    /// The pictures encoded.
    Video {
        /// Which stream.
        stream: u16,
        /// As what.
        codec: VideoCodec,
        /// How large and how good.
        rung: Rung,
    },
    /// The sound as it is.
    CopyAudio {
        /// Which stream.
        stream: u16,
    },
    /// The sound as AAC, whole from the beginning to the end of the asset: holes are silence.
    Audio {
        /// Which stream.
        stream: u16,
        /// 1, 2 or 6: what the source has more of is mixed down.
        channels: u8,
        /// Bits per second.
        bps: u32,
        /// Brought to [`LOUDNESS_LUFS`].
        normalise: bool,
    },
    /// Text as WebVTT.
    Subtitles {
        /// Which stream.
        stream: u16,
    },
}

/// What an encoder of pictures makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VideoCodec {
    /// H.264, high profile.
    H264,
    /// HEVC, main profile.
    Hevc,
    /// AV1, main profile.
    Av1,
}

/// What sound is brought to (EBU R128 s2, streaming: −16 to −20 LUFS): what streaming services play at.
pub const LOUDNESS_LUFS: f64 = -16.0;
/// No sample exceeds it (EBU R128 §: −1 dBTP); lossy codecs overshoot a little.
pub const TRUE_PEAK_DBTP: f64 = -1.5;

/// A poster and a storyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// What came out of the probe.
    pub source: Source,
    /// What it may take.
    pub limits: Limits,
    /// The longer side of the poster, in pixels.
    pub poster_side: u16,
    /// Tiles of the storyboard: every so many ticks, so large, in sheets of columns and rows.
    pub storyboard: Storyboard,
}

/// How a storyboard is laid out. Each sheet is a JPEG; the first output is the poster, the second all sheets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storyboard {
    /// Ticks between pictures.
    pub every: i64,
    /// Width of a tile in pixels, even.
    pub width: u16,
    /// Height of a tile in pixels, even.
    pub height: u16,
    /// Tiles across a sheet.
    pub columns: u16,
    /// Tiles down a sheet.
    pub rows: u16,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What people call its container: `MP4`, `Matroska`.
    pub container: String,
    /// From the asset's zero to the end of the last that is shown or heard, in ticks of [`CLOCK`].
    pub duration: i64,
    /// The asset's time of the source's time zero, in ticks of [`CLOCK`].
    pub shift: i64,
    /// Its picture, if it has one.
    pub video: Option<SourceVideo>,
    /// Its sound tracks, the one that players should begin with first.
    pub audio: Vec<SourceAudio>,
    /// Its subtitle tracks that are text.
    pub subtitles: Vec<SourceSubtitles>,
    /// What is left out, and why, for people.
    pub left_out: Vec<String>,
}

/// The picture of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceVideo {
    /// Which stream.
    pub stream: u16,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Pixels across, as it is shown: with the shape of a pixel and the rotation taken into account.
    pub width: u32,
    /// Pixels down, likewise.
    pub height: u32,
    /// Pictures in a thousand seconds; of a variable rate the highest that lasts.
    pub fps_millis: u32,
    /// When the first of them is shown, on the asset's timeline.
    #[serde(default)]
    pub first: i64,
    /// Clockwise, in degrees: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Before it is turned, it is shown as in a mirror.
    #[serde(default)]
    pub mirrored: bool,
    /// Half pictures, one behind the other.
    pub interlaced: bool,
    /// Bits of a sample.
    pub bits: u8,
    /// Its brightness is beyond what ordinary displays show (PQ or HLG), and is mapped for them.
    pub hdr: bool,
    /// Bits per second on average.
    pub bps: u64,
    /// When its pictures that stand alone are shown, on the asset's timeline but for the first, which counts as 0, if the stream
    /// can be cut at them; or why it cannot be passed on as it is.
    pub copy: Result<Vec<i64>, String>,
}

/// A sound track of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceAudio {
    /// Which stream.
    pub stream: u16,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// How many it has.
    pub channels: u8,
    /// Samples a second.
    pub sample_rate: u32,
    /// Its language as BCP 47 has it, `und` where the source does not say.
    pub language: String,
    /// What the source calls it.
    pub title: String,
    /// Why it cannot be passed on as it is.
    pub copy: Result<(), String>,
}

/// A subtitle track of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSubtitles {
    /// Which stream.
    pub stream: u16,
    /// FFmpeg's name of the format.
    pub codec: String,
    /// Its language as BCP 47 has it, `und` where the source does not say.
    pub language: String,
    /// What the source calls it.
    pub title: String,
    /// They are shown whether asked for or not.
    pub forced: bool,
    /// They describe sounds as well.
    pub hearing_impaired: bool,
}

/// What a worker tells of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileNews {
    /// What it is.
    Source(Box<Source>),
    /// The first segment of an output follows.
    Begun {
        /// Which, counted from 0.
        output: u8,
        /// What it is.
        rendition: Rendition,
        /// What players load before any segment; empty for subtitles.
        init: Vec<u8>,
    },
    /// A segment is written.
    Segment {
        /// Of which output.
        output: u8,
        /// Where and when it is. They come in the order of the map, none is left out.
        segment: Segment,
    },
    /// Images are written: of the poster one, of the storyboard a sheet after the other.
    Image {
        /// Of which output.
        output: u8,
        /// The first byte.
        offset: u64,
        /// How many.
        len: u64,
        /// Pixels across.
        width: u16,
        /// Pixels down.
        height: u16,
        /// When each of its tiles is of, in ticks.
        times: Vec<i64>,
    },
    /// How far it is; at least once a second.
    Progress(FileProgress),
    /// Everything that was asked for is written.
    Done,
    /// It cannot be done.
    Failed {
        /// No attempt will do better: the file is not what it should be, or more than is allowed.
        is_permanent: bool,
        /// In words, for whoever uploaded it.
        text: String,
    },
}

/// How far a worker is with a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProgress {
    /// Up to which time everything is made, in ticks of [`CLOCK`].
    pub position: i64,
    /// Processor time of the process since its start.
    pub cpu_micros: u64,
    /// Pictures that were decoded.
    pub frames: u64,
    /// Places where the source could not be decoded, and was left out.
    pub corrupt: u64,
}
