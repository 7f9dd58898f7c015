//! Making snapshots: the only place where the packager's state becomes something viewers can fetch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::MediaKind;

use super::{Effect, Packager};
use crate::config::{DvrWindow, SKIP_WINDOW_TARGET_DURATIONS};
use crate::listing::{Facts, Listing};
use crate::multivariant::{self, AlternateVariant, Bandwidth, Variant};
use crate::playlist::{PartId, RenditionId};
use crate::rendered::Rendered;
use crate::rendition::Rendition;
use crate::segment::Segment;
use crate::snapshot::{RenditionView, Snapshot, State, last_part};

/// Over the peak that was measured: what is promised must hold for the next segments too. RFC 8216bis §4.4.6.2 asks for an
/// upper bound, Apple's authoring specification for live peaks below 125 % of it.
const BANDWIDTH_HEADROOM: f64 = 1.1;
/// Bandwidths are rounded up to this, so that small changes do not rewrite the playlist.
const BANDWIDTH_STEP_BPS: u64 = 1_000;

impl Packager {
    /// Emits a snapshot if anything that viewers see has changed.
    pub(super) fn publish(&mut self, now: Instant) {
        if !self.dirty {
            return;
        }
        self.slide(now);
        self.keep();
        self.dirty = false;
        let snapshot = self.snapshot();
        self.effects.push_back(Effect::Snapshot(Arc::new(snapshot)));
    }

    fn snapshot(&mut self) -> Snapshot {
        let multivariant = self.multivariant();
        Snapshot {
            state: self.state,
            multivariant,
            target_duration_secs: self.target_duration_secs,
            video: self.view(MediaKind::Video),
            audio: self.view(MediaKind::Audio),
            alternate: self.alternate_view(),
            lacks_alternate: self.lacks_alternate(),
        }
    }

    fn rendition(&self, kind: MediaKind) -> Option<&Rendition> {
        self.renditions().find(|rendition| rendition.kind == kind)
    }

    fn view(&mut self, kind: MediaKind) -> Option<RenditionView> {
        let held = self.renditions_mut().find(|rendition| rendition.kind == kind)?.shelf.view();
        Some(self.view_of(kind.into(), self.rendition(kind)?, held))
    }

    fn alternate_view(&mut self) -> Option<RenditionView> {
        let held = self.alternate.lane.as_mut()?.rendition.shelf.view();
        Some(self.view_of(RenditionId::Alternate, &self.listed_alternate()?.rendition, held))
    }

    /// The renditions that are listed, with their newest parts.
    fn newest_parts(&self) -> impl Iterator<Item = (RenditionId, PartId)> {
        let sources = self.renditions().map(|rendition| (rendition.kind.into(), rendition));
        let alternate = self.listed_alternate().map(|lane| (RenditionId::Alternate, &lane.rendition));
        sources.chain(alternate).filter_map(|(id, rendition)| Some((id, newest(rendition)?)))
    }

    fn view_of(&self, id: RenditionId, rendition: &Rendition, held: (Arc<[Arc<Segment>]>, usize)) -> RenditionView {
        let (finished, unlisted) = held;
        let part_target_max_ms = self.all_renditions().map(|rendition| rendition.part_target_ms).max().unwrap_or(0);
        let hint = (self.state == State::Live).then(|| hint(rendition)).flatten();
        let ended = self.state == State::Ended;
        // Without a target duration nothing is listed yet, but what an earlier listing named stays fetchable.
        let facts = |target_duration_secs| Facts {
            target_duration_secs,
            part_target_ms: rendition.part_target_ms,
            part_target_max_ms,
            parts_from_msn: rendition.parts_from_msn,
            hint,
            reports: self.newest_parts().filter(|(other, _)| *other != id).collect(),
            ended,
            // Of the alternate there is no more than memory holds.
            is_event: self.is_event && id != RenditionId::Alternate,
            skips: self.offers_skips(target_duration_secs),
            all_independent: rendition.all_independent(),
        };
        let facts = newest(rendition).and(self.target_duration_secs).map(facts);
        let open = rendition.open_segment().map(|open| Arc::new(open.clone()));
        let listing = facts.map(|facts| Listing::new(finished.clone(), unlisted, open.clone(), facts));
        let inits = rendition.inits().to_vec();
        RenditionView { id, listing, finished, open, inits, hint, part_target_ms: rendition.part_target_ms, ended }
    }

