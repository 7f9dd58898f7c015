//! The frames before the first playlist of a stretch, kept back until the numbers that it fixes are known.
//!
//! TARGETDURATION may never change once it was published (RFC 8216bis §6.2.1), so it is not guessed: the prelude waits
//! for a whole segment, or as long as the configuration allows. A continued playlist has its target duration already and
//! waits for a frame rate only.

use std::time::Duration;

use telstar_media::{Frame, MediaKind};
use telstar_units::Timescale;

use crate::cadence::Interval;
use crate::config::{
    CONTINUE_FRAMES_MIN, CONTINUE_WAIT, HlsConfig, KEYFRAME_GRACE, PRELUDE_BYTES_MAX, PRELUDE_FRAMES_MAX,
    SEGMENT_TOLERANCE, TARGET_DURATION_SECS_MIN,
};
use crate::lane::Moment;

/// Frames in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Prelude {
    frames: Vec<(MediaKind, Frame)>,
    bytes: usize,
    video: Option<Video>,
    audio: Option<Span>,
}

#[derive(Debug)]
struct Span {
    first: Moment,
    end: Moment,
}

/// What the frames from the first keyframe on have shown.
#[derive(Debug)]
struct Video {
    span: Span,
    decode_times: Vec<i64>,
    last_key: i64,
    longest_gop: i64,
    /// The first segment: up to the first keyframe that may end it.
    segment: Option<i64>,
}

/// What makes a prelude long enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// There was no playlist before: the target duration is to be found.
    pub first: bool,
    pub has_video: bool,
    pub has_audio: bool,
    /// The longest that a continued playlist's groups of pictures last: its target duration.
    pub gop_max: Duration,
}

impl Prelude {
    /// Takes a frame. Video before the first keyframe is not kept; returns whether this one was.
    pub fn push(&mut self, config: &HlsConfig, kind: MediaKind, timescale: Timescale, frame: &Frame) -> bool {
        match kind {
            MediaKind::Video if self.video.is_none() && !frame.key => return false,
            MediaKind::Video => self.watch_video(config, timescale, frame),
            MediaKind::Audio => {
                let end = Moment::new(frame.dts + i64::from(frame.duration), timescale);
                let first = Moment::new(frame.dts, timescale);
                self.audio.get_or_insert(Span { first, end }).end = end;
            }
        }
        self.bytes += frame.payload.len();
        self.frames.push((kind, frame.clone()));
        true
    }

    fn watch_video(&mut self, config: &HlsConfig, timescale: Timescale, frame: &Frame) {
        let moment = Moment::new(frame.dts, timescale);
        let video = self.video.get_or_insert(Video {
            span: Span { first: moment, end: moment },
            decode_times: Vec::new(),
            last_key: frame.dts,
            longest_gop: 0,
            segment: None,
        });
        video.span.end = moment;
        video.decode_times.push(frame.dts);
        if !frame.key {
            return;
        }
        video.longest_gop = video.longest_gop.max(frame.dts - video.last_key);
        video.last_key = frame.dts;
        let elapsed = moment.secs_since(video.span.first);
        let least = config.segment_min.saturating_sub(SEGMENT_TOLERANCE).as_secs_f64();
        if video.segment.is_none() && elapsed >= least {
            video.segment = Some(frame.dts - video.span.first.ticks);
        }
    }

