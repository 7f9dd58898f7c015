//! The `section!` macro: one list of keys becomes a checked struct, its defaults, its parser and its documentation.
//!
//! In: a doc comment, a type, a default and (for numbers) a range per key. Out: a struct that can be trusted.
//! It knows nothing of files, flags or the environment; those arrive as [`Raw`] values.

use std::ops::RangeInclusive;

use super::value::{Raw, Value};

/// What one key is, for the command line, the commented file and error messages.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// The key's name within its section.
    pub name: &'static str,
    /// Its doc comment, a line each.
    pub docs: &'static [&'static str],
    /// What may stand there, in words.
    pub allowed: String,
    /// The default as TOML.
    pub default: String,
}

/// What one section is.
#[derive(Clone, Debug)]
pub struct SectionInfo {
    /// The table's name, or the empty string for the keys at the top of the file.
    pub name: &'static str,
    /// Its doc comment, a line each.
    pub docs: &'static [&'static str],
    /// Its keys in the order of declaration.
    pub keys: Vec<KeyInfo>,
}

/// Why a section refused a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The section has no such key.
    UnknownKey,
    /// The value is of another type or out of range; says what is allowed.
    NotAllowed(String),
}

/// A section of the configuration, as the `section!` macro implements it.
pub trait Section: Default {
    /// Its doc comment, a line each.
    const DOCS: &'static [&'static str];
    /// Describes every key.
    fn keys() -> Vec<KeyInfo>;
    /// Replaces one value.
    fn set(&mut self, key: &str, raw: &Raw<'_>) -> Result<(), Refusal>;
}

/// Parses a value that has no range.
pub(super) fn take<T: Value>(raw: &Raw<'_>) -> Result<T, Refusal> {
    T::parse(raw).ok_or_else(|| Refusal::NotAllowed(T::allowed()))
}

/// Parses a value and checks its range.
pub(super) fn take_within<T: Value + PartialOrd>(raw: &Raw<'_>, range: &RangeInclusive<T>) -> Result<T, Refusal> {
    T::parse(raw).filter(|value| range.contains(value)).ok_or_else(|| Refusal::NotAllowed(allowed_within(range)))
}

/// What may stand where a range is given.
pub(super) fn allowed_within<T: Value>(range: &RangeInclusive<T>) -> String {
    format!("{} from {} to {}", T::allowed(), range.start().print(), range.end().print())
}

/// Declares a section: `key: Type = default => lowest..=highest`, the range being for numbers only.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        $name:ident {
            $( $(#[doc = $key_doc:literal])* $key:ident : $type:ty = $default:expr $(=> $range:expr)? ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $key_doc])* pub $key: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )* }
            }
        }

        impl $crate::config::section::Section for $name {
            const DOCS: &'static [&'static str] = &[$($doc),*];

            fn keys() -> Vec<$crate::config::section::KeyInfo> {
                let defaults = Self::default();
                vec![ $( $crate::config::section::KeyInfo {
                    name: stringify!($key),
                    docs: &[$($key_doc),*],
                    allowed: section!(@allowed $type $(=> $range)?),
                    default: $crate::config::value::Value::print(&defaults.$key),
                }, )* ]
            }

            fn set(
                &mut self,
                key: &str,
                raw: &$crate::config::value::Raw<'_>,
            ) -> Result<(), $crate::config::section::Refusal> {
                match key {
                    $( stringify!($key) => self.$key = section!(@take raw, $type $(=> $range)?), )*
                    _ => return Err($crate::config::section::Refusal::UnknownKey),
                }
                Ok(())
            }
        }
    };
    (@allowed $type:ty) => { <$type as $crate::config::value::Value>::allowed() };
    (@allowed $type:ty => $range:expr) => { $crate::config::section::allowed_within::<$type>(&$range) };
    (@take $raw:ident, $type:ty) => { $crate::config::section::take::<$type>($raw)? };
    (@take $raw:ident, $type:ty => $range:expr) => { $crate::config::section::take_within::<$type>($raw, &$range)? };
}
pub(super) use section;
