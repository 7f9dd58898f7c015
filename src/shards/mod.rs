//! Media threads. Every room is owned by one shard, which alone runs the room's hub and packager.
//!
//! In: commands (rare, one bounded queue per shard), one bounded ring of batches per ingest connection, each with a
//! wake-up, and the datagrams of calls. Out: for HLS an immutable snapshot swapped once per part, so that an HTTP request
//! never enters a shard, one bounded ring of frames for each viewer with a connection of its own, a status that is the
//! latest only, the events of calls, and datagrams. A shard knows no right and no socket of tokio's.

mod calls;
mod commands;
mod joint;
mod meter;
mod mixing;
mod net;
mod ring;
#[cfg(test)]
pub(crate) mod rings_for_tests;
mod room;
mod table;
mod thread;
mod viewer;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use telstar_hls::{KeptListing, Snapshot};
use telstar_media::TrackInfo;
use telstar_sfu::{Event, Kind, SfuConfig};
use telstar_store::RoomId;
use telstar_transcode::Target;
use telstar_units::{ParticipantId, RoomName, TrackId};
use tokio::sync::{Notify, mpsc, watch};

use crate::tasks::Tasks;
pub use calls::CALL_EVENTS_MAX;
use commands::Command;
pub use meter::TrackStats;
use mixing::MixRing;
pub use mixing::{MIX_TRACKS_MAX, MixFrames, MixItem, MixTrack};
use net::NetShared;
pub use net::{IceTcp, NetCounters, TcpLimits};
pub use ring::{INGEST_BATCHES_MAX, IngestItem, IngestRing, IngestWarning, RingClosed};
pub use room::HlsSettings;
use thread::{Shard, ShardHandle};
pub use viewer::{VIEWER_ITEMS_MAX, ViewerItem, ViewerRing};

/// Media threads at most. More than cores only adds switches; 64 is the most that was thought about.
pub const SHARDS_MAX: usize = 64;

/// How long a request for a playlist counts as demand. Players ask every few seconds, and a plain one may pause for three
/// target durations. Higher converts longer for nobody; lower ends the listing under a player that was away for a moment.
/// A guess.
pub const HLS_DEMAND: Duration = Duration::from_secs(30);
/// Bytes of frames that wait for a conversion. The newest group of pictures comes at once and must fit; when it is full
/// its frames go, up to the next keyframe (ADR 5). Higher lets a stuck worker hold more memory.
pub const CONVERSION_BYTES_MAX: usize = 2 * telstar_media::hub::GOP_RING_BYTES_MAX;

/// A room's number within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey(pub u64);

/// What a shard tells of a room: the latest only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardStatus {
    /// Whose ingest this is about.
    pub participant: Option<ParticipantId>,
    /// A playlist of this participant's epoch is there.
    pub playable: bool,
    /// The ingest's tracks as measured.
    pub tracks: Vec<TrackStats>,
    /// What the streamer should mend.
    pub warnings: Vec<ShardWarning>,
    /// Frames of this ingest that were lost between the encoder and the playlist.
    pub frames_dropped: u64,
    /// The conversions that the room needs now.
    pub wants: Vec<Want>,
}

/// A conversion that a room needs: once per track and target, however many watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// What is converted.
    pub track: TrackInfo,
    /// To what.
    pub to: Target,
    /// The id of what comes back. It stays the same for as long as the conversion is wanted, and never comes again.
    pub as_track: TrackId,
}

/// How an ingest's media comes to its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestVia {
    /// As frames, through its ring.
    Ring,
    /// As packets, through the SFU: [`Shards::land`] says which.
    Call,
    /// As frames, through its ring: what a worker makes of the room's call, of the tracks that [`Shards::mix`] says.
    Mix,
}

/// The SFU's sources that carry a room's main picture and main sound: tracks without a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// The picture.
    pub video: Option<TrackId>,
    /// The sound.
    pub audio: Option<TrackId>,
    /// The picture in the other codec, for whoever does not decode the first.
    pub alternate: Option<TrackId>,
}

/// What a shard noticed of an ingest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ShardWarning {
    /// Keyframes are further apart than low latency allows.
    KeyframeInterval {
        /// The longest distance seen, in seconds.
        seconds: f64,
    },
    /// There is only video.
    NoAudio,
    /// There is only audio.
    NoVideo,
    /// Timestamps jumped.
    TimestampsJump,
    /// Sound is missing in between.
    AudioGap,
    /// A track cannot be offered; the name of its codec.
    CodecUnsupported(&'static str),
}

/// Where a shard puts what it makes of a room.
#[derive(Clone, Debug)]
pub struct RoomOutput {
    /// The room's number in the store, by which its DVR window is kept.
    pub room: RoomId,
    /// Its name, for whoever reads that window back.
    pub name: RoomName,
    /// The playlists and parts; `None` before the first.
    pub live: watch::Sender<Option<Arc<Snapshot>>>,
    /// The latest status.
    pub status: watch::Sender<ShardStatus>,
    /// Rung after the status changed.
    pub status_changed: Arc<Notify>,
}

