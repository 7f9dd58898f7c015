//! Media of a call that its room's other side brings or takes: sources that it feeds, tracks that it taps.

use std::time::Instant;

use telstar_media::Codec;
use telstar_sfu::{Command, FeedDemand, Sfu};
use telstar_units::TrackId;

use super::super::RoomKey;
use super::super::joint::{ForCall, ForRoom};
use super::Calls;

impl Calls {
    /// A room wants something of its call. True: there may be something to send.
    pub(in super::super) fn handle_local(&mut self, now: Instant, room: RoomKey, what: ForCall) -> bool {
        match what {
            ForCall::Feed { source, format, packets } => {
                // The call that had it may be over, and the room not told yet.
                let is_known = self.sources.contains_key(&source);
                if is_known {
                    self.guarded(now, |sfu| sfu.handle_feed(now, source, format, &packets));
                }
                is_known
            }
            ForCall::Zero { source, zero } => {
                self.guarded(now, |sfu| sfu.set_zero(source, zero));
                false
            }
            ForCall::Tap { track, enabled } => {
                match enabled {
                    true => drop(self.taps.insert(track, room)),
                    false => drop(self.taps.remove(&track)),
                }
                self.guarded(now, |sfu| sfu.handle_command(now, Command::Tap { track, enabled }));
                true
            }
            ForCall::Keyframe(track) => {
                self.guarded(now, |sfu| sfu.handle_keyframe_request(now, track));
                true
            }
        }
    }

    /// Moves what the SFU has for rooms.
    pub(in super::super) fn take_for_rooms(&mut self, now: Instant, heard: &mut Vec<(RoomKey, ForRoom)>) {
        heard.append(&mut self.for_rooms);
        while let Some(tapped) = self.guarded(now, Sfu::poll_tapped).flatten() {
            heard.extend(self.taps.get(&tapped.track).map(|room| (*room, ForRoom::Tapped(tapped))));
        }
        while let Some(FeedDemand { track, wanted }) = self.guarded(now, Sfu::poll_feed_demand).flatten() {
            let Some(source) = self.sources.get_mut(&track) else { continue };
            source.wanted = wanted;
            heard.push((source.room, ForRoom::Demand { source: track, wanted }));
        }
    }

    /// Whether somebody watches a source.
    pub(in super::super) fn is_wanted(&self, source: TrackId) -> bool {
        self.sources.get(&source).is_some_and(|source| source.wanted)
    }

    /// What a track turned out to be, if media of it came.
    pub(in super::super) fn codec(&self, track: TrackId) -> Option<Codec> {
        self.codecs.get(&track).copied()
    }

    /// A room is gone: nothing is tapped for it any more.
    pub(in super::super) fn untap(&mut self, room: RoomKey) {
        let now = self.now;
        let gone: Vec<TrackId> = self.taps.iter().filter(|(_, of)| **of == room).map(|(track, _)| *track).collect();
        for track in gone {
            self.handle_local(now, room, ForCall::Tap { track, enabled: false });
        }
    }

    pub(super) fn note_source(&mut self, source: TrackId, room: RoomKey) {
        self.sources.insert(source, Source { room, wanted: false });
    }

    pub(super) fn note_codec(&mut self, room: RoomKey, track: TrackId, codec: Codec) {
        self.codecs.insert(track, codec);
        self.for_rooms.push((room, ForRoom::Published { track, codec }));
    }

    /// A source or a track is over.
    pub(super) fn forget_local(&mut self, track: TrackId) {
        self.codecs.remove(&track);
        self.taps.remove(&track);
        self.forget_source(track);
    }

    /// A room's call is over, and every source with it.
    pub(super) fn forget_sources(&mut self, room: RoomKey) {
        let gone: Vec<TrackId> =
            self.sources.iter().filter(|(_, source)| source.room == room).map(|(track, _)| *track).collect();
        gone.into_iter().for_each(|track| self.forget_source(track));
    }

    /// Everything is over.
    pub(super) fn forget_all_local(&mut self) {
        let gone: Vec<TrackId> = self.sources.keys().copied().collect();
        gone.into_iter().for_each(|track| self.forget_source(track));
        self.codecs.clear();
        self.taps.clear();
    }

    fn forget_source(&mut self, source: TrackId) {
        if let Some(Source { room, .. }) = self.sources.remove(&source) {
            self.for_rooms.push((room, ForRoom::SourceGone(source)));
        }
    }
}

/// A track without a connection.
pub(super) struct Source {
    room: RoomKey,
    /// As the SFU told last.
    wanted: bool,
}

impl Source {
    pub(super) fn room(&self) -> RoomKey {
        self.room
    }
}
