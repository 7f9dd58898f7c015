//! Where the two hubs of a media thread meet: frames of rooms and packets of calls (docs/adr/0015).
//!
//! In: what a room wants of the SFU, and what the SFU has for a room. Out: the same on the other side, in the same turn.
//! Nothing waits here: each side takes all that the other has before the turn ends.

use std::sync::Arc;
use std::time::Instant;

use telstar_media::Codec;
use telstar_sfu::{FeedFormat, FeedPacket, Kind, Tapped};
use telstar_units::{ParticipantId, TrackId};

use super::mixing::{MixRing, MixTrack};
use super::net::Memory;
use super::thread::Shard;
use super::{Feed, IngestRing, RoomKey, ViewerRing};

/// What a room wants of the SFU.
#[derive(Debug)]
pub(super) enum ForCall {
    /// Packets of a source.
    Feed { source: TrackId, format: FeedFormat, packets: Vec<FeedPacket> },
    /// Where the zero of the times of a source lies.
    Zero { source: TrackId, zero: Instant },
    /// Copies of a track's packets, or no more of them.
    Tap { track: TrackId, enabled: bool },
    /// A keyframe of a track that is tapped.
    Keyframe(TrackId),
}

/// What the SFU has for a room.
#[derive(Debug)]
pub(super) enum ForRoom {
    /// A copy of a packet.
    Tapped(Tapped),
    /// Somebody began to watch a source, or the last one ended.
    Demand { source: TrackId, wanted: bool },
    /// A source is over, or its call.
    SourceGone(TrackId),
    /// Media of a track came for the first time.
    Published { track: TrackId, codec: Codec },
}

impl Shard {
    /// Brings what the SFU has to the rooms that it is for.
    pub(super) fn hear_calls(&mut self, now: Instant) {
        let Some(line) = &mut self.line else { return };
        let mut heard = std::mem::take(&mut self.heard);
        line.calls.take_for_rooms(now, &mut heard);
        for (key, what) in heard.drain(..) {
            self.in_cell(key, |room| match what {
                ForRoom::Tapped(tapped) => room.handle_tapped(now, tapped),
                ForRoom::Demand { source, wanted } => room.handle_feed_demand(source, wanted),
                ForRoom::SourceGone(source) => room.forget_source(source),
                ForRoom::Published { track, codec } => room.handle_published(track, codec),
            });
        }
        self.heard = heard;
    }

    /// Sends what the rooms of this turn have fed, in the same turn.
    pub(super) fn send_fed(&mut self, now: Instant, memory: &mut Memory) {
        if std::mem::take(&mut self.has_fed)
            && let Some(line) = &mut self.line
        {
            line.send(now, memory);
        }
    }

    pub(super) fn feed(&mut self, key: RoomKey, feed: Feed) {
        let sources = [feed.video, feed.audio, feed.alternate].into_iter().flatten();
        let is_wanted = |source: &TrackId| self.line.as_ref().is_some_and(|line| line.calls.is_wanted(*source));
        let wanted: Vec<TrackId> = sources.filter(is_wanted).collect();
        self.in_cell(key, |room| room.feed(feed, |source| wanted.contains(&source)));
    }

    pub(super) fn land(&mut self, now: Instant, key: RoomKey, participant: ParticipantId, tracks: &[(TrackId, Kind)]) {
        let known = |(track, _): &(TrackId, Kind)| Some((*track, self.line.as_ref()?.calls.codec(*track)?));
        let codecs: Vec<_> = tracks.iter().filter_map(known).collect();
        self.in_cell(key, |room| room.land(now, participant, tracks, &codecs));
    }

    pub(super) fn convert(
        &mut self,
        now: Instant,
        key: RoomKey,
        as_track: TrackId,
        frames: Arc<ViewerRing>,
        converted: Arc<IngestRing>,
    ) {
        let (out, back) = (Arc::clone(&frames), Arc::clone(&converted));
        self.in_cell(key, |room| room.convert(now, as_track, out, back));
        if !self.rooms.contains(key) {
            // There is no such room, or it broke before it knew the rings.
            frames.close();
            converted.detach();
        }
    }

    pub(super) fn begin_mixing(&mut self, key: RoomKey, ring: Arc<MixRing>, zero: Instant, tracks: &[MixTrack]) {
        let begun = Arc::clone(&ring);
        self.in_cell(key, |room| room.begin_mixing(begun, zero, tracks));
        if !self.rooms.contains(key) {
            ring.close();
        }
    }

