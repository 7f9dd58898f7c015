//! One media thread: its loop, its clock, its wake-up.
//!
//! It waits on a `mio::Poll`, on which its UDP socket stands beside the waker. A turn is commands, datagrams, timers, rooms
//! with work, each with a share that the others can wait for: calls do not starve HLS, and HLS does not hold packets up.

use std::collections::BTreeMap;
use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use telstar_hls::KeptListing;
use telstar_sfu::SfuConfig;
use telstar_units::ParticipantId;

use super::calls::Calls;
use super::commands::{Command, CommandQueue, KeptSink, ShardWaker};
use super::joint::ForRoom;
use super::net::{Memory, Net, NetShared};
use super::room::{HlsSettings, RoomNumbers, ShardRoom};
use super::table::{Bell, Rung, Table};
use super::{IngestRing, IngestVia, RoomKey, RoomOutput, ShardCounters, ViewerRing};
use crate::threads;

/// Commands of one turn. An offer of a call takes a millisecond, and packets must not wait for many of them.
const COMMANDS_PER_TURN: usize = 16;
/// Batches of one room per turn, so that a flooding encoder cannot starve the other rooms of its shard.
const BATCHES_PER_TURN_MAX: usize = 64;
/// Rooms of one turn while there are calls, so that packets do not wait for many streams. A room's usual batch takes some
/// 20 us.
const ROOMS_PER_TURN: usize = 32;
/// The longest sleep, should a wake-up ever be lost.
const SLEEP_MAX: Duration = Duration::from_millis(500);
const SOCKET: Token = Token(1);

/// The way to a running shard.
#[derive(Debug)]
pub(super) struct ShardHandle {
    commands: CommandQueue,
    rung: Arc<Rung>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ShardHandle {
    pub(super) fn start(index: usize, shard: Shard) -> io::Result<ShardHandle> {
        let (commands, stop) = (shard.commands.clone(), Arc::clone(&shard.stop));
        let rung = Arc::clone(&shard.rung);
        let thread = std::thread::Builder::new().name(format!("media-{index}")).spawn(move || shard.run())?;
        Ok(ShardHandle { commands, rung, stop, thread: Mutex::new(Some(thread)) })
    }

    /// A bell by which others say that a room has work.
    pub(super) fn bell(&self, room: RoomKey) -> Bell {
        Bell::new(room, Arc::clone(&self.rung), Arc::clone(self.commands.waker()))
    }

    pub(super) fn commands(&self) -> &CommandQueue {
        &self.commands
    }

    /// False: the queue is full or the thread is gone.
    pub(super) fn command(&self, command: Command) -> bool {
        self.is_running() && self.commands.push(command)
    }

    pub(super) fn is_running(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.commands.waker().wake();
    }

    pub(super) fn join(&self, deadline: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| !threads::join(thread, deadline)) {
            tracing::warn!("a media thread did not end in time");
        }
    }
}

/// The calls of a thread and their sockets.
pub(super) struct Line {
    net: Net,
    pub(super) calls: Calls,
}

impl Line {
    /// Takes what came, does what is due, sends what came of it. True: more is waiting.
    fn turn(&mut self, now: Instant, memory: &mut Memory) -> bool {
        let more = self.net.receive(memory, &mut self.calls);
        if self.net.poll_timeout().is_some_and(|at| at <= now) {
            self.net.handle_timeout(now);
        }
        if self.calls.poll_timeout().is_some_and(|at| at <= now) {
            self.calls.handle_timeout(now);
        }
        self.send(now, memory);
        more
    }

    /// Tells what happened and sends what there is to send.
    pub(super) fn send(&mut self, now: Instant, memory: &mut Memory) {
        self.calls.deliver_events(now);
        self.net.collect(now, memory, &mut self.calls);
        self.net.flush(now, memory);
    }

    fn carry_out(&mut self, now: Instant, command: Command) {
        match command {
            Command::OpenCall { room, sink } => self.calls.open(now, room, sink),
            Command::Call { room, command } => self.calls.handle_command(now, room, *command),
            Command::TcpOpened { path, way } => self.net.open_tcp(path, way),
            Command::TcpClosed { path } => {
                self.net.close_tcp(&path);
                self.calls.handle_closed(now, path);
            }
            _ => unreachable!("the shard passes on what is for calls"),
        }
    }
}

