//! The tracks of an ingest: into the hub, and the main ones on to the packager and to viewers.

use std::time::Instant;

use telstar_media::hub::{HubError, Start, SubscriberId, SubscriberSpec, View, WhenFull};
use telstar_media::{Frame, TrackInfo};
use telstar_units::TrackId;

use super::{BASE, PACKAGER_ITEMS_MAX, ShardCounters, ShardRoom, Track, TrackMeter};

impl ShardRoom {
    /// Takes a track into the hub. The first of a kind, and what replaces it, is the main one that viewers see; further
    /// ones are kept for whoever comes to want them.
    pub(super) fn add_track(&mut self, now: Instant, info: TrackInfo, replaces: Option<TrackId>) {
        let Some(ingest) = &mut self.ingest else { return };
        let old = replaces.and_then(|old| ingest.take_track(old));
        let is_main = old.as_ref().map_or(!ingest.has_main(info.kind()), |old| old.subscriber.is_some());
        if let Some(old) = &old {
            self.let_go(old);
        }
        match self.take_into_hub(&info, is_main) {
            Ok(subscriber) => {
                let track = Track { meter: TrackMeter::new(info.clone()), subscriber };
                if let Some(ingest) = &mut self.ingest {
                    ingest.tracks.push(track);
                }
                if is_main {
                    self.offer_to_viewers(&info, replaces);
                }
                match (&mut self.packager, replaces) {
                    (Some(packager), Some(old)) if is_main => packager.replace_track(now, old, info),
                    (Some(packager), None) if is_main => packager.add_track(now, info),
                    _ => {}
                }
            }
            Err(error) => tracing::warn!(%error, "a track was not taken"),
        }
        self.apply_hub();
    }

    /// Adds a track, and the packager's subscription to it if it is a main one.
    fn take_into_hub(&mut self, info: &TrackInfo, is_main: bool) -> Result<Option<SubscriberId>, HubError> {
        self.hub.add_track(info.clone())?;
        self.hub.add_layer(info.id, BASE, View::Frames)?;
        if !is_main {
            return Ok(None);
        }
        let spec = SubscriberSpec {
            track: info.id,
            layer: BASE,
            view: View::Frames,
            start: Start::Keyframe,
            when_full: WhenFull::DropToKeyframe,
            items_max: PACKAGER_ITEMS_MAX,
        };
        self.hub.subscribe(spec).map(Some)
    }

    pub(super) fn let_go(&mut self, track: &Track) {
        if let Some(subscriber) = track.subscriber {
            self.hub.unsubscribe(subscriber);
        }
        self.hub.remove_track(track.meter.info().id);
    }

    pub(super) fn handle_frame(&mut self, id: TrackId, frame: &Frame) {
        let Some(ingest) = &mut self.ingest else { return };
        let Some(track) = ingest.tracks.iter_mut().find(|track| track.meter.info().id == id) else { return };
        track.meter.handle_frame(frame);
        ShardCounters::add(&self.counters.frames, 1);
        ShardCounters::add(&self.counters.bytes, frame.payload.len() as u64);
        if let Err(error) = self.hub.push_frame(id, BASE, frame) {
            // The track was found above and has its base layer from the start.
            tracing::error!(%error, "the hub lost a track");
        }
    }
}
