//! The multivariant playlist: one variant, its sound as a rendition group of its own, and the same picture in H.264 as a
//! second variant where not every player decodes the first.

use std::collections::HashMap;

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, ClosedCaptionGroupId, MasterPlaylist, QuotedOrUnquoted, Resolution,
    VariantStream,
};
use telstar_media::codec::{Colour, VideoRange};
use telstar_media::{CodecConfig, MediaKind};

use crate::playlist::{PICTURES_PLAYLIST, RenditionId, rendition_name};
use crate::rendered::Rendered;

const AUDIO_GROUP: &str = "audio";
/// EXT-X-MEDIA in fMP4 playlists: version 6, as the media playlists.
const VERSION: usize = 6;
/// SCORE (RFC 8216bis §4.4.6.2): whoever decodes both plays what the source sent.
const SCORE_SOURCE: &str = "2";
const SCORE_ALTERNATE: &str = "1";

/// What the multivariant playlist says. It is written anew only when one of these changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variant {
    pub video: Option<CodecFacts>,
    pub audio: Option<CodecFacts>,
    pub frame_rate: Option<f64>,
    pub bandwidth: Bandwidth,
    /// The picture in H.264, with the same sound.
    pub alternate: Option<AlternateVariant>,
    /// Peak and average bandwidth of the I-frame playlist, once there is one.
    pub pictures: Option<(u64, u64)>,
    pub independent: bool,
}

/// What the playlist says of the second variant, where that differs from the first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlternateVariant {
    pub facts: CodecFacts,
    pub bandwidth: Bandwidth,
}

/// BANDWIDTH and AVERAGE-BANDWIDTH.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bandwidth {
    pub peak_bps: u64,
    pub average_bps: u64,
}

/// A codec as the playlist names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecFacts {
    /// Its entry in CODECS.
    pub rfc6381: Option<String>,
    /// Width and height.
    pub size: Option<(u32, u32)>,
    /// CHANNELS.
    pub channels: Option<u8>,
    /// VIDEO-RANGE, where the bytes say one.
    pub range: Option<VideoRange>,
}

impl CodecFacts {
    /// Of a codec's configuration.
    pub fn of(config: &CodecConfig) -> CodecFacts {
        CodecFacts {
            rfc6381: config.rfc6381(),
            size: config.picture_size(),
            channels: config.channels(),
            range: config.colour().map(Colour::video_range),
        }
    }
}

pub(crate) fn render(variant: &Variant) -> Rendered {
    let uri = |id: RenditionId| format!("{}/index.m3u8", rendition_name(id));
    let separate_audio = variant.audio.as_ref().filter(|_| variant.video.is_some());
    let audio_codec = variant.audio.as_ref().and_then(|facts| facts.rfc6381.as_deref());
    let score = |score| variant.alternate.is_some().then_some(("SCORE", score));
    let stream = |id, video: Option<&CodecFacts>, bandwidth: Bandwidth, score| {
        let video_codec = video.and_then(|facts| facts.rfc6381.as_deref());
        let codecs: Vec<&str> = video_codec.into_iter().chain(audio_codec).collect();
        VariantStream {
            uri: uri(id),
            bandwidth: bandwidth.peak_bps,
            average_bandwidth: Some(bandwidth.average_bps),
            codecs: (!codecs.is_empty()).then(|| codecs.join(",")),
            resolution: video.and_then(resolution),
            // RFC 8216bis §4.4.6.2: the greatest, which a worker may leave pictures out of.
            frame_rate: variant.frame_rate,
            audio: separate_audio.map(|_| AUDIO_GROUP.into()),
            closed_captions: video.is_some().then_some(ClosedCaptionGroupId::None),
            other_attributes: attributes(video_range(video).into_iter().chain(score)),
            ..VariantStream::default()
        }
    };
    let kind = if variant.video.is_some() { MediaKind::Video } else { MediaKind::Audio };
    let first = stream(kind.into(), variant.video.as_ref(), variant.bandwidth, score(SCORE_SOURCE));
    // More bits do not make it better: it is made of the first.
    let second = variant.alternate.as_ref().map(|alternate| {
        let AlternateVariant { facts, bandwidth } = alternate;
        stream(RenditionId::Alternate, Some(facts), *bandwidth, score(SCORE_ALTERNATE))
    });
    let alternatives = separate_audio.map(|audio| AlternativeMedia {
        media_type: AlternativeMediaType::Audio,
        uri: Some(uri(MediaKind::Audio.into())),
        group_id: AUDIO_GROUP.into(),
        // RFC 5646 §4.1: what the source is spoken in is not known.
        language: Some("und".into()),
        name: "Audio".into(),
        default: true,
        autoselect: true,
        channels: audio.channels.map(|channels| channels.to_string()),
        ..AlternativeMedia::default()
    });
    let pictures = variant.video.as_ref().zip(variant.pictures).map(|(video, (peak_bps, average_bps))| VariantStream {
        is_i_frame: true,
        uri: format!("{}/{PICTURES_PLAYLIST}", rendition_name(MediaKind::Video)),
        bandwidth: peak_bps,
        average_bandwidth: Some(average_bps),
        codecs: video.rfc6381.clone(),
        resolution: resolution(video),
        // Parsers take it for a variant, all of which have a SCORE if one has.
        other_attributes: attributes(video_range(Some(video)).into_iter().chain(score(SCORE_SOURCE))),
        ..VariantStream::default()
    });
    let playlist = MasterPlaylist {
        version: Some(VERSION),
        variants: std::iter::once(first).chain(second).chain(pictures).collect(),
        independent_segments: variant.independent,
        alternatives: alternatives.into_iter().collect(),
        ..MasterPlaylist::default()
    };
    let mut text = Vec::with_capacity(512);
    playlist.write_to(&mut text).expect("writing to memory does not fail");
    Rendered::new(String::from_utf8(text).expect("the writer writes strings"))
}

