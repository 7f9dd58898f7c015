//! One subscriber: a bounded ring, and its answer when the ring is full.

use std::collections::VecDeque;

use telstar_units::{LayerId, TrackId};

use crate::frame::{Frame, Packet};

/// Which of the two views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Access units.
    Frames,
    /// RTP packets.
    Packets,
}

/// A subscriber's answer to a full ring. The publisher never waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Throw the ring away and go on at the next independent frame.
    DropToKeyframe,
    /// Throw the oldest item away.
    DropOldest,
    /// End the subscription.
    Close,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the newest group of pictures, if the ring holds one; else at the next independent frame.
    Gop,
    /// At the next independent frame.
    Keyframe,
}

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriberSpec {
    /// The track.
    pub track: TrackId,
    /// The layer to begin with.
    pub layer: LayerId,
    /// Frames or packets.
    pub view: View,
    /// Where to begin.
    pub start: Start,
    /// The answer to a full ring.
    pub when_full: WhenFull,
    /// Items in the ring. Higher bridges longer pauses of the subscriber and holds more memory.
    pub items_max: usize,
}

/// What a subscriber takes out.
#[derive(Clone, Debug)]
pub enum Item {
    /// An access unit of a layer.
    Frame(LayerId, Frame),
    /// An RTP packet of a layer.
    Packet(LayerId, Packet),
    /// The track is gone; nothing follows.
    Ended,
}

impl Item {
    /// Decoding can start here.
    pub fn is_key(&self) -> bool {
        match self {
            Item::Frame(_, frame) => frame.key,
            Item::Packet(_, packet) => packet.key,
            Item::Ended => false,
        }
    }

    fn in_layer(self, layer: LayerId) -> Item {
        match self {
            Item::Frame(_, frame) => Item::Frame(layer, frame),
            Item::Packet(_, packet) => Item::Packet(layer, packet),
            Item::Ended => Item::Ended,
        }
    }
}

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) spec: SubscriberSpec,
    /// The layer to switch to at its next independent frame.
    pub(super) next_layer: Option<LayerId>,
    pub(super) dropped: u64,
    ring: VecDeque<Item>,
    waiting_for_key: bool,
    wants_key: bool,
}

impl Subscriber {
    pub(super) fn new(spec: SubscriberSpec) -> Subscriber {
        let ring = VecDeque::new();
        Subscriber { spec, next_layer: None, dropped: 0, ring, waiting_for_key: true, wants_key: false }
    }

    pub(super) fn waits_for_key(&self) -> bool {
        self.waiting_for_key
    }

    /// Whether a keyframe should be asked for, told once per drop.
    pub(super) fn take_key_request(&mut self) -> bool {
        std::mem::take(&mut self.wants_key)
    }

    pub(super) fn switch_to(&mut self, layer: LayerId) {
        self.spec.layer = layer;
        self.next_layer = None;
        self.waiting_for_key = true;
    }

    /// Takes an item. False: the ring is full and the answer is to close.
    pub(super) fn push(&mut self, item: Item, dropped_in_all: &mut u64) -> bool {
        if self.waiting_for_key && !item.is_key() {
            // Before the start nothing was promised; after a drop each further item is lost too.
            let lost = u64::from(self.dropped > 0);
            self.dropped += lost;
            *dropped_in_all += lost;
            return true;
        }
        self.waiting_for_key = false;
        let mut lost = 0;
        if self.ring.len() >= self.spec.items_max {
            match self.spec.when_full {
                WhenFull::Close => return false,
                WhenFull::DropOldest => {
                    self.ring.pop_front();
                    lost = 1;
                }
                WhenFull::DropToKeyframe => {
                    lost = self.ring.len() as u64;
                    self.ring.clear();
                    if !item.is_key() {
                        lost += 1;
                        self.waiting_for_key = true;
                        self.wants_key = true;
                    }
                }
            }
        }
        self.dropped += lost;
        *dropped_in_all += lost;
        if !self.waiting_for_key {
            self.ring.push_back(item.in_layer(self.spec.layer));
        }
        true
    }

    pub(super) fn end(&mut self) {
        self.ring.push_back(Item::Ended);
    }

    pub(super) fn drain(&mut self, items: &mut Vec<Item>) {
        items.extend(self.ring.drain(..));
    }
}
