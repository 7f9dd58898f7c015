//! The connection that publishes into a room, and what the streamer is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::hub::SubscriberId;
use telstar_media::{MediaKind, TrackInfo};
use telstar_units::TrackId;

use super::super::meter::TrackMeter;
use super::super::{IngestRing, ShardWarning};

/// Warnings that are events stay this long in the status.
const EVENT_WARNING_AGE: Duration = Duration::from_secs(60);
/// How long an ingest may have one kind of track only before the streamer is told.
const ONE_KIND_GRACE: Duration = Duration::from_secs(3);

/// The connection that publishes now.
pub(super) struct Ingest {
    pub(super) ring: Arc<IngestRing>,
    pub(super) tracks: Vec<Track>,
    /// Seconds between keyframes, while they are too far apart.
    pub(super) keyframe_interval_secs: Option<f64>,
    /// How often the source's clock has begun anew.
    pub(super) clock_restarts: u32,
    since: Instant,
    /// Warnings that are events, with the time of the latest.
    events: Vec<(ShardWarning, Instant)>,
}

/// A track and, if it is a main one, its way to the packager.
pub(super) struct Track {
    pub(super) meter: TrackMeter,
    pub(super) subscriber: Option<SubscriberId>,
}

impl Ingest {
    pub(super) fn new(now: Instant, ring: Arc<IngestRing>) -> Ingest {
        let (tracks, events) = (Vec::new(), Vec::new());
        Ingest { ring, tracks, keyframe_interval_secs: None, clock_restarts: 0, since: now, events }
    }

    /// The tracks that viewers see: at most one of a kind.
    pub(super) fn main_tracks(&self) -> Vec<TrackInfo> {
        let main = self.tracks.iter().filter(|track| track.subscriber.is_some());
        main.map(|track| track.meter.info().clone()).collect()
    }

    pub(super) fn has_main(&self, kind: MediaKind) -> bool {
        self.tracks.iter().any(|track| track.subscriber.is_some() && track.meter.info().kind() == kind)
    }

    pub(super) fn take_track(&mut self, id: TrackId) -> Option<Track> {
        let at = self.tracks.iter().position(|track| track.meter.info().id == id)?;
        Some(self.tracks.remove(at))
    }

    pub(super) fn note(&mut self, now: Instant, warning: ShardWarning) {
        self.events.retain(|(known, _)| *known != warning);
        self.events.push((warning, now));
    }

    pub(super) fn warnings(&self, now: Instant) -> Vec<ShardWarning> {
        let mut warnings = Vec::new();
        warnings.extend(self.keyframe_interval_secs.map(|seconds| ShardWarning::KeyframeInterval { seconds }));
        let has = |kind| self.tracks.iter().any(|track| track.meter.info().kind() == kind);
        if now.saturating_duration_since(self.since) >= ONE_KIND_GRACE && !self.tracks.is_empty() {
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
