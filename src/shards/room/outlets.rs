//! What the packager and viewers with a connection of their own get: one picture and one sound.
//!
//! An encoder's main tracks as they are; of an ingest that landed what HLS can carry, or what a worker made of it.

use std::time::{Duration, Instant};

use telstar_hls::Packager;
use telstar_media::hub::{Item, Start, SubscriberId, SubscriberSpec, View, WhenFull};
use telstar_media::{Codec, MediaKind, TrackInfo};
use telstar_units::TrackId;

use super::gate::Gate;
use super::{BASE, PACKAGER_ITEMS_MAX, ShardRoom};

/// A track on its way to the packager; viewers have subscriptions of their own to it.
pub(super) struct Outlet {
    pub(super) info: TrackInfo,
    subscriber: SubscriberId,
}

/// What the packager does with what comes.
pub(super) enum Packaging {
    /// Nobody asks for playlists.
    Off,
    /// Frames are held until all tracks have begun.
    Held(Gate),
    /// It takes frames.
    Running,
}

/// What an ingest that landed is listed in without a conversion. What every player takes over HLS: browsers send no AAC,
/// few players take Opus, and VP9 and AV1 need a second rendition for the others.
pub(super) fn listing_takes(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::Aac)
}

impl ShardRoom {
    /// The tracks that viewers see: at most one of a kind.
    pub(super) fn offered(&self) -> Vec<TrackInfo> {
        self.outlets.iter().map(|outlet| outlet.info.clone()).collect()
    }

    pub(super) fn offers(&self, kind: MediaKind) -> bool {
        self.outlets.iter().any(|outlet| outlet.info.kind() == kind)
    }

    /// Viewers see this track from here on.
    pub(super) fn offer_track(&mut self, now: Instant, info: TrackInfo, replaces: Option<TrackId>) {
        let spec = SubscriberSpec {
            track: info.id,
            layer: BASE,
            view: View::Frames,
            start: Start::Keyframe,
            when_full: WhenFull::DropToKeyframe,
            items_max: PACKAGER_ITEMS_MAX,
        };
        let subscriber = match self.hub.subscribe(spec) {
            Ok(subscriber) => subscriber,
            Err(error) => return tracing::warn!(%error, "a track is not offered"),
        };
        self.outlets.push(Outlet { info: info.clone(), subscriber });
        self.offer_to_viewers(&info, replaces);
        match (&mut self.packager, &self.packaging, replaces) {
            (Some(packager), Packaging::Running, Some(old)) => packager.replace_track(now, old, info),
            (Some(packager), Packaging::Running, None) => packager.add_track(now, info),
            _ => {}
        }
    }

    /// The track is over.
    pub(super) fn withdraw(&mut self, track: TrackId) {
        let Some(at) = self.outlets.iter().position(|outlet| outlet.info.id == track) else { return };
        let outlet = self.outlets.remove(at);
        self.hub.unsubscribe(outlet.subscriber);
    }

    /// A worker made this of a track. Of an ingest that landed, viewers see it if they cannot be given the track itself.
    pub(super) fn offer_converted(&mut self, now: Instant, source: TrackId, info: TrackInfo) {
        let landed = self.ingest.as_ref().is_some_and(|ingest| {
            let main = ingest.main(info.kind()).filter(|_| ingest.landed.is_some());
            main.is_some_and(|main| main.meter.info().id == source)
        });
        if landed && listing_takes(info.codec) && !self.offers(info.kind()) {
            self.take_from_viewers(info.kind());
            self.offer_track(now, info, None);
        }
    }

    /// Moves what the hub has for the packager.
    pub(super) fn drain_hub(&mut self, now: Instant) {
        for outlet in &self.outlets {
            self.hub.drain(outlet.subscriber, &mut self.items);
            for item in self.items.drain(..) {
                let Item::Frame(_, frame) = item else { continue };
                match (&mut self.packaging, &mut self.packager) {
                    (Packaging::Running, Some(packager)) => packager.handle_frame(now, outlet.info.id, &frame),
                    (Packaging::Held(gate), _) => gate.push(&outlet.info, frame),
                    _ => {}
                }
            }
        }
        self.open_gate(now);
        self.apply_hub();
        self.apply_packager(now);
    }

    /// Begins the listing if it has waited enough, with what was held.
    fn open_gate(&mut self, now: Instant) {
        let Packaging::Held(gate) = &mut self.packaging else { return };
        let Some(held) = gate.poll(now) else { return };
        // They are dated by when they came, and not by when they were let through.
        let age = match (held.first(), held.last()) {
            (Some(first), Some(last)) => last.at_micros.saturating_sub(first.at_micros).max(0) as u64,
            _ => 0,
        };
        self.packaging = Packaging::Running;
        self.start_epoch(now, Duration::from_micros(age), self.offered());
        for held in held {
            if let Some(packager) = &mut self.packager {
                packager.handle_frame(now, held.track, &held.frame);
            }
        }
    }

    /// Ends the listing.
    pub(super) fn finish_listing(&mut self, now: Instant) {
        if let Some(packager) = &mut self.packager {
            packager.finish(now);
        }
        self.apply_packager(now);
        if let Some(dvr) = &self.settings.dvr {
            dvr.ended(self.output.room);
        }
    }

    /// When the packager or what is held for it wants a turn.
    pub(super) fn packaging_timeout(&self) -> Option<Instant> {
        let gate = match &self.packaging {
            Packaging::Held(gate) => gate.deadline(),
            Packaging::Off | Packaging::Running => None,
        };
        [gate, self.packager.as_ref().and_then(Packager::poll_timeout)].into_iter().flatten().min()
    }
}
