//! Clips: encoded files as samples, and a player that publishes them in real time.
//! In: IVF with VP8, H.264 in Annex B, Ogg with Opus, or anything that `ffmpeg` reads. Out: samples of a [`LocalTrack`].
//!
//! A file cannot make a keyframe on request. The player answers a request by jumping to the file's next keyframe, so a
//! clip needs one often: [`Clip::convert`] makes one each second.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::wire::Layer;
use crate::{Codec, Error, LocalTrack, Sample};

/// What [`Clip::convert`] takes of its input: encoding is fast, but the result is kept in memory.
const CLIP_SECS_MAX: u32 = 60;
/// Pictures a second of a converted clip, and of one whose file does not say.
pub const FRAME_RATE: u8 = 30;
/// The loudness that a clip's packets are marked with in turn (RFC 6464), in dB below full scale: a normal voice. It is not
/// measured, since that would need a decoder; without it a clip would never be the active speaker. It moves by a few dB, as
/// speech does: the server does not take a constant level for speech.
const SPEECH_LEVELS: [u8; 5] = [30, 34, 28, 36, 31];

/// Pictures, in order. The first is a keyframe.
#[derive(Clone, Debug)]
pub struct Video {
    /// VP8 or H.264.
    pub codec: Codec,
    /// Pixels; 0 in Annex B, where this module does not look for them.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// How long each picture is shown.
    pub interval: Duration,
    /// The pictures.
    pub frames: Vec<Frame>,
}

/// One picture.
#[derive(Clone, Debug)]
pub struct Frame {
    /// As the codec's payload format wants it.
    pub data: Bytes,
    /// Whether decoding may begin here.
    pub keyframe: bool,
}

/// Sound: Opus packets with their durations.
#[derive(Clone, Debug)]
pub struct Audio {
    /// The packets.
    pub packets: Vec<(Bytes, Duration)>,
}

/// The layers of a picture, the lowest first, and its sound.
#[derive(Clone, Debug)]
pub struct Clip {
    /// At least one.
    pub layers: Vec<Video>,
    /// If there is any.
    pub audio: Option<Audio>,
}

impl Video {
    /// Reads a file: IVF with VP8, or H.264 in Annex B with [`FRAME_RATE`].
    pub fn open(path: &Path) -> Result<Video, Error> {
        Video::parse(std::fs::read(path)?.into())
    }

    /// The same from memory.
    pub fn parse(bytes: Bytes) -> Result<Video, Error> {
        let video = if bytes.starts_with(b"DKIF") { parse_ivf(&bytes)? } else { parse_annex_b(&bytes) };
        match video.frames.first() {
            Some(first) if first.keyframe => Ok(video),
            _ => Err(Error::Clip("it does not begin with a keyframe of VP8 (IVF) or H.264 (Annex B)".into())),
        }
    }

    /// As a layer of a published track.
    pub fn layer(&self, rid: &str) -> Layer {
        let bits: usize = self.frames.iter().map(|frame| frame.data.len() * 8).sum();
        let secs = self.interval.as_secs_f64() * self.frames.len() as f64;
        Layer {
            rid: rid.to_owned(),
            width: self.width,
            height: self.height,
            frame_rate: (1.0 / self.interval.as_secs_f64()).round() as u8,
            bitrate_bps: (bits as f64 / secs) as u64,
        }
    }
}

impl Audio {
    /// Reads an Ogg file with Opus.
    pub fn open(path: &Path) -> Result<Audio, Error> {
        Audio::parse(&std::fs::read(path)?)
    }

    /// The same from memory.
    pub fn parse(bytes: &[u8]) -> Result<Audio, Error> {
        let mut packets = ogg_packets(bytes)?.into_iter();
        match (packets.next(), packets.next()) {
            // The two headers of RFC 7845 §5.
            (Some(head), Some(tags)) if head.starts_with(b"OpusHead") && tags.starts_with(b"OpusTags") => {}
            _ => return Err(Error::Clip("it is not Ogg with Opus".into())),
        }
        let packets = packets.filter(|packet| !packet.is_empty()).map(|packet| {
            let duration = opus_duration(&packet);
            (Bytes::from(packet), duration)
        });
        Ok(Audio { packets: packets.collect() })
    }
}

