//! The pictures of a source: decoded once, put right, and given to every rung.

use std::io::BufWriter;

use ffmpeg::{Packet, Stream, decoder, frame};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::{Make, VideoCodec};
use telstar_transcode::ladder;

use super::Track;
use super::dues::Dues;
use super::rung::Rung;
use super::tidy::Tidy;
use crate::failure::Failure;
use crate::file::blob::Blob;
use crate::file::clock::{HZ, StreamClock};
use crate::file::probe::check_size;
use crate::file::teller::Teller;
use crate::file::{Stop, decode};

/// Pictures that are decoded beyond what the source's length and the highest rate allow, before it is taken for a bomb.
const FRAMES_SLACK: u64 = 1_000;

/// See the module.
pub struct Shown<'task> {
    task: &'task Make,
    decoder: decoder::Video,
    clock: StreamClock,
    tidy: Tidy,
    dues: Dues,
    /// The picture that is shown until the next, and since when.
    last: Option<(i64, frame::Video)>,
    rungs: Vec<Rung<'task>>,
    frames: u64,
}

impl<'task> Shown<'task> {
    /// Of this stream.
    pub fn new(stream: &Stream<'_>, task: &'task Make) -> Result<Shown<'task>, Failure> {
        let video = task.source.video.as_ref();
        let video = video.ok_or_else(|| Failure::broken("task", "the source has no picture"))?;
        Ok(Shown {
            task,
            decoder: decode::video(stream, &task.limits, task.limits.threads)?,
            clock: StreamClock::new(stream.time_base(), task.source.shift),
            tidy: Tidy::new(video),
            dues: Dues::new(&task.map),
            last: None,
            rungs: Vec::new(),
            frames: 0,
        })
    }

    /// Makes this rung as well.
    pub fn add(&mut self, codec: VideoCodec, shape: ladder::Rung, output: u8, blob: BufWriter<Blob>) {
        self.rungs.push(Rung::new(self.task, codec, shape, output, blob));
    }

    fn receive(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        loop {
            let mut decoded = frame::Video::empty();
            if self.decoder.receive_frame(&mut decoded).is_err() {
                return Ok(());
            }
            self.decoded(decoded, teller)?;
        }
    }

    fn decoded(&mut self, decoded: frame::Video, teller: &mut Teller<'_>) -> Result<(), Stop> {
        check_size(decoded.width(), decoded.height(), &self.task.limits)?;
        self.frames += 1;
        teller.frames += 1;
        let secs = self.task.map.end().unsigned_abs() / HZ.unsigned_abs() + 1;
        if self.frames > secs * u64::from(self.task.limits.fps_max) + FRAMES_SLACK {
            return Err(Failure::source("the file has more pictures than its length allows").into());
        }
        let Some(at) = decoded.timestamp() else { return Ok(()) };
        // Rounding may put the first before zero; what is further before it is not shown.
        let at = match self.clock.asset(at) {
            at @ -90..=0 => at.max(0),
            at => at,
        };
        if at < 0 || at >= self.task.map.end() {
            return Ok(());
        }
        let mut tidied = Vec::new();
        self.tidy.run(at, decoded, &mut tidied)?;
        tidied.into_iter().try_for_each(|(at, picture)| self.show(at, picture, teller))
    }

    fn show(&mut self, at: i64, mut picture: frame::Video, teller: &mut Teller<'_>) -> Result<(), Stop> {
        if self.last.as_ref().is_some_and(|(last, _)| at <= *last) {
            return Ok(());
        }
        // Where nothing new is shown for long, segments still begin: with what is there, at first with what comes.
        while let Some(due) = self.dues.missed(at) {
            let still = self.last.as_mut().map_or(&mut picture, |(_, last)| last);
            self.dues.take(due);
            for rung in &mut self.rungs {
                rung.repeat(due, still, teller)?;
            }
        }
        let key = self.dues.take(at);
        for rung in &mut self.rungs {
            rung.take(at, &mut picture, key, teller)?;
        }
        self.last = Some((at, picture));
        Ok(())
    }
}

impl Track for Shown<'_> {
    fn take(&mut self, packet: &Packet, teller: &mut Teller<'_>) -> Result<(), Stop> {
        if self.decoder.send_packet(packet).is_err() {
            teller.corrupt += 1;
        }
        self.receive(teller)
    }

    fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        // A decoder that takes no end has nothing more to give.
        let _ = self.decoder.send_eof();
        self.receive(teller)?;
        let mut tidied = Vec::new();
        self.tidy.flush(&mut tidied)?;
        tidied.into_iter().try_for_each(|(at, picture)| self.show(at, picture, teller))?;
        // The last picture stays until the end of the asset.
        if let Some((_, mut last)) = self.last.take() {
            while let Some(due) = self.dues.missed(i64::MAX / 2) {
                self.dues.take(due);
                for rung in &mut self.rungs {
                    rung.repeat(due, &mut last, teller)?;
                }
            }
        }
        self.rungs.iter_mut().try_for_each(|rung| rung.finish(teller))
    }
}
