//! Runs what rooms want converted: one conversion for each track and target, and none that nobody wants.
//!
//! In: the list of wants of each room, as it changes, and how each conversion is. Out: conversions that begin and end, and
//! what the room's owner is shown of them. The media threads know what is needed, `src/workers` how to convert; this file
//! joins them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use telstar_signaling::wire;
use telstar_units::TrackId;
use tokio::sync::watch;

use crate::rooms::{Latest, RoomEntry, Rooms, Wanted};
use crate::shards::{RoomKey, Shards, Want};
use crate::tasks::Tasks;
use crate::workers::{ConversionGuard, ConversionJob, ConversionState, ConversionStatus, Workers};

/// How often rooms are told how their conversions are, and how soon one that could not begin is tried again.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Follows the rooms until the server stops.
pub fn start(rooms: &Rooms, shards: Arc<Shards>, workers: Workers, tasks: &Tasks) {
    let conversions = Conversions { rooms: rooms.clone(), shards, workers, of_rooms: BTreeMap::new() };
    let (wanted, stop) = (rooms.wanted(), tasks.child_token());
    tasks.spawn("conversions", async move {
        // Cancel-safe: the task is not needed any more.
        tokio::select! {
            () = conversions.run(wanted) => {}
            () = stop.cancelled() => {}
        }
    });
}

struct Conversions {
    rooms: Rooms,
    shards: Arc<Shards>,
    workers: Workers,
    /// Bounded by what each media thread lets its rooms want.
    of_rooms: BTreeMap<RoomKey, OfRoom>,
}

/// The conversions of one room.
struct OfRoom {
    entry: Arc<RoomEntry>,
    all: BTreeMap<TrackId, Conversion>,
}

struct Conversion {
    want: Want,
    /// `None`: it could not begin, and is tried again.
    running: Option<(ConversionGuard, watch::Receiver<ConversionStatus>)>,
}

impl Conversions {
    async fn run(mut self, mut wanted: Latest<Wanted>) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Cancel-safe: both are.
            tokio::select! {
                wanted = wanted.recv() => self.follow(wanted),
                _ = look.tick() => self.look(),
            }
        }
    }

    fn follow(&mut self, wanted: Wanted) {
        let Wanted { entry, wants } = wanted;
        let key = entry.key();
        let room = self.of_rooms.entry(key).or_insert_with(|| OfRoom { entry, all: BTreeMap::new() });
        // What is dropped here ends.
        room.all.retain(|_, conversion| wants.contains(&conversion.want));
        for want in wants {
            room.all.entry(want.as_track).or_insert_with(|| Conversion { want, running: None });
        }
        self.look_at(key);
    }

    fn look(&mut self) {
        let keys: Vec<RoomKey> = self.of_rooms.keys().copied().collect();
        keys.into_iter().for_each(|key| self.look_at(key));
    }

    /// Begins what does not run, and tells how it is.
    fn look_at(&mut self, key: RoomKey) {
        let Some(room) = self.of_rooms.get_mut(&key) else { return };
        for conversion in room.all.values_mut() {
            let has_ended = |(_, status): &mut (ConversionGuard, watch::Receiver<ConversionStatus>)| {
                status.borrow_and_update().state == ConversionState::Ended
            };
            if conversion.running.as_mut().is_none_or(has_ended) {
                conversion.running = begin(&self.shards, &self.workers, &room.entry, &conversion.want);
            }
        }
        self.rooms.conversions_changed(&room.entry, room.all.values().map(Conversion::to_wire).collect());
        if room.all.is_empty() {
            self.of_rooms.remove(&key);
        }
    }
}

fn begin(
    shards: &Shards,
    workers: &Workers,
    entry: &RoomEntry,
    want: &Want,
) -> Option<(ConversionGuard, watch::Receiver<ConversionStatus>)> {
    let (frames, converted) = shards.convert(entry.key(), want)?;
    let Want { track, to, as_track } = want.clone();
    let room = entry.facts().name.clone();
    let guard = workers.convert(ConversionJob { room, track, to, as_track, frames, converted });
    let status = guard.status();
    Some((guard, status))
}

impl Conversion {
    fn to_wire(&self) -> wire::Conversion {
        let status = self.running.as_ref().map(|(_, status)| status.borrow().clone()).unwrap_or_default();
        wire::Conversion {
            from: self.want.track.codec.name().to_owned(),
            to: self.want.to.codec().name().to_owned(),
            state: state_of(status.state),
            cpu_percent: rounded(status.cpu_percent),
            error: status.error,
        }
    }
}

/// A conversion's state, as pages are told.
pub(crate) fn state_of(state: ConversionState) -> wire::ConversionState {
    match state {
        ConversionState::Starting => wire::ConversionState::Starting,
        ConversionState::Running => wire::ConversionState::Running,
        ConversionState::Waiting | ConversionState::Ended => wire::ConversionState::Waiting,
    }
}

/// To a tenth of a percent.
pub(crate) fn rounded(percent: f32) -> f64 {
    (f64::from(percent) * 10.0).round() / 10.0
}
