//! The header fields of tus 1.0 as values.
//!
//! In: what clients send, which may be anything. Out: what it says, or which field is wrong and why. Nothing of it is
//! ever sent back as it came: metadata is decoded here and encoded anew ([`Metadata::to_header`]), so that no client
//! puts a field of its own into another's answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Pairs in `Upload-Metadata`. Clients send a handful: a name, a type, what a form adds.
pub const METADATA_PAIRS_MAX: usize = 32;
/// Bytes of a key.
pub const METADATA_KEY_MAX: usize = 64;
/// Bytes of a value, decoded.
pub const METADATA_VALUE_MAX: usize = 2_048;
/// Uploads in one concatenation. Clients send a handful in parallel; more have smaller parts than requests are worth.
pub const CONCAT_PARTS_MAX: usize = 128;

/// A field that does not say what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct BadHeader {
    /// Which.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
}

fn bad<T>(field: &'static str, what: &'static str) -> Result<T, BadHeader> {
    Err(BadHeader { field, what })
}

/// A number of bytes: digits only, as RFC 9110 §8.6 has it for `Content-Length`.
pub fn bytes(field: &'static str, text: &str) -> Result<u64, BadHeader> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return bad(field, "is not a number of bytes");
    }
    // A row holds it with a sign.
    match text.parse::<u64>() {
        Ok(number) if i64::try_from(number).is_ok() => Ok(number),
        _ => bad(field, "is too large"),
    }
}

/// How long an upload will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(u64),
    /// It is told with a later `PATCH` (creation-defer-length).
    Deferred,
}

impl Length {
    /// From `Upload-Length` and `Upload-Defer-Length`, of which exactly one must be there.
    pub fn parse(length: Option<&str>, deferred: Option<&str>) -> Result<Length, BadHeader> {
        match (length, deferred) {
            (Some(length), None) => Ok(Length::Known(bytes("Upload-Length", length)?)),
            (None, Some("1")) => Ok(Length::Deferred),
            (None, Some(_)) => bad("Upload-Defer-Length", "must be 1"),
            (Some(_), Some(_)) => bad("Upload-Defer-Length", "cannot stand beside Upload-Length"),
            (None, None) => bad("Upload-Length", "is missing"),
        }
    }
}

/// `Upload-Metadata`, decoded: keys in their order of the alphabet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, Vec<u8>>);

impl Metadata {
    /// Pairs of a key and a Base64 value, parted by commas; a value may be missing.
    pub fn parse(text: &str) -> Result<Metadata, BadHeader> {
        const FIELD: &str = "Upload-Metadata";
        let mut pairs = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            if pairs.len() == METADATA_PAIRS_MAX {
                return bad(FIELD, "has too many pairs");
            }
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let is_key = |byte: u8| byte.is_ascii_graphic() && byte != b',';
            if key.is_empty() || key.len() > METADATA_KEY_MAX || !key.bytes().all(is_key) {
                return bad(FIELD, "has a key that is no word");
            }
            if value.len() > METADATA_VALUE_MAX.div_ceil(3) * 4 {
                return bad(FIELD, "has a value that is too long");
            }
            let Ok(value) = STANDARD.decode(value.trim()) else { return bad(FIELD, "has a value that is not Base64") };
            if value.len() > METADATA_VALUE_MAX {
                return bad(FIELD, "has a value that is too long");
            }
            if pairs.insert(key.to_owned(), value).is_some() {
                return bad(FIELD, "has a key twice");
            }
        }
        Ok(Metadata(pairs))
    }

    /// A value that is text, without what no line of text has: control characters.
    pub fn text(&self, key: &str) -> Option<String> {
        let text = std::str::from_utf8(self.0.get(key)?).ok()?;
        let text: String = text.chars().filter(|character| !character.is_control()).collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the field says it again, from the decoded values.
    pub fn to_header(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = match value.is_empty() {
                true => write!(text, "{comma}{key}"),
                false => write!(text, "{comma}{key} {}", STANDARD.encode(value)),
            };
        }
        text
    }
}