/// Counters of all shards, for the metrics.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Frames taken from ingests.
    pub frames: AtomicU64,
    /// Bytes of those frames.
    pub bytes: AtomicU64,
    /// Frames that an output's full ring did not take.
    pub frames_dropped: AtomicU64,
    /// Frames that an ingest could not use: malformed, overlapping, without a configuration.
    pub ingest_frames_dropped: AtomicU64,
    /// Frames that a packager could not use: before the first keyframe, out of order, of a surplus track.
    pub packager_frames_dropped: AtomicU64,
    /// Playlists published, one per part.
    pub snapshots: AtomicU64,
    /// Segments cut at the target duration because no keyframe came.
    pub long_gop_cuts: AtomicU64,
    /// Rooms that were dropped after a panic.
    pub panics: AtomicU64,
    /// Bytes of parts that went early because the memory budget was full.
    pub evicted_bytes: AtomicU64,
    /// Bytes that left the DVR window early because the disk's share was used up.
    pub evicted_kept_bytes: AtomicU64,
}

/// What media threads need for calls.
pub struct CallSettings {
    /// A socket for each thread, all on one port.
    pub sockets: Vec<UdpSocket>,
    /// For the SFU of each thread.
    pub sfu: SfuConfig,
}

/// All media threads.
#[derive(Debug)]
pub struct Shards {
    shards: Vec<ShardHandle>,
    counters: Arc<ShardCounters>,
    net_counters: Arc<NetCounters>,
    /// `None`: there are no calls.
    net: Option<Arc<NetShared>>,
}

impl Shards {
    /// Starts `count` media threads; with calls as many as there are sockets.
    pub fn start(count: usize, settings: HlsSettings, calls: Option<CallSettings>) -> io::Result<Shards> {
        let counters = Arc::new(ShardCounters::default());
        let net_counters = Arc::new(NetCounters::default());
        let count = calls.as_ref().map_or(count, |calls| calls.sockets.len()).clamp(1, SHARDS_MAX);
        let make = |_| Shard::new(settings.clone(), Arc::clone(&counters));
        let mut shards: Vec<Shard> = (0..count).map(make).collect::<io::Result<_>>()?;
        let net = match calls {
            None => None,
            Some(CallSettings { sockets, sfu }) => {
                let wakers = shards.iter().map(Shard::waker);
                let shared = Arc::new(NetShared::new(sfu.candidates.clone(), wakers, Arc::clone(&net_counters)));
                for (index, (shard, socket)) in shards.iter_mut().zip(sockets).enumerate() {
                    shard.open_line(index, socket, sfu.clone(), Arc::clone(&shared))?;
                }
                Some(shared)
            }
        };
        let start = |(index, shard)| ShardHandle::start(index, shard);
        let shards = shards.into_iter().enumerate().map(start).collect::<io::Result<_>>()?;
        Ok(Shards { shards, counters, net_counters, net })
    }

    /// The listener of ICE-TCP, for servers with calls.
    pub fn ice_tcp(&self, limits: TcpLimits, tasks: &Tasks) -> Option<IceTcp> {
        let commands = self.shards.iter().map(|shard| shard.commands().clone()).collect();
        self.net.as_ref().map(|shared| IceTcp::new(Arc::clone(shared), commands, limits, tasks.clone()))
    }

    /// Whether there can be calls.
    pub fn has_calls(&self) -> bool {
        self.net.is_some()
    }

    /// Brings the events of the room's call to `sink` from now on; [`CALL_EVENTS_MAX`] is a good size for it. The sink is
    /// dropped when the call ends, and also when it is not emptied in time or a defect ended the call: whoever has not
    /// closed the call then knows that it is broken. False: there are no calls, or the shard's command queue is full.
    pub fn open_call(&self, room: RoomKey, sink: mpsc::Sender<Event>) -> bool {
        self.has_calls() && self.of(room).command(Command::OpenCall { room, sink })
    }

    /// Tells the SFU something about a room whose call is open. False: the shard's command queue is full, so that this
    /// did not happen; what ends a connection, a track or a call is always taken.
    pub fn call(&self, room: RoomKey, command: telstar_sfu::Command) -> bool {
        self.has_calls() && self.of(room).command(Command::Call { room, command: Box::new(command) })
    }

    /// Counters of the sockets of calls.
    pub fn net_counters(&self) -> &Arc<NetCounters> {
        &self.net_counters
    }

    /// Counters of all shards.
    pub fn counters(&self) -> &ShardCounters {
        &self.counters
    }

    /// Attaches an ingest to a room, replacing the room's previous one. `None`: the shard's command queue is full.
    pub fn attach(
        &self,
        room: RoomKey,
        participant: ParticipantId,
        via: IngestVia,
        output: &RoomOutput,
    ) -> Option<Arc<IngestRing>> {
        let shard = self.of(room);
        let ring = Arc::new(IngestRing::new(shard.bell(room)));
        let attach = Command::Attach { room, participant, ring: Arc::clone(&ring), via, output: output.clone() };
        shard.command(attach).then_some(ring)
    }

