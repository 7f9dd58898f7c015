//! Texts that people and apps give: labels and names, checked once for every route.

use unicode_normalization::UnicodeNormalization;

use super::error::{Code, Problem};
use crate::auth::TOKEN_NAME_CHARS_MAX;

/// The longest label in characters: a name that a person gives, such as "studio, left camera". Guess.
const LABEL_CHARS_MAX: usize = 100;

/// A label without white space around it.
pub(super) fn checked_label(label: &str) -> Result<&str, Problem> {
    let label = label.trim();
    if label.chars().count() > LABEL_CHARS_MAX || label.chars().any(char::is_control) {
        let detail = format!("label: at most {LABEL_CHARS_MAX} characters, none of them a control character.");
        return Err(Problem::new(Code::InvalidFields, detail));
    }
    Ok(label)
}

/// What others in a call see of somebody, in NFC (Unicode Standard Annex 15), without white space around it.
pub(super) fn checked_name(name: &str) -> Result<String, Problem> {
    let name: String = name.trim().nfc().collect();
    let length = name.chars().count();
    if length == 0 || length > TOKEN_NAME_CHARS_MAX || name.chars().any(is_layout) {
        let detail = format!(
            "name: 1 to {TOKEN_NAME_CHARS_MAX} characters, none of them a control character or one that turns the \
             direction of the text around it."
        );
        return Err(Problem::new(Code::InvalidFields, detail));
    }
    Ok(name)
}

/// Control characters, and those that turn the direction of the text around a name (Unicode Technical Report 36 §2.2).
fn is_layout(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_composed_and_bounded_and_turn_nothing_around() {
        assert_eq!(checked_name(" e\u{301} ").ok().as_deref(), Some("é"));
        assert!(checked_name(&"회".repeat(TOKEN_NAME_CHARS_MAX)).is_ok());
        for bad in ["", "  ", "a\nb", "a\u{202e}b", "a\u{2067}b", &"a".repeat(TOKEN_NAME_CHARS_MAX + 1)] {
            assert!(checked_name(bad).is_err(), "{bad:?}");
        }
    }
}
