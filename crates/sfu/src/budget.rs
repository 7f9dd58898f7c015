//! What each slot of a subscriber may carry, from the estimate of its path.

use std::time::{Duration, Instant};

use telstar_units::TrackId;

use crate::allocate::{LayerOption, Wanted};
use crate::api::{Flow, Kind, Subscription};
use crate::bitrate::WINDOW;
use crate::credit::lend_unheard;
use crate::demux::Key;
use crate::peer::{Peer, Side};
use crate::room::{Rung, Track};
use crate::select::{Layer, Selector, Shape};
use crate::sfu::Sfu;

/// How often bandwidth is allocated without a change. Lower follows the layers' rates closer, higher costs less.
const ALLOCATE_EVERY: Duration = Duration::from_millis(300);
/// What layers take of which nobody said it and nothing came: low, medium, high. A track's only encoding is taken for a
/// high one: no probe goes beyond twice what is looked for, and the first ones are to find what it takes.
const UNKNOWN_BPS: [u64; 3] = [150_000, 500_000, 1_700_000];
/// What a slot of sound takes, at most: Opus of browsers with its header.
const AUDIO_BPS: u64 = 40_000;
/// While more is desired than the path is known to carry, it is filled up to this share of what is sent, so that the
/// estimate can rise. Higher finds a better path sooner and costs the bits.
const FILL_PERCENT: u64 = 150;
/// What is looked for, in percent of what all wishes take: the estimator stops looking once it has that much, and rises need
/// headroom (`allocate.rs`). Higher costs the bits of probes, lower leaves a viewer one layer below what the path carries.
const LOOK_PERCENT: u64 = 145;
/// And by so much more, so that it rises from sound alone.
const FILL_BPS: u64 = 100_000;
/// A highest layer that has begun so lately and with less than this share of what was announced gets too little of its
/// publisher's uplink, which may take even that away: a browser turns its highest layer off and on until it knows its
/// path, and each time viewers would freeze. Later a low rate is a still picture. Longer keeps still pictures small for
/// longer, shorter lets more viewers see the publisher's beginnings.
const BEGINNING: Duration = Duration::from_secs(3);
const BEGINNING_PERCENT: u64 = 25;
/// What a layer measures before says nothing: it begins with a keyframe. Longer keeps viewers at the layer below.
const FIRST_FRAMES: Duration = Duration::from_millis(800);

impl Sfu {
    /// Allocates, if it is time to.
    pub(crate) fn allocate_if_due(&mut self, key: Key) {
        let due = self.peers.get(key).and_then(Peer::as_subscriber).is_some_and(|s| s.allocate_at <= self.now);
        if due {
            self.allocate(key);
        }
    }

    /// Sets each slot's target, and asks for the keyframes that are missing then.
    pub(crate) fn allocate(&mut self, key: Key) {
        let now = self.now;
        let Some(wanted) = self.wishes(key) else { return };
        let audio_bps = self.audio_bps(key);
        let send_bps_max = self.config.limits.send_bps_max;
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(subscriber) = peer.subscriber() else { return };
        subscriber.allocate_at = now + ALLOCATE_EVERY;
        let estimate = match subscriber.estimate_bps {
            0 => crate::engine::ESTIMATE_START_BPS,
            bps => bps,
        };
        let estimate = estimate.min(send_bps_max);
        let lent = match subscriber.estimate_bps {
            0 => lend_unheard(estimate),
            _ => subscriber.credit.lend(now, estimate, subscriber.allocated_bps),
        };
        subscriber.lent_bps = lent.min(send_bps_max - estimate);
        subscriber.allocator.set_lent(subscriber.lent_bps);
        let allocation = subscriber.allocator.allocate(now, estimate, audio_bps, &wanted);
        let stops = std::mem::take(&mut subscriber.stops);
        let mut stopped = Vec::new();
        for (track, layer) in &allocation.assigned {
            let Some(index) = subscriber.slot_of(*track) else { continue };
            let slot = &mut subscriber.slots[index];
            let paused = slot.paused;
            if let Some(selector) = &mut slot.selector {
                selector.set_target(*layer);
                if stops && selector.stop_dearer() {
                    stopped.push(index);
                }
            }
            if layer.is_none() && !paused {
                subscriber.set_flow(index, Flow::Bandwidth, None);
            }
        }
        for slot in &mut subscriber.slots {
            let allocated = allocation.assigned.iter().any(|(track, _)| slot.track == Some(*track));
            if !allocated && let Some(selector) = &mut slot.selector {
                selector.set_target(None);
            }
        }
        subscriber.allocated_bps = allocation.total_bps;
        let desired = allocation.desired_bps.saturating_mul(LOOK_PERCENT) / 100;
        let desired = desired.min(send_bps_max);
        let (least, desired) = match allocation.desired_bps > allocation.total_bps {
            // A keyframe needs all that is left of the path.
            _ if subscriber.overshoot.is_fresh(now) => (0, 0),
            true => (desired.min(allocation.total_bps * FILL_PERCENT / 100 + FILL_BPS), desired),
            false => (0, desired),
        };
        stopped.into_iter().for_each(|slot| subscriber.egress.forget_sent(slot));
        if subscriber.probed != (least, desired) {
            subscriber.probed = (least, desired);
            subscriber.egress.set_bitrate(now, least, desired);
            self.touch_media(key, |_, _| {});
        }
        self.ask_for_missing(key);
    }