/// RFC 8216bis §4.4.6.2: VIDEO-RANGE is not needed where everything is SDR.
fn video_range(video: Option<&CodecFacts>) -> Option<(&'static str, &'static str)> {
    let range = video?.range.filter(|range| *range != VideoRange::Sdr)?;
    Some(("VIDEO-RANGE", range.name()))
}

fn attributes<'a>(named: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<HashMap<String, QuotedOrUnquoted>> {
    let named = named.into_iter().map(|(name, value)| (name.into(), QuotedOrUnquoted::Unquoted(value.into())));
    Some(named.collect::<HashMap<_, _>>()).filter(|named| !named.is_empty())
}

fn resolution(video: &CodecFacts) -> Option<Resolution> {
    video.size.map(|(width, height)| Resolution { width: width.into(), height: height.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(rfc6381: &str, size: Option<(u32, u32)>, channels: Option<u8>) -> Option<CodecFacts> {
        Some(CodecFacts { rfc6381: Some(rfc6381.into()), size, channels, range: None })
    }

    fn check(video: Option<CodecFacts>, audio: Option<CodecFacts>, expect: &str) {
        let frame_rate = video.is_some().then_some(29.97);
        let bandwidth = Bandwidth { peak_bps: 2_500_000, average_bps: 2_000_000 };
        let pictures = video.is_some().then_some((400_000, 300_000));
        let variant = Variant { video, audio, frame_rate, bandwidth, alternate: None, pictures, independent: true };
        assert_eq!(render(&variant).text(), expect);
    }

    #[test]
    fn a_range_beyond_the_standard_one_is_told() {
        for (range, expect) in [
            (None, ""),
            (Some(VideoRange::Sdr), ""),
            (Some(VideoRange::Pq), ",VIDEO-RANGE=PQ"),
            (Some(VideoRange::Hlg), ",VIDEO-RANGE=HLG"),
        ] {
            let video =
                facts("hvc1.2.4.L120.90", Some((1_920, 1_080)), None).map(|facts| CodecFacts { range, ..facts });
            check(
                video,
                None,
                &format!(
                    "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
                     #EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS=\"hvc1.2.4.L120.90\",\
                     RESOLUTION=1920x1080,FRAME-RATE=29.97{expect},CLOSED-CAPTIONS=NONE\nvideo/index.m3u8\n\
                     #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=400000,AVERAGE-BANDWIDTH=300000,CODECS=\"hvc1.2.4.L120.90\",\
                     RESOLUTION=1920x1080{expect},URI=\"video/iframes.m3u8\"\n"
                ),
            );
        }
    }

    #[test]
    fn a_picture_in_two_codecs_is_two_variants_with_one_sound_of_which_the_first_is_better() {
        let facts = |name: &str| facts(name, Some((1_280, 720)), None).expect("it is named");
        let bandwidth = |peak_bps| Bandwidth { peak_bps, average_bps: peak_bps / 2 };
        let alternate = AlternateVariant { facts: facts("avc1.42c01f"), bandwidth: bandwidth(4_000_000) };
        let variant = Variant {
            video: Some(facts("hvc1.1.6.L93.90")),
            audio: Some(CodecFacts { size: None, channels: Some(2), ..facts("mp4a.40.2") }),
            frame_rate: Some(25.0),
            bandwidth: bandwidth(2_000_000),
            alternate: Some(alternate),
            pictures: Some((400_000, 300_000)),
            independent: true,
        };
        let text = String::from_utf8(render(&variant).text().to_vec()).expect("text");
        let lines: Vec<&str> =
            text.lines().filter(|line| line.contains("STREAM-INF") || !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "#EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1000000,CODECS=\"hvc1.1.6.L93.90,mp4a.40.2\",\
                 RESOLUTION=1280x720,FRAME-RATE=25,SCORE=2,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE",
                "video/index.m3u8",
                "#EXT-X-STREAM-INF:BANDWIDTH=4000000,AVERAGE-BANDWIDTH=2000000,CODECS=\"avc1.42c01f,mp4a.40.2\",\
                 RESOLUTION=1280x720,FRAME-RATE=25,SCORE=1,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE",
                "h264/index.m3u8",
                "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=400000,AVERAGE-BANDWIDTH=300000,CODECS=\"hvc1.1.6.L93.90\",\
                 RESOLUTION=1280x720,SCORE=2,URI=\"video/iframes.m3u8\"",
            ]
        );
    }

    #[test]
    fn audio_is_a_group_of_its_own_unless_it_is_alone() {
        let video = || facts("avc1.64001f", Some((1_280, 720)), None);
        let audio = || facts("mp4a.40.2", None, Some(2));
        check(
            video(),
            audio(),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,URI=\"audio/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"und\",NAME=\"Audio\",\
             DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1280x720,FRAME-RATE=29.97,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE\nvideo/index.m3u8\n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=400000,AVERAGE-BANDWIDTH=300000,CODECS=\"avc1.64001f\",\
             RESOLUTION=1280x720,URI=\"video/iframes.m3u8\"\n",
        );
        check(
            video(),
            None,
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS=\"avc1.64001f\",\
             RESOLUTION=1280x720,FRAME-RATE=29.97,CLOSED-CAPTIONS=NONE\nvideo/index.m3u8\n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=400000,AVERAGE-BANDWIDTH=300000,CODECS=\"avc1.64001f\",\
             RESOLUTION=1280x720,URI=\"video/iframes.m3u8\"\n",
        );
        check(
            None,
            audio(),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS=\"mp4a.40.2\"\naudio/index.m3u8\n",
        );
    }
}
