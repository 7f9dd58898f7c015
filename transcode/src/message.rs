//! The messages, as values.

use bytes::Bytes;
use telstar_media::Codec;
use telstar_units::{Timescale, TrackId};

use crate::Target;
use crate::file::{FileNews, FileTask};
use crate::record::CodecRecord;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// What comes, and what is to be made of it. What an earlier one began is forgotten.
    Config(Config),
    /// A frame to convert.
    Frame(MediaFrame),
    /// The next picture shall stand alone.
    ForceKeyframe,
    /// Everything that was fed shall come out; answered by [`FromWorker::Flushed`].
    Flush,
    /// One picture and one sound are to be made of many from here on. What an earlier [`Config`] or `Mix` began is forgotten.
    Mix(Mix),
    /// Another track to mix; before its first frame. One that is there already begins anew.
    AddInput(MixInput),
    /// A track is over.
    RemoveInput(TrackId),
    /// Which pictures are shown, and how.
    Layout(Layout),
    /// So late it is on the timeline of a mix, in microseconds: what belongs before, less [`Mix::delay_ms`], comes out now.
    /// The worker asks no clock of its own, so that a mix depends on nothing but what it is told.
    Tick(i64),
    /// Work on the file that it was given when it started. One task for each worker.
    File(Box<FileTask>),
}

/// What the worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// It is there, and confined as far as this says.
    Ready(Ready),
    /// A converted frame.
    Frame(MediaFrame),
    /// Everything that was fed before the flush has come out.
    Flushed,
    /// How far it is; at least once a second while it is fed.
    Progress(Progress),
    /// A line for the server's log.
    Log(String),
    /// It cannot do what it was asked.
    Failed(Failed),
    /// What came of a [`ToWorker::File`].
    File(FileNews),
}

/// A conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The track that is converted.
    pub track: TrackId,
    /// Which track the results are.
    pub as_track: TrackId,
    /// The codec of what comes and its configuration.
    pub input: CodecRecord,
    /// The clock of what comes. What goes out has that of the target.
    pub timescale: Timescale,
    /// What it becomes.
    pub target: Target,
    /// With which means.
    pub settings: Settings,
}

/// Many tracks become one picture of one size at one rate, in H.264, and one sound, in AAC. All times of inputs and of what
/// comes out are on one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Which track the picture is.
    pub video: TrackId,
    /// Which track the sound is.
    pub audio: TrackId,
    /// Width of the picture in pixels, even.
    pub width: u16,
    /// Height of the picture in pixels, even.
    pub height: u16,
    /// Pictures a second.
    pub fps: u8,
    /// How far what comes out is behind the time of [`ToWorker::Tick`]: what comes later is not heard.
    pub delay_ms: u16,
    /// Pictures that are decoded at most.
    pub pictures_max: u8,
    /// Sounds that are mixed at most.
    pub sounds_max: u8,
    /// With which means.
    pub settings: Settings,
}

/// A track that is mixed into others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixInput {
    /// Its id: frames name it.
    pub track: TrackId,
    /// The codec and its configuration.
    pub input: CodecRecord,
    /// The clock of its times.
    pub timescale: Timescale,
}

/// Where pictures are in that of a mix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Which are shown, from the most important one on; those that have no picture yet are left out. More than a mix shows are
    /// left out.
    pub pictures: Vec<TrackId>,
    /// The first is large and the others stand beside it; otherwise all are alike.
    pub featured: bool,
}

/// The means of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most that a picture track may take, in kbit/s.
    pub video_kbps_max: u32,
    /// What a sound track takes, in kbit/s.
    pub audio_kbps: u32,
    /// The largest picture, in pixels.
    pub pixels_max: u32,
    /// Pictures per second at most.
    pub fps_max: u32,
    /// Threads of the codecs.
    pub threads: u32,
    /// How much work goes into H.264.
    pub preset: Preset,
    /// The longest time between pictures that stand alone.
    pub keyframe_interval_ms: u32,
}

/// x264's presets that are quick enough for live pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The least work.
    Ultrafast,
    /// A little more.
    Superfast,
    /// About twice the least.
    Veryfast,
}

/// An access unit either way; times are ticks of its track's clock on the participant's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFrame {
    /// Which track it is of.
    pub track: TrackId,
    /// Present when the configuration changed with this frame; with the first frame that comes out it always is.
    pub record: Option<CodecRecord>,
    /// Decode time.
    pub dts: i64,
    /// Presentation time.
    pub pts: i64,
    /// Duration, or 0 where only the next frame tells.
    pub duration: u32,
    /// It stands alone.
    pub key: bool,
    /// It is fed only so that later ones can be decoded: nothing comes out for it.
    pub decode_only: bool,
    /// As `telstar_media::Frame` holds it.
    pub payload: Bytes,
}

/// What a worker that has started is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// What the kernel enforces on it.
    pub sandbox: Sandbox,
    /// What it can read.
    pub decoders: Vec<Codec>,
    /// What it can make.
    pub targets: Vec<Target>,
}

/// What the kernel enforces on a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Address space, file sizes, descriptors and core dumps are limited.
    pub limits: bool,
    /// It can gain no right by executing something.
    pub no_new_privileges: bool,
    /// It is killed with its parent.
    pub dies_with_parent: bool,
    /// It sees no file.
    pub landlock: bool,
    /// System calls beyond a list fail; those of networks and programs kill it.
    pub seccomp: bool,
}

impl Sandbox {
    /// Everything is enforced.
    pub const WHOLE: Sandbox =
        Sandbox { limits: true, no_new_privileges: true, dies_with_parent: true, landlock: true, seccomp: true };

    /// Each part by its name, in one order for ever.
    pub fn parts(&self) -> [(&'static str, bool); 5] {
        [
            ("limits", self.limits),
            ("no_new_privs", self.no_new_privileges),
            ("parent death signal", self.dies_with_parent),
            ("landlock", self.landlock),
            ("seccomp", self.seccomp),
        ]
    }

    /// What is not enforced, by name.
    pub fn missing(&self) -> Vec<&'static str> {
        self.parts().into_iter().filter(|(_, enforced)| !enforced).map(|(name, _)| name).collect()
    }
}

/// How far a worker is. All numbers are since its last [`Config`], but for the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Frames that were fed.
    pub frames_in: u64,
    /// Frames that came out.
    pub frames_out: u64,
    /// Frames that could not be decoded, and were skipped.
    pub frames_corrupt: u64,
    /// Frames that were left out: too many a second, or from before what has come out.
    pub frames_skipped: u64,
    /// Processor time of the process since its start.
    pub cpu_micros: u64,
}

/// Why a worker gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whether another attempt may help.
    pub kind: FailureKind,
    /// In words, bounded like a log line.
    pub text: String,
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// What was asked is beyond it: a codec that it lacks, a picture that is too large.
    Unsupported,
    /// It went wrong.
    Broken,
}
