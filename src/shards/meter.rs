//! What an ingest really sends: rates measured over a sliding window of media time.

use std::collections::VecDeque;
use std::sync::Arc;

use telstar_media::{CodecConfig, Frame, MediaKind, TrackInfo};

/// How much media time the rates are averaged over. Longer is steadier, shorter follows a change sooner.
const WINDOW_SECS: f64 = 4.0;
/// Frames in the window at most: 4 s at 300 frames a second.
const WINDOW_FRAMES_MAX: usize = 1_200;

/// A track as measured.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackStats {
    /// The track.
    pub info: TrackInfo,
    /// The newest configuration.
    pub config: Option<Arc<CodecConfig>>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Bits per second.
    pub bitrate_bps: Option<u64>,
    /// Seconds between the latest two keyframes.
    pub keyframe_interval_secs: Option<f64>,
    /// Frames come in another order than they are shown.
    pub b_frames: bool,
}

impl TrackStats {
    /// A track of which nothing was measured.
    pub(super) fn unmeasured(info: TrackInfo) -> TrackStats {
        let (config, frame_rate, bitrate_bps, keyframe_interval_secs) = (None, None, None, None);
        TrackStats { info, config, frame_rate, bitrate_bps, keyframe_interval_secs, b_frames: false }
    }
}

#[derive(Debug)]
pub(super) struct TrackMeter {
    info: TrackInfo,
    config: Option<Arc<CodecConfig>>,
    window: VecDeque<(i64, usize)>,
    window_bytes: usize,
    last_key: Option<i64>,
    keyframe_interval: Option<i64>,
    pts_max: Option<i64>,
    b_frames: bool,
    shows_late: bool,
}

impl TrackMeter {
    pub(super) fn new(info: TrackInfo) -> TrackMeter {
        TrackMeter {
            info,
            config: None,
            window: VecDeque::new(),
            window_bytes: 0,
            last_key: None,
            keyframe_interval: None,
            pts_max: None,
            b_frames: false,
            shows_late: false,
        }
    }

    pub(super) fn info(&self) -> &TrackInfo {
        &self.info
    }

    /// The newest configuration; `None` before the first frame.
    pub(super) fn config(&self) -> Option<&Arc<CodecConfig>> {
        self.config.as_ref()
    }

    /// A picture was shown later than it was decoded. A source that does so by the same time for every picture cannot be
    /// told from one whose B-frames come later.
    pub(super) fn shows_late(&self) -> bool {
        self.shows_late
    }

    pub(super) fn handle_frame(&mut self, frame: &Frame) {
        if self.config.as_ref().is_none_or(|config| !Arc::ptr_eq(config, &frame.config)) {
            self.config = Some(Arc::clone(&frame.config));
        }
        self.window.push_back((frame.dts, frame.payload.len()));
        self.window_bytes += frame.payload.len();
        let window_ticks = (WINDOW_SECS * f64::from(self.info.timescale.hz())) as i64;
        while let Some((first, bytes)) = self.window.front().copied() {
            if frame.dts - first <= window_ticks && self.window.len() <= WINDOW_FRAMES_MAX {
                break;
            }
            self.window.pop_front();
            self.window_bytes -= bytes;
        }
        if self.info.kind() == MediaKind::Video {
            if frame.key {
                self.keyframe_interval = self.last_key.map(|last| frame.dts - last).or(self.keyframe_interval);
                self.last_key = Some(frame.dts);
            }
            self.shows_late |= frame.pts > frame.dts;
            self.b_frames |= self.pts_max.is_some_and(|latest| frame.pts < latest);
            self.pts_max = Some(self.pts_max.map_or(frame.pts, |latest| latest.max(frame.pts)));
        }
    }

    /// The latest keyframe distance, or how long the present one is already when that is more.
    pub(super) fn keyframe_interval_secs(&self) -> Option<f64> {
        let newest = self.window.back().map(|(dts, _)| *dts);
        let open = self.last_key.zip(newest).map(|(key, newest)| newest - key);
        let ticks = self.keyframe_interval.map(|closed| open.map_or(closed, |open| open.max(closed)))?;
        Some(self.info.timescale.seconds(ticks))
    }

    pub(super) fn stats(&self) -> TrackStats {
        let span = self.window.back().zip(self.window.front()).map(|(last, first)| last.0 - first.0);
        let seconds = span.map(|ticks| self.info.timescale.seconds(ticks)).filter(|seconds| *seconds > 0.0);
        // The last frame's duration is not in the span, so neither are its bytes.
        let last_len = self.window.back().map_or(0, |(_, len)| *len);
        let round = |value: f64| (value * 100.0).round() / 100.0;
        TrackStats {
            info: self.info.clone(),
            config: self.config.clone(),
            frame_rate: seconds.map(|seconds| round((self.window.len() - 1) as f64 / seconds)),
            bitrate_bps: seconds.map(|seconds| ((self.window_bytes - last_len) as f64 * 8.0 / seconds) as u64),
            keyframe_interval_secs: self.keyframe_interval_secs().map(round),
            b_frames: self.b_frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use telstar_media::{Codec, KeyframeMode, Origin};
    use telstar_units::{Timescale, TrackId};

    use super::*;

    #[test]
    fn rates_are_those_of_the_newest_seconds() {
        let info = TrackInfo {
            id: TrackId(1),
            codec: Codec::H264,
            timescale: Timescale::VIDEO,
            keyframes: KeyframeMode::Periodic,
            origin: Origin::Publisher,
        };
        let mut meter = TrackMeter::new(info);
        let config = Arc::new(CodecConfig::Opaque { codec: Codec::H264, record: Bytes::new() });
        for index in 0..600i64 {
            // 30 frames a second, 1,000 bytes each, a keyframe every 2 s, every third frame shown late.
            let late = if index % 3 == 1 { 6_000 } else { 0 };
            meter.handle_frame(&Frame {
                config: Arc::clone(&config),
                dts: index * 3_000,
                pts: index * 3_000 + late,
                duration: 0,
                key: index % 60 == 0,
                payload: Bytes::from(vec![0; 1_000]),
            });
        }
        let stats = meter.stats();
        assert_eq!(stats.frame_rate, Some(30.0));
        assert_eq!(stats.bitrate_bps, Some(240_000));
        assert_eq!(stats.keyframe_interval_secs, Some(2.0));
        assert!(stats.b_frames);
        assert!(meter.window.len() <= 122);
    }
}
