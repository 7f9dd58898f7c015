//! Room names: the slug that stands in every URL, made from a free Unicode title.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest room name in bytes: one letter or digit and 62 more.
pub const ROOM_NAME_LEN_MAX: usize = 63;
/// The longest room title in characters (after NFC). Checked where titles enter, which is the API.
pub const ROOM_TITLE_CHARS_MAX: usize = 100;
/// Names must not begin like a stream key, because RTMP carries either in the same place.
const STREAM_KEY_PREFIX: &str = "sk_";

/// A room's name: `[a-z0-9][a-z0-9-]{0,62}`, never beginning with `sk_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(Arc<str>);

/// Why a text is not a room name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a room name is not empty")]
    Empty,
    /// More than [`ROOM_NAME_LEN_MAX`] bytes.
    #[error("a room name has at most 63 characters")]
    TooLong,
    /// Something outside `[a-z0-9-]`, or a leading hyphen.
    #[error("a room name is made of a-z, 0-9 and hyphens, and begins with a letter or digit")]
    BadCharacter,
}

impl RoomName {
    /// Checks a name that came from outside.
    pub fn parse(text: &str) -> Result<RoomName, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > ROOM_NAME_LEN_MAX {
            return Err(NameError::TooLong);
        }
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.starts_with('-') || text.starts_with(STREAM_KEY_PREFIX) || !text.bytes().all(allowed) {
            return Err(NameError::BadCharacter);
        }
        Ok(RoomName(text.into()))
    }

    /// The slug of a title, or `None` when no character of it can stand in a name (the caller then draws a random one).
    ///
    /// ```
    /// use telstar_units::RoomName;
    /// assert_eq!(RoomName::from_title("Friday  Show #3!").map(|n| n.to_string()), Some("friday-show-3".into()));
    /// assert_eq!(RoomName::from_title("회의실"), None);
    /// ```
    pub fn from_title(title: &str) -> Option<RoomName> {
        let mut slug = String::with_capacity(ROOM_NAME_LEN_MAX);
        for character in title.chars() {
            let character = character.to_ascii_lowercase();
            if character.is_ascii_lowercase() || character.is_ascii_digit() {
                slug.push(character);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
            if slug.len() == ROOM_NAME_LEN_MAX {
                break;
            }
        }
        RoomName::parse(slug.trim_end_matches('-')).ok()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RoomName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_slugs() {
        let longest = "a".repeat(ROOM_NAME_LEN_MAX);
        for good in ["demo", "0", "a-b-", &longest] {
            assert_eq!(RoomName::parse(good).map(|name| name.to_string()).as_deref(), Ok(good));
        }
        let too_long = "a".repeat(ROOM_NAME_LEN_MAX + 1);
        for (bad, error) in [
            ("", NameError::Empty),
            (&too_long, NameError::TooLong),
            ("-a", NameError::BadCharacter),
            ("Demo", NameError::BadCharacter),
            ("a/b", NameError::BadCharacter),
            ("..", NameError::BadCharacter),
            ("a\0", NameError::BadCharacter),
            ("sk_abc", NameError::BadCharacter),
            ("회의실", NameError::BadCharacter),
        ] {
            assert_eq!(RoomName::parse(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn every_slug_of_a_title_is_a_name() {
        for title in ["A", "  x  ", "sk_1", "---", "é1", &"ab ".repeat(60)] {
            if let Some(name) = RoomName::from_title(title) {
                assert_eq!(RoomName::parse(name.as_str()), Ok(name));
            }
        }
    }
}
