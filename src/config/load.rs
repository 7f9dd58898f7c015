//! Loading: the three layers over the defaults, and every mistake found on the way.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::Refusal;
use super::tls::TlsMode;
use super::value::{Raw, Value, nearest};
use super::{Config, full_name};

/// The variable that names the configuration file, like the flag `--config`.
pub const CONFIG_VARIABLE: &str = "TELSTAR_CONFIG";
/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "telstar.toml";
/// The key that says where a section listens.
const LISTEN_KEY: &str = "listen";
/// What every variable begins with.
const VARIABLE_PREFIX: &str = "TELSTAR_";
/// Parts that a segment must hold at least, so that parts make a difference to waiting for a segment.
const PARTS_PER_SEGMENT_MIN: u32 = 3;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag with its dashes.
    Flag(String),
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(formatter, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(formatter, "environment variable {name}"),
            Origin::Flag(name) => write!(formatter, "flag {name}"),
            Origin::Default => formatter.write_str("default"),
        }
    }
}

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{origin}: not TOML: {reason}")]
    NotToml {
        /// The line.
        origin: Origin,
        /// What the parser said.
        reason: String,
    },
    /// No such key or section.
    #[error("{origin}: unknown {kind} `{name}`{}", suggestion(nearest))]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// `key` or `section`.
        kind: &'static str,
        /// Its full name.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type or out of range, or at odds with another.
    #[error("{origin}: `{key}` is {value}, but must be {allowed}")]
    NotAllowed {
        /// Where it stands.
        origin: Origin,
        /// The key's full name.
        key: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        allowed: String,
    },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Every mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// What lies over the defaults.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The environment's variables; only `TELSTAR_…` count.
    pub variables: Vec<(OsString, OsString)>,
    /// Flags as section, key and text.
    pub flags: Vec<(String, String, String)>,
}

impl Layers {
    /// Applies all layers, or reports every mistake.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        let mut loader = Loader::default();
        let named = self.file.clone().or_else(|| self.variable(CONFIG_VARIABLE).map(PathBuf::from));
        match named {
            Some(path) => loader.apply_file(&path),
            None if Path::new(DEFAULT_FILE).exists() => loader.apply_file(Path::new(DEFAULT_FILE)),
            None => {}
        }
        for section in Config::describe() {
            for key in &section.keys {
                let name = variable_of(section.name, key.name);
                if let Some(text) = self.variable(&name) {
                    loader.apply(section.name, key.name, &Raw::Untyped(&text), Origin::Variable(name));
                }
            }
        }
        for (section, key, text) in &self.flags {
            let origin = Origin::Flag(format!("--{}", flag_of(section, key)));
            loader.apply(section, key, &Raw::Untyped(text), origin);
        }
        loader.finish()
    }

    fn variable(&self, name: &str) -> Option<String> {
        let (_, value) = self.variables.iter().find(|(candidate, _)| candidate == name)?;
        Some(value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
    }
}

/// The environment variable of a key: `TELSTAR_HLS_PART_MS`.
pub fn variable_of(section: &str, key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", joined(section, key).to_ascii_uppercase())
}

/// The flag of a key without its dashes: `hls-part-ms`.
pub(crate) fn flag_of(section: &str, key: &str) -> String {
    joined(section, key).replace('_', "-")
}

/// A key with its section. Where a section listens is its own name, as with the listeners at the top: `--media`.
fn joined(section: &str, key: &str) -> String {
    match (section, key) {
        ("", key) => key.to_owned(),
        (section, LISTEN_KEY) => section.to_owned(),
        (section, key) => format!("{section}_{key}"),
    }
}

/// Validates one file by itself, as `telstar config --check` does.
pub fn check_file(path: &Path) -> Result<Config, ConfigErrors> {
    let mut loader = Loader::default();
    loader.apply_file(path);
    loader.finish()
}

#[derive(Default)]
struct Loader {
    config: Config,
    errors: Vec<ConfigError>,
    /// Where each key that is not the default was set, so that a contradiction can be shown at its place.
    origins: Vec<(String, Origin)>,
}

