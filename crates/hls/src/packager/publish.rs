//! Making snapshots: the only place where the packager's state becomes something viewers can fetch.

use std::sync::Arc;
use std::time::Instant;

use telstar_media::MediaKind;

use super::{Effect, Packager};
use crate::multivariant::{self, CodecFacts, Variant};
use crate::playlist::{self, Facts, PartId};
use crate::rendered::Rendered;
use crate::rendition::{Meter, Rendition};
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
        match kind {
            MediaKind::Video => self.video.as_ref().map(|lane| &lane.rendition),
            MediaKind::Audio => self.audio.as_ref().map(|lane| &lane.rendition),
        }
    }

    fn view(&self, kind: MediaKind) -> Option<RenditionView> {
        let rendition = self.rendition(kind)?;
        let other = match kind {
            MediaKind::Video => MediaKind::Audio,
            MediaKind::Audio => MediaKind::Video,
        };
        let part_target_max_ms = self.renditions().map(|rendition| rendition.part_target_ms).max().unwrap_or(0);
        let (finished, unlisted) = rendition.finished();
        let open = rendition.open_segment();
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
        };
        let facts = newest(rendition).and(self.target_duration_secs).map(facts);
        let playlist = facts.map(|facts| Arc::new(playlist::render(finished.range(unlisted..), open, &facts)));
        let segments = finished.iter().cloned().chain(open.map(|open| Arc::new(open.clone()))).collect();
        let inits = rendition.inits().to_vec();
        Some(RenditionView { playlist, segments, inits, hint, part_target_ms: rendition.part_target_ms, ended })
    }

    /// The multivariant playlist, written anew when what it says has changed.
    fn multivariant(&mut self) -> Option<Arc<Rendered>> {
        if !self.renditions().any(is_listed) {
            return None;
        }
        let mut variant = self.variant_now();
        if let Some((published, rendered)) = &self.variant {
            if published.bandwidth_bps >= variant.bandwidth_bps {
                // The promise still holds: keep it, and its average with it.
                variant.bandwidth_bps = published.bandwidth_bps;
                variant.average_bandwidth_bps = published.average_bandwidth_bps;
            }
            if *published == variant {
                return Some(rendered.clone());
            }
        }
        variant.bandwidth_bps = rounded(variant.bandwidth_bps as f64 * BANDWIDTH_HEADROOM).max(variant.bandwidth_bps);
        let rendered = Arc::new(multivariant::render(&variant));
        self.variant = Some((variant, rendered.clone()));
        Some(rendered)
    }

    fn variant_now(&self) -> Variant {
        let meters = || self.renditions().filter(|rendition| is_listed(rendition)).map(Rendition::meter);
        let peak_bps = meters().map(|meter| meter.peak_bps).sum::<f64>();
        let average_bps = meters().map(|meter| Meter::average_bps(&meter)).sum::<f64>();
        let independent =
            self.video.as_ref().is_none_or(|video| listed(&video.rendition).all(|segment| segment.starts_independent));
        Variant {
            video: self
                .video
                .as_ref()
                .filter(|lane| is_listed(&lane.rendition))
                .map(|lane| CodecFacts::of(&lane.config)),
            audio: self
                .audio
                .as_ref()
                .filter(|lane| is_listed(&lane.rendition))
                .map(|lane| CodecFacts::of(&lane.config)),
            frame_rate: self.frame_rate.filter(|_| self.video.is_some()),
            bandwidth_bps: rounded(peak_bps),
            average_bandwidth_bps: rounded(average_bps),
            independent,
        }
    }
}

fn rounded(bps: f64) -> u64 {
    (bps.max(1.0) as u64).next_multiple_of(BANDWIDTH_STEP_BPS)
}

fn listed(rendition: &Rendition) -> impl DoubleEndedIterator<Item = &Segment> {
    let (finished, unlisted) = rendition.finished();
    finished.range(unlisted..).map(Arc::as_ref).chain(rendition.open_segment())
}

fn is_listed(rendition: &Rendition) -> bool {
    newest(rendition).is_some()
}

fn newest(rendition: &Rendition) -> Option<PartId> {
    last_part(listed(rendition))
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
