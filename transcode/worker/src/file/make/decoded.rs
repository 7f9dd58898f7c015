//! The sound of a source: decoded, at 48 kHz, with as many channels as are wanted.

use ffmpeg::format::sample::{Sample, Type};
use ffmpeg::software::resampling;
use ffmpeg::{ChannelLayout, Packet, Stream, decoder, frame};
use ffmpeg_next as ffmpeg;
use telstar_units::Timescale;

use crate::failure::Failure;
use crate::file::clock::StreamClock;
use crate::file::decode;
use crate::file::teller::Teller;

/// What comes out is sampled at this rate.
pub const SAMPLE_RATE: u32 = 48_000;
/// What comes out, as FFmpeg names it.
pub const SAMPLE: Sample = Sample::F32(Type::Planar);
/// What the resampler may hold back beside what it is given; its filter has 32 samples.
const RESAMPLER_SLACK: usize = 256;
/// Samples of a frame of any codec at most. The largest real ones, of lossless codecs, have 65,536.
const FRAME_SAMPLES_MAX: usize = 1 << 20;

/// Sound, a plane for each channel.
pub type Planes = Vec<Vec<f32>>;

/// A piece of it.
pub struct Piece {
    /// When it begins, in samples on the asset's timeline; none where the source does not say.
    pub at: Option<i64>,
    /// Each as long as the others.
    pub planes: Planes,
}

/// See the module.
pub struct DecodedSound {
    decoder: decoder::Audio,
    clock: StreamClock,
    layout: ChannelLayout,
    resampler: Option<(Shape, resampling::Context)>,
}

/// What a decoder gives.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: Sample,
    layout: ChannelLayout,
    rate: u32,
}

/// The layout of so many channels. Six are those that AAC has a number for (ISO/IEC 14496-3 Table 1.19).
pub fn layout(channels: u8) -> ChannelLayout {
    match channels {
        1 => ChannelLayout::MONO,
        6 => ChannelLayout::_5POINT1_BACK,
        _ => ChannelLayout::STEREO,
    }
}

/// The clock of the samples.
pub fn timescale() -> Timescale {
    Timescale::new(SAMPLE_RATE).unwrap_or(Timescale::VIDEO)
}

impl DecodedSound {
    /// Of this stream, whose zero is there on the asset's timeline.
    pub fn new(stream: &Stream<'_>, shift: i64, channels: u8) -> Result<DecodedSound, Failure> {
        let clock = StreamClock::new(stream.time_base(), shift);
        Ok(DecodedSound { decoder: decode::audio(stream)?, clock, layout: layout(channels), resampler: None })
    }

    /// Takes a packet, or the end; appends what comes of it.
    pub fn feed(
        &mut self,
        packet: Option<&Packet>,
        teller: &mut Teller<'_>,
        out: &mut Vec<Piece>,
    ) -> Result<(), Failure> {
        let sent = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        if sent.is_err() {
            teller.corrupt += u64::from(packet.is_some());
        }
        let mut decoded = frame::Audio::empty();
        while self.decoder.receive_frame(&mut decoded).is_ok() {
            match self.plain(&mut decoded)? {
                Some(piece) => out.push(piece),
                None => teller.corrupt += 1,
            }
        }
        Ok(())
    }

    /// What was decoded in the form that is wanted. None: it is no sound.
    fn plain(&mut self, decoded: &mut frame::Audio) -> Result<Option<Piece>, Failure> {
        let (samples, rate) = (decoded.samples(), decoded.rate());
        if samples == 0 || samples > FRAME_SAMPLES_MAX || !decode::is_heard(decoded.channels(), rate) {
            return Ok(None);
        }
        if decoded.channel_layout().is_empty() {
            // Some decoders know how many channels there are and not which.
            decoded.set_channel_layout(ChannelLayout::default(i32::from(decoded.channels())));
        }
        let shape = Shape { format: decoded.format(), layout: decoded.channel_layout(), rate };
        let resampler = match &mut self.resampler {
            Some((known, resampler)) if *known == shape => resampler,
            other => {
                let made =
                    resampling::Context::get(shape.format, shape.layout, shape.rate, SAMPLE, self.layout, SAMPLE_RATE);
                let made = made.map_err(|error| Failure::source(format!("its sound cannot be mixed: {error}")))?;
                &mut other.insert((shape, made)).1
            }
        };
        // What the resampler holds back is of the time before this frame.
        let held = resampler.delay().map_or(0, |delay| delay.output.max(0));
        let room = samples as u64 * u64::from(SAMPLE_RATE) / u64::from(rate) + held as u64;
        let mut resampled = frame::Audio::new(SAMPLE, room as usize + RESAMPLER_SLACK, self.layout);
        if resampler.run(decoded, &mut resampled).is_err() {
            return Ok(None);
        }
        let planes = (0..resampled.planes()).map(|plane| resampled.plane::<f32>(plane).to_vec()).collect();
        let at = decoded.pts().or(decoded.timestamp());
        let at = at.map(|at| self.clock.asset_in(at, timescale()) - held);
        Ok(Some(Piece { at, planes }))
    }
}
