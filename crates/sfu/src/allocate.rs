//! Which layer of each wanted track a subscriber's path carries.
//!
//! In: the bandwidth estimate, what audio takes of it, and the wanted tracks with the rates of their layers. Out: a
//! layer for each track or none, the sum, and the rate that would satisfy all wishes (for probing).
//!
//! Rules, in this order: audio first; every track gets its lowest layer before any gets more, the most important first
//! (screens, then priority, then the order in which tracks were published); then the most important group rises as far
//! as it is of use, one layer per track and round, then the next group. LiveKit and mediasoup go by priority and in
//! rounds too; Janus leaves it to the application. Down at once, because a path that is overrun queues everything; up
//! only with headroom, when the estimate held for a while, and more slowly after each rise that did not last.
//!
//! Invariant: what is allocated never exceeds the estimate, except for audio, which is never held back, and for lowest
//! layers on credit (`credit.rs`), up to what is lent.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use telstar_units::TrackId;

use crate::select::Layer;
use crate::{Source, Subscription};

/// The most tracks that are looked at; the rest get nothing. The most slots that a connection can be configured to
/// have.
pub const TRACKS_MAX: usize = 100;
/// The most layers of a track that are looked at: four encodings with eight temporal layers.
pub const OPTIONS_MAX: usize = 32;
/// How long the estimate must have carried a rise. Longer flaps less, shorter gives a better picture sooner.
pub const RISE_AFTER: Duration = Duration::from_millis(1_500);
/// The longest wait after rises that did not last.
pub const RISE_AFTER_MAX: Duration = Duration::from_secs(6);
/// A rise that lasted so long was right: the next one waits [`RISE_AFTER`] again.
const RISE_LASTED: Duration = Duration::from_secs(10);
/// After a fall so long ago the path is another one.
const FALL_FORGOTTEN: Duration = Duration::from_secs(60);
/// Percent of the estimate that rises may fill. The rest bears keyframes, resends and the error of measured rates.
const RISE_PERCENT: u64 = 90;
/// Percent of the estimate that rises may fill without a longer wait, however many did not last before: the path is another one
/// by now. Higher tries again and again on a path that carries nearly enough, lower is late on one that became wide.
const AMPLE_PERCENT: u64 = 67;
/// Estimates are remembered in steps, so that their number is bounded however often the allocator is asked.
const REMEMBER_STEP: Duration = Duration::from_millis(100);
/// As many as the longest wait needs.
const REMEMBERED_MAX: usize = (RISE_AFTER_MAX.as_millis() / REMEMBER_STEP.as_millis()) as usize + 2;

const _: () = assert!(RISE_AFTER.as_millis() < RISE_AFTER_MAX.as_millis(), "the wait grows");

/// A layer that a track can be sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerOption {
    /// Which.
    pub layer: Layer,
    /// Pixels; 0 when unknown.
    pub width: u16,
    /// Pixels; 0 when unknown.
    pub height: u16,
    /// Frames per second; 0 when unknown.
    pub frame_rate: u8,
    /// What sending it takes, with the layers that it needs; measured, or announced while it is paused.
    pub bitrate_bps: u64,
}

/// A track that the subscriber wants now.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which.
    pub track: TrackId,
    /// Screens come first.
    pub source: Source,
    /// How: sizes and priority. Those that are not enabled, or paused, get nothing.
    pub subscription: Subscription,
    /// What there is, from the worst to the best.
    pub options: Vec<LayerOption>,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// In the order that was asked in. `None`: the path does not carry it, or nothing of it is wanted.
    pub assigned: Vec<(TrackId, Option<Layer>)>,
    /// The sum, audio included.
    pub total_bps: u64,
    /// What all wishes together would take, audio included.
    pub desired_bps: u64,
}

/// The allocation of one subscriber's connection over time.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    estimates: VecDeque<(Instant, u64)>,
    tracks: BTreeMap<TrackId, Held>,
    lent_bps: u64,
    lowest_bps: u64,
}

/// What a track had.
#[derive(Clone, Copy, Debug)]
struct Held {
    layer: Option<Layer>,
    rose: Instant,
    fell: Option<Instant>,
    /// How long the estimate must carry the next rise.
    wait: Duration,
}

impl Held {
    /// Whether the last rise lasted, or the last fall is long ago.
    fn is_steady(&self, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        match self.fell {
            Some(fell) if fell >= self.rose => since(fell) >= FALL_FORGOTTEN,
            _ => since(self.rose) >= RISE_LASTED,
        }
    }
}

