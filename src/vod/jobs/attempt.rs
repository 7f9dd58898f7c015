//! One attempt at a job: it is done by a worker, and in the end all of it is committed or none.
//!
//! In: a leased job. Out: what came of it, in the store. What is to be done in it is `steps` and `images`.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use telstar_store::job::{Attempt, Failure, HEARTBEAT};
use telstar_store::{Asset, AttemptFailure, Completed, Completion, JobKind, JobRecord, StoreError};
use telstar_transcode::file::{CLOCK, FileNews, FileProgress, FileTask};
use telstar_units::BlobName;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Jobs;
use crate::auth::NoRandomness;
use crate::vod::draw;
use crate::vod::listings::Listed;
use crate::workers::{FileError, FileWork};

/// News that wait to be taken. The worker waits then.
const NEWS_MAX: usize = 64;
/// However short a source is, a job may take so long.
const LASTS_AT_LEAST: Duration = Duration::from_secs(600);
/// How often a commit is tried again while the store is busy, and how long it rests in between. What was made took
/// long, and the lease is good for as long.
const COMMIT_TRIES_MAX: u32 = 10;
const COMMIT_PAUSE: Duration = Duration::from_secs(1);
const _: () = assert!(
    HEARTBEAT.as_secs() + COMMIT_TRIES_MAX as u64 * COMMIT_PAUSE.as_secs() < telstar_store::job::LEASE.as_secs(),
    "the lease outlasts the tries"
);

/// Why an attempt ends without a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfinished {
    /// The worker did not do it.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing can be made of the source.
    #[error("{0}")]
    Source(String),
    /// Something else went wrong, which may go right the next time.
    #[error("{0}")]
    Broken(String),
    /// Somebody else has the job, or nobody wants it any more.
    #[error("the lease was lost")]
    LeaseLost,
    /// The server ends.
    #[error("the server stops")]
    Stopping,
}

impl Unfinished {
    pub(super) fn broken(error: impl ToString) -> Unfinished {
        Unfinished::Broken(error.to_string())
    }
}

impl From<StoreError> for Unfinished {
    fn from(error: StoreError) -> Unfinished {
        match error {
            StoreError::NotFound(_) => Unfinished::LeaseLost,
            error => Unfinished::broken(error),
        }
    }
}

/// A leased job under way.
pub(super) struct Lease {
    pub(super) job: JobRecord,
    pub(super) attempt: Attempt,
    /// Nobody wants it any more.
    pub(super) interrupted: CancellationToken,
}

impl Jobs {
    /// Does the job, and says in the store what came of it.
    pub(super) async fn attempt(&self, lease: Lease) {
        let Lease { job, attempt, .. } = &lease;
        info!(job = job.id.0, asset = %job.asset, kind = ?job.kind, attempt = attempt.0, "a job begins");
        let mut blobs = Vec::new();
        let outcome = match self.means.store.asset(job.asset.clone()).await {
            Ok(Some(asset)) => self.work(&lease, &asset, &mut blobs).await,
            Ok(None) => Err(Unfinished::LeaseLost),
            Err(error) => Err(error.into()),
        };
        let completed = match outcome {
            Ok(completion) => self.commit(&lease, completion).await,
            Err(unfinished) => Err(unfinished),
        };
        match completed {
            Ok(completed) => {
                info!(job = job.id.0, asset = %job.asset, "a job is done");
                self.means.metrics.vod_done_jobs.add(1);
                // What took its place is listed before what it was is gone.
                self.means.listings.changed(&job.asset);
                self.discard(completed.freed).await;
            }
            Err(unfinished) => {
                // Before the job is free for another, which may need the room.
                self.discard(blobs).await;
                self.note(&lease, unfinished).await;
            }
        }
        self.means.listings.end_live(&job.asset, job.id);
        self.means.listings.changed(&job.asset);
    }

    async fn work(&self, lease: &Lease, asset: &Asset, blobs: &mut Vec<BlobName>) -> Result<Completion, Unfinished> {
        match lease.job.kind {
            JobKind::Probe => self.probe(lease, asset).await,
            JobKind::First | JobKind::More => self.make(lease, asset, blobs).await,
            JobKind::Images => self.images(lease, asset, blobs).await,
        }
    }