/// An algorithm of the checksum extension, of which SHA-1 is the mandatory one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 3174.
    Sha1,
    /// FIPS 180-4.
    Sha256,
}

impl Algorithm {
    /// What `Tus-Checksum-Algorithm` lists.
    pub const NAMES: &str = "sha1,sha256";

    fn digest_len(self) -> usize {
        match self {
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        }
    }
}

/// `Upload-Checksum`: what the body of one request must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// How it is counted.
    pub algorithm: Algorithm,
    /// What it must be.
    pub digest: Vec<u8>,
}

impl Checksum {
    /// An algorithm's name and a Base64 digest, parted by a space.
    pub fn parse(text: &str) -> Result<Checksum, BadHeader> {
        const FIELD: &str = "Upload-Checksum";
        let Some((name, digest)) = text.trim().split_once(' ') else { return bad(FIELD, "has no digest") };
        let algorithm = match name.to_ascii_lowercase().as_str() {
            "sha1" => Algorithm::Sha1,
            "sha256" => Algorithm::Sha256,
            _ => return bad(FIELD, "names an algorithm that is not supported"),
        };
        match STANDARD.decode(digest.trim()) {
            Ok(digest) if digest.len() == algorithm.digest_len() => Ok(Checksum { algorithm, digest }),
            _ => bad(FIELD, "has a digest that is none"),
        }
    }
}

/// `Upload-Concat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concat {
    /// This upload is a part of another.
    Partial,
    /// This one is made of those, in their order; a part may be there twice.
    Final(Vec<String>),
}

