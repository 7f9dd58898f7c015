//! Who wants to publish what: addresses and names as encoders split them, and the secrets in them.
//!
//! The two boxes of an encoder arrive in many cuts: app `live` and name `room?key=sk_…`; app `live/room?key=sk_…` and
//! an empty name; app `live` and name `sk_…`. Joined again, they are one path and one query.

use crate::error::Error;
use crate::limits::NAME_BYTES_MAX;

/// What a stream key begins with; a name that does is one.
const KEY_PREFIX: &str = "sk_";
/// The query parameters that carry a stream key and a playback token.
const KEY_PARAMETER: &str = "key";
const TOKEN_PARAMETER: &str = "t";
/// The longest encoder name that is kept.
const ENCODER_CHARS_MAX: usize = 100;

/// A secret from the peer. Has neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text, for a comparison in constant time. It must not reach a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A request that waits for an answer. Has no `Debug`: it holds a secret.
#[derive(Clone)]
pub struct PublishRequest {
    /// The application.
    pub app: String,
    /// The room that was named, if one was; a key alone names its own. Unchecked, at most
    /// [`NAME_BYTES_MAX`] bytes.
    pub name: Option<String>,
    /// The stream key, if one came as name or as `?key=`.
    pub key: Option<Secret>,
    /// What the encoder wants to happen to the stream.
    pub mode: PublishMode,
    /// Who is asking.
    pub encoder: Encoder,
}

/// The publishing type, RTMP §7.2.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishMode {
    /// Nothing is kept.
    Live,
    /// A new recording.
    Record,
    /// More of a recording.
    Append,
}

impl PublishMode {
    /// Everything unknown, and nothing, is live.
    pub(super) fn parse(text: &str) -> PublishMode {
        match text {
            "record" => PublishMode::Record,
            "append" | "appendWithGap" => PublishMode::Append,
            _ => PublishMode::Live,
        }
    }
}

/// The program at the other end, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// `flashVer`, without control characters and not longer than a line.
    pub flash_ver: String,
}

impl Encoder {
    pub(super) fn new(flash_ver: &str) -> Encoder {
        Encoder { flash_ver: printable(flash_ver) }
    }
}

/// `text` as it may stand in a log or on a page.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(ENCODER_CHARS_MAX).collect()
}

/// Where a client connected to: path segments and query of `app`.
pub(super) struct Address {
    segments: Vec<String>,
    query: String,
}

