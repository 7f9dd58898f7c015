//! What is made of a source, and in which order.
//!
//! In: what the probe found, and what the operator wants. Out: the segment map and the renditions, those first that make the asset
//! playable. Whatever plays is listed at once; the rest joins as it comes.

use serde::{Deserialize, Serialize};

use crate::file::{OUTPUTS_MAX, Output, Source, SourceVideo, VideoCodec};
use crate::ladder::{Picture, Rung, ladder};
use crate::map::{SegmentMap, Unusable};

/// The first rendition of a source that has to be encoded is no larger, by its short side: it has to be faster than it is
/// watched, on two cores beside others. Higher looks better at first; lower begins sooner.
const FIRST_SIDE_MAX: u32 = 720;
/// A source that takes so many times what its rung may is not what viewers should be sent: it is encoded at its own size as well.
const COPY_FACTOR_MAX: u64 = 2;
/// Sound tracks that are kept: more have no place among the outputs of one task.
const AUDIO_TRACKS_MAX: usize = 4;
/// Subtitle tracks that are kept.
const SUBTITLES_MAX: usize = 10;
/// Channels of 5.1.
const SURROUND_CHANNELS: u8 = 6;

/// What the operator wants of every asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rungs below the first rendition.
    pub has_ladder: bool,
    /// Every rung as HEVC as well.
    pub has_hevc: bool,
    /// Every rung as AV1 as well.
    pub has_av1: bool,
    /// Bits per second of stereo; surround takes 2.5 times as much, mono half.
    pub stereo_bps: u32,
}

/// A rendition to be made, by the name that stands in its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// `v720`, `a1`, `s2`: the kind, and the short side or the number of the track from 1 on.
    pub name: String,
    /// How it is made.
    pub output: Output,
}

/// What is made of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where every rendition is cut.
    pub map: SegmentMap,
    /// What makes it playable: one task.
    pub first: Vec<Planned>,
    /// What makes it better: one task, so that the source is decoded once.
    pub more: Vec<Planned>,
    /// There are pictures to make a poster and a storyboard of.
    pub has_images: bool,
    /// Why the source's pictures are not passed on as they are.
    pub encoded_because: Option<String>,
}

/// Why nothing can be made of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplayable {
    /// There is neither picture nor sound.
    #[error("the file has neither a picture nor sound")]
    Empty,
    /// It cannot be cut.
    #[error(transparent)]
    Map(#[from] Unusable),
}

/// The name of the pictures as they are.
pub const COPY_NAME: &str = "v-copy";
/// What a sound track is called until the one of even loudness is there.
pub const FIRST_SUFFIX: &str = "-first";
/// What a sound track in 5.1 is called.
pub const SURROUND_SUFFIX: &str = "-surround";

/// What is made of `source`.
pub fn plan(source: &Source, options: &Options) -> Result<Plan, Unplayable> {
    if source.video.is_none() && source.audio.is_empty() {
        return Err(Unplayable::Empty);
    }
    let (map, encoded_because) = cut(source)?;
    let (mut first, mut more) = (Vec::new(), Vec::new());
    if let Some(video) = &source.video {
        pictures(video, encoded_because.is_none(), options, &mut first, &mut more);
    }
    sounds(source, options, &mut first, &mut more);
    for (index, subtitles) in source.subtitles.iter().take(SUBTITLES_MAX).enumerate() {
        let output = Output::Subtitles { stream: subtitles.stream };
        first.push(Planned { name: format!("s{}", index + 1), output });
    }
    // The largest rungs come first, and the smallest may be left out.
    more.truncate(OUTPUTS_MAX);
    Ok(Plan { map, first, more, has_images: source.video.is_some(), encoded_because })
}

/// Where it is cut, and why not at its own keyframes.
fn cut(source: &Source) -> Result<(SegmentMap, Option<String>), Unplayable> {
    let Some(video) = &source.video else { return Ok((SegmentMap::even(source.duration)?, None)) };
    let why = match &video.copy {
        Err(why) => why.clone(),
        Ok(keyframes) => match SegmentMap::of_keyframes(keyframes, source.duration) {
            Ok(map) => return Ok((map, None)),
            Err(error) => error.to_string(),
        },
    };
    Ok((SegmentMap::of_rate(video.first, video.fps_millis, source.duration)?, Some(why)))
}

