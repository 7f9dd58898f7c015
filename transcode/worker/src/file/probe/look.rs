//! A first look: the first pictures and the first sound of a file, decoded, because only decoders know where what is
//! shown begins and what it is.

use std::collections::BTreeMap;

use ffmpeg::format::Pixel;
use ffmpeg::{color, decoder, frame};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::Limits;

use super::streams::Found;
use crate::failure::Failure;
use crate::file::aac::adts;
use crate::file::decode;
use crate::file::input::{OpenFile, next_packet};

/// Pictures that are looked at: some say of themselves that they are interlaced and others of the same stream do not.
const PICTURES: usize = 8;
/// Packets and bytes that are read until every stream has shown something. Streams that begin later are taken not to.
const PACKETS_MAX: usize = 20_000;
const BYTES_MAX: usize = 128 * 1_024 * 1_024;

/// What the first pictures are.
#[derive(Clone, Debug)]
pub struct VideoLook {
    /// When the first is shown, in the stream's ticks.
    pub first: i64,
    pub width: u32,
    pub height: u32,
    /// Width to height of one pixel, as thousandths.
    pub aspect_millis: u32,
    pub format: Pixel,
    pub interlaced: bool,
    pub transfer: color::TransferCharacteristic,
}

/// What the first sound is.
#[derive(Clone, Copy, Debug)]
pub struct AudioLook {
    /// When the first is heard, in the stream's ticks.
    pub first: i64,
    /// The time of the first packet, which may be decoded only for what is behind it.
    pub packet: i64,
    /// The rate that an ADTS header of AAC LC says before the first packet, if there is one.
    pub adts_rate: Option<u32>,
    pub channels: u16,
    pub sample_rate: u32,
}

/// What came of it, by the numbers of the streams. Who is not there shows nothing.
#[derive(Debug, Default)]
pub struct Looks {
    pub video: Option<VideoLook>,
    pub audio: BTreeMap<usize, AudioLook>,
}

/// A stream that is looked at.
enum Looking {
    Video { decoder: decoder::Video, seen: Vec<VideoLook> },
    Audio { decoder: decoder::Audio, packet: Option<(i64, Option<u32>)>, seen: Option<AudioLook> },
}

/// Reads on from where the file stands. Streams that cannot be decoded are taken out of `found`.
pub fn look(open: &mut OpenFile, found: &mut Found, limits: &Limits) -> Result<Looks, Failure> {
    let mut streams = decoders(open, found, limits);
    let (mut packets, mut bytes) = (0, 0);
    while packets < PACKETS_MAX && bytes < BYTES_MAX && !streams.values().all(Looking::is_done) {
        let Some(packet) = next_packet(&mut open.input) else {
            streams.values_mut().for_each(Looking::end);
            break;
        };
        (packets, bytes) = (packets + 1, bytes + packet.size());
        if let Some(stream) = streams.get_mut(&packet.stream()) {
            stream.take(&packet);
        }
    }
    let mut looks = Looks::default();
    for (index, stream) in streams {
        match stream {
            Looking::Video { seen, .. } => looks.video = summary(&seen),
            Looking::Audio { seen: Some(seen), .. } if decode::is_heard(seen.channels, seen.sample_rate) => {
                looks.audio.insert(index, seen);
            }
            Looking::Audio { .. } => {}
        }
    }
    if found.video.is_some() && looks.video.is_none() {
        found.video = None;
        found.leave_out("pictures of which none can be decoded");
    }
    if found.audio.iter().any(|index| !looks.audio.contains_key(index)) {
        found.audio.retain(|index| looks.audio.contains_key(index));
        found.leave_out("sound of which nothing can be decoded");
    }
    Ok(looks)
}

fn decoders(open: &OpenFile, found: &mut Found, limits: &Limits) -> BTreeMap<usize, Looking> {
    let mut streams = BTreeMap::new();
    for index in found.video.into_iter().chain(found.audio.iter().copied()) {
        let Some(stream) = open.input.stream(index) else { continue };
        // One thread: others would hold pictures back.
        let looking = match found.video == Some(index) {
            true => decode::video(&stream, limits, 1).map(|decoder| Looking::Video { decoder, seen: Vec::new() }),
            false => decode::audio(&stream).map(|decoder| Looking::Audio { decoder, packet: None, seen: None }),
        };
        // Who has no decoder is missed when all have been looked at.
        if let Ok(looking) = looking {
            streams.insert(index, looking);
        }
    }
    streams
}

impl Looking {
    fn is_done(&self) -> bool {
        match self {
            Looking::Video { seen, .. } => seen.len() >= PICTURES,
            Looking::Audio { seen, .. } => seen.is_some(),
        }
    }

    fn take(&mut self, packet: &ffmpeg::Packet) {
        if self.is_done() {
            return;
        }
        match self {
            // What cannot be decoded shows nothing, which is found when all has been looked at.
            Looking::Video { decoder, .. } => {
                let _ = decoder.send_packet(packet);
            }
            Looking::Audio { decoder, packet: first, .. } => {
                if first.is_none() {
                    let rate = packet.data().and_then(adts).map(|(config, _)| config.sample_rate);
                    *first = packet.pts().or(packet.dts()).map(|at| (at, rate));
                }
                let _ = decoder.send_packet(packet);
            }
        }
        self.receive();
    }

    fn end(&mut self) {
        let _ = match self {
            Looking::Video { decoder, .. } => decoder.send_eof(),
            Looking::Audio { decoder, .. } => decoder.send_eof(),
        };
        self.receive();
    }

    fn receive(&mut self) {
        match self {
            Looking::Video { decoder, seen } => {
                let mut picture = frame::Video::empty();
                while seen.len() < PICTURES && decoder.receive_frame(&mut picture).is_ok() {
                    seen.extend(looked_at(&picture));
                }
            }
            Looking::Audio { decoder, packet, seen } => {
                let mut sound = frame::Audio::empty();
                while seen.is_none() && decoder.receive_frame(&mut sound).is_ok() {
                    let first = sound.pts().or(sound.timestamp()).or(packet.map(|(at, _)| at));
                    *seen = first.filter(|_| sound.samples() > 0).map(|first| AudioLook {
                        first,
                        packet: packet.map_or(first, |(at, _)| at),
                        adts_rate: packet.and_then(|(_, rate)| rate),
                        channels: sound.channels(),
                        sample_rate: sound.rate(),
                    });
                }
            }
        }
    }
}

fn looked_at(picture: &frame::Video) -> Option<VideoLook> {
    let aspect = picture.aspect_ratio();
    let aspect = f64::from(aspect.numerator()) / f64::from(aspect.denominator());
    // 0/1 is what FFmpeg has where nothing is said.
    let aspect_millis = sane_aspect((aspect * 1_000.0).round() as u32);
    Some(VideoLook {
        first: picture.timestamp()?,
        width: picture.width(),
        height: picture.height(),
        aspect_millis,
        format: picture.format(),
        interlaced: picture.is_interlaced(),
        transfer: picture.color_transfer_characteristic(),
    })
}

/// Nobody means pixels ten times as wide as high.
pub fn sane_aspect(millis: u32) -> u32 {
    if (100..=10_000).contains(&millis) { millis } else { 1_000 }
}

fn summary(seen: &[VideoLook]) -> Option<VideoLook> {
    let mut first = seen.first()?.clone();
    first.first = seen.iter().map(|look| look.first).min()?;
    first.interlaced = seen.iter().any(|look| look.interlaced);
    Some(first)
}
