//! Pictures of any size and pixel format as 8-bit 4:2:0 of a wanted size.

use ffmpeg::format::Pixel;
use ffmpeg::frame;
use ffmpeg::software::scaling;
use ffmpeg_next as ffmpeg;

use crate::failure::Failure;

/// Keeps what libswscale works out for one pair of sizes, until another comes.
pub struct Scaler {
    context: Option<scaling::Context>,
    flags: scaling::Flags,
    format: Pixel,
}

impl Default for Scaler {
    /// Quick.
    fn default() -> Scaler {
        Scaler { context: None, flags: scaling::Flags::BILINEAR, format: Pixel::YUV420P }
    }
}

impl Scaler {
    /// Sharper, for what is made once and watched often.
    pub fn sharp() -> Scaler {
        Scaler { flags: scaling::Flags::BICUBIC, ..Scaler::default() }
    }

    /// The same in the full range of values, as JPEG has it.
    pub fn full_range() -> Scaler {
        Scaler { format: Pixel::YUVJ420P, ..Scaler::sharp() }
    }

    /// The picture as 8-bit 4:2:0 of so many pixels.
    pub fn run(&mut self, picture: &frame::Video, size: (u32, u32)) -> Result<frame::Video, Failure> {
        let mut scaled = frame::Video::empty();
        self.run_into(picture, size, &mut scaled)?;
        Ok(scaled)
    }

    /// The same into a picture that is there, which nobody else may have: memory is not taken for each anew.
    pub fn run_into(
        &mut self,
        picture: &frame::Video,
        (width, height): (u32, u32),
        scaled: &mut frame::Video,
    ) -> Result<(), Failure> {
        let source = (picture.format(), picture.width(), picture.height());
        let is_fitting = |scaler: &scaling::Context| {
            let (from, to) = (scaler.input(), scaler.output());
            (from.format, from.width, from.height) == source && (to.width, to.height) == (width, height)
        };
        let failed = |error| match error {
            // What has no memory has no size.
            ffmpeg::Error::OutputChanged => Failure::broken("memory", "there is none for a picture"),
            error => Failure::broken("a picture's size or pixel format", error),
        };
        let scaler = match &mut self.context {
            Some(scaler) if is_fitting(scaler) => scaler,
            other => {
                let (format, from_width, from_height) = source;
                let made =
                    scaling::Context::get(format, from_width, from_height, self.format, width, height, self.flags);
                other.insert(made.map_err(failed)?)
            }
        };
        scaler.run(picture, scaled).map_err(failed)
    }
}
