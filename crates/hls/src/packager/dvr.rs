//! The DVR window: handing finished segments over to whoever keeps them, and taking up what an earlier run had kept.

use std::time::{Duration, Instant};

use telstar_media::MediaKind;
use telstar_units::Timescale;

use super::{Effect, Packager};
use crate::budget::{Budget, Share};
use crate::config::{DvrWindow, ENDED_TARGET_DURATIONS, FIRST_ENTRY_PER_MSN};
use crate::rendition::{Init, Place, Rendition};
use crate::segment::{Segment, SegmentId};
use crate::snapshot::State;

/// Where segments are kept, and how much of it this packager may use.
#[derive(Debug)]
pub(super) struct Disk {
    pub budget: Budget,
    pub share: Share,
}

/// An init segment to be kept, with what a listing needs to begin again with it.
#[derive(Clone, Debug)]
pub struct KeptInit {
    /// Whose.
    pub kind: MediaKind,
    /// It.
    pub init: Init,
    /// The clock of its samples.
    pub timescale: Timescale,
    /// PART-TARGET in milliseconds.
    pub part_target_ms: u64,
    /// EXT-X-TARGETDURATION of the listing.
    pub target_duration_secs: u64,
    /// FRAME-RATE of the listing's pictures.
    pub frame_rate: Option<f64>,
}

/// A listing as an earlier run had kept it.
#[derive(Clone, Debug)]
pub struct KeptListing {
    /// In the order in which they were kept.
    pub inits: Vec<KeptInit>,
    /// Segments without their bytes, each rendition's in order of their numbers.
    pub segments: Vec<(MediaKind, Segment)>,
    /// Beyond all numbers that players may have seen.
    pub next_msn: u64,
    /// The stream had ended.
    pub ended: bool,
    /// Something had left the list.
    pub shortened: bool,
}

impl Packager {
    /// From now on finished segments are handed over with [`Effect::Keep`], if the configuration wants a DVR window.
    pub fn with_disk(mut self, budget: Budget) -> Packager {
        if self.config.dvr_window != DvrWindow::Off {
            self.disk = Some(Disk { share: budget.share(), budget });
        }
        self
    }

    /// A segment of [`Effect::Keep`] was kept, or will not be.
    pub fn handle_kept(&mut self, now: Instant, id: SegmentId, is_kept: bool) {
        if let Some(rendition) = self.renditions_mut().find(|rendition| rendition.kind == id.kind) {
            rendition.shelf.note_kept(id.epoch, id.msn, is_kept);
        }
        self.counters.lost_segments += u64::from(!is_kept);
        // What is kept is let go of as the window slides, or now if it does not any more.
        self.dirty |= !is_kept || self.state == State::Ended;
        self.publish(now);
    }

