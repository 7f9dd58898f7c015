//! What an asset is called, from what a client says of a file.
//!
//! In: any text. Out: one line that pages can show, never empty.

use telstar_units::ROOM_TITLE_CHARS_MAX;
use unicode_normalization::UnicodeNormalization;

/// An asset whose name nobody said.
const UNTITLED: &str = "Untitled";
/// Characters of the ending of a file's name, such as `mp4` or `matroska`. What is longer is a part of the name.
const ENDING_CHARS_MAX: usize = 8;

/// A title in NFC (Unicode Standard Annex 15), without what no line of text has, as long as those of rooms at most.
pub fn title_of(text: &str) -> String {
    let composed: String = text.nfc().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let words: Vec<&str> = composed.split_whitespace().collect();
    let cut: String = words.join(" ").chars().take(ROOM_TITLE_CHARS_MAX).collect();
    let title = cut.trim_end();
    if title.is_empty() { UNTITLED.to_owned() } else { title.to_owned() }
}

/// A title from the name of a file, without its folders and its ending.
pub fn title_of_file(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).find(|part| !part.trim().is_empty()).unwrap_or_default();
    let is_ending = |ending: &str| {
        (1..=ENDING_CHARS_MAX).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.trim().is_empty() && is_ending(ending) => title_of(stem),
        _ => title_of(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_that_is_not_empty() {
        for (text, expect) in [
            ("  Holiday\r\n\t2026 ", "Holiday 2026"),
            ("e\u{301}", "é"),
            ("회의실", "회의실"),
            ("AC/DC", "AC/DC"),
            ("", UNTITLED),
            ("\u{0}\u{7f}", UNTITLED),
        ] {
            assert_eq!(title_of(text), expect, "{text:?}");
        }
        assert_eq!(title_of(&"회".repeat(300)).chars().count(), ROOM_TITLE_CHARS_MAX);
    }

    #[test]
    fn a_file_is_called_as_people_call_it() {
        for (name, expect) in [
            ("holiday.mp4", "holiday"),
            ("C:\\Videos\\holiday.final.MKV", "holiday.final"),
            ("/tmp/../holiday", "holiday"),
            (".mp4", ".mp4"),
            ("no. 5 is alive", "no. 5 is alive"),
            ("trailing/", "trailing"),
            ("", UNTITLED),
        ] {
            assert_eq!(title_of_file(name), expect, "{name:?}");
        }
    }
}
