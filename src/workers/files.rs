//! Work on files: one worker for each task, which gets its files as descriptors and says what it made of them.
//!
//! In: a task and its files. Out: news, and how it ended. The worker is started for it, watched, and killed when it is silent, takes too
//! long or is not wanted any more. Who wants it and what becomes of it is `vod`'s to know.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use telstar_transcode::file::{FileNews, FileTask};
use telstar_transcode::{FromWorker, ToWorker};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::process::{Process, StartError, executable};
use crate::config;
use crate::tasks::Tasks;

/// A worker says how far it is once a second; one that has said nothing for so long hangs. Higher lets a hung one hold its place for
/// longer; lower kills one on a machine that stands still.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What a worker may write and how much it may compute that is only to say that it is there.
const CHECK_BYTES: u64 = 1024 * 1024;
const CHECK_LASTS: Duration = Duration::from_secs(60);

/// How a task ended without being done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The file is not what it should be: no attempt will do better.
    #[error("{0}")]
    Source(String),
    /// No worker could be started: none can until somebody mends it, or the machine has room again.
    #[error("{0}")]
    Refused(String),
    /// The worker died, hung, or said that it went wrong: another attempt may do better.
    #[error("{0}")]
    Failed(String),
    /// It was not wanted any more.
    #[error("it was cancelled")]
    Cancelled,
}

impl From<StartError> for FileError {
    /// Whatever keeps a worker from getting ready is no fault of a file that it has not seen.
    fn from(error: StartError) -> FileError {
        FileError::Refused(error.to_string())
    }
}

/// Starts workers for files. Cheap to clone.
#[derive(Clone)]
pub struct FileWorkers {
    executable: PathBuf,
    memory_max_mib: u32,
    must_be_confined: bool,
    tasks: Tasks,
}

/// A task for a worker.
pub struct FileWork {
    /// What it is to do.
    pub task: FileTask,
    /// The source and the outputs, in their order.
    pub files: Vec<OwnedFd>,
    /// Bytes that all outputs may have.
    pub output_bytes_max: u64,
    /// How long it may take in all.
    pub lasts_at_most: Duration,
    /// Ends it.
    pub cancelled: CancellationToken,
}

impl FileWorkers {
    /// As configured.
    pub fn new(config: &config::Transcode, memory_max_mib: u32, tasks: Tasks) -> FileWorkers {
        FileWorkers {
            executable: executable(&config.worker),
            memory_max_mib,
            must_be_confined: config.sandbox == config::Sandbox::On,
            tasks,
        }
    }

    /// Whether a worker can be started. One is, and ends at once.
    pub async fn check(&self) -> Result<(), FileError> {
        let (memory_mib, is_confined) = (self.memory_max_mib, self.must_be_confined);
        Process::start_for_files(&self.executable, memory_mib, CHECK_BYTES, CHECK_LASTS, is_confined, &self.tasks)
            .await?;
        Ok(())
    }

    /// Does the task; each piece of news is sent to `news` in its order. It waits while nobody takes them.
    pub async fn run(&self, work: FileWork, news: mpsc::Sender<FileNews>) -> Result<(), FileError> {
        let FileWork { task, files, output_bytes_max, lasts_at_most, cancelled } = work;
        let ends_at = Instant::now() + lasts_at_most;
        // The clock alone would let a hostile file keep all cores busy beside a server that has no time to look at it.
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let started = Process::start_for_files(
            &self.executable,
            self.memory_max_mib,
            output_bytes_max,
            lasts_at_most.saturating_mul(cores),
            self.must_be_confined,
            &self.tasks,
        );
        let mut process = tokio::select! {
            started = started => started?,
            () = cancelled.cancelled() => return Err(FileError::Cancelled),
        };
        debug!(pid = process.pid(), "a worker takes a file");
        let message = ToWorker::File(Box::new(task));
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let sent = process.line.outgoing.send_with_files(&message, &borrowed).await;
        sent.map_err(|error| FileError::Failed(format!("the worker could not be told what to do: {error}")))?;
        // It has its own.
        drop(files);
        loop {
            while let Some(message) =
                process.line.incoming.message().map_err(|error| FileError::Failed(error.to_string()))?
            {
                match message {
                    FromWorker::File(FileNews::Done) => return Ok(()),
                    FromWorker::File(FileNews::Failed { is_permanent: true, text }) => {
                        return Err(FileError::Source(text));
                    }
                    FromWorker::File(FileNews::Failed { is_permanent: false, text }) => {
                        return Err(FileError::Failed(text));
                    }
                    FromWorker::File(told) => {
                        if news.send(told).await.is_err() {
                            return Err(FileError::Cancelled);
                        }
                    }
                    // A worker for files has nothing else to say.
                    _ => return Err(FileError::Failed("the worker talks of something else".to_owned())),
                }
            }
            let silent_at = Instant::now() + SILENCE_MAX;
            // Cancel-safe: what was read is kept, and each of the others ends the task.
            let read = tokio::select! {
                read = process.line.incoming.read() => read,
                () = cancelled.cancelled() => return Err(FileError::Cancelled),
                () = tokio::time::sleep_until(silent_at.min(ends_at).into()) => {
                    let why = if ends_at <= silent_at { "it took longer than it may" } else { "the worker hung" };
                    return Err(FileError::Failed(why.to_owned()));
                }
            };
            match read {
                Ok(true) => {}
                Ok(false) => return Err(FileError::Failed(process.end().await.to_owned())),
                Err(error) => return Err(FileError::Failed(error.to_string())),
            }
        }
    }
}
