//! Who takes the room's frames over a connection of its own: subscriptions in the hub, and the rings they are moved to.
//!
//! A viewer takes one picture and one sound: the main ones, and whatever takes their place.

use std::sync::Arc;

use telstar_media::hub::{Item, Start, SubscriberId, SubscriberSpec, View, WhenFull};
use telstar_media::{Frame, MediaKind, TrackInfo};
use telstar_units::{Timescale, TrackId, rescale};

use super::super::viewer::{ViewerItem, ViewerRing};
use super::{BASE, ShardCounters, ShardRoom};

/// Items of one track in the hub, from where they are moved after every batch: the newest group of pictures must fit.
const VIEWER_HUB_ITEMS_MAX: usize = 4_096;

/// One viewer.
pub(super) struct Viewer {
    ring: Arc<ViewerRing>,
    /// At most one of each kind.
    subscriptions: Vec<(TrackInfo, SubscriberId)>,
    /// The next tracks come from another connection than the ones before.
    restarts: bool,
    /// It was given tracks and has not been told of their end.
    plays: bool,
}

impl ShardRoom {
    /// A viewer comes. It gets the newest group of pictures at once, if there is one.
    pub(in super::super) fn watch(&mut self, ring: Arc<ViewerRing>) {
        let mut viewer = Viewer { ring, subscriptions: Vec::new(), restarts: true, plays: false };
        for info in self.offered() {
            self.offer(&mut viewer, &info, None, Start::Gop);
        }
        viewer.announce();
        self.viewers.push(viewer);
        self.apply_hub();
        self.drain_viewers();
    }

    pub(super) fn has_viewers(&self) -> bool {
        !self.viewers.is_empty()
    }

    /// A track was added, perhaps in the place of another one.
    pub(super) fn offer_to_viewers(&mut self, info: &TrackInfo, replaces: Option<TrackId>) {
        let mut viewers = std::mem::take(&mut self.viewers);
        for viewer in &mut viewers {
            if self.offer(viewer, info, replaces, Start::Keyframe) {
                viewer.announce();
            }
        }
        self.viewers = viewers;
    }

    fn offer(&mut self, viewer: &mut Viewer, info: &TrackInfo, replaces: Option<TrackId>, start: Start) -> bool {
        let replaced = viewer.subscriptions.iter().position(|(old, _)| Some(old.id) == replaces);
        if let Some(at) = replaced {
            let (_, subscriber) = viewer.subscriptions.remove(at);
            self.hub.unsubscribe(subscriber);
        }
        if viewer.subscriptions.iter().any(|(other, _)| other.kind() == info.kind()) {
            return replaced.is_some();
        }
        let subscribed = self.hub.subscribe(SubscriberSpec {
            track: info.id,
            layer: BASE,
            view: View::Frames,
            start,
            when_full: WhenFull::DropToKeyframe,
            items_max: VIEWER_HUB_ITEMS_MAX,
        });
        match subscribed {
            Ok(subscriber) => viewer.subscriptions.push((info.clone(), subscriber)),
            Err(error) => tracing::warn!(%error, "a viewer was not given a track"),
        }
        true
    }

    /// The connection that published is gone. Another may come: viewers wait for it.
    pub(super) fn take_tracks_from_viewers(&mut self) {
        for viewer in &mut self.viewers {
            for (_, subscriber) in viewer.subscriptions.drain(..) {
                self.hub.unsubscribe(subscriber);
            }
            viewer.restarts = true;
        }
    }

    /// What they had of a kind is over, and something else comes in its place.
    pub(super) fn take_from_viewers(&mut self, kind: MediaKind) {
        for viewer in &mut self.viewers {
            let gone = viewer.subscriptions.extract_if(.., |(info, _)| info.kind() == kind);
            gone.for_each(|(_, subscriber)| self.hub.unsubscribe(subscriber));
        }
    }

    /// The stream has ended.
    pub(super) fn end_for_viewers(&mut self) {
        for viewer in &mut self.viewers {
            if std::mem::take(&mut viewer.plays) {
                viewer.ring.push(ViewerItem::Ended);
            }
        }
    }

    /// The room is gone.
    pub(super) fn close_viewers(&self) {
        self.viewers.iter().for_each(|viewer| viewer.ring.close());
    }

    /// Lets go of viewers that have left.
    pub(super) fn forget_viewers(&mut self) {
        if !self.viewers.iter().any(|viewer| viewer.ring.is_abandoned()) {
            return;
        }
        let (left, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.viewers).into_iter().partition(|viewer| viewer.ring.is_abandoned());
        self.viewers = stay;
        for (_, subscriber) in left.into_iter().flat_map(|viewer| viewer.subscriptions) {
            self.hub.unsubscribe(subscriber);
        }
        self.apply_hub();
    }

    /// Moves what the hub has for each viewer into its ring, in the order of the times.
    pub(super) fn drain_viewers(&mut self) {
        let mut frames: Vec<(i64, TrackId, Frame)> = Vec::new();
        let mut lost = 0;
        for viewer in &self.viewers {
            for (info, subscriber) in &viewer.subscriptions {
                self.hub.drain(*subscriber, &mut self.items);
                frames.extend(self.items.drain(..).filter_map(|item| match item {
                    Item::Frame(_, frame) => {
                        Some((rescale(frame.dts, info.timescale, Timescale::MICROS), info.id, frame))
                    }
                    Item::Packet(..) | Item::Ended => None,
                }));
            }
            // Stable, so that frames of one time keep their tracks' order.
            frames.sort_by_key(|(at_us, ..)| *at_us);
            for (_, track, frame) in frames.drain(..) {
                lost += viewer.ring.push(ViewerItem::Frame(track, frame));
            }
        }
        if lost > 0 {
            ShardCounters::add(&self.counters.frames_dropped, lost);
        }
    }
}

impl Viewer {
    /// Tells which tracks there are, if there are any.
    fn announce(&mut self) {
        if self.subscriptions.is_empty() {
            return;
        }
        self.plays = true;
        let restarts = std::mem::take(&mut self.restarts);
        let tracks = self.subscriptions.iter().map(|(info, _)| info.clone()).collect();
        self.ring.push(ViewerItem::Tracks { tracks, restarts });
    }
}
