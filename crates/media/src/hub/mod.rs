//! The hub: every track of a room, in both views, for any number of subscribers.
//!
//! Frames or packets go in through [`Hub::push_frame`] and [`Hub::push_packet`]; each subscriber takes its view out with
//! [`Hub::drain`]. A publisher never waits for a subscriber: each has a bounded ring and its own [`WhenFull`] answer,
//! and every drop is counted. The hub knows no protocol, no name and no right; ids are its owner's.
//!
//! Drain rule: after each call that takes `&mut self`, call [`Hub::poll_effect`] until it returns `None`.

mod layer;
mod subscriber;

use std::collections::{BTreeMap, VecDeque};

use telstar_units::{LayerId, TrackId};

use crate::frame::{Frame, Packet, TrackInfo};
use layer::Layer;
use subscriber::Subscriber;

pub use layer::{GOP_RING_BYTES_MAX, GOP_RING_SECS_MAX};
pub use subscriber::{Item, Start, SubscriberSpec, View, WhenFull};

/// Tracks in one hub. Higher lets one room hold more memory; lower ends large meetings. 100 participants with camera,
/// microphone and a screen fit.
pub const TRACKS_MAX: usize = 512;
/// Layers of one track: three simulcast layers and renditions of a worker.
pub const LAYERS_MAX: usize = 8;
/// Subscribers in one hub: every participant taking every slot of a large room.
pub const SUBSCRIBERS_MAX: usize = 100_000;

/// A subscription, unique within the hub and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(u64);

/// What the owner of the hub must carry out or know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The first subscriber of a layer came, or the last one left: a publisher that can pause the layer is told.
    Demand {
        /// The track.
        track: TrackId,
        /// The layer.
        layer: LayerId,
        /// Whether anything consumes it.
        wanted: bool,
    },
    /// A subscriber waits for an independent frame of a layer whose source can be asked for one. The adapter throttles.
    KeyframeWanted {
        /// The track.
        track: TrackId,
        /// The layer.
        layer: LayerId,
    },
    /// A subscriber's ring was full and its answer is to close.
    Closed {
        /// Who.
        subscriber: SubscriberId,
    },
}

/// Why the hub refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// No such track.
    #[error("track {0} does not exist")]
    NoTrack(TrackId),
    /// No such layer.
    #[error("track {0} has no layer {1}")]
    NoLayer(TrackId, LayerId),
    /// The track is there already.
    #[error("track {0} exists")]
    TrackExists(TrackId),
    /// The layer takes the other view.
    #[error("layer {1} of track {0} is published in the other view")]
    WrongView(TrackId, LayerId),
    /// Frames cannot be made from this codec's packets or packets from its frames.
    #[error("track {0} cannot be had in that view")]
    NoConversion(TrackId),
    /// [`TRACKS_MAX`], [`LAYERS_MAX`] or [`SUBSCRIBERS_MAX`].
    #[error("the hub is full")]
    Full,
}

/// Drops and conversions since the hub was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounters {
    /// Items that full rings did not take.
    pub items_dropped: u64,
    /// Access units that could not be put together from packets.
    pub frames_dropped: u64,
}

/// The tracks of one room. See the module.
#[derive(Debug, Default)]
pub struct Hub {
    tracks: BTreeMap<TrackId, Track>,
    subscribers: BTreeMap<SubscriberId, Subscriber>,
    next_subscriber: u64,
    effects: VecDeque<Effect>,
    counters: HubCounters,
}

#[derive(Debug)]
struct Track {
    info: TrackInfo,
    layers: BTreeMap<LayerId, Layer>,
}

impl Hub {
    /// An empty hub.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// Adds a track without layers.
    pub fn add_track(&mut self, info: TrackInfo) -> Result<(), HubError> {
        if self.tracks.len() == TRACKS_MAX {
            return Err(HubError::Full);
        }
        if self.tracks.contains_key(&info.id) {
            return Err(HubError::TrackExists(info.id));
        }
        self.tracks.insert(info.id, Track { info, layers: BTreeMap::new() });
        Ok(())
    }

