//! What is looked after ten times a second: silence, time limits, allocation, demand, who speaks.

use std::time::Duration;

use telstar_units::TrackId;

use crate::api::{Bandwidth, Event, Fault, Flow, Quality, RoomId};
use crate::demux::Key;
use crate::egress::Known;
use crate::engine::Figures;
use crate::overshoot::Verdict;
use crate::peer::{Link, Peer, SILENCE, Side};
use crate::sfu::{Chore, Sfu};

/// Loss in percent and round trip in milliseconds from which a connection is [`Quality::Good`] only: people who listen
/// closely notice (ITU-T G.114 calls up to 150 ms one way fine).
const GOOD: (f32, f32) = (2.0, 300.0);
/// From which it is [`Quality::Poor`].
const POOR: (f32, f32) = (8.0, 700.0);
/// So many reports in a row have to agree before a better quality is told. A worse one needs one less.
const AGREE: u8 = 3;
/// Seconds in a row in which less than half of the padding left that was asked for, before the estimator begins anew.
/// A queue in the path is gone after so long.
const STUCK_SECONDS: u8 = 2;
/// What is told to the peer and judged is counted over so long; figures come up to ten times as often.
const FIGURES_EVERY: Duration = Duration::from_millis(950);
/// A fall below so many percent of the estimate is not believed while the path is clear.
const UNFOUNDED_PERCENT: u64 = 85;
/// An estimate that grew by so many percent is allocated at once.
const GROWN_PERCENT: u64 = 105;

impl Sfu {
    pub(crate) fn tick(&mut self) {
        for key in self.peers.all() {
            if let Some(fault) = self.supervise(key)
                && let Some(peer) = self.peers.take(key)
            {
                self.bury(key, peer, Some(fault));
                continue;
            }
            self.allocate_if_due(key);
        }
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        for room in rooms {
            self.tick_room(room);
        }
        for key in self.peers.all() {
            self.tell_slots(key);
        }
    }

    fn tick_room(&mut self, id: RoomId) {
        let tracks: Vec<TrackId> = match self.rooms.get(&id) {
            Some(room) => room.tracks.iter().copied().collect(),
            None => return,
        };
        for track in tracks {
            self.repeat_requests(track);
            self.note_silence(track);
            self.weigh_demand(track);
            self.ask_for_tapped(track);
        }
        self.listen(id);
    }

    /// Who speaks, and whose sound gets the slots.
    fn listen(&mut self, id: RoomId) {
        let now = self.now;
        let slots = self.config.limits.audio_slots;
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.speakers.handle_timeout(now);
        let changed = room.speakers.poll_slots().is_some();
        if let Some(speakers) = room.speakers.poll_speakers() {
            let who = |(track, level): (TrackId, u8)| Some((self.tracks.get(&track)?.participant, level));
            let speakers = speakers.into_iter().filter_map(who).collect();
            self.events.push_back(Event::Speakers { room: id, speakers });
        }
        let sounds = self.tracks.values().filter(|track| track.room == id && track.kind == crate::api::Kind::Audio);
        if changed && sounds.count() > slots {
            self.assign_room(id);
        }
    }

    /// Whether a connection has to be given up.
    fn supervise(&mut self, key: Key) -> Option<Fault> {
        let limits = self.config.limits;
        let now = self.now;
        let peer = self.peers.get_mut(key)?;
        let quiet = now.saturating_duration_since(peer.heard);
        match peer.link {
            Link::New => {}
            Link::Connecting(since) => {
                if now.saturating_duration_since(since) >= limits.connect_timeout {
                    return Some(if peer.paths.is_empty() { Fault::NoPath } else { Fault::Handshake });
                }
            }
            Link::Up if quiet >= SILENCE => {
                peer.link = Link::Silent;
                self.events.push_back(Event::Disconnected { peer: peer.id });
                rate(peer, Quality::Lost).into_iter().for_each(|event| self.events.push_back(event));
            }
            Link::Silent if quiet < SILENCE => {
                peer.link = Link::Up;
                self.events.push_back(Event::Connected { peer: peer.id });
            }
            // RFC 7675 §5.1: without consent nothing is sent any more.
            Link::Silent if quiet >= limits.consent_timeout => return Some(Fault::NoPath),
            Link::Up | Link::Silent => {}
        }
        None
    }

