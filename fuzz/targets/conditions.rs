//! What a request asks of a file: encodings, ranges and conditions. Whatever it is, the part lies in the file.
#![no_main]

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use telstar_units::WallTime;

#[allow(dead_code)]
#[path = "../../src/representation.rs"]
mod representation;

use representation::{Validators, Wanted, content_range, takes_gzip, wanted_of};

const FIELDS: [HeaderName; 5] =
    [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::ACCEPT_ENCODING];

fuzz_target!(|input: (u64, i64, &str)| {
    let (len, modified, text) = input;
    if let Wanted::Some(range) = wanted_of(text, len) {
        assert!(range.start < range.end && range.end <= len);
        let said = content_range(Some(&range), len);
        assert_eq!(said, format!("bytes {}-{}/{len}", range.start, range.end - 1));
    }
    // Each line is the value of a field, which come in their order.
    let mut headers = HeaderMap::new();
    for (line, name) in text.lines().zip(FIELDS.iter().cycle()) {
        headers.extend(HeaderValue::try_from(line).ok().map(|value| (name.clone(), value)));
    }
    let _ = takes_gzip(&headers);
    for etag in ["\"a.1\"", "W/\"a.1\""] {
        for modified in [None, Some(WallTime(modified))] {
            let of = Validators { etag: etag.to_owned(), modified };
            let _ = of.are_known(&headers);
            if let Wanted::Some(range) = of.wanted(&headers, len) {
                assert!(range.start < range.end && range.end <= len);
            }
            of.write(&mut HeaderMap::new());
        }
    }
});
