//! Subtitles as WebVTT: a file for each segment of the map, with the cues that are shown in it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufWriter, Write};

use ffmpeg::codec::Id;
use ffmpeg::{Packet, Stream};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::{CLOCK, FileNews, Make, Rendition, RenditionKind, Segment};

use super::Track;
use super::text::cue;
use crate::failure::Failure;
use crate::file::Stop;
use crate::file::blob::Blob;
use crate::file::clock::{HZ, StreamClock};
use crate::file::cutter::unwritten;
use crate::file::teller::Teller;

/// RFC 8216 §3.5: where the cues' clock stands against that of the segments of pictures, which begin at the asset's
/// zero.
const HEADER: &str = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n";
/// RFC 8216 has no name for it; players know this one.
const CODECS: &str = "wvtt";
/// A segment is written when everything else has been read so far beyond it: packets of subtitles may stand behind
/// those of pictures that are shown later.
const BEHIND: i64 = 10 * HZ;
/// A cue whose end the file does not tell lasts so long, or until the next.
const LASTS: i64 = 4 * HZ;
/// Cues that wait to be written. Nobody reads a hundred a second.
const WAITING_MAX: usize = 100_000;

/// A cue, in ticks of [`CLOCK`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cue {
    start: i64,
    end: i64,
    /// The file does not say when it ends.
    is_open: bool,
    text: String,
}

/// See the module.
pub struct Subtitles {
    format: Id,
    clock: StreamClock,
    output: u8,
    blob: BufWriter<Blob>,
    written: u64,
    segments: VecDeque<(i64, i64)>,
    waiting: Vec<Cue>,
    has_begun: bool,
}

impl Subtitles {
    /// Of this stream, into this output.
    pub fn new(stream: &Stream<'_>, task: &Make, output: u8, blob: BufWriter<Blob>) -> Subtitles {
        Subtitles {
            format: stream.parameters().id(),
            clock: StreamClock::new(stream.time_base(), task.source.shift),
            output,
            blob,
            written: 0,
            segments: task.map.segments().collect(),
            waiting: Vec::new(),
            has_begun: false,
        }
    }

    fn write(&mut self, (from, to): (i64, i64), teller: &mut Teller<'_>) -> Result<(), Stop> {
        if !self.has_begun {
            self.has_begun = true;
            let (kind, codecs, timescale) = (RenditionKind::Subtitles, CODECS.to_owned(), CLOCK.hz());
            let rendition = Rendition { kind, codecs, timescale };
            teller.say(FileNews::Begun { output: self.output, rendition, init: Vec::new() })?;
        }
        let file = file(&self.waiting, from, to);
        self.waiting.retain(|cue| cue.end > to);
        let written = self.blob.write_all(file.as_bytes()).and_then(|()| self.blob.flush());
        written.map_err(|error| unwritten(&error))?;
        let (offset, len) = (self.written, file.len() as u64);
        self.written += len;
        let segment = Segment { offset, len, start: from, duration: to - from, keys: Vec::new() };
        Ok(teller.say(FileNews::Segment { output: self.output, segment })?)
    }
}

impl Track for Subtitles {
    fn take(&mut self, packet: &Packet, _teller: &mut Teller<'_>) -> Result<(), Stop> {
        let (Some(at), Some(data)) = (packet.pts().or(packet.dts()), packet.data()) else { return Ok(()) };
        let (start, lasts) = (self.clock.asset(at), self.clock.lasts(packet.duration().max(0)));
        // An empty one says that the one before is over.
        for open in self.waiting.iter_mut().filter(|cue| cue.is_open && cue.start < start) {
            open.end = open.end.min(start);
            open.is_open = false;
        }
        let Some(text) = cue(self.format, data) else { return Ok(()) };
        let is_open = lasts == 0;
        let end = start.saturating_add(if is_open { LASTS } else { lasts });
        let cue = Cue { start: start.max(0), end, is_open, text };
        if cue.end <= cue.start {
            return Ok(());
        }
        if self.waiting.len() == WAITING_MAX {
            return Err(Failure::source("the file has more subtitles than anybody could read").into());
        }
        let place = self.waiting.partition_point(|other| other.start <= cue.start);
        self.waiting.insert(place, cue);
        Ok(())
    }

    fn passed(&mut self, at: i64, teller: &mut Teller<'_>) -> Result<(), Stop> {
        while let Some((from, to)) = self.segments.front().copied().filter(|(_, to)| to + BEHIND < at) {
            self.segments.pop_front();
            self.write((from, to), teller)?;
        }
        Ok(())
    }

    fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        while let Some(segment) = self.segments.pop_front() {
            self.write(segment, teller)?;
        }
        Ok(())
    }
}

/// A cue that spans a cut stands in both files, with its whole time, as RFC 8216 §3.5 has it.
fn file(cues: &[Cue], from: i64, to: i64) -> String {
    let mut file = HEADER.to_owned();
    for Cue { start, end, text, .. } in cues.iter().filter(|cue| cue.start < to && cue.end > from) {
        // Writing into memory does not fail.
        let _ = write!(file, "\n{} --> {}\n{text}\n", time(*start), time(*end));
    }
    file
}

/// Hours, minutes, seconds, milliseconds.
fn time(ticks: i64) -> String {
    let millis = ticks.max(0) / (HZ / 1_000);
    let (secs, millis) = (millis / 1_000, millis % 1_000);
    format!("{:02}:{:02}:{:02}.{millis:03}", secs / 3_600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cue_that_spans_a_cut_stands_in_both_files() {
        let secs = |secs: i64| secs * 90_000;
        let cue = |start, end, text: &str| Cue { start, end, is_open: false, text: text.to_owned() };
        let cues = [cue(secs(1), secs(3), "one"), cue(secs(2), secs(5) + 45, "two")];
        let first = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n00:00:01.000 --> 00:00:03.000\none\n";
        let second = "\n00:00:02.000 --> 00:00:05.000\ntwo\n";
        assert_eq!(file(&cues, 0, secs(2)), first);
        assert_eq!(file(&cues, secs(2), secs(4)), format!("{first}{second}"));
        assert_eq!(file(&cues, secs(4), secs(6)), format!("{HEADER}{second}"));
        assert_eq!(file(&cues, secs(6), secs(8)), HEADER, "empty, but there");
        assert_eq!(time(secs(3_723) + 90 * 45), "01:02:03.045");
    }
}
