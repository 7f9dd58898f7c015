//! What can go wrong in a store, in the words of its callers.

use std::sync::Arc;

/// Why an operation did not happen. Whatever the variant, nothing of the operation was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The record that the operation names is not there.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A record of this name exists already.
    #[error("that {0} exists already")]
    Conflict(&'static str),
    /// One more would be too many.
    #[error("at most {max} {what}")]
    Limit {
        /// What there would be too many of.
        what: &'static str,
        /// The limit's value.
        max: usize,
    },
    /// A value that no door should have let through.
    #[error("not a valid {0}")]
    Invalid(&'static str),
    /// The queue is full or another process holds the file: the same call may succeed later.
    #[error("the store is busy")]
    Busy,
    /// The disk has no room for it.
    #[error("the disk is full")]
    Full,
    /// The store has shut down.
    #[error("the store is closed")]
    Closed,
    /// The data was written by a newer program.
    #[error(
        "the data has schema {found}, this program knows schemas up to {known}: \
         start the newer program, or restore the copy made before it ran"
    )]
    SchemaTooNew {
        /// The data's schema.
        found: u32,
        /// The newest schema this program knows.
        known: u32,
    },
    /// The file is a database of some other program.
    #[error("the file is a database, but not Telstar's")]
    NotOurs,
    /// The backend failed: a broken file, a missing folder.
    #[error("the store failed: {0}")]
    Backend(Arc<str>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => StoreError::Busy,
            Some(DiskFull) => StoreError::Full,
            Some(NotADatabase) => StoreError::NotOurs,
            _ => StoreError::Backend(error.to_string().into()),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        StoreError::Backend(error.to_string().into())
    }
}
