//! Streams made by the ffmpeg command, as frames of the hub.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use telstar_media::codec::{AacConfig, Av1Config, H264Config, H265Config, H265ParameterSets, ObuKind, obus};
use telstar_media::{Codec, CodecConfig, Frame};
use telstar_units::{Timescale, rescale};

/// The clock of a track of this configuration.
pub fn timescale(config: &CodecConfig) -> Timescale {
    config.sample_rate().and_then(Timescale::new).unwrap_or(Timescale::VIDEO)
}

/// What ffmpeg writes to its standard output.
pub fn ffmpeg(arguments: &str) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-loglevel", "error"])
        .args(arguments.split_whitespace())
        .arg("-")
        .output()
        .expect("scripts/packages test installs ffmpeg");
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Two seconds and a half of sound with a short loud tone at every half second.
pub const BEEPS: &str = "-f lavfi -i aevalsrc='0.8*sin(2*PI*1000*t)*lt(mod(t+0.25\\,0.5)\\,0.03)':s=48000:d=3";

/// Frames of the only track of an FLV file: AVC, AAC or MP3.
pub fn flv(bytes: &[u8]) -> Vec<Frame> {
    let (mut rest, mut config, mut frames, mut samples) = (&bytes[13..], None, Vec::new(), 0);
    while let Some(header) = rest.first_chunk::<11>() {
        let number = |bytes: &[u8]| bytes.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        let (len, wire_ms) = (number(&header[1..4]) as usize, i64::from(number(&header[4..7])));
        let body = &rest[11..11 + len];
        rest = &rest[11 + len + 4..];
        match (header[0], body) {
            (9, [_, 0, _, _, _, record @ ..]) => {
                config = Some(Arc::new(CodecConfig::H264(H264Config::parse(record).expect("ffmpeg's record"))));
            }
            (9, [kind, 1, c0, c1, c2, payload @ ..]) => {
                let config = Arc::clone(config.as_ref().expect("the record comes first"));
                let dts = rescale(wire_ms, Timescale::MILLIS, Timescale::VIDEO);
                let shown = wire_ms + i64::from(i32::from_be_bytes([*c0, *c1, *c2, 0]) >> 8);
                let pts = rescale(shown, Timescale::MILLIS, Timescale::VIDEO);
                let payload = Bytes::copy_from_slice(payload);
                frames.push(Frame { config, dts, pts, duration: 0, key: kind >> 4 == 1, payload });
            }
            (8, [format, 0, record @ ..]) if format >> 4 == 10 => {
                let record = Bytes::copy_from_slice(record);
                config = Some(Arc::new(CodecConfig::Aac(AacConfig::parse(record).expect("ffmpeg's record"))));
            }
            (8, [format, payload @ ..]) if format >> 4 == 2 || format >> 4 == 10 => {
                let is_mp3 = format >> 4 == 2;
                if is_mp3 && config.is_none() {
                    config = Some(Arc::new(CodecConfig::Mp3 { sample_rate: 44_100, channels: 2 }));
                }
                let config = Arc::clone(config.as_ref().expect("the record comes first"));
                let (duration, payload) = if is_mp3 { (1_152, payload) } else { (1_024, &payload[1..]) };
                let dts = rescale(wire_ms, Timescale::MILLIS, timescale(&config));
                // Sound is counted, as the server counts it.
                let dts = frames.first().map_or(dts, |first: &Frame| first.dts + samples);
                samples += i64::from(duration);
                let payload = Bytes::copy_from_slice(payload);
                frames.push(Frame { config, dts, pts: dts, duration, key: true, payload });
            }
            _ => {}
        }
    }
    frames
}

/// Frames of an IVF file at 30 pictures a second.
pub fn ivf(bytes: &[u8], codec: Codec) -> Vec<Frame> {
    let (mut rest, mut frames) = (&bytes[32..], Vec::new());
    let mut config = Arc::new(CodecConfig::Opaque { codec, record: Bytes::new() });
    while let Some(header) = rest.first_chunk::<12>() {
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let mut payload = rest[12..12 + len].to_vec();
        rest = &rest[12 + len..];
        let mut key = frames.is_empty();
        if codec == Codec::Av1 {
            // Without the delimiter, as the hub holds it; the configuration stands in the stream.
            let mut units = obus(&payload).map(|obu| obu.expect("libaom writes well"));
            if let Some(header) = units.find(|obu| obu.kind == ObuKind::SequenceHeader) {
                key = true;
                config = Arc::new(CodecConfig::Av1(Av1Config::from_sequence_header(&header).expect("a valid one")));
            }
            drop(units);
            payload = payload.strip_prefix(&[0x12, 0]).expect("a temporal delimiter").to_vec();
        }
        let dts = frames.len() as i64 * 3_000;
        frames.push(Frame { config: Arc::clone(&config), dts, pts: dts, duration: 0, key, payload: payload.into() });
    }
    frames
}

/// Frames of an HEVC byte stream with access unit delimiters and without reordering, at 30 pictures a second.
pub fn hevc(bytes: &[u8]) -> Vec<Frame> {
    let starts: Vec<usize> = (0..bytes.len() - 3).filter(|at| bytes[*at..].starts_with(&[0, 0, 1])).collect();
    let unit = |(index, start): (usize, &usize)| {
        let end = starts.get(index + 1).copied().unwrap_or(bytes.len());
        let unit = &bytes[start + 3..end];
        &unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
    };
    let (mut sets, mut frames, mut config): (_, Vec<Frame>, Option<Arc<CodecConfig>>) =
        (H265ParameterSets::default(), Vec::new(), None);
    for unit in starts.iter().enumerate().map(unit) {
        match unit[0] >> 1 & 0x3f {
            32 => sets.vps = vec![unit],
            33 => sets.sps = vec![unit],
            34 => sets.pps = vec![unit],
            kind @ 0..=31 => {
                let config = config.get_or_insert_with(|| {
                    Arc::new(CodecConfig::H265(H265Config::from_parameter_sets(&sets).expect("x265's sets")))
                });
                let payload = [&(unit.len() as u32).to_be_bytes()[..], unit].concat();
                let (dts, config) = (frames.len() as i64 * 3_000, Arc::clone(config));
                frames.push(Frame { config, dts, pts: dts, duration: 0, key: kind >= 16, payload: payload.into() });
            }
            _ => {}
        }
    }
    frames
}
