//! Playlists of an asset on demand, through `m3u8-rs`.
//!
//! In: what is where in each rendition. Out: text. All media playlists of an asset have the same segments in time; one of a
//! rendition that is still being made is an EVENT playlist that grows at its end, and becomes a VOD playlist with the last segment
//! (RFC 8216bis §4.4.3.5).

use std::collections::HashMap;

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, ByteRange, ClosedCaptionGroupId, Key, KeyMethod, Map, MasterPlaylist,
    MediaPlaylist, MediaPlaylistType, MediaSegment, QuotedOrUnquoted, Resolution, VariantStream,
};

use crate::playlist::PICTURES_PLAYLIST;

/// EXT-X-MAP outside of I-frame playlists (RFC 8216bis §8), and I-FRAMES-ONLY with byte ranges, need less.
const VERSION: usize = 6;
const AUDIO_GROUP: &str = "audio";
const SURROUND_GROUP: &str = "surround";
const SUBTITLES_GROUP: &str = "subtitles";
/// The media playlist of a rendition, in its folder.
const MEDIA_PLAYLIST: &str = "index.m3u8";
/// The init segment of a rendition, in its folder.
const INIT: &str = "init.mp4";
/// Apple's authoring specification: the variant that is listed first is played first, and should have about so many bits per second.
const FIRST_BPS: u64 = 2_000_000;

/// A segment as a playlist needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct VodSegment {
    /// How long it lasts, in seconds.
    pub secs: f64,
    /// Its bytes.
    pub len: u64,
    /// Its pictures that stand alone.
    pub pictures: Vec<VodPicture>,
}

/// A picture that stands alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VodPicture {
    /// Where its fragment begins in the segment.
    pub offset: u64,
    /// Bytes of the fragment up to the picture's end.
    pub len: u64,
    /// Seconds from the segment's beginning.
    pub at_secs: f64,
}

/// What a rendition is.
#[derive(Clone, Debug, PartialEq)]
pub struct VodRendition {
    /// The name of its folder.
    pub name: String,
    /// Its entry in CODECS; of text none.
    pub codecs: String,
    /// Pictures, sound or text.
    pub kind: VodKind,
    /// Its segments so far.
    pub segments: Vec<VodSegment>,
    /// There are no more to come.
    pub is_whole: bool,
}

/// What is in a rendition.
#[derive(Clone, Debug, PartialEq)]
pub enum VodKind {
    /// Pictures.
    Video {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Pictures a second.
        fps: f64,
        /// VIDEO-RANGE, where it is not SDR.
        range: Option<&'static str>,
    },
    /// Sound.
    Audio {
        /// How many.
        channels: u8,
        /// What it is called, and in which language.
        label: Label,
    },
    /// Text.
    Subtitles {
        /// What it is called, and in which language.
        label: Label,
        /// Shown whether asked for or not.
        forced: bool,
        /// It describes sounds as well.
        hearing_impaired: bool,
    },
}

/// What a track is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// For people; each of a group has its own.
    pub name: String,
    /// BCP 47.
    pub language: String,
    /// The one to begin with.
    pub is_default: bool,
}

/// How the segments are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// Where players get the key. The method is AES-128, the IV the number of the segment (RFC 8216bis §4.4.4.4).
    pub key_uri: String,
}

impl VodRendition {
    /// Peak and average bits per second. The peak is that of the worst segment (RFC 8216bis §4.1).
    pub fn bandwidth(&self) -> (u64, u64) {
        bandwidth(self.segments.iter().map(|segment| (segment.len, segment.secs)))
    }
}

