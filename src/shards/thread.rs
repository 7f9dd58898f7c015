//! One media thread: its loop, its clock, its wake-up.
//!
//! The loop stamps `now` once per turn. It waits on a `mio::Poll`, on which UDP sockets will stand beside the waker.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use telstar_hls::{KeptListing, SegmentId};
use telstar_units::ParticipantId;

use super::room::{HlsSettings, RoomNumbers, ShardRoom};
use super::{IngestRing, RoomKey, RoomOutput, ShardCounters, ViewerRing};

/// Commands that wait for one shard when another encoder or viewer is told no. They are as rare as those that connect.
const COMMANDS_MAX: usize = 1_024;
/// Batches of one room per turn, so that a flooding encoder cannot starve the other rooms of its shard.
const BATCHES_PER_TURN_MAX: usize = 64;
/// The longest sleep: bounds how late a status can be.
const SLEEP_MAX: Duration = Duration::from_millis(500);
const WAKE: Token = Token(0);

/// What a shard is told to do.
#[derive(Debug)]
pub(super) enum Command {
    Attach {
        room: RoomKey,
        participant: ParticipantId,
        ring: Arc<IngestRing>,
        output: RoomOutput,
    },
    Watch {
        room: RoomKey,
        ring: Arc<ViewerRing>,
        output: RoomOutput,
    },
    Restore {
        room: RoomKey,
        output: RoomOutput,
        listing: Box<KeptListing>,
    },
    Restart {
        room: RoomKey,
    },
    Finish {
        room: RoomKey,
    },
    Forget {
        room: RoomKey,
    },
    /// A segment was kept, or will not be.
    Kept {
        room: RoomKey,
        id: SegmentId,
        is_kept: bool,
    },
}

/// The way back to a shard for whoever keeps a room's segments.
#[derive(Clone, Debug)]
pub(super) struct KeptSink {
    commands: Arc<Commands>,
    waker: Arc<ShardWaker>,
    room: RoomKey,
}

impl KeptSink {
    pub(super) fn tell(&self, id: SegmentId, is_kept: bool) {
        self.commands.push(Command::Kept { room: self.room, id, is_kept });
        self.waker.wake();
    }
}

/// Wakes a shard; several calls before it runs cost one system call.
#[derive(Debug)]
pub(super) struct ShardWaker {
    waker: Waker,
    rung: AtomicBool,
}

impl ShardWaker {
    /// One that nobody listens to.
    #[cfg(test)]
    pub(super) fn for_tests() -> Arc<ShardWaker> {
        let poll = Poll::new().expect("the system has polls");
        let waker = Waker::new(poll.registry(), WAKE).expect("a poll takes a waker");
        Arc::new(ShardWaker { waker, rung: AtomicBool::new(false) })
    }

    pub(super) fn wake(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            // The thread still wakes after SLEEP_MAX; only eventfd exhaustion of the kernel leads here.
            tracing::warn!(%error, "a media thread could not be woken");
        }
    }
}

/// What waits for a shard, in order.
#[derive(Debug, Default)]
struct Commands(Mutex<VecDeque<Command>>);

impl Commands {
    /// False: too many wait. Only who comes is refused. The others must not be lost, and are bounded: at most three end
    /// what an attach began, one lists each room at the start, and one answers each segment that was handed to the disk.
    fn push(&self, command: Command) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.len() < COMMANDS_MAX || !matches!(command, Command::Attach { .. } | Command::Watch { .. });
        if taken {
            waiting.push_back(command);
        }
        taken
    }

    fn take(&self) -> Option<Command> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The way to a running shard.
