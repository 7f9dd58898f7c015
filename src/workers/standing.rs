//! How a task that needs a worker stands: its status, what is counted of it, and when it may have the next worker.

use std::sync::Arc;
use std::time::Instant;

use telstar_transcode::{Progress, Restart};
use tokio::sync::{SemaphorePermit, watch};
use tracing::{debug, warn};

use super::pool::Pool;
use super::{ConversionState, ConversionStatus};
use crate::metrics::Entered;

/// How a worker's life ended.
pub(super) enum End {
    /// A ring was closed: nothing is left to do.
    Over,
    /// It died, or was killed; the reason.
    Died(String),
    /// What it was asked is beyond it; the reason.
    Refused(String),
}

/// See the module.
pub(super) struct Standing {
    pub(super) pool: Arc<Pool>,
    pub(super) status: watch::Sender<ConversionStatus>,
    /// For the log.
    what: String,
}

impl Standing {
    pub(super) fn new(pool: Arc<Pool>, status: watch::Sender<ConversionStatus>, what: String) -> Standing {
        Standing { pool, status, what }
    }

    /// Waits for its place among those that may run, which it has as long as it holds this. `None`: there are none any more.
    pub(super) async fn enter(&self) -> Option<(SemaphorePermit<'_>, Entered)> {
        if self.pool.slots.available_permits() == 0 {
            self.tell_error("as many conversions run as transcode.conversions_max allows: this one waits");
        }
        let slot = self.pool.slots.acquire().await.ok()?;
        self.pool.counters.begun.add(1);
        Some((slot, self.pool.counters.conversions.enter()))
    }

    /// A worker is about to be started.
    pub(super) fn tell_starting(&self) {
        self.status.send_modify(|status| status.state = ConversionState::Starting);
    }

    /// Frames come out.
    pub(super) fn tell_running(&self) {
        self.status.send_if_modified(|status| {
            let changes = status.state != ConversionState::Running || status.error.is_some();
            if changes {
                debug!(what = %self.what, "frames come out of a worker");
                (status.state, status.error) = (ConversionState::Running, None);
            }
            changes
        });
    }

    /// A worker's life has ended. Returns when the next may begin; `None`: never.
    pub(super) fn note_end(&self, end: End, restart: &mut Restart) -> Option<Instant> {
        let now = Instant::now();
        let (until, error) = match end {
            End::Over => return None,
            End::Died(error) => {
                self.pool.counters.deaths.add(1);
                (restart.handle_death(now), error)
            }
            End::Refused(error) => {
                self.pool.counters.refusals.add(1);
                (restart.handle_refusal(now), error)
            }
        };
        let wait_ms = until.saturating_duration_since(now).as_millis();
        warn!(what = %self.what, wait_ms, "a worker: {error}");
        self.status.send_modify(|status| {
            status.state = ConversionState::Waiting;
            status.restarts += 1;
            (status.cpu_percent, status.worker_pid) = (0.0, None);
        });
        self.tell_error(&error);
        Some(until)
    }

    /// The worker has said how far it is; `last` is what it said before.
    pub(super) fn note_progress(&self, last: &mut Option<(Instant, Progress)>, progress: Progress) {
        let now = Instant::now();
        let counters = &self.pool.counters;
        if let Some((before, last)) = last.replace((now, progress)) {
            let cpu_micros = progress.cpu_micros.saturating_sub(last.cpu_micros);
            counters.cpu_millis.add(cpu_micros / 1_000);
            counters.corrupt_frames.add(progress.frames_corrupt.saturating_sub(last.frames_corrupt));
            let elapsed = now.saturating_duration_since(before).as_secs_f32();
            if elapsed > 0.0 {
                let cpu_percent = cpu_micros as f32 / 10_000.0 / elapsed;
                self.status.send_modify(|status| status.cpu_percent = cpu_percent);
            }
        } else {
            counters.cpu_millis.add(progress.cpu_micros / 1_000);
            counters.corrupt_frames.add(progress.frames_corrupt);
        }
    }

    fn tell_error(&self, error: &str) {
        self.status.send_modify(|status| status.error = Some(error.to_owned()));
    }
}
