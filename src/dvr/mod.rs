//! The DVR window on disk: one thread that keeps finished segments below the data folder, and takes them up at a start.
//!
//! In: segments, init segments and notes of the media threads, in a bounded queue that never makes them wait. Out: an
//! answer for each segment, whether it was kept; files for HTTP to stream; what was listed before the server ended.
//! What is kept and for how long is the packager's to decide (`telstar_hls`); nothing here knows a playlist.
//!
//! - `index`: what is written of a room, and how it is read back;
//! - `folder`: one room's files;
//! - `writer`: the thread.
//!
//! A process that is killed at any byte loses what was not answered yet, nothing else. Files are not synced one by one:
//! after a loss of power the newest may be missing, which the lengths in the index show.

mod folder;
mod index;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use telstar_hls::{Budget, KeptInit, KeptListing, Segment, SegmentId};
use telstar_media::MediaKind;
use telstar_store::RoomId;
use telstar_units::RoomName;

use crate::{files, threads};
use index::segment_file_name;

/// The folder of all rooms, in the data folder.
const FOLDER: &str = "dvr";
/// Bytes of segments that wait for the disk. They are held beyond the memory budget. Higher bridges a longer stall of the
/// disk; a minute of a stream of 8 Mbit/s fits. Beyond it segments are not kept, and the window ends behind them.
const QUEUE_BYTES_MAX: u64 = 64 << 20;
/// Segments and notes that wait. Beyond it segments are not kept, and what a later note says as well is not noted; the
/// other notes are taken, because there are at most a few for each encoder that comes and goes.
const QUEUE_JOBS_MAX: usize = 16_384;

/// How the disk may be used.
#[derive(Clone, Debug)]
pub struct DvrSettings {
    /// The data folder.
    pub data: PathBuf,
    /// Bytes of all rooms together.
    pub bytes_max: u64,
    /// Bytes of the file system that stay free.
    pub free_bytes_min: u64,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct DvrCounters {
    /// Segments that were written.
    pub kept_segments: AtomicU64,
    /// Segments that were not kept: the disk was behind, full or broken.
    pub lost_segments: AtomicU64,
    /// Bytes that were written.
    pub written_bytes: AtomicU64,
}

/// What waits for the disk.
enum Job {
    Begin { room: RoomId, name: RoomName },
    Init { room: RoomId, init: Box<KeptInit> },
    Segment { room: RoomId, kind: MediaKind, segment: Arc<Segment>, listed_from: u64, answer: Answer },
    Next { room: RoomId, msn: u64 },
    Discard { room: RoomId, kind: MediaKind, below: u64 },
    Over { room: RoomId },
    Ended { room: RoomId },
    Remove { room: RoomId },
}

/// Says whether a segment was kept: exactly once, also when nobody gets to it.
pub struct Answer(Option<Box<dyn FnOnce(bool) + Send>>);

impl Answer {
    /// `tell` is called on the thread that knows.
    pub fn new(tell: impl FnOnce(bool) + Send + 'static) -> Answer {
        Answer(Some(Box::new(tell)))
    }

    fn give(mut self, is_kept: bool) {
        if let Some(tell) = self.0.take() {
            tell(is_kept);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(false);
        }
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: u64,
    stop: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    counters: Arc<DvrCounters>,
    folder: PathBuf,
    free_bytes_min: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the disk.
pub struct Dvr {
    shared: Arc<Shared>,
    budget: Budget,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Streams that end now end with the server, not for good.
    is_closing: AtomicBool,
}

/// A room's listing as an earlier run had kept it.
#[derive(Debug)]
pub struct KeptRoom {
    /// Whose, by its number in the store.
    pub room: RoomId,
    /// What it was called.
    pub name: String,
    /// What it listed.
    pub listing: KeptListing,
}

impl Dvr {
    /// Reads what earlier runs had kept and starts the thread. Touches the disk.
    pub fn start(settings: &DvrSettings) -> io::Result<(Dvr, Vec<KeptRoom>)> {
        let folder = settings.data.join(FOLDER);
        files::create_private_folder(&folder)?;
        let (rooms, kept) = writer::recover(&folder)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            counters: Arc::default(),
            folder,
            free_bytes_min: settings.free_bytes_min,
        });
        let writer = writer::Writer::new(Arc::clone(&shared), rooms);
        let thread = std::thread::Builder::new().name("dvr".to_owned()).spawn(move || writer.run())?;
        let (thread, is_closing) = (Mutex::new(Some(thread)), AtomicBool::new(false));
        Ok((Dvr { shared, budget: Budget::new(settings.bytes_max), thread, is_closing }, kept))
    }

