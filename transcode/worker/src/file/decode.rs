//! Decoders of a file's streams.

use ffmpeg::codec::{self, Id, threading};
use ffmpeg::{Stream, decoder};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::Limits;

use crate::failure::Failure;

/// Samples a second of what is taken for sound: the least is a telephone's half, the most what studios have twice over. A tiny file of
/// one sample a second would become hours.
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 4_000..=768_000;
/// Channels that can be mixed down.
const CHANNELS_MAX: u16 = 64;

/// Whether what is decoded can be sound.
pub fn is_heard(channels: u16, sample_rate: u32) -> bool {
    (1..=CHANNELS_MAX).contains(&channels) && SAMPLE_RATES.contains(&sample_rate)
}

/// The decoder of a codec, if there is one.
pub fn decoder_of(id: Id) -> Option<ffmpeg::Codec> {
    match id {
        Id::None => None,
        // FFmpeg's own AV1 decoder only drives graphics cards.
        Id::AV1 => decoder::find_by_name("libdav1d"),
        _ => decoder::find(id),
    }
}

/// A decoder of pictures, which refuses those that are too large before it takes memory for them.
pub fn video(stream: &Stream<'_>, limits: &Limits, threads: u16) -> Result<decoder::Video, Failure> {
    let broken = |error| Failure::source(format!("its pictures cannot be decoded: {error}"));
    let codec = known(stream)?;
    let mut context = codec::Context::from_parameters(stream.parameters()).map_err(broken)?;
    let (kind, count) = (threading::Type::Frame, usize::from(threads.max(1)));
    context.set_threading(threading::Config { kind, count, ..threading::Config::default() });
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    let pixels = limits.pixels_max.to_string();
    let options = [("max_pixels", pixels.as_str())];
    decoder.open_as_with(codec, options.into_iter().collect()).and_then(|opened| opened.video()).map_err(broken)
}

/// A decoder of sound.
pub fn audio(stream: &Stream<'_>) -> Result<decoder::Audio, Failure> {
    let broken = |error| Failure::source(format!("its sound cannot be decoded: {error}"));
    let codec = known(stream)?;
    let mut decoder = codec::Context::from_parameters(stream.parameters()).map_err(broken)?.decoder();
    decoder.set_packet_time_base(stream.time_base());
    decoder.open_as(codec).and_then(|opened| opened.audio()).map_err(broken)
}

fn known(stream: &Stream<'_>) -> Result<ffmpeg::Codec, Failure> {
    let id = stream.parameters().id();
    decoder_of(id).ok_or_else(|| Failure::source(format!("{} cannot be decoded", id.name())))
}
