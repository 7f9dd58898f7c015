//! The encoders of pictures: x264 and libvpx, set up so that each picture comes out before the next goes in.

use bytes::Bytes;
use ffmpeg::format::Pixel;
use ffmpeg::{Dictionary, Packet, Rational, codec, frame};
use ffmpeg_next as ffmpeg;
use telstar_media::CodecConfig;
use telstar_media::codec::Vp8Config;
use telstar_media::codec::annexb::AnnexBReader;
use telstar_transcode::{CodecRecord, MediaFrame, Preset, Settings, Target};
use telstar_units::TrackId;

use crate::conversion::is_again;
use crate::failure::Failure;

/// Thousandths of a bit for each pixel of VP8, which needs a rate and not a quality. 100: 2.8 Mbit/s for 720p at 30 a
/// second, what browsers send by themselves. Lower blurs, higher fills links.
const VP8_MILLIBITS_PER_PIXEL: u64 = 100;
/// VP8 below this is no picture any more.
const VP8_KBPS_MIN: u64 = 150;

/// What an encoder was opened for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// In pixels, even.
    pub width: u32,
    /// In pixels, even.
    pub height: u32,
    /// Of one pixel.
    pub sample_aspect: Rational,
}

/// Of pictures of one shape.
pub struct Encoder {
    encoder: codec::encoder::video::Encoder,
    target: Target,
    shape: Shape,
    /// What x264 writes is a byte stream.
    byte_stream: AnnexBReader,
    /// Which configuration was told last.
    told: Option<CodecRecord>,
    last: Option<i64>,
}

impl Encoder {
    /// For pictures of this shape, at most so many a second.
    pub fn new(target: Target, settings: &Settings, shape: Shape, fps: u32) -> Result<Encoder, Failure> {
        let (name, options) = match target {
            Target::Vp8 => ("libvpx", vp8_options(settings, shape, fps)),
            _ => ("libx264", h264_options(settings)),
        };
        let codec = codec::encoder::find_by_name(name)
            .ok_or_else(|| Failure::unsupported(format!("this FFmpeg has no encoder {name}")))?;
        let failed = |error| Failure::broken("encoder", error);
        let mut context = codec::Context::new_with_codec(codec);
        context.set_threading(codec::threading::Config {
            kind: codec::threading::Type::Slice,
            count: settings.threads.max(1) as usize,
            ..Default::default()
        });
        let mut video = context.encoder().video().map_err(failed)?;
        video.set_width(shape.width);
        video.set_height(shape.height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(Rational(1, super::VIDEO_HZ as i32));
        video.set_frame_rate(Some(Rational(i32::try_from(fps).unwrap_or(30), 1)));
        video.set_aspect_ratio(shape.sample_aspect);
        video.set_max_b_frames(0);
        // Keyframes come when they are asked for, not by count.
        video.set_gop(100_000);
        let options: Dictionary<'_> = options.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let encoder = video.open_as_with(codec, options).map_err(failed)?;
        Ok(Encoder { encoder, target, shape, byte_stream: AnnexBReader::default(), told: None, last: None })
    }

    /// What it was opened for.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Takes a picture, whose kind says whether it is to stand alone; appends what comes of it, as a frame of `track`.
    pub fn take(&mut self, picture: &frame::Video, track: TrackId, out: &mut Vec<MediaFrame>) -> Result<(), Failure> {
        self.encoder.send_frame(picture).map_err(|error| Failure::broken("encoder", error))?;
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(error) if is_again(&error) => return Ok(()),
                Err(error) => return Err(Failure::broken("encoder", error)),
            }
            let (Some(at), Some(data)) = (packet.pts(), packet.data()) else { continue };
            if self.last.is_some_and(|last| at <= last) {
                continue;
            }
            let (payload, record, key) = match self.target {
                Target::Vp8 => (Bytes::copy_from_slice(data), vp8_record(self.shape), packet.is_key()),
                _ => match self.byte_stream.read(data).map_err(|error| Failure::broken("x264", error))? {
                    Some(sample) => (sample.payload, CodecRecord::of(&sample.config), sample.key),
                    None => continue,
                },
            };
            self.last = Some(at);
            let record = Some(record).filter(|record| self.told.as_ref() != Some(record));
            if record.is_some() {
                self.told.clone_from(&record);
            }
            out.push(MediaFrame { track, record, dts: at, pts: at, duration: 0, key, decode_only: false, payload });
        }
    }
}

fn h264_options(settings: &Settings) -> Vec<(&'static str, String)> {
    let preset = match settings.preset {
        Preset::Ultrafast => "ultrafast",
        Preset::Superfast => "superfast",
        Preset::Veryfast => "veryfast",
    };
    let most = format!("{}k", settings.video_kbps_max);
    vec![
        ("preset", preset.into()),
        ("tune", "zerolatency".into()),
        // Constrained baseline, which every browser negotiates (RFC 7742 §6.2), and every player over HLS decodes.
        ("profile", "baseline".into()),
        ("forced-idr", "1".into()),
        ("sc_threshold", "0".into()),
        ("crf", "23".into()),
        ("maxrate", most.clone()),
        // A second's worth: keyframes may be large, and a link is not filled for long.
        ("bufsize", most),
    ]
}

fn vp8_options(settings: &Settings, shape: Shape, fps: u32) -> Vec<(&'static str, String)> {
    let pixels = u64::from(shape.width) * u64::from(shape.height) * u64::from(fps.min(settings.fps_max));
    let kbps = (pixels * VP8_MILLIBITS_PER_PIXEL / 1_000_000)
        .clamp(VP8_KBPS_MIN.min(settings.video_kbps_max.into()), settings.video_kbps_max.into());
    vec![
        ("deadline", "realtime".into()),
        ("cpu-used", "8".into()),
        ("error-resilient", "default".into()),
        ("lag-in-frames", "0".into()),
        ("auto-alt-ref", "0".into()),
        ("b", format!("{kbps}k")),
        ("maxrate", format!("{kbps}k")),
        ("minrate", "0".into()),
        ("bufsize", format!("{kbps}k")),
    ]
}

fn vp8_record(shape: Shape) -> CodecRecord {
    CodecRecord::of(&CodecConfig::Vp8(Vp8Config { width: shape.width, height: shape.height }))
}