    /// Adds a layer whose source delivers `native`.
    pub fn add_layer(&mut self, track: TrackId, layer: LayerId, native: View) -> Result<(), HubError> {
        let entry = self.tracks.get_mut(&track).ok_or(HubError::NoTrack(track))?;
        if entry.layers.len() == LAYERS_MAX {
            return Err(HubError::Full);
        }
        entry.layers.entry(layer).or_insert_with(|| Layer::new(native, &entry.info));
        Ok(())
    }

    /// Removes a track; its subscribers are told by [`Item::Ended`] behind what they have not taken yet.
    pub fn remove_track(&mut self, track: TrackId) {
        if self.tracks.remove(&track).is_some() {
            for subscriber in self.subscribers.values_mut().filter(|s| s.spec.track == track) {
                subscriber.end();
            }
        }
    }

    /// The tracks in order of their ids.
    pub fn tracks(&self) -> impl Iterator<Item = &TrackInfo> {
        self.tracks.values().map(|track| &track.info)
    }

    /// Takes one frame from a frame-native layer's source.
    pub fn push_frame(&mut self, track: TrackId, layer: LayerId, frame: &Frame) -> Result<(), HubError> {
        let entry = Self::layer(&mut self.tracks, track, layer, View::Frames)?;
        let (frames, packets) = entry.take_frame(frame);
        self.fan_out(track, layer, frames, packets);
        Ok(())
    }

    /// Takes one packet from a packet-native layer's source.
    pub fn push_packet(&mut self, track: TrackId, layer: LayerId, packet: &Packet) -> Result<(), HubError> {
        let entry = Self::layer(&mut self.tracks, track, layer, View::Packets)?;
        let dropped_before = entry.frames_dropped();
        let (frames, packets) = entry.take_packet(packet);
        self.counters.frames_dropped += entry.frames_dropped() - dropped_before;
        self.fan_out(track, layer, frames, packets);
        Ok(())
    }

    /// Subscribes to one layer of a track. With [`Start::Gop`] the ring begins with the newest group of pictures.
    pub fn subscribe(&mut self, spec: SubscriberSpec) -> Result<SubscriberId, HubError> {
        if self.subscribers.len() == SUBSCRIBERS_MAX {
            return Err(HubError::Full);
        }
        let (track, layer) = (spec.track, spec.layer);
        let entry = self.tracks.get_mut(&track).ok_or(HubError::NoTrack(track))?;
        let source = entry.layers.get_mut(&layer).ok_or(HubError::NoLayer(track, layer))?;
        let first = source.consumers == [0, 0];
        source.consume(spec.view).ok_or(HubError::NoConversion(track))?;
        let id = SubscriberId(self.next_subscriber);
        self.next_subscriber += 1;
        let mut subscriber = Subscriber::new(spec);
        if subscriber.spec.start == Start::Gop {
            source.replay(subscriber.spec.view, |item| {
                subscriber.push(item, &mut self.counters.items_dropped);
            });
        }
        if first {
            self.effects.push_back(Effect::Demand { track, layer, wanted: true });
        }
        if subscriber.waits_for_key() && source.can_ask {
            self.effects.push_back(Effect::KeyframeWanted { track, layer });
        }
        self.subscribers.insert(id, subscriber);
        Ok(id)
    }