impl Concat {
    /// `partial`, or `final;` with the addresses of the parts, parted by spaces, absolute or not: the last segment of
    /// each path is the upload's id, and `is_id` says what can be one.
    pub fn parse(text: &str, is_id: impl Fn(&str) -> bool) -> Result<Concat, BadHeader> {
        const FIELD: &str = "Upload-Concat";
        let text = text.trim();
        if text == "partial" {
            return Ok(Concat::Partial);
        }
        let Some(parts) = text.strip_prefix("final;") else { return bad(FIELD, "must be partial or final;…") };
        let mut ids = Vec::new();
        for address in parts.split_ascii_whitespace() {
            if ids.len() == CONCAT_PARTS_MAX {
                return bad(FIELD, "has too many parts");
            }
            let path = address.split(['?', '#']).next().unwrap_or_default();
            match path.rsplit('/').next() {
                Some(id) if is_id(id) => ids.push(id.to_owned()),
                _ => return bad(FIELD, "names what is no upload of this server"),
            }
        }
        if ids.is_empty() { bad(FIELD, "has no parts") } else { Ok(Concat::Final(ids)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_digits_and_stand_alone() {
        assert_eq!(Length::parse(Some("0"), None), Ok(Length::Known(0)));
        assert_eq!(Length::parse(None, Some("1")), Ok(Length::Deferred));
        for (length, deferred) in [
            (Some(""), None),
            (Some("-1"), None),
            (Some("+1"), None),
            (Some("1 "), None),
            (Some("0x10"), None),
            (Some("9223372036854775808"), None),
            (Some("99999999999999999999999"), None),
            (None, Some("0")),
            (None, Some("2")),
            (Some("5"), Some("1")),
            (None, None),
        ] {
            assert!(Length::parse(length, deferred).is_err(), "{length:?} {deferred:?}");
        }
    }

    #[test]
    fn metadata_is_decoded_and_no_field_gets_through_it() {
        let smuggled = STANDARD.encode("a\r\nSet-Cookie: session=1\r\n\r\nb");
        let metadata =
            Metadata::parse(&format!("filename {smuggled},is_confidential, type dmlkZW8vbXA0")).expect("good");
        assert_eq!(metadata.text("filename").as_deref(), Some("aSet-Cookie: session=1b"));
        assert_eq!(metadata.text("type").as_deref(), Some("video/mp4"));
        assert_eq!(metadata.text("is_confidential"), None);
        assert!(metadata.to_header().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
        for wrong in ["a YQ==,a YQ==", "a !", "\u{e9} YQ==", "a YQ", " , ä YQ=="] {
            assert!(Metadata::parse(wrong).is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..=METADATA_PAIRS_MAX).map(|index| format!("k{index} YQ==")).collect();
        assert!(Metadata::parse(&many.join(",")).is_err());
        let long = STANDARD.encode(vec![b'x'; METADATA_VALUE_MAX + 1]);
        assert!(Metadata::parse(&format!("a {long}")).is_err());
    }

    #[test]
    fn a_checksum_has_an_algorithm_and_its_length() {
        let digest = STANDARD.encode([7; 20]);
        let sha1 = Checksum { algorithm: Algorithm::Sha1, digest: vec![7; 20] };
        assert_eq!(Checksum::parse(&format!("sha1 {digest}")), Ok(sha1));
        for wrong in ["sha1", "md5 AAAA", &format!("sha256 {digest}"), "sha1 ****", ""] {
            assert!(Checksum::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_are_known_by_the_last_segment() {
        let is_id = |id: &str| id.len() == 3 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert_eq!(Concat::parse("partial", is_id), Ok(Concat::Partial));
        let whole = Concat::parse("final;/api/v1/uploads/abc https://host/api/v1/uploads/def?x=1 /u/abc", is_id);
        assert_eq!(whole, Ok(Concat::Final(vec!["abc".to_owned(), "def".to_owned(), "abc".to_owned()])));
        for wrong in ["", "Partial", "final", "final;", "final; ", "final;/u/../abcd", "final;/u/abc/", "whole"] {
            assert!(Concat::parse(wrong, is_id).is_err(), "{wrong}");
        }
        let many = format!("final;{}", "/u/abc ".repeat(CONCAT_PARTS_MAX + 1));
        assert!(Concat::parse(&many, is_id).is_err());
    }

    /// Cut off anywhere a field is refused, or says less.
    #[test]
    fn a_field_that_is_cut_off_says_less_or_nothing() {
        let id = "0123456789abcdefghijkm";
        let metadata = format!("title {},type dmlkZW8vbXA0, is_open", STANDARD.encode("a film"));
        let whole = Metadata::parse(&metadata).expect("good");
        let checksum = format!("sha256 {}", STANDARD.encode([7; 32]));
        let concat = format!("final;/u/{id} /u/{id}?x=1");
        let (mut fewer, mut parts) = (0, Vec::new());
        for len in 0..metadata.len() {
            let Ok(cut) = Metadata::parse(&metadata[..len]) else { continue };
            assert!(cut.0.len() <= whole.0.len() && cut != whole, "{len}");
            fewer += 1;
        }
        assert!(fewer > 0);
        for len in 0..checksum.len() {
            assert!(Checksum::parse(&checksum[..len]).is_err(), "{len}");
        }
        for len in 0..concat.len() {
            match Concat::parse(&concat[..len], |part| part == id) {
                Ok(Concat::Final(ids)) => parts.push(ids.len()),
                other => assert!(other.is_err(), "{len}"),
            }
        }
        assert!(parts.is_sorted() && parts.contains(&1) && parts.contains(&2), "{parts:?}");
        for len in 0..7 {
            assert!(Concat::parse(&"partial"[..len], |_| true).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn what_is_said_again_is_what_was_understood(text in "\\PC{0,200}") {
            if let Ok(metadata) = Metadata::parse(&text) {
                prop_assert_eq!(Metadata::parse(&metadata.to_header()), Ok(metadata));
            }
        }

        #[test]
        fn pairs_come_back(pairs in prop::collection::btree_map("[a-zA-Z_.-]{1,64}", prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
            let metadata = Metadata(pairs);
            prop_assert_eq!(Metadata::parse(&metadata.to_header()), Ok(metadata));
        }

        #[test]
        fn anything_is_read_without_harm(text in any::<String>()) {
            let _ = (bytes("x", &text), Checksum::parse(&text), Concat::parse(&text, |id| !id.is_empty()));
        }
    }
}
