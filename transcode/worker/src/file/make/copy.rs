//! Streams that are passed on as they are: pictures in H.264, sound in AAC.

use std::io::BufWriter;

use bytes::Bytes;
use ffmpeg::{Packet, Stream};
use ffmpeg_next as ffmpeg;
use telstar_media::codec::AacConfig;
use telstar_media::{CodecConfig, MediaKind};
use telstar_transcode::file::{CLOCK, Make, RenditionKind};
use telstar_units::{Timescale, rescale};

use super::Track;
use super::written::Written;
use crate::failure::Failure;
use crate::file::blob::Blob;
use crate::file::clock::{HZ, StreamClock};
use crate::file::cutter::Sample;
use crate::file::input::{Source, new_config};
use crate::file::pictures::{PictureError, Pictures};
use crate::file::teller::Teller;
use crate::file::{Stop, aac, header};

/// Sound is counted in samples, because times of containers are rounded to milliseconds; from so many on it is where it says:
/// 5 ms. Higher: sound may be so far from its picture; lower: rounding becomes holes.
const JUMP: i64 = HZ / 200;

/// Pictures as they are.
pub struct CopiedPictures<'task> {
    pictures: Pictures,
    clock: StreamClock,
    written: Written<'task>,
    kind: RenditionKind,
    end: i64,
    last_dts: Option<i64>,
    /// How long a picture lasts, as its stream's rate has it.
    lasts: i64,
}

impl<'task> CopiedPictures<'task> {
    /// Of this stream, into this output.
    pub fn new(
        source: &Source,
        stream: &Stream<'_>,
        task: &'task Make,
        output: u8,
        blob: BufWriter<Blob>,
    ) -> Result<CopiedPictures<'task>, Failure> {
        let video = task.source.video.as_ref();
        let fps_millis = video.map_or(30_000, |video| video.fps_millis).max(1);
        let pictures = match source.has_byte_streams() {
            true => Pictures::of_byte_stream(),
            false => Pictures::of_samples(header::h264(stream).map_err(Failure::source)?),
        };
        let (width, height) = video.map_or((0, 0), |video| (video.width, video.height));
        Ok(CopiedPictures {
            pictures,
            clock: StreamClock::new(stream.time_base(), task.source.shift),
            written: Written::new(output, MediaKind::Video, CLOCK, &task.map, blob),
            kind: RenditionKind::Video { width, height, fps_millis },
            end: task.map.end(),
            last_dts: None,
            lasts: HZ * 1_000 / i64::from(fps_millis),
        })
    }
}

impl Track for CopiedPictures<'_> {
    fn take(&mut self, packet: &Packet, teller: &mut Teller<'_>) -> Result<(), Stop> {
        let (Some(pts), Some(data)) = (packet.pts().or(packet.dts()), packet.data()) else { return Ok(()) };
        // Rounding may put the first before zero.
        let pts = self.clock.asset(pts).max(0);
        if pts >= self.end {
            return Ok(());
        }
        if let Some(Err(error)) = new_config(packet).map(|record| self.pictures.reconfigure(&record)) {
            return Err(Failure::source(error.to_string()).into());
        }
        let picture = match self.pictures.read(data) {
            Ok(Some(picture)) => picture,
            Ok(None) => return Ok(()),
            Err(PictureError::Broken) => {
                teller.corrupt += 1;
                return Ok(());
            }
            Err(error @ PictureError::Changed) => return Err(Failure::source(error.to_string()).into()),
        };
        if let Some(config) = self.pictures.config().filter(|_| !self.written.has_begun()) {
            self.written.begin(config, self.kind)?;
        }
        let dts = packet.dts().map_or(pts, |dts| self.clock.asset(dts));
        // Rounding, and muxers, may make two alike; decoders only need their order.
        let dts = self.last_dts.map_or(dts, |last| dts.max(last + 1));
        self.last_dts = Some(dts);
        let duration = if packet.duration() > 0 { self.clock.lasts(packet.duration()) } else { self.lasts };
        let sample = Sample { dts, pts, duration, key: picture.key, data: picture.payload };
        teller.frames += 1;
        self.written.push(sample, teller)
    }

    fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        self.written.finish(teller)
    }
}

