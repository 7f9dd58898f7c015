//! Who tells the calls which ingests there are: those that come as frames must be fed to the SFU by somebody.
//!
//! In: what the rooms' task sees of its rooms. Out: the latest for each room, in the order in which it changed. A reader
//! that is late sees the newest only, so nothing waits for it and nothing is lost that still counts.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telstar_units::ParticipantId;
use tokio::sync::Notify;

use super::RoomEntry;
use crate::shards::RoomKey;

/// An ingest that comes as frames, or its end.
#[derive(Clone, Debug)]
pub struct IngestNews {
    /// Where.
    pub entry: Arc<RoomEntry>,
    /// What is there now; `None` after the stream has ended. Another participant than before is another stream.
    pub present: Option<FedIngest>,
}

/// An ingest whose frames can be fed to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FedIngest {
    /// Who it is in the room: the first encoder of the stream, even after others have come back in its place.
    pub participant: ParticipantId,
    /// What it is called in the call.
    pub name: String,
    /// It has a picture.
    pub video: bool,
    /// It has a sound.
    pub audio: bool,
}

/// The latest news of each room that were not taken. Bounded by the rooms in which somebody publishes or just did.
#[derive(Default)]
pub(super) struct NewsBoard {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    latest: HashMap<RoomKey, IngestNews>,
    order: VecDeque<RoomKey>,
}

impl NewsBoard {
    pub(super) fn put(&self, news: IngestNews) {
        let mut waiting = self.waiting();
        let key = news.entry.key();
        if waiting.latest.insert(key, news).is_none() {
            waiting.order.push_back(key);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<IngestNews> {
        let mut waiting = self.waiting();
        let key = waiting.order.pop_front()?;
        waiting.latest.remove(&key)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The news of ingests. There is one reader: what it takes nobody else gets.
pub struct Ingests {
    pub(super) board: Arc<NewsBoard>,
}

impl Ingests {
    /// The next news. Cancel-safe: nothing is taken before it completes.
    pub async fn recv(&mut self) -> IngestNews {
        loop {
            // Made before looking, so that what comes in between wakes it.
            let changed = self.board.changed.notified();
            if let Some(news) = self.board.take() {
                return news;
            }
            changed.await;
        }
    }
}

impl fmt::Debug for Ingests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ingests").finish_non_exhaustive()
    }
}
