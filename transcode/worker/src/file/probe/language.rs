//! Languages as BCP 47 has them, from what containers say.
//!
//! MP4, Matroska and transport streams have the three letters of ISO 639-2, and some two forms of them; BCP 47 wants
//! the shortest code (RFC 5646 §2.2.1), which is the one of ISO 639-1 where there is one.

/// Three letters, in the bibliographic and the terminological form, and the two that they are.
const SHORT: &[(&str, &str)] = &[
    ("afr", "af"),
    ("alb", "sq"),
    ("amh", "am"),
    ("ara", "ar"),
    ("arm", "hy"),
    ("aze", "az"),
    ("baq", "eu"),
    ("bel", "be"),
    ("ben", "bn"),
    ("bos", "bs"),
    ("bul", "bg"),
    ("bur", "my"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("chi", "zh"),
    ("cym", "cy"),
    ("cze", "cs"),
    ("dan", "da"),
    ("deu", "de"),
    ("dut", "nl"),
    ("ell", "el"),
    ("eng", "en"),
    ("est", "et"),
    ("eus", "eu"),
    ("fas", "fa"),
    ("fin", "fi"),
    ("fra", "fr"),
    ("fre", "fr"),
    ("geo", "ka"),
    ("ger", "de"),
    ("gle", "ga"),
    ("glg", "gl"),
    ("gre", "el"),
    ("guj", "gu"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("hye", "hy"),
    ("ice", "is"),
    ("ind", "id"),
    ("isl", "is"),
    ("ita", "it"),
    ("jpn", "ja"),
    ("kan", "kn"),
    ("kat", "ka"),
    ("kaz", "kk"),
    ("khm", "km"),
    ("kor", "ko"),
    ("lao", "lo"),
    ("lat", "la"),
    ("lav", "lv"),
    ("lit", "lt"),
    ("mac", "mk"),
    ("mal", "ml"),
    ("mar", "mr"),
    ("may", "ms"),
    ("mkd", "mk"),
    ("mlt", "mt"),
    ("mon", "mn"),
    ("msa", "ms"),
    ("mya", "my"),
    ("nep", "ne"),
    ("nld", "nl"),
    ("nno", "nn"),
    ("nob", "nb"),
    ("nor", "no"),
    ("pan", "pa"),
    ("per", "fa"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rum", "ro"),
    ("rus", "ru"),
    ("sin", "si"),
    ("slk", "sk"),
    ("slo", "sk"),
    ("slv", "sl"),
    ("som", "so"),
    ("spa", "es"),
    ("sqi", "sq"),
    ("srp", "sr"),
    ("swa", "sw"),
    ("swe", "sv"),
    ("tam", "ta"),
    ("tel", "te"),
    ("tgl", "tl"),
    ("tha", "th"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("urd", "ur"),
    ("uzb", "uz"),
    ("vie", "vi"),
    ("wel", "cy"),
    ("yid", "yi"),
    ("zho", "zh"),
    ("zul", "zu"),
];
/// What is not known.
const UNDETERMINED: &str = "und";
/// The longest tag that is taken as it is. RFC 5646 §4.4.1 asks for room for 35.
const TAG_LEN_MAX: usize = 35;
/// RFC 5646 §2.1.
const SUBTAG_LEN_MAX: usize = 8;

/// The language that a container names.
pub fn language(named: Option<&str>) -> String {
    let Some(named) = named else { return UNDETERMINED.to_owned() };
    // FFmpeg hands on what is in the file, which need not be text.
    let named = String::from_utf8_lossy(named.as_bytes()).trim().to_owned();
    let (primary, rest) = named.split_once(['-', '_']).map_or((&named[..], None), |(first, rest)| (first, Some(rest)));
    let is_subtag = |part: &str| {
        (1..=SUBTAG_LEN_MAX).contains(&part.len()) && part.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    let is_tag = |rest: &str| rest.split('-').all(is_subtag);
    if !(2..=3).contains(&primary.len()) || !primary.chars().all(|letter| letter.is_ascii_alphabetic()) {
        return UNDETERMINED.to_owned();
    }
    let primary = primary.to_ascii_lowercase();
    let short = SHORT.iter().find(|(long, _)| *long == primary).map_or(&primary[..], |(_, short)| short);
    // Multiple, no linguistic content, and what is reserved for private use say nothing to a player.
    if matches!(short, "mul" | "mis" | "zxx") || ("qaa"..="qtz").contains(&short) {
        return UNDETERMINED.to_owned();
    }
    match rest.map(|rest| rest.replace('_', "-")).filter(|rest| is_tag(rest) && rest.len() <= TAG_LEN_MAX) {
        Some(rest) => format!("{short}-{rest}"),
        None => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_letters_become_two_where_there_are_two() {
        for (named, expect) in [
            ("eng", "en"),
            ("kor", "ko"),
            ("ger", "de"),
            ("deu", "de"),
            ("pt-BR", "pt-BR"),
            ("zh_Hant", "zh-Hant"),
            ("KO", "ko"),
            ("haw", "haw"),
            ("und", "und"),
            ("zxx", "und"),
            ("```", "und"),
            ("en\"><", "und"),
            ("en-\"><", "en"),
            ("en--", "en"),
            ("en-abcdefghi", "en"),
            ("", "und"),
        ] {
            assert_eq!(language(Some(named)), expect, "{named}");
        }
        assert_eq!(language(None), "und");
        assert!(SHORT.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, none twice");
    }
}