    async fn commit(&self, lease: &Lease, completion: Completion) -> Result<Completed, Unfinished> {
        let mut tries = 0;
        loop {
            let now = self.means.authority.now();
            match self.means.store.complete_job(lease.job.id, lease.attempt, completion.clone(), now).await {
                Err(StoreError::Busy) if tries < COMMIT_TRIES_MAX => tries += 1,
                outcome => return Ok(outcome?),
            }
            tokio::time::sleep(COMMIT_PAUSE).await;
        }
    }

    /// Says in the store that an attempt ended without a result.
    async fn note(&self, lease: &Lease, unfinished: Unfinished) {
        let (id, attempt, now) = (lease.job.id, lease.attempt, self.means.authority.now());
        let problem = unfinished.to_string();
        warn!(job = id.0, asset = %lease.job.asset, problem, "an attempt at a job ends");
        let failure = match unfinished {
            Unfinished::LeaseLost | Unfinished::File(FileError::Cancelled) => return,
            // Neither says anything of the job.
            Unfinished::Stopping | Unfinished::File(FileError::Refused(_)) => {
                if let Unfinished::File(FileError::Refused(why)) = unfinished {
                    self.means.metrics.vod_refused_attempts.add(1);
                    self.standstill.begin(why);
                }
                if let Err(error) = self.means.store.release_job(id, attempt, problem, now).await {
                    debug!(%error, "a job was not given back; its lease ends");
                }
                return;
            }
            Unfinished::Source(_) | Unfinished::File(FileError::Source(_)) => Failure::Permanent,
            Unfinished::Broken(_) | Unfinished::File(FileError::Failed(_)) => Failure::Transient,
        };
        self.means.metrics.vod_failed_attempts.add(1);
        let noted = AttemptFailure { failure, log: problem.clone(), problem };
        if let Err(error) = self.means.store.fail_job(id, attempt, noted, now).await {
            debug!(%error, "an attempt was not noted; its lease ends");
        }
    }

    async fn discard(&self, blobs: Vec<BlobName>) {
        if blobs.is_empty() {
            return;
        }
        let of = Arc::clone(&self.means.blobs);
        let removed = self.means.tasks.blocking(move || blobs.iter().try_for_each(|blob| of.delete(blob))).await;
        if let Err(error) = removed {
            warn!(%error, "a blob could not be removed; it is swept at the next start");
        }
    }

    pub(super) async fn source_of(&self, asset: &Asset) -> Result<OwnedFd, Unfinished> {
        let (of, source) = (Arc::clone(&self.means.blobs), asset.source.clone());
        let file = self.means.tasks.blocking(move || of.source_file(&source)).await;
        file.map(OwnedFd::from).map_err(Unfinished::broken)
    }

    /// The source, and so many outputs; their names are added to `names` as they come to be.
    pub(super) async fn files_for(
        &self,
        asset: &Asset,
        outputs: usize,
        names: &mut Vec<BlobName>,
    ) -> Result<Vec<OwnedFd>, Unfinished> {
        let mut files = vec![self.source_of(asset).await?];
        for _ in 0..outputs {
            let name = draw(BlobName::parse).map_err(|error: NoRandomness| Unfinished::broken(error))?;
            names.push(name.clone());
            let of = Arc::clone(&self.means.blobs);
            let file = self.means.tasks.blocking(move || of.output_file(&name)).await;
            files.push(OwnedFd::from(file.map_err(Unfinished::broken)?));
        }
        Ok(files)
    }

    /// Makes an output durable, and says how long it is.
    pub(super) async fn sync(&self, blob: &BlobName) -> Result<u64, Unfinished> {
        let (of, blob) = (Arc::clone(&self.means.blobs), blob.clone());
        self.means.tasks.blocking(move || of.sync_output(&blob)).await.map_err(Unfinished::broken)
    }