    /// Delta updates are worth it once the list is twice as long as what they must leave in. It is the configuration that
    /// decides, not what is listed now, so that EXT-X-SERVER-CONTROL says the same for as long as the listing goes on.
    fn offers_skips(&self, target_duration_secs: u64) -> bool {
        let least = Duration::from_secs(target_duration_secs * SKIP_WINDOW_TARGET_DURATIONS);
        self.disk.is_some()
            && match self.config.dvr_window {
                DvrWindow::Off => false,
                DvrWindow::Last(window) => window >= least,
                DvrWindow::Event => true,
            }
    }

    /// The multivariant playlist, written anew when what it says has changed.
    fn multivariant(&mut self) -> Option<Arc<Rendered>> {
        if !self.renditions().any(is_listed) {
            return None;
        }
        let mut variant = self.variant_now();
        let published = self.variant.as_ref().map(|(published, _)| published);
        variant.bandwidth.keep_promise(published.map(|published| &published.bandwidth));
        if let Some(alternate) = &mut variant.alternate {
            let promised = published.and_then(|published| published.alternate.as_ref());
            alternate.bandwidth.keep_promise(promised.map(|promised| &promised.bandwidth));
        }
        let promised = published.and_then(|published| published.pictures);
        variant.pictures = variant.pictures.map(|(peak_bps, average_bps)| {
            promised.filter(|(promised, _)| *promised >= peak_bps).unwrap_or((with_headroom(peak_bps), average_bps))
        });
        if let Some((_, rendered)) = self.variant.as_ref().filter(|(published, _)| *published == variant) {
            return Some(rendered.clone());
        }
        let rendered = Arc::new(multivariant::render(&variant));
        self.variant = Some((variant, rendered.clone()));
        Some(rendered)
    }

    fn variant_now(&self) -> Variant {
        let listed = || self.renditions().filter(|rendition| is_listed(rendition));
        let of = |kind| listed().find(|rendition| rendition.kind == kind);
        let video = of(MediaKind::Video);
        let alternate = self.listed_alternate().filter(|lane| video.is_some() && is_listed(&lane.rendition));
        let audio = || listed().filter(|rendition| rendition.kind == MediaKind::Audio);
        let pictures = video.map(Rendition::picture_meter).filter(|meter| meter.peak_bps > 0.0);
        Variant {
            video: video.and_then(Rendition::facts).cloned(),
            audio: of(MediaKind::Audio).and_then(Rendition::facts).cloned(),
            frame_rate: self.frame_rate.filter(|_| self.rendition(MediaKind::Video).is_some()),
            bandwidth: bandwidth(listed()),
            alternate: alternate.and_then(|lane| {
                Some(AlternateVariant {
                    facts: lane.rendition.facts()?.clone(),
                    bandwidth: bandwidth(audio().chain([&lane.rendition])),
                })
            }),
            pictures: pictures.map(|meter| (rounded(meter.peak_bps), rounded(meter.average_bps()))),
            independent: self
                .renditions()
                .chain(alternate.map(|lane| &lane.rendition))
                .filter(|rendition| is_listed(rendition))
                .all(Rendition::all_independent),
        }
    }
}

/// Of what is played together.
fn bandwidth<'a>(together: impl Iterator<Item = &'a Rendition>) -> Bandwidth {
    let (mut peak_bps, mut average_bps) = (0.0, 0.0);
    for rendition in together {
        peak_bps += rendition.meter().peak_bps;
        average_bps += rendition.meter().average_bps();
    }
    Bandwidth { peak_bps: rounded(peak_bps), average_bps: rounded(average_bps) }
}

impl Bandwidth {
    /// A promise that still holds is kept, and its average with it.
    fn keep_promise(&mut self, promised: Option<&Bandwidth>) {
        match promised.filter(|promised| promised.peak_bps >= self.peak_bps) {
            Some(promised) => *self = *promised,
            None => self.peak_bps = with_headroom(self.peak_bps),
        }
    }
}

fn with_headroom(bps: u64) -> u64 {
    rounded(bps as f64 * BANDWIDTH_HEADROOM).max(bps)
}

fn rounded(bps: f64) -> u64 {
    (bps.max(1.0) as u64).next_multiple_of(BANDWIDTH_STEP_BPS)
}

fn is_listed(rendition: &Rendition) -> bool {
    newest(rendition).is_some()
}

fn newest(rendition: &Rendition) -> Option<PartId> {
    last_part(rendition.listed())
}

/// Where the next part will be: in the open segment, or first in the next one.
fn hint(rendition: &Rendition) -> Option<PartId> {
    let next = rendition.place();
    let first = PartId { epoch: next.epoch, msn: next.msn, part: 0 };
    Some(match rendition.open_segment().filter(|_| !rendition.hint_next_segment) {
        Some(open) => PartId { epoch: open.epoch, msn: open.msn, part: open.parts.len() as u32 },
        None => first,
    })
}