fn pictures(
    video: &SourceVideo,
    is_copied: bool,
    options: &Options,
    first: &mut Vec<Planned>,
    more: &mut Vec<Planned>,
) {
    let stream = video.stream;
    let mut rungs = ladder(Picture { width: video.width, height: video.height, fps_millis: video.fps_millis });
    let own = rungs[0];
    let encoded = |codec, rung| Planned { name: name(codec, rung), output: Output::Video { stream, codec, rung } };
    if is_copied {
        first.push(Planned { name: COPY_NAME.to_owned(), output: Output::CopyVideo { stream } });
        let is_its_size = own.width + 1 >= video.width && own.height + 1 >= video.height;
        if is_its_size && video.bps <= own.bps_max.saturating_mul(COPY_FACTOR_MAX) {
            rungs.remove(0);
        }
    } else {
        let side = |rung: &Rung| rung.width.min(rung.height);
        let at = rungs.iter().position(|rung| side(rung) <= FIRST_SIDE_MAX).unwrap_or(rungs.len() - 1);
        first.push(encoded(VideoCodec::H264, rungs.remove(at)));
    }
    if !options.has_ladder {
        // What nobody could watch for its size is not all there is.
        rungs.truncate(usize::from(!is_copied && rungs.first().is_some_and(|rung| *rung == own)));
    }
    more.extend(rungs.iter().map(|rung| encoded(VideoCodec::H264, *rung)));
    let all = ladder(Picture { width: video.width, height: video.height, fps_millis: video.fps_millis });
    for (codec, is_wanted) in [(VideoCodec::Hevc, options.has_hevc), (VideoCodec::Av1, options.has_av1)] {
        if is_wanted {
            more.extend(all.iter().map(|rung| encoded(codec, *rung)));
        }
    }
}

fn name(codec: VideoCodec, rung: Rung) -> String {
    let suffix = match codec {
        VideoCodec::H264 => "",
        VideoCodec::Hevc => "-hevc",
        VideoCodec::Av1 => "-av1",
    };
    format!("v{}{suffix}", rung.width.min(rung.height))
}

/// Each track in stereo of even loudness, in the end; the one that players begin with, and whatever costs nothing, as it is at once.
fn sounds(source: &Source, options: &Options, first: &mut Vec<Planned>, more: &mut Vec<Planned>) {
    let rungs = more.len();
    for (index, audio) in source.audio.iter().take(AUDIO_TRACKS_MAX).enumerate() {
        let (stream, name) = (audio.stream, format!("a{}", index + 1));
        let channels = audio.channels.clamp(1, 2);
        let bps = if channels == 1 { options.stereo_bps / 2 } else { options.stereo_bps };
        let is_copied = audio.copy.is_ok() && audio.channels <= 2;
        let at_once = match is_copied {
            true => Some(Output::CopyAudio { stream }),
            false => (index == 0).then_some(Output::Audio { stream, channels, bps, normalise: false }),
        };
        first.extend(at_once.map(|output| Planned { name: format!("{name}{FIRST_SUFFIX}"), output }));
        let surround = (audio.channels >= SURROUND_CHANNELS).then(|| match audio.copy.is_ok() {
            true => Output::CopyAudio { stream },
            false => {
                let bps = options.stereo_bps.saturating_mul(5) / 2;
                Output::Audio { stream, channels: SURROUND_CHANNELS, bps, normalise: true }
            }
        });
        let surround = surround.map(|output| Planned { name: format!("{name}{SURROUND_SUFFIX}"), output });
        let stereo = Planned { name, output: Output::Audio { stream, channels, bps, normalise: true } };
        // Before the rungs: of too many outputs a rung is left out, not a language.
        let at = more.len() - rungs;
        more.splice(at..at, std::iter::once(stereo).chain(surround));
    }
}

#[cfg(test)]
mod tests;
