//! The encoders of sound: FFmpeg's own AAC and libopus.

use bytes::Bytes;
use ffmpeg::format::sample::{Sample, Type};
use ffmpeg::{ChannelLayout, Packet, Rational, codec, frame};
use ffmpeg_next as ffmpeg;
use telstar_media::CodecConfig;
use telstar_media::codec::{AacConfig, OpusConfig};
use telstar_transcode::{CodecRecord, MediaFrame, Target};
use telstar_units::TrackId;

use crate::alignment::{Block, SAMPLE_RATE};
use crate::conversion::is_again;
use crate::failure::Failure;

/// Of 48 kHz stereo.
pub struct Encoder {
    encoder: codec::encoder::audio::Encoder,
    format: Sample,
    block_len: usize,
    /// The time of the last frame that came out.
    last: Option<i64>,
    /// What they are, until the first tells it.
    untold: Option<CodecRecord>,
}

impl Encoder {
    /// For sound of so many kbit/s.
    pub fn new(target: Target, kbps: u32) -> Result<Encoder, Failure> {
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

    /// How many samples each block that it takes has.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Takes a block; appends what comes of it, as frames of `track`.
    pub fn take(&mut self, block: &Block, track: TrackId, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
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
