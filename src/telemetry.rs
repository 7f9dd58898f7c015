//! The log: where it goes, how it looks, and what must never stand in it.
//!
//! Secrets are typed where they live and have no `Debug`. What is left are texts that carry secrets inside them, above
//! all request targets (`?t=…`, `?key=…`) and RTMP stream names; [`redact`] takes them out. The log's writer applies it
//! to every line as well, as the last fence.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat, LogLevel};

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";
/// Texts that begin a secret. What follows, up to the first character that no secret of ours contains, is taken out.
const SECRET_PREFIXES: &[&str] = &["sk_", "tst_", "eyJ"];
/// Query parameters and fields whose values are secrets.
const SECRET_PARAMETERS: &[&str] =
    &["t=", "key=", "token=", "code=", "telstar_session=", "__Host-telstar_session=", "Bearer ", "bearer "];
/// A folder whose files are called by secrets: the sessions of WHIP and WHEP, whose address is all that a viewer needs to show.
const SECRET_FOLDER: &str = "/sessions/";
/// The shortest of those names that is taken for one. `/api/v1/sessions/current` is none.
const SECRET_NAME_BYTES_MIN: usize = 20;
/// What may stand before a parameter's name, so that `t=` does not match inside `offset=`.
const BEFORE_PARAMETER: &[u8] = b"?& ;,\"'({[:";

/// Starts logging to standard error. Later calls in one process change nothing, as tests need.
pub fn start(log: &Log) {
    let filter = Targets::new()
        // Libraries below WARN tell about single packets and requests, which nobody asked for.
        .with_default(level_of(log.level).min(LevelFilter::WARN))
        .with_target("telstar", level_of(log.level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(RedactingStderr).with_target(true);
    let outcome = match log.format {
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(layer.with_ansi(colours)).try_init()
        }
        LogFormat::Json => registry.with(layer.with_ansi(false).json().flatten_event(true)).try_init(),
    };
    drop(outcome);
}

fn level_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// `text` with every secret in it replaced.
pub fn redact(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Some((kept, length)) = secret_at(bytes, at) else {
            at += 1;
            continue;
        };
        // Both ends stand beside ASCII bytes, so they are character boundaries.
        redacted.push_str(&text[copied..at + kept]);
        redacted.push_str(REDACTED);
        at += kept + length;
        copied = at;
    }
    redacted.push_str(&text[copied..]);
    redacted
}

/// If a secret begins at `at`: how many bytes of its introduction stay, and how many after them go.
fn secret_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = &bytes[at..];
    let before = at.checked_sub(1).map(|index| bytes[index]);
    let length_from = |start: usize| rest[start..].iter().take_while(|byte| is_secret_byte(**byte)).count();
    for parameter in SECRET_PARAMETERS {
        if rest.starts_with(parameter.as_bytes()) && before.is_none_or(|byte| BEFORE_PARAMETER.contains(&byte)) {
            let length = length_from(parameter.len());
            return (length > 0).then_some((parameter.len(), length));
        }
    }
    if rest.starts_with(SECRET_FOLDER.as_bytes()) {
        let length = length_from(SECRET_FOLDER.len());
        return (length >= SECRET_NAME_BYTES_MIN).then_some((SECRET_FOLDER.len(), length));
    }
    for prefix in SECRET_PREFIXES {
        if rest.starts_with(prefix.as_bytes()) && before.is_none_or(|byte| !byte.is_ascii_alphanumeric()) {
            let length = length_from(prefix.len());
            return (length > 0).then_some((prefix.len(), length));
        }
    }
    None
}

/// Base64url, percent escapes and the dots of a JWT.
fn is_secret_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'%' | b'~' | b'+' | b'/' | b'=')
}

/// Standard error behind the last fence.
struct RedactingStderr;

impl<'a> MakeWriter<'a> for RedactingStderr {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter
    }
}

/// Writes one formatted line; the formatter hands over a whole line per call.
struct LineWriter;

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        io::stderr().lock().write_all(redact(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_goes_and_everything_else_stays() {
        for (text, expect) in [
            ("GET /live/demo/index.m3u8?t=abc.def-1&_HLS_msn=5", "GET /live/demo/index.m3u8?t=[redacted]&_HLS_msn=5"),
            ("/live/demo?_HLS_msn=5&t=a%20b", "/live/demo?_HLS_msn=5&t=[redacted]"),
            ("DELETE /whip/demo/sessions/0123456789abcdefghjkmnpqrs", "DELETE /whip/demo/sessions/[redacted]"),
            ("DELETE /api/v1/sessions/current", "DELETE /api/v1/sessions/current"),
            ("offset=5 latest=7", "offset=5 latest=7"),
            ("rtmp://h/live/demo?key=sk_AbC_9 came", "rtmp://h/live/demo?key=[redacted] came"),
            ("stream sk_AbCd-_1, next", "stream sk_[redacted], next"),
            ("Authorization: Bearer tst_xyz", "Authorization: Bearer [redacted]"),
            ("desk_ip sk_", "desk_ip sk_"),
            ("cookie: telstar_session=abc; a=b", "cookie: telstar_session=[redacted]; a=b"),
            ("cookie: a=b; __Host-telstar_session=abc", "cookie: a=b; __Host-telstar_session=[redacted]"),
            ("회의실 t=1", "회의실 t=[redacted]"),
            ("jwt eyJhbGciOi.eyJpc3M.sig end", "jwt eyJ[redacted] end"),
        ] {
            assert_eq!(redact(text), expect);
        }
    }

    proptest::proptest! {
        #[test]
        fn redacting_never_panics_and_is_idempotent(text in "(\\PC|sk_|t=|key=|[?& ]){0,40}") {
            let once = redact(&text);
            proptest::prop_assert_eq!(redact(&once), once);
        }
    }
}