/// The peak counts what is at least half as long as the longest: a short rest says nothing of a rate.
fn bandwidth(pieces: impl Iterator<Item = (u64, f64)> + Clone) -> (u64, u64) {
    let longest = pieces.clone().map(|(_, secs)| secs).fold(0.0, f64::max);
    let (bytes, secs) = pieces.clone().fold((0, 0.0), |(bytes, secs), (len, more)| (bytes + len, secs + more));
    let rate = |len: u64, secs: f64| if secs > 0.0 { (len as f64 * 8.0 / secs).ceil() as u64 } else { 0 };
    let peak = pieces.filter(|(_, secs)| *secs * 2.0 >= longest).map(|(len, secs)| rate(len, secs)).max();
    let average = rate(bytes, secs);
    (peak.unwrap_or(0).max(average).max(1), average.max(1))
}

/// The multivariant playlist of whatever can be played. `query` is copied to each address, such as `?t=…`.
pub fn multivariant(renditions: &[VodRendition], query: &str) -> String {
    let of = |wanted: fn(&VodKind) -> bool| -> Vec<&VodRendition> {
        renditions.iter().filter(|one| wanted(&one.kind) && !one.segments.is_empty()).collect()
    };
    let videos = of(|kind| matches!(kind, VodKind::Video { .. }));
    let stereo = of(|kind| matches!(kind, VodKind::Audio { channels: ..=2, .. }));
    let surround = of(|kind| matches!(kind, VodKind::Audio { channels: 3.., .. }));
    let subtitles = of(|kind| matches!(kind, VodKind::Subtitles { .. }));
    let groups: Vec<(Option<&str>, &[&VodRendition])> = match (stereo.is_empty(), surround.is_empty()) {
        (true, true) => vec![(None, &[])],
        (false, true) => vec![(Some(AUDIO_GROUP), &stereo)],
        (true, false) => vec![(Some(SURROUND_GROUP), &surround)],
        (false, false) => vec![(Some(AUDIO_GROUP), &stereo), (Some(SURROUND_GROUP), &surround)],
    };
    let mut variants = Vec::new();
    if videos.is_empty() {
        variants.extend(
            stereo
                .iter()
                .chain(&surround)
                .filter(|one| is_default(one))
                .map(|sound| sound_alone(sound, &subtitles, query)),
        );
    }
    for video in first_to_play(&videos) {
        variants.extend(groups.iter().map(|(group, sounds)| variant(video, *group, sounds, &subtitles, query)));
    }
    variants.extend(videos.iter().filter_map(|video| pictures_variant(video, query)));
    let sounds =
        groups.iter().filter(|_| !videos.is_empty()).filter_map(|(group, sounds)| group.map(|group| (group, sounds)));
    let alternatives = sounds
        .flat_map(|(group, sounds)| sounds.iter().map(move |sound| (group, *sound)))
        .chain(subtitles.iter().map(|text| (SUBTITLES_GROUP, *text)))
        .filter_map(|(group, one)| alternative(group, one, query))
        .collect();
    let playlist = MasterPlaylist {
        version: Some(VERSION),
        variants,
        independent_segments: true,
        alternatives,
        ..MasterPlaylist::default()
    };
    written(|text| playlist.write_to(text))
}

fn is_default(one: &VodRendition) -> bool {
    matches!(&one.kind, VodKind::Audio { label, .. } if label.is_default)
}

/// The one that is nearest to what most can play at once, then from the best on.
fn first_to_play<'a>(videos: &[&'a VodRendition]) -> Vec<&'a VodRendition> {
    let mut order = videos.to_vec();
    order.sort_by_key(|video| std::cmp::Reverse(video.bandwidth().0));
    // H.264 is what everybody decodes.
    let first = (0..order.len())
        .filter(|at| order[*at].codecs.starts_with("avc1"))
        .min_by_key(|at| order[*at].bandwidth().1.abs_diff(FIRST_BPS));
    if let Some(first) = first {
        order[..=first].rotate_right(1);
    }
    order
}

fn address(one: &VodRendition, file: &str, query: &str) -> String {
    format!("{}/{file}{query}", one.name)
}

