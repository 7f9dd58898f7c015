//! Changes of durable records, each with its effect on what runs now: one after the other, and to the end.
//!
//! A handler's future is dropped when its client goes (a closed tab, an HTTP/2 reset), but the store commits what it was
//! given. So commit and effect run in one task that no client can stop, and the handler only waits for its answer. They
//! run one at a time: effects then come in the order of their commits, and the last commit is what everybody sees.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, oneshot};

use super::error::{Code, Problem};
use crate::tasks::Tasks;

/// Changes that wait for their turn. A change is one commit, some milliseconds; whoever meets a longer queue than this
/// is told to come back. Guess.
const WAITING_MAX: usize = 256;

/// The one queue of changes. Cheap to clone.
#[derive(Clone)]
pub struct Changes {
    tasks: Tasks,
    turn: Arc<Mutex<()>>,
    places: Arc<Semaphore>,
}

impl Changes {
    /// A queue whose changes run as tasks of `tasks`.
    pub fn new(tasks: Tasks) -> Changes {
        Changes { tasks, turn: Arc::default(), places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Changes that were handed over and have not come to their end.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        WAITING_MAX - self.places.available_permits()
    }

    /// Runs a commit together with its effect, and answers what it answers. It ends even if nobody waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Problem::new(Code::Unavailable, "Too many changes wait; try again."))?;
        let turn = Arc::clone(&self.turn);
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn("change", async move {
            let mine = turn.lock().await;
            let outcome = change.await;
            drop((mine, place));
            // The client may have gone.
            let _ = answer.send(outcome);
        });
        let ended = |_| Err(Problem::new(Code::Unavailable, "The server ended before the change did."));
        answered.await.unwrap_or_else(ended)
    }
}
