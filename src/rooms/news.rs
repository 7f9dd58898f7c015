//! What the rooms' task tells of its rooms to tasks that follow them: which ingests a call can be fed, which conversions are
//! wanted.
//!
//! In: what the rooms' task sees. Out: the latest for each room, in the order in which it changed. A reader that is late sees
//! the newest only, so nothing waits for it, and nothing is lost that still counts.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telstar_units::ParticipantId;
use tokio::sync::Notify;

use super::RoomEntry;
use crate::shards::{RoomKey, Want};

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

/// The conversions that a room wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which room.
    pub entry: Arc<RoomEntry>,
    /// All of them.
    pub wants: Vec<Want>,
}

/// The latest of each room that was not taken. Bounded by the rooms in which somebody publishes or just did.
pub(super) struct Board<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Notify,
}

struct Waiting<T> {
    latest: HashMap<RoomKey, T>,
    order: VecDeque<RoomKey>,
}

impl<T> Default for Board<T> {
    fn default() -> Board<T> {
        let waiting = Waiting { latest: HashMap::new(), order: VecDeque::new() };
        Board { waiting: Mutex::new(waiting), changed: Notify::new() }
    }
}

impl<T> Board<T> {
    pub(super) fn put(&self, room: RoomKey, news: T) {
        let mut waiting = self.waiting();
        if waiting.latest.insert(room, news).is_none() {
            waiting.order.push_back(room);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<T> {
        let mut waiting = self.waiting();
        let room = waiting.order.pop_front()?;
        waiting.latest.remove(&room)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reader of a board. There is one: what it takes nobody else gets.
pub struct Latest<T> {
    pub(super) board: Arc<Board<T>>,
}

/// The news of ingests.
pub type Ingests = Latest<IngestNews>;

impl<T> Latest<T> {
    /// The next news. Cancel-safe: nothing is taken before it completes.
    pub async fn recv(&mut self) -> T {
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

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Latest").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_late_reader_sees_the_newest_of_each_room_in_the_order_in_which_they_changed() {
        let board = Arc::new(Board::default());
        for (room, news) in [(2, "begins"), (1, "begins"), (2, "ends"), (1, "has sound")] {
            board.put(RoomKey(room), (room, news));
        }
        let mut latest = Latest { board: Arc::clone(&board) };
        assert_eq!([latest.recv().await, latest.recv().await], [(2, "ends"), (1, "has sound")]);
        board.put(RoomKey(2), (2, "begins"));
        assert_eq!(latest.recv().await, (2, "begins"));
    }
}
