//! The subscribing side of a connection: its sections ("slots"), what each carries, and what it asked for.

use std::collections::BTreeMap;
use std::time::Instant;

use str0m::media::Mid;
use telstar_units::TrackId;

use crate::allocate::Allocator;
use crate::api::{Flow, Kind, Slot as SlotReport, Subscription};
use crate::credit::Credit;
use crate::engine::{Format, PendingOffer};
use crate::rewrite::Rewriter;
use crate::select::Selector;
use crate::throttle::ViewerRequests;

/// One section of a subscriber's connection. Never removed, used for one track after another.
pub(crate) struct Slot {
    pub(crate) mid: Mid,
    pub(crate) kind: Kind,
    /// Sections of one pair are played in step by browsers.
    pub(crate) pair: usize,
    /// Its stream, once the peer has accepted it.
    pub(crate) ssrc: Option<u32>,
    pub(crate) track: Option<TrackId>,
    /// Wanted, but not now.
    pub(crate) paused: bool,
    /// Which layer of a video track is forwarded.
    pub(crate) selector: Option<Selector>,
    /// The publisher's stream that is forwarded.
    pub(crate) source: Option<u32>,
    /// The payload type for the format that was last forwarded; `None` in it when the peer does not know the codec.
    pub(crate) payload_type: Option<(Format, Option<u8>)>,
    pub(crate) flow: Flow,
    pub(crate) layer: Option<u8>,
    /// Makes one stream of all that it ever carries.
    pub(crate) writer: Rewriter,
    /// Packets sent.
    pub(crate) sent: u64,
}

/// An offer that the peer has not answered.
pub(crate) struct Pending {
    pub(crate) version: u32,
    pub(crate) offer: PendingOffer,
}

/// A subscribing connection.
pub(crate) struct Subscriber {
    pub(crate) auto_subscribe: bool,
    pub(crate) wishes: BTreeMap<TrackId, Subscription>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) pending: Option<Pending>,
    /// Sections to be in the next offer.
    pub(crate) wanted: [usize; 2],
    pub(crate) restart: bool,
    pub(crate) offers: u32,
    pub(crate) slots_version: u32,
    pub(crate) slots_changed: bool,
    pub(crate) estimate_bps: u64,
    pub(crate) allocated_bps: u64,
    /// What the estimator was told to look for.
    pub(crate) probed: (u64, u64),
    /// Seconds in which it did not.
    pub(crate) stuck: u8,
    pub(crate) report: bool,
    /// When bandwidth is allocated again.
    pub(crate) allocate_at: Instant,
    pub(crate) allocator: Allocator,
    pub(crate) credit: Credit,
    /// Its keyframe requests.
    pub(crate) requests: ViewerRequests,
}

impl Subscriber {
    pub(crate) fn new(now: Instant, auto_subscribe: bool) -> Subscriber {
        Subscriber {
            auto_subscribe,
            wishes: BTreeMap::new(),
            slots: Vec::new(),
            pending: None,
            wanted: [0, 0],
            restart: false,
            offers: 0,
            slots_version: 0,
            slots_changed: false,
            estimate_bps: 0,
            allocated_bps: 0,
            probed: (0, 0),
            stuck: 0,
            report: false,
            allocate_at: now,
            allocator: Allocator::new(),
            credit: Credit::new(),
            requests: ViewerRequests::new(now),
        }
    }

    /// How it wants a track; `None` if it does not.
    pub(crate) fn wish(&self, track: TrackId) -> Option<Subscription> {
        let wish = match self.wishes.get(&track) {
            Some(wish) => *wish,
            None if self.auto_subscribe => Subscription::default(),
            None => return None,
        };
        wish.enabled.then_some(wish)
    }

    /// The slot that carries a track.
    pub(crate) fn slot_of(&self, track: TrackId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.track == Some(track))
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.slots.iter().filter(|slot| slot.kind == kind).count()
    }

    /// Changes what is said about a slot.
    pub(crate) fn set_flow(&mut self, index: usize, flow: Flow, layer: Option<u8>) {
        let slot = &mut self.slots[index];
        if (slot.flow, slot.layer) != (flow, layer) {
            slot.flow = flow;
            slot.layer = layer;
            self.slots_changed = true;
        }
    }

    /// What the peer is told.
    pub(crate) fn slots(&self) -> Vec<SlotReport> {
        let report = |slot: &Slot| SlotReport {
            mid: slot.mid.to_string(),
            track: slot.track,
            flow: if slot.track.is_some() { slot.flow } else { Flow::Paused },
            layer: slot.layer.filter(|_| slot.track.is_some()),
        };
        self.slots.iter().filter(|slot| slot.ssrc.is_some()).map(report).collect()
    }
}
