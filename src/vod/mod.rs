//! Video on demand: what is uploaded becomes an asset, gets renditions, and is sent to whoever may watch it.
//!
//! In: bytes over HTTP, and what operators allow. Out: playlists, segments, pictures and sources; events in the store's
//! outbox. Nothing here decodes: that is the worker's (`crate::workers`). What must survive a crash is in the store
//! before anybody is told of it.
//!
//! - `uploads`: bytes into blobs, with `tus` as their words over HTTP;
//! - `jobs`: durable work, done by workers;
//! - `listings`: what can be watched of each asset now, and `labels`: what its tracks are called;
//! - `serve`: that, over HTTP;
//! - `title`: what an asset is called.

pub mod jobs;
mod labels;
pub mod listings;
pub mod serve;
mod title;
pub mod tus;
pub mod uploads;

use std::sync::Arc;
use std::time::Duration;

use telstar_store::job::Class;
use telstar_store::{BlobError, Blobs, JobId, JobKind, JobRecord, LocalBlobs, NewJob, Quota, Store, StoreError};
use telstar_transcode::plan::{FIRST_SUFFIX, Planned};
use telstar_units::{AssetName, BlobName, OPAQUE_NAME_LEN, OpaqueNameError};
use tokio::sync::Notify;
use tracing::{info, warn};

use self::jobs::{JobSettings, Jobs, Work};
use self::listings::Listings;
use self::uploads::{UploadLimits, Uploads};
use crate::auth::{Authority, NoRandomness, random_text};
use crate::config::{Config, Encryption};
use crate::metrics::Metrics;
use crate::tasks::Tasks;
use crate::workers::FileWorkers;

pub use title::{title_of, title_of_file};

/// The folder of blobs, in the data folder.
const FOLDER: &str = "vod";
/// How often uploads are looked at that nobody goes on with.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(300);
/// How often sound is looked for that stood in for better (`plan::FIRST_SUFFIX`), and how long it stays when that is there:
/// whoever plays it by then plays it to the end, however long that or a pause lasts. Longer takes room, which counts
/// against the quota; shorter cuts off who paused. A guess.
const STAND_IN_INTERVAL: Duration = Duration::from_secs(6 * 3_600);
const STAND_IN_KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Blobs that the store is asked about at once. Higher holds its reader for longer.
const SWEEP_BATCH: usize = 500;