pub(super) struct Shard {
    poll: Poll,
    stop: Arc<AtomicBool>,
    commands: CommandQueue,
    rung: Arc<Rung>,
    pub(super) rooms: Table,
    /// `None`: this server has no calls.
    pub(super) line: Option<Line>,
    /// What the SFU has for rooms, on its way there.
    pub(super) heard: Vec<(RoomKey, ForRoom)>,
    /// Rooms of this turn fed the SFU.
    pub(super) has_fed: bool,
    /// Of rooms that were let go: three numbers for each that has published and was not deleted.
    numbers: BTreeMap<RoomKey, RoomNumbers>,
    settings: HlsSettings,
    counters: Arc<ShardCounters>,
    /// Rooms whose bells rang, on their way to the table.
    ringing: Vec<RoomKey>,
}

impl Shard {
    pub(super) fn new(settings: HlsSettings, counters: Arc<ShardCounters>) -> io::Result<Shard> {
        let poll = Poll::new()?;
        let waker = Arc::new(ShardWaker::new(poll.registry())?);
        Ok(Shard {
            poll,
            stop: Arc::default(),
            commands: CommandQueue::new(waker),
            rung: Arc::default(),
            rooms: Table::default(),
            line: None,
            heard: Vec::new(),
            has_fed: false,
            numbers: BTreeMap::new(),
            settings,
            counters,
            ringing: Vec::new(),
        })
    }

    #[cfg(test)]
    pub(super) fn commands(&self) -> &CommandQueue {
        &self.commands
    }

    pub(super) fn waker(&self) -> Arc<ShardWaker> {
        Arc::clone(self.commands.waker())
    }

