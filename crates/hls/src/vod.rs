//! Playlists of an asset on demand, through `m3u8-rs`.
//!
//! In: what is where in each rendition. Out: text. All media playlists of an asset have the same segments in time; one of a
//! rendition that is still being made is an EVENT playlist that grows at its end, and becomes a VOD playlist with the last segment
//! (RFC 8216bis §4.4.3.5).

mod multivariant;

use m3u8_rs::{ByteRange, Key, KeyMethod, Map, MediaPlaylist, MediaPlaylistType, MediaSegment};

pub use self::multivariant::multivariant;

/// EXT-X-MAP outside of I-frame playlists (RFC 8216bis §8), and I-FRAMES-ONLY with byte ranges, need less.
const VERSION: usize = 6;
/// The media playlist of a rendition, in its folder.
const MEDIA_PLAYLIST: &str = "index.m3u8";
/// The init segment of a rendition, in its folder.
const INIT: &str = "init.mp4";

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
    /// What stands behind each address of it and tells it from one that took its place, such as `?v=…`.
    pub query: String,
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

/// A rendition's media playlist. `target_secs` is the asset's, the same for all of it.
pub fn media(one: &VodRendition, target_secs: u64, encryption: Option<&Encryption>) -> String {
    let extension = if matches!(one.kind, VodKind::Subtitles { .. }) { "vtt" } else { "m4s" };
    let mut segments: Vec<MediaSegment> = one
        .segments
        .iter()
        .enumerate()
        .map(|(number, segment)| MediaSegment {
            uri: format!("{number}.{extension}{}", one.query),
            duration: segment.secs as f32,
            ..MediaSegment::default()
        })
        .collect();
    begin(&mut segments, one, encryption);
    playlist(segments, one, target_secs, false)
}

/// A rendition's I-frame playlist (RFC 8216bis §4.4.3.6).
pub fn i_frames(video: &VodRendition, target_secs: u64) -> String {
    let mut segments: Vec<MediaSegment> = pictures(video)
        .into_iter()
        .map(|picture| MediaSegment {
            uri: format!("{}.m4s{}", picture.segment, video.query),
            duration: picture.secs as f32,
            byte_range: Some(ByteRange { length: picture.len, offset: Some(picture.offset) }),
            ..MediaSegment::default()
        })
        .collect();
    begin(&mut segments, video, None);
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
fn begin(segments: &mut [MediaSegment], one: &VodRendition, encryption: Option<&Encryption>) {
    let Some(first) = segments.first_mut() else { return };
    if !matches!(one.kind, VodKind::Subtitles { .. }) {
        first.map = Some(Map { uri: format!("{INIT}{}", one.query), ..Map::default() });
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

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut text = Vec::with_capacity(4_096);
    write(&mut text).expect("writing to memory does not fail");
    String::from_utf8(text).expect("the writer writes strings")
}

#[cfg(test)]
mod tests;