    /// Lists again what an earlier run of the server had kept. The playlists stay open, for a source to go on behind a
    /// discontinuity; or they end, if the stream had. What was listed but not kept is numbered as a gap.
    pub fn restore(&mut self, now: Instant, listing: KeptListing) {
        assert!(self.epoch.is_none() && !self.continues, "a packager takes a listing up before it begins one");
        let Some(budget) = self.disk.as_ref().map(|disk| disk.budget.clone()) else { return };
        let Some(newest) = listing.inits.last() else { return };
        self.inits = listing.inits.iter().map(|kept| kept.init.number).max().unwrap_or(0);
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let segments = listing.segments.iter().filter(|(of, _)| *of == kind).map(|(_, segment)| segment);
            let rendition = self.restored(kind, &listing.inits, &unbroken(segments), &budget);
            self.parked.extend(rendition);
        }
        let last = self.parked.iter().map(Rendition::place).max_by_key(|place| place.msn);
        let Some(last) = last.filter(|last| listing.next_msn <= last.msn + RESTORED_GAPS_MAX) else {
            return self.parked.clear();
        };
        self.target_duration_secs = Some(newest.target_duration_secs);
        self.frame_rate = newest.frame_rate;
        self.next = Place { msn: last.msn.max(listing.next_msn), entry: self.next.entry, ..last };
        let next_msn = self.next.msn;
        // The same for both, or they would drift apart.
        let gap_secs = self.parked.iter().find_map(|rendition| rendition.shelf.listed().next_back()?.duration_secs);
        let gap_secs = gap_secs.unwrap_or(newest.target_duration_secs as f64);
        self.parked.iter_mut().for_each(|rendition| fill(rendition, next_msn, gap_secs));
        self.continues = true;
        self.is_event = self.config.dvr_window == DvrWindow::Event && !listing.shortened;
        self.set_state(if listing.ended { State::Ended } else { State::Reconnecting });
        self.forget_at = listing.ended.then(|| now + self.retention());
        self.publish(now);
    }

    fn restored(
        &self,
        kind: MediaKind,
        inits: &[KeptInit],
        segments: &[&Segment],
        budget: &Budget,
    ) -> Option<Rendition> {
        let first = segments.first()?;
        let newest = inits.iter().rev().find(|kept| kept.kind == kind)?;
        let place = Place {
            epoch: first.epoch,
            msn: first.msn,
            discontinuity_sequence: first.discontinuity_sequence,
            discontinuity: false,
            entry: first.first_entry,
        };
        let mut rendition = Rendition::new(kind, newest.timescale, place, self.budget.clone(), Some(budget.clone()));
        rendition.part_target_ms = newest.part_target_ms;
        let used =
            |init: &Init| segments.iter().any(|segment| (segment.epoch, segment.init) == (init.epoch, init.number));
        let of_kind = inits.iter().filter(|kept| kept.kind == kind).map(|kept| &kept.init);
        of_kind.filter(|init| used(init)).for_each(|init| rendition.restore_init(init.clone()));
        rendition.announced_init = rendition.inits().last().map(|init| (init.epoch, init.number));
        segments.iter().for_each(|segment| rendition.restore((*segment).clone()));
        Some(rendition)
    }

    /// How long what has ended stays fetchable: as long as it would have been listed, and always some target durations.
    pub(super) fn retention(&self) -> Duration {
        let target = Duration::from_secs(self.target_duration_secs.unwrap_or(0));
        let usual = target * ENDED_TARGET_DURATIONS;
        match self.config.dvr_window {
            _ if self.disk.is_none() => usual,
            DvrWindow::Off => usual,
            DvrWindow::Last(window) => usual.max(window),
            DvrWindow::Event => usual.max(EVENT_RETENTION),
        }
    }

    /// Takes the rendition of a kind out, for a lane to go on with.
    pub(super) fn take_rendition(&mut self, kind: MediaKind) -> Option<Rendition> {
        let parked = self.parked.iter().position(|rendition| rendition.kind == kind);
        let parked = parked.map(|at| self.parked.remove(at));
        match kind {
            MediaKind::Video => self.video.take().map(|lane| lane.rendition).or(parked),
            MediaKind::Audio => self.audio.take().map(|lane| lane.rendition).or(parked),
        }
    }

    /// Renditions that the source has no more: what was kept of them goes with them.
    pub(super) fn discard_missing(&mut self, before: &[MediaKind]) {
        for &kind in before {
            if self.disk.is_some() && self.renditions().all(|rendition| rendition.kind != kind) {
                self.effects.push_back(Effect::Discard { kind, below: u64::MAX });
            }
        }
    }

    /// Hands over what was finished, and says what is not needed any more.
    pub(super) fn keep(&mut self) {
        if self.disk.is_none() {
            return;
        }
        let (target_duration_secs, frame_rate) = (self.target_duration_secs.unwrap_or(0), self.frame_rate);
        let mut effects = Vec::new();
        for rendition in self.renditions_mut() {
            let kind = rendition.kind;
            for segment in rendition.shelf.take_unasked() {
                let key = (segment.epoch, segment.init);
                if rendition.announced_init != Some(key)
                    && let Some(init) = rendition.inits().iter().find(|init| (init.epoch, init.number) == key)
                {
                    effects.push(Effect::KeepInit(KeptInit {
                        kind,
                        init: init.clone(),
                        timescale: segment.timescale,
                        part_target_ms: rendition.part_target_ms,
                        target_duration_secs,
                        frame_rate,
                    }));
                    rendition.announced_init = Some(key);
                }
                let listed_from = rendition.shelf.listed_from().unwrap_or(segment.msn);
                effects.push(Effect::Keep { kind, segment, listed_from });
            }
            effects.extend(rendition.shelf.take_discard().map(|below| Effect::Discard { kind, below }));
        }
        self.effects.extend(effects);
    }
}

/// Segments that players may have seen behind the last that was kept. More than memory and the queue of the disk hold were
/// lost before the server ended, and what is older had left the list with them. Lower gives up a window that a slow disk
/// had only not caught up with; higher lists more gaps. A guess.
const RESTORED_GAPS_MAX: u64 = 64;

/// How long an event that has ended stays fetchable. Who was late to it sees its end; longer holds the disk. A guess.
const EVENT_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// The newest segments whose numbers follow one another.
fn unbroken<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<&'a Segment> {
    let mut unbroken: Vec<&Segment> = Vec::new();
    for segment in segments {
        let follows = unbroken.last().is_none_or(|last| {
            let entry = last.first_entry + last.entries();
            segment.msn == last.msn + 1 && segment.first_entry == entry && segment.epoch >= last.epoch
        });
        if !follows {
            unbroken.clear();
        }
        unbroken.push(segment);
    }
    unbroken
}

/// Numbers what was listed but not kept.
fn fill(rendition: &mut Rendition, next_msn: u64, gap_secs: f64) {
    let micros = |secs: f64| (secs * 1e6) as i64;
    let newest = rendition.shelf.listed().next_back();
    let Some(mut wall) = newest.and_then(|last| Some(last.wall.plus_micros(micros(last.duration_secs?)))) else {
        return;
    };
    while rendition.next_msn() < next_msn {
        rendition.push_gap(gap_secs, wall);
        wall = wall.plus_micros(micros(gap_secs));
    }
}

/// Where the I-frame playlist of a new packager begins.
pub(super) fn first_entry(first_msn: u64) -> u64 {
    first_msn.saturating_mul(FIRST_ENTRY_PER_MSN)
}