    /// The video tracks that a subscriber's slots carry and what there is of each.
    fn wishes(&mut self, key: Key) -> Option<Vec<Wanted>> {
        let now = self.now;
        let subscriber = self.peers.get(key)?.as_subscriber()?;
        let mut wanted = Vec::new();
        for slot in subscriber.slots.iter().filter(|slot| slot.kind == Kind::Video && !slot.paused) {
            let Some(id) = slot.track else { continue };
            let subscription = subscriber.wish(id).unwrap_or_default();
            let Some(track) = slot.carries.and_then(|carried| self.tracks.get_mut(&carried)) else { continue };
            if track.muted || slot.payload_type.is_some_and(|(_, known)| known.is_none()) {
                continue;
            }
            wanted.push(wish(now, id, track, subscription));
        }
        Some(wanted)
    }

    fn audio_bps(&self, key: Key) -> u64 {
        let Some(subscriber) = self.peers.get(key).and_then(Peer::as_subscriber) else { return 0 };
        let flowing = subscriber.slots.iter().filter(|slot| slot.kind == Kind::Audio && !slot.paused);
        let heard = flowing.filter(|slot| {
            let track = slot.carries.and_then(|carried| self.tracks.get(&carried));
            track.is_some_and(|track| !track.muted && !track.is_silent(self.now))
        });
        heard.count() as u64 * AUDIO_BPS
    }

    /// Says of slots whose publisher sends nothing that it is so.
    pub(crate) fn note_silence(&mut self, id: TrackId) {
        let now = self.now;
        let Some(track) = self.tracks.get(&id) else { return };
        // A paused layer is silent because we asked for it.
        if !track.is_silent(now) || track.rungs.iter().all(|rung| !rung.told) {
            return;
        }
        for viewer in &track.viewers {
            let Some(peer) = self.peers.get_mut(viewer.peer) else { continue };
            let Side::Subscriber(subscriber) = &mut peer.side else { continue };
            if subscriber.slots[viewer.slot].flow == Flow::Active {
                subscriber.set_flow(viewer.slot, Flow::Silent, None);
            }
        }
    }
}

fn wish(now: Instant, id: TrackId, track: &mut Track, subscription: Subscription) -> Wanted {
    let shape = track.shape();
    let mut options = Vec::with_capacity(track.rungs.len());
    let is_only = track.rungs.len() == 1;
    let mut below_bps: u64 = 0;
    let top = track.rungs.len() - 1;
    let mut is_below_flowing = false;
    for (index, rung) in track.rungs.iter_mut().enumerate() {
        let announced = track.announced.get(index);
        let is_alone = !is_below_flowing && rung.is_flowing(now);
        let can_wait = index == top && top > 0 && !is_alone;
        if can_wait && is_beginning(now, rung, announced.map_or(0, |layer| layer.bitrate_bps)) {
            break;
        }
        is_below_flowing = rung.is_flowing(now);
        let bitrate_bps = cost(now, rung, announced.map_or(0, |layer| layer.bitrate_bps), unknown_bps(index, is_only));
        // A layer that measures less than the one below it was not all there yet, or sends next to nothing.
        let bitrate_bps = bitrate_bps.max(below_bps.saturating_add(1));
        below_bps = bitrate_bps;
        let layer = match shape {
            Shape::Simulcast => Layer::whole(index as u8),
            // The whole stream with all its spatial layers.
            Shape::Svc => Layer::whole(Layer::TOP_TEMPORAL),
        };
        options.push(LayerOption {
            layer,
            width: announced.map_or(0, |layer| layer.width),
            height: announced.map_or(0, |layer| layer.height),
            frame_rate: announced.map_or(0, |layer| layer.frame_rate),
            bitrate_bps,
        });
    }
    Wanted { track: id, source: track.source, subscription, options }
}

/// What a layer takes: what was measured while it was sent in full, and what was said of it otherwise. One that begins
/// again measures next to nothing at first.
fn cost(now: Instant, rung: &mut Rung, announced_bps: u64, unknown_bps: u64) -> u64 {
    let measured = if rung.is_flowing(now) { rung.meter.bps(now) } else { 0 };
    let is_settled = rung.told && now.saturating_duration_since(rung.turned) >= WINDOW;
    match (measured, announced_bps) {
        (0, 0) => unknown_bps,
        (0, announced) => announced,
        (measured, _) if is_settled => measured,
        (measured, announced) => measured.max(announced),
    }
}

/// Whether a layer is not yet what it is to be, other than because it was asked for just now.
fn is_beginning(now: Instant, rung: &mut Rung, announced_bps: u64) -> bool {
    let age = |at: Instant| now.saturating_duration_since(at);
    if rung.resumed.is_some_and(|at| age(at) < BEGINNING) {
        return false;
    }
    let Some(since) = rung.meter.since() else { return age(rung.turned) < BEGINNING };
    // Its first frame alone measures much.
    let is_little = age(since) < FIRST_FRAMES || rung.meter.bps(now) * 100 < announced_bps * BEGINNING_PERCENT;
    age(since) < BEGINNING && rung.is_flowing(now) && is_little
}

/// What a layer is taken for of which nothing is known.
fn unknown_bps(index: usize, is_only: bool) -> u64 {
    let last = UNKNOWN_BPS.len() - 1;
    UNKNOWN_BPS[if is_only { last } else { index.min(last) }]
}

/// A track's codec changed: its viewers' selectors begin anew.
pub(crate) fn renew(selector: &mut Selector, shape: Shape) {
    let target = selector.target().map(|target| match shape {
        Shape::Simulcast => target,
        Shape::Svc => Layer::whole(Layer::TOP_TEMPORAL),
    });
    *selector = Selector::new(shape);
    selector.set_target(target);
}
