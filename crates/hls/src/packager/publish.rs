//! Making snapshots: the only place where the packager's state becomes something viewers can fetch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::MediaKind;

use super::{Effect, Packager};
use crate::config::{DvrWindow, SKIP_WINDOW_TARGET_DURATIONS};
use crate::listing::{Facts, Listing};
use crate::multivariant::{self, Variant};
use crate::playlist::PartId;
use crate::rendered::Rendered;
use crate::rendition::Rendition;
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
        }
    }

    fn rendition(&self, kind: MediaKind) -> Option<&Rendition> {
        self.renditions().find(|rendition| rendition.kind == kind)
    }

    fn view(&mut self, kind: MediaKind) -> Option<RenditionView> {
        let (finished, unlisted) =
            self.renditions_mut().find(|rendition| rendition.kind == kind).map(|rendition| rendition.shelf.view())?;
        let rendition = self.rendition(kind)?;
        let other = match kind {
            MediaKind::Video => MediaKind::Audio,
            MediaKind::Audio => MediaKind::Video,
        };
        let part_target_max_ms = self.renditions().map(|rendition| rendition.part_target_ms).max().unwrap_or(0);
        let hint = (self.state == State::Live).then(|| hint(rendition)).flatten();
        let ended = self.state == State::Ended;
        // Without a target duration nothing is listed yet, but what an earlier listing named stays fetchable.
        let facts = |target_duration_secs| Facts {
            target_duration_secs,
            part_target_ms: rendition.part_target_ms,
            part_target_max_ms,
            parts_from_msn: rendition.parts_from_msn,
            hint,
            report: self.rendition(other).and_then(newest).map(|newest| (other, newest)),
            ended,
            is_event: self.is_event,
            skips: self.offers_skips(target_duration_secs),
            all_independent: rendition.all_independent(),
        };
        let facts = newest(rendition).and(self.target_duration_secs).map(facts);
        let open = rendition.open_segment().map(|open| Arc::new(open.clone()));
        let listing = facts.map(|facts| Listing::new(finished.clone(), unlisted, open.clone(), facts));
        let inits = rendition.inits().to_vec();
        Some(RenditionView {
            kind,
            listing,
            finished,
            open,
            inits,
            hint,
            part_target_ms: rendition.part_target_ms,
            ended,
        })
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
        // A promise that still holds is kept, and its average with it.
        match published.filter(|published| published.bandwidth_bps >= variant.bandwidth_bps) {
            Some(Variant { bandwidth_bps, average_bandwidth_bps, .. }) => {
                (variant.bandwidth_bps, variant.average_bandwidth_bps) = (*bandwidth_bps, *average_bandwidth_bps);
            }
            None => variant.bandwidth_bps = with_headroom(variant.bandwidth_bps),
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
        let peak_bps = listed().map(|rendition| rendition.meter().peak_bps).sum::<f64>();
        let average_bps = listed().map(|rendition| rendition.meter().average_bps()).sum::<f64>();
        let video = of(MediaKind::Video);
        let pictures = video.map(Rendition::picture_meter).filter(|meter| meter.peak_bps > 0.0);
        Variant {
            video: video.and_then(Rendition::facts).cloned(),
            audio: of(MediaKind::Audio).and_then(Rendition::facts).cloned(),
            frame_rate: self.frame_rate.filter(|_| self.rendition(MediaKind::Video).is_some()),
            bandwidth_bps: rounded(peak_bps),
            average_bandwidth_bps: rounded(average_bps),
            pictures: pictures.map(|meter| (rounded(meter.peak_bps), rounded(meter.average_bps()))),
            independent: self.rendition(MediaKind::Video).is_none_or(Rendition::all_independent),
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
