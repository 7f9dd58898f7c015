//! What a file is.
//!
//! In: a file. Out: its streams that can be shown, how long it lasts and where its zero is, and whether its pictures
//! and its sound can be passed on as they are. Limits are checked before anything is decoded.

mod language;
mod look;
mod picture;
mod scan;
mod streams;

use ffmpeg::Stream;
use ffmpeg::codec::Id;
use ffmpeg::format::Pixel;
use ffmpeg_next as ffmpeg;
use telstar_media::codec::AacConfig;
use telstar_transcode::file::{self, FileNews, Limits, SourceAudio, SourceVideo};

use self::look::{AudioLook, Looks, VideoLook, sane_aspect};
use self::picture::{Turn, bits, fps_millis, is_hdr, shown_size, turn};
use self::scan::{Scan, Track};
pub use self::streams::check_size;
use self::streams::{Found, number, title};
use super::Stop;
use super::clock::{HZ, StreamClock};
use super::header;
use super::input::{OpenFile, Source};
use super::pictures::Pictures;
use super::teller::Teller;
use crate::failure::Failure;

/// An encoder of AAC begins with so many samples that are not the source's, at 48 kHz; in the asset's ticks.
const PRIMING: i64 = 1_024 * 90_000 / 48_000;
/// No encoder has more, as a packet before the first sound tells of them: Apple's has 2,112 samples.
const PRIMING_MAX: i64 = HZ / 10;
/// Sound and pictures that are passed on begin and end together up to this; players wait for what is not there.
const APART_MAX: i64 = HZ / 2;
/// FFmpeg's clock of whole files.
const MICROS: i64 = 1_000_000;
/// ISO/IEC 14496-3 Table 1.17, audioObjectType: AAC LC.
const AAC_LC: u8 = 2;

/// Looks at the file, and tells what it is.
pub fn probe(source: &Source, limits: &Limits, teller: &mut Teller<'_>) -> Result<(), Stop> {
    let mut open = source.open()?;
    let mut found = streams::find(&open, limits)?;
    check_duration(open.input.duration() / MICROS, limits)?;
    let mut looks = look::look(&mut open, &mut found, limits)?;
    // The container has the last word, as everywhere.
    if let (Some(index), Some(look)) = (found.video, &mut looks.video) {
        look.aspect_millis = source.aspect_millis(index).map_or(look.aspect_millis, sane_aspect);
    }
    if found.video.is_none() && found.audio.is_empty() {
        let why = match found.left_out.is_empty() {
            true => "the file has neither a picture nor sound".to_owned(),
            false => format!("nothing of the file can be played: it has {}", found.left_out.join(", ")),
        };
        return Err(Failure::source(why).into());
    }
    if let Some(look) = &looks.video {
        check_size(look.width, look.height, limits)?;
    }
    // A fresh one: the first look has read on.
    let open = source.open()?;
    let (mut pictures, mut copy) = (None, None);
    if let (Some(index), Some(look)) = (found.video, &looks.video)
        && let Some(stream) = open.input.stream(index)
    {
        match candidate(source, &stream, look) {
            Ok(reader) => pictures = Some(reader),
            Err(why) => copy = Some(why),
        }
    }
    let scan = scan::scan(source, &found, pictures.as_mut(), teller)?;
    let told = Probe { source, open, found, looks, scan, copy }.told(limits)?;
    Ok(teller.say(FileNews::Source(Box::new(told)))?)
}

fn check_duration(secs: i64, limits: &Limits) -> Result<(), Failure> {
    let most = i64::from(limits.duration_secs_max);
    if secs > most {
        let hours = |secs: i64| format!("{}:{:02}:{:02} hours", secs / 3_600, secs / 60 % 60, secs % 60);
        let (lasts, allowed) = (hours(secs), hours(most));
        return Err(Failure::source(format!("the file lasts {lasts}, and {allowed} are allowed")));
    }
    Ok(())
}