    /// What is known of a subscriber's path, ten times a second.
    pub(crate) fn sample(&mut self, key: Key, peer: &mut Peer, known: &Known) {
        let now = self.now;
        let Side::Subscriber(subscriber) = &mut peer.side else { return };
        subscriber.round_trip = known.round_trip;
        let verdict = subscriber.overshoot.handle_sample(now, known.bytes_sent, known.round_trip, known.loss);
        let estimate_bps = match (verdict, known.estimate_bps) {
            (Verdict::Overshoot(bps) | Verdict::Settling(bps), _) => match subscriber.estimate_bps {
                // Of a path that told nothing this is the first that is known.
                0 => bps,
                known => bps.min(known),
            },
            (Verdict::Fine, Some(bps))
                if bps * 100 < subscriber.estimate_bps * UNFOUNDED_PERCENT
                    && bps < subscriber.probed.1
                    && subscriber.doubts(now) =>
            {
                subscriber.doubted = Some(now);
                // The keyframe of a layer that begins looks like a queue to the estimator, which may fall for it.
                let (estimate_bps, (least, desired)) = (subscriber.estimate_bps, subscriber.probed);
                subscriber.egress.set_estimate(now, estimate_bps);
                subscriber.egress.set_bitrate(now, least, desired);
                estimate_bps
            }
            (Verdict::Fine, Some(bps)) => {
                if subscriber.looks_for_more(now, bps) {
                    // The estimator probes when it begins anew, and under other conditions that loss or padding keeps away.
                    let (least, desired) = subscriber.probed;
                    subscriber.egress.set_estimate(now, bps);
                    subscriber.egress.set_bitrate(now, least, desired);
                }
                bps
            }
            (Verdict::Fine, None) => return,
        };
        if verdict != Verdict::Fine {
            // Until the reports about what was sent before are in, nothing is learnt from them.
            subscriber.estimates.clear();
            subscriber.stops = verdict == Verdict::Overshoot(estimate_bps) || subscriber.stops;
            subscriber.probed = (0, 0);
            subscriber.egress.set_estimate(now, estimate_bps);
            subscriber.egress.set_bitrate(now, 0, 0);
        }
        let before_bps = subscriber.estimate_bps;
        subscriber.note_estimate(estimate_bps);
        let estimate_bps = subscriber.estimate_bps;
        if estimate_bps < subscriber.allocated_bps || estimate_bps * 100 >= before_bps * GROWN_PERCENT {
            subscriber.allocate_at = now;
        }
        if matches!(verdict, Verdict::Overshoot(_)) {
            self.chores.push_back(Chore::Allocate(key));
        }
    }

    /// A second of a connection passed.
    pub(crate) fn figures(&mut self, peer: &mut Peer, figures: Figures) {
        if self.now.saturating_duration_since(peer.counted) < FIGURES_EVERY {
            return;
        }
        peer.counted = self.now;
        let before = std::mem::replace(&mut peer.figures, figures);
        let id = peer.id;
        if let Some(publisher) = peer.publisher() {
            let streams: Vec<u32> = publisher.sources.iter().map(|source| source.ssrc).collect();
            let repairs = streams.into_iter().filter_map(|ssrc| peer.engine.source(ssrc)?.2).collect();
            if let Some(publisher) = peer.publisher() {
                publisher.repairs = repairs;
            }
        }
        if let Some(subscriber) = peer.subscriber()
            && subscriber.report
        {
            let bandwidth = Bandwidth {
                estimate_bps: subscriber.estimate_bps,
                allocated_bps: subscriber.allocated_bps,
                sent_bps: figures.bytes_sent.saturating_sub(before.bytes_sent) * 8,
                round_trip_ms: figures.round_trip_ms,
                loss: figures.loss_out,
            };
            self.events.push_back(Event::Bandwidth { peer: id, bandwidth });
        }
        self.wake_estimator(peer, figures.bytes_sent.saturating_sub(before.bytes_sent) * 8);
        if peer.link == Link::Up {
            let quality = quality(peer, &figures);
            self.events.extend(rate(peer, quality));
        }
    }
}

impl Sfu {
    /// No padding leaves while the estimator sees a queue or much is lost (`egress.rs`), and an estimate below what is filled
    /// up to lets less of it leave. Where that lasts longer than a queue does, the estimator begins anew where it was: then it
    /// probes, which needs no padding to have gone before.
    fn wake_estimator(&mut self, peer: &mut Peer, sent_bps: u64) {
        let now = self.now;
        let Some(subscriber) = peer.subscriber() else { return };
        let is_stuck = subscriber.estimate_bps > 0 && sent_bps * 2 < subscriber.probed.0;
        subscriber.stuck = if is_stuck { subscriber.stuck + 1 } else { 0 };
        if subscriber.stuck >= STUCK_SECONDS {
            subscriber.stuck = 0;
            let (estimate, (least, desired)) = (subscriber.estimate_bps, subscriber.probed);
            subscriber.egress.set_estimate(now, estimate);
            subscriber.egress.set_bitrate(now, least, desired);
        }
    }
}

fn quality(peer: &Peer, figures: &Figures) -> Quality {
    let (loss, held_back) = match &peer.side {
        Side::Publisher(_) => (figures.loss_in, false),
        Side::Subscriber(subscriber) => {
            (figures.loss_out, subscriber.slots.iter().any(|slot| slot.track.is_some() && slot.flow == Flow::Bandwidth))
        }
    };
    let (loss, round_trip) = (loss.unwrap_or(0.0) * 100.0, figures.round_trip_ms.unwrap_or(0.0));
    if loss >= POOR.0 || round_trip >= POOR.1 {
        Quality::Poor
    } else if loss >= GOOD.0 || round_trip >= GOOD.1 || held_back {
        Quality::Good
    } else {
        Quality::Excellent
    }
}

/// Tells a quality when reports agree on it.
fn rate(peer: &mut Peer, quality: Quality) -> Option<Event> {
    let (last, times) = peer.trend;
    let times = if last == quality { times.saturating_add(1) } else { 1 };
    peer.trend = (quality, times);
    let needed = match peer.quality {
        _ if quality == Quality::Lost => 1,
        None => 1,
        Some(told) if quality < told => AGREE - 1,
        Some(_) => AGREE,
    };
    if peer.quality == Some(quality) || times < needed {
        return None;
    }
    peer.quality = Some(quality);
    Some(Event::Quality { peer: peer.id, quality })
}
