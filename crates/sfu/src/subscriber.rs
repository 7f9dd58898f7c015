//! The subscribing side of a connection: its sections ("slots"), what each carries, and what it asked for.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use str0m::media::Mid;
use telstar_units::TrackId;

use crate::allocate::Allocator;
use crate::api::{Flow, Kind, Slot as SlotReport, Subscription};
use crate::credit::Credit;
use crate::egress::Egress;
use crate::engine::{ESTIMATE_START_BPS, Engine, Format, PendingOffer};
use crate::overshoot::Overshoot;
use crate::police::TokenBucket;
use crate::rewrite::Rewriter;
use crate::room::clock_rate;
use crate::select::Selector;
use crate::throttle::{KEYFRAME_INTERVAL_MIN, ViewerRequests};

/// What may leave for a subscriber beyond its limit, in percent of it: rates are measured over a second and fluctuate.
const EGRESS_PERCENT: u64 = 125;
/// So many seconds of that at once: a keyframe is many times another picture.
const EGRESS_BURST_SECS: u64 = 2;

/// Estimates that a fall is smoothed over, ten a second. More bears longer dips, fewer follow a path sooner that became
/// thin by less than `overshoot.rs` notices.
const ESTIMATES: usize = 10;

/// How long a layer that begins makes the estimator see a queue: its keyframe is five to ten times another picture. What the path
/// does not carry `overshoot.rs` notices in this time as well.
const BEGINS_FOR: Duration = Duration::from_millis(1_500);
/// Until a path's round trip is known it is taken for this one, as libwebrtc does (`kDefaultRttMs`). Lower makes publishers send
/// a keyframe twice to viewers far away, higher does not hear one that lost it at once and has to ask again.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(100);
/// More is looked for so often while it is desired and the estimate does not grow. Lower finds a path sooner that became wide,
/// higher disturbs a thin one less often: the first two probes are 30 ms at three and six times the estimate.
const LOOK_EVERY: Duration = Duration::from_millis(2_500);
/// An estimate that is above so many percent of what it was grows.
const MORE_PERCENT: u64 = 125;
/// A second fall so soon after one that was doubted is believed.
const DOUBT_EVERY: Duration = Duration::from_secs(3);

/// One section of a subscriber's connection. Never removed, used for one track after another.
pub(crate) struct Slot {
    pub(crate) mid: Mid,
    pub(crate) kind: Kind,
    /// Sections of one pair are played in step by browsers.
    pub(crate) pair: usize,
    /// Its stream, once the peer has accepted it.
    pub(crate) ssrc: Option<u32>,
    /// What its viewer is told that it carries.
    pub(crate) track: Option<TrackId>,
    /// What is forwarded: that track, or an alternate of it.
    pub(crate) carries: Option<TrackId>,
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
    /// When the layer that is forwarded began.
    pub(crate) began: Option<Instant>,
    /// When a keyframe began to leave.
    pub(crate) key: Option<Instant>,
    /// Makes one stream of all that it ever carries.
    pub(crate) writer: Rewriter,
    /// Packets sent.
    pub(crate) sent: u64,
    /// When it was given what is kept of a source, and which keyframe that began with.
    pub(crate) given: Option<(Instant, u64)>,
    /// Its viewer cannot decode the source that it carries.
    pub(crate) begs: bool,
}

impl Slot {
    /// One that carries nothing yet. `random` is where its numbers and times begin (RFC 3550 §5.1); numbers in the lower half, so that
    /// the first roll-over is not missed.
    pub(crate) fn new(mid: Mid, kind: Kind, pair: usize, random: u32) -> Slot {
        Slot {
            mid,
            kind,
            pair,
            ssrc: None,
            track: None,
            carries: None,
            paused: false,
            selector: None,
            source: None,
            payload_type: None,
            flow: Flow::Paused,
            layer: None,
            began: None,
            key: None,
            writer: Rewriter::new(clock_rate(kind), u64::from(random & 0x7fff), random),
            sent: 0,
            given: None,
            begs: false,
        }
    }
}

/// An offer that the peer has not answered.
pub(crate) struct Pending {
    pub(crate) version: u32,
    pub(crate) offer: PendingOffer,
}

