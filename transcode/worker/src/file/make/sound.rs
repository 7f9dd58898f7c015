//! Sound as AAC: whole from the beginning of the asset to its end, as loud as it should be.

use std::io::BufWriter;

use ffmpeg::{Packet, Rational, Stream, codec, encoder, frame};
use ffmpeg_next as ffmpeg;
use telstar_media::codec::AacConfig;
use telstar_media::{CodecConfig, MediaKind};
use telstar_transcode::file::{CLOCK, Make, RenditionKind};
use telstar_units::rescale;

use super::Track;
use super::decoded::{DecodedSound, Piece, SAMPLE, SAMPLE_RATE, layout, timescale};
use super::limiter::Limiter;
use super::loudness::{Level, gain};
use super::rung::missing;
use super::samples::Samples;
use super::written::Written;
use crate::conversion::is_again;
use crate::failure::Failure;
use crate::file::Stop;
use crate::file::blob::Blob;
use crate::file::cutter::Sample;
use crate::file::teller::Teller;

/// FFmpeg's own encoder.
const ENCODER: &str = "aac";

/// See the module.
pub struct EncodedSound<'task> {
    sound: DecodedSound,
    samples: Samples,
    limiter: Limiter,
    encoder: encoder::audio::Encoder,
    written: Written<'task>,
    channels: u8,
    block_len: usize,
    /// The time of the next block.
    next: i64,
    /// The time of the last frame that came out.
    last: Option<i64>,
    end: i64,
    has_sound: bool,
}

impl<'task> EncodedSound<'task> {
    /// Of this stream, into this output.
    pub fn new(
        stream: &Stream<'_>,
        task: &'task Make,
        output: u8,
        blob: BufWriter<Blob>,
        channels: u8,
        bps: u32,
        level: Option<Level>,
    ) -> Result<EncodedSound<'task>, Failure> {
        let encoder = open(channels, bps)?;
        let block_len = encoder.frame_size() as usize;
        let clock = timescale();
        // Rounded up: the last sample is part of it.
        let end = rescale(task.map.end(), CLOCK, clock) + 1;
        let config = AacConfig::low_complexity(SAMPLE_RATE, channels);
        let config = config.ok_or_else(|| Failure::unsupported(format!("AAC with {channels} channels is not made")))?;
        let mut written = Written::new(output, MediaKind::Audio, clock, &task.map, blob);
        written.begin(&CodecConfig::Aac(config), RenditionKind::Audio { channels, sample_rate: SAMPLE_RATE })?;
        let (factor, most) = gain(level);
        Ok(EncodedSound {
            sound: DecodedSound::new(stream, task.source.shift, channels)?,
            samples: Samples::new(channels.into(), block_len, end),
            limiter: Limiter::new(factor, most),
            encoder,
            written,
            channels,
            block_len,
            next: 0,
            last: None,
            end,
            has_sound: false,
        })
    }

    fn feed(&mut self, packet: Option<&Packet>, teller: &mut Teller<'_>) -> Result<(), Stop> {
        let mut pieces = Vec::new();
        self.sound.feed(packet, teller, &mut pieces)?;
        for Piece { at, planes } in pieces {
            self.has_sound = true;
            self.samples.push(at, planes);
            self.encode(teller)?;
        }
        Ok(())
    }

    fn encode(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        while let Some(mut block) = self.samples.poll() {
            self.limiter.run(&mut block);
            let mut raw = frame::Audio::new(SAMPLE, self.block_len, layout(self.channels));
            raw.set_rate(SAMPLE_RATE);
            raw.set_pts(Some(self.next));
            self.next += self.block_len as i64;
            for (index, plane) in block.iter().enumerate().take(raw.planes()) {
                raw.plane_mut::<f32>(index).copy_from_slice(plane);
            }
            self.encoder.send_frame(&raw).map_err(failed)?;
            self.receive(teller)?;
            teller.progress(rescale(self.next, timescale(), CLOCK))?;
        }
        Ok(())
    }

    fn receive(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(error) if is_again(&error) => return Ok(()),
                Err(error) => return Err(failed(error).into()),
            }
            // FFmpeg has subtracted the encoder's own delay: this is the time of the sound in the packet.
            let (Some(at), Some(data)) = (packet.pts(), packet.data()) else { continue };
            // Before the beginning is only that delay. There the asset is silent, so that decoders need nothing before
            // it.
            if at < 0 || at >= self.end || self.last.is_some_and(|last| at <= last) {
                continue;
            }
            self.last = Some(at);
            let duration = self.block_len as i64;
            let sample = Sample { dts: at, pts: at, duration, key: true, data: data.to_vec() };
            self.written.push(sample, teller)?;
        }
    }
}

impl Track for EncodedSound<'_> {
    fn take(&mut self, packet: &Packet, teller: &mut Teller<'_>) -> Result<(), Stop> {
        self.feed(Some(packet), teller)
    }

    fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        self.feed(None, teller)?;
        if !self.has_sound {
            return Err(Failure::source("nothing of the sound can be decoded").into());
        }
        self.samples.finish();
        self.encode(teller)?;
        self.encoder.send_eof().map_err(failed)?;
        self.receive(teller)?;
        self.written.finish(teller)
    }
}

fn open(channels: u8, bps: u32) -> Result<encoder::audio::Encoder, Failure> {
    let found = encoder::find_by_name(ENCODER).ok_or_else(|| missing(ENCODER))?;
    let mut audio = codec::Context::new_with_codec(found).encoder().audio().map_err(failed)?;
    audio.set_rate(SAMPLE_RATE as i32);
    audio.set_format(SAMPLE);
    audio.set_channel_layout(layout(channels));
    audio.set_bit_rate(bps as usize);
    audio.set_time_base(Rational(1, SAMPLE_RATE as i32));
    audio.open_as(found).map_err(failed)
}

fn failed(error: ffmpeg::Error) -> Failure {
    Failure::broken("encoder", error)
}
