//! One conversion: worker after worker is fed from the ring of frames, watched, and started again when it dies.

mod life;
mod sink;
mod source;

use std::sync::Arc;
use std::time::Instant;

use telstar_transcode::Restart;
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use super::pool::Pool;
use super::{ConversionJob, ConversionState, ConversionStatus};
use life::{End, Life};
use sink::Sink;
use source::Source;

/// What the workers of one conversion have in common.
pub(super) struct Conversion {
    pool: Arc<Pool>,
    job: ConversionJob,
    status: watch::Sender<ConversionStatus>,
    keyframe: Arc<Notify>,
}

impl Conversion {
    pub(super) fn new(
        pool: Arc<Pool>,
        job: ConversionJob,
        status: watch::Sender<ConversionStatus>,
        keyframe: Arc<Notify>,
    ) -> Conversion {
        Conversion { pool, job, status, keyframe }
    }

    /// Converts until a ring is closed. May be dropped at any time: its worker is killed.
    pub(super) async fn run(&self) {
        if self.pool.slots.available_permits() == 0 {
            self.tell_error("as many conversions run as transcode.conversions_max allows: this one waits");
        }
        let Ok(_slot) = self.pool.slots.acquire().await else { return };
        let counters = &self.pool.counters;
        counters.begun.add(1);
        let _counted = counters.conversions.enter();
        let (mut source, mut sink) = (Source::new(&self.job), Sink::new(&self.job));
        let mut restart = Restart::new();
        loop {
            self.status.send_modify(|status| status.state = ConversionState::Starting);
            let end = match self.pool.take().await {
                Ok(process) => Life::new(self, &mut source, &mut sink, &mut restart, process).run().await,
                Err(error) if error.is_lasting() => End::Refused(error.to_string()),
                Err(error) => End::Died(error.to_string()),
            };
            let now = Instant::now();
            let (until, error) = match end {
                End::Over => return,
                End::Died(error) => {
                    counters.deaths.add(1);
                    (restart.handle_death(now), error)
                }
                End::Refused(error) => {
                    counters.refusals.add(1);
                    (restart.handle_refusal(now), error)
                }
            };
            let wait_ms = until.saturating_duration_since(now).as_millis();
            warn!(room = %self.job.room, track = %self.job.track.id, to = ?self.job.to, wait_ms, "a conversion: {error}");
            self.status.send_modify(|status| {
                status.state = ConversionState::Waiting;
                status.restarts += 1;
                (status.cpu_percent, status.worker_pid) = (0.0, None);
            });
            self.tell_error(&error);
            if !source.keep_until(until, self.pool.counters.as_ref()).await {
                return;
            }
        }
    }

    fn tell_error(&self, error: &str) {
        self.status.send_modify(|status| status.error = Some(error.to_owned()));
    }

    fn tell_running(&self) {
        self.status.send_if_modified(|status| {
            let changes = status.state != ConversionState::Running || status.error.is_some();
            if changes {
                debug!(room = %self.job.room, track = %self.job.track.id, to = ?self.job.to, "converted frames come");
                (status.state, status.error) = (ConversionState::Running, None);
            }
            changes
        });
    }
}