    /// Moves a subscriber to another layer of its track, at that layer's next independent frame.
    pub fn select_layer(&mut self, id: SubscriberId, layer: LayerId) -> Result<(), HubError> {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return Ok(()) };
        let (track, view) = (subscriber.spec.track, subscriber.spec.view);
        if subscriber.next_layer.unwrap_or(subscriber.spec.layer) == layer {
            return Ok(());
        }
        let entry = self.tracks.get_mut(&track).ok_or(HubError::NoTrack(track))?;
        let source = entry.layers.get_mut(&layer).ok_or(HubError::NoLayer(track, layer))?;
        let first = source.consumers == [0, 0];
        source.consume(view).ok_or(HubError::NoConversion(track))?;
        if first {
            self.effects.push_back(Effect::Demand { track, layer, wanted: true });
        }
        if source.can_ask {
            self.effects.push_back(Effect::KeyframeWanted { track, layer });
        }
        if let Some(abandoned) = subscriber.next_layer.replace(layer) {
            self.release(track, abandoned, view);
        }
        Ok(())
    }

    /// Ends a subscription. Unknown ids are ignored: closing may race with the track's end.
    pub fn unsubscribe(&mut self, id: SubscriberId) {
        if let Some(subscriber) = self.subscribers.remove(&id) {
            let spec = subscriber.spec;
            self.release(spec.track, spec.layer, spec.view);
            if let Some(next) = subscriber.next_layer {
                self.release(spec.track, next, spec.view);
            }
        }
    }

    /// Moves everything that waits for a subscriber into `items`, oldest first.
    pub fn drain(&mut self, id: SubscriberId, items: &mut Vec<Item>) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.drain(items);
        }
    }

    /// Items that this subscriber's full ring did not take.
    pub fn dropped(&self, id: SubscriberId) -> u64 {
        self.subscribers.get(&id).map_or(0, |subscriber| subscriber.dropped)
    }

    /// The next effect, until `None`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Drops of the whole hub.
    pub fn counters(&self) -> HubCounters {
        self.counters
    }

    fn layer(
        tracks: &mut BTreeMap<TrackId, Track>,
        track: TrackId,
        layer: LayerId,
        view: View,
    ) -> Result<&mut Layer, HubError> {
        let entry = tracks.get_mut(&track).ok_or(HubError::NoTrack(track))?;
        let source = entry.layers.get_mut(&layer).ok_or(HubError::NoLayer(track, layer))?;
        if source.native == view { Ok(source) } else { Err(HubError::WrongView(track, layer)) }
    }

    fn fan_out(&mut self, track: TrackId, layer: LayerId, frames: Vec<Frame>, packets: Vec<Packet>) {
        let mut switched = Vec::new();
        let mut closed = Vec::new();
        for (id, subscriber) in self.subscribers.iter_mut().filter(|(_, s)| s.spec.track == track) {
            let items: Vec<Item> = match subscriber.spec.view {
                View::Frames => frames.iter().cloned().map(|frame| Item::Frame(layer, frame)).collect(),
                View::Packets => packets.iter().cloned().map(|packet| Item::Packet(layer, packet)).collect(),
            };
            for item in items {
                if subscriber.next_layer == Some(layer) && item.is_key() {
                    switched.push((subscriber.spec.layer, subscriber.spec.view));
                    subscriber.switch_to(layer);
                }
                if subscriber.spec.layer == layer && !subscriber.push(item, &mut self.counters.items_dropped) {
                    closed.push(*id);
                    break;
                }
            }
            let source = self.tracks.get(&track).and_then(|entry| entry.layers.get(&layer));
            if subscriber.take_key_request() && source.is_some_and(|source| source.can_ask) {
                self.effects.push_back(Effect::KeyframeWanted { track, layer });
            }
        }
        for (layer, view) in switched {
            self.release(track, layer, view);
        }
        for subscriber in closed {
            self.unsubscribe(subscriber);
            self.effects.push_back(Effect::Closed { subscriber });
        }
    }

    fn release(&mut self, track: TrackId, layer: LayerId, view: View) {
        let Some(source) = self.tracks.get_mut(&track).and_then(|entry| entry.layers.get_mut(&layer)) else { return };
        source.release(view);
        if source.consumers == [0, 0] {
            self.effects.push_back(Effect::Demand { track, layer, wanted: false });
        }
    }
}

#[cfg(test)]
mod tests;