    /// Carries calls over this socket from now on.
    pub(super) fn open_line(
        &mut self,
        index: usize,
        socket: UdpSocket,
        config: SfuConfig,
        shared: Arc<NetShared>,
    ) -> io::Result<()> {
        let net = Net::new(index, socket, Arc::clone(&shared), self.poll.registry(), SOCKET)?;
        self.line = Some(Line { net, calls: Calls::new(index, config, shared, Instant::now()) });
        Ok(())
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut memory = Memory::new();
        let mut busy = false;
        loop {
            let timeout = if busy { Duration::ZERO } else { self.sleep(Instant::now()) };
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => tracing::error!(%error, "a media thread cannot wait for events"),
            }
            for event in events.iter().filter(|event| event.token() == SOCKET) {
                self.line.iter_mut().for_each(|line| line.net.handle_ready(event.is_readable(), event.is_writable()));
            }
            self.commands.waker().answer();
            let now = Instant::now();
            busy = self.take_commands(now);
            busy |= self.line.as_mut().is_some_and(|line| line.turn(now, &mut memory));
            self.hear_calls(now);
            busy |= self.turn(now);
            self.send_fed(now, &mut memory);
            if self.stop.load(Ordering::Acquire) {
                return self.finish_all(now, &mut memory);
            }
        }
    }

    fn sleep(&mut self, now: Instant) -> Duration {
        let line = self.line.as_mut();
        let line =
            line.and_then(|line| [line.net.poll_timeout(), line.calls.poll_timeout()].into_iter().flatten().min());
        let next = [line, self.rooms.poll_timeout()].into_iter().flatten().min();
        next.map_or(SLEEP_MAX, |next| next.saturating_duration_since(now).min(SLEEP_MAX))
    }

    /// Carries out what waits, no more than a turn's share. True: more is waiting.
    pub(super) fn take_commands(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            let Some(command) = self.commands.take() else { return false };
            self.carry_out(now, command);
        }
        !self.commands.is_empty()
    }

    fn carry_out(&mut self, now: Instant, command: Command) {
        match command {
            Command::Attach { room, participant, ring, via, output } => {
                self.attach(now, room, participant, ring, via, output);
            }
            Command::Watch { room, ring, output } => self.watch(room, ring, output),
            Command::Feed { room, feed } => self.feed(room, feed),
            Command::Land { room, participant, tracks } => self.land(now, room, participant, &tracks),
            Command::DemandHls { room } => self.in_cell(room, |room| room.demand_hls(now)),
            Command::Convert { room, as_track, frames, converted } => {
                self.convert(now, room, as_track, frames, converted)
            }
            Command::Mix { room, ring, zero, tracks } => self.begin_mixing(room, ring, zero, &tracks),
            Command::MixTracks { room, tracks } => self.in_cell(room, |room| room.set_mix_tracks(&tracks)),
            Command::Restore { room, output, listing } => self.restore(now, room, output, *listing),
            Command::Kept { room, id, is_kept } => self.in_cell(room, |room| room.handle_kept(now, id, is_kept)),
            Command::Restart { room } => self.in_cell(room, |room| room.restart(now)),
            Command::Finish { room } => self.in_cell(room, |room| room.finish(now)),
            Command::Forget { room } => {
                self.numbers.remove(&room);
                if let Some(room) = self.rooms.remove(room) {
                    self.release(room);
                }
                self.forget_in_calls(room);
            }
            Command::OpenCall { .. } | Command::Call { .. } | Command::TcpOpened { .. } | Command::TcpClosed { .. } => {
                if let Some(line) = &mut self.line {
                    line.carry_out(now, command);
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
        via: IngestVia,
        output: RoomOutput,
    ) {
        self.make_room(key, output);
        let attached = Arc::clone(&ring);
        self.in_cell(key, |room| room.attach(now, participant, attached, via));
        if !self.rooms.contains(key) {
            // The room broke before it knew the ring.
            ring.detach();
        }
    }

    /// A viewer may come before anybody publishes.
    fn watch(&mut self, key: RoomKey, ring: Arc<ViewerRing>, output: RoomOutput) {
        self.make_room(key, output);
        let watching = Arc::clone(&ring);
        self.in_cell(key, |room| room.watch(watching));
        if !self.rooms.contains(key) {
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
        let sink = KeptSink::new(self.commands.clone(), key);
        let (settings, counters) = (self.settings.clone(), Arc::clone(&self.counters));
        let make = || ShardRoom::new(settings, output, counters, numbers.unwrap_or_default(), sink);
        self.rooms.get_or_insert_with(key, make);
    }

    /// A fault cell (docs/adr/0004): a panic costs this room its ingest and its playlist, nobody else anything.
    pub(super) fn in_cell(&mut self, key: RoomKey, act: impl FnOnce(&mut ShardRoom)) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        if catch_unwind(AssertUnwindSafe(|| act(room))).is_err() {
            self.drop_broken(key);
        }
        self.rooms.mark(key);
    }

    fn drop_broken(&mut self, key: RoomKey) {
        tracing::error!(room = key.0, "a room was dropped after a panic on its media thread");
        ShardCounters::add(&self.counters.panics, 1);
        if let Some(room) = self.rooms.remove(key) {
            self.numbers.insert(key, room.numbers());
            self.release(room);
        }
        self.forget_in_calls(key);
    }

    /// A room that is broken may break again on its way out.
    fn release(&self, room: ShardRoom) {
        if catch_unwind(AssertUnwindSafe(|| room.release())).is_err() {
            ShardCounters::add(&self.counters.panics, 1);
        }
    }

    /// One turn over the rooms that have work. True: work is left.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        self.rung.take_into(&mut self.ringing);
        self.ringing.drain(..).for_each(|key| self.rooms.mark(key));
        self.rooms.mark_due(now);
        for _ in 0..self.rooms.work_len().min(ROOMS_PER_TURN) {
            let Some((key, room)) = self.rooms.next() else { break };
            match catch_unwind(AssertUnwindSafe(|| room.turn(now, BATCHES_PER_TURN_MAX))) {
                Ok(more) => {
                    let is_idle = room.is_idle();
                    while let Some(what) = room.poll_for_call() {
                        self.has_fed |= self.line.as_mut().is_some_and(|line| line.calls.handle_local(now, key, what));
                    }
                    if is_idle {
                        self.let_go(key);
                    } else {
                        self.rooms.settle(key);
                    }
                    if more {
                        self.rooms.mark(key);
                    }
                }
                Err(_) => self.drop_broken(key),
            }
        }
        self.rooms.work_len() > 0
    }

    /// It would hold a share of the memory budget.
    fn let_go(&mut self, key: RoomKey) {
        if let Some(room) = self.rooms.remove(key) {
            self.numbers.insert(key, room.numbers());
            room.let_go_of_disk();
        }
    }

    fn finish_all(&mut self, now: Instant, memory: &mut Memory) {
        for key in self.rooms.keys() {
            self.in_cell(key, |room| room.finish(now));
        }
        if let Some(line) = &mut self.line {
            line.calls.close_all(now);
            line.net.collect(now, memory, &mut line.calls);
            line.net.flush(now, memory);
        }
    }
}

#[cfg(test)]
mod tests;
