//! Pictures: decoded, brought to 8-bit 4:2:0, encoded without delay and without B-frames.

mod encoder;
mod scaler;

use ffmpeg::format::Pixel;
use ffmpeg::{Packet, Rational, codec, frame, picture};
use ffmpeg_next as ffmpeg;
use telstar_transcode::{CodecRecord, Config, MediaFrame, Settings, Target};
use telstar_units::Timescale;

use crate::conversion::{Counts, decoder_of, is_again};
use crate::failure::Failure;
use crate::stream::ElementaryStream;
pub use encoder::{Encoder, Shape};
pub use scaler::Scaler;

/// Ticks of the clock of every picture track in a second.
pub const VIDEO_HZ: i64 = 90_000;
/// Pictures a second where the source does not tell.
const FPS_UNKNOWN: u32 = 30;
/// After a keyframe requests are not answered for so long: whoever asked twice means the first. Higher delays a viewer who
/// came just behind one; lower lets viewers who come one by one make a stream of keyframes.
const KEYFRAME_PAUSE: i64 = VIDEO_HZ / 4;

/// A conversion of pictures.
pub struct Picture {
    config: Config,
    stream: ElementaryStream,
    decoder: codec::decoder::Video,
    scaler: Scaler,
    encoder: Option<Encoder>,
    rate: Rate,
    /// The time of the last picture that was encoded.
    last: Option<i64>,
    last_key: Option<i64>,
    wants_key: bool,
    /// The source's picture, or one that was left out before it, stands alone.
    mirrors_key: bool,
    /// From here on pictures come out; before, they were fed to be decoded only.
    shown_from: Option<i64>,
}

impl Picture {
    /// A conversion as `config` says.
    pub fn new(config: Config) -> Result<Picture, Failure> {
        check_size(&config.input, config.settings.pixels_max)?;
        let stream = ElementaryStream::new(&config.input)?;
        let decoder = open_decoder(&config.input, config.timescale, &config.settings)?;
        Ok(Picture {
            config,
            stream,
            decoder,
            scaler: Scaler::default(),
            encoder: None,
            rate: Rate::default(),
            last: None,
            last_key: None,
            wants_key: true,
            mirrors_key: false,
            shown_from: None,
        })
    }

    /// The next picture shall stand alone.
    pub fn force_keyframe(&mut self) {
        self.wants_key = true;
    }

    /// Takes a frame; appends what comes of it.
    pub fn feed(&mut self, frame: &MediaFrame, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        if let Some(record) = frame.record.as_ref().filter(|record| **record != self.config.input) {
            self.config.input = record.clone();
            check_size(record, self.config.settings.pixels_max)?;
            self.stream = ElementaryStream::new(record)?;
        }
        if !frame.decode_only {
            // A picture that is shown before it in time may still be inside the decoder.
            self.shown_from.get_or_insert(frame.pts);
        }
        self.rate.handle(frame.dts);
        let Some(bytes) = self.stream.packet(&frame.payload, frame.key) else { return counts.corrupt() };
        let mut packet = Packet::copy(&bytes);
        packet.set_pts(Some(frame.pts));
        packet.set_dts(Some(frame.dts));
        if self.decoder.send_packet(&packet).is_err() {
            return counts.corrupt();
        }
        self.receive(counts, out)
    }

    /// Lets out what is held back. The decoder begins anew behind it.
    pub fn flush(&mut self, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        if self.decoder.send_eof().is_ok() {
            self.receive(counts, out)?;
        }
        self.decoder.flush();
        self.wants_key = true;
        Ok(())
    }

    fn receive(&mut self, counts: &mut Counts, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        loop {
            let mut decoded = frame::Video::empty();
            match self.decoder.receive_frame(&mut decoded) {
                Ok(()) => {}
                Err(error) if is_again(&error) => return Ok(()),
                Err(_) => return counts.corrupt(),
            }
            counts.decoded();
            let Some(at) = decoded.timestamp() else { continue };
            if self.shown_from.is_none_or(|from| at < from) {
                continue;
            }
            // Whoever cuts the source where it has keyframes cuts here, too.
            self.mirrors_key |= decoded.is_key() && self.config.target == Target::H264;
            if self.is_surplus(at) {
                counts.skipped();
                continue;
            }
            self.encode(at, decoded, out)?;
        }
    }

    /// Too soon behind the last, or not behind it at all.
    fn is_surplus(&self, at: i64) -> bool {
        // Three quarters: stamps jitter.
        let shortest = VIDEO_HZ * 3 / 4 / i64::from(self.config.settings.fps_max.max(1));
        self.last.is_some_and(|last| at.saturating_sub(last) < shortest.max(1))
    }

