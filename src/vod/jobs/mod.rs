//! The job queue at work: jobs are leased, done by workers, and committed or tried again.
//!
//! In: the store's jobs. Out: renditions, and what is there of them while they are being made (`listings`). As many
//! jobs at once as configured; which is next is the store's to say. Whatever happens to a worker costs its job an
//! attempt and nothing else; what an attempt wrote goes when it does not commit.
//!
//! - `attempt`: one attempt, from its lease to its end;
//! - `steps`, `images`: what is done in it;
//! - `records`: what is written down of it;
//! - `standstill`: why nothing is done, while no worker can be started.

mod attempt;
mod images;
pub mod records;
mod standstill;
mod steps;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telstar_store::job::{Attempt, Class, HEARTBEAT};
use telstar_store::{JobId, JobRecord, NextJob, Quota};
use telstar_transcode::file::{EncoderPreset, Limits};
use telstar_transcode::plan::Options;
use telstar_units::AssetName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::attempt::Lease;
pub use self::records::{Facts, Work, planned_of};
use self::standstill::Standstill;
use super::Means;
use crate::config::{self, RenditionPreset};
use crate::workers::FileWorkers;

/// How long to wait before the store is asked again that could not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The shortest sleep: a lease that has run out counts until somebody looks at it.
const WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest sleep, so that a wall clock that is set does not stop the queue.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Leases are looked at so often. A worker's end is seen at once; this is for whatever else forgets a job.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);
const _: () = assert!(HEARTBEAT.as_secs() < EXPIRY_INTERVAL.as_secs() * 3, "a lease is looked at while it may end");
/// Threads of a worker's codecs at most, where the configuration does not say: more make pictures of the same quality
/// larger.
const THREADS_MAX: usize = 16;

/// With which means jobs are done.
#[derive(Clone)]
pub struct JobSettings {
    /// Jobs at once.
    pub at_once: usize,
    /// What is made of an asset.
    pub options: Options,
    /// What no source may exceed.
    pub limits: Limits,
    /// How much work goes into pictures.
    pub preset: EncoderPreset,
    /// A job may take so many times as long as its source lasts, and never less than ten minutes.
    pub lasts_factor_max: u32,
    /// Bytes that stay free on disk.
    pub free_bytes_min: u64,
    /// What accounts may take.
    pub quota: Quota,
}

impl JobSettings {
    /// As configured.
    pub fn new(vod: &config::Vod) -> JobSettings {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match vod.threads {
            0 => cores.min(THREADS_MAX) as u32,
            threads => threads,
        };
        // Their ranges end far below.
        let narrow = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        JobSettings {
            at_once: vod.jobs_at_once as usize,
            options: Options {
                has_ladder: vod.ladder,
                has_hevc: vod.hevc,
                has_av1: vod.av1,
                stereo_bps: vod.audio_kbps * 1_000,
            },
            limits: Limits {
                pixels_max: vod.pixels_max,
                side_max: vod.side_max,
                fps_max: vod.fps_max,
                duration_secs_max: vod.duration_max_hours * 3_600,
                streams_max: narrow(vod.streams_max),
                output_bytes_max: super::mib(vod.output_max_mib),
                threads: narrow(threads),
            },
            preset: match vod.preset {
                RenditionPreset::Veryfast => EncoderPreset::Veryfast,
                RenditionPreset::Faster => EncoderPreset::Faster,
                RenditionPreset::Fast => EncoderPreset::Fast,
                RenditionPreset::Medium => EncoderPreset::Medium,
            },
            lasts_factor_max: vod.lasts_factor_max,
            free_bytes_min: super::mib(vod.disk_free_mib),
            quota: super::quota_of(vod),
        }
    }
}

/// Jobs beside those that are configured, of each class that is more urgent than extra renditions: a ladder of a long
/// video takes hours. More make each of them slower.
const URGENT_AT_ONCE: usize = 1;

/// The attempts that are under way: on which asset, and how each is told to end. As many as there may be at once.
type Running = HashMap<(JobId, Attempt), (AssetName, CancellationToken)>;

/// Whoever does jobs. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    means: Means,
    workers: FileWorkers,
    settings: JobSettings,
    places: Arc<Semaphore>,
    /// More, for what is at least so urgent.
    urgent_places: [(Class, Arc<Semaphore>); 2],
    running: Arc<Mutex<Running>>,
    standstill: Standstill,
}

impl Jobs {
    /// Nothing is done before it starts.
    pub fn new(means: Means, workers: FileWorkers, settings: JobSettings) -> Jobs {
        let places = Arc::new(Semaphore::new(settings.at_once));
        let urgent_places =
            [Class::First, Class::Preview].map(|least| (least, Arc::new(Semaphore::new(URGENT_AT_ONCE))));
        Jobs {
            means,
            workers,
            settings,
            places,
            urgent_places,
            running: Arc::default(),
            standstill: Standstill::default(),
        }
    }

    /// Begins to work.
    pub fn start(&self) {
        let (running, expiring) = (self.clone(), self.clone());
        self.means.tasks.spawn("jobs", async move { running.run().await });
        self.means.tasks.spawn("job-leases", async move { expiring.expire().await });
    }

