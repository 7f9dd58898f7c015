//! Where workers come from: one is kept warm once any was needed, so that a conversion begins, and begins again, at once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use telstar_transcode::{Preset, Settings};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::process::{Process, StartError, executable};
use crate::config::{self, VideoPreset};
use crate::metrics::{Counter, Gauge};
use crate::tasks::Tasks;

/// The longest time between keyframes of converted pictures: what design and players ask of every stream.
const KEYFRAME_INTERVAL_MS: u32 = 2_000;
/// Threads of a worker's codecs at most, where the configuration does not say: more slices cost picture quality.
const THREADS_MAX: usize = 4;

macro_rules! worker_counters {
    ($( $(#[doc = $doc:literal])* $field:ident = $metric:literal ),* $(,)?) => {
        /// What is counted of conversions.
        #[derive(Debug, Default)]
        pub struct WorkerCounters {
            /// Conversions that are under way.
            pub conversions: Arc<Gauge>,
            $( $(#[doc = $doc])* pub $field: Counter, )*
        }

        impl WorkerCounters {
            /// Each counter as `/metrics` shows it: its name, what it says, and how it is read.
            #[allow(clippy::type_complexity, reason = "a table with one reader")]
            pub fn table() -> Vec<(&'static str, &'static str, fn(&WorkerCounters) -> &Counter)> {
                vec![ $( ($metric, concat!($($doc),*).trim_ascii(), |counters| &counters.$field) ),* ]
            }
        }
    };
}

worker_counters! {
    /// Conversions that were begun.
    begun = "conversions_begun",
    /// Workers that died, hung or talked nonsense while they converted.
    deaths = "conversions_dead_workers",
    /// Workers among those that were killed because they did not answer.
    hangs = "conversions_hung_workers",
    /// Times that a conversion could not go on because of what was asked of it.
    refusals = "conversions_refusals",
    /// Frames that came out of conversions.
    frames = "conversions_frames",
    /// Frames that no worker took: before a keyframe, or because it was too slow.
    dropped_frames = "conversions_dropped_frames",
    /// Frames that workers could not decode.
    corrupt_frames = "conversions_corrupt_frames",
    /// Processor time that workers took, in milliseconds.
    cpu_millis = "conversions_cpu_milliseconds",
}

/// Starts workers, and knows with which means.
pub(super) struct Pool {
    pub(super) settings: Settings,
    /// Of mixes.
    pub(super) mix: MixSettings,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) tasks: Tasks,
    /// How many more may convert.
    pub(super) slots: Semaphore,
    executable: PathBuf,
    memory_max_mib: u32,
    must_be_confined: bool,
    warm: Mutex<Warm>,
}

/// What mixes of calls look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct MixSettings {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) fps: u8,
    pub(super) pictures_max: u8,
    pub(super) sounds_max: u8,
}

#[derive(Default)]
enum Warm {
    #[default]
    None,
    /// One is being started.
    Coming,
    There(Box<Process>),
}

impl Pool {
    pub(super) fn new(config: &config::Transcode, tasks: Tasks) -> Pool {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match config.threads {
            0 => cores.div_ceil(2).min(THREADS_MAX) as u32,
            threads => threads,
        };
        Pool {
            settings: Settings {
                video_kbps_max: config.video_max_kbps,
                audio_kbps: config.audio_kbps,
                pixels_max: config.pixels_max,
                fps_max: config.fps_max,
                threads,
                preset: match config.video_preset {
                    VideoPreset::Ultrafast => Preset::Ultrafast,
                    VideoPreset::Superfast => Preset::Superfast,
                    VideoPreset::Veryfast => Preset::Veryfast,
                },
                keyframe_interval_ms: KEYFRAME_INTERVAL_MS,
            },
            mix: MixSettings {
                // 4:2:0 has no half samples of colour.
                width: config.mix_width & !1,
                height: config.mix_height & !1,
                // Their ranges end far below.
                fps: config.mix_fps as u8,
                pictures_max: config.mix_pictures_max as u8,
                sounds_max: config.mix_sounds_max as u8,
            },
            counters: Arc::default(),
            tasks,
            slots: Semaphore::new(config.conversions_max as usize),
            executable: executable(&config.worker),
            memory_max_mib: config.memory_max_mib,
            must_be_confined: config.sandbox == config::Sandbox::On,
            warm: Mutex::default(),
        }
    }

    /// A worker that is ready: the warm one, or a new one. Another is warmed in the background.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Process, StartError> {
        let warm = std::mem::take(&mut *self.warm.lock().unwrap_or_else(PoisonError::into_inner));
        let warm = match warm {
            // Out of memory, or an operator: it may have died while it waited.
            Warm::There(mut process) => process.is_alive().then_some(process),
            Warm::None => None,
            Warm::Coming => {
                self.set_warm(Warm::Coming);
                return self.start().await;
            }
        };
        let process = match warm {
            Some(process) => *process,
            None => self.start().await?,
        };
        self.warm_one();
        Ok(process)
    }

    async fn start(&self) -> Result<Process, StartError> {
        Process::start(&self.executable, self.memory_max_mib, self.must_be_confined, &self.tasks).await
    }

    fn warm_one(self: &Arc<Self>) {
        self.set_warm(Warm::Coming);
        let pool = Arc::clone(self);
        let stopping = self.tasks.stopping();
        self.tasks.spawn("worker-warm", async move {
            // Cancel-safe: a worker that is dropped is killed.
            let started = tokio::select! {
                () = stopping => return,
                started = pool.start() => started,
            };
            match started {
                Ok(process) => {
                    debug!(pid = process.pid(), "a worker is kept warm");
                    pool.set_warm(Warm::There(Box::new(process)));
                }
                Err(error) => {
                    warn!(%error, "no worker could be kept warm");
                    pool.set_warm(Warm::None);
                }
            }
        });
    }

    fn set_warm(&self, warm: Warm) {
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = warm;
    }
}
