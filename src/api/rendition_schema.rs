//! What an asset is made of, as it goes out: what its source is, and the renditions there are of it.
//!
//! In: what the probe found, and what is listed. Out: parts of an asset's body.

use serde::Serialize;
use telstar_transcode::file::{CLOCK, Output, RenditionKind, Source};
use utoipa::ToSchema;

use crate::vod::jobs::Facts;
use crate::vod::listings::Listed;

/// What a source is.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSource)]
pub(super) struct SourceBody {
    /// FFmpeg's name of its container.
    #[schema(example = "mov,mp4,m4a,3gp,3g2,mj2")]
    container: String,
    /// How long it lasts.
    duration_secs: f64,
    /// Its picture, or null.
    video: Option<SourceVideoBody>,
    /// Its sound tracks.
    audio: Vec<SourceAudioBody>,
    /// Its subtitle tracks that are text.
    subtitles: Vec<SourceSubtitlesBody>,
    /// What is left out, and why, for people.
    left_out: Vec<String>,
    /// Why its pictures are not passed on as they are, for people, or null.
    encoded_because: Option<String>,
}

/// The picture of a source.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSourceVideo)]
pub(super) struct SourceVideoBody {
    /// FFmpeg's name of the codec.
    #[schema(example = "h264")]
    codec: String,
    /// Pixels across, as it is shown.
    width: u32,
    /// Pixels down, likewise.
    height: u32,
    /// Pictures a second.
    fps: f64,
    /// Clockwise, in degrees.
    rotation: u16,
    /// Half pictures, one behind the other.
    interlaced: bool,
    /// Bits of a sample.
    bits: u8,
    /// Its brightness is beyond what ordinary displays show.
    hdr: bool,
    /// Bits per second on average.
    bps: u64,
}

/// A sound track of a source.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSourceAudio)]
pub(super) struct SourceAudioBody {
    /// FFmpeg's name of the codec.
    #[schema(example = "aac")]
    codec: String,
    /// How many it has.
    channels: u8,
    /// Samples a second.
    sample_rate: u32,
    /// BCP 47; `und` where the source does not say.
    #[schema(example = "ko")]
    language: String,
    /// What the source calls it; may be empty.
    title: String,
}

/// A subtitle track of a source.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetSourceSubtitles)]
pub(super) struct SourceSubtitlesBody {
    /// FFmpeg's name of the format.
    #[schema(example = "subrip")]
    codec: String,
    /// BCP 47; `und` where the source does not say.
    language: String,
    /// What the source calls it; may be empty.
    title: String,
    /// They are shown whether asked for or not.
    forced: bool,
    /// They describe sounds as well.
    hearing_impaired: bool,
}

/// A rendition of an asset.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Rendition)]
pub(super) struct RenditionBody {
    /// Its name in addresses.
    #[schema(example = "v720")]
    name: String,
    /// Pictures, sound or text.
    kind: RenditionKindBody,
    /// RFC 6381; of text `wvtt`.
    #[schema(example = "avc1.64001f")]
    codecs: String,
    /// Video: pixels across.
    width: Option<u32>,
    /// Video: pixels down.
    height: Option<u32>,
    /// Video: pictures a second.
    fps: Option<f64>,
    /// Audio: how many.
    channels: Option<u8>,
    /// Audio and subtitles: BCP 47.
    language: Option<String>,
    /// Its bytes so far.
    bytes: u64,
    /// There is no more to come.
    whole: bool,
    /// How much of it is there.
    secs: f64,
}

/// What is in a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RenditionKind)]
pub(super) enum RenditionKindBody {
    Video,
    Audio,
    Subtitles,
}

pub(super) fn source_body(facts: &Facts) -> SourceBody {
    let Source { container, duration, video, audio, subtitles, left_out, .. } = &facts.source;
    SourceBody {
        container: container.clone(),
        duration_secs: *duration as f64 / f64::from(CLOCK.hz()),
        video: video.as_ref().map(|video| SourceVideoBody {
            codec: video.codec.clone(),
            width: video.width,
            height: video.height,
            fps: f64::from(video.fps_millis) / 1_000.0,
            rotation: video.rotation,
            interlaced: video.interlaced,
            bits: video.bits,
            hdr: video.hdr,
            bps: video.bps,
        }),
        audio: audio
            .iter()
            .map(|audio| SourceAudioBody {
                codec: audio.codec.clone(),
                channels: audio.channels,
                sample_rate: audio.sample_rate,
                language: audio.language.clone(),
                title: audio.title.clone(),
            })
            .collect(),
        subtitles: subtitles
            .iter()
            .map(|text| SourceSubtitlesBody {
                codec: text.codec.clone(),
                language: text.language.clone(),
                title: text.title.clone(),
                forced: text.forced,
                hearing_impaired: text.hearing_impaired,
            })
            .collect(),
        left_out: left_out.clone(),
        encoded_because: facts.encoded_because.clone(),
    }
}

pub(super) fn rendition_body(one: &Listed, facts: Option<&Facts>) -> RenditionBody {
    let (kind, size, fps, channels) = match one.rendition.kind {
        RenditionKind::Video { width, height, fps_millis } => {
            (RenditionKindBody::Video, Some((width, height)), Some(f64::from(fps_millis) / 1_000.0), None)
        }
        RenditionKind::Audio { channels, .. } => (RenditionKindBody::Audio, None, None, Some(channels)),
        RenditionKind::Subtitles => (RenditionKindBody::Subtitles, None, None, None),
    };
    let end = one.index.segments().last().map_or(0, |last| last.start + last.duration);
    RenditionBody {
        name: one.name.clone(),
        kind,
        codecs: one.rendition.codecs.clone(),
        width: size.map(|(width, _)| width),
        height: size.map(|(_, height)| height),
        fps,
        channels,
        language: facts.and_then(|facts| language_of(&one.output, &facts.source)),
        bytes: one.index.len(),
        whole: one.is_whole,
        secs: end as f64 / f64::from(one.rendition.timescale.max(1)),
    }
}

fn language_of(output: &Output, source: &Source) -> Option<String> {
    match output {
        Output::CopyVideo { .. } | Output::Video { .. } => None,
        Output::CopyAudio { stream } | Output::Audio { stream, .. } => {
            source.audio.iter().find(|audio| audio.stream == *stream).map(|audio| audio.language.clone())
        }
        Output::Subtitles { stream } => {
            source.subtitles.iter().find(|text| text.stream == *stream).map(|text| text.language.clone())
        }
    }
}