impl Clip {
    /// Makes a clip of anything that `ffmpeg` reads: a layer for each size (width, height, bits a second), lowest first.
    /// `test` is ffmpeg's test picture and a tone. Blocks until ffmpeg has finished.
    pub fn convert(input: &str, sizes: &[(u16, u16, u32)]) -> Result<Clip, Error> {
        let layers = sizes.iter().map(|(width, height, bps)| {
            let scale = format!("scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2");
            let (bps, rate) = (bps.to_string(), FRAME_RATE.to_string());
            let arguments = [
                ["-an", "-vf", &scale, "-r", &rate, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"],
                // A keyframe each second; no picture that is not shown; packets close to the wanted rate.
                ["-g", &rate, "-auto-alt-ref", "0", "-b:v", &bps, "-maxrate", &bps, "-bufsize", &bps, "-f"],
            ];
            Video::parse(ffmpeg(input, &[arguments.concat(), vec!["ivf"]].concat())?)
        });
        let layers = layers.collect::<Result<Vec<Video>, Error>>()?;
        let arguments = ["-vn", "-c:a", "libopus", "-ar", "48000", "-ac", "2", "-b:a", "48k", "-f", "ogg"];
        let audio = ffmpeg(input, &arguments).and_then(|bytes| Audio::parse(&bytes)).ok();
        Ok(Clip { layers, audio })
    }
}

fn ffmpeg(input: &str, arguments: &[&str]) -> Result<Bytes, Error> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    match input {
        "test" => {
            command.args(["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-f", "lavfi", "-i"]);
            command.args(["sine=frequency=440:sample_rate=48000", "-t", "10"])
        }
        _ => command.args(["-t", &CLIP_SECS_MAX.to_string(), "-i", input]),
    };
    let output = command.args(arguments).arg("pipe:1").output();
    let output = output.map_err(|error| Error::Clip(format!("ffmpeg cannot be run: {error}")))?;
    match output.status.success() {
        true => Ok(output.stdout.into()),
        false => Err(Error::Clip(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Publishes pictures in a loop, in real time, one file for each layer. Ends with an error when the call does.
pub async fn play_video(track: &mut LocalTrack, layers: &[Video]) -> Result<(), Error> {
    let Some(first) = layers.first() else { return Ok(()) };
    let mut cursors = vec![0; layers.len()];
    // A late picture is sent at once, and the ones behind it keep their times.
    let mut ticks = interval_at(Instant::now(), first.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for tick in 0_u32.. {
        ticks.tick().await;
        for (index, (video, cursor)) in layers.iter().zip(&mut cursors).enumerate() {
            if track.take_keyframe_request(index) {
                *cursor = next_keyframe(&video.frames, *cursor);
            }
            let data = video.frames[*cursor].data.clone();
            let sample = Sample { data, at: first.interval * tick, level: None };
            track.write_sample(index, &sample).await?;
            *cursor = (*cursor + 1) % video.frames.len();
        }
    }
    Ok(())
}

/// Publishes sound in a loop, in real time.
pub async fn play_audio(track: &mut LocalTrack, audio: &Audio) -> Result<(), Error> {
    let (start, mut at) = (Instant::now(), Duration::ZERO);
    for ((data, duration), level) in audio.packets.iter().cycle().zip(SPEECH_LEVELS.into_iter().cycle()) {
        sleep_until(start + at).await;
        track.write_sample(0, &Sample { data: data.clone(), at, level: Some(level) }).await?;
        at += *duration;
    }
    Ok(())
}

fn next_keyframe(frames: &[Frame], from: usize) -> usize {
    (from..frames.len()).find(|index| frames[*index].keyframe).unwrap_or(0)
}

/// IVF: a header of 32 bytes, then frames with a header of 12 (https://wiki.multimedia.cx/index.php/IVF).
fn parse_ivf(bytes: &Bytes) -> Result<Video, Error> {
    let cut = || Error::Clip("the IVF file is cut off".into());
    let header = bytes.get(..32).ok_or_else(cut)?;
    if &header[8..12] != b"VP80" {
        return Err(Error::Clip("of IVF files only VP8 is read".into()));
    }
    let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (rate, scale) = (u32_at(16).max(1), u32_at(20).max(1));
    let mut frames = Vec::new();
    let mut rest = bytes.slice(32..);
    while !rest.is_empty() {
        let size = rest.get(..4).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes).ok_or_else(cut)?;
        let end = 12 + size as usize;
        if rest.len() < end {
            return Err(cut());
        }
        let data = rest.slice(12..end);
        // RFC 6386 §9.1: the first bit of a frame is 0 in a keyframe.
        let keyframe = data.first().is_some_and(|first| first & 1 == 0);
        frames.push(Frame { data, keyframe });
        rest = rest.slice(end..);
    }
    let interval = Duration::from_secs(1) * scale / rate;
    Ok(Video { codec: Codec::Vp8, width: u16_at(12), height: u16_at(14), interval, frames })
}

/// Splits Annex B (H.264 Annex B.1) into access units (§7.4.1.2.3), as far as encoders make them.
fn parse_annex_b(bytes: &Bytes) -> Video {
    let starts: Vec<usize> =
        (0..bytes.len().saturating_sub(3)).filter(|at| bytes[*at..].starts_with(&[0, 0, 1])).collect();
    let mut frames: Vec<Frame> = Vec::new();
    let (mut begin, mut has_picture, mut keyframe) = (0, false, false);
    for start in starts {
        let kind = bytes[start + 3] & 0x1f;
        let is_picture = matches!(kind, 1 | 5);
        // A slice that begins with the bit 1 has first_mb_in_slice = 0: a new picture.
        let first_slice = is_picture && bytes.get(start + 4).is_some_and(|byte| byte & 0x80 != 0);
        if has_picture && (first_slice || matches!(kind, 6..=9)) {
            frames.push(Frame { data: bytes.slice(begin..start), keyframe });
            (begin, has_picture, keyframe) = (start, false, false);
        }
        has_picture |= is_picture;
        keyframe |= kind == 5;
    }
    if has_picture {
        frames.push(Frame { data: bytes.slice(begin..), keyframe });
    }
    let interval = Duration::from_secs(1) / u32::from(FRAME_RATE);
    Video { codec: Codec::H264, width: 0, height: 0, interval, frames }
}

/// The packets of an Ogg file with one stream (RFC 3533 §6).
fn ogg_packets(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let cut = || Error::Clip("the Ogg file is cut off".into());
    let (mut packets, mut packet, mut rest) = (Vec::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let header = rest.get(..27).filter(|header| header.starts_with(b"OggS")).ok_or_else(cut)?;
        let segments = usize::from(header[26]);
        let table = rest.get(27..27 + segments).ok_or_else(cut)?;
        let mut at = 27 + segments;
        for length in table {
            packet.extend_from_slice(rest.get(at..at + usize::from(*length)).ok_or_else(cut)?);
            at += usize::from(*length);
            if *length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        rest = &rest[at..];
    }
    Ok(packets)
}

/// How long a packet lasts (RFC 6716 §3.1).
fn opus_duration(packet: &[u8]) -> Duration {
    let (config, code) = (packet[0] >> 3, packet[0] & 3);
    let frame_us = match config {
        0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        12..=15 => [10_000, 20_000][usize::from(config % 2)],
        _ => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match code {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1).map_or(1, |count| count & 0x3f)).max(1),
    };
    Duration::from_micros(frame_us * frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ivf(frames: &[&[u8]]) -> Bytes {
        let mut file = b"DKIF\0\0\x20\0VP80".to_vec();
        file.extend([0x40, 1, 0xb4, 0]); // 320x180
        file.extend([30, 0, 0, 0, 1, 0, 0, 0]);
        file.resize(32, 0);
        for frame in frames {
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend([0; 8]);
            file.extend(*frame);
        }
        file.into()
    }

    #[test]
    fn an_ivf_file_gives_its_frames_and_keyframes() {
        let video = Video::parse(ivf(&[&[0, 1, 2], &[1, 9], &[0]])).expect("a good file");
        assert_eq!((video.width, video.height, video.interval), (320, 180, Duration::from_secs(1) / 30));
        let keyframes: Vec<bool> = video.frames.iter().map(|frame| frame.keyframe).collect();
        assert_eq!(keyframes, [true, false, true]);
        assert_eq!(&video.frames[1].data[..], [1, 9]);
    }

    #[test]
    fn a_file_that_is_cut_off_or_begins_in_the_middle_is_refused() {
        let whole = ivf(&[&[0, 1, 2]]);
        for length in 0..whole.len() {
            assert!(Video::parse(whole.slice(..length)).is_err(), "{length} bytes");
        }
        assert!(Video::parse(ivf(&[&[1]])).is_err());
    }

    #[test]
    fn annex_b_is_split_into_access_units() {
        let stream = [
            &[0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3][..],       // parameter sets
            &[0, 0, 1, 0x65, 0x88, 7, 0, 0, 1, 0x65, 0x40, 8][..], // a keyframe of two slices
            &[0, 0, 1, 0x41, 0x9a, 1][..],
            &[0, 0, 1, 0x09, 0xf0, 0, 0, 1, 0x41, 0x9a, 2][..], // a delimiter, a picture
        ];
        let video = Video::parse(stream.concat().into()).expect("a good stream");
        let frames: Vec<(usize, bool)> = video.frames.iter().map(|frame| (frame.data.len(), frame.keyframe)).collect();
        assert_eq!(frames, [(24, true), (6, false), (11, false)]);
    }

    #[test]
    fn ogg_gives_opus_packets_across_pages() {
        let page = |segments: &[u8], body: &[u8]| {
            let mut page = b"OggS".to_vec();
            page.resize(26, 0);
            page.push(segments.len() as u8);
            page.extend(segments);
            page.extend(body);
            page
        };
        let long = [0xfc; 260]; // 20 ms, code 0
        let file = [
            page(&[8], b"OpusHead"),
            page(&[8], b"OpusTags"),
            page(&[255], &long[..255]),
            page(&[5, 2], &[&long[255..], &[0x0b, 3]].concat()), // the rest; then 3 frames of 20 ms
        ];
        let audio = Audio::parse(&file.concat()).expect("a good file");
        let packets: Vec<(usize, u64)> =
            audio.packets.iter().map(|(data, duration)| (data.len(), duration.as_millis() as u64)).collect();
        assert_eq!(packets, [(260, 20), (2, 60)]);
        assert!(Audio::parse(b"OggS").is_err());
    }

    #[test]
    fn a_request_jumps_to_the_next_keyframe_or_to_the_beginning() {
        let frames = [true, false, true, false].map(|keyframe| Frame { data: Bytes::new(), keyframe });
        assert_eq!([0, 1, 2, 3].map(|from| next_keyframe(&frames, from)), [0, 2, 2, 0]);
    }
}
