//! A synthetic encoder: frames of any rate and group of pictures, on RTMP's millisecond clock.

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::codec::{AacConfig, H264Config};
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, MediaKind, Origin, TrackInfo};
use telstar_units::{Timescale, TrackId};

pub const VIDEO: TrackId = TrackId(1);
pub const AUDIO: TrackId = TrackId(2);

/// AVCDecoderConfigurationRecord of x264, 1280x720.
const AVCC: &str = "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000468ef8fcbfdf8f800";
/// The same for another level: 3.2 instead of 3.1.
const AVCC_CHANGED: &str = "01640020ffe1001a67640020acd9405005bb0110000003001000000303c0f183196001000468ef8fcbfdf8f800";

/// How frames come.
#[derive(Clone, Debug)]
pub enum Rate {
    Constant(f64),
    /// Intervals in milliseconds, repeated.
    Variable(Vec<i64>),
}

/// An encoder's settings.
#[derive(Clone, Debug)]
pub struct Source {
    pub rate: Option<Rate>,
    /// Keyframes: every so many frames.
    pub gop_frames: usize,
    pub b_frames: usize,
    pub audio_hz: Option<u32>,
    pub secs: f64,
    /// First decode time in milliseconds.
    pub start_ms: i64,
    /// Audio begins so much later than video.
    pub audio_delay_ms: i64,
    /// Video begins so much later than audio.
    pub video_delay_ms: i64,
    /// Frames dropped by the encoder, as (first, count).
    pub dropped: Option<(usize, usize)>,
    /// From this frame on the parameter sets are others.
    pub config_changes_at: Option<usize>,
    /// Keyframes at these frames besides the regular ones.
    pub scene_cuts: Vec<usize>,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            rate: Some(Rate::Constant(30.0)),
            gop_frames: 60,
            b_frames: 0,
            audio_hz: Some(48_000),
            secs: 20.0,
            start_ms: 0,
            audio_delay_ms: 0,
            video_delay_ms: 0,
            dropped: None,
            config_changes_at: None,
            scene_cuts: Vec::new(),
        }
    }
}

/// A frame of a track with the millisecond at which it arrives.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at_ms: i64,
    pub track: TrackId,
    pub frame: Frame,
}

impl Source {
    pub fn tracks(&self) -> Vec<TrackInfo> {
        let video = self.rate.is_some().then(video_track);
        video.into_iter().chain(self.audio_hz.map(audio_track)).collect()
    }

    pub fn kinds(&self) -> Vec<MediaKind> {
        self.tracks().iter().map(TrackInfo::kind).collect()
    }

    /// All frames in order of arrival.
    pub fn frames(&self) -> Vec<Arrival> {
        let mut frames = self.video_frames();
        frames.extend(self.audio_frames());
        // Encoders interleave by decode time; the sort is stable, so each track keeps its order.
        frames.sort_by_key(|arrival| arrival.at_ms);
        frames
    }

    fn video_times_ms(&self) -> Vec<i64> {
        let end_ms = (self.secs * 1_000.0) as i64;
        match &self.rate {
            None => Vec::new(),
            Some(Rate::Constant(fps)) => {
                (0..).map(|n| (f64::from(n) * 1_000.0 / fps) as i64).take_while(|&ms| ms < end_ms).collect()
            }
            Some(Rate::Variable(intervals)) => {
                let mut at = 0;
                intervals
                    .iter()
                    .cycle()
                    .map(|interval| {
                        let ms = at;
                        at += interval;
                        ms
                    })
                    .take_while(|&ms| ms < end_ms)
                    .collect()
            }
        }
    }

