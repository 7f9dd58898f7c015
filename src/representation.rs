//! What a request asks of a representation (RFC 9110 §3.2), whoever sends it: an encoding, a range, or word that it has
//! not changed.
//!
//! In: header fields, and what there is. Out: what is to be sent. It knows neither where bytes are nor what they are.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use httpdate::{fmt_http_date, parse_http_date};
use telstar_units::WallTime;

/// RFC 9110 §12.5.3: `gzip` or `*`, unless with a weight of zero.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut star = false;
    for coding in values.flat_map(|value| value.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=').trim();
        let wanted = weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return wanted,
            "*" => star = wanted,
            _ => {}
        }
    }
    star
}

/// Which part is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    All,
    /// These bytes.
    Some(Range<u64>),
    /// Bytes that are not there.
    Nothing,
}

/// Reads `Range`. What is not one range of bytes is ignored, which RFC 9110 §14.2 allows.
pub fn wanted_of(value: &str, len: u64) -> Wanted {
    let Some(spec) = value.strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::All };
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Beyond 64 bits is beyond every file.
        true if !text.is_empty() => Some(text.parse().unwrap_or(u64::MAX)),
        _ => None,
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(suffix)) if first.is_empty() => len.saturating_sub(suffix)..len,
        _ => return Wanted::All,
    };
    if range.start >= range.end { Wanted::Nothing } else { Wanted::Some(range) }
}

/// By what a representation is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag, with its quotes and its `W/` if it is weak.
    pub etag: String,
    /// When it changed last.
    pub modified: Option<WallTime>,
}

impl Validators {
    /// A strong tag of these characters, which must be letters, digits, dots and hyphens.
    pub fn strong(tag: &str) -> Validators {
        Validators { etag: format!("\"{tag}\""), modified: None }
    }

    /// The client has it already (RFC 9110 §13.2.2): by its tag if it names any, else by its date.
    pub fn are_known(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            // RFC 9110 §8.8.3.2: the weak comparison.
            let own = self.etag.trim_start_matches("W/");
            let mut named = tags.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
            return named.any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == own);
        }
        let since = text(headers, &header::IF_MODIFIED_SINCE).and_then(|date| parse_http_date(date).ok());
        since.zip(self.modified).is_some_and(|(since, modified)| whole_secs(modified) <= since)
    }

    /// The part of `len` bytes that is wanted. With `If-Range` only if it is of this representation (RFC 9110 §13.1.5).
    pub fn wanted(&self, headers: &HeaderMap, len: u64) -> Wanted {
        let Some(range) = text(headers, &header::RANGE) else { return Wanted::All };
        let is_of_this = text(headers, &header::IF_RANGE).is_none_or(|value| match parse_http_date(value) {
            Ok(date) => self.modified.is_some_and(|modified| whole_secs(modified) == date),
            // The strong comparison: a weak tag is equal to none.
            Err(_) => value.trim() == self.etag && !self.etag.starts_with("W/"),
        });
        if is_of_this { wanted_of(range, len) } else { Wanted::All }
    }

    /// Says them in an answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.extend(HeaderValue::try_from(&self.etag).ok().map(|etag| (header::ETAG, etag)));
        let modified = self.modified.and_then(http_date);
        headers.extend(modified.map(|date| (header::LAST_MODIFIED, date)));
    }
}

/// Where a part is in the whole (RFC 9110 §14.4); `None` is said of a part that is not there.
pub fn content_range(range: Option<&Range<u64>>, len: u64) -> HeaderValue {
    let text = match range {
        Some(range) => format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1)),
        None => format!("bytes */{len}"),
    };
    HeaderValue::try_from(text).expect("letters and digits make a header")
}

/// A date as RFC 9110 §5.6.7 has it, if it is one that can be written.
pub fn http_date(at: WallTime) -> Option<HeaderValue> {
    /// The year 9999 ends then, and with it what four digits can say.
    const END_SECS: u64 = 253_402_300_800;
    (at.unix_secs() < END_SECS).then(|| HeaderValue::try_from(fmt_http_date(whole_secs(at))).ok()).flatten()
}