/// How pictures are read that can perhaps be passed on, or why they cannot.
fn candidate(source: &Source, stream: &Stream<'_>, look: &VideoLook) -> Result<Pictures, String> {
    let id = stream.parameters().id();
    if id != Id::H264 {
        return Err(format!("the pictures are {}, which not every player shows", id.name()));
    }
    if !matches!(look.format, Pixel::YUV420P | Pixel::YUVJ420P) {
        return Err("the pictures have more than 8 bits or more colour than every player shows".to_owned());
    }
    if look.interlaced {
        return Err("the pictures are interlaced".to_owned());
    }
    if is_hdr(look) {
        return Err("the pictures are brighter than every display shows".to_owned());
    }
    if turn(stream) != Turn::default() {
        return Err("the pictures are turned".to_owned());
    }
    if source.has_byte_streams() {
        return Ok(Pictures::of_byte_stream());
    }
    Ok(Pictures::of_samples(header::h264(stream)?))
}

/// Everything that was found out.
struct Probe<'source> {
    source: &'source Source,
    open: OpenFile,
    found: Found,
    looks: Looks,
    scan: Scan,
    /// Why the pictures cannot be passed on, as far as is known before they were read.
    copy: Option<String>,
}

impl Probe<'_> {
    fn told(mut self, limits: &Limits) -> Result<file::Source, Failure> {
        let zero = self.zero().unwrap_or(0);
        let shift = -zero;
        let lasts = self.fps_millis().map_or(0, |fps_millis| HZ * 1_000 / i64::from(fps_millis.max(1)));
        let lasts = |index: &usize| if self.found.video == Some(*index) { lasts } else { 0 };
        let ends = self.scan.tracks.iter().filter_map(|(index, track)| track.end(lasts(index)));
        let duration = ends.max().map_or(0, |end| end - zero).max(1);
        check_duration(duration / HZ, limits)?;
        let video = self.video(shift, duration, limits)?;
        let audio = std::mem::take(&mut self.found.audio);
        let audio = audio.into_iter().filter_map(|index| self.audio(index, shift, duration)).collect();
        let Found { subtitles, left_out, .. } = self.found;
        let container = self.source.container.to_owned();
        Ok(file::Source { container, duration, shift, video, audio, subtitles, left_out })
    }

    fn clock(&self, index: usize, shift: i64) -> Option<StreamClock> {
        Some(StreamClock::new(self.open.input.stream(index)?.time_base(), shift))
    }

    fn fps_millis(&self) -> Option<u32> {
        let (index, look) = (self.found.video?, self.looks.video.as_ref()?);
        let rate = self.scan.tracks.get(&index).and_then(Track::rate);
        Some(fps_millis(&self.open.input.stream(index)?, look, rate))
    }

    /// What comes first: the first picture, or the first sound with what decoders need before it.
    fn zero(&self) -> Option<i64> {
        let picture = || {
            let look = self.looks.video.as_ref()?;
            Some(self.clock(self.found.video?, 0)?.asset(look.first))
        };
        let sound = |index: &usize| {
            let (look, clock) = (self.looks.audio.get(index)?, self.clock(*index, 0)?);
            let lead = clock.asset(look.first) - clock.asset(look.packet);
            // What is longer was cut off by whoever edited the file, and decoders need none of it.
            let lead = if lead > PRIMING_MAX { PRIMING } else { lead.max(PRIMING) };
            Some(clock.asset(look.first) - lead)
        };
        picture().into_iter().chain(self.found.audio.iter().filter_map(sound)).min()
    }

    fn video(&self, shift: i64, duration: i64, limits: &Limits) -> Result<Option<SourceVideo>, Failure> {
        let (Some(index), Some(look)) = (self.found.video, &self.looks.video) else { return Ok(None) };
        let (Some(stream), Some(clock)) = (self.open.input.stream(index), self.clock(index, shift)) else {
            return Ok(None);
        };
        let (track, Some(fps_millis)) = (self.scan.tracks.get(&index), self.fps_millis()) else { return Ok(None) };
        if fps_millis / 1_000 > limits.fps_max {
            let text = format!("it has {} pictures a second, and {} are allowed", fps_millis / 1_000, limits.fps_max);
            return Err(Failure::source(text));
        }
        let Turn { mirrored, degrees: rotation } = turn(&stream);
        let (width, height) = shown_size(look, rotation);
        let lasts = duration.unsigned_abs().max(1);
        let bps = |bytes: u64| bytes.saturating_mul(8).saturating_mul(HZ.unsigned_abs()) / lasts;
        let counted = track.and_then(|track| track.bytes).map(bps);
        let stated = u64::try_from(stream.parameters().bit_rate()).ok().filter(|bps| *bps > 0);
        Ok(Some(SourceVideo {
            stream: number(&stream),
            codec: stream.parameters().id().name().to_owned(),
            width,
            height,
            fps_millis,
            first: clock.asset(look.first),
            rotation,
            mirrored,
            interlaced: look.interlaced,
            bits: bits(look.format),
            hdr: is_hdr(look),
            bps: counted.or(stated).unwrap_or(bps(self.source.len())),
            copy: self.keys(look, &clock),
        }))
    }

    /// The keyframes on the asset's timeline, or why the pictures are not passed on.
    fn keys(&self, look: &VideoLook, clock: &StreamClock) -> Result<Vec<i64>, String> {
        if let Some(why) = &self.copy {
            return Err(why.clone());
        }
        let keys = match &self.scan.keys {
            Some(Ok(keys)) => keys,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the pictures were not read".to_owned()),
        };
        let first = *keys.first().ok_or("there is no picture that stands alone")?;
        if first != look.first {
            return Err("what is shown does not begin with a picture that stands alone".to_owned());
        }
        if clock.asset(first) > APART_MAX {
            return Err("the picture begins later than the sound".to_owned());
        }
        let mut times: Vec<i64> = keys.iter().map(|key| clock.asset(*key)).collect();
        times[0] = 0;
        Ok(times)
    }

    fn audio(&self, index: usize, shift: i64, duration: i64) -> Option<SourceAudio> {
        let (stream, look) = (self.open.input.stream(index)?, self.looks.audio.get(&index)?);
        Some(SourceAudio {
            stream: number(&stream),
            codec: stream.parameters().id().name().to_owned(),
            channels: u8::try_from(look.channels).unwrap_or(u8::MAX),
            sample_rate: look.sample_rate,
            language: language::language(stream.metadata().get("language")),
            title: title(&stream),
            copy: self.sound(&stream, look, shift, duration),
        })
    }

    /// Why a sound track is not passed on.
    fn sound(&self, stream: &Stream<'_>, look: &AudioLook, shift: i64, duration: i64) -> Result<(), String> {
        let id = stream.parameters().id();
        if id != Id::AAC {
            return Err(format!("the sound is {}, which not every player plays", id.name()));
        }
        let is_plain = if self.source.has_adts() {
            look.adts_rate == Some(look.sample_rate)
        } else {
            let AacConfig { object_type, frame_samples, sample_rate, .. } = header::aac(stream)?;
            // What is decoded to twice the rate has more in it than it says (implicit SBR).
            object_type == AAC_LC && frame_samples == 1_024 && sample_rate == look.sample_rate
        };
        if !is_plain {
            return Err("the sound is of a kind of AAC that not every player plays".to_owned());
        }
        if !matches!(look.sample_rate, 44_100 | 48_000) {
            return Err(format!("the sound has {} samples a second", look.sample_rate));
        }
        let track = self.scan.tracks.get(&stream.index()).ok_or("the sound was not read")?;
        if track.changes {
            return Err("the configuration of the sound changes".to_owned());
        }
        if track.has_holes {
            return Err("the sound has holes".to_owned());
        }
        let begins = StreamClock::new(stream.time_base(), shift).asset(look.packet);
        if begins > APART_MAX {
            return Err("the sound begins later than the picture".to_owned());
        }
        if track.end(0).is_none_or(|end| end + shift + APART_MAX < duration) {
            return Err("the sound ends before the picture".to_owned());
        }
        Ok(())
    }
}
