//! Still pictures of a file: a poster, and a storyboard for the seek bar.
//!
//! Each is decoded from the keyframe nearest before its time, so that the work grows with the number of pictures and
//! not with the file.

mod jpeg;
mod sheet;

use std::fs::File;
use std::io::Write;

use ffmpeg::{decoder, frame};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::{FileNews, Images, SourceVideo, Storyboard};

use self::jpeg::jpeg;
use self::sheet::Sheet;
use super::blob::{Blob, Budget};
use super::clock::StreamClock;
use super::cutter::unwritten;
use super::input::{OpenFile, Source, next_packet};
use super::make::Tidy;
use super::probe::check_size;
use super::teller::Teller;
use super::{Stop, decode};
use crate::failure::Failure;
use crate::picture::Scaler;

/// Where a poster is looked for, in hundredths of the asset; the first that is neither black nor of one colour is it.
const POSTER_AT: [i64; 6] = [10, 20, 35, 50, 5, 70];
/// Darker than this on average (of 255) is a fade, and less varied than this is a title card or nothing.
const DARK: f64 = 24.0;
const FLAT: f64 = 8.0;
/// Pixels that are looked at for it.
const SAMPLE_SIZE: (u32, u32) = (64, 64);
/// Packets that are read for one picture: a second of pictures, and what stands between them.
const PACKETS_MAX: usize = 1_000;
/// Tiles of a storyboard at most, whatever the task says.
const TILES_MAX: usize = 20_000;

/// Makes them: the first output is the poster, the second the storyboard.
pub fn images(source: &Source, task: &Images, files: Vec<File>, teller: &mut Teller<'_>) -> Result<(), Stop> {
    let video = task.source.video.as_ref().ok_or_else(|| Failure::source("the file has no picture"))?;
    let budget = Budget::new(task.limits.output_bytes_max);
    let [poster, storyboard] = <[File; 2]>::try_from(files)
        .map_err(|_| Failure::broken("task", "a poster and a storyboard need two outputs"))?
        .map(|file| Blob::new(file, &budget));
    let mut stills = Stills::new(source, task, video)?;
    let (at, picture) = stills.poster(teller)?;
    let size = fitting(&picture, task.poster_side.into());
    let bytes = jpeg(&mut Scaler::full_range(), &picture, size)?;
    Told { output: 0, blob: poster, written: 0 }.tell(&bytes, size, vec![at], teller)?;
    let told = Told { output: 1, blob: storyboard, written: 0 };
    sheets(&mut stills, &task.storyboard, task.source.duration, told, teller)
}

/// An image output under way.
struct Told<Output> {
    output: u8,
    blob: Output,
    written: u64,
}

impl<Output: Write> Told<Output> {
    fn tell(
        &mut self,
        bytes: &[u8],
        (width, height): (u32, u32),
        times: Vec<i64>,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stop> {
        let written = self.blob.write_all(bytes).and_then(|()| self.blob.flush());
        written.map_err(|error| unwritten(&error))?;
        let (offset, len) = (self.written, bytes.len() as u64);
        self.written += len;
        let [width, height] = [width, height].map(|side| u16::try_from(side).unwrap_or(u16::MAX));
        Ok(teller.say(FileNews::Image { output: self.output, offset, len, width, height, times })?)
    }
}

fn sheets<Output: Write>(
    stills: &mut Stills,
    layout: &Storyboard,
    duration: i64,
    mut told: Told<Output>,
    teller: &mut Teller<'_>,
) -> Result<(), Stop> {
    let every = layout.every.max(1);
    let count = usize::try_from(duration / every + 1).unwrap_or(TILES_MAX).min(TILES_MAX);
    let times: Vec<i64> = (0..count as i64).map(|tile| tile * every).filter(|at| *at < duration.max(1)).collect();
    let of_one = usize::from(layout.columns.max(1)) * usize::from(layout.rows.max(1));
    let (mut last, mut scaler) = (None, Scaler::full_range());
    for times in times.chunks(of_one) {
        let mut sheet = Sheet::new(layout, times.len());
        for (place, at) in times.iter().enumerate() {
            teller.progress(*at)?;
            // The middle of what the tile stands for. Where nothing can be decoded the picture before stays.
            if let Some(picture) = stills.still(at + every / 2, teller)? {
                let part = sheet.fit(&picture);
                last = Some((scaler.run(&picture, part)?, part));
            }
            if let Some((tile, _)) = &last {
                sheet.paste(place, tile);
            }
        }
        let (bytes, size) = sheet.encoded()?;
        told.tell(&bytes, size, times.to_vec(), teller)?;
    }
    Ok(())
}

/// A size with the picture's shape whose longer side is `longest`, never larger than the picture.
fn fitting(picture: &frame::Video, longest: u32) -> (u32, u32) {
    let (width, height) = (picture.width().max(2), picture.height().max(2));
    let longest = longest.clamp(2, width.max(height));
    let scaled = |side: u32| (u64::from(side) * u64::from(longest) / u64::from(width.max(height))) as u32 & !1;
    (scaled(width).max(2), scaled(height).max(2))
}

/// Single pictures of a file.
struct Stills<'task> {
    open: OpenFile,
    stream: usize,
    decoder: decoder::Video,
    clock: StreamClock,
    tidy: Tidy,
    shaper: Scaler,
    /// Makes small ones to judge by.
    sampler: Scaler,
    task: &'task Images,
    video: &'task SourceVideo,
}

