//! What the packager and viewers with a connection of their own get: one picture and one sound.
//!
//! An encoder's main tracks as they are; what every player takes over HLS is listed as it is, and otherwise what a worker makes
//! of it: in its place, or beside it.

use std::time::{Duration, Instant};

use telstar_hls::Packager;
use telstar_media::hub::{Item, Start, SubscriberId, SubscriberSpec, View, WhenFull};
use telstar_media::{Codec, MediaKind, TrackInfo};
use telstar_transcode::Target;
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

/// How a track is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// As it is: every player takes it, or nothing here makes anything better of it.
    AsItIs,
    /// As it is, and beside it as this for those players that do not take it.
    Beside(Target),
    /// Only as this.
    As(Target),
}

impl Listed {
    /// By a track's codec.
    pub(super) fn of(codec: Codec) -> Listed {
        match codec {
            Codec::H264 | Codec::Aac | Codec::Flac | Codec::Ac3 | Codec::Eac3 => Listed::AsItIs,
            Codec::H265 | Codec::Av1 | Codec::Vp9 => Listed::Beside(Target::H264),
            Codec::Vp8 => Listed::As(Target::H264),
            Codec::Opus | Codec::Mp3 => Listed::As(Target::Aac),
        }
    }

    /// The track itself is in a listing.
    pub(super) fn passes(self) -> bool {
        !matches!(self, Listed::As(_))
    }
}

impl ShardRoom {
    /// The tracks that are listed: at most one of a kind.
    pub(super) fn listed_tracks(&self) -> Vec<TrackInfo> {
        self.outlets.iter().map(|outlet| outlet.info.clone()).collect()
    }

    /// The tracks that viewers see: an encoder's own, or of an ingest that landed those that are listed.
    pub(super) fn offered(&self) -> Vec<TrackInfo> {
        match self.ingest.as_ref().filter(|ingest| ingest.landed.is_none()) {
            Some(ingest) => {
                let main = ingest.tracks.iter().filter(|track| track.is_main);
                main.map(|track| track.meter.info().clone()).collect()
            }
            None => self.listed_tracks(),
        }
    }

    fn lists(&self, kind: MediaKind) -> bool {
        self.outlets.iter().any(|outlet| outlet.info.kind() == kind)
    }

    fn outlet(&mut self, info: TrackInfo) -> Option<Outlet> {
        let spec = SubscriberSpec {
            track: info.id,
            layer: BASE,
            view: View::Frames,
            start: Start::Keyframe,
            when_full: WhenFull::DropToKeyframe,
            items_max: PACKAGER_ITEMS_MAX,
        };
        match self.hub.subscribe(spec) {
            Ok(subscriber) => Some(Outlet { info, subscriber }),
            Err(error) => {
                tracing::warn!(%error, "a track is not listed");
                None
            }
        }
    }

    /// The track is listed from here on, in the place of what was listed of its kind.
    pub(super) fn list_track(&mut self, now: Instant, info: TrackInfo) {
        let Some(outlet) = self.outlet(info.clone()) else { return };
        self.outlets.push(outlet);
        let Packaging::Running = self.packaging else { return };
        let before = self.told.iter_mut().find(|told| told.kind() == info.kind());
        let old = match before {
            Some(before) => Some(std::mem::replace(before, info.clone()).id),
            None => {
                self.told.push(info.clone());
                None
            }
        };
        match (&mut self.packager, old) {
            (Some(packager), Some(old)) => packager.replace_track(now, old, info),
            (Some(packager), None) => packager.add_track(now, info),
            (None, _) => {}
        }
    }

    /// The track is over.
    pub(super) fn withdraw(&mut self, now: Instant, track: TrackId) {
        if let Some(outlet) = self.alternate.take_if(|outlet| outlet.info.id == track) {
            self.hub.unsubscribe(outlet.subscriber);
            if let Some(packager) = &mut self.packager {
                packager.set_alternate(now, None);
            }
        }
        let Some(at) = self.outlets.iter().position(|outlet| outlet.info.id == track) else { return };
        let outlet = self.outlets.remove(at);
        self.hub.unsubscribe(outlet.subscriber);
    }

    /// A worker made this of a track. It is listed if the track itself cannot be, or beside it; of an ingest that landed,
    /// viewers see what is listed.
    pub(super) fn offer_converted(&mut self, now: Instant, source: &TrackInfo, info: TrackInfo) {
        let Some(ingest) = &self.ingest else { return };
        let is_main = ingest.main(info.kind()).is_some_and(|main| main.meter.info().id == source.id);
        let has_landed = ingest.landed.is_some();
        match Listed::of(source.codec) {
            Listed::As(to) if is_main && info.codec == to.codec() && !self.lists(info.kind()) => {
                if has_landed {
                    self.take_from_viewers(info.kind());
                    self.offer_to_viewers(&info, None);
                }
                self.list_track(now, info);
            }
            Listed::Beside(to) if is_main && info.codec == to.codec() && self.alternate.is_none() => {
                self.alternate = self.outlet(info.clone());
                if let Some(packager) = &mut self.packager {
                    packager.set_alternate(now, Some(info));
                }
            }
            _ => {}
        }
    }

    /// The conversions that the listing needs. What stands beside a track is needed only while somebody asks for playlists.
    pub(super) fn listing_needs(&self, now: Instant) -> impl Iterator<Item = (TrackInfo, Target)> {
        let is_listed = self.is_listed(now) && self.settings.packager.h264_beside;
        let main = self.ingest.iter().flat_map(|ingest| &ingest.tracks).filter(|track| track.is_main);
        main.map(|track| track.meter.info()).filter_map(move |info| match Listed::of(info.codec) {
            Listed::As(to) => Some((info.clone(), to)),
            Listed::Beside(to) if is_listed => Some((info.clone(), to)),
            Listed::Beside(_) | Listed::AsItIs => None,
        })
    }

    /// Whether somebody asks for playlists of a picture that not every player takes.
    pub(super) fn wants_alternate(&self, now: Instant) -> bool {
        let picture = self.ingest.as_ref().and_then(|ingest| ingest.main(MediaKind::Video));
        let codec = picture.map(|picture| picture.meter.info().codec);
        let is_listed = self.is_listed(now) && self.settings.packager.h264_beside;
        is_listed && codec.is_some_and(|codec| matches!(Listed::of(codec), Listed::Beside(_)))
    }

    pub(super) fn update_alternate(&mut self, now: Instant) {
        let is_wanted = self.wants_alternate(now) && matches!(self.packaging, Packaging::Running);
        if let Some(packager) = &mut self.packager {
            packager.want_alternate(now, is_wanted);
        }
        self.apply_packager(now);
    }

    /// Moves what the hub has for the packager.
    pub(super) fn drain_hub(&mut self, now: Instant) {
        let alternate = self.alternate.as_ref().map(|outlet| outlet.info.id);
        let is_alternate = |outlet: &Outlet| Some(outlet.info.id) == alternate;
        // What is beside a picture comes behind it: it is cut where the picture was.
        for outlet in self.outlets.iter().chain(&self.alternate) {
            self.hub.drain(outlet.subscriber, &mut self.items);
            for item in self.items.drain(..) {
                let Item::Frame(_, frame) = item else { continue };
                match (&mut self.packaging, &mut self.packager) {
                    (Packaging::Running, Some(packager)) => packager.handle_frame(now, outlet.info.id, &frame),
                    (Packaging::Held(gate), _) if !is_alternate(outlet) => gate.push(&outlet.info, frame),
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
        self.start_epoch(now, Duration::from_micros(age), self.listed_tracks());
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