    /// Deletes what an earlier run had kept: the server has no DVR window now.
    pub fn clear(data: &Path) -> io::Result<()> {
        match std::fs::remove_dir_all(data.join(FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What all rooms may keep together.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What was counted.
    pub fn counters(&self) -> &Arc<DvrCounters> {
        &self.shared.counters
    }

    /// A room begins to list: nothing of it that was kept before is needed.
    pub fn begin(&self, room: RoomId, name: RoomName) {
        self.note(Job::Begin { room, name });
    }

    /// Keeps an init segment, before the segments that need it.
    pub fn keep_init(&self, room: RoomId, init: KeptInit) {
        self.note(Job::Init { room, init: Box::new(init) });
    }

    /// Keeps a segment, or answers at once that it does not.
    pub fn keep(&self, room: RoomId, kind: MediaKind, segment: Arc<Segment>, listed_from: u64, answer: Answer) {
        let len = segment.len();
        let mut queue = self.shared.lock();
        let is_full = queue.bytes + len > QUEUE_BYTES_MAX || queue.jobs.len() >= QUEUE_JOBS_MAX;
        if is_full || queue.stop {
            drop(queue);
            self.shared.counters.lost_segments.fetch_add(1, Ordering::Relaxed);
            return answer.give(false);
        }
        queue.bytes += len;
        queue.jobs.push_back(Job::Segment { room, kind, segment, listed_from, answer });
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Players may have seen every number below this.
    pub fn note_next(&self, room: RoomId, msn: u64) {
        self.note(Job::Next { room, msn });
    }

    /// Segments of a rendition below a number are not needed any more.
    pub fn discard(&self, room: RoomId, kind: MediaKind, below: u64) {
        self.note(Job::Discard { room, kind, below });
    }

    /// What was kept until here is not to be listed again.
    pub fn listing_over(&self, room: RoomId) {
        self.note(Job::Over { room });
    }

    /// The stream has ended. One that ends with the server is as if it had been interrupted: the next run lists it on.
    pub fn ended(&self, room: RoomId) {
        if !self.is_closing.load(Ordering::Acquire) {
            self.note(Job::Ended { room });
        }
    }

    /// Nothing of this room is needed any more.
    pub fn remove(&self, room: RoomId) {
        self.note(Job::Remove { room });
    }

    /// From now on streams end with the server.
    pub fn begin_shutdown(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Writes what waits and ends the thread. Waits for it at most `deadline`.
    pub fn shutdown(&self, deadline: Duration) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| !threads::join(thread, deadline)) {
            tracing::warn!("the disk did not take everything in time");
        }
    }

    /// The file of a segment that was kept.
    pub fn path(&self, room: RoomId, id: SegmentId) -> PathBuf {
        let name = segment_file_name(id.kind.into(), id.epoch.0, id.msn);
        folder::path(&self.shared.folder, room).join(name)
    }

    fn note(&self, job: Job) {
        let mut queue = self.shared.lock();
        let is_said_again = matches!(job, Job::Next { .. } | Job::Discard { .. });
        // After the end there is nobody to read it; what it would have said, the next start finds out.
        if !queue.stop && (queue.jobs.len() < QUEUE_JOBS_MAX || !is_said_again) {
            queue.jobs.push_back(job);
        }
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl std::fmt::Debug for Dvr {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dvr").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