fn variant(
    video: &VodRendition,
    group: Option<&str>,
    sounds: &[&VodRendition],
    subtitles: &[&VodRendition],
    query: &str,
) -> VariantStream {
    let VodKind::Video { width, height, fps, range } = video.kind else { unreachable!("only pictures are variants") };
    // RFC 8216bis §4.4.6.2: with the largest of the sounds that may play beside it.
    let (peak, average) = sounds.iter().map(|sound| sound.bandwidth()).max().unwrap_or_default();
    let (own_peak, own_average) = video.bandwidth();
    let mut codecs = vec![video.codecs.as_str()];
    for sound in sounds {
        if !codecs.contains(&sound.codecs.as_str()) {
            codecs.push(&sound.codecs);
        }
    }
    VariantStream {
        uri: address(video, MEDIA_PLAYLIST, query),
        bandwidth: own_peak + peak,
        average_bandwidth: Some(own_average + average),
        codecs: Some(codecs.join(",")),
        resolution: Some(Resolution { width: width.into(), height: height.into() }),
        frame_rate: Some(fps),
        audio: group.map(str::to_owned),
        subtitles: (!subtitles.is_empty()).then(|| SUBTITLES_GROUP.to_owned()),
        closed_captions: Some(ClosedCaptionGroupId::None),
        other_attributes: unquoted(range.map(|range| ("VIDEO-RANGE", range))),
        ..VariantStream::default()
    }
}

fn sound_alone(sound: &VodRendition, subtitles: &[&VodRendition], query: &str) -> VariantStream {
    let (peak, average) = sound.bandwidth();
    VariantStream {
        uri: address(sound, MEDIA_PLAYLIST, query),
        bandwidth: peak,
        average_bandwidth: Some(average),
        codecs: Some(sound.codecs.clone()),
        subtitles: (!subtitles.is_empty()).then(|| SUBTITLES_GROUP.to_owned()),
        ..VariantStream::default()
    }
}

fn pictures_variant(video: &VodRendition, query: &str) -> Option<VariantStream> {
    let VodKind::Video { width, height, range, .. } = video.kind else { return None };
    let pictures = pictures(video);
    if pictures.is_empty() {
        return None;
    }
    let (peak, average) = bandwidth(pictures.iter().map(|picture| (picture.len, picture.secs)));
    Some(VariantStream {
        is_i_frame: true,
        uri: address(video, PICTURES_PLAYLIST, query),
        bandwidth: peak,
        average_bandwidth: Some(average),
        codecs: Some(video.codecs.clone()),
        resolution: Some(Resolution { width: width.into(), height: height.into() }),
        other_attributes: unquoted(range.map(|range| ("VIDEO-RANGE", range))),
        ..VariantStream::default()
    })
}

fn alternative(group: &str, one: &VodRendition, query: &str) -> Option<AlternativeMedia> {
    let (media_type, label, channels, forced, hearing_impaired) = match &one.kind {
        VodKind::Audio { channels, label } => {
            (AlternativeMediaType::Audio, label, Some(channels.to_string()), false, false)
        }
        VodKind::Subtitles { label, forced, hearing_impaired } => {
            (AlternativeMediaType::Subtitles, label, None, *forced, *hearing_impaired)
        }
        VodKind::Video { .. } => return None,
    };
    // Apple's authoring specification §4: what describes sounds says so.
    let characteristics = hearing_impaired.then(|| {
        "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound".to_owned()
    });
    Some(AlternativeMedia {
        media_type,
        uri: Some(address(one, MEDIA_PLAYLIST, query)),
        group_id: group.to_owned(),
        language: Some(quotable(&label.language)),
        name: quotable(&label.name),
        default: label.is_default,
        // Forced text is chosen by the language of the sound (RFC 8216bis §4.4.6.1).
        autoselect: true,
        forced,
        characteristics,
        channels,
        ..AlternativeMedia::default()
    })
}

/// RFC 8216bis §4.2: a quoted string has no line breaks and no quotes.
fn quotable(text: &str) -> String {
    text.chars()
        .map(|character| if character == '"' { '\'' } else { character })
        .filter(|character| !character.is_control())
        .collect()
}

