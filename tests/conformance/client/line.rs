//! Lines of a playlist and the values of their tags, read strictly (RFC 8216bis §4.1 and §4.2).
//!
//! Nothing is forgiven and nothing is lost: what breaks the grammar becomes a complaint, and reading goes on.

use std::collections::BTreeMap;

/// One line with what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    pub text: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `#EXT…`: the name behind the hash, and what stands behind the colon.
    Tag {
        name: String,
        value: Option<String>,
    },
    Uri,
    Comment,
    Blank,
}

/// Splits a playlist into lines.
pub fn lines(text: &str, complaints: &mut Vec<String>) -> Vec<Line> {
    if text.starts_with('\u{feff}') {
        complaints.push("a byte order mark (§4.1)".into());
    }
    if !text.ends_with('\n') {
        complaints.push("the last line does not end (§4.1)".into());
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<Line> =
        body.split('\n').enumerate().map(|(index, line)| read(index + 1, line, complaints)).collect();
    if lines.first().is_none_or(|line| line.text != "#EXTM3U") {
        complaints.push("the first line is not #EXTM3U (§4.4.1.1)".into());
    }
    lines
}

fn read(number: usize, line: &str, complaints: &mut Vec<String>) -> Line {
    let text = line.strip_suffix('\r').unwrap_or(line);
    if text.chars().any(char::is_control) {
        complaints.push(format!("line {number}: a control character (§4.1)"));
    }
    let kind = if text.is_empty() {
        Kind::Blank
    } else if let Some(tag) = text.strip_prefix("#EXT") {
        let (name, value) = tag.split_once(':').map_or((tag, None), |(name, value)| (name, Some(value.to_owned())));
        if !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-') {
            complaints.push(format!("line {number}: a tag's name has other letters: {text}"));
        }
        Kind::Tag { name: format!("EXT{name}"), value }
    } else if text.starts_with('#') {
        Kind::Comment
    } else {
        if text.contains(char::is_whitespace) {
            complaints.push(format!("line {number}: white space in a URI: {text}"));
        }
        Kind::Uri
    };
    Line { number, text: text.to_owned(), kind }
}

/// A value of an attribute list, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    Quoted(String),
    Bare(String),
}

/// What an attribute must look like (§4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Integer,
    Float,
    SignedFloat,
    Quoted,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any enumerated string.
    AnyWord,
    Resolution,
    Hex,
}

