//! What tus clients say of uploads: whatever it is, what is said again is what was understood, and nothing of it is
//! more than a header may be.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../src/vod/tus/headers.rs"]
mod headers;

use headers::{
    CONCAT_PARTS_MAX, Checksum, Concat, Length, METADATA_KEY_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_MAX, Metadata,
    bytes,
};

fuzz_target!(|text: &str| {
    if let Ok(metadata) = Metadata::parse(text) {
        let again = metadata.to_header();
        assert!(again.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "a header of one line");
        assert!(again.len() <= METADATA_PAIRS_MAX * (METADATA_KEY_MAX + METADATA_VALUE_MAX.div_ceil(3) * 4 + 2));
        for key in ["title", "filename", "name"] {
            let title = metadata.text(key).unwrap_or_default();
            assert!(!title.chars().any(char::is_control) && title.trim() == title);
        }
        assert_eq!(Metadata::parse(&again), Ok(metadata));
    }
    if let Ok(checksum) = Checksum::parse(text) {
        assert!([20, 32].contains(&checksum.digest.len()));
    }
    let is_id = |id: &str| id.len() == 3 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Ok(Concat::Final(ids)) = Concat::parse(text, is_id) {
        assert!((1..=CONCAT_PARTS_MAX).contains(&ids.len()) && ids.iter().all(|id| is_id(id)));
    }
    let (one, other) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(Length::Known(len)) = Length::parse(Some(one), None) {
        assert_eq!(bytes("", &len.to_string()), Ok(len), "a number that a row holds");
    }
    assert!(Length::parse(Some(one), Some(other)).is_err());
});
