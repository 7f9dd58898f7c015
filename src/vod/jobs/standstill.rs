//! Why nothing is done while no worker can be started: the executable is missing, the kernel does not confine it, the
//! machine has no room. That is no fault of any job, so jobs wait and none of them fails; whoever looks at one is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::workers::FileWorkers;

/// How often it is tried whether a worker starts again. Longer: what was mended is noticed later; a try costs a process.
const TRIED_EVERY: Duration = Duration::from_secs(10);

/// Whether it is so, and why. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Standstill(Arc<Mutex<Option<String>>>);

impl Standstill {
    /// No worker could be started.
    pub(super) fn begin(&self, why: String) {
        let before = self.lock().replace(why.clone());
        if before.is_none() {
            warn!("no job is done until a worker can be started: {why}");
        }
    }

    /// Why, in words that say what to do.
    pub(super) fn why(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Waits until a worker can be started, if none could be.
    pub(super) async fn wait_for_end(&self, workers: &FileWorkers) {
        while self.why().is_some() {
            tokio::time::sleep(TRIED_EVERY).await;
            match workers.check().await {
                Ok(()) => {
                    *self.lock() = None;
                    info!("workers can be started again: jobs go on");
                }
                Err(error) => self.begin(error.to_string()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
