//! Where a file's streams can be cut and where they end.
//!
//! Where the file has an index, its keyframes are found by hopping from one to the next, each read to see what it
//! really is; then the work grows with their number and not with the file. Otherwise every packet is read.

use std::collections::BTreeMap;

use bytes::Bytes;
use ffmpeg::Packet;
use ffmpeg_next as ffmpeg;
use telstar_media::codec::AacConfig;

use super::streams::Found;
use crate::file::Stop;
use crate::file::aac::adts;
use crate::file::clock::{HZ, StreamClock};
use crate::file::input::{OpenFile, Source, new_config, next_packet};
use crate::file::pictures::{PictureError, Pictures};
use crate::file::teller::Teller;

/// Sound may pause or jump by so much, as elsewhere in this program: 50 ms.
const HOLE: i64 = 4_500;
/// Keyframes closer to the one before are no places to cut at, and their number is not bounded by the time.
const KEY_APART: i64 = HZ / 4;
/// Packets of other streams between two of the picture, while hopping. A file with more is read as a whole.
const BETWEEN_MAX: usize = 2_000;
/// Hops that lead nowhere, before the file is read as a whole.
const STUCK_MAX: usize = 8;
/// FFmpeg's word for a time that is not known.
const NO_TIME: i64 = i64::MIN;
/// Where the index says that pictures go on for so much longer than they do, the file is cut off: a second.
const MISSING: i64 = HZ;

/// What was seen of a stream; times are in ticks of the asset's clock from the source's zero.
#[derive(Debug, Default)]
pub struct Track {
    /// The latest end.
    end: Option<i64>,
    /// Bytes of its packets, where all were read.
    pub bytes: Option<u64>,
    /// There are holes in it, or what is said twice.
    pub has_holes: bool,
    /// Its sound is not of one configuration.
    pub changes: bool,
    config: Option<AacConfig>,
    next: Option<i64>,
    /// The last packet did not say how long it lasts.
    is_open: bool,
    /// When the latest began, of those that do not say how long they last.
    open_end: Option<i64>,
    counted: Counted,
}

/// Pictures a second, as they were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a thousand seconds, of the whole.
    pub average_millis: u32,
    /// In the second that has most.
    pub most: u32,
}

/// Counts packets: on average by when they are shown, in each second by their decode times, which rise and need not be there.
#[derive(Debug, Default)]
struct Counted {
    packets: u64,
    first: Option<i64>,
    last: i64,
    second: i64,
    in_second: u32,
    most: u32,
}

impl Counted {
    fn see(&mut self, shown: i64, decoded: i64) {
        self.last = if self.packets == 0 { shown } else { self.last.max(shown) };
        self.first = Some(self.first.map_or(shown, |first| first.min(shown)));
        self.packets += 1;
        let second = decoded.div_euclid(HZ);
        if second != self.second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second = self.in_second.saturating_add(1);
        self.most = self.most.max(self.in_second);
    }
}

impl Track {
    /// Of a track whose packets were all read; none where there are too few to say.
    pub fn rate(&self) -> Option<Rate> {
        let Counted { packets, first, last, most, .. } = self.counted;
        let lasts = last.checked_sub(first?).filter(|lasts| *lasts > 0)?.unsigned_abs();
        let average = packets.saturating_sub(1).saturating_mul(1_000 * HZ.unsigned_abs()) / lasts;
        let average_millis = u32::try_from(average).unwrap_or(u32::MAX);
        Some(Rate { average_millis, most }).filter(|rate| rate.average_millis > 0)
    }

