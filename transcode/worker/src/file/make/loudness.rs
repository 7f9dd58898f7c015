//! How loud sound is (EBU R128): a pass over the sound alone, before any of it is made.

use std::collections::BTreeMap;

use ffmpeg::{filter, frame};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::{LOUDNESS_LUFS, TRUE_PEAK_DBTP};

use super::decoded::{DecodedSound, Piece, Planes, SAMPLE, SAMPLE_RATE, layout};
use crate::failure::Failure;
use crate::file::Stop;
use crate::file::input::{Source, next_packet};
use crate::file::teller::Teller;

/// Below this there is nothing to hear (EBU R128's absolute gate), and nothing is made louder.
const SILENCE_LUFS: f64 = -69.0;
/// Nothing is made louder by more: what is that quiet is meant to be, or is noise.
const GAIN_MAX_DB: f64 = 20.0;
/// Peaks are turned down by no more so that the rest can be louder. Higher flattens music, lower leaves speech with one
/// loud cough quiet.
const LIMITED_MAX_DB: f64 = 6.0;
/// Between samples sound may be louder than any of them.
const BETWEEN_SAMPLES_DB: f64 = 0.5;
/// The loudest sample of sound that is not brought to one loudness: encoders make some louder.
const LOUDEST_DB: f64 = -0.5;

/// How loud a track is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Integrated loudness.
    lufs: f64,
    /// The loudest sample, of 1.
    peak: f32,
}

/// What is done to a track: times this, and no sample above that.
pub fn gain(level: Option<Level>) -> (f32, f32) {
    let factor = |db: f64| 10_f64.powf(db / 20.0) as f32;
    match level {
        Some(Level { lufs, peak }) => {
            let most = TRUE_PEAK_DBTP - BETWEEN_SAMPLES_DB;
            let room = most - 20.0 * f64::from(peak.max(f32::MIN_POSITIVE)).log10() + LIMITED_MAX_DB;
            let wanted = if lufs > SILENCE_LUFS { LOUDNESS_LUFS - lufs } else { 0.0 };
            (factor(wanted.min(room).min(GAIN_MAX_DB)), factor(most))
        }
        None => (1.0, factor(LOUDEST_DB)),
    }
}

/// A track that is measured.
struct Meter {
    stream: usize,
    sound: DecodedSound,
    graph: filter::Graph,
    channels: u8,
    samples: i64,
    level: Level,
}

/// Measures these streams, each mixed to so many channels.
pub fn measure(
    source: &Source,
    wanted: &[(u16, u8)],
    teller: &mut Teller<'_>,
) -> Result<BTreeMap<(u16, u8), Level>, Stop> {
    let mut open = source.open()?;
    let mut meters = BTreeMap::new();
    for (index, channels) in wanted {
        let missing = || Failure::broken("task", format!("the file has no stream {index}"));
        let stream = open.input.stream(usize::from(*index)).ok_or_else(missing)?;
        let sound = DecodedSound::new(&stream, 0, *channels)?;
        let graph = graph(*channels).map_err(failed)?;
        let level = Level { lufs: f64::NEG_INFINITY, peak: 0.0 };
        let stream = usize::from(*index);
        meters.insert((*index, *channels), Meter { stream, sound, graph, channels: *channels, samples: 0, level });
    }
    while let Some(packet) = next_packet(&mut open.input) {
        teller.progress(0)?;
        for meter in meters.values_mut().filter(|meter| meter.stream == packet.stream()) {
            let mut pieces = Vec::new();
            // What cannot be decoded is counted when it is made.
            let corrupt = teller.corrupt;
            meter.sound.feed(Some(&packet), teller, &mut pieces)?;
            teller.corrupt = corrupt;
            pieces.into_iter().try_for_each(|Piece { planes, .. }| meter.take(&planes))?;
        }
    }
    Ok(meters.into_iter().map(|(of, meter)| (of, meter.level)).collect())
}

