//! The thread that writes: one job after the other, for all rooms.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use telstar_hls::Segment;
use telstar_media::MediaKind;
use telstar_store::RoomId;
use tracing::{info, warn};

use super::folder::{self, Folder};
use super::index::Record;
use super::{Job, KeptRoom, Shared};

/// Reads every room's folder; what is of no use is deleted.
pub(super) fn recover(folder: &Path) -> io::Result<(BTreeMap<RoomId, Folder>, Vec<KeptRoom>)> {
    let (mut rooms, mut kept) = (BTreeMap::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let recovered = match number {
            Some(number) => Folder::recover(path.clone()).map(|found| found.map(|found| (RoomId(number), found))),
            None => Ok(None),
        };
        match recovered {
            Ok(Some((room, (files, name, listing)))) => {
                info!(room = name, segments = listing.segments.len(), "the DVR window of an earlier run is there");
                rooms.insert(room, files);
                kept.push(KeptRoom { room, name, listing });
            }
            Ok(None) => drop_quietly(&path),
            Err(error) => {
                warn!(%error, path = %path.display(), "a DVR window cannot be read and is deleted");
                drop_quietly(&path);
            }
        }
    }
    Ok((rooms, kept))
}

fn drop_quietly(path: &Path) {
    if let Err(error) = folder::remove(path) {
        warn!(%error, path = %path.display(), "a folder of the DVR window cannot be deleted");
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    rooms: BTreeMap<RoomId, Folder>,
    /// The last write failed: said once, not for each segment.
    is_failing: bool,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, rooms: BTreeMap<RoomId, Folder>) -> Writer {
        Writer { shared, rooms, is_failing: false }
    }

    /// Until the end, and then what still waits.
    pub fn run(mut self) {
        while let Some(job) = self.next() {
            self.handle(job);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.shared.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.stop {
                return None;
            }
            queue = self.shared.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn handle(&mut self, job: Job) {
        match job {
            Job::Begin { room, name } => {
                self.rooms.remove(&room);
                match Folder::create(folder::path(&self.shared.folder, room), name.as_str()) {
                    Ok(files) => {
                        self.rooms.insert(room, files);
                    }
                    Err(error) => self.note_failure(&error),
                }
            }
            Job::Init { room, init } => self.with(room, |files| files.keep_init(*init)),
            Job::Segment { room, kind, segment, listed_from, answer } => {
                let outcome = self.keep(room, kind, &segment, listed_from);
                self.shared.lock().bytes -= segment.len();
                drop(segment);
                let counters = &self.shared.counters;
                match &outcome {
                    Ok(bytes) => {
                        counters.kept_segments.fetch_add(1, Ordering::Relaxed);
                        counters.written_bytes.fetch_add(*bytes, Ordering::Relaxed);
                        self.is_failing = false;
                    }
                    Err(error) => {
                        counters.lost_segments.fetch_add(1, Ordering::Relaxed);
                        self.note_failure(error);
                    }
                }
                answer.give(outcome.is_ok());
            }
            Job::Next { room, msn } => self.with(room, |files| files.append(&Record::Next { msn })),
            Job::Discard { room, kind, below } => self.with(room, |files| files.discard(kind, below)),
            Job::Over { room } => self.with(room, |files| files.append(&Record::Over)),
            Job::Ended { room } => self.with(room, |files| files.append(&Record::Ended)),
            Job::Remove { room } => {
                self.rooms.remove(&room);
                drop_quietly(&folder::path(&self.shared.folder, room));
            }
        }
    }

    fn keep(&mut self, room: RoomId, kind: MediaKind, segment: &Segment, listed_from: u64) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(&self.shared.folder)?;
        if facts.f_bavail.saturating_mul(facts.f_frsize) < self.shared.free_bytes_min.saturating_add(segment.len()) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let files = self.rooms.get_mut(&room).ok_or(io::ErrorKind::NotFound)?;
        files.keep(kind, segment, listed_from)?;
        Ok(segment.len())
    }

    fn with(&mut self, room: RoomId, act: impl FnOnce(&mut Folder) -> io::Result<()>) {
        if let Some(Err(error)) = self.rooms.get_mut(&room).map(act) {
            self.note_failure(&error);
        }
    }

    fn note_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(%error, "the disk does not keep the DVR window, which ends behind what is missing");
        }
    }
}
