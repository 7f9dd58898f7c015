//! The texts and ids that clients send, checked as they are read: what is too long or malformed never becomes a value.
//!
//! In: JSON. Out: newtypes that keep their promise. A refusal is answered `bad_request` by [`super::parse`].

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use telstar_units::{ParticipantId, TrackId};
use unicode_normalization::UnicodeNormalization;

use crate::limits::{
    CANDIDATE_BYTES_MAX, DATA_BYTES_MAX, LABEL_BYTES_MAX, METADATA_BYTES_MAX, MID_BYTES_MAX, NAME_CHARS_MAX,
    SDP_BYTES_MAX, SECRET_BYTES_MAX,
};

/// A text with a longest length in bytes.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($max:ident)) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks a text that came from outside.
            pub fn parse(text: String) -> Option<$name> {
                (text.len() <= $max).then_some($name(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                $name::parse(String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("too long"))
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "maxLength": $max })
            }
        }
    };
}

bounded! {
    /// What an application notes about a participant; this server does not read it.
    Metadata(METADATA_BYTES_MAX)
}
bounded! {
    /// What a data message is about, in an application's words.
    Label(LABEL_BYTES_MAX)
}
bounded! {
    /// A session description (RFC 8866).
    Sdp(SDP_BYTES_MAX)
}
bounded! {
    /// `candidate:…` (RFC 8839 §5.1); empty for the end of the candidates (RFC 8838 §8.2).
    Candidate(CANDIDATE_BYTES_MAX)
}
bounded! {
    /// The name of a media section or of a simulcast layer.
    Mid(MID_BYTES_MAX)
}
bounded! {
    /// Proves that a new socket belongs to the client that joined.
    Secret(SECRET_BYTES_MAX)
}

/// The name of a participant or a track for people: NFC, at most 100 characters, nothing that changes how it is laid out.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Name(#[cfg_attr(test, schemars(length(max = "NAME_CHARS_MAX")))] String);

impl Name {
    /// Checks and normalises a name that came from outside.
    pub fn parse(text: &str) -> Option<Name> {
        // A normalised character comes from at least one byte, so that a long text costs nothing here.
        if text.len() > NAME_CHARS_MAX * 32 || text.chars().any(is_layout) {
            return None;
        }
        let name: String = text.nfc().take(NAME_CHARS_MAX + 1).collect();
        (name.chars().count() <= NAME_CHARS_MAX).then_some(Name(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and those that turn the direction of the text around a name (Unicode Technical Report 36 §2.2).
fn is_layout(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        let text = String::deserialize(deserializer)?;
        Name::parse(&text).ok_or_else(|| D::Error::custom("too long, or with control characters"))
    }
}

/// Any JSON of a client's own, with its length in bytes limited.
#[derive(Clone)]
pub struct Payload(Box<RawValue>);

impl Payload {
    /// Checks a value that came from outside.
    pub fn new(value: Box<RawValue>) -> Option<Payload> {
        (value.get().len() <= DATA_BYTES_MAX).then_some(Payload(value))
    }

    /// The value.
    pub fn json(&self) -> &RawValue {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        Payload::new(Box::<RawValue>::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("too long"))
    }
}

/// An id as the wire spells it: a letter and a number.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ident), $letter:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl $name {
            /// Reads an id that came from outside.
            pub fn parse(text: &str) -> Option<$name> {
                let digits = text.strip_prefix($letter)?;
                // One spelling for each number: no sign, no leading zero.
                let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
                digits.parse().ok().filter(|_| is_plain).map(|number| $name($inner(number)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}{}", $letter, self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                $name::parse(&text).ok_or_else(|| D::Error::custom("not an id"))
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($inner).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

id! {
    /// A participant: `p7`.
    ParticipantRef(ParticipantId), "p", "^p(0|[1-9][0-9]*)$"
}
id! {
    /// A track: `t9`.
    TrackRef(TrackId), "t", "^t(0|[1-9][0-9]*)$"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_have_one_spelling() {
        assert_eq!(ParticipantRef::parse("p7"), Some(ParticipantRef(ParticipantId(7))));
        assert_eq!(TrackRef::parse("t18446744073709551615"), Some(TrackRef(TrackId(u64::MAX))));
        for bad in ["", "p", "7", "t7", "P7", "p+7", "p07", "p-1", "p 7", "p7 ", "p18446744073709551616", "p٧"] {
            assert_eq!(ParticipantRef::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_are_normalised_and_bounded() {
        let of = |text: &str| Name::parse(text).map(|name| name.as_str().to_owned());
        assert_eq!(of("e\u{301}"), Some("é".into()));
        assert_eq!(of("회의실"), Some("회의실".into()));
        assert_eq!(of(&"é".repeat(NAME_CHARS_MAX)).map(|name| name.chars().count()), Some(NAME_CHARS_MAX));
        for bad in ["a\nb", "\u{0}", "\u{85}", "\u{202e}evil", &"a".repeat(NAME_CHARS_MAX + 1)] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn an_id_round_trips(number: u64) {
            let id = TrackRef(TrackId(number));
            prop_assert_eq!(TrackRef::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,40}") {
            let _ = (ParticipantRef::parse(&text), Name::parse(&text));
        }
    }
}