    /// Gives a room's frames to a viewer, from its newest group of pictures on, at most `bytes_max` of them waiting.
    /// `None`: the shard's command queue is full.
    pub fn watch(&self, room: RoomKey, bytes_max: usize, output: &RoomOutput) -> Option<Arc<ViewerRing>> {
        let shard = self.of(room);
        let ring = Arc::new(ViewerRing::new(bytes_max, shard.bell(room)));
        let watch = Command::Watch { room, ring: Arc::clone(&ring), output: output.clone() };
        shard.command(watch).then_some(ring)
    }

    /// Carries the room's main picture and sound to these sources of its call from now on, while anybody watches them;
    /// replaces the earlier binding. The caller has added them to the SFU before.
    pub fn feed(&self, room: RoomKey, feed: Feed) {
        self.of(room).command(Command::Feed { room, feed });
    }

    /// The room's ingest comes by the SFU: these are its tracks there. Its ring stays empty, and says when it is over.
    pub fn land(&self, room: RoomKey, participant: ParticipantId, tracks: Vec<(TrackId, Kind)>) {
        self.of(room).command(Command::Land { room, participant, tracks });
    }

    /// Somebody asked for a playlist of the room now, which counts for [`HLS_DEMAND`].
    /// False: the shard's command queue is full, so that this did not happen.
    pub fn demand_hls(&self, room: RoomKey) -> bool {
        self.of(room).command(Command::DemandHls { room })
    }

    /// Begins a conversion that the room wants: the ring of the frames that go out, from the track's newest group of
    /// pictures on, and the ring for those that come back, which begin with their track. `None`: the shard's command queue
    /// is full.
    pub fn convert(&self, room: RoomKey, want: &Want) -> Option<(Arc<ViewerRing>, Arc<IngestRing>)> {
        let shard = self.of(room);
        let frames = Arc::new(ViewerRing::new(CONVERSION_BYTES_MAX, shard.bell(room)));
        let converted = Arc::new(IngestRing::new(shard.bell(room)));
        let (out, back) = (Arc::clone(&frames), Arc::clone(&converted));
        let convert = Command::Convert { room, as_track: want.as_track, frames: out, converted: back };
        shard.command(convert).then_some((frames, converted))
    }

    /// Gives the frames of these tracks of the room's call to its mix, pictures from a keyframe on; at most
    /// [`MIX_TRACKS_MAX`]. All times count from `zero`. The mix is the room's ingest, and was attached before. `None`: the
    /// shard's command queue is full.
    pub fn mix(&self, room: RoomKey, zero: Instant, tracks: Vec<MixTrack>) -> Option<MixFrames> {
        let shard = self.of(room);
        let ring = Arc::new(MixRing::new(shard.bell(room)));
        let mix = Command::Mix { room, ring: Arc::clone(&ring), zero, tracks };
        shard.command(mix).then(|| MixFrames::new(ring))
    }

    /// The mix of a room is to be made of these tracks from now on.
    pub fn set_mix_tracks(&self, room: RoomKey, tracks: Vec<MixTrack>) {
        self.of(room).command(Command::MixTracks { room, tracks });
    }

    /// Lists what an earlier run of the server had kept of a room.
    pub fn restore(&self, room: RoomKey, output: &RoomOutput, listing: KeptListing) {
        let restore = Command::Restore { room, output: output.clone(), listing: Box::new(listing) };
        self.of(room).command(restore);
    }

    /// Ends a room's stream: the last parts, ENDLIST. What was listed stays fetchable for as long as players need it.
    pub fn finish(&self, room: RoomKey) {
        self.of(room).command(Command::Finish { room });
    }

    /// Ends a room's listing and keeps its ingest, which begins another one.
    pub fn restart(&self, room: RoomKey) {
        self.of(room).command(Command::Restart { room });
    }

    /// Releases everything of a room.
    pub fn forget(&self, room: RoomKey) {
        self.of(room).command(Command::Forget { room });
    }

    /// No thread has ended. One that has, outside a fault cell, leaves its rooms without media: the server must be
    /// restarted.
    pub fn are_running(&self) -> bool {
        self.shards.iter().all(ShardHandle::is_running)
    }

    /// Finishes every room and ends the threads. Waits for them at most `deadline`.
    pub fn shutdown(&self, deadline: Duration) {
        self.shards.iter().for_each(ShardHandle::stop);
        let start = Instant::now();
        for shard in &self.shards {
            shard.join(deadline.saturating_sub(start.elapsed()));
        }
    }

    fn of(&self, room: RoomKey) -> &ShardHandle {
        &self.shards[room.0 as usize % self.shards.len()]
    }
}

impl ShardCounters {
    fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