    /// Where it ends, if what does not say how long it lasts does so for `lasts`.
    pub fn end(&self, lasts: i64) -> Option<i64> {
        let open = self.open_end.map(|open| open.saturating_add(lasts));
        self.end.max(open)
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Scan {
    pub tracks: BTreeMap<usize, Track>,
    /// The times of pictures that stand alone, as the stream has them; or why they cannot be used.
    pub keys: Option<Result<Vec<i64>, PictureError>>,
}

/// Looks at the pictures that can be passed on, if there are any, and at where everything ends.
pub fn scan(
    source: &Source,
    found: &Found,
    pictures: Option<&mut Pictures>,
    teller: &mut Teller<'_>,
) -> Result<Scan, Stop> {
    let mut pictures = pictures;
    if source.has_index()
        && let Some(scan) = hop(source, found, pictures.as_deref_mut(), teller)?
    {
        return Ok(scan);
    }
    let mut open = source.open()?;
    let clocks = clocks(&open, found);
    let mut scan = Scan { keys: pictures.is_some().then(|| Ok(Vec::new())), ..Scan::default() };
    while let Some(packet) = next_packet(&mut open.input) {
        teller.progress(0)?;
        let Some(clock) = clocks.get(&packet.stream()) else { continue };
        if packet.is_corrupt() {
            teller.corrupt += 1;
            continue;
        }
        scan.see(&packet, clock, true);
        if found.audio.contains(&packet.stream()) {
            scan.hear(&packet, source.has_adts());
        }
        if found.video == Some(packet.stream())
            && let Some(pictures) = pictures.as_deref_mut()
        {
            scan.read(&packet, clock, pictures);
        }
    }
    Ok(scan)
}

fn clocks(open: &OpenFile, found: &Found) -> BTreeMap<usize, StreamClock> {
    let used = found.video.into_iter().chain(found.audio.iter().copied());
    let clock = |index| Some((index, StreamClock::new(open.input.stream(index)?.time_base(), 0)));
    used.filter_map(clock).collect()
}

impl Scan {
    fn see(&mut self, packet: &Packet, clock: &StreamClock, is_whole: bool) {
        let Some(at) = packet.pts().or(packet.dts()) else { return };
        let (begin, end) = (clock.asset(at), clock.asset(at.saturating_add(packet.duration().max(0))));
        let track = self.tracks.entry(packet.stream()).or_default();
        if is_whole {
            // Where a packet does not say how long it lasts, it lasts as long as the next.
            let unsaid = if track.is_open { end - begin } else { 0 };
            track.has_holes |= track.next.is_some_and(|next| (begin - next - unsaid).abs() > HOLE);
            track.is_open = packet.duration() <= 0;
            track.bytes = Some(track.bytes.unwrap_or(0) + packet.size() as u64);
            track.counted.see(begin, clock.asset(packet.dts().unwrap_or(at)));
        }
        if packet.duration() <= 0 {
            track.open_end = track.open_end.max(Some(begin));
        }
        track.next = Some(end);
        track.end = Some(track.end.map_or(end, |last| last.max(end)));
    }

    /// Notes whether sound stays what it is.
    fn hear(&mut self, packet: &Packet, has_adts: bool) {
        let Some(track) = self.tracks.get_mut(&packet.stream()) else { return };
        let told = match packet.data().filter(|_| has_adts).and_then(adts) {
            Some((config, _)) => Some(config),
            None => new_config(packet).and_then(|config| AacConfig::parse(Bytes::from(config)).ok()),
        };
        if let Some(told) = told {
            track.changes |= *track.config.get_or_insert_with(|| told.clone()) != told;
        }
    }

    /// Notes a picture that stands alone.
    fn read(&mut self, packet: &Packet, clock: &StreamClock, pictures: &mut Pictures) {
        let Some(Ok(keys)) = &mut self.keys else { return };
        let (Some(at), Some(data)) = (packet.pts(), packet.data()) else { return };
        if let Some(Err(error)) = new_config(packet).map(|record| pictures.reconfigure(&record)) {
            self.keys = Some(Err(error));
            return;
        }
        match pictures.read(data) {
            Ok(Some(picture)) if picture.key => {
                let is_apart = |last: &i64| (clock.asset(at) - clock.asset(*last)).abs() >= KEY_APART;
                if keys.last().is_none_or(is_apart) {
                    keys.push(at);
                }
            }
            Ok(_) => {}
            Err(error) => self.keys = Some(Err(error)),
        }
    }
}

/// From keyframe to keyframe. None: the file has to be read as a whole.
fn hop(
    source: &Source,
    found: &Found,
    pictures: Option<&mut Pictures>,
    teller: &mut Teller<'_>,
) -> Result<Option<Scan>, Stop> {
    let mut open = source.open()?;
    let clocks = clocks(&open, found);
    let mut scan = Scan::default();
    let mut stated = BTreeMap::new();
    for index in clocks.keys() {
        let Some(stream) = open.input.stream(*index) else { return Ok(None) };
        // Of a fragmented file the index says nothing.
        if stream.frames() <= 0 || stream.duration() <= 0 {
            return Ok(None);
        }
        stated.insert(*index, (stream.frames(), stream.duration()));
    }
    if let (Some(index), Some(pictures)) = (found.video, pictures) {
        scan.keys = Some(Ok(Vec::new()));
        let Some(clock) = clocks.get(&index) else { return Ok(None) };
        if !keyframes(&mut open, index, clock, pictures, &mut scan, teller)? {
            return Ok(None);
        }
    }
    if !tail(&mut open, found, &clocks, &mut scan, &stated, teller)? {
        return Ok(None);
    }
    Ok(Some(scan))
}

/// False: the file has to be read as a whole.
fn keyframes(
    open: &mut OpenFile,
    index: usize,
    clock: &StreamClock,
    pictures: &mut Pictures,
    scan: &mut Scan,
    teller: &mut Teller<'_>,
) -> Result<bool, Stop> {
    let (mut last, mut stuck, mut wanted) = (None::<i64>, 0, None::<i64>);
    loop {
        teller.progress(0)?;
        if let Some(wanted) = wanted {
            let micros = clock.micros(wanted);
            // There is none behind it.
            if open.input.seek(micros, micros..).is_err() {
                return Ok(true);
            }
        }
        let packet = (0..BETWEEN_MAX).find_map(|_| match next_packet(&mut open.input) {
            Some(packet) if packet.stream() != index => None,
            other => Some(other),
        });
        // The end, or too much of something else.
        let Some(packet) = packet else { return Ok(false) };
        let Some(packet) = packet else { return Ok(true) };
        let Some(at) = packet.pts() else { return Ok(false) };
        if last.is_some_and(|last| at <= last) {
            // Seeking goes by decode times, which may lead back to the same picture: further ahead.
            stuck += 1;
            if stuck > STUCK_MAX {
                return Ok(false);
            }
            let step = clock.ticks(KEY_APART << stuck).max(1);
            wanted = last.map(|last| last.saturating_add(step));
            continue;
        }
        (last, stuck) = (Some(at), 0);
        scan.see(&packet, clock, false);
        scan.read(&packet, clock, pictures);
        if matches!(scan.keys, Some(Err(_))) {
            return Ok(true);
        }
        wanted = Some(at.saturating_add(1));
    }
}

/// Reads the end, to see whether it is there. False: it is not, or sound has holes, and the file has to be read as a
/// whole.
fn tail(
    open: &mut OpenFile,
    found: &Found,
    clocks: &BTreeMap<usize, StreamClock>,
    scan: &mut Scan,
    stated: &BTreeMap<usize, (i64, i64)>,
    teller: &mut Teller<'_>,
) -> Result<bool, Stop> {
    // Everything from the last keyframe on.
    let end = open.input.duration().max(0);
    if open.input.seek(end, ..).is_err() && open.input.seek(0, ..).is_err() {
        return Ok(false);
    }
    while let Some(packet) = next_packet(&mut open.input) {
        teller.progress(0)?;
        if let Some(clock) = clocks.get(&packet.stream()).filter(|_| !packet.is_corrupt()) {
            scan.see(&packet, clock, false);
        }
    }
    for (index, clock) in clocks {
        let Some((frames, duration)) = stated.get(index) else { return Ok(false) };
        let stream = open.input.stream(*index);
        let begins = stream.map_or(0, |stream| stream.start_time());
        let begins = if begins == NO_TIME { 0 } else { begins };
        let ends = clock.asset(begins.saturating_add(*duration));
        let track = scan.tracks.entry(*index).or_default();
        let is_main = found.video.is_none_or(|video| video == *index);
        if is_main && track.end.is_none_or(|end| end < ends - MISSING) {
            return Ok(false);
        }
        // Sound may end before the last keyframe, and is then not seen here.
        track.end = Some(track.end.map_or(ends, |end| end.max(ends - MISSING)));
        if found.audio.contains(index) {
            track.has_holes = lasts_too_long(*frames, clock.lasts(*duration), *index, open);
        }
    }
    Ok(true)
}

/// Whether sound lasts longer than its frames do. One of AAC has 1,024 samples; what else there is, is not passed on.
fn lasts_too_long(frames: i64, duration: i64, index: usize, open: &OpenFile) -> bool {
    let rate = open.input.stream(index).and_then(|stream| {
        let context = ffmpeg::codec::Context::from_parameters(stream.parameters()).ok()?;
        Some(i64::from(context.encoder().audio().ok()?.rate()))
    });
    let rate = rate.filter(|rate| *rate > 0).unwrap_or(1);
    let sounds = frames.saturating_mul(1_024).saturating_mul(HZ) / rate;
    duration > sounds.saturating_add(HOLE)
}