/// A subscribing connection.
pub(crate) struct Subscriber {
    /// It offers and we answer: its slots are the sections of its first offer.
    pub(crate) is_viewer: bool,
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
    /// What the estimator said lately.
    pub(crate) estimates: VecDeque<u64>,
    /// Since when it did not grow, and what it was then.
    pub(crate) still: (Instant, u64),
    /// When a fall of it was not believed.
    pub(crate) doubted: Option<Instant>,
    /// Whether more is sent than the path carries.
    pub(crate) overshoot: Overshoot,
    /// What is dearer than what is allocated next ends at once.
    pub(crate) stops: bool,
    pub(crate) allocated_bps: u64,
    /// What the estimator was told to look for.
    pub(crate) probed: (u64, u64),
    /// Seconds in which less than half of that was sent.
    pub(crate) stuck: u8,
    pub(crate) report: bool,
    /// When bandwidth is allocated again.
    pub(crate) allocate_at: Instant,
    pub(crate) allocator: Allocator,
    pub(crate) credit: Credit,
    /// What of it was given last.
    pub(crate) lent_bps: u64,
    /// How long its path takes there and back, as last told.
    pub(crate) round_trip: Option<Duration>,
    /// Its keyframe requests.
    pub(crate) requests: ViewerRequests,
    /// All media towards it.
    pub(crate) egress: Egress,
    /// What may leave for it, in bits. Allocation goes by measured rates and learns of a burst when it is over; a publisher and
    /// a viewer who are one could otherwise have each burst sent to an address of their choice.
    pub(crate) allowance: TokenBucket,
}

impl Subscriber {
    pub(crate) fn new(now: Instant, is_viewer: bool, auto_subscribe: bool, send_bps_max: u64) -> Subscriber {
        let egress_bps = send_bps_max.saturating_mul(EGRESS_PERCENT) / 100;
        Subscriber {
            is_viewer,
            auto_subscribe: auto_subscribe && !is_viewer,
            wishes: BTreeMap::new(),
            slots: Vec::new(),
            pending: None,
            wanted: [0, 0],
            restart: false,
            offers: 0,
            slots_version: 0,
            slots_changed: false,
            estimate_bps: 0,
            estimates: VecDeque::new(),
            still: (now, 0),
            doubted: None,
            overshoot: Overshoot::new(),
            stops: false,
            allocated_bps: 0,
            probed: (0, 0),
            stuck: 0,
            report: false,
            allocate_at: now,
            allocator: Allocator::new(),
            credit: Credit::new(),
            lent_bps: 0,
            round_trip: None,
            requests: ViewerRequests::new(now),
            egress: Egress::new(now, ESTIMATE_START_BPS),
            allowance: TokenBucket::new(egress_bps, egress_bps.saturating_mul(EGRESS_BURST_SECS), now),
        }
    }

    /// Whether what a slot's viewer asks for is on its way already: it asked before a keyframe that left since can have reached it.
    pub(crate) fn is_key_coming(&self, now: Instant, slot: &Slot) -> bool {
        let round_trip = self.round_trip.unwrap_or(ROUND_TRIP_UNKNOWN).min(KEYFRAME_INTERVAL_MIN);
        slot.key.is_some_and(|at| now.saturating_duration_since(at) < round_trip)
    }

    /// What the estimator says now. A dip of a moment does not cost a layer: what falls counts as the mean of a second.
    pub(crate) fn note_estimate(&mut self, bps: u64) {
        self.estimates.push_back(bps);
        if self.estimates.len() > ESTIMATES {
            self.estimates.pop_front();
        }
        let sum = self.estimates.iter().fold(0, |sum: u64, bps| sum.saturating_add(*bps));
        self.estimate_bps = bps.max(sum / self.estimates.len() as u64);
    }

    /// Whether a fall of the estimate is to be doubted: while the keyframe of a layer that begins is on its way, or when the path is
    /// clear and no fall was doubted lately.
    pub(crate) fn doubts(&self, now: Instant) -> bool {
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let begins = self.slots.iter().any(|slot| since(slot.began) < BEGINS_FOR);
        (begins && !self.overshoot.is_fresh(now)) || (since(self.doubted) >= DOUBT_EVERY && self.overshoot.is_clear())
    }

    /// Whether to look for more now: more is desired, the path is clear, and the estimate has not grown for a while.
    pub(crate) fn looks_for_more(&mut self, now: Instant, bps: u64) -> bool {
        let (since, then_bps) = self.still;
        let has_enough = self.probed.1 <= self.allocated_bps || bps >= self.probed.1;
        if has_enough || bps * 100 > then_bps * MORE_PERCENT || self.overshoot.is_fresh(now) {
            self.still = (now, bps);
            return false;
        }
        let is_due = now.saturating_duration_since(since) >= LOOK_EVERY && self.overshoot.may_be_clear();
        if is_due {
            self.still = (now, bps);
        }
        is_due
    }

    /// Something was agreed on: what each slot may send from now on.
    pub(crate) fn read_sections(&mut self, engine: &mut Engine) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let section = engine.section(slot.mid, slot.kind);
            slot.ssrc = section.as_ref().map(|section| section.ssrc);
            section.into_iter().for_each(|section| self.egress.set_section(index, section));
        }
        self.slots_changed = true;
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
