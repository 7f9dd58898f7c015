//! An Enhanced RTMP encoder: packets into message bodies, and those through a session.

use std::time::Duration;

use telstar_media::{Frame, TrackInfo};
use telstar_rtmp::{Event, TrackAdded};
use telstar_units::TrackId;

use crate::rtmp::Pair;
use crate::source::{Packet, Source, Track};

/// Where the first picture stands on RTMP's clock: behind the sound that an encoder primes its decoder with.
const START_MS: i64 = 1_000;

/// How packets are wrapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// FLV's own H.264 and AAC.
    Legacy,
    /// H.264's form with the CodecID that several encoders use for HEVC.
    CodecId12,
    /// Enhanced RTMP.
    CodedFrames([u8; 4]),
    /// The same behind a ModEx prefix with the nanoseconds that the stamp lacks.
    Nanos([u8; 4]),
}

/// What came out of the session.
pub struct Published {
    pub tracks: Vec<TrackAdded>,
    pub frames: Vec<(Duration, TrackId, Frame)>,
    pub warnings: Vec<String>,
    /// Presentation times in ticks that frames should have, for pictures and sound.
    pub times: [Vec<i64>; 2],
}

impl Published {
    pub fn infos(&self) -> Vec<TrackInfo> {
        let info = |added: &TrackAdded| TrackInfo {
            id: TrackId(added.track.0.into()),
            codec: added.codec,
            timescale: added.timescale,
            keyframes: added.keyframes,
            origin: telstar_media::Origin::Publisher,
        };
        self.tracks.iter().map(info).collect()
    }
}

/// One message on its way.
struct Message<'a> {
    is_video: bool,
    form: Form,
    packet: &'a Packet,
    stamp: i64,
}

/// Sends the headers and then every packet at its time.
pub fn publish(source: &Source, forms: [Form; 2]) -> Published {
    let mut pair = Pair::publishing();
    let begin = pair.now;
    pair.video(START_MS as u32, &header(true, forms[0], &source.video.extradata));
    pair.audio(START_MS as u32, &header(false, forms[1], &source.audio.extradata));
    let mut messages: Vec<Message<'_>> = Vec::new();
    for (is_video, form, track) in [(true, forms[0], &source.video), (false, forms[1], &source.audio)] {
        let message = |packet| Message { is_video, form, packet, stamp: packet.dts + START_MS * 1_000_000 };
        messages.extend(track.packets.iter().map(message));
    }
    messages.sort_by_key(|message| message.stamp);
    let mut published =
        Published { tracks: Vec::new(), frames: Vec::new(), warnings: Vec::new(), times: times(source, forms) };
    for message in &messages {
        let millis = rounded_ms(message.stamp, message.form);
        let at = Duration::from_millis(millis as u64);
        pair.now = begin + at;
        let body = body(message);
        match message.is_video {
            true => pair.video(millis as u32, &body),
            false => pair.audio(millis as u32, &body),
        }
        for event in pair.events.drain(..) {
            match event {
                Event::TrackAdded(added) => published.tracks.push(added),
                Event::Frame(frame) => published.frames.push((at, TrackId(frame.track.0.into()), frame.frame)),
                Event::Warning(warning) => published.warnings.push(format!("{warning:?}")),
                _ => {}
            }
        }
    }
    published
}

/// Stamps are whole milliseconds; what a nanosecond offset adds is above them.
fn rounded_ms(nanos: i64, form: Form) -> i64 {
    if matches!(form, Form::Nanos(_)) { nanos / 1_000_000 } else { (nanos + 500_000) / 1_000_000 }
}

/// Where frames should be: pictures at the wire's time, to the millisecond or with its nanoseconds; sound at the time
/// of the first frame and then by its samples.
fn times(source: &Source, forms: [Form; 2]) -> [Vec<i64>; 2] {
    let start = START_MS * 1_000_000;
    let pictures = source.video.packets.iter().map(|packet| match forms[0] {
        Form::Nanos(_) => (packet.pts + start) * 9 / 100_000 + i64::from((packet.pts + start) * 9 % 100_000 >= 50_000),
        form => rounded_ms(packet.dts + start, form) * 90 + composition_ms(packet) * 90,
    });
    let Track { packets, hub_timescale: rate, .. } = &source.audio;
    let to_ticks = |nanos: i64| (nanos as f64 * *rate as f64 / 1e9).round() as i64;
    let first = packets[0].pts;
    let start_ticks = (rounded_ms(first + start, forms[1]) * rate + 500) / 1_000;
    let sound = packets.iter().map(|packet| start_ticks + to_ticks(packet.pts - first));
    [pictures.collect(), sound.collect()]
}

fn composition_ms(packet: &Packet) -> i64 {
    (packet.pts - packet.dts + 500_000) / 1_000_000
}

/// The sequence start with the codec's record.
fn header(is_video: bool, form: Form, record: &[u8]) -> Vec<u8> {
    let first: &[u8] = match (form, is_video) {
        (Form::Legacy, true) => &[0x17, 0, 0, 0, 0],
        (Form::Legacy, false) => &[0xaf, 0],
        (Form::CodecId12, _) => &[0x1c, 0, 0, 0, 0],
        // A key frame's or the sound's extended header; both are 9.
        (Form::CodedFrames(four_cc) | Form::Nanos(four_cc), _) => {
            return [&[0x90], &four_cc[..], &prefix(four_cc), record].concat();
        }
    };
    [first, record].concat()
}

/// What stands before a record: ffprobe shows FLAC's block alone, and VP9's not at all, which is level and colour
/// unknown.
fn prefix(four_cc: [u8; 4]) -> Vec<u8> {
    match &four_cc {
        b"fLaC" => b"fLaC\x80\x00\x00\x22".to_vec(),
        _ => Vec::new(),
    }
}

fn body(message: &Message<'_>) -> Vec<u8> {
    const CODED_FRAMES: u8 = 1;
    const MOD_EX: u8 = 7;
    let Packet { key, data, .. } = message.packet;
    let composition = &(composition_ms(message.packet) as i32).to_be_bytes()[1..];
    let frame_type: u8 = if *key { 0x10 } else { 0x20 };
    match (message.form, message.is_video) {
        (Form::Legacy, true) => [&[frame_type | 7, 1], composition, data].concat(),
        (Form::CodecId12, _) => [&[frame_type | 12, 1], composition, data].concat(),
        (Form::Legacy, false) => [&[0xaf, 1], &data[..]].concat(),
        (Form::CodedFrames(four_cc), false) => [&[0x90 | CODED_FRAMES], &four_cc[..], data].concat(),
        (Form::CodedFrames(four_cc), true) => {
            let composition = if matches!(&four_cc, b"hvc1" | b"avc1") { composition } else { &[] };
            [&[0x80 | frame_type | CODED_FRAMES], &four_cc[..], composition, data].concat()
        }
        (Form::Nanos(four_cc), _) => {
            let nanos = ((message.stamp % 1_000_000) as u32).to_be_bytes();
            // Three bytes of nanoseconds, told as two; then TimestampOffsetNano (0) and the packet type.
            let mod_ex = [0x80 | frame_type | MOD_EX, 2, nanos[1], nanos[2], nanos[3], CODED_FRAMES];
            // A temporal delimiter, as AV1 encoders write one: it must not get into a sample.
            let delimiter: &[u8] = if four_cc == *b"av01" { &[0x12, 0x00] } else { &[] };
            [&mod_ex, &four_cc[..], delimiter, data].concat()
        }
    }
}
