//! One conversion: worker after worker is fed from the ring of frames, watched, and started again when it dies.

mod life;
mod sink;
mod source;

use std::sync::Arc;

use telstar_transcode::Restart;
use tokio::sync::{Notify, watch};

use super::pool::Pool;
use super::standing::Standing;
use super::{ConversionJob, ConversionStatus};
use life::Life;
pub(super) use life::{ANSWERS_WITHIN, at};
pub(super) use sink::Sink;
use source::Source;

/// What the workers of one conversion have in common.
pub(super) struct Conversion {
    standing: Standing,
    job: ConversionJob,
    keyframe: Arc<Notify>,
}

impl Conversion {
    pub(super) fn new(
        pool: Arc<Pool>,
        job: ConversionJob,
        status: watch::Sender<ConversionStatus>,
        keyframe: Arc<Notify>,
    ) -> Conversion {
        let what = format!("{} of {} to {}", job.track.id, job.room, job.to.codec().name());
        Conversion { standing: Standing::new(pool, status, what), job, keyframe }
    }

    /// Converts until a ring is closed. May be dropped at any time: its worker is killed.
    pub(super) async fn run(&self) {
        let Some(_entered) = self.standing.enter().await else { return };
        let pool = &self.standing.pool;
        let job = &self.job;
        let (mut source, mut sink) = (Source::new(job), Sink::new(&job.converted, job.as_track, job.to));
        let mut restart = Restart::new();
        loop {
            self.standing.tell_starting();
            let end = match pool.take().await {
                Ok(process) => Life::new(self, &mut source, &mut sink, &mut restart, process).run().await,
                Err(error) => error.into(),
            };
            let Some(until) = self.standing.note_end(end, &mut restart) else { return };
            if !source.keep_until(until, pool.counters.as_ref()).await {
                return;
            }
        }
    }
}
