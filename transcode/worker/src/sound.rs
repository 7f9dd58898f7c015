//! Sound: decoded, brought to 48 kHz stereo, put on its timeline, encoded.

use bytes::Bytes;
use ffmpeg::format::sample::{Sample, Type};
use ffmpeg::software::resampling;
use ffmpeg::{ChannelLayout, Packet, Rational, codec, frame};
use ffmpeg_next as ffmpeg;
use telstar_media::CodecConfig;
use telstar_media::codec::{AacConfig, OpusConfig};
use telstar_transcode::{CodecRecord, Config, MediaFrame, Target};
use telstar_units::{Timescale, rescale};

use crate::alignment::{Alignment, Block, SAMPLE_RATE};
use crate::conversion::{Counts, decoder_of, is_again};
use crate::failure::Failure;
use crate::stream::ElementaryStream;

/// What the resampler may hold back beside what it is given; its filter has 32 samples.
const RESAMPLER_SLACK: usize = 256;
/// Channels at most; more is no stream of ours.
const CHANNELS_MAX: u16 = 8;

/// A conversion of sound.
pub struct Sound {
    config: Config,
    stream: ElementaryStream,
    decoder: codec::decoder::Audio,
    resampler: Option<(Shape, resampling::Context)>,
    alignment: Alignment,
    encoder: Encoder,
}

/// What a decoder gives.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: Sample,
    layout: ChannelLayout,
    rate: u32,
}

struct Encoder {
    encoder: codec::encoder::audio::Encoder,
    format: Sample,
    block_len: usize,
    /// The time of the last frame that came out.
    last: Option<i64>,
    /// What they are, until the first tells it.
    untold: Option<CodecRecord>,
}

impl Sound {
    /// A conversion as `config` says.
    pub fn new(config: Config) -> Result<Sound, Failure> {
        let stream = ElementaryStream::new(&config.input)?;
        let decoder = open_decoder(&config)?;
        let encoder = Encoder::new(config.target, config.settings.audio_kbps)?;
        let alignment = Alignment::new(encoder.block_len);
        Ok(Sound { config, stream, decoder, resampler: None, alignment, encoder })
    }

    /// Takes a frame; appends what comes of it.
    pub fn feed(&mut self, frame: &MediaFrame, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        if let Some(record) = frame.record.as_ref().filter(|record| **record != self.config.input) {
            self.config.input = record.clone();
            self.stream = ElementaryStream::new(record)?;
            self.decoder = open_decoder(&self.config)?;
        }
        let Some(bytes) = self.stream.packet(&frame.payload, frame.key) else { return counts.corrupt() };
        let mut packet = Packet::copy(&bytes);
        packet.set_pts(Some(frame.pts));
        packet.set_dts(Some(frame.dts));
        if self.decoder.send_packet(&packet).is_err() {
            return counts.corrupt();
        }
        let mut decoded = frame::Audio::empty();
        loop {
            match self.decoder.receive_frame(&mut decoded) {
                Ok(()) => {}
                Err(error) if is_again(&error) => break,
                Err(_) => return counts.corrupt(),
            }
            counts.decoded();
            if !frame.decode_only {
                let at = decoded.timestamp().unwrap_or(frame.pts);
                self.take(at, &mut decoded, counts)?;
            }
        }
        self.encode(out)
    }

    /// Lets out what is held back.
    pub fn flush(&mut self, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        self.alignment.fill();
        self.encode(out)
    }

    fn take(&mut self, at: i64, decoded: &mut frame::Audio, counts: &mut Counts) -> Result<(), Failure> {
        if decoded.samples() == 0 || decoded.rate() == 0 || decoded.channels() > CHANNELS_MAX {
            return counts.corrupt();
        }
        if decoded.channel_layout().is_empty() {
            // Some decoders know how many channels there are and not which.
            decoded.set_channel_layout(ChannelLayout::default(i32::from(decoded.channels())));
        }
        let shape = Shape { format: decoded.format(), layout: decoded.channel_layout(), rate: decoded.rate() };
        let out = Sample::F32(Type::Planar);
        let resampler = match &mut self.resampler {
            Some((known, resampler)) if *known == shape => resampler,
            other => {
                let made = resampling::Context::get(
                    shape.format,
                    shape.layout,
                    shape.rate,
                    out,
                    ChannelLayout::STEREO,
                    SAMPLE_RATE,
                )
                .map_err(|error| Failure::broken("resampler", error))?;
                &mut other.insert((shape, made)).1
            }
        };
        // What the resampler holds back is of the time before this frame.
        let held = resampler.delay().map_or(0, |delay| delay.output.max(0));
        let room = decoded.samples() as u64 * u64::from(SAMPLE_RATE) / u64::from(shape.rate) + held as u64;
        let mut resampled = frame::Audio::new(out, room as usize + RESAMPLER_SLACK, ChannelLayout::STEREO);
        if resampler.run(decoded, &mut resampled).is_err() {
            return counts.corrupt();
        }
        let (left, right) = (resampled.plane::<f32>(0), resampled.plane::<f32>(1));
        let samples: Vec<(f32, f32)> = left.iter().copied().zip(right.iter().copied()).collect();
        let clock = Timescale::new(SAMPLE_RATE).unwrap_or(Timescale::VIDEO);
        if !self.alignment.push(rescale(at, self.config.timescale, clock) - held, samples) {
            counts.skipped();
        }
        Ok(())
    }

