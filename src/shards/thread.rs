//! One media thread: its loop, its clock, its wake-up.
//!
//! The loop stamps `now` once per turn. It waits on a `mio::Poll`, on which UDP sockets will stand beside the waker.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use telstar_units::ParticipantId;

use super::room::{HlsSettings, ShardRoom};
use super::{IngestRing, RoomKey, RoomOutput, ShardCounters};

/// Commands that wait for one shard. They are as rare as encoders that connect; when it is full the caller is told no.
const COMMANDS_MAX: usize = 1_024;
/// Batches of one room per turn, so that a flooding encoder cannot starve the other rooms of its shard.
const BATCHES_PER_TURN_MAX: usize = 64;
/// The longest sleep: bounds how late a status can be.
const SLEEP_MAX: Duration = Duration::from_millis(500);
const WAKE: Token = Token(0);

/// What a shard is told to do.
#[derive(Debug)]
pub(super) enum Command {
    Attach { room: RoomKey, participant: ParticipantId, ring: Arc<IngestRing>, output: RoomOutput },
    Finish { room: RoomKey },
    Forget { room: RoomKey },
}

/// Wakes a shard; several calls before it runs cost one system call.
#[derive(Debug)]
pub(super) struct ShardWaker {
    waker: Waker,
    rung: AtomicBool,
}

impl ShardWaker {
    pub(super) fn wake(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            // The thread still wakes after SLEEP_MAX; only eventfd exhaustion of the kernel leads here.
            tracing::warn!(%error, "a media thread could not be woken");
        }
    }
}

/// The way to a running shard.
#[derive(Debug)]
pub(super) struct ShardHandle {
    commands: SyncSender<Command>,
    waker: Arc<ShardWaker>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ShardHandle {
    pub(super) fn start(index: usize, settings: HlsSettings, counters: Arc<ShardCounters>) -> io::Result<ShardHandle> {
        let poll = Poll::new()?;
        let waker = Arc::new(ShardWaker { waker: Waker::new(poll.registry(), WAKE)?, rung: AtomicBool::new(false) });
        let (commands, receiver) = sync_channel(COMMANDS_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let shard = Shard {
            poll,
            waker: Arc::clone(&waker),
            stop: Arc::clone(&stop),
            commands: receiver,
            rooms: BTreeMap::new(),
            settings,
            counters,
        };
        let thread = std::thread::Builder::new().name(format!("media-{index}")).spawn(move || shard.run())?;
        Ok(ShardHandle { commands, waker, stop, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn waker(&self) -> Arc<ShardWaker> {
        Arc::clone(&self.waker)
    }

    /// False: the queue is full or the thread is gone.
    pub(super) fn command(&self, command: Command) -> bool {
        let sent = self.commands.try_send(command).is_ok();
        self.waker.wake();
        sent
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
    commands: Receiver<Command>,
    rooms: BTreeMap<RoomKey, ShardRoom>,
    settings: HlsSettings,
    counters: Arc<ShardCounters>,
}

impl Shard {
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
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Attach { room, participant, ring, output } => {
                    let (settings, counters) = (&self.settings, &self.counters);
                    let entry = self
                        .rooms
                        .entry(room)
                        .or_insert_with(|| ShardRoom::new(settings.clone(), output, Arc::clone(counters)));
                    entry.attach(now, participant, ring);
                }
                Command::Finish { room } => {
                    if let Some(entry) = self.rooms.get_mut(&room) {
                        entry.finish(now);
                    }
                }
                Command::Forget { room } => {
                    if let Some(entry) = self.rooms.remove(&room) {
                        entry.release();
                    }
                }
            }
        }
    }

    /// One turn over all rooms. True: work is left.
    fn turn(&mut self, now: Instant) -> bool {
        let mut busy = false;
        let mut broken = Vec::new();
        for (key, room) in &mut self.rooms {
            // A fault cell (docs/adr/0004): a panic costs this room its ingest and its playlist, nobody else anything.
            match catch_unwind(AssertUnwindSafe(|| room.turn(now, BATCHES_PER_TURN_MAX))) {
                Ok(more) => busy |= more,
                Err(_) => broken.push(*key),
            }
        }
        for key in broken {
            tracing::error!(room = key.0, "a room was dropped after a panic on its media thread");
            ShardCounters::add(&self.counters.panics, 1);
            if let Some(room) = self.rooms.remove(&key) {
                room.release();
            }
        }
        busy
    }

    fn finish_all(&mut self, now: Instant) {
        for room in self.rooms.values_mut() {
            let _ = catch_unwind(AssertUnwindSafe(|| {
                while room.turn(now, BATCHES_PER_TURN_MAX) {}
                room.finish(now);
            }));
        }
    }
}