/// Why video on demand does not start.
#[derive(Debug, thiserror::Error)]
pub enum VodError {
    /// The folder of blobs cannot be used.
    #[error("the folder of videos in the data folder cannot be used: {0}")]
    Blobs(#[from] BlobError),
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What every part of it works with. Cheap to clone.
#[derive(Clone)]
pub struct Means {
    /// Durable records.
    pub store: Arc<dyn Store>,
    /// Bytes.
    pub blobs: Arc<dyn Blobs>,
    /// The clock.
    pub authority: Arc<Authority>,
    /// What can be watched.
    pub listings: Listings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Told when there is a job.
    pub has_work: Arc<Notify>,
}

/// Video on demand. Cheap to clone.
#[derive(Clone)]
pub struct Vod {
    /// Whoever takes uploads.
    pub uploads: Uploads,
    /// Whoever does jobs.
    pub jobs: Jobs,
    /// What can be watched of each asset.
    pub listings: Listings,
    /// Bytes of sources and renditions.
    pub blobs: Arc<dyn Blobs>,
    /// To be told when there is a job that was not made through here.
    pub has_work: Arc<Notify>,
    /// Whether segments are encrypted on their way.
    pub encryption: Encryption,
    means: Means,
}

/// Draws a name of any of the kinds that say nothing.
fn draw<Name>(parse: fn(&str) -> Result<Name, OpaqueNameError>) -> Result<Name, NoRandomness> {
    let text = random_text(OPAQUE_NAME_LEN)?;
    Ok(parse(&text).unwrap_or_else(|_| unreachable!("the alphabet of random texts is that of names")))
}

fn mib(mib: u32) -> u64 {
    u64::from(mib) * 1024 * 1024
}

impl Vod {
    /// Starts it: what an earlier run left half done is free again, and what it left behind goes.
    pub async fn start(
        config: &Config,
        store: Arc<dyn Store>,
        authority: Arc<Authority>,
        metrics: Arc<Metrics>,
        tasks: &Tasks,
    ) -> Result<Vod, VodError> {
        let folder = config.general.data.join(FOLDER);
        let opened = tasks.blocking(move || {
            let blobs = LocalBlobs::open(&folder)?;
            // Before anything new is written, which no record names at first.
            let there = blobs.list()?;
            Ok::<_, BlobError>((blobs, there))
        });
        let (blobs, there) = opened.await?;
        let released = store.release_jobs(authority.now()).await?;
        if released > 0 {
            info!(jobs = released, "jobs that were under way when the server ended begin again");
        }
        let listings = Listings::new(Arc::clone(&store));
        let (blobs, has_work): (Arc<dyn Blobs>, _) = (Arc::new(blobs), Arc::new(Notify::new()));
        let means = Means {
            store,
            blobs: Arc::clone(&blobs),
            authority,
            listings: listings.clone(),
            metrics,
            tasks: tasks.clone(),
            has_work: Arc::clone(&has_work),
        };
        let vod = &config.vod;
        let uploads = Uploads::new(means.clone(), upload_limits(vod));
        let workers = FileWorkers::new(&config.transcode, vod.memory_max_mib, tasks.clone());
        let jobs = Jobs::new(means.clone(), workers, JobSettings::new(vod));
        if vod.enabled {
            jobs.start();
        }
        tasks.spawn("vod-sweep", sweep(means.clone(), uploads.clone(), there));
        Ok(Vod { uploads, jobs, listings, blobs, has_work, encryption: vod.encrypt, means })
    }

    /// Deletes an asset with all that is of it. Whatever works on it ends.
    pub async fn delete_asset(&self, name: AssetName) -> Result<(), StoreError> {
        let freed = self.means.store.delete_asset(name.clone(), self.means.authority.now()).await?;
        self.jobs.interrupt_all_of(&name);
        self.listings.changed(&name);
        // Whoever is being sent something of it is sent it to the end.
        self.uploads.discard(freed).await;
        Ok(())
    }

    /// Cancels a job. An attempt that is under way ends at once.
    pub async fn cancel_job(&self, id: JobId) -> Result<JobRecord, StoreError> {
        let job = self.means.store.cancel_job(id, self.means.authority.now()).await?;
        self.jobs.interrupt(id);
        self.listings.changed(&job.asset);
        Ok(job)
    }

    /// A job that was given up or cancelled is wanted again.
    pub async fn retry_job(&self, id: JobId) -> Result<JobRecord, StoreError> {
        let job = self.means.store.retry_job(id, self.means.authority.now()).await?;
        self.listings.changed(&job.asset);
        self.has_work.notify_one();
        Ok(job)
    }

    /// Has a rendition made anew, or one made that was not: by another job, as it was planned.
    pub async fn make_again(&self, asset: AssetName, rendition: &str) -> Result<JobRecord, StoreError> {
        let mut planned: Option<Planned> = None;
        for job in self.means.store.jobs_of(asset.clone()).await? {
            let Some(one) = jobs::planned_of(&job).into_iter().find(|one| one.name == rendition) else { continue };
            if !job.job.is_over() {
                return Err(StoreError::Conflict("job"));
            }
            planned = Some(one);
        }
        let planned = planned.ok_or(StoreError::NotFound("rendition"))?;
        let work = Work { renditions: vec![planned] };
        let work = serde_json::to_string(&work).map_err(|_| StoreError::Invalid("job"))?;
        let job = NewJob { kind: JobKind::More, class: Class::Extra, work, after: Vec::new() };
        let job = self.means.store.add_job(asset.clone(), job, self.means.authority.now()).await?;
        self.listings.changed(&asset);
        self.has_work.notify_one();
        Ok(job)
    }
}

fn quota_of(vod: &crate::config::Vod) -> Quota {
    Quota { account_bytes_max: mib(vod.account_quota_mib), total_bytes_max: mib(vod.total_quota_mib) }
}

fn upload_limits(vod: &crate::config::Vod) -> UploadLimits {
    UploadLimits {
        is_on: vod.enabled,
        bytes_max: mib(vod.upload_max_mib),
        quota: quota_of(vod),
        free_bytes_min: mib(vod.disk_free_mib),
        expires_after: Duration::from_secs(u64::from(vod.upload_expires_hours) * 3_600),
    }
}

/// Removes what no record names, of what was there at the start; from then on uploads that nobody goes on with.
async fn sweep(means: Means, uploads: Uploads, there: Vec<BlobName>) {
    for batch in there.chunks(SWEEP_BATCH) {
        match means.store.unknown_blobs(batch.to_vec()).await {
            Ok(unknown) if unknown.is_empty() => {}
            Ok(unknown) => {
                info!(blobs = unknown.len(), "files that belong to nothing are removed");
                uploads.discard(unknown).await;
            }
            Err(error) => warn!(%error, "files that belong to nothing stay until the next start"),
        }
    }
    drop(there);
    let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
    let mut stand_ins = tokio::time::interval(STAND_IN_INTERVAL);
    let mut stopping = std::pin::pin!(means.tasks.stopping());
    loop {
        // Cancel-safe: intervals and a token.
        tokio::select! {
            () = &mut stopping => return,
            _ = expiry.tick() => {
                if let Err(error) = uploads.expire().await {
                    warn!(%error, "uploads that have expired were not given up");
                }
            }
            _ = stand_ins.tick() => {
                if let Err(error) = delete_stand_ins(&means, &uploads).await {
                    warn!(%error, "sound that is superseded stays for now");
                }
            }
        }
    }
}

/// Frees what stood in for better sound that has been there for long.
async fn delete_stand_ins(means: &Means, uploads: &Uploads) -> Result<(), StoreError> {
    let kept_for = i64::try_from(STAND_IN_KEPT_FOR.as_micros()).unwrap_or(i64::MAX);
    loop {
        let before = means.authority.now().plus_micros(-kept_for);
        let gone = means.store.delete_stand_ins(FIRST_SUFFIX, before).await?;
        if gone.is_empty() {
            return Ok(());
        }
        gone.iter().for_each(|(asset, _)| means.listings.changed(asset));
        uploads.discard(gone.into_iter().map(|(_, blob)| blob).collect()).await;
    }
}
