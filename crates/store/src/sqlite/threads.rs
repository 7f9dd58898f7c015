//! The loops of the writer and the readers.
//!
//! The writer takes what is queued into one transaction, a savepoint for each operation, and answers all of them
//! after the one commit: under load the disk is synced once for many operations, and a lone one waits for nobody.

use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use rusqlite::Connection;

use crate::{Promise, StoreError};

/// The most operations of one transaction. More: fewer syncs; fewer: the first of a batch is answered sooner.
/// An operation takes about 20 us and a sync about 5 ms, so a full batch costs as long as one sync. Guess.
const BATCH_OPERATIONS_MAX: usize = 256;

/// A queued operation: run on a connection first, answered when the outcome of the whole is known.
pub(super) trait Job: Send {
    /// Runs the operation and keeps its outcome.
    fn run(&mut self, connection: &Connection);
    /// Answers: with the kept outcome if what surrounded it was committed, else with that error.
    fn finish(self: Box<Self>, committed: &Result<(), StoreError>);
}

/// An operation on a connection.
pub(super) type Operation<T> = Box<dyn FnOnce(&Connection) -> Result<T, StoreError> + Send>;

/// The one kind of [`Job`].
pub(super) struct Call<T> {
    operation: Option<Operation<T>>,
    outcome: Option<Result<T, StoreError>>,
    promise: Promise<T>,
}

impl<T> Call<T> {
    pub(super) fn new(operation: Operation<T>, promise: Promise<T>) -> Call<T> {
        Call { operation: Some(operation), outcome: None, promise }
    }
}

impl<T: Send> Job for Call<T> {
    fn run(&mut self, connection: &Connection) {
        let operation = self.operation.take().expect("a job runs once");
        self.outcome = Some(operation(connection));
    }

    fn finish(self: Box<Self>, committed: &Result<(), StoreError>) {
        let answer = match (self.outcome, committed) {
            // What failed by itself says why by itself.
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) => Err(error.clone()),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        self.promise.fulfil(answer);
    }
}

/// Ends when the last sender is gone and the queue is empty, so whatever was accepted is done.
pub(super) fn write_loop(connection: &Connection, queue: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = queue.recv() {
        let mut batch = Vec::with_capacity(8);
        let committed = run_batch(connection, queue, first, &mut batch);
        if !connection.is_autocommit() {
            // The commit failed and left the transaction open. A rollback that fails too leaves it to the next
            // BEGIN, which then answers its whole batch with an error: never a false acknowledgement.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for job in batch {
            job.finish(&committed);
        }
    }
    // Statistics for the query planner; a failure costs nothing.
    let _ = connection.execute_batch("PRAGMA optimize");
}

/// Runs `first` and what is queued behind it in one transaction. All jobs end up in `batch`, whatever happens.
fn run_batch(
    connection: &Connection,
    queue: &Receiver<Box<dyn Job>>,
    first: Box<dyn Job>,
    batch: &mut Vec<Box<dyn Job>>,
) -> Result<(), StoreError> {
    batch.push(first);
    // IMMEDIATE takes the write lock now. A transaction that reads first and writes later could find that another
    // process wrote in between, and would fail instead of waiting.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    loop {
        let job = batch.last_mut().expect("a batch has at least its first job");
        connection.execute_batch("SAVEPOINT operation")?;
        job.run(connection);
        // A full disk or an I/O error makes SQLite roll the whole transaction back by itself.
        if connection.is_autocommit() {
            return Err(StoreError::Backend("the transaction was rolled back".into()));
        }
        connection.execute_batch("RELEASE operation")?;
        if batch.len() == BATCH_OPERATIONS_MAX {
            break;
        }
        match queue.try_recv() {
            Ok(job) => batch.push(job),
            Err(_) => break,
        }
    }
    Ok(connection.execute_batch("COMMIT")?)
}

/// Undoes what `operation` wrote if it fails, and leaves the rest of the batch alone.
pub(super) fn undo_on_error<T>(
    connection: &Connection,
    operation: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let outcome = operation(connection);
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK TO operation")?;
    }
    outcome
}

/// Several readers share one queue; each takes one job at a time and reads from one snapshot.
pub(super) fn read_loop(connection: &Connection, queue: &Mutex<Receiver<Box<dyn Job>>>) {
    loop {
        // The lock is held while waiting: whoever holds it is the next to be given a job.
        let received = queue.lock().expect("no reader panics while it waits").recv();
        let Ok(mut job) = received else { return };
        let began = connection.execute_batch("BEGIN").map_err(StoreError::from);
        if began.is_ok() {
            job.run(connection);
        }
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        job.finish(&began);
    }
}