    /// Ends the attempt at a job, if one is under way, as if its lease were lost.
    pub fn interrupt(&self, id: JobId) {
        let running = self.running();
        running.iter().filter(|((job, _), _)| *job == id).for_each(|(_, (_, interrupted))| interrupted.cancel());
    }

    /// Ends the attempts at all jobs of an asset.
    pub fn interrupt_all_of(&self, name: &AssetName) {
        let running = self.running();
        running.values().filter(|(asset, _)| asset == name).for_each(|(_, interrupted)| interrupted.cancel());
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why no job is done now, though some may wait: in words that say what to do.
    pub fn standstill(&self) -> Option<String> {
        self.standstill.why()
    }

    async fn run(self) {
        let mut stopping = std::pin::pin!(self.means.tasks.stopping());
        loop {
            // Cancel-safe: whatever it waits for, it is asked again.
            tokio::select! {
                () = &mut stopping => return,
                () = self.standstill.wait_for_end(&self.workers) => {}
            }
            let Some((place, least)) = self.place() else {
                // Cancel-safe: a notification that comes meanwhile is kept. Whoever leaves a place tells.
                tokio::select! {
                    () = &mut stopping => return,
                    () = self.means.has_work.notified() => continue,
                }
            };
            let wait = match self.means.store.take_job(least, self.means.authority.now()).await {
                Ok(NextJob::Leased(job, attempt)) => {
                    let jobs = self.clone();
                    self.means.tasks.spawn("job", async move {
                        jobs.do_one(*job, attempt).await;
                        drop(place);
                        // What it made possible, or what waited for its place.
                        jobs.means.has_work.notify_one();
                    });
                    continue;
                }
                Ok(NextJob::At(at)) => {
                    let micros = at.0.saturating_sub(self.means.authority.now().0);
                    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
                }
                Ok(NextJob::Nothing) => SLEEP_MAX,
                Err(error) => {
                    warn!(%error, "the job queue cannot be read");
                    STORE_PAUSE
                }
            };
            drop(place);
            // Cancel-safe: a notification that comes meanwhile is kept.
            tokio::select! {
                () = &mut stopping => return,
                () = self.means.has_work.notified() => {}
                () = tokio::time::sleep(wait.clamp(WAIT_MIN, SLEEP_MAX)) => {}
            }
        }
    }

    /// A place for a job, and how urgent one must be to take it.
    fn place(&self) -> Option<(OwnedSemaphorePermit, Class)> {
        let any = [(Class::Extra, Arc::clone(&self.places))];
        // The least urgent first: its place is good for all others.
        any.iter()
            .chain(self.urgent_places.iter().rev())
            .find_map(|(least, places)| Some((Arc::clone(places).try_acquire_owned().ok()?, *least)))
    }

    async fn do_one(&self, job: JobRecord, attempt: Attempt) {
        let under_way = UnderWay::new(self, &job, attempt);
        let _counted = self.means.metrics.vod_jobs_count.enter();
        let lease = Lease { job, attempt, interrupted: under_way.interrupted.clone() };
        self.attempt(lease).await;
    }

    async fn expire(self) {
        let mut stopping = std::pin::pin!(self.means.tasks.stopping());
        loop {
            // Cancel-safe: a token and a sleep.
            tokio::select! {
                () = &mut stopping => return,
                () = tokio::time::sleep(EXPIRY_INTERVAL) => {}
            }
            match self.means.store.expire_leases(self.means.authority.now()).await {
                Ok(expired) if expired.is_empty() => {}
                Ok(expired) => {
                    for job in &expired {
                        info!(job = job.id.0, asset = %job.asset, "a job's lease has ended");
                        self.means.metrics.vod_failed_attempts.add(1);
                        self.means.listings.changed(&job.asset);
                    }
                    self.means.has_work.notify_one();
                }
                Err(error) => warn!(%error, "leases cannot be looked at"),
            }
        }
    }
}

/// An attempt in the list of those under way, for as long as it lasts, however it ends.
struct UnderWay {
    running: Arc<Mutex<Running>>,
    id: (JobId, Attempt),
    interrupted: CancellationToken,
}

impl UnderWay {
    fn new(jobs: &Jobs, job: &JobRecord, attempt: Attempt) -> UnderWay {
        let (id, interrupted) = ((job.id, attempt), CancellationToken::new());
        jobs.running().insert(id, (job.asset.clone(), interrupted.clone()));
        UnderWay { running: Arc::clone(&jobs.running), id, interrupted }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_what_workers_are_told() {
        let config = config::Vod { threads: 3, jobs_at_once: 2, output_max_mib: 5, ..config::Vod::default() };
        let settings = JobSettings::new(&config);
        assert_eq!((settings.at_once, settings.limits.threads), (2, 3));
        assert_eq!(settings.limits.output_bytes_max, 5 * 1024 * 1024);
        assert_eq!(settings.limits.duration_secs_max, 86_400);
        let threads = JobSettings::new(&config::Vod::default()).limits.threads;
        assert!((1..=THREADS_MAX).contains(&usize::from(threads)), "{threads}");
    }
}
