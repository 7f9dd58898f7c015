//! The section `[log]`: what is written to standard error.

use super::section::section;
use super::value::word;

word! {
    /// How a log line looks.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line, for programs.
        Json = "json",
    }
}

word! {
    /// The least severe lines that are written.
    LogLevel {
        /// Somebody must act.
        Error = "error",
        /// Something was refused or dropped, and counted.
        Warn = "warn",
        /// Life events.
        Info = "info",
        /// Changes of state.
        Debug = "debug",
        /// Single packets.
        Trace = "trace",
    }
}

section! {
    /// The log, on standard error. Secrets are never in it.
    Log {
        /// How a line looks.
        format: LogFormat = LogFormat::Text,
        /// The least severe lines that are written.
        level: LogLevel = LogLevel::Info,
    }
}