#[derive(Debug)]
pub(super) struct ShardHandle {
    commands: Arc<Commands>,
    waker: Arc<ShardWaker>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ShardHandle {
    pub(super) fn start(index: usize, settings: HlsSettings, counters: Arc<ShardCounters>) -> io::Result<ShardHandle> {
        let shard = Shard::new(settings, counters)?;
        let (waker, stop) = (Arc::clone(&shard.waker), Arc::clone(&shard.stop));
        let commands = Arc::clone(&shard.commands);
        let thread = std::thread::Builder::new().name(format!("media-{index}")).spawn(move || shard.run())?;
        Ok(ShardHandle { commands, waker, stop, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn waker(&self) -> Arc<ShardWaker> {
        Arc::clone(&self.waker)
    }

    /// False: the queue is full or the thread is gone.
    pub(super) fn command(&self, command: Command) -> bool {
        let sent = self.is_running() && self.commands.push(command);
        self.waker.wake();
        sent
    }

    pub(super) fn is_running(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn join(&self, deadline: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let start = Instant::now();
        while !thread.is_finished() {
            if start.elapsed() >= deadline {
                tracing::warn!("a media thread did not end in time");
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // A panic was counted where it was caught; one outside is already on stderr.
        let _ = thread.join();
    }
}

struct Shard {
    poll: Poll,
    waker: Arc<ShardWaker>,
    stop: Arc<AtomicBool>,
    commands: Arc<Commands>,
    rooms: BTreeMap<RoomKey, ShardRoom>,
    /// Of rooms that were let go: three numbers for each that has published and was not deleted.
    numbers: BTreeMap<RoomKey, RoomNumbers>,
    settings: HlsSettings,
    counters: Arc<ShardCounters>,
}

impl Shard {
    fn new(settings: HlsSettings, counters: Arc<ShardCounters>) -> io::Result<Shard> {
        let poll = Poll::new()?;
        let waker = Arc::new(ShardWaker { waker: Waker::new(poll.registry(), WAKE)?, rung: AtomicBool::new(false) });
        Ok(Shard {
            poll,
            waker,
            stop: Arc::default(),
            commands: Arc::default(),
            rooms: BTreeMap::new(),
            numbers: BTreeMap::new(),
            settings,
            counters,
        })
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut busy = false;
        loop {
            let timeout = if busy { Duration::ZERO } else { self.sleep(Instant::now()) };
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => tracing::error!(%error, "a media thread cannot wait for events"),
            }
            self.waker.rung.store(false, Ordering::Release);
            let now = Instant::now();
            self.take_commands(now);
            busy = self.turn(now);
            if self.stop.load(Ordering::Acquire) {
                self.finish_all(now);
                return;
            }
        }
    }

    fn sleep(&self, now: Instant) -> Duration {
        let next = self.rooms.values().filter_map(ShardRoom::poll_timeout).min();
        next.map_or(SLEEP_MAX, |next| next.saturating_duration_since(now).min(SLEEP_MAX))
    }

    fn take_commands(&mut self, now: Instant) {
        while let Some(command) = self.commands.take() {
            match command {
                Command::Attach { room, participant, ring, output } => {
                    self.attach(now, room, participant, ring, output)
                }
                Command::Watch { room, ring, output } => self.watch(room, ring, output),
                Command::Restore { room, output, listing } => self.restore(now, room, output, *listing),
                Command::Kept { room, id, is_kept } => self.in_cell(room, |room| room.handle_kept(now, id, is_kept)),
                Command::Restart { room } => self.in_cell(room, |room| room.restart(now)),
                Command::Finish { room } => self.in_cell(room, |room| room.finish(now)),
                Command::Forget { room } => {
                    self.numbers.remove(&room);
                    if let Some(room) = self.rooms.remove(&room) {
                        self.release(room);
                    }
                }
            }
        }
    }

    fn attach(
        &mut self,
        now: Instant,
        key: RoomKey,
        participant: ParticipantId,
        ring: Arc<IngestRing>,
        output: RoomOutput,
    ) {
        self.make_room(key, output);
        let attached = Arc::clone(&ring);
        self.in_cell(key, |room| room.attach(now, participant, attached));
        if !self.rooms.contains_key(&key) {
            // The room broke before it knew the ring.
            ring.detach();
        }
    }

    /// A viewer may come before anybody publishes.
    fn watch(&mut self, key: RoomKey, ring: Arc<ViewerRing>, output: RoomOutput) {
        self.make_room(key, output);
        let watching = Arc::clone(&ring);
        self.in_cell(key, |room| room.watch(watching));
        if !self.rooms.contains_key(&key) {
            // The room broke before it knew the ring.
            ring.close();
        }
    }

    fn restore(&mut self, now: Instant, key: RoomKey, output: RoomOutput, listing: KeptListing) {
        self.make_room(key, output);
        self.in_cell(key, |room| room.restore(now, listing));
    }

    fn make_room(&mut self, key: RoomKey, output: RoomOutput) {
        let numbers = self.numbers.remove(&key);
        let sink = KeptSink { commands: Arc::clone(&self.commands), waker: Arc::clone(&self.waker), room: key };
        let (settings, counters) = (self.settings.clone(), Arc::clone(&self.counters));
        let make = || ShardRoom::new(settings, output, counters, numbers.unwrap_or_default(), sink);
        self.rooms.entry(key).or_insert_with(make);
    }

    /// A fault cell (docs/adr/0004): a panic costs this room its ingest and its playlist, nobody else anything.
    fn in_cell(&mut self, key: RoomKey, act: impl FnOnce(&mut ShardRoom)) {
        let Some(room) = self.rooms.get_mut(&key) else { return };
        if catch_unwind(AssertUnwindSafe(|| act(room))).is_err() {
            self.drop_broken(key);
        }
    }

    fn drop_broken(&mut self, key: RoomKey) {
        tracing::error!(room = key.0, "a room was dropped after a panic on its media thread");
        ShardCounters::add(&self.counters.panics, 1);
        if let Some(room) = self.rooms.remove(&key) {
            self.numbers.insert(key, room.numbers());
            self.release(room);
        }
    }

    /// A room that is broken may break again on its way out.
    fn release(&self, room: ShardRoom) {
        if catch_unwind(AssertUnwindSafe(|| room.release())).is_err() {
            ShardCounters::add(&self.counters.panics, 1);
        }
    }

    /// One turn over all rooms. True: work is left.
    fn turn(&mut self, now: Instant) -> bool {
        let mut busy = false;
        let (mut broken, mut idle) = (Vec::new(), Vec::new());
        for (key, room) in &mut self.rooms {
            match catch_unwind(AssertUnwindSafe(|| room.turn(now, BATCHES_PER_TURN_MAX))) {
                Ok(more) => busy |= more,
                Err(_) => broken.push(*key),
            }
            if room.is_idle() {
                idle.push(*key);
            }
        }
        for key in broken {
            self.drop_broken(key);
        }
        for key in idle {
            // It would hold a share of the memory budget and a place in every turn.
            if let Some(room) = self.rooms.remove(&key) {
                self.numbers.insert(key, room.numbers());
                room.let_go_of_disk();
            }
        }
        busy
    }

    fn finish_all(&mut self, now: Instant) {
        let keys: Vec<RoomKey> = self.rooms.keys().copied().collect();
        for key in keys {
            self.in_cell(key, |room| room.finish(now));
        }
    }
}

#[cfg(test)]
mod tests;