impl Meter {
    fn take(&mut self, planes: &Planes) -> Result<(), Failure> {
        let len = planes.first().map_or(0, Vec::len);
        if len == 0 {
            return Ok(());
        }
        let mut sound = frame::Audio::new(SAMPLE, len, layout(self.channels));
        sound.set_rate(SAMPLE_RATE);
        sound.set_pts(Some(self.samples));
        self.samples += len as i64;
        for (index, plane) in planes.iter().enumerate().take(sound.planes()) {
            for (to, from) in sound.plane_mut::<f32>(index).iter_mut().zip(plane) {
                *to = if from.is_finite() { *from } else { 0.0 };
                self.level.peak = self.level.peak.max(to.abs());
            }
        }
        let mut input = self.graph.get("in").ok_or_else(|| failed(ffmpeg::Error::Bug))?;
        input.source().add(&sound).map_err(failed)?;
        let mut output = self.graph.get("out").ok_or_else(|| failed(ffmpeg::Error::Bug))?;
        let mut measured = frame::Audio::empty();
        while output.sink().frame(&mut measured).is_ok() {
            // Of everything up to this frame.
            let lufs = measured.metadata().get("lavfi.r128.I").and_then(|text| text.parse().ok());
            self.level.lufs = lufs.unwrap_or(self.level.lufs);
        }
        Ok(())
    }
}

fn graph(channels: u8) -> Result<filter::Graph, ffmpeg::Error> {
    let missing = ffmpeg::Error::FilterNotFound;
    let name = match channels {
        1 => "mono",
        6 => "5.1",
        _ => "stereo",
    };
    let mut graph = filter::Graph::new();
    let input = format!("time_base=1/48000:sample_rate=48000:sample_fmt=fltp:channel_layout={name}");
    graph.add(&filter::find("abuffer").ok_or(missing)?, "in", &input)?;
    graph.add(&filter::find("abuffersink").ok_or(missing)?, "out", "")?;
    graph.output("in", 0)?.input("out", 0)?.parse("ebur128=metadata=1")?;
    graph.validate()?;
    Ok(graph)
}

fn failed(error: ffmpeg::Error) -> Failure {
    Failure::broken("loudness", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_factor_brings_sound_to_the_loudness_as_far_as_its_peaks_allow() {
        let db = |lufs, peak| {
            let (gain, most) = gain(Some(Level { lufs, peak }));
            assert!((most - 0.794).abs() < 0.001);
            (20.0 * f64::from(gain).log10()).round()
        };
        assert_eq!(db(-23.0, 0.2), 7.0);
        assert_eq!(db(-9.0, 1.0), -7.0);
        assert_eq!(db(-30.0, 0.8), 6.0, "peaks may be turned down by six");
        assert_eq!(db(-60.0, 0.001), 20.0);
        assert_eq!(db(f64::NEG_INFINITY, 0.0), 0.0);
        assert_eq!(gain(None).0, 1.0);
    }

    #[test]
    fn a_tone_is_as_loud_as_the_standard_says() {
        let (mut open, level) = (graph(2).expect("it has the filter"), Level { lufs: f64::NEG_INFINITY, peak: 0.0 });
        // EBU Tech 3341 §2.9, case 1: 1 kHz at -23 dBFS in both channels is -23 LUFS.
        let tone: Vec<f32> =
            (0..96_000).map(|n| 0.070_8 * (std::f32::consts::TAU * 1_000.0 * n as f32 / 48_000.0).sin()).collect();
        assert!(open.get("in").is_some());
        let mut lufs = level.lufs;
        for (number, block) in tone.chunks(4_800).enumerate() {
            let mut sound = frame::Audio::new(SAMPLE, block.len(), layout(2));
            sound.set_rate(SAMPLE_RATE);
            sound.set_pts(Some(number as i64 * 4_800));
            (0..2).for_each(|plane| sound.plane_mut::<f32>(plane).copy_from_slice(block));
            open.get("in").expect("made").source().add(&sound).expect("it fits");
            let (mut output, mut measured) = (open.get("out").expect("made"), frame::Audio::empty());
            while output.sink().frame(&mut measured).is_ok() {
                let told = measured.metadata().get("lavfi.r128.I").and_then(|text| text.parse().ok());
                lufs = told.unwrap_or(lufs);
            }
        }
        assert!((lufs + 23.0).abs() < 0.2, "{lufs}");
    }
}
