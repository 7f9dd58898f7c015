//! Sound: decoded, brought to 48 kHz stereo, put on its timeline, encoded.

mod encoder;

use ffmpeg::format::sample::{Sample, Type};
use ffmpeg::software::resampling;
use ffmpeg::{ChannelLayout, Packet, Rational, codec, frame};
use ffmpeg_next as ffmpeg;
use telstar_transcode::{CodecRecord, Config, MediaFrame};
use telstar_units::{Timescale, TrackId, rescale};

use crate::alignment::{Alignment, Block, SAMPLE_RATE};
use crate::conversion::{Counts, decoder_of, is_again};
use crate::failure::Failure;
use crate::stream::ElementaryStream;
pub use encoder::Encoder;

/// What the resampler may hold back beside what it is given; its filter has 32 samples.
const RESAMPLER_SLACK: usize = 256;
/// Channels at most; more is no stream of ours.
const CHANNELS_MAX: u16 = 8;

/// A conversion of sound.
pub struct Sound {
    decoding: Decoding,
    as_track: TrackId,
    encoder: Encoder,
}

/// Sound on its way to samples: decoded, brought to 48 kHz stereo and put on its timeline.
pub struct Decoding {
    input: CodecRecord,
    timescale: Timescale,
    stream: ElementaryStream,
    decoder: codec::decoder::Audio,
    resampler: Option<(Shape, resampling::Context)>,
    alignment: Alignment,
}

/// What a decoder gives.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: Sample,
    layout: ChannelLayout,
    rate: u32,
}

impl Sound {
    /// A conversion as `config` says.
    pub fn new(config: Config) -> Result<Sound, Failure> {
        let encoder = Encoder::new(config.target, config.settings.audio_kbps)?;
        let decoding = Decoding::new(config.input, config.timescale, encoder.block_len())?;
        Ok(Sound { decoding, as_track: config.as_track, encoder })
    }

    /// Takes a frame; appends what comes of it.
    pub fn feed(&mut self, frame: &MediaFrame, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        let outcome = self.decoding.feed(frame, counts);
        self.encode(out).and(outcome)
    }

    /// Lets out what is held back.
    pub fn flush(&mut self, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        self.decoding.alignment.fill();
        self.encode(out)
    }

    fn encode(&mut self, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        while let Some(block) = self.decoding.poll() {
            self.encoder.take(&block, self.as_track, out)?;
        }
        Ok(())
    }
}

impl Decoding {
    /// Of frames that are configured by `input`, into blocks of `block_len` samples.
    pub fn new(input: CodecRecord, timescale: Timescale, block_len: usize) -> Result<Decoding, Failure> {
        let stream = ElementaryStream::new(&input)?;
        let decoder = open_decoder(&input, timescale)?;
        let alignment = Alignment::new(block_len);
        Ok(Decoding { input, timescale, stream, decoder, resampler: None, alignment })
    }

    /// The next block of samples.
    pub fn poll(&mut self) -> Option<Block> {
        self.alignment.poll()
    }

    /// Takes a frame.
    pub fn feed(&mut self, frame: &MediaFrame, counts: &mut Counts) -> Result<(), Failure> {
        if let Some(record) = frame.record.as_ref().filter(|record| **record != self.input) {
            self.input = record.clone();
            self.stream = ElementaryStream::new(record)?;
            self.decoder = open_decoder(&self.input, self.timescale)?;
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
                Err(error) if is_again(&error) => return Ok(()),
                Err(_) => return counts.corrupt(),
            }
            counts.decoded();
            if !frame.decode_only {
                let at = decoded.timestamp().unwrap_or(frame.pts);
                self.take(at, &mut decoded, counts)?;
            }
        }
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
        if !self.alignment.push(rescale(at, self.timescale, clock) - held, samples) {
            counts.skipped();
        }
        Ok(())
    }
}

fn open_decoder(input: &CodecRecord, timescale: Timescale) -> Result<codec::decoder::Audio, Failure> {
    let codec = decoder_of(input.codec)?;
    let mut decoder = codec::Context::new_with_codec(codec).decoder();
    decoder.set_packet_time_base(Rational(1, i32::try_from(timescale.hz()).unwrap_or(i32::MAX)));
    decoder.open_as(codec).and_then(|opened| opened.audio()).map_err(|error| Failure::broken("decoder", error))
}