    fn video_frames(&self) -> Vec<Arrival> {
        let first = Arc::new(video_config(AVCC));
        let second = Arc::new(video_config(AVCC_CHANGED));
        let times = self.video_times_ms();
        let dropped = self.dropped.map(|(first, count)| first..first + count).unwrap_or(0..0);
        let mut last_key = 0;
        let mut arrivals = Vec::new();
        for (n, &ms) in times.iter().enumerate() {
            if dropped.contains(&n) {
                continue;
            }
            let key = n == 0 || (n - last_key) % self.gop_frames == 0 || self.scene_cuts.contains(&n);
            if key {
                last_key = n;
            }
            let delay = self.reorder_ms(n - last_key, &times, n);
            let dts = (ms + self.start_ms + self.video_delay_ms) * 90;
            let changed = self.config_changes_at.is_some_and(|at| n >= at);
            let config = if changed { second.clone() } else { first.clone() };
            let payload = payload('v', n, if key { 6_000 } else { 900 });
            let frame = Frame { config, dts, pts: dts + delay * 90, duration: 0, key, payload };
            arrivals.push(Arrival { at_ms: ms + self.video_delay_ms, track: VIDEO, frame });
        }
        arrivals
    }

    /// Presentation after decoding, as x264 orders a group `I P b b P b b`: references wait for the pictures between.
    fn reorder_ms(&self, in_gop: usize, times: &[i64], n: usize) -> i64 {
        let depth = self.b_frames;
        let shown = |offset: usize| times.get(n + offset).copied().unwrap_or(times[n] + offset as i64 * 33) - times[n];
        match depth {
            0 => 0,
            _ if in_gop == 0 => shown(1),
            _ if (in_gop - 1).is_multiple_of(depth + 1) => shown(depth + 1),
            _ => 0,
        }
    }

    fn audio_frames(&self) -> Vec<Arrival> {
        let Some(hz) = self.audio_hz else { return Vec::new() };
        let config = Arc::new(audio_config(hz));
        let start = (self.start_ms + self.audio_delay_ms) * i64::from(hz) / 1_000;
        let count = ((self.secs - self.audio_delay_ms as f64 / 1_000.0) * f64::from(hz) / 1_024.0) as i64;
        (0..count)
            .map(|n| {
                let dts = start + n * 1_024;
                let payload = payload('a', n as usize, 300);
                let frame = Frame { config: config.clone(), dts, pts: dts, duration: 1_024, key: true, payload };
                let at_ms = self.audio_delay_ms + n * 1_024_000 / i64::from(hz);
                Arrival { at_ms, track: AUDIO, frame }
            })
            .collect()
    }
}

pub fn video_track() -> TrackInfo {
    TrackInfo {
        id: VIDEO,
        codec: Codec::H264,
        timescale: Timescale::VIDEO,
        keyframes: KeyframeMode::Periodic,
        origin: Origin::Publisher,
    }
}

pub fn audio_track(hz: u32) -> TrackInfo {
    TrackInfo {
        id: AUDIO,
        codec: Codec::Aac,
        timescale: Timescale::new(hz).expect("not zero"),
        keyframes: KeyframeMode::None,
        origin: Origin::Publisher,
    }
}

fn video_config(avcc: &str) -> CodecConfig {
    let record: Vec<u8> =
        (0..avcc.len()).step_by(2).map(|at| u8::from_str_radix(&avcc[at..at + 2], 16).expect("hex")).collect();
    CodecConfig::H264(H264Config::parse(&record).expect("x264's record"))
}

fn audio_config(hz: u32) -> CodecConfig {
    let asc: &[u8] = match hz {
        44_100 => &[0x12, 0x10],
        48_000 => &[0x11, 0x90],
        _ => panic!("no AudioSpecificConfig for {hz}"),
    };
    CodecConfig::Aac(AacConfig::parse(Bytes::copy_from_slice(asc)).expect("a record"))
}

/// Bytes that name their frame: kind, number, filling.
fn payload(kind: char, number: usize, len: usize) -> Bytes {
    let mut bytes = format!("{kind}{number:08}").into_bytes();
    bytes.resize(len, b'.');
    bytes.into()
}

/// The name that a payload begins with.
pub fn name_of(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload.get(..9).unwrap_or(payload)).into_owned()
}
