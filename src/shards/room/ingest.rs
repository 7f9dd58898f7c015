//! The connection that publishes into a room, and what the streamer is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::MediaKind;
use telstar_units::{ParticipantId, TrackId};

use super::super::meter::{TrackMeter, TrackStats};
use super::super::{IngestRing, IngestVia, ShardWarning};
use super::landing::Landed;

/// Warnings that are events stay this long in the status.
const EVENT_WARNING_AGE: Duration = Duration::from_secs(60);
/// How long an ingest may have one kind of track only before the streamer is told.
const ONE_KIND_GRACE: Duration = Duration::from_secs(3);

/// The connection that publishes now.
pub(super) struct Ingest {
    pub(super) participant: ParticipantId,
    pub(super) ring: Arc<IngestRing>,
    /// How its media comes.
    pub(super) via: IngestVia,
    pub(super) tracks: Vec<Track>,
    /// It comes by the SFU.
    pub(super) landed: Option<Landed>,
    /// Conversions of its tracks that were wanted so far.
    pub(super) conversions_begun: u64,
    /// Seconds between keyframes, while they are too far apart.
    pub(super) keyframe_interval_secs: Option<f64>,
    /// How often the source's clock has begun anew.
    pub(super) clock_restarts: u32,
    since: Instant,
    /// Warnings that are events, with the time of the latest.
    events: Vec<(ShardWarning, Instant)>,
}

/// A track.
pub(super) struct Track {
    pub(super) meter: TrackMeter,
    /// The one of its kind that viewers see.
    pub(super) is_main: bool,
}

impl Ingest {
    pub(super) fn new(now: Instant, participant: ParticipantId, ring: Arc<IngestRing>, via: IngestVia) -> Ingest {
        Ingest {
            participant,
            ring,
            via,
            tracks: Vec::new(),
            landed: (via == IngestVia::Call).then(Landed::default),
            conversions_begun: 0,
            keyframe_interval_secs: None,
            clock_restarts: 0,
            since: now,
            events: Vec::new(),
        }
    }

    pub(super) fn main(&self, kind: MediaKind) -> Option<&Track> {
        self.tracks.iter().find(|track| track.is_main && track.meter.info().kind() == kind)
    }

    pub(super) fn track_mut(&mut self, id: TrackId) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.meter.info().id == id)
    }

    pub(super) fn take_track(&mut self, id: TrackId) -> Option<Track> {
        let at = self.tracks.iter().position(|track| track.meter.info().id == id)?;
        Some(self.tracks.remove(at))
    }

    pub(super) fn note(&mut self, now: Instant, warning: ShardWarning) {
        self.events.retain(|(known, _)| *known != warning);
        self.events.push((warning, now));
    }

    /// The tracks as measured, or as far as they are known.
    pub(super) fn stats(&self) -> Vec<TrackStats> {
        let Some(landed) = &self.landed else { return self.tracks.iter().map(|track| track.meter.stats()).collect() };
        let measured = |id| self.tracks.iter().find(|track| track.meter.info().id == id);
        let stats = landed.stats().map(|known| measured(known.info.id).map_or(known, |track| track.meter.stats()));
        stats.collect()
    }

    /// What there is of it, whether or not it is looked at now.
    fn kinds(&self) -> Vec<MediaKind> {
        match &self.landed {
            Some(landed) => landed.kinds().collect(),
            None => self.tracks.iter().map(|track| track.meter.info().kind()).collect(),
        }
    }

    pub(super) fn warnings(&self, now: Instant) -> Vec<ShardWarning> {
        let mut warnings = Vec::new();
        warnings.extend(self.keyframe_interval_secs.map(|seconds| ShardWarning::KeyframeInterval { seconds }));
        let kinds = self.kinds();
        let has = |kind| kinds.contains(&kind);
        if now.saturating_duration_since(self.since) >= ONE_KIND_GRACE && !kinds.is_empty() {
            if !has(MediaKind::Audio) {
                warnings.push(ShardWarning::NoAudio);
            }
            if !has(MediaKind::Video) {
                warnings.push(ShardWarning::NoVideo);
            }
        }
        let recent = |at: Instant| now.saturating_duration_since(at) < EVENT_WARNING_AGE;
        warnings.extend(self.events.iter().filter(|(_, at)| recent(*at)).map(|(warning, _)| *warning));
        warnings
    }
}
