//! The way into a shard for what is rare: a bounded queue of commands, and the wake-up.
//!
//! In: what rooms' owners, connections and the disk want. Out: the same, in order, on the shard's thread.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mio::{Registry, Token, Waker};
use telstar_hls::{KeptListing, SegmentId};
use telstar_sfu::{Event, Kind, Path};
use telstar_units::{ParticipantId, TrackId};
use tokio::sync::mpsc;

use super::mixing::{MixRing, MixTrack};
use super::net::TcpWay;
use super::{Feed, IngestRing, IngestVia, RoomKey, RoomOutput, ViewerRing};

/// Commands that wait for one shard when another encoder, viewer or connection is told no. They are as rare as those that
/// connect.
pub(super) const COMMANDS_MAX: usize = 1_024;
const WAKE: Token = Token(0);

/// What a shard is told to do.
#[derive(Debug)]
pub(super) enum Command {
    Attach {
        room: RoomKey,
        participant: ParticipantId,
        ring: Arc<IngestRing>,
        via: IngestVia,
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
    /// The sources of the room's call that its main picture and sound go to.
    Feed {
        room: RoomKey,
        feed: Feed,
    },
    /// The attached ingest comes by the SFU.
    Land {
        room: RoomKey,
        participant: ParticipantId,
        tracks: Vec<(TrackId, Kind)>,
    },
    /// Somebody asked for a playlist.
    DemandHls {
        room: RoomKey,
    },
    /// A conversion that was wanted begins.
    Convert {
        room: RoomKey,
        as_track: TrackId,
        frames: Arc<ViewerRing>,
        converted: Arc<IngestRing>,
    },
    /// A mix of the room's call begins, or begins anew.
    Mix {
        room: RoomKey,
        ring: Arc<MixRing>,
        zero: Instant,
        tracks: Vec<MixTrack>,
    },
    /// Other tracks are to be mixed.
    MixTracks {
        room: RoomKey,
        tracks: Vec<MixTrack>,
    },
    /// A room's owner takes the events of its call.
    OpenCall {
        room: RoomKey,
        sink: mpsc::Sender<Event>,
    },
    /// For the SFU.
    Call {
        room: RoomKey,
        command: Box<telstar_sfu::Command>,
    },
    /// An ICE-TCP connection has shown for whom it is.
    TcpOpened {
        path: Path,
        way: Arc<TcpWay>,
    },
    /// It is gone.
    TcpClosed {
        path: Path,
    },
}

impl Command {
    /// Somebody comes, or wants something, who can be told to try later. The others must not be lost, and are bounded: at
    /// most three end what an attach began and few land or feed it, one lists each room at the start, one answers each segment that was handed to
    /// the disk, and each end of a call's connection, track or TCP connection follows its beginning,
    /// and each mix tells its tracks no more often than its time.
    fn can_be_refused(&self) -> bool {
        use telstar_sfu::Command as Call;
        match self {
            Command::Attach { .. }
            | Command::Watch { .. }
            | Command::DemandHls { .. }
            | Command::Convert { .. }
            | Command::Mix { .. }
            | Command::OpenCall { .. }
            | Command::TcpOpened { .. } => true,
            Command::Call { command, .. } => !matches!(
                **command,
                Call::AddSource { .. } | Call::RemovePeer { .. } | Call::Unpublish { .. } | Call::CloseRoom { .. }
            ),
            _ => false,
        }
    }
}

/// The way back to a shard for whoever keeps a room's segments.
#[derive(Clone, Debug)]
pub(super) struct KeptSink {
    commands: CommandQueue,
    room: RoomKey,
}

impl KeptSink {
    pub(super) fn new(commands: CommandQueue, room: RoomKey) -> KeptSink {
        KeptSink { commands, room }
    }

    pub(super) fn tell(&self, id: SegmentId, is_kept: bool) {
        self.commands.push(Command::Kept { room: self.room, id, is_kept });
    }
}

/// Wakes a shard; several calls before it runs cost one system call.
#[derive(Debug)]
pub(super) struct ShardWaker {
    waker: Waker,
    rung: AtomicBool,
}

impl ShardWaker {
    pub(super) fn new(registry: &Registry) -> io::Result<ShardWaker> {
        Ok(ShardWaker { waker: Waker::new(registry, WAKE)?, rung: AtomicBool::new(false) })
    }

    /// One that nobody listens to.
    #[cfg(test)]
    pub(super) fn for_tests() -> Arc<ShardWaker> {
        let poll = mio::Poll::new().expect("the system has polls");
        Arc::new(ShardWaker::new(poll.registry()).expect("a poll takes a waker"))
    }

    /// Before the shard looks at what there is: whoever comes later wakes it again.
    pub(super) fn answer(&self) {
        self.rung.store(false, Ordering::Release);
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

/// What waits for a shard, in order. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct CommandQueue {
    waiting: Arc<Mutex<VecDeque<Command>>>,
    waker: Arc<ShardWaker>,
}

impl CommandQueue {
    pub(super) fn new(waker: Arc<ShardWaker>) -> CommandQueue {
        CommandQueue { waiting: Arc::default(), waker }
    }

    pub(super) fn waker(&self) -> &Arc<ShardWaker> {
        &self.waker
    }

    /// False: too many wait. Only who comes is refused.
    pub(super) fn push(&self, command: Command) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.len() < COMMANDS_MAX || !command.can_be_refused();
        if taken {
            waiting.push_back(command);
        }
        drop(waiting);
        self.waker.wake();
        taken
    }

    pub(super) fn take(&self) -> Option<Command> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