impl Address {
    /// From `app`, or from `tcUrl` where an encoder sends no `app`.
    pub(super) fn new(app: &str, tc_url: &str) -> Result<Address, Error> {
        let app = unquoted(app);
        let from_url = unquoted(tc_url).split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let text = if app.is_empty() { from_url.map_or("", |(_, path)| path) } else { app };
        if text.len() > NAME_BYTES_MAX {
            return Err(Error::NameTooLong { max: NAME_BYTES_MAX });
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Ok(Address { segments: segments(path).map(str::to_owned).collect(), query: query.to_owned() })
    }

    /// The application.
    pub(super) fn app(&self) -> &str {
        self.segments.first().map_or("", String::as_str)
    }

    /// Room and key, from this address and the name that `publish` carries.
    pub(super) fn target(&self, stream_name: &str) -> Result<(Option<String>, Option<Secret>), Error> {
        let (name, in_query) = self.named(stream_name, KEY_PARAMETER)?;
        Ok(match name {
            Some(name) if name.starts_with(KEY_PREFIX) => (None, Some(Secret(name))),
            name => (name, in_query),
        })
    }

    /// Room and playback token, from this address and the name that `play` carries.
    pub(super) fn play_target(&self, stream_name: &str) -> Result<(Option<String>, Option<Secret>), Error> {
        self.named(stream_name, TOKEN_PARAMETER)
    }

    fn named(&self, stream_name: &str, secret: &str) -> Result<(Option<String>, Option<Secret>), Error> {
        let text = unquoted(stream_name);
        if text.len() > NAME_BYTES_MAX {
            return Err(Error::NameTooLong { max: NAME_BYTES_MAX });
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let name = self.segments.iter().skip(1).map(String::as_str).chain(segments(path)).collect::<Vec<_>>().join("/");
        let in_query = parameter(query, secret).or_else(|| parameter(&self.query, secret));
        Ok((Some(name).filter(|name| !name.is_empty()), in_query))
    }
}

/// Without the quotation marks and spaces that come along when an address is pasted.
fn unquoted(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || matches!(character, '"' | '\''))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// The first non-empty value of `name`, percent-decoded. A `?` separates as well: encoders append `?key=` to names
/// that have a query already.
fn parameter(query: &str, name: &str) -> Option<Secret> {
    query
        .split(['&', '?'])
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| Secret(percent_decoded(value)))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let decoded = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(app: &str, tc_url: &str, stream_name: &str, expect: (&str, Option<&str>, Option<&str>)) {
        let address = Address::new(app, tc_url).expect("short");
        let (name, key) = address.target(stream_name).expect("short");
        let found = (address.app(), name.as_deref(), key.as_ref().map(Secret::expose));
        assert_eq!(found, expect, "{app} {tc_url} {stream_name}");
    }

    #[test]
    fn the_boxes_of_encoders_in_every_cut() {
        let room = ("live", Some("demo"), Some("sk_1"));
        check("live", "rtmp://h/live", "demo?key=sk_1", room);
        check("live/demo?key=sk_1", "", "", room);
        check("live/demo", "", "?key=sk_1", room);
        check("live?key=sk_1", "", "demo", room);
        check("/live/", "", "/demo?a=b&key=sk_1", room);
        check("live", "", "demo?a=b?key=sk_1", room);
        check("live", "", "demo?key=%73k_1", room);
        check("", "rtmp://h:1935/live", "demo?key=sk_1", room);
        check("", "\"rtmp://h:1935/live/demo\"", "?key=sk_1", room);
        check("\"live\"", "", " demo?key=sk_1 ", room);
        check("live", "", "sk_1", ("live", None, Some("sk_1")));
        check("live/", "", " sk_1\r\n", ("live", None, Some("sk_1")));
        check("live", "", "sk_1?key=", ("live", None, Some("sk_1")));
        check("live/sk_1", "", "", ("live", None, Some("sk_1")));
    }

    #[test]
    fn players_name_a_room_and_perhaps_a_token() {
        for (app, stream_name, expect) in [
            ("live", "demo", (Some("demo"), None)),
            ("live", "demo?t=eyJ.a.b", (Some("demo"), Some("eyJ.a.b"))),
            ("live?t=x", "demo", (Some("demo"), Some("x"))),
            ("live/demo", "?t=x", (Some("demo"), Some("x"))),
            ("live/demo?t=x", "", (Some("demo"), Some("x"))),
            // A stream key is no playback token, wherever it stands.
            ("live", "sk_1", (Some("sk_1"), None)),
            ("live", "demo?key=sk_1", (Some("demo"), None)),
            ("live", "", (None, None)),
        ] {
            let address = Address::new(app, "").expect("short");
            let (name, token) = address.play_target(stream_name).expect("short");
            assert_eq!((name.as_deref(), token.as_ref().map(Secret::expose)), expect, "{app} {stream_name}");
        }
    }

    #[test]
    fn odd_names_stay_names_without_a_key() {
        check("live", "", "", ("live", None, None));
        check("live", "", "a/b?c", ("live", Some("a/b"), None));
        check("live", "", "../../x", ("live", Some("../../x"), None));
        check("live", "", "demo?key=%zz%4", ("live", Some("demo"), Some("%zz%4")));
        check("", "", "", ("", None, None));
    }

    #[test]
    fn long_names_are_refused_and_long_encoders_cut() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        assert!(Address::new(&long, "").is_err());
        assert!(Address::new("live", "").expect("short").target(&long).is_err());
        assert_eq!(Encoder::new(&long).flash_ver.len(), ENCODER_CHARS_MAX);
        assert_eq!(Encoder::new("FMLE/3.0\r\n\0x").flash_ver, "FMLE/3.0x");
    }
}
