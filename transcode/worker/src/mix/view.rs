//! One picture of a mix: decoded as it comes, shown when it is its time.

use std::collections::VecDeque;

use ffmpeg::{Packet, codec, frame};
use ffmpeg_next as ffmpeg;
use telstar_transcode::{CodecRecord, MediaFrame, Settings};
use telstar_units::{Timescale, rescale};

use super::tiles::Tile;
use crate::conversion::{Counts, is_again};
use crate::failure::Failure;
use crate::picture::{Scaler, check_pixels, check_size, open_decoder};
use crate::stream::ElementaryStream;

/// Decoded pictures that wait for their time: 200 ms of 60 a second. Beyond it the oldest is left out. Each is 1.4 MB for
/// 720p.
const WAITING_MAX: usize = 12;

/// See the module.
pub struct View {
    input: CodecRecord,
    timescale: Timescale,
    settings: Settings,
    stream: ElementaryStream,
    decoder: codec::decoder::Video,
    /// In the order of their times, in microseconds.
    waiting: VecDeque<(i64, frame::Video)>,
    current: Option<frame::Video>,
    /// It was not drawn yet.
    is_new: bool,
    scaler: Scaler,
}

impl View {
    /// Of frames that are configured by `input`.
    pub fn new(input: CodecRecord, timescale: Timescale, settings: Settings) -> Result<View, Failure> {
        // Many are decoded at once: more threads for each would only take turns.
        let settings = Settings { threads: 1, ..settings };
        check_size(&input, settings.pixels_max)?;
        let stream = ElementaryStream::new(&input)?;
        let decoder = open_decoder(&input, timescale, &settings)?;
        let (waiting, current, is_new, scaler) = (VecDeque::new(), None, false, Scaler::default());
        Ok(View { input, timescale, settings, stream, decoder, waiting, current, is_new, scaler })
    }

    /// Takes a frame.
    pub fn feed(&mut self, frame: &MediaFrame, counts: &mut Counts) -> Result<(), Failure> {
        if let Some(record) = frame.record.as_ref().filter(|record| **record != self.input) {
            check_size(record, self.settings.pixels_max)?;
            self.stream = ElementaryStream::new(record)?;
            if record.codec != self.input.codec {
                self.decoder = open_decoder(record, self.timescale, &self.settings)?;
            }
            self.input = record.clone();
        }
        let Some(bytes) = self.stream.packet(&frame.payload, frame.key) else { return counts.corrupt() };
        let mut packet = Packet::copy(&bytes);
        packet.set_pts(Some(frame.pts));
        packet.set_dts(Some(frame.dts));
        if self.decoder.send_packet(&packet).is_err() {
            return counts.corrupt();
        }
        loop {
            let mut decoded = frame::Video::empty();
            match self.decoder.receive_frame(&mut decoded) {
                Ok(()) => {}
                Err(error) if is_again(&error) => return Ok(()),
                Err(_) => return counts.corrupt(),
            }
            counts.decoded();
            check_pixels((decoded.width(), decoded.height()), self.settings.pixels_max)?;
            let at = rescale(decoded.timestamp().unwrap_or(frame.pts), self.timescale, Timescale::MICROS);
            if self.waiting.len() >= WAITING_MAX {
                self.waiting.pop_front();
                counts.skipped();
            }
            let place = self.waiting.partition_point(|(known, _)| *known <= at);
            self.waiting.insert(place, (at, decoded));
        }
    }

    /// It is so late: the newest picture whose time has come is the one that is shown.
    pub fn show_until(&mut self, micros: i64) {
        while self.waiting.front().is_some_and(|(at, _)| *at <= micros) {
            self.current = self.waiting.pop_front().map(|(_, picture)| picture);
            self.is_new = true;
        }
    }

    /// There is a picture.
    pub fn is_shown(&self) -> bool {
        self.current.is_some()
    }

    /// The picture was not drawn since it came.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The shape in which it is to be seen.
    pub fn shape(&self) -> (u64, u64) {
        let Some(current) = &self.current else { return (1, 1) };
        let aspect = current.aspect_ratio();
        // A pixel of an unknown shape, or of one that no camera has, is a square.
        let is_usual = (1..=1_000).contains(&aspect.numerator()) && (1..=1_000).contains(&aspect.denominator());
        let (wide, tall) = if is_usual { (aspect.numerator(), aspect.denominator()) } else { (1, 1) };
        (u64::from(current.width()) * wide as u64, u64::from(current.height()) * tall as u64)
    }

    /// The picture in the size of `tile`, in 8-bit 4:2:0.
    pub fn scaled(&mut self, tile: Tile) -> Result<Option<frame::Video>, Failure> {
        let Some(current) = &self.current else { return Ok(None) };
        self.is_new = false;
        self.scaler.run(current, (tile.width, tile.height)).map(Some)
    }
}
