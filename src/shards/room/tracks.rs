//! The tracks of an ingest, and what workers made of them: into the hub, and on to whoever takes frames.

use std::time::Instant;

use telstar_media::hub::{HubError, View};
use telstar_media::{Frame, TrackInfo};
use telstar_units::TrackId;

use super::outlets::Listed;
use super::{BASE, ShardCounters, ShardRoom, Track, TrackMeter};

impl ShardRoom {
    /// Takes a track into the hub. The first of a kind, and what replaces it, is the main one that viewers see; further
    /// ones are kept for whoever comes to want them.
    pub(super) fn add_track(&mut self, now: Instant, info: TrackInfo, replaces: Option<TrackId>) {
        let Some(ingest) = &mut self.ingest else { return };
        let old = replaces.and_then(|old| ingest.take_track(old));
        let is_main = old.as_ref().map_or(ingest.main(info.kind()).is_none(), |old| old.is_main);
        let is_listed = is_main && Listed::of(info.codec).passes();
        let is_offered = is_main && (is_listed || ingest.landed.is_none());
        if let Some(old) = old {
            self.let_go(now, old.meter.info().id);
        }
        match self.take_into_hub(&info) {
            Ok(()) => {
                let track = Track { meter: TrackMeter::new(info.clone()), is_main };
                if let Some(ingest) = &mut self.ingest {
                    ingest.tracks.push(track);
                }
                if is_offered {
                    self.offer_to_viewers(&info, replaces);
                }
                if is_listed {
                    self.list_track(now, info);
                }
                self.show_tracks();
            }
            Err(error) => tracing::warn!(%error, "a track was not taken"),
        }
        self.apply_hub();
    }

    pub(super) fn take_into_hub(&mut self, info: &TrackInfo) -> Result<(), HubError> {
        self.hub.add_track(info.clone())?;
        self.hub.add_layer(info.id, BASE, View::Frames)
    }

    /// A track is over, and with it what is made of it.
    pub(super) fn let_go(&mut self, now: Instant, track: TrackId) {
        self.end_conversions_of(now, track);
        self.withdraw(now, track);
        self.hub.remove_track(track);
    }

    pub(super) fn handle_frame(&mut self, now: Instant, id: TrackId, frame: &Frame) {
        let Some(ingest) = &mut self.ingest else { return };
        let Some(track) = ingest.track_mut(id) else { return };
        let begins = track.meter.config().is_none();
        track.meter.handle_frame(frame);
        let (is_main, timescale) = (track.is_main, track.meter.info().timescale);
        if is_main {
            self.note_arrival(now, frame.dts, timescale);
        }
        ShardCounters::add(&self.counters.frames, 1);
        ShardCounters::add(&self.counters.bytes, frame.payload.len() as u64);
        if begins {
            self.show_tracks();
        }
        self.schedule_keyframe(now, id, frame);
        self.push_into_hub(id, frame);
    }

    pub(super) fn push_into_hub(&mut self, id: TrackId, frame: &Frame) {
        if let Err(error) = self.hub.push_frame(id, BASE, frame) {
            // Whoever calls this has the track in the hub, with its base layer from the start.
            tracing::error!(%error, "the hub lost a track");
        }
    }

    /// What there is of the ingest is told at once, its rates later.
    pub(super) fn show_tracks(&mut self) {
        if let Some(ingest) = &self.ingest {
            self.status.tracks = ingest.stats();
            self.publish_status();
        }
    }
}