fn whole_secs(at: WallTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(at.unix_secs())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_anything_else_ignored() {
        for (value, expect) in [
            ("bytes=0-3", Wanted::Some(0..4)),
            ("bytes=4-", Wanted::Some(4..10)),
            ("bytes=-3", Wanted::Some(7..10)),
            ("bytes=-30", Wanted::Some(0..10)),
            ("bytes=2-9007199254740991", Wanted::Some(2..10)),
            ("bytes=0-99999999999999999999999", Wanted::Some(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("items=0-1", Wanted::All),
        ] {
            assert_eq!(wanted_of(value, 10), expect, "{value}");
        }
    }

    #[test]
    fn a_range_that_is_cut_off_anywhere_is_ignored_or_lies_in_the_file() {
        for whole in ["bytes=12-345", "bytes=-345", "bytes=345-"] {
            for cut in 0..whole.len() {
                match wanted_of(&whole[..cut], 400) {
                    Wanted::Some(range) => assert!(range.start < range.end && range.end <= 400, "{whole} {cut}"),
                    Wanted::All => {}
                    Wanted::Nothing => panic!("{whole} {cut}: all of these are there"),
                }
            }
        }
        let of = Validators { modified: Some(AT), ..Validators::strong("a.1") };
        for whole in ["\"a.1\"", DATE] {
            for cut in 0..whole.len() {
                let asked = headers(&[("range", "bytes=0-1"), ("if-range", &whole[..cut])]);
                assert_eq!(of.wanted(&asked, 10), Wanted::All, "{whole} {cut}");
                let asked = headers(&[("if-none-match", &whole[..cut])]);
                assert!(!of.are_known(&asked), "{whole} {cut}");
            }
        }
    }

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (value, expect) in [
            ("gzip, deflate, br", true),
            ("GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(&[("accept-encoding", value)])), expect, "{value}");
        }
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        fields.iter().map(field).collect()
    }

    /// RFC 9110 §5.6.7's own example.
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AT: WallTime = WallTime(784_111_777 * 1_000_000 + 999_999);

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let of = Validators { modified: Some(AT), ..Validators::strong("a.1") };
        for (fields, expect) in [
            (&[][..], false),
            (&[("if-none-match", "\"a.1\"")], true),
            (&[("if-none-match", "\"b\", W/\"a.1\"")], true),
            (&[("if-none-match", "*")], true),
            (&[("if-none-match", "\"b\"")], false),
            (&[("if-modified-since", DATE)], true),
            (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], false),
            (&[("if-modified-since", "yesterday")], false),
            // The tag counts before the date.
            (&[("if-none-match", "\"b\""), ("if-modified-since", DATE)], false),
        ] {
            assert_eq!(of.are_known(&headers(fields)), expect, "{fields:?}");
        }
        assert!(!Validators::strong("a").are_known(&headers(&[("if-modified-since", DATE)])), "there is no date");
    }

    #[test]
    fn a_range_of_something_else_is_all_of_this() {
        let of = Validators { modified: Some(AT), ..Validators::strong("a.1") };
        let weak = Validators { etag: "W/\"a.1\"".to_owned(), modified: None };
        for (validators, if_range, expect) in [
            (&of, None, Wanted::Some(0..2)),
            (&of, Some("\"a.1\""), Wanted::Some(0..2)),
            (&of, Some("W/\"a.1\""), Wanted::All),
            (&of, Some("\"b\""), Wanted::All),
            (&of, Some(DATE), Wanted::Some(0..2)),
            (&of, Some("Sun, 06 Nov 1994 08:49:38 GMT"), Wanted::All),
            (&weak, Some("W/\"a.1\""), Wanted::All),
            (&weak, Some(DATE), Wanted::All),
        ] {
            let mut asked = headers(&[("range", "bytes=0-1")]);
            if let Some(value) = if_range {
                asked.insert(header::IF_RANGE, HeaderValue::from_str(value).expect("a value"));
            }
            assert_eq!(validators.wanted(&asked, 10), expect, "{if_range:?}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(AT).expect("a date"), DATE);
        assert_eq!(http_date(WallTime(i64::MAX)), None);
        let mut said = HeaderMap::new();
        Validators { modified: Some(AT), ..Validators::strong("a") }.write(&mut said);
        assert_eq!(said[header::ETAG], "\"a\"");
        assert_eq!(said[header::LAST_MODIFIED], DATE);
    }
}
