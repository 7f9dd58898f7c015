//! Subtitles of a file as the text of WebVTT cues: whatever it is, no cue ends early and no tag is in it that WebVTT has
//! not. And what a file calls the language of a track.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The worker is a program and no library, and of FFmpeg only the names of the formats are used there.
extern crate self as ffmpeg_next;
pub mod codec {
    /// Formats of subtitles.
    #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Id {
        ASS,
        SSA,
        SUBRIP,
        WEBVTT,
        MOV_TEXT,
        TEXT,
    }
}
#[path = "../../transcode/worker/src/file/probe/language.rs"]
mod language;
#[path = "../../transcode/worker/src/file/make/text.rs"]
mod text;

use codec::Id;

const TAGS: [&str; 8] = ["b", "c", "i", "lang", "rt", "ruby", "u", "v"];

/// Whether a player that reads it by WebVTT §6.4 finds nothing but what it knows.
fn is_known(tag: &str) -> bool {
    let name = tag.strip_prefix('/').unwrap_or(tag);
    let name = name.split(['.', ' ', '\t', '\n']).next().unwrap_or_default();
    TAGS.contains(&name) || name.starts_with(|first: char| first.is_ascii_digit())
}

fuzz_target!(|data: &[u8]| {
    for format in [Id::ASS, Id::SSA, Id::SUBRIP, Id::WEBVTT, Id::MOV_TEXT, Id::TEXT] {
        let Some(cue) = text::cue(format, data) else { continue };
        assert!(!cue.is_empty() && !cue.contains("-->") && !cue.contains("\n\n") && !cue.contains(['\r', '\0']));
        assert!(!cue.starts_with('\n') && !cue.ends_with('\n'));
        for tag in cue.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap_or((tag, ""));
            assert!(is_known(tag), "{format:?}: {tag:?} in {cue:?}");
        }
    }
    let Ok(named) = std::str::from_utf8(data) else { return };
    let tag = language::language(Some(named));
    // RFC 5646 §2.1: subtags have up to eight letters and digits.
    let is_subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(tag.split('-').all(is_subtag), "{tag:?}");
    assert_eq!(language::language(Some(&tag)), tag, "a tag is its own");
});