/// Name, form, required.
pub type Attribute = (&'static str, Form, bool);

const YES: Form = Form::Word(&["YES"]);
const YES_NO: Form = Form::Word(&["YES", "NO"]);

/// The attributes of tags that have attribute lists. What stands in no list is ignored (§4.2).
pub const ATTRIBUTES: &[(&str, &[Attribute])] = &[
    (
        "EXT-X-SERVER-CONTROL",
        &[
            ("CAN-SKIP-UNTIL", Form::Float, false),
            ("CAN-SKIP-DATERANGES", YES, false),
            ("HOLD-BACK", Form::Float, false),
            ("PART-HOLD-BACK", Form::Float, false),
            ("CAN-BLOCK-RELOAD", YES, false),
        ],
    ),
    ("EXT-X-PART-INF", &[("PART-TARGET", Form::Float, true)]),
    (
        "EXT-X-PART",
        &[
            ("URI", Form::Quoted, true),
            ("DURATION", Form::Float, true),
            ("INDEPENDENT", YES, false),
            ("BYTERANGE", Form::Quoted, false),
            ("GAP", YES, false),
        ],
    ),
    ("EXT-X-MAP", &[("URI", Form::Quoted, true), ("BYTERANGE", Form::Quoted, false)]),
    (
        "EXT-X-PRELOAD-HINT",
        &[
            ("TYPE", Form::AnyWord, true),
            ("URI", Form::Quoted, true),
            ("BYTERANGE-START", Form::Integer, false),
            ("BYTERANGE-LENGTH", Form::Integer, false),
        ],
    ),
    (
        "EXT-X-RENDITION-REPORT",
        &[("URI", Form::Quoted, true), ("LAST-MSN", Form::Integer, false), ("LAST-PART", Form::Integer, false)],
    ),
    ("EXT-X-SKIP", &[("SKIPPED-SEGMENTS", Form::Integer, true), ("RECENTLY-REMOVED-DATERANGES", Form::Quoted, false)]),
    ("EXT-X-START", &[("TIME-OFFSET", Form::SignedFloat, true), ("PRECISE", YES_NO, false)]),
    (
        "EXT-X-DATERANGE",
        &[
            ("ID", Form::Quoted, true),
            ("CLASS", Form::Quoted, false),
            ("START-DATE", Form::Quoted, false),
            ("END-DATE", Form::Quoted, false),
            ("DURATION", Form::Float, false),
            ("PLANNED-DURATION", Form::Float, false),
            ("END-ON-NEXT", YES, false),
        ],
    ),
    (
        "EXT-X-KEY",
        &[
            ("METHOD", Form::Word(&["NONE", "AES-128", "SAMPLE-AES", "SAMPLE-AES-CTR"]), true),
            ("URI", Form::Quoted, false),
            ("IV", Form::Hex, false),
            ("KEYFORMAT", Form::Quoted, false),
            ("KEYFORMATVERSIONS", Form::Quoted, false),
        ],
    ),
    ("EXT-X-STREAM-INF", STREAM_INF),
    ("EXT-X-I-FRAME-STREAM-INF", I_FRAME_STREAM_INF),
    (
        "EXT-X-MEDIA",
        &[
            ("TYPE", Form::Word(&["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"]), true),
            ("URI", Form::Quoted, false),
            ("GROUP-ID", Form::Quoted, true),
            ("LANGUAGE", Form::Quoted, false),
            ("ASSOC-LANGUAGE", Form::Quoted, false),
            ("NAME", Form::Quoted, true),
            ("DEFAULT", YES_NO, false),
            ("AUTOSELECT", YES_NO, false),
            ("FORCED", YES_NO, false),
            ("INSTREAM-ID", Form::Quoted, false),
            ("CHARACTERISTICS", Form::Quoted, false),
            ("CHANNELS", Form::Quoted, false),
        ],
    ),
];

const STREAM_INF: &[Attribute] = &[
    ("BANDWIDTH", Form::Integer, true),
    ("AVERAGE-BANDWIDTH", Form::Integer, false),
    ("SCORE", Form::Float, false),
    ("CODECS", Form::Quoted, false),
    ("SUPPLEMENTAL-CODECS", Form::Quoted, false),
    ("RESOLUTION", Form::Resolution, false),
    ("FRAME-RATE", Form::Float, false),
    ("HDCP-LEVEL", Form::Word(&["TYPE-0", "TYPE-1", "NONE"]), false),
    ("VIDEO-RANGE", Form::AnyWord, false),
    ("AUDIO", Form::Quoted, false),
    ("VIDEO", Form::Quoted, false),
    ("SUBTITLES", Form::Quoted, false),
    ("PATHWAY-ID", Form::Quoted, false),
];

const I_FRAME_STREAM_INF: &[Attribute] = &[
    ("BANDWIDTH", Form::Integer, true),
    ("AVERAGE-BANDWIDTH", Form::Integer, false),
    ("SCORE", Form::Float, false),
    ("CODECS", Form::Quoted, false),
    ("RESOLUTION", Form::Resolution, false),
    ("VIDEO-RANGE", Form::AnyWord, false),
    ("VIDEO", Form::Quoted, false),
    ("URI", Form::Quoted, true),
];

/// The attributes of one tag.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(BTreeMap<String, Raw>);

impl Attributes {
    /// Reads the list behind `tag`'s colon, and complains about everything that its forms forbid.
    pub fn read(tag: &str, list: &str, complaints: &mut Vec<String>) -> Attributes {
        let mut attributes = Attributes::default();
        let mut complain = |what: &str| complaints.push(format!("{tag}: {what}: {list}"));
        let mut rest = list;
        while !rest.is_empty() {
            let Some((name, behind)) = rest.split_once('=') else {
                complain("an attribute without a value");
                break;
            };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-') {
                complain("an attribute's name has other letters than A to Z, 0 to 9 and -");
            }
            let Some((value, behind)) = value(behind) else {
                complain("a quoted string does not end");
                break;
            };
            if attributes.0.insert(name.to_owned(), value).is_some() {
                complain("an attribute stands twice");
            }
            rest = match behind.strip_prefix(',') {
                Some("") => {
                    complain("a comma at the end");
                    ""
                }
                Some(next) => next,
                None if behind.is_empty() => "",
                None => {
                    complain("something stands behind a quoted string");
                    ""
                }
            };
        }
        attributes.check_forms(tag, list, complaints);
        attributes
    }

    fn check_forms(&self, tag: &str, list: &str, complaints: &mut Vec<String>) {
        let known = ATTRIBUTES.iter().find(|(name, _)| *name == tag).map_or(&[][..], |(_, attributes)| *attributes);
        for (name, form, required) in known {
            match self.0.get(*name) {
                None if *required => complaints.push(format!("{tag} without {name}: {list}")),
                Some(raw) if !has_form(raw, *form) => complaints.push(format!("{tag}: {name} is not {form:?}: {list}")),
                _ => {}
            }
        }
    }

    /// The text of a value, without its quotes.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|raw| match raw {
            Raw::Quoted(text) | Raw::Bare(text) => text.as_str(),
        })
    }

    pub fn float(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }

    pub fn integer(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub fn is_yes(&self, name: &str) -> bool {
        self.text(name) == Some("YES")
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// One value and what follows it.
fn value(text: &str) -> Option<(Raw, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (inside, behind) = quoted.split_once('"')?;
        return Some((Raw::Quoted(inside.to_owned()), behind));
    }
    let end = text.find(',').unwrap_or(text.len());
    Some((Raw::Bare(text[..end].to_owned()), &text[end..]))
}

fn has_form(raw: &Raw, form: Form) -> bool {
    match (raw, form) {
        (Raw::Quoted(_), Form::Quoted) => true,
        (Raw::Bare(text), Form::Integer) => is_integer(text),
        (Raw::Bare(text), Form::Float) => is_float(text),
        (Raw::Bare(text), Form::SignedFloat) => is_float(text.strip_prefix('-').unwrap_or(text)),
        (Raw::Bare(text), Form::Word(words)) => words.contains(&text.as_str()),
        (Raw::Bare(text), Form::AnyWord) => !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"'),
        (Raw::Bare(text), Form::Resolution) => {
            text.split_once('x').is_some_and(|(w, h)| is_integer(w) && is_integer(h))
        }
        (Raw::Bare(text), Form::Hex) => {
            let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
            digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        }
        _ => false,
    }
}

/// §4.2: 1 to 20 digits.
pub fn is_integer(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// §4.2: digits and a point, no sign and no exponent.
pub fn is_float(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tag: &str, list: &str, complaints_expected: usize) {
        let mut complaints = Vec::new();
        Attributes::read(tag, list, &mut complaints);
        assert_eq!(complaints.len(), complaints_expected, "{list}: {complaints:#?}");
    }

    #[test]
    fn an_attribute_list_is_read_to_the_letter() {
        check("EXT-X-PART", r#"DURATION=0.5,URI="a,b=c.m4s",INDEPENDENT=YES"#, 0);
        check("EXT-X-PART", r#"DURATION=0.5,URI=a.m4s"#, 1);
        check("EXT-X-PART", r#"DURATION=-0.5,URI="a""#, 1);
        check("EXT-X-PART", r#"DURATION=1e3,URI="a""#, 1);
        check("EXT-X-PART", r#"DURATION=.5,URI="a""#, 1);
        check("EXT-X-PART", r#"URI="a""#, 1);
        check("EXT-X-PART", r#"DURATION=0.5,URI="a",INDEPENDENT=NO"#, 1);
        check("EXT-X-PART", r#"DURATION=0.5,URI="a","#, 1);
        check("EXT-X-PART", r#"DURATION=0.5,DURATION=0.5,URI="a""#, 1);
        check("EXT-X-PART", r#"DURATION=0.5, URI="a""#, 2);
        check("EXT-X-PART", r#"DURATION=0.5,URI="a"#, 2);
        check("EXT-X-PART", r#"DURATION=0.5,URI="a"b"#, 1);
        check("EXT-X-STREAM-INF", "BANDWIDTH=1000,RESOLUTION=1280x720,X-OURS=any", 0);
        check("EXT-X-STREAM-INF", "BANDWIDTH=1000,RESOLUTION=1280", 1);
    }

    #[test]
    fn a_playlist_begins_with_its_mark_and_ends_its_last_line() {
        for (text, expected) in
            [("#EXTM3U\n", 0), ("#EXTM3U\r\na.m4s\r\n", 0), ("#EXTM3U", 1), ("#EXTINF:1,\n", 1), ("#EXTM3U\na b\n", 1)]
        {
            let mut complaints = Vec::new();
            lines(text, &mut complaints);
            assert_eq!(complaints.len(), expected, "{text:?}: {complaints:?}");
        }
    }
}
