//! The app's task set: the only place where tasks are spawned.
//!
//! Every task has a name, a token that says "stop" and an end: shutdown is close the doors, stop, drain, deadline, abort. A task that
//! panics is logged and counted and ends alone (docs/adr: panic policy). It knows nothing of what the tasks do.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span};

use crate::metrics::Counter;

/// After an abort tasks end at their next await; what takes longer than this is blocked and left behind.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// A set of named tasks that end together.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    doors: CancellationToken,
    stop: CancellationToken,
    abort: CancellationToken,
    panics: Arc<Counter>,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every task ended by itself.
    Cleanly,
    /// The deadline came first; this many were aborted.
    Aborted(usize),
}

impl Tasks {
    /// An empty set. Panics of its tasks are counted in `panics`.
    pub fn new(panics: Arc<Counter>) -> Tasks {
        Tasks {
            tracker: TaskTracker::new(),
            doors: CancellationToken::new(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            panics,
        }
    }

    /// Starts a task. It should end soon after [`Self::stopping`]; it is dropped when the set is aborted.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        let panics = Arc::clone(&self.panics);
        // In a box, because each future around it would hold room for it once more: 10 KiB a connection.
        let task = Box::pin(AssertUnwindSafe(task).catch_unwind());
        let guarded = async move {
            // Cancel-safe: an abort drops the task for good.
            tokio::select! {
                () = abort.cancelled() => {}
                outcome = task => if outcome.is_err() {
                    panics.add(1);
                    error!(task = name, "a task panicked; it ended alone");
                }
            }
        };
        self.tracker.spawn(guarded.instrument(info_span!("task", name)));
    }

    /// Runs blocking work (files, a slow library call) beside the event loop and waits for it.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self.tracker.spawn_blocking(work).await {
            Ok(value) => value,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Blocking work is never cancelled once it runs, and only a runtime that ends refuses to start it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Closes the doors: listeners stop accepting, readiness turns false, what is connected goes on.
    pub fn close_doors(&self) {
        self.doors.cancel();
    }

    /// Whether newcomers are turned away.
    pub fn doors_are_closed(&self) -> bool {
        self.doors.is_cancelled()
    }

    /// Resolves when the doors close. For listeners.
    pub fn doors_closed(&self) -> WaitForCancellationFutureOwned {
        self.doors.clone().cancelled_owned()
    }

    /// A token that is cancelled when tasks must stop; cancelling the child stops nothing else.
    pub fn child_token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Resolves when tasks must stop, which is after the doors closed and the streams ended.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.stop.clone().cancelled_owned()
    }

    /// Whether tasks must stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// How many tasks run.
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Tells every task to stop.
    pub fn stop(&self) {
        self.close_doors();
        self.stop.cancel();
    }

    /// Waits until every task ended, and aborts what is left at the deadline.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.stop();
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok() {
            return Drained::Cleanly;
        }
        let left = self.tracker.len();
        self.abort.cancel();
        let _ = tokio::time::timeout(ABORT_GRACE, self.tracker.wait()).await;
        Drained::Aborted(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_task_and_is_counted() {
        let panics = Arc::new(Counter::default());
        let tasks = Tasks::new(Arc::clone(&panics));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        tasks.spawn("broken", async { panic!("on purpose") });
        tasks.spawn("sound", async move { sender.send(()).expect("the test waits") });
        receiver.await.expect("the other task runs on");
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, Drained::Cleanly);
        assert_eq!(panics.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_stop_is_aborted_at_the_deadline() {
        let tasks = Tasks::new(Arc::default());
        tasks.spawn("stubborn", std::future::pending());
        let stopping = tasks.stopping();
        tasks.spawn("polite", stopping);
        assert_eq!(tasks.drain(Duration::from_secs(10)).await, Drained::Aborted(1));
        assert_eq!(tasks.count(), 0);
    }
}