/// Sound as it is.
pub struct CopiedSound<'task> {
    /// What is told of it; of a stream with ADTS headers each frame says it.
    config: Option<AacConfig>,
    has_adts: bool,
    clock: StreamClock,
    timescale: Timescale,
    written: Written<'task>,
    end: i64,
    /// Where the next frame belongs, in samples.
    next: Option<i64>,
}

impl<'task> CopiedSound<'task> {
    /// Of this stream, into this output.
    pub fn new(
        source: &Source,
        stream: &Stream<'_>,
        task: &'task Make,
        output: u8,
        blob: BufWriter<Blob>,
    ) -> Result<CopiedSound<'task>, Failure> {
        let index = stream.index();
        let audio = task.source.audio.iter().find(|audio| usize::from(audio.stream) == index);
        let rate = audio.and_then(|audio| Timescale::new(audio.sample_rate));
        let timescale = rate.ok_or_else(|| Failure::broken("task", "the sound has no rate"))?;
        let has_adts = source.has_adts();
        let config = if has_adts { None } else { Some(header::aac(stream).map_err(Failure::source)?) };
        Ok(CopiedSound {
            config,
            has_adts,
            clock: StreamClock::new(stream.time_base(), task.source.shift),
            timescale,
            written: Written::new(output, MediaKind::Audio, timescale, &task.map, blob),
            end: rescale(task.map.end(), CLOCK, timescale),
            next: None,
        })
    }

    /// The time of a frame: where the one before ends, unless it is far from there. None: it is said twice.
    fn place(&mut self, at: i64, samples: i64) -> Option<i64> {
        let jump = rescale(JUMP, CLOCK, self.timescale);
        let at = match self.next {
            Some(next) if (at - next).abs() <= jump => next,
            Some(next) if at < next - samples / 2 => return None,
            _ => at,
        };
        self.next = Some(at + samples);
        Some(at)
    }
}

impl Track for CopiedSound<'_> {
    fn take(&mut self, packet: &Packet, teller: &mut Teller<'_>) -> Result<(), Stop> {
        let (Some(at), Some(data)) = (packet.pts().or(packet.dts()), packet.data()) else { return Ok(()) };
        if let (Some(known), Some(told)) = (&self.config, new_config(packet))
            && !self.has_adts
            && AacConfig::parse(Bytes::from(told)).is_ok_and(|told| told != *known)
        {
            return Err(Failure::source("the configuration of the sound changes").into());
        }
        let data = match self.has_adts {
            true => {
                let Some((config, frame)) = aac::adts(data) else {
                    teller.corrupt += 1;
                    return Ok(());
                };
                if *self.config.get_or_insert_with(|| config.clone()) != config {
                    return Err(Failure::source("the configuration of the sound changes").into());
                }
                frame
            }
            false => data,
        };
        let Some(config) = &self.config else { return Ok(()) };
        let (samples, channels, sample_rate) = (i64::from(config.frame_samples), config.channels, config.sample_rate);
        if !self.written.has_begun() {
            let kind = RenditionKind::Audio { channels, sample_rate };
            self.written.begin(&CodecConfig::Aac(config.clone()), kind)?;
        }
        let at = self.clock.asset_in(at, self.timescale);
        if at < 0 || at >= self.end || data.is_empty() {
            return Ok(());
        }
        let Some(at) = self.place(at, samples) else { return Ok(()) };
        self.written.push(Sample { dts: at, pts: at, duration: samples, key: true, data: data.to_vec() }, teller)
    }

    fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        self.written.finish(teller)
    }
}
