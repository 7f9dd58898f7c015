//! Renditions of a file.
//!
//! In: a file, what the probe found, and what is wanted. Out: segments of each rendition, cut where the map says, in
//! one pass over the file: what is decoded is decoded once for all that want it. Memory holds a group of pictures of
//! each, not the file.

mod copy;
mod decoded;
mod dues;
mod encoder;
mod limiter;
mod loudness;
mod rung;
mod samples;
mod shown;
mod sound;
mod subtitles;
mod text;
mod tidy;
mod written;

use std::collections::BTreeMap;
use std::fs::File;

use ffmpeg::Packet;
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::{Make, Output};

use self::copy::{CopiedPictures, CopiedSound};
use self::loudness::Level;
use self::shown::Shown;
use self::sound::EncodedSound;
use self::subtitles::Subtitles;
pub use self::tidy::Tidy;
use super::Stop;
use super::blob::{Blob, Budget};
use super::clock::{HZ, StreamClock};
use super::input::{OpenFile, Source, next_packet};
use super::teller::Teller;
use crate::failure::Failure;

/// Of a stream that goes on so long behind the end of the asset nothing more is read: streams are interleaved more
/// closely.
const BEHIND_END: i64 = 10 * HZ;

/// What takes the packets of one stream.
trait Track {
    /// Takes the next packet.
    fn take(&mut self, packet: &Packet, teller: &mut Teller<'_>) -> Result<(), Stop>;

    /// There is none any more.
    fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop>;

    /// All streams have been read up to this time.
    fn passed(&mut self, _at: i64, _teller: &mut Teller<'_>) -> Result<(), Stop> {
        Ok(())
    }
}

/// Makes what is wanted.
pub fn make(source: &Source, task: Make, files: Vec<File>, teller: &mut Teller<'_>) -> Result<(), Stop> {
    let levels = levels(source, &task, teller)?;
    let mut open = source.open()?;
    let mut tracks = tracks(source, &open, &task, files, &levels)?;
    let clocks: BTreeMap<usize, StreamClock> = open
        .input
        .streams()
        .map(|stream| (stream.index(), StreamClock::new(stream.time_base(), task.source.shift)))
        .collect();
    let wanted: Vec<usize> = tracks.iter().map(|(stream, _)| *stream).collect();
    // How far each stream that is wanted has been read; of subtitles nobody knows where the next is.
    let text: Vec<usize> = task.source.subtitles.iter().map(|one| usize::from(one.stream)).collect();
    let dense = wanted.iter().copied().filter(|stream| !text.contains(stream));
    let mut read: BTreeMap<usize, i64> = dense.map(|stream| (stream, 0)).collect();
    let end = task.map.end();
    while let Some(packet) = next_packet(&mut open.input) {
        let stream = packet.stream();
        let Some(clock) = clocks.get(&stream) else { continue };
        let at = packet.dts().or(packet.pts()).map(|at| clock.asset(at));
        if let (Some(at), Some(read)) = (at, read.get_mut(&stream)) {
            *read = at.max(*read);
        }
        let position = read.values().copied().min().or(at).unwrap_or(0);
        teller.progress(position.clamp(0, end))?;
        if position > end.saturating_add(BEHIND_END) {
            break;
        }
        if packet.is_corrupt() {
            teller.corrupt += 1;
            continue;
        }
        for (wanted, track) in &mut tracks {
            if *wanted == stream {
                track.take(&packet, teller)?;
            }
            track.passed(position, teller)?;
        }
    }
    for (_, track) in &mut tracks {
        track.finish(teller)?;
    }
    teller.progress(end)?;
    Ok(())
}

/// What takes each stream, and which stream that is.
type Tracks<'task> = Vec<(usize, Box<dyn Track + 'task>)>;

fn tracks<'task>(
    source: &Source,
    open: &OpenFile,
    task: &'task Make,
    files: Vec<File>,
    levels: &BTreeMap<(u16, u8), Level>,
) -> Result<Tracks<'task>, Failure> {
    let budget = Budget::new(task.limits.output_bytes_max);
    let mut tracks: Tracks<'task> = Vec::new();
    // Rungs of one stream share its decoder.
    let mut shown: BTreeMap<u16, Shown<'task>> = BTreeMap::new();
    for (number, (output, file)) in task.outputs.iter().zip(files).enumerate() {
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        let blob = Blob::new(file, &budget);
        let (Output::CopyVideo { stream: index }
        | Output::Video { stream: index, .. }
        | Output::CopyAudio { stream: index }
        | Output::Audio { stream: index, .. }
        | Output::Subtitles { stream: index }) = *output;
        let missing = || Failure::broken("task", format!("the file has no stream {index}"));
        let stream = open.input.stream(index.into()).ok_or_else(missing)?;
        let place = usize::from(index);
        match *output {
            Output::CopyVideo { .. } => {
                tracks.push((place, Box::new(CopiedPictures::new(source, &stream, task, number, blob)?)));
            }
            Output::Video { codec, rung, .. } => {
                let shown = match shown.entry(index) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Shown::new(&stream, task)?),
                };
                shown.add(codec, rung, number, blob);
            }
            Output::CopyAudio { .. } => {
                tracks.push((place, Box::new(CopiedSound::new(source, &stream, task, number, blob)?)));
            }
            Output::Audio { channels, bps, .. } => {
                let level = levels.get(&(index, channels)).copied();
                tracks.push((place, Box::new(EncodedSound::new(&stream, task, number, blob, channels, bps, level)?)));
            }
            Output::Subtitles { .. } => {
                tracks.push((place, Box::new(Subtitles::new(&stream, task, number, blob))));
            }
        }
    }
    for (index, shown) in shown {
        tracks.push((usize::from(index), Box::new(shown)));
    }
    Ok(tracks)
}

/// How loud the sound tracks are that are to be brought to one loudness: a pass of its own, of the sound alone.
fn levels(source: &Source, task: &Make, teller: &mut Teller<'_>) -> Result<BTreeMap<(u16, u8), Level>, Stop> {
    let wanted: Vec<(u16, u8)> = task
        .outputs
        .iter()
        .filter_map(|output| match *output {
            Output::Audio { stream, channels, normalise: true, .. } => Some((stream, channels)),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    loudness::measure(source, &wanted, teller)
}