/// A rendition's media playlist. `target_secs` is the asset's, the same for all of it.
pub fn media(one: &VodRendition, target_secs: u64, encryption: Option<&Encryption>, query: &str) -> String {
    let extension = if matches!(one.kind, VodKind::Subtitles { .. }) { "vtt" } else { "m4s" };
    let mut segments: Vec<MediaSegment> = one
        .segments
        .iter()
        .enumerate()
        .map(|(number, segment)| MediaSegment {
            uri: format!("{number}.{extension}{query}"),
            duration: segment.secs as f32,
            ..MediaSegment::default()
        })
        .collect();
    begin(&mut segments, one, encryption, query);
    playlist(segments, one, target_secs, false)
}

/// A rendition's I-frame playlist (RFC 8216bis §4.4.3.6).
pub fn i_frames(video: &VodRendition, target_secs: u64, query: &str) -> String {
    let mut segments: Vec<MediaSegment> = pictures(video)
        .into_iter()
        .map(|picture| MediaSegment {
            uri: format!("{}.m4s{query}", picture.segment),
            duration: picture.secs as f32,
            byte_range: Some(ByteRange { length: picture.len, offset: Some(picture.offset) }),
            ..MediaSegment::default()
        })
        .collect();
    begin(&mut segments, video, None, query);
    playlist(segments, video, target_secs, true)
}

/// A picture of an I-frame playlist: it lasts until the next, or the end of what there is.
struct Listed {
    segment: usize,
    offset: u64,
    len: u64,
    secs: f64,
}

fn pictures(video: &VodRendition) -> Vec<Listed> {
    let mut from = 0.0;
    let mut listed: Vec<(Listed, f64)> = Vec::new();
    for (number, segment) in video.segments.iter().enumerate() {
        for picture in &segment.pictures {
            let at = from + picture.at_secs;
            if let Some((before, began)) = listed.last_mut() {
                before.secs = at - *began;
            }
            listed.push((Listed { segment: number, offset: picture.offset, len: picture.len, secs: 0.0 }, at));
        }
        from += segment.secs;
    }
    if let Some((last, began)) = listed.last_mut() {
        last.secs = from - *began;
    }
    listed.into_iter().map(|(listed, _)| listed).collect()
}

/// What stands before the first segment and counts for all.
fn begin(segments: &mut [MediaSegment], one: &VodRendition, encryption: Option<&Encryption>, query: &str) {
    let Some(first) = segments.first_mut() else { return };
    if !matches!(one.kind, VodKind::Subtitles { .. }) {
        first.map = Some(Map { uri: format!("{INIT}{query}"), ..Map::default() });
    }
    // m3u8-rs writes EXT-X-KEY before EXT-X-MAP would count for it: the init segment stays clear.
    first.key = encryption.map(|encryption| Key {
        method: KeyMethod::AES128,
        uri: Some(encryption.key_uri.clone()),
        ..Key::default()
    });
}

fn playlist(segments: Vec<MediaSegment>, one: &VodRendition, target_secs: u64, i_frames_only: bool) -> String {
    let playlist = MediaPlaylist {
        version: Some(VERSION),
        target_duration: target_secs,
        segments,
        end_list: one.is_whole,
        playlist_type: Some(if one.is_whole { MediaPlaylistType::Vod } else { MediaPlaylistType::Event }),
        i_frames_only,
        independent_segments: true,
        ..MediaPlaylist::default()
    };
    written(|text| playlist.write_to(text))
}

fn unquoted<'a>(named: Option<(&'a str, &'a str)>) -> Option<HashMap<String, QuotedOrUnquoted>> {
    named.map(|(name, value)| HashMap::from([(name.into(), QuotedOrUnquoted::Unquoted(value.into()))]))
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut text = Vec::with_capacity(4_096);
    write(&mut text).expect("writing to memory does not fail");
    String::from_utf8(text).expect("the writer writes strings")
}

#[cfg(test)]
mod tests;