    /// Whether what nobody waits for may be made: an account that has taken all it may gets no more of it. How much it
    /// will take is known only when it is made, so that the last one may take more than was left.
    pub(super) async fn check_quota(&self, asset: &Asset) -> Result<(), Unfinished> {
        match self.means.store.quota_left(asset.owner, self.settings.quota).await? {
            0 => Err(Unfinished::Source(
                "the account has taken all the room it may: delete something, and ask for this again".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// What the outputs of a job may take: as much as is allowed, and leaves enough of the disk free.
    async fn room(&self) -> Result<u64, Unfinished> {
        let of = Arc::clone(&self.means.blobs);
        let free = self.means.tasks.blocking(move || of.free_bytes()).await.map_err(Unfinished::broken)?;
        let room = free.map_or(u64::MAX, |free| free.saturating_sub(self.settings.free_bytes_min));
        match room.min(self.settings.limits.output_bytes_max) {
            0 => Err(Unfinished::broken("the disk is full")),
            room => Ok(room),
        }
    }

    /// Runs a worker and keeps the lease while it works. `take` checks its news, and says what is to be listed anew.
    pub(super) async fn run_worker(
        &self,
        lease: &Lease,
        asset: &Asset,
        task: FileTask,
        files: Vec<OwnedFd>,
        duration: i64,
        mut take: impl FnMut(FileNews) -> Result<Option<Listed>, Unfinished>,
    ) -> Result<(), Unfinished> {
        let job = &lease.job;
        let source_lasts = Duration::from_secs((duration / i64::from(CLOCK.hz())).unsigned_abs());
        let cancelled = CancellationToken::new();
        let work = FileWork {
            task,
            files,
            output_bytes_max: self.room().await?,
            lasts_at_most: source_lasts.saturating_mul(self.settings.lasts_factor_max).max(LASTS_AT_LEAST),
            cancelled: cancelled.clone(),
        };
        let _cancels = cancelled.drop_guard();
        let (sender, mut news) = mpsc::channel(NEWS_MAX);
        let mut working = std::pin::pin!(self.workers.run(work, sender));
        let mut stopping = std::pin::pin!(self.means.tasks.stopping());
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress = FileProgress::default();
        let mut ended = None;
        loop {
            // What was sent before the end is taken before it.
            if let (Some(outcome), true) = (&ended, news.is_empty()) {
                return Ok(Result::clone(outcome)?);
            }
            // Cancel-safe: a pinned future, tokens, a channel that keeps what was not taken, and an interval.
            tokio::select! {
                outcome = &mut working, if ended.is_none() => ended = Some(outcome),
                () = &mut stopping => return Err(Unfinished::Stopping),
                () = lease.interrupted.cancelled() => return Err(Unfinished::LeaseLost),
                told = news.recv(), if ended.is_none() || !news.is_empty() => match told {
                    Some(FileNews::Progress(more)) => {
                        progress = more;
                        self.means.listings.progress(&job.asset, job.id, share(progress.position, duration));
                    }
                    Some(told) => {
                        if let Some(listed) = take(told)? {
                            self.means.listings.list_live(asset, job.id, listed);
                        }
                    }
                    // The worker's end follows.
                    None => tokio::task::yield_now().await,
                },
                _ = beat.tick() => self.beat(lease, share(progress.position, duration)).await?,
            }
        }
    }

    /// The attempt is alive. A store that cannot answer now is asked again before the lease ends.
    async fn beat(&self, lease: &Lease, progress: u16) -> Result<(), Unfinished> {
        let now = self.means.authority.now();
        match self.means.store.heartbeat_job(lease.job.id, lease.attempt, progress, now).await {
            Ok(()) => Ok(()),
            Err(StoreError::NotFound(_)) => Err(Unfinished::LeaseLost),
            Err(error) => {
                warn!(%error, "a job's heartbeat was not noted");
                Ok(())
            }
        }
    }
}

/// So far, of 10,000.
fn share(position: i64, duration: i64) -> u16 {
    let duration = i128::from(duration.max(1));
    (i128::from(position.max(0)) * 10_000 / duration).min(9_999) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_whole_only_with_the_commit() {
        for (position, duration, expect) in
            [(0, 90_000, 0), (45_000, 90_000, 5_000), (90_000, 90_000, 9_999), (-1, 90_000, 0), (i64::MAX, 0, 9_999)]
        {
            assert_eq!(share(position, duration), expect, "{position} of {duration}");
        }
    }
}
