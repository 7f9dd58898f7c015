//! Encoders of pictures: as good as asked for, within what a rung may take, standing alone exactly where they are told
//! to.

mod units;

use std::sync::Arc;

use ffmpeg::codec::{self, threading};
use ffmpeg::format::Pixel;
use ffmpeg::{Dictionary, Packet, Rational, color, encoder, frame};
use ffmpeg_next as ffmpeg;
use telstar_media::CodecConfig;
use telstar_media::codec::annexb::AnnexBReader;
use telstar_transcode::file::{CLOCK, Make, VideoCodec};
use telstar_transcode::ladder::Rung;

use self::units::{Av1Reader, HevcReader};
use super::rung::missing;
use crate::conversion::is_again;
use crate::failure::Failure;

/// No encoder places a keyframe by itself before so many pictures: where they stand is told.
const GOP_PICTURES: u32 = 1_000_000;
/// Seconds that a rung may take at its most before it has to take less (the decoder's buffer of HLS players).
const BUFFER_SECS: u64 = 2;
/// What looks alike to x264's scale: x265's begins four higher, libaom's is stretched to 63.
const HEVC_CRF_MORE: u8 = 4;
const AV1_CRF_MORE: u8 = 9;
/// Bits that HEVC and AV1 need of what H.264 does, in percent.
const HEVC_PERCENT: u64 = 70;
const AV1_PERCENT: u64 = 60;
/// How quick libaom is, of 8: each step halves its work.
const AV1_CPU_USED: u8 = 6;

/// What came out.
pub struct Encoded {
    pub config: Arc<CodecConfig>,
    pub dts: i64,
    pub pts: i64,
    /// It stands alone.
    pub key: bool,
    /// As fMP4 carries it.
    pub payload: Vec<u8>,
}

/// An encoder of one rung.
pub struct Encoder {
    encoder: encoder::video::Encoder,
    reader: Reader,
}

/// How the configuration is told from the pictures.
enum Reader {
    H264(AnnexBReader),
    Hevc(HevcReader),
    Av1(Av1Reader),
}

impl Encoder {
    /// For pictures like this one, scaled.
    pub fn new(codec: VideoCodec, rung: &Rung, task: &Make, like: &frame::Video) -> Result<Encoder, Failure> {
        let (name, reader) = match codec {
            VideoCodec::H264 => ("libx264", Reader::H264(AnnexBReader::default())),
            VideoCodec::Hevc => ("libx265", Reader::Hevc(HevcReader::default())),
            VideoCodec::Av1 => ("libaom-av1", Reader::Av1(Av1Reader::default())),
        };
        let found = encoder::find_by_name(name).ok_or_else(|| missing(name))?;
        let failed = |error| Failure::broken("encoder", error);
        let mut context = codec::Context::new_with_codec(found);
        let (kind, count) = (threading::Type::Frame, usize::from(task.limits.threads.max(1)));
        context.set_threading(threading::Config { kind, count, ..threading::Config::default() });
        let mut video = context.encoder().video().map_err(failed)?;
        video.set_width(rung.width);
        video.set_height(rung.height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(Rational(1, CLOCK.hz() as i32));
        video.set_frame_rate(Some(Rational(i32::try_from(rung.fps_millis).unwrap_or(30_000), 1_000)));
        video.set_aspect_ratio(Rational(1, 1));
        video.set_gop(GOP_PICTURES);
        describe_colour(&mut video, like);
        let options = match codec {
            VideoCodec::H264 => h264_options(rung, task),
            VideoCodec::Hevc => hevc_options(rung, task),
            VideoCodec::Av1 => av1_options(rung),
        };
        let options: Dictionary<'_> = options.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let encoder = video.open_as_with(found, options).map_err(failed)?;
        Ok(Encoder { encoder, reader })
    }

    /// Takes a picture, whose kind says whether it is to stand alone; appends what comes of it.
    pub fn take(&mut self, picture: &frame::Video, out: &mut Vec<Encoded>) -> Result<(), Failure> {
        self.encoder.send_frame(picture).map_err(|error| Failure::broken("encoder", error))?;
        self.receive(out)
    }

    /// Lets out what is held back.
    pub fn finish(&mut self, out: &mut Vec<Encoded>) -> Result<(), Failure> {
        self.encoder.send_eof().map_err(|error| Failure::broken("encoder", error))?;
        self.receive(out)
    }

    fn receive(&mut self, out: &mut Vec<Encoded>) -> Result<(), Failure> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(error) if is_again(&error) => return Ok(()),
                Err(error) => return Err(Failure::broken("encoder", error)),
            }
            let (Some(pts), Some(data)) = (packet.pts(), packet.data()) else { continue };
            let dts = packet.dts().unwrap_or(pts);
            let read = match &mut self.reader {
                Reader::H264(reader) => reader
                    .read(data)
                    .map_err(|error| Failure::broken("x264", error))?
                    .map(|sample| (sample.config, sample.key, sample.payload.into())),
                Reader::Hevc(reader) => reader.read(data).map_err(|error| Failure::broken("x265", error))?,
                Reader::Av1(reader) => reader.read(data).map_err(|error| Failure::broken("libaom", error))?,
            };
            out.extend(read.map(|(config, key, payload)| Encoded { config, dts, pts, key, payload }));
        }
    }
}

