//! What the tracks of a source are called, for people.
//!
//! In: what the source says of its tracks. Out: a name for each, none twice: a player shows them in its menus, and tells
//! the tracks of a group apart by them (RFC 8216bis §4.4.6.1.1).

use isolang::Language;
use telstar_transcode::file::Source;

/// What a track is called of which nothing is known, with a number.
const SOUND: &str = "Audio";
const SUBTITLES: &str = "Subtitles";
/// What the name of subtitles that describe sounds as well ends with.
const HEARING_IMPAIRED: &str = "SDH";

/// Names of the sound tracks, in the source's order. Stereo and surround of one track are called alike: groups of
/// renditions differ in nothing but addresses and channels (RFC 8216bis §4.4.6.1.1).
pub fn sound_names(source: &Source) -> Vec<String> {
    names(source.audio.iter().map(|audio| (&*audio.title, language_name(&audio.language))), SOUND)
}

/// Names of the subtitle tracks, in the source's order.
pub fn subtitle_names(source: &Source) -> Vec<String> {
    let tracks = source.subtitles.iter().map(|text| {
        let name = language_name(&text.language);
        let name = name.map(|name| if text.hearing_impaired { format!("{name} {HEARING_IMPAIRED}") } else { name });
        (&*text.title, name)
    });
    names(tracks, SUBTITLES)
}

/// The title that the source gives, else the language, else a number. A name that is taken gets a number as well.
fn names<'a>(tracks: impl Iterator<Item = (&'a str, Option<String>)>, unknown: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (title, language) in tracks {
        let title = title.trim();
        let known = if title.is_empty() { language } else { Some(title.to_owned()) };
        let numbered = |base: &str, from: usize| {
            // One of so many is free.
            (from..=from + names.len()).map(|number| format!("{base} {number}")).find(|name| !names.contains(name))
        };
        let name = match known {
            Some(name) if !names.contains(&name) => Some(name),
            Some(name) => numbered(&name, 2),
            None => numbered(unknown, 1),
        };
        names.push(name.unwrap_or_else(|| unreachable!("more names than tracks were tried")));
    }
    names
}

/// What speakers of a language call it: NAME should be in the language of the track (RFC 8216bis §4.4.6.1). `tag` is of
/// BCP 47; what stands behind the language in it, such as a region, tells `pt` from `pt-BR`.
fn language_name(tag: &str) -> Option<String> {
    let (primary, rest) = tag.split_once('-').map_or((tag, None), |(primary, rest)| (primary, Some(rest)));
    let language = match primary.len() {
        2 => Language::from_639_1(primary),
        _ => Language::from_639_3(primary),
    };
    let language = language.filter(|language| *language != Language::Und)?;
    let own = language.to_autonym().map(first_of).filter(|name| !name.is_empty());
    let name = capitalised(own.unwrap_or_else(|| language.to_name()));
    Some(rest.map_or_else(|| name.clone(), |rest| format!("{name} ({rest})")))
}

/// Some languages have several names, or one in two scripts, parted by marks of direction.
fn first_of(names: &str) -> &str {
    let first = names.split([',', '(']).next().unwrap_or(names);
    first.trim_matches(|character: char| character.is_whitespace() || character == '\u{200e}')
}

/// As it stands in a list. Georgian has capitals, but no word begins with one.
fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) if !matches!(first, '\u{10d0}'..='\u{10ff}') => first.to_uppercase().chain(letters).collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_called_what_its_speakers_call_it() {
        for (tag, expect) in [
            ("en", Some("English")),
            ("de", Some("Deutsch")),
            ("es", Some("Español")),
            ("ko", Some("한국어")),
            ("ka", Some("ქართული")),
            ("av", Some("Авар мацӏ")),
            ("la", Some("Latin")),
            ("haw", Some("ʻŌlelo Hawaiʻi")),
            ("pt-BR", Some("Português (BR)")),
            ("zh-Hant", Some("中文 (Hant)")),
            ("und", None),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(language_name(tag).as_deref(), expect, "{tag}");
        }
    }

    #[test]
    fn no_two_tracks_have_one_name() {
        let check = |tracks: &[(&str, &str)], expect: &[&str]| {
            let tracks = tracks.iter().map(|(title, language)| (*title, language_name(language)));
            assert_eq!(names(tracks, SOUND), expect);
        };
        check(&[("", "en"), ("", "de"), ("", "en"), ("", "en")], &["English", "Deutsch", "English 2", "English 3"]);
        check(&[("", "und"), ("", "und"), ("", "en")], &["Audio 1", "Audio 2", "English"]);
        check(&[("", "und"), ("Audio 2", "en"), ("", "und")], &["Audio 1", "Audio 2", "Audio 3"]);
        check(&[("Director", "en"), (" Director ", "en"), (" ", "en")], &["Director", "Director 2", "English"]);
        check(&[("English 2", "en"), ("", "en"), ("", "en")], &["English 2", "English", "English 3"]);
    }
}
