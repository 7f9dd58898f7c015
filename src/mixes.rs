//! The main picture of calls without an ingest: one mix for each room, only while somebody wants to watch.
//!
//! In: who asks for a room, what there is to see and to hear of its call. Out: an ingest of the room, which a worker makes, and
//! what the room's owner is shown of it. `src/workers` mixes, the rooms decide whether there may be one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use telstar_signaling::call::Stage;
use telstar_signaling::wire;
use telstar_signaling::wire::call::Mode;
use telstar_units::TrackId;
use tokio::sync::watch;

use crate::calls::Calls;
use crate::conversions::{rounded, state_of};
use crate::rooms::{IngestHandle, IngestRequest, IngestVia, RoomEntry, Rooms};
use crate::shards::{HLS_DEMAND, RoomKey, Shards};
use crate::tasks::Tasks;
use crate::workers::{ConversionGuard, ConversionState, MixJob, Workers};

/// What pages are told of how the picture comes in.
const PROTOCOL: &str = "mix";
/// Bits that number the tracks of one participant, as encoders number theirs.
const NUMBER_BITS: u32 = 20;

/// The mixes of this node. Cheap to clone.
#[derive(Clone)]
pub struct Mixes {
    inner: Arc<Inner>,
}

struct Inner {
    rooms: Rooms,
    calls: Calls,
    shards: Arc<Shards>,
    workers: Workers,
    tasks: Tasks,
    /// The rooms that are mixed. Bounded by the rooms with a call.
    running: Mutex<HashMap<RoomKey, Known>>,
}

/// What others know of a mix.
struct Known {
    /// Until when the latest request counts.
    until: watch::Sender<Instant>,
    worker_pid: Option<u32>,
}

impl Mixes {
    /// None yet.
    pub fn new(rooms: &Rooms, calls: &Calls, shards: Arc<Shards>, workers: Workers, tasks: Tasks) -> Mixes {
        let (rooms, calls, running) = (rooms.clone(), calls.clone(), Mutex::default());
        Mixes { inner: Arc::new(Inner { rooms, calls, shards, workers, tasks, running }) }
    }

    /// Somebody who may watch the room wants to, which counts for [`HLS_DEMAND`]. Returns whether its call is mixed, from now on
    /// or already; not while it has an ingest, and not without a call.
    pub fn demand(&self, entry: &Arc<RoomEntry>) -> bool {
        let until = Instant::now() + HLS_DEMAND;
        let mut running = self.inner.running();
        if let Some(known) = running.get(&entry.key()) {
            known.until.send_replace(until);
            return true;
        }
        // An encoder's, or one that may come back.
        if entry.is_live() || entry.mode() != Mode::Sfu {
            return false;
        }
        let Some(stage) = self.inner.calls.stage(entry) else { return false };
        if !may_be_mixed(&stage.borrow()) {
            return false;
        }
        let (sender, demand) = watch::channel(until);
        running.insert(entry.key(), Known { until: sender, worker_pid: None });
        let (inner, entry) = (Arc::clone(&self.inner), Arc::clone(entry));
        let stopping = self.inner.tasks.stopping();
        self.inner.tasks.spawn("mixed room", async move {
            let running = Running { inner: Arc::clone(&inner), key: entry.key() };
            // Dropped at any place, its ingest and its worker end.
            tokio::select! {
                () = stopping => {}
                () = inner.mix(&entry, stage, demand) => {}
            }
            inner.rooms.mix_changed(&entry, None);
            drop(running);
        });
        true
    }

    /// The process that mixes the room's call now.
    pub fn worker_pid(&self, entry: &RoomEntry) -> Option<u32> {
        self.inner.running().get(&entry.key())?.worker_pid
    }
}

/// Somebody is there, and no ingest.
fn may_be_mixed(stage: &Stage) -> bool {
    stage.participants > 0 && !stage.has_ingest
}

/// A room that is mixed as long as this exists.
struct Running {
    inner: Arc<Inner>,
    key: RoomKey,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.running().remove(&self.key);
    }
}

impl Inner {
    async fn mix(
        &self,
        entry: &Arc<RoomEntry>,
        mut stage: watch::Receiver<Stage>,
        mut demand: watch::Receiver<Instant>,
    ) {
        let room = entry.facts().name.clone();
        let request = IngestRequest { room, key: None, protocol: PROTOCOL, encoder: None, via: IngestVia::Mix };
        let handle = match self.rooms.open_ingest(request).await {
            Ok(handle) => handle,
            Err(error) => return tracing::debug!(%error, "a call is not mixed"),
        };
        self.calls.mix_begun(entry).await;
        let guard = self.begin(entry, &handle, stage.clone());
        let mut status = guard.status();
        loop {
            let until = *demand.borrow_and_update();
            let is_watched = stage.borrow_and_update().viewers > 0;
            // Cancel-safe: a cancellation, watches and a sleep.
            tokio::select! {
                // An encoder comes, the room goes, a moderator ends it.
                _ = handle.kicked() => return,
                changed = stage.changed() => {
                    if changed.is_err() || !may_be_mixed(&stage.borrow()) {
                        return;
                    }
                }
                changed = demand.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(until.into()), if !is_watched => return,
                changed = status.changed() => {
                    let status = status.borrow_and_update().clone();
                    if changed.is_err() || status.state == ConversionState::Ended {
                        return;
                    }
                    if let Some(known) = self.running().get_mut(&entry.key()) {
                        known.worker_pid = status.worker_pid;
                    }
                    let mix = wire::Conversion {
                        from: "call".to_owned(),
                        to: "H.264, AAC".to_owned(),
                        state: state_of(status.state),
                        cpu_percent: rounded(status.cpu_percent),
                        error: status.error,
                    };
                    self.rooms.mix_changed(entry, Some(mix));
                }
            }
        }
    }

    fn begin(&self, entry: &RoomEntry, handle: &IngestHandle, stage: watch::Receiver<Stage>) -> ConversionGuard {
        let track = |number| TrackId(handle.participant().0 << NUMBER_BITS | number);
        self.workers.mix(MixJob {
            room: entry.facts().name.clone(),
            key: entry.key(),
            shards: Arc::clone(&self.shards),
            stage,
            video: track(0),
            audio: track(1),
            mixed: handle.ring(),
        })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<RoomKey, Known>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
