//! Why a conversion cannot go on.

use telstar_transcode::file::FileNews;
use telstar_transcode::{Failed, FailureKind};

/// The end of a conversion, in words for the server's status.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    kind: FailureKind,
    text: String,
}

impl Failure {
    /// What was asked is beyond any attempt.
    pub fn unsupported(text: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Unsupported, text: text.into() }
    }

    /// It went wrong; another attempt may go well.
    pub fn broken(what: &str, error: impl std::fmt::Display) -> Failure {
        Failure { kind: FailureKind::Broken, text: format!("{what}: {error}") }
    }

    /// A file is not what it should be, or more than is allowed: no attempt will do better. In words for whoever
    /// uploaded it.
    pub fn source(text: impl Into<String>) -> Failure {
        Failure::unsupported(text)
    }

    /// What the server is told when the work was on a file.
    pub fn news(&self) -> FileNews {
        FileNews::Failed { is_permanent: self.kind == FailureKind::Unsupported, text: self.text.clone() }
    }

    /// The message to the server.
    pub fn message(&self) -> Failed {
        Failed { kind: self.kind, text: self.text.clone() }
    }
}