    fn encode(&mut self, at: i64, decoded: frame::Video, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        let (width, height) = (decoded.width(), decoded.height());
        check_pixels((width, height), self.config.settings.pixels_max)?;
        // 4:2:0 has no half samples of colour.
        let shape = Shape { width: width & !1, height: height & !1, sample_aspect: decoded.aspect_ratio() };
        if shape.width == 0 || shape.height == 0 {
            return Err(Failure::unsupported(format!("{width}x{height} is no picture")));
        }
        let mut plain = self.plain(decoded, shape)?;
        if self.encoder.as_ref().is_none_or(|encoder| encoder.shape() != shape) {
            self.encoder = Some(Encoder::new(self.config.target, &self.config.settings, shape, self.rate.fps())?);
            self.last_key = None;
        }
        let since_key = self.last_key.map(|key| at.saturating_sub(key));
        let longest = i64::from(self.config.settings.keyframe_interval_ms) * VIDEO_HZ / 1_000;
        let is_due = |since| since >= longest || self.wants_key && since >= KEYFRAME_PAUSE;
        let key = self.mirrors_key || since_key.is_none_or(is_due);
        // What the source's picture was does not matter to the encoder.
        plain.set_kind(if key { picture::Type::I } else { picture::Type::None });
        plain.set_pts(Some(at));
        if key {
            (self.last_key, self.wants_key, self.mirrors_key) = (Some(at), false, false);
        }
        self.last = Some(at);
        match &mut self.encoder {
            Some(encoder) => encoder.take(&plain, self.config.as_track, out),
            None => Ok(()),
        }
    }

    /// The picture in 8-bit 4:2:0 with even sides.
    fn plain(&mut self, decoded: frame::Video, shape: Shape) -> Result<frame::Video, Failure> {
        if decoded.format() == Pixel::YUV420P && (decoded.width(), decoded.height()) == (shape.width, shape.height) {
            return Ok(decoded);
        }
        self.scaler.run(&decoded, (shape.width, shape.height))
    }
}

/// Where the configuration says how large pictures are, before the first is decoded.
pub fn check_size(input: &CodecRecord, pixels_max: u32) -> Result<(), Failure> {
    let size = input.config().ok().and_then(|known| known.picture_size());
    size.map_or(Ok(()), |size| check_pixels(size, pixels_max))
}

/// A picture of this size may be converted.
pub fn check_pixels((width, height): (u32, u32), most: u32) -> Result<(), Failure> {
    if u64::from(width) * u64::from(height) > u64::from(most) {
        let text = format!("{width}x{height} is more than transcode.pixels_max ({most})");
        return Err(Failure::unsupported(text));
    }
    Ok(())
}

/// A decoder that holds no picture back.
pub fn open_decoder(
    input: &CodecRecord,
    timescale: Timescale,
    settings: &Settings,
) -> Result<codec::decoder::Video, Failure> {
    let codec = decoder_of(input.codec)?;
    let mut context = codec::Context::new_with_codec(codec);
    // Slices only: threads that each take a picture hold back as many pictures as there are threads.
    context.set_threading(codec::threading::Config {
        kind: codec::threading::Type::Slice,
        count: settings.threads.max(1) as usize,
        ..Default::default()
    });
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(Rational(1, i32::try_from(timescale.hz()).unwrap_or(i32::MAX)));
    let pixels = settings.pixels_max.to_string();
    // The second is dav1d's: no picture is held back.
    let options = [("max_pixels", pixels.as_str()), ("max_frame_delay", "1")];
    decoder
        .open_as_with(codec, options.into_iter().collect())
        .and_then(|opened| opened.video())
        .map_err(|error| Failure::broken("decoder", error))
}

/// How many pictures a second come, from the shortest step of their decode times: the encoder's level and rate need a
/// figure before there is time to count.
#[derive(Debug, Default)]
struct Rate {
    last: Option<i64>,
    shortest: Option<i64>,
}

impl Rate {
    fn handle(&mut self, dts: i64) {
        let step = self.last.map(|last| dts.saturating_sub(last)).filter(|step| *step > 0);
        self.last = Some(dts);
        self.shortest = self.shortest.into_iter().chain(step).min();
    }

    fn fps(&self) -> u32 {
        let fps = self.shortest.map(|step| (VIDEO_HZ + step / 2) / step);
        fps.and_then(|fps| u32::try_from(fps).ok()).map_or(FPS_UNKNOWN, |fps| fps.clamp(5, 120))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_shortest_step() {
        let mut rate = Rate::default();
        assert_eq!(rate.fps(), FPS_UNKNOWN);
        [0, 3_003, 3_003, 1, 9_009, 12_012].into_iter().for_each(|dts| rate.handle(dts));
        assert_eq!(rate.fps(), 30);
        rate.handle(i64::MAX);
        rate.handle(i64::MIN);
        rate.handle(12);
        assert_eq!(rate.fps(), 30);
    }
}