    /// Whatever a room that is gone had asked of the SFU ends.
    pub(super) fn forget_in_calls(&mut self, room: RoomKey) {
        if let Some(line) = &mut self.line {
            line.calls.untap(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use telstar_hls::{Budget, HlsConfig};
    use telstar_sfu::{Certificate, Command as Call, Limits, NewSource, RoomId, SfuConfig, Source};
    use tokio::sync::mpsc;

    use super::super::commands::Command;
    use super::super::net::{NetCounters, NetShared};
    use super::super::room::HlsSettings;
    use super::super::table::Bell;
    use super::super::tests::{batches, output, tracks};
    use super::super::{CALL_EVENTS_MAX, IngestVia};
    use super::*;

    const ROOM: RoomKey = RoomKey(1);
    const SOURCE: TrackId = TrackId(101);

    fn shard() -> (Shard, Arc<NetCounters>) {
        let settings = HlsSettings {
            packager: HlsConfig::default(),
            budget: Budget::new(64 << 20),
            first_discontinuity_sequence: 0,
            dvr: None,
            reconnect_window: Duration::ZERO,
        };
        let mut shard = Shard::new(settings, Arc::default()).expect("a shard can be made");
        let certificate = Certificate::generate().expect("the library makes certificates");
        let sfu = SfuConfig { candidates: Vec::new(), ice_lite: true, limits: Limits::default(), certificate };
        let counters = Arc::new(NetCounters::default());
        let shared = Arc::new(NetShared::new(Vec::new(), [shard.waker()], Arc::clone(&counters)));
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("it can be");
        shard.open_line(0, socket, sfu, shared).expect("it is open");
        (shard, counters)
    }

    /// One round of the thread's loop but for its waiting.
    fn round(shard: &mut Shard, now: Instant, memory: &mut Memory) {
        while shard.take_commands(now) {}
        shard.line.as_mut().expect("it has calls").send(now, memory);
        shard.hear_calls(now);
        while shard.turn(now) {}
        shard.send_fed(now, memory);
    }

    #[tokio::test]
    async fn frames_of_a_watched_source_are_in_the_sfu_in_the_turn_in_which_they_came() {
        let ((mut shard, counters), output, now) = (shard(), output(), Instant::now());
        let mut memory = Memory::new();
        let ring = Arc::new(IngestRing::new(Bell::new(ROOM, Arc::default(), shard.waker())));
        let (sink, mut events) = mpsc::channel(CALL_EVENTS_MAX);
        let (track, participant) = (SOURCE, ParticipantId(1));
        let source =
            NewSource { track, kind: Kind::Video, source: Source::Person, alternate_of: None, for_viewers: false };
        let add = Call::AddSource { room: RoomId(ROOM.0), participant, source };
        let feed = Feed { video: Some(SOURCE), ..Feed::default() };
        let attached = Arc::clone(&ring);
        for command in [
            Command::Attach { room: ROOM, participant, ring: attached, via: IngestVia::Ring, output: output.clone() },
            Command::OpenCall { room: ROOM, sink },
            Command::Call { room: ROOM, command: Box::new(add) },
            Command::Feed { room: ROOM, feed },
        ] {
            assert!(shard.commands().push(command));
        }
        let fed = || counters.published_packets.load(Ordering::Relaxed);
        ring.send(tracks()).await.expect("attached");
        let mut batches = batches().into_iter();
        for batch in batches.by_ref().take(60) {
            ring.send(batch).await.expect("attached");
        }
        round(&mut shard, now, &mut memory);
        let told = std::iter::from_fn(|| events.try_recv().ok());
        let codec = told.filter_map(|event| match event {
            telstar_sfu::Event::Track { track: SOURCE, codec } => Some(codec),
            _ => None,
        });
        assert_eq!(
            (codec.collect::<Vec<_>>(), fed()),
            (vec![Codec::H264], 0),
            "its codec is known, and nobody watches"
        );

        shard.in_cell(ROOM, |room| room.handle_feed_demand(SOURCE, true));
        round(&mut shard, now, &mut memory);
        // Parameter sets before the keyframe at 50, and ten pictures of one packet.
        assert_eq!(fed(), 11);
        ring.send(batches.next().expect("there are more")).await.expect("attached");
        shard.in_cell(ROOM, |_| {});
        round(&mut shard, now, &mut memory);
        assert_eq!(fed(), 12);

        // The call ends, and with it its sources: what comes is fed to nobody.
        let close = Call::CloseRoom { room: RoomId(ROOM.0) };
        assert!(shard.commands().push(Command::Call { room: ROOM, command: Box::new(close) }));
        ring.send(batches.next().expect("there are more")).await.expect("attached");
        shard.in_cell(ROOM, |_| {});
        round(&mut shard, now, &mut memory);
        assert_eq!(fed(), 12);
    }
}
