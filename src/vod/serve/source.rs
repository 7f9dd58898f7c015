//! The source as a file: what it is called and of what type, so that no browser takes it for a page.

use axum::http::HeaderValue;
use telstar_store::Asset;

use crate::vod::jobs::records::Facts;

/// Characters of a title in a file's name.
const NAME_CHARS_MAX: usize = 100;

/// Containers as FFmpeg calls them: the beginning of the name, the media type, and the ending of a file's name. Those
/// of MP4 and Matroska are told apart by whether there is a picture.
const CONTAINERS: [(&str, &str, &str); 18] = [
    ("mov", "video/mp4", "mp4"),
    ("mp4", "video/mp4", "mp4"),
    ("webm", "video/webm", "webm"),
    ("matroska", "video/x-matroska", "mkv"),
    ("mpegts", "video/mp2t", "ts"),
    ("mpegvideo", "video/mpeg", "mpg"),
    ("mpeg", "video/mpeg", "mpg"),
    ("avi", "video/x-msvideo", "avi"),
    ("flv", "video/x-flv", "flv"),
    ("asf", "video/x-ms-asf", "wmv"),
    ("mxf", "application/mxf", "mxf"),
    ("ogg", "video/ogg", "ogg"),
    ("mp3", "audio/mpeg", "mp3"),
    ("flac", "audio/flac", "flac"),
    ("wav", "audio/wav", "wav"),
    ("aac", "audio/aac", "aac"),
    ("aiff", "audio/aiff", "aiff"),
    ("ac3", "audio/ac3", "ac3"),
];

/// A media type, and the ending of a file's name. Of what nobody has looked at yet, bytes.
pub fn kind_of(facts: Option<&Facts>) -> (&'static str, &'static str) {
    let Some(facts) = facts else { return ("application/octet-stream", "bin") };
    let (container, has_picture) = (facts.source.container.as_str(), facts.source.video.is_some());
    let found = CONTAINERS.iter().find(|(name, ..)| container.starts_with(name));
    match found {
        Some((_, "video/mp4", _)) if !has_picture => ("audio/mp4", "m4a"),
        Some((_, "video/x-matroska", _)) if !has_picture => ("audio/x-matroska", "mka"),
        Some((_, "video/ogg", _)) if !has_picture => ("audio/ogg", "ogg"),
        Some((_, media_type, ending)) => (*media_type, *ending),
        None => ("application/octet-stream", "bin"),
    }
}

/// `Content-Disposition` (RFC 6266): to be kept, under the asset's title. The plain name is for those that do not read
/// the other.
pub fn disposition(asset: &Asset, ending: &str) -> HeaderValue {
    let stem: String = asset.title.chars().take(NAME_CHARS_MAX).map(in_a_name).collect();
    let name = format!("{stem}.{ending}");
    let plain: String = name.chars().map(|character| if is_plain(character) { character } else { '_' }).collect();
    let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", extended(&name));
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// What parts folders, and what no file system takes, is none of a name.
fn in_a_name(character: char) -> char {
    match character {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        character if character.is_control() => '_',
        character => character,
    }
}

/// It stands in a quoted string as it is. A percent sign is decoded by some that should not.
fn is_plain(character: char) -> bool {
    (character.is_ascii_graphic() || character == ' ') && !matches!(character, '"' | '\\' | '%')
}

/// RFC 8187 §3.2.1: everything but the characters of an attribute is escaped.
fn extended(text: &str) -> String {
    let is_attribute = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    let mut escaped = String::new();
    for byte in text.bytes() {
        match is_attribute(byte) {
            true => escaped.push(char::from(byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use telstar_store::{AssetId, AssetState};
    use telstar_units::{AccountId, AssetName, BlobName, WallTime};

    use super::*;

    fn asset(title: &str) -> Asset {
        Asset {
            id: AssetId(1),
            name: AssetName::parse("0123456789abcdefghijkm").expect("a name"),
            owner: AccountId(1),
            title: title.to_owned(),
            open: false,
            embed_origins: Vec::new(),
            state: AssetState::Ready,
            source: BlobName::parse("0123456789abcdefghijkm").expect("a name"),
            source_len: 1,
            facts: String::new(),
            problem: String::new(),
            created_at: WallTime(0),
            ready_at: None,
            updated_at: WallTime(0),
        }
    }

    #[test]
    fn a_source_is_kept_under_its_title_and_under_nothing_else() {
        for (title, expect) in [
            ("Holiday", "attachment; filename=\"Holiday.mp4\"; filename*=UTF-8''Holiday.mp4"),
            ("회의", "attachment; filename=\"__.mp4\"; filename*=UTF-8''%ED%9A%8C%EC%9D%98.mp4"),
            ("a\"; x=\"b", "attachment; filename=\"a_; x=_b.mp4\"; filename*=UTF-8''a_%3B%20x%3D_b.mp4"),
            ("../../etc", "attachment; filename=\".._.._etc.mp4\"; filename*=UTF-8''.._.._etc.mp4"),
            (
                "a\r\nSet-Cookie: b",
                "attachment; filename=\"a__Set-Cookie_ b.mp4\"; filename*=UTF-8''a__Set-Cookie_%20b.mp4",
            ),
            ("100%", "attachment; filename=\"100_.mp4\"; filename*=UTF-8''100%25.mp4"),
        ] {
            assert_eq!(disposition(&asset(title), "mp4"), expect, "{title:?}");
        }
    }

    #[test]
    fn what_nobody_knows_is_bytes() {
        assert_eq!(kind_of(None), ("application/octet-stream", "bin"));
    }
}
