//! One size of a picture: as many pictures a second as it may have, scaled, encoded, cut.

use std::io::BufWriter;

use ffmpeg::format::Pixel;
use ffmpeg::{frame, picture};
use ffmpeg_next as ffmpeg;
use telstar_media::MediaKind;
use telstar_transcode::file::{CLOCK, Make, RenditionKind, VideoCodec};
use telstar_transcode::ladder;

use super::encoder::{Encoded, Encoder};
use super::written::Written;
use crate::failure::Failure;
use crate::file::Stop;
use crate::file::blob::Blob;
use crate::file::clock::HZ;
use crate::file::cutter::Sample;
use crate::file::teller::Teller;
use crate::picture::Scaler;

/// See the module.
pub struct Rung<'task> {
    task: &'task Make,
    codec: VideoCodec,
    shape: ladder::Rung,
    scaler: Scaler,
    /// The encoder copies what it is given, so that one is enough.
    scaled: frame::Video,
    encoder: Option<Encoder>,
    written: Written<'task>,
    last: Option<i64>,
}

impl<'task> Rung<'task> {
    /// Of this shape, into this output.
    pub fn new(
        task: &'task Make,
        codec: VideoCodec,
        shape: ladder::Rung,
        output: u8,
        blob: BufWriter<Blob>,
    ) -> Rung<'task> {
        let written = Written::new(output, MediaKind::Video, CLOCK, &task.map, blob);
        let (scaler, scaled) = (Scaler::sharp(), frame::Video::empty());
        Rung { task, codec, shape, scaler, scaled, encoder: None, written, last: None }
    }

    /// Takes the picture that is shown at `at`, or leaves it out where there are too many.
    pub fn take(&mut self, at: i64, shown: &mut frame::Video, key: bool, teller: &mut Teller<'_>) -> Result<(), Stop> {
        // Three quarters: stamps jitter. What stands alone is in every rung, so that all are cut alike.
        let shortest = self.lasts() * 3 / 4;
        if !key && self.last.is_some_and(|last| at - last < shortest) {
            return Ok(());
        }
        self.last = Some(at);
        self.encode(at, shown, key, teller)
    }

    /// A picture that is shown already stands alone at `at`. What comes next is not left out for it.
    pub fn repeat(&mut self, at: i64, shown: &mut frame::Video, teller: &mut Teller<'_>) -> Result<(), Stop> {
        self.encode(at, shown, true, teller)
    }

    fn encode(&mut self, at: i64, shown: &mut frame::Video, key: bool, teller: &mut Teller<'_>) -> Result<(), Stop> {
        let size = (self.shape.width, self.shape.height);
        let is_fitting = shown.format() == Pixel::YUV420P && (shown.width(), shown.height()) == size;
        if !is_fitting {
            self.scaler.run_into(shown, size, &mut self.scaled)?;
        }
        if self.encoder.is_none() {
            self.encoder = Some(Encoder::new(self.codec, &self.shape, self.task, shown)?);
        }
        let plain = if is_fitting { shown } else { &mut self.scaled };
        // What the source's picture was does not matter to the encoder.
        plain.set_kind(if key { picture::Type::I } else { picture::Type::None });
        plain.set_pts(Some(at));
        let mut encoded = Vec::new();
        if let Some(encoder) = &mut self.encoder {
            encoder.take(plain, &mut encoded)?;
        }
        self.write(encoded, teller)
    }

    /// There is no further picture.
    pub fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        let mut encoded = Vec::new();
        if let Some(encoder) = &mut self.encoder {
            encoder.finish(&mut encoded)?;
        }
        self.write(encoded, teller)?;
        self.written.finish(teller)
    }

    /// How long a picture lasts where all that may be are there.
    fn lasts(&self) -> i64 {
        HZ * 1_000 / i64::from(self.shape.fps_millis.max(1))
    }

    fn write(&mut self, encoded: Vec<Encoded>, teller: &mut Teller<'_>) -> Result<(), Stop> {
        for Encoded { config, dts, pts, key, payload } in encoded {
            if !self.written.has_begun() {
                let ladder::Rung { width, height, fps_millis, .. } = self.shape;
                self.written.begin(&config, RenditionKind::Video { width, height, fps_millis })?;
            }
            let sample = Sample { dts, pts, duration: self.lasts(), key, data: payload };
            self.written.push(sample, teller)?;
        }
        Ok(())
    }
}

/// The failure of a codec that was asked for and is not there.
pub fn missing(name: &str) -> Failure {
    Failure::unsupported(format!("this FFmpeg has no encoder {name}"))
}