/// A track within one allocation.
struct Candidate<'a> {
    wanted: &'a Wanted,
    /// Its useful options with rising rates: those that cost more than a better one are not among them.
    ladder: Vec<LayerOption>,
    /// Steps of the ladder taken; 0 is nothing.
    steps: usize,
    /// What it had, as steps of this ladder.
    held: usize,
    /// The most that everything together may take if this one rises above what it had.
    roof: u64,
    place: usize,
}

impl Candidate<'_> {
    fn bps(&self, steps: usize) -> u64 {
        steps.checked_sub(1).map_or(0, |step| self.ladder[step].bitrate_bps)
    }

    /// What one step more costs.
    fn rise_bps(&self) -> u64 {
        self.bps(self.steps + 1) - self.bps(self.steps)
    }

    /// Greater is more important.
    fn group(&self) -> (bool, u8) {
        (self.wanted.source == Source::Screen, self.wanted.subscription.priority)
    }
}

impl Allocator {
    /// Nothing was allocated yet.
    pub fn new() -> Allocator {
        Allocator::default()
    }

    /// What the lowest layers of all that was allocated last take, audio included: only those may be on credit.
    pub fn lowest_bps(&self) -> u64 {
        self.lowest_bps
    }

    /// How much lowest layers may take beyond the estimate from now on.
    pub fn set_lent(&mut self, bps: u64) {
        self.lent_bps = bps;
    }

    /// Allocates anew. To be asked a few times a second, and when the estimate or the wishes change.
    pub fn allocate(&mut self, now: Instant, estimate_bps: u64, audio_bps: u64, wanted: &[Wanted]) -> Allocation {
        self.remember(now, estimate_bps);
        let budget = estimate_bps.saturating_sub(audio_bps);
        let mut candidates = self.candidates(now, audio_bps, wanted);
        raise(&mut candidates, budget, estimate_bps.saturating_add(self.lent_bps).saturating_sub(audio_bps));
        self.hold(now, &candidates);
        let used: u64 = candidates.iter().map(|candidate| candidate.bps(candidate.steps)).sum();
        let lowest = candidates.iter().map(|candidate| candidate.bps(candidate.steps.min(1)));
        self.lowest_bps = lowest.fold(audio_bps, u64::saturating_add);
        let desired = candidates.iter().map(|candidate| candidate.bps(candidate.ladder.len()));
        let desired_bps = desired.fold(audio_bps, u64::saturating_add);
        let mut assigned: Vec<_> = wanted.iter().map(|wanted| (wanted.track, None)).collect();
        for candidate in &candidates {
            let option = candidate.steps.checked_sub(1).map(|step| candidate.ladder[step].layer);
            assigned[candidate.place].1 = option;
        }
        Allocation { assigned, total_bps: audio_bps.saturating_add(used), desired_bps }
    }

    /// The tracks that can get something, the most important first.
    fn candidates<'a>(&self, now: Instant, audio_bps: u64, wanted: &'a [Wanted]) -> Vec<Candidate<'a>> {
        let mut candidates: Vec<_> = wanted
            .iter()
            .enumerate()
            .filter(|(_, wanted)| wanted.subscription.enabled && !wanted.subscription.paused)
            .map(|(place, wanted)| {
                let ladder = ladder(wanted);
                let known = self.tracks.get(&wanted.track);
                let had = known.and_then(|held| held.layer);
                let held = ladder.iter().filter(|option| had.is_some_and(|had| option.layer <= had)).count();
                let roof = self.roof(now, known).saturating_sub(audio_bps);
                Candidate { wanted, ladder, steps: 0, held, roof, place }
            })
            .collect();
        candidates
            .sort_by_key(|candidate| (std::cmp::Reverse(candidate.group()), candidate.wanted.track, candidate.place));
        candidates.truncate(TRACKS_MAX);
        candidates
    }

    /// How much a track may fill the estimate by rising.
    fn roof(&self, now: Instant, held: Option<&Held>) -> u64 {
        let fell = held.and_then(|held| held.fell).map(|fell| now.saturating_duration_since(fell));
        let part = |wait: Duration, percent: u64| match fell {
            Some(since) if since < wait => 0,
            _ => (u128::from(self.carried(now, wait)) * u128::from(percent) / 100) as u64,
        };
        let wait = held.map_or(RISE_AFTER, |held| held.wait);
        part(wait, RISE_PERCENT).max(part(RISE_AFTER, AMPLE_PERCENT))
    }

    /// The least estimate of the last `wait`.
    fn carried(&self, now: Instant, wait: Duration) -> u64 {
        let recent = self.estimates.iter().rev();
        // The one before the period still held when it began.
        let mut within = true;
        let period =
            recent.take_while(|(at, _)| std::mem::replace(&mut within, now.saturating_duration_since(*at) < wait));
        period.map(|(_, estimate)| *estimate).min().unwrap_or(0)
    }

    fn remember(&mut self, now: Instant, estimate_bps: u64) {
        // Within a step the least counts, and the step keeps its begin.
        let in_step = |at: Instant| now.saturating_duration_since(at) < REMEMBER_STEP;
        match self.estimates.back_mut() {
            Some((at, least)) if in_step(*at) && *least <= estimate_bps => return,
            Some((at, least)) if in_step(*at) => *least = estimate_bps,
            _ => self.estimates.push_back((now, estimate_bps)),
        }
        if self.estimates.len() > REMEMBERED_MAX {
            self.estimates.pop_front();
        }
    }

    /// Notes what each track has now, and how long it has to wait for more.
    fn hold(&mut self, now: Instant, candidates: &[Candidate<'_>]) {
        let before = std::mem::take(&mut self.tracks);
        for candidate in candidates {
            let layer = candidate.steps.checked_sub(1).map(|step| candidate.ladder[step].layer);
            let held = before.get(&candidate.wanted.track);
            let mut next = held.copied().unwrap_or(Held { layer, rose: now, fell: None, wait: RISE_AFTER });
            if candidate.steps > candidate.held {
                next.rose = now;
            } else if candidate.steps < candidate.held {
                // It did not last. Several steps down within one wait are one fall.
                let again = next.fell.is_none_or(|fell| fell < next.rose);
                if again && now.saturating_duration_since(next.rose) < RISE_LASTED {
                    next.wait = (next.wait * 2).min(RISE_AFTER_MAX);
                }
                next.fell = Some(now);
            } else if next.is_steady(now) {
                next.wait = RISE_AFTER;
            }
            next.layer = layer;
            self.tracks.insert(candidate.wanted.track, next);
        }
    }
}

