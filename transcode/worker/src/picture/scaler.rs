//! Pictures of any size and pixel format as 8-bit 4:2:0 of a wanted size.

use ffmpeg::format::Pixel;
use ffmpeg::frame;
use ffmpeg::software::scaling;
use ffmpeg_next as ffmpeg;

use crate::failure::Failure;

/// Keeps what libswscale works out for one pair of sizes, until another comes.
#[derive(Default)]
pub struct Scaler(Option<scaling::Context>);

impl Scaler {
    /// The picture as 8-bit 4:2:0 of `width` and `height` pixels.
    pub fn run(&mut self, picture: &frame::Video, (width, height): (u32, u32)) -> Result<frame::Video, Failure> {
        let source = (picture.format(), picture.width(), picture.height());
        let is_fitting = |scaler: &scaling::Context| {
            let (from, to) = (scaler.input(), scaler.output());
            (from.format, from.width, from.height) == source && (to.width, to.height) == (width, height)
        };
        let failed = |error| Failure::broken("a picture's size or pixel format", error);
        let scaler = match &mut self.0 {
            Some(scaler) if is_fitting(scaler) => scaler,
            other => {
                let (format, from_width, from_height) = source;
                let flags = scaling::Flags::BILINEAR;
                let made = scaling::Context::get(format, from_width, from_height, Pixel::YUV420P, width, height, flags);
                other.insert(made.map_err(failed)?)
            }
        };
        let mut scaled = frame::Video::empty();
        scaler.run(picture, &mut scaled).map_err(failed)?;
        Ok(scaled)
    }
}
