//! Conversions of tracks, each by a `telstar-worker`: a sandboxed child that the codecs live in.
//!
//! In: a job, which is two rings and what is to become of what. Out: converted frames in the second ring, and a status.
//! Each job is a task that spawns its worker, feeds it, watches it and starts it again when it dies. This module knows
//! neither who needs a conversion nor why; it never decodes.

mod backlog;
mod conversion;
mod files;
mod mix;
mod pool;
mod process;
mod standing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use telstar_media::TrackInfo;
use telstar_transcode::Target;
use telstar_units::{RoomName, TrackId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::DropGuard;

use crate::config;
use crate::metrics::{Kind, Metrics};
use crate::shards::{IngestRing, ViewerRing};
use crate::tasks::Tasks;
use conversion::Conversion;
pub use files::{FileError, FileWork, FileWorkers};
pub use mix::MixJob;
use mix::Mixing;
use pool::Pool;
pub use pool::WorkerCounters;
pub use process::executable;

/// What is to be converted, and where the results go.
#[derive(Clone, Debug)]
pub struct ConversionJob {
    /// For the log.
    pub room: RoomName,
    /// What is converted.
    pub track: TrackInfo,
    /// What it becomes.
    pub to: Target,
    /// Under which id the results enter the hub.
    pub as_track: TrackId,
    /// Frames of `track`, from a keyframe on.
    pub frames: Arc<ViewerRing>,
    /// Where the converted track goes: first what it is, then its frames.
    pub converted: Arc<IngestRing>,
}

/// How a conversion is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConversionState {
    /// A worker is being started.
    #[default]
    Starting,
    /// A worker takes frames.
    Running,
    /// The worker died or refused; the next one starts in a moment.
    Waiting,
    /// Nothing follows: a ring was closed, or the guard is gone.
    Ended,
}

/// What is known of a conversion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversionStatus {
    /// How it is.
    pub state: ConversionState,
    /// Workers that were started after the first.
    pub restarts: u32,
    /// The process that converts, while one does.
    pub worker_pid: Option<u32>,
    /// Of one core, over the last second or so.
    pub cpu_percent: f32,
    /// What kept it from running last, with the remedy if there is one; gone when frames come out again.
    pub error: Option<String>,
}

/// A conversion that runs as long as this exists.
#[derive(Debug)]
pub struct ConversionGuard {
    status: watch::Receiver<ConversionStatus>,
    keyframe: Arc<Notify>,
    _ends: DropGuard,
}

impl ConversionGuard {
    /// How it is.
    pub fn status(&self) -> watch::Receiver<ConversionStatus> {
        self.status.clone()
    }

    /// The next picture shall stand alone. Requests before the worker takes the first count as one.
    pub fn request_keyframe(&self) {
        self.keyframe.notify_one();
    }
}

/// Whoever converts. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    pool: Arc<Pool>,
}

impl Workers {
    /// Nothing is started before the first job.
    pub fn new(config: &config::Transcode, tasks: Tasks) -> Workers {
        Workers { pool: Arc::new(Pool::new(config, tasks)) }
    }

    /// What is counted of them all.
    pub fn counters(&self) -> &Arc<WorkerCounters> {
        &self.pool.counters
    }

    /// Shows what is counted on `/metrics`.
    pub fn observe(&self, metrics: &Metrics) {
        let value = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let of = Arc::clone(self.counters());
        metrics
            .observe("conversions_count", "Conversions that are under way", Kind::Gauge, move || of.conversions.get());
        for (name, help, read) in WorkerCounters::table() {
            let of = Arc::clone(self.counters());
            metrics.observe(name, help, Kind::Counter, move || value(read(&of).get()));
        }
    }

    /// Begins a mix. It ends when the guard is dropped, its ring is closed or nobody takes part any more.
    pub fn mix(&self, job: MixJob) -> ConversionGuard {
        let (sender, status) = watch::channel(ConversionStatus::default());
        let (keyframe, ends) = (Arc::new(Notify::new()), self.pool.tasks.child_token());
        let (ended, cancelled) = (sender.clone(), ends.clone());
        let mixing = Mixing::new(Arc::clone(&self.pool), job, sender, Arc::clone(&keyframe));
        self.pool.tasks.spawn("mix", async move {
            // Dropped at any place, a mix leaves nothing behind: its worker is killed.
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = mixing.run() => {}
            }
            ended.send_modify(|status| status.state = ConversionState::Ended);
        });
        ConversionGuard { status, keyframe, _ends: ends.drop_guard() }
    }

    /// Begins a conversion. It ends when the guard is dropped or one of the rings is closed.
    pub fn convert(&self, job: ConversionJob) -> ConversionGuard {
        let (sender, status) = watch::channel(ConversionStatus::default());
        let (keyframe, ends) = (Arc::new(Notify::new()), self.pool.tasks.child_token());
        let (frames, converted) = (Arc::clone(&job.frames), Arc::clone(&job.converted));
        let (ended, cancelled) = (sender.clone(), ends.clone());
        let conversion = Conversion::new(Arc::clone(&self.pool), job, sender, Arc::clone(&keyframe));
        self.pool.tasks.spawn("conversion", async move {
            // Dropped at any place, a conversion leaves nothing behind: its worker is killed.
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = conversion.run() => {}
            }
            frames.abandon();
            converted.finish();
            ended.send_modify(|status| status.state = ConversionState::Ended);
        });
        ConversionGuard { status, keyframe, _ends: ends.drop_guard() }
    }
}