    fn encode(&mut self, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        while let Some(block) = self.alignment.poll() {
            self.encoder.take(&block, self.config.as_track, out)?;
        }
        Ok(())
    }
}

fn open_decoder(config: &Config) -> Result<codec::decoder::Audio, Failure> {
    let codec = decoder_of(config.input.codec)?;
    let mut decoder = codec::Context::new_with_codec(codec).decoder();
    decoder.set_packet_time_base(Rational(1, i32::try_from(config.timescale.hz()).unwrap_or(i32::MAX)));
    decoder.open_as(codec).and_then(|opened| opened.audio()).map_err(|error| Failure::broken("decoder", error))
}

impl Encoder {
    fn new(target: Target, kbps: u32) -> Result<Encoder, Failure> {
        let (name, format, options): (_, _, &[(&str, &str)]) = match target {
            Target::Opus => (
                "libopus",
                Sample::F32(Type::Packed),
                &[("application", "audio"), ("frame_duration", "20"), ("vbr", "on")],
            ),
            _ => ("aac", Sample::F32(Type::Planar), &[]),
        };
        let codec = codec::encoder::find_by_name(name)
            .ok_or_else(|| Failure::unsupported(format!("this FFmpeg has no encoder {name}")))?;
        let mut context = codec::Context::new_with_codec(codec)
            .encoder()
            .audio()
            .map_err(|error| Failure::broken("encoder", error))?;
        context.set_rate(SAMPLE_RATE as i32);
        context.set_format(format);
        context.set_channel_layout(ChannelLayout::STEREO);
        context.set_bit_rate(kbps as usize * 1_000);
        context.set_time_base(Rational(1, SAMPLE_RATE as i32));
        let encoder = context
            .open_as_with(codec, options.iter().copied().collect())
            .map_err(|error| Failure::broken("encoder", error))?;
        let block_len = encoder.frame_size() as usize;
        Ok(Encoder { encoder, format, block_len, last: None, untold: Some(record_of(target)?) })
    }

    fn take(&mut self, block: &Block, track: telstar_units::TrackId, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        let mut raw = frame::Audio::new(self.format, block.samples.len(), ChannelLayout::STEREO);
        raw.set_rate(SAMPLE_RATE);
        raw.set_pts(Some(block.at));
        if self.format.is_packed() {
            raw.plane_mut::<(f32, f32)>(0).copy_from_slice(&block.samples);
        } else {
            let side = |samples: &mut [f32], pick: fn(&(f32, f32)) -> f32| {
                samples.iter_mut().zip(&block.samples).for_each(|(to, from)| *to = pick(from));
            };
            side(raw.plane_mut(0), |(left, _)| *left);
            side(raw.plane_mut(1), |(_, right)| *right);
        }
        self.encoder.send_frame(&raw).map_err(|error| Failure::broken("encoder", error))?;
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(error) if is_again(&error) => return Ok(()),
                Err(error) => return Err(Failure::broken("encoder", error)),
            }
            // FFmpeg has subtracted the encoder's own delay: this is the time of the sound in the packet.
            let (Some(at), Some(data)) = (packet.pts(), packet.data()) else { continue };
            // Before the beginning of the timeline is only the encoder's delay.
            if at < 0 || self.last.is_some_and(|last| at <= last) {
                continue;
            }
            self.last = Some(at);
            let record = self.untold.take();
            out.push(MediaFrame {
                track,
                record,
                dts: at,
                pts: at,
                duration: self.block_len as u32,
                key: true,
                decode_only: false,
                payload: Bytes::copy_from_slice(data),
            });
        }
    }
}

/// What the encoders here make. Pre-skip is zero: the times say already what the first samples are.
fn record_of(target: Target) -> Result<CodecRecord, Failure> {
    let config = match target {
        Target::Aac => AacConfig::low_complexity(SAMPLE_RATE, 2).map(CodecConfig::Aac),
        Target::Opus => Some(CodecConfig::Opus(OpusConfig::plain(2, 0))),
        Target::H264 | Target::Vp8 => None,
    };
    config.map(|config| CodecRecord::of(&config)).ok_or_else(|| Failure::unsupported("sound does not become pictures"))
}
