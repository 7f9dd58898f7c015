//! Values of configuration keys: how each type reads from TOML or plain text, and what it says is allowed.

use std::path::PathBuf;

/// A value on its way in. TOML has types; flags and the environment are text only.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw<'a> {
    /// From a flag or the environment.
    Untyped(&'a str),
    /// A TOML string.
    Text(&'a str),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array of strings.
    List(Vec<&'a str>),
    /// Any other TOML value; the word says which.
    Other(&'static str),
}

impl Raw<'_> {
    /// The value as a person wrote it, for error messages.
    pub fn shown(&self) -> String {
        match self {
            Raw::Untyped(text) => (*text).to_owned(),
            Raw::Text(text) => format!("{text:?}"),
            Raw::Integer(number) => number.to_string(),
            Raw::Boolean(truth) => truth.to_string(),
            Raw::List(items) => format!("{items:?}"),
            Raw::Other(kind) => format!("({kind})"),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Raw::Untyped(text) | Raw::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A type that can stand behind a key.
pub trait Value: Sized {
    /// Reads it, or `None` when it is not allowed.
    fn parse(raw: &Raw<'_>) -> Option<Self>;
    /// What is allowed, in words that follow "must be".
    fn allowed() -> String;
    /// The value as TOML.
    fn print(&self) -> String;
}

macro_rules! whole_number {
    ($($type:ty),*) => { $(
        impl Value for $type {
            fn parse(raw: &Raw<'_>) -> Option<Self> {
                match raw {
                    Raw::Integer(number) => <$type>::try_from(*number).ok(),
                    Raw::Untyped(text) => text.trim().replace('_', "").parse().ok(),
                    _ => None,
                }
            }
            fn allowed() -> String {
                "a whole number".to_owned()
            }
            fn print(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
whole_number!(u16, u32, u64);

impl Value for bool {
    fn parse(raw: &Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Boolean(truth) => Some(*truth),
            Raw::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
    fn allowed() -> String {
        "true or false".to_owned()
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn parse(raw: &Raw<'_>) -> Option<Self> {
        raw.text().map(PathBuf::from)
    }
    fn allowed() -> String {
        "a path".to_owned()
    }
    fn print(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl<T: ListItem> Value for Vec<T> {
    fn parse(raw: &Raw<'_>) -> Option<Self> {
        match raw {
            Raw::List(items) => items.iter().map(|item| T::parse_item(item)).collect(),
            Raw::Untyped(text) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse_item).collect()
            }
            _ => None,
        }
    }
    fn allowed() -> String {
        format!("a list of {}", T::allowed_item())
    }
    fn print(&self) -> String {
        let items: Vec<String> = self.iter().map(|item| quoted(&item.print_item())).collect();
        format!("[{}]", items.join(", "))
    }
}

/// A type that can stand in a list. Flags and the environment separate items by commas.
pub trait ListItem: Sized {
    /// Reads one item.
    fn parse_item(text: &str) -> Option<Self>;
    /// What is allowed, in the plural.
    fn allowed_item() -> &'static str;
    /// The item as text.
    fn print_item(&self) -> String;
}

/// A text as a TOML basic string. JSON's escapes are a subset of TOML's.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Declares an enum whose variants are words in the file.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal ),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_doc])* $variant, )* }

        impl $crate::config::value::Value for $name {
            fn parse(raw: &$crate::config::value::Raw<'_>) -> Option<Self> {
                use $crate::config::value::Raw;
                match raw {
                    $( Raw::Untyped($word) | Raw::Text($word) => Some(Self::$variant), )*
                    _ => None,
                }
            }
            fn allowed() -> String {
                let words: &[&str] = &[$($word),*];
                let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                quoted.join(" or ")
            }
            fn print(&self) -> String {
                let word = match self { $( Self::$variant => $word, )* };
                format!("{word:?}")
            }
        }
    };
}
pub(super) use word;

/// The candidate nearest to `wanted`, if one is near enough to have been meant.
pub(super) fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Beyond a third of the word's length a suggestion is noise (guess, after rustc's rule).
    const FRACTION: usize = 3;
    let limit = wanted.chars().count().div_ceil(FRACTION).max(1);
    candidates
        .map(|candidate| (edit_distance(wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters were mistyped: left out, put in, replaced, or swapped with their neighbour (the "optimal string
/// alignment" distance).
fn edit_distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (row, column) in (0..=left.len()).flat_map(|row| (0..=right.len()).map(move |column| (row, column))) {
        if row == 0 || column == 0 {
            rows[row][column] = row + column;
            continue;
        }
        let replaced = rows[row - 1][column - 1] + usize::from(left[row - 1] != right[column - 1]);
        let mut least = replaced.min(rows[row - 1][column] + 1).min(rows[row][column - 1] + 1);
        if row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1] {
            least = least.min(rows[row - 2][column - 2] + 1);
        }
        rows[row][column] = least;
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_suggested_and_nonsense_is_not() {
        let keys = ["part_ms", "segment_min_ms", "memory_budget_mib"];
        for (wanted, expect) in [("part_m", Some("part_ms")), ("segmnet_min_ms", Some("segment_min_ms")), ("x", None)] {
            assert_eq!(nearest(wanted, keys.into_iter()), expect, "{wanted}");
        }
    }

    #[test]
    fn lists_read_from_commas_as_from_toml() {
        use crate::config::address::IpRange;
        let typed = Vec::<IpRange>::parse(&Raw::List(vec!["10.0.0.0/8", "::1"]));
        assert_eq!(typed, Vec::<IpRange>::parse(&Raw::Untyped("10.0.0.0/8, ::1")));
        assert!(typed.is_some());
    }
}