impl Loader {
    fn apply_file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return self.errors.push(ConfigError::Unreadable { path: path.into(), reason: error.to_string() });
            }
        };
        let (document, parse_errors) = DeTable::parse_recoverable(&text);
        for error in parse_errors {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            let reason = error.message().to_owned();
            self.errors.push(ConfigError::NotToml { origin: Origin::File(path.into(), line), reason });
        }
        let at = |key: &Spanned<_>| Origin::File(path.into(), line_of(&text, key.span().start));
        for (key, value) in document.get_ref() {
            let name: &str = key.get_ref();
            match value.get_ref() {
                DeValue::Table(table) if is_section(name) => {
                    for (key, value) in table {
                        self.apply(name, key.get_ref(), &raw_of(value.get_ref()), at(key));
                    }
                }
                DeValue::Table(_) => self.unknown("section", name, at(key)),
                other => self.apply("", name, &raw_of(other), at(key)),
            }
        }
    }

    fn apply(&mut self, section: &str, key: &str, raw: &Raw<'_>, origin: Origin) {
        let name = full_name(section, key);
        match self.config.set(section, key, raw) {
            Ok(()) => {
                self.origins.retain(|(known, _)| *known != name);
                self.origins.push((name, origin));
            }
            Err(Refusal::UnknownKey) => self.unknown("key", &name, origin),
            Err(Refusal::NotAllowed(allowed)) => {
                self.errors.push(ConfigError::NotAllowed { origin, key: name, value: raw.shown(), allowed });
            }
        }
    }

    fn unknown(&mut self, kind: &'static str, name: &str, origin: Origin) {
        let sections = Config::describe();
        let known: Vec<String> = if kind == "section" {
            sections.iter().map(|section| section.name.to_owned()).collect()
        } else {
            sections
                .iter()
                .flat_map(|section| section.keys.iter().map(|key| full_name(section.name, key.name)))
                .collect()
        };
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        self.errors.push(ConfigError::Unknown { origin, kind, name: name.to_owned(), nearest });
    }

    /// Checks what single keys cannot: values at odds with each other.
    fn finish(mut self) -> Result<Config, ConfigErrors> {
        let Config { tls, hls, .. } = self.config.clone();
        if tls.mode == TlsMode::Files {
            for (key, path) in [("tls.cert", &tls.cert), ("tls.key", &tls.key)] {
                if path.as_os_str().is_empty() {
                    self.contradiction(key, "empty", "the path of a PEM file, because `tls.mode` is \"files\"");
                }
            }
        }
        let segment_least_ms = hls.part_ms.saturating_mul(PARTS_PER_SEGMENT_MIN);
        if hls.segment_min_ms < segment_least_ms {
            let allowed = format!(
                "at least {segment_least_ms}, which is {PARTS_PER_SEGMENT_MIN} times `hls.part_ms` ({})",
                hls.part_ms
            );
            self.contradiction("hls.segment_min_ms", &hls.segment_min_ms.print(), &allowed);
        }
        if self.errors.is_empty() { Ok(self.config) } else { Err(ConfigErrors(self.errors)) }
    }

    fn contradiction(&mut self, key: &str, value: &str, allowed: &str) {
        let origin = self.origins.iter().find(|(known, _)| known == key).map(|(_, origin)| origin.clone());
        self.errors.push(ConfigError::NotAllowed {
            origin: origin.unwrap_or(Origin::Default),
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: allowed.to_owned(),
        });
    }
}

fn is_section(name: &str) -> bool {
    !name.is_empty() && Config::describe().iter().any(|section| section.name == name)
}

fn raw_of<'a>(value: &'a DeValue<'_>) -> Raw<'a> {
    match value {
        DeValue::String(text) => Raw::Text(text),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Raw::Integer)
            .unwrap_or(Raw::Other("a number too large")),
        DeValue::Boolean(truth) => Raw::Boolean(*truth),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str())
            .collect::<Option<_>>()
            .map_or(Raw::Other("a list"), Raw::List),
        DeValue::Float(_) => Raw::Other("a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// The line of a byte offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}
