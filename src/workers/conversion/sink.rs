//! Where converted frames go: into the hub's ring, as a track of a worker's.

use std::sync::Arc;

use telstar_media::{CodecConfig, Frame, KeyframeMode, MediaKind, Origin, TrackInfo};
use telstar_transcode::{MediaFrame, Target};
use telstar_units::TrackId;

use crate::shards::{IngestItem, IngestRing, RingClosed};

/// See the module.
pub(in crate::workers) struct Sink {
    ring: Arc<IngestRing>,
    track: TrackId,
    to: Target,
    config: Option<Arc<CodecConfig>>,
    last: Option<i64>,
    batch: Vec<IngestItem>,
}

impl Sink {
    /// Frames of `track`, as `to`, go into `ring`.
    pub(in crate::workers) fn new(ring: &Arc<IngestRing>, track: TrackId, to: Target) -> Sink {
        let keyframes = match to.codec().kind() {
            MediaKind::Audio => KeyframeMode::None,
            MediaKind::Video => KeyframeMode::OnRequest,
        };
        let info =
            TrackInfo { id: track, codec: to.codec(), timescale: to.timescale(), keyframes, origin: Origin::Worker };
        Sink { ring: Arc::clone(ring), track, to, config: None, last: None, batch: vec![IngestItem::Track(info)] }
    }

    /// Another timeline begins.
    pub(super) fn restart(&mut self) {
        if self.last.take().is_some() {
            self.batch.push(IngestItem::ClockRestarted);
        }
    }

    /// Takes a frame of a worker's. What a worker says is checked like what a stranger says: the error is why it cannot be one
    /// of ours.
    pub(in crate::workers) fn take(&mut self, frame: MediaFrame) -> Result<(), &'static str> {
        if let Some(record) = &frame.record {
            let config = record.config().map_err(|_| "it told a configuration that is none")?;
            if config.codec() != self.to.codec() {
                return Err("it made something else than it was asked for");
            }
            if self.config.as_deref() != Some(&config) {
                self.config = Some(Arc::new(config));
            }
        }
        let Some(config) = self.config.clone() else { return Err("it told no configuration") };
        if frame.track != self.track || frame.pts < frame.dts {
            return Err("it gave frames that it was not asked for");
        }
        // A worker that follows another has no memory of what came out.
        if self.last.is_some_and(|last| frame.dts <= last) {
            return Ok(());
        }
        self.last = Some(frame.dts);
        let MediaFrame { dts, pts, duration, key, payload, .. } = frame;
        self.batch.push(IngestItem::Frame(self.track, Frame { config, dts, pts, duration, key, payload }));
        Ok(())
    }

    /// Hands over what was taken; waits while the shard's ring is full. Not cancel-safe: whoever drops it ends the
    /// conversion.
    pub(in crate::workers) async fn send(&mut self) -> Result<(), RingClosed> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.ring.send(std::mem::take(&mut self.batch)).await
    }
}