/// Takes steps within the budget: the first of every track, then group after group, round by round. First steps may
/// take what is lent as well.
fn raise(candidates: &mut [Candidate<'_>], budget: u64, with_credit: u64) {
    let mut used = 0;
    let mut step = |candidate: &mut Candidate<'_>, roof: u64, budget: u64| {
        // What a track had it keeps up to the last bit of the estimate.
        let limit = if candidate.steps < candidate.held { budget } else { roof.min(budget) };
        let more = (candidate.steps < candidate.ladder.len()).then(|| candidate.rise_bps());
        // Rates are what publishers announce: their sum may be beyond any number.
        let wanted = more.and_then(|more| more.checked_add(used)).filter(|wanted| *wanted <= limit);
        if let Some(wanted) = wanted {
            used = wanted;
            candidate.steps += 1;
        }
        wanted.is_some()
    };
    for candidate in candidates.iter_mut() {
        // A track that has nothing begins at once: a first picture, or a lost one, is worth more than steadiness.
        let roof = if candidate.held == 0 { with_credit } else { candidate.roof };
        step(candidate, roof, with_credit);
    }
    for group in candidates.chunk_by_mut(|a, b| a.group() == b.group()) {
        let mut rising = true;
        while rising {
            rising = false;
            for candidate in group.iter_mut().filter(|candidate| candidate.steps > 0) {
                let roof = candidate.roof;
                rising |= step(candidate, roof, budget);
            }
        }
    }
}

/// The options that are of use: none that is larger or faster than what was asked for while a smaller one suffices, and
/// none that costs as much as a better one.
fn ladder(wanted: &Wanted) -> Vec<LayerOption> {
    let Subscription { width, height, frame_rate, .. } = wanted.subscription;
    let options = &wanted.options[..wanted.options.len().min(OPTIONS_MAX)];
    // A tile is filled when one side is: pictures keep their aspect.
    let fills = |option: &LayerOption| (width > 0 && option.width >= width) || (height > 0 && option.height >= height);
    let enough = options.iter().filter(|option| fills(option)).map(|option| option.layer.rung).min();
    let is_fast = |option: &&LayerOption| frame_rate > 0 && option.frame_rate >= frame_rate;
    let enough_of = |rung| {
        let fast = options.iter().filter(is_fast).filter(|option| option.layer.rung == rung);
        fast.map(|option| option.layer.temporal).min()
    };
    let is_useful = |layer: Layer| {
        let size = enough.is_none_or(|rung| layer.rung <= rung);
        size && enough_of(layer.rung).is_none_or(|temporal| layer.temporal <= temporal)
    };
    let mut useful: Vec<_> = options.iter().filter(|option| is_useful(option.layer)).collect();
    useful.sort_by_key(|option| option.layer);
    let mut ladder: Vec<LayerOption> = Vec::with_capacity(useful.len());
    for option in useful {
        while ladder.last().is_some_and(|last| last.bitrate_bps >= option.bitrate_bps) {
            ladder.pop();
        }
        ladder.push(*option);
    }
    ladder
}

#[cfg(test)]
mod tests;