impl<'task> Stills<'task> {
    fn new(source: &Source, task: &'task Images, video: &'task SourceVideo) -> Result<Stills<'task>, Failure> {
        let open = source.open()?;
        let index = usize::from(video.stream);
        let missing = || Failure::broken("task", format!("the file has no stream {index}"));
        let stream = open.input.stream(index).ok_or_else(missing)?;
        let clock = StreamClock::new(stream.time_base(), task.source.shift);
        // One thread: others would hold pictures back, and each is decoded on its own.
        let decoder = decode::video(&stream, &task.limits, 1)?;
        let (tidy, shaper, sampler) = (Tidy::new(video), Scaler::sharp(), Scaler::default());
        Ok(Stills { open, stream: index, decoder, clock, tidy, shaper, sampler, task, video })
    }

    fn poster(&mut self, teller: &mut Teller<'_>) -> Result<(i64, frame::Video), Stop> {
        let mut found = None;
        for hundredths in POSTER_AT {
            let at = self.task.source.duration / 100 * hundredths;
            teller.progress(0)?;
            let Some(picture) = self.still(at, teller)? else { continue };
            let shows = shows_something(&self.sampler.run(&picture, SAMPLE_SIZE)?);
            if shows || found.is_none() {
                found = Some((at, picture));
            }
            if shows {
                break;
            }
        }
        Ok(found.ok_or_else(|| Failure::source("none of the pictures can be decoded"))?)
    }

    /// The picture at the keyframe before `at`, as it is shown.
    fn still(&mut self, at: i64, teller: &mut Teller<'_>) -> Result<Option<frame::Video>, Stop> {
        let micros = self.clock.micros(self.clock.ticks(at));
        // Where seeking fails what comes next is as good.
        let _ = self.open.input.seek(micros, ..micros);
        self.decoder.flush();
        for _ in 0..PACKETS_MAX {
            let packet = next_packet(&mut self.open.input);
            match &packet {
                Some(packet) if packet.stream() != self.stream => continue,
                Some(packet) if self.decoder.send_packet(packet).is_err() => teller.corrupt += 1,
                Some(_) => {}
                None => {
                    let _ = self.decoder.send_eof();
                }
            }
            let mut picture = frame::Video::empty();
            if self.decoder.receive_frame(&mut picture).is_ok() {
                teller.frames += 1;
                check_size(picture.width(), picture.height(), &self.task.limits)?;
                return Ok(self.shown(picture)?);
            }
            if packet.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// Put right, and with square pixels.
    fn shown(&mut self, picture: frame::Video) -> Result<Option<frame::Video>, Failure> {
        let mut tidied = Vec::new();
        self.tidy.run(0, picture, &mut tidied)?;
        self.tidy.flush(&mut tidied)?;
        let Some((_, picture)) = tidied.pop() else { return Ok(None) };
        let size = (self.video.width.max(2) & !1, self.video.height.max(2) & !1);
        if (picture.width(), picture.height()) == size {
            return Ok(Some(picture));
        }
        self.shaper.run(&picture, size).map(Some)
    }
}

/// Neither black nor of one colour, by the first plane.
fn shows_something(picture: &frame::Video) -> bool {
    let (width, height, stride) = (picture.width() as usize, picture.height() as usize, picture.stride(0));
    let rows = picture.data(0).chunks(stride.max(1)).take(height);
    let samples = rows.flat_map(|row| row.iter().take(width)).map(|sample| f64::from(*sample));
    let (count, sum, squares) =
        samples.fold((0.0, 0.0, 0.0), |(count, sum, squares), one| (count + 1.0, sum + one, squares + one * one));
    let mean = sum / f64::max(count, 1.0);
    mean > DARK && (squares / f64::max(count, 1.0) - mean * mean).max(0.0).sqrt() > FLAT
}

#[cfg(test)]
mod tests {
    use ffmpeg::format::Pixel;

    use super::*;

    #[test]
    fn a_poster_is_neither_black_nor_of_one_colour() {
        let picture = |value: fn(usize) -> u8| {
            let mut picture = frame::Video::new(Pixel::YUV420P, 64, 64);
            picture.data_mut(0).iter_mut().enumerate().for_each(|(index, sample)| *sample = value(index));
            picture
        };
        assert!(!shows_something(&picture(|_| 16)));
        assert!(!shows_something(&picture(|_| 200)));
        assert!(shows_something(&picture(|index| (index % 60 * 4) as u8)));
        assert_eq!(fitting(&picture(|_| 0), 1_000), (64, 64), "never larger");
        assert_eq!(fitting(&picture(|_| 0), 32), (32, 32));
    }
}