    /// Takes back everything of a kind.
    pub fn forget(&mut self, kind: MediaKind) {
        self.frames.retain(|(of, _)| *of != kind);
        self.bytes = self.frames.iter().map(|(_, frame)| frame.payload.len()).sum();
        match kind {
            MediaKind::Video => self.video = None,
            MediaKind::Audio => self.audio = None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Decode time of the first video frame that was kept.
    pub fn video_start(&self) -> Option<Moment> {
        self.video.as_ref().map(|video| video.span.first)
    }

    pub fn interval(&self) -> Option<Interval> {
        let video = self.video.as_ref()?;
        Interval::of(&video.decode_times, video.span.first.timescale)
    }

    /// The playlist can begin.
    pub fn is_ready(&self, config: &HlsConfig, goal: Goal) -> bool {
        if self.frames.is_empty() {
            return false;
        }
        if self.frames.len() >= PRELUDE_FRAMES_MAX || self.bytes >= PRELUDE_BYTES_MAX {
            return true;
        }
        // A segment that no keyframe ends is cut within the tolerance: the first playlist lists it and knows its bitrate.
        let longest = match goal.first {
            true => config.first_playlist_wait + SEGMENT_TOLERANCE,
            false => CONTINUE_WAIT.min(config.first_playlist_wait),
        };
        let reached = |span: &Span, longest: Duration| span.end.secs_since(span.first) >= longest.as_secs_f64();
        let waited = |span: &Span| reached(span, longest);
        let audio_is_there = self.audio.is_some();
        match (&self.video, &self.audio) {
            (Some(video), _) => {
                let sound = audio_is_there || !goal.has_audio;
                let enough = if goal.first {
                    video.segment.is_some()
                } else {
                    sound && (video.decode_times.len() >= CONTINUE_FRAMES_MIN || video.longest_gop > 0)
                };
                enough || waited(&video.span)
            }
            // A source that goes on in the middle of a group of pictures has nothing to show before the next keyframe.
            (None, Some(audio)) if goal.has_video => reached(audio, longest.max(goal.gop_max + KEYFRAME_GRACE)),
            (None, Some(audio)) => !goal.first || audio.end.secs_since(audio.first) >= config.segment_min.as_secs_f64(),
            (None, None) => false,
        }
    }

    /// The least target duration that lists what was seen: the longest group of pictures or the first segment, or all of
    /// it if no segment has ended; in whole seconds, and at least two. A segment may last up to the tolerance longer,
    /// which the standard's rounding of EXTINF allows (RFC 8216bis §4.4.3.1).
    pub fn target_duration_secs(&self, config: &HlsConfig) -> u64 {
        let longest_secs = match &self.video {
            Some(video) => {
                let whole = video.span.end.ticks - video.span.first.ticks;
                let ticks = video.longest_gop.max(video.segment.unwrap_or(whole));
                let secs = video.span.first.timescale.seconds(ticks);
                if video.segment.is_some() { secs } else { secs.min(config.first_playlist_wait.as_secs_f64()) }
            }
            None => 0.0,
        };
        let longest_secs = longest_secs.max(config.segment_min.as_secs_f64());
        let secs = (longest_secs - SEGMENT_TOLERANCE.as_secs_f64()).ceil() as u64;
        secs.max(TARGET_DURATION_SECS_MIN)
    }

    /// The longest group of pictures, or the time without a second keyframe.
    pub fn keyframe_interval_secs(&self) -> Option<f64> {
        let video = self.video.as_ref()?;
        let open = video.span.end.ticks - video.last_key;
        Some(video.span.first.timescale.seconds(video.longest_gop.max(open)))
    }

    /// The earliest decode time that will be written, for shifting a timeline that begins before zero. Video's are
    /// written `video_lead_secs` earlier than they are here.
    pub fn earliest_secs(&self, video_lead_secs: f64) -> f64 {
        let secs = |at: Moment| at.timescale.seconds(at.ticks);
        let video = self.video.as_ref().map(|video| secs(video.span.first) - video_lead_secs);
        let audio = self.audio.as_ref().map(|span| secs(span.first));
        [video, audio].into_iter().flatten().fold(0.0, f64::min)
    }

    /// The frames in order of decode time, so that both tracks are cut at the same places however they arrived.
    pub fn take_sorted(&mut self) -> Vec<(MediaKind, Frame)> {
        let Prelude { mut frames, video, audio, .. } = std::mem::take(self);
        let timescale = |kind: MediaKind| match kind {
            MediaKind::Video => video.as_ref().map(|video| video.span.first.timescale),
            MediaKind::Audio => audio.as_ref().map(|span| span.first.timescale),
        };
        // Stable: each track keeps its own order.
        frames.sort_by_cached_key(|(kind, frame)| timescale(*kind).map(|scale| Moment::new(frame.dts, scale).micros()));
        frames
    }

    /// The first frame of a kind.
    pub fn first(&self, kind: MediaKind) -> Option<&Frame> {
        self.frames.iter().find(|(of, _)| *of == kind).map(|(_, frame)| frame)
    }
}
