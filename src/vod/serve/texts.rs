//! What is written of an asset: its playlists and the cues of its storyboard.
//!
//! In: a listing. Out: text, made when somebody first asks for it and kept with the listing, which never changes.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use telstar_hls::Rendered;
use telstar_hls::vod::{Encryption, VodKind, i_frames, media, multivariant};
use telstar_transcode::file::CLOCK;
use telstar_units::BlobName;

use crate::vod::listings::{Listed, ListedImages, Listing, as_playlist};

/// Where the key is, from a rendition's folder.
const KEY_URI: &str = "../key";
/// Bytes of a hash that stand in a tag.
const TAG_BYTES: usize = 12;
/// Characters of a blob's name that tell one from the next of the same rendition.
const VERSION_LEN: usize = 8;
/// The parameter of [`version_of`].
pub const VERSION_PARAMETER: &str = "v";

/// A text that is sent any number of times.
#[derive(Debug)]
pub struct Text {
    /// It.
    pub rendered: Rendered,
    /// Its tag. Weak, because it is the same with another encoding.
    pub etag: String,
}

impl Text {
    /// Of this text.
    pub fn new(text: String) -> Text {
        let hash = Sha256::digest(text.as_bytes());
        let mut etag = "W/\"".to_owned();
        for byte in hash.iter().take(TAG_BYTES) {
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        Text { rendered: Rendered::new(text), etag }
    }
}

type Once = OnceLock<Option<Arc<Text>>>;

/// What is written of a rendition.
#[derive(Clone, Debug, Default)]
pub struct RenditionTexts {
    media: Once,
    pictures: Once,
}

/// What is written of an asset as a whole.
#[derive(Clone, Debug, Default)]
pub struct ListingTexts {
    multivariant: Once,
}

/// What tells a rendition from one that was made before it: it stands in the addresses of its playlists and
/// segments, so that caches keep segments for ever and never mix the two.
pub fn version_of(listed: &Listed) -> &str {
    version_of_blob(&listed.blob)
}

/// The same of a blob.
pub fn version_of_blob(blob: &BlobName) -> &str {
    let name = blob.as_str();
    name.get(..VERSION_LEN).unwrap_or(name)
}

/// The multivariant playlist, once something can be played.
pub fn multivariant_of(listing: &Listing, is_encrypted: bool) -> Option<Arc<Text>> {
    let text = listing.texts.multivariant.get_or_init(|| {
        if !listing.is_playable() {
            return None;
        }
        let mut renditions = listing.playable();
        if is_encrypted {
            // Parts of what is encrypted cannot be decrypted by themselves, so there is nothing for I-frame playlists.
            let segments = renditions.iter_mut().flat_map(|one| &mut one.segments);
            segments.for_each(|segment| segment.pictures.clear());
        }
        Some(Arc::new(Text::new(multivariant(&renditions))))
    });
    text.clone()
}

/// A rendition's media playlist.
pub fn media_of(listing: &Listing, listed: &Listed, is_encrypted: bool) -> Option<Arc<Text>> {
    let text = listed.playlists.media.get_or_init(|| {
        let facts = listing.facts.as_ref()?;
        let one = as_playlist(listed, &facts.source)?;
        let is_text = matches!(one.kind, VodKind::Subtitles { .. });
        let encryption = (is_encrypted && !is_text).then(|| Encryption { key_uri: KEY_URI.to_owned() });
        let target_secs = facts.map.target_duration_secs().unsigned_abs();
        Some(Arc::new(Text::new(media(&one, target_secs, encryption.as_ref()))))
    });
    text.clone()
}

/// A rendition's I-frame playlist, if it has one.
pub fn pictures_of(listing: &Listing, listed: &Listed, is_encrypted: bool) -> Option<Arc<Text>> {
    let text = listed.playlists.pictures.get_or_init(|| {
        let facts = listing.facts.as_ref()?;
        let one = as_playlist(listed, &facts.source)?;
        let has_pictures = one.segments.iter().any(|segment| !segment.pictures.is_empty());
        if is_encrypted || !has_pictures || !matches!(one.kind, VodKind::Video { .. }) {
            return None;
        }
        let target_secs = facts.map.target_duration_secs().unsigned_abs();
        Some(Arc::new(Text::new(i_frames(&one, target_secs))))
    });
    text.clone()
}

/// The storyboard's cues (WebVTT): each is a part of a sheet, by the Media Fragments of its address. `query` is added
/// to each address, such as `t=…`.
pub fn storyboard_of(listing: &Listing, query: Option<&str>) -> Option<String> {
    let ListedImages { blob, images, layout } = listing.storyboard.as_ref()?;
    let (layout, facts) = (layout.as_ref()?, listing.facts.as_ref()?);
    let (columns, width, height) = (usize::from(layout.columns.max(1)), layout.width, layout.height);
    let version = version_of_blob(blob);
    let query = query.map(|query| format!("&{query}")).unwrap_or_default();
    let tiles: Vec<(usize, usize, i64)> = images
        .iter()
        .enumerate()
        .flat_map(|(sheet, image)| image.times.iter().enumerate().map(move |(place, at)| (sheet, place, *at)))
        .collect();
    let ends = tiles.iter().skip(1).map(|(_, _, at)| *at).chain([facts.map.end()]);
    let mut text = "WEBVTT\n".to_owned();
    for ((sheet, place, from), to) in tiles.iter().zip(ends).filter(|((_, _, from), to)| from < to) {
        let (x, y) = (place % columns * usize::from(width), place / columns * usize::from(height));
        let _ = write!(
            text,
            "\n{} --> {}\nstoryboard/{sheet}.jpg?{VERSION_PARAMETER}={version}{query}#xywh={x},{y},{width},{height}\n",
            timestamp(*from),
            timestamp(to),
        );
    }
    Some(text)
}

/// WebVTT §4.1: hours, minutes, seconds and milliseconds.
fn timestamp(ticks: i64) -> String {
    let millis = ticks.max(0) * 1_000 / i64::from(CLOCK.hz());
    let (secs, millis) = (millis / 1_000, millis % 1_000);
    format!("{:02}:{:02}:{:02}.{millis:03}", secs / 3_600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use telstar_transcode::file::{Source, Storyboard};
    use telstar_transcode::map::SegmentMap;

    use super::*;
    use crate::vod::jobs::records::{Facts, KeptImage};

    const SECOND: i64 = 90_000;

    fn listing() -> Listing {
        let source = Source {
            container: "mp4".to_owned(),
            duration: 7 * SECOND,
            shift: 0,
            video: None,
            audio: Vec::new(),
            subtitles: Vec::new(),
            left_out: Vec::new(),
        };
        let map = SegmentMap::even(7 * SECOND).expect("short");
        let sheet = |offset, times: &[i64]| {
            let times = times.iter().map(|secs| secs * SECOND).collect();
            KeptImage { offset, len: 10, width: 320, height: 180, times }
        };
        Listing {
            facts: Some(Facts { source, map, encoded_because: None }),
            storyboard: Some(ListedImages {
                blob: BlobName::parse("0123456789abcdefghijkm").expect("a name"),
                images: vec![sheet(0, &[0, 2, 4]), sheet(10, &[6])],
                layout: Some(Storyboard { every: 2 * SECOND, width: 160, height: 90, columns: 2, rows: 2 }),
            }),
            ..Listing::default()
        }
    }

    #[test]
    fn a_storyboard_names_a_part_of_a_sheet_for_every_moment() {
        let text = storyboard_of(&listing(), None).expect("there is one");
        let expect = "WEBVTT\n\n\
                      00:00:00.000 --> 00:00:02.000\nstoryboard/0.jpg?v=01234567#xywh=0,0,160,90\n\n\
                      00:00:02.000 --> 00:00:04.000\nstoryboard/0.jpg?v=01234567#xywh=160,0,160,90\n\n\
                      00:00:04.000 --> 00:00:06.000\nstoryboard/0.jpg?v=01234567#xywh=0,90,160,90\n\n\
                      00:00:06.000 --> 00:00:07.000\nstoryboard/1.jpg?v=01234567#xywh=0,0,160,90\n";
        assert_eq!(text, expect);
        let with_token = storyboard_of(&listing(), Some("t=abc")).expect("there is one");
        assert!(with_token.contains("storyboard/1.jpg?v=01234567&t=abc#xywh=0,0,160,90\n"), "{with_token}");
        assert_eq!(storyboard_of(&Listing::default(), None), None);
    }

    #[test]
    fn nothing_is_listed_before_it_can_be_played() {
        assert!(multivariant_of(&Listing::default(), false).is_none());
    }

    #[test]
    fn times_are_those_of_webvtt() {
        for (ticks, expect) in [(0, "00:00:00.000"), (-1, "00:00:00.000"), (3_661 * SECOND + 45_000, "01:01:01.500")] {
            assert_eq!(timestamp(ticks), expect);
        }
    }

    #[test]
    fn a_tag_is_weak_and_of_the_text() {
        let (one, other) = (Text::new("a".to_owned()), Text::new("b".to_owned()));
        assert!(one.etag.starts_with("W/\"") && one.etag.ends_with('"') && one.etag != other.etag);
        assert_eq!(one.etag, Text::new("a".to_owned()).etag);
    }
}