/// Says of the colours what the source says: the values are passed on, but for what the scaler has to change.
fn describe_colour(video: &mut encoder::video::Video, like: &frame::Video) {
    let is_full = matches!(like.format(), Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P);
    let is_rgb = like.color_space() == color::Space::RGB;
    // The scaler brings these into the ordinary range, and what is no YUV into that of standard definition.
    video.set_color_range(if is_full || is_rgb { color::Range::MPEG } else { like.color_range() });
    video.set_colorspace(if is_rgb { color::Space::SMPTE170M } else { like.color_space() });
    video.set_color_primaries(like.color_primaries());
    video.set_color_transfer_characteristic(like.color_transfer_characteristic());
}

/// What all have: never above the cap for long.
fn capped(bps_max: u64) -> [(&'static str, String); 2] {
    [("maxrate", bps_max.to_string()), ("bufsize", bps_max.saturating_mul(BUFFER_SECS).to_string())]
}

fn h264_options(rung: &Rung, task: &Make) -> Vec<(&'static str, String)> {
    let mut options = vec![
        ("preset", task.preset.name().to_owned()),
        ("profile", "high".to_owned()),
        ("crf", rung.crf.to_string()),
        // A picture that is told to stand alone is one to begin at; no others do, and none behind it looks before it.
        ("forced-idr", "1".to_owned()),
        ("sc_threshold", "0".to_owned()),
        ("flags", "+cgop".to_owned()),
    ];
    options.extend(capped(rung.bps_max));
    options
}

fn hevc_options(rung: &Rung, task: &Make) -> Vec<(&'static str, String)> {
    let threads = task.limits.threads.max(1);
    let mut options = vec![
        ("preset", task.preset.name().to_owned()),
        ("profile", "main".to_owned()),
        ("crf", (rung.crf + HEVC_CRF_MORE).to_string()),
        ("forced-idr", "1".to_owned()),
        // Without its pool of threads, which asks for things that the sandbox does not give: each picture has one.
        ("x265-params", format!("open-gop=0:scenecut=0:log-level=none:pools=none:frame-threads={threads}")),
    ];
    options.extend(capped(rung.bps_max * HEVC_PERCENT / 100));
    options
}

fn av1_options(rung: &Rung) -> Vec<(&'static str, String)> {
    let bps = rung.bps_max * AV1_PERCENT / 100;
    vec![
        ("cpu-used", AV1_CPU_USED.to_string()),
        ("crf", (rung.crf + AV1_CRF_MORE).to_string()),
        // With a quality beside it, this is the most that it takes.
        ("b", bps.to_string()),
        ("row-mt", "1".to_owned()),
        ("lag-in-frames", "19".to_owned()),
    ]
}
