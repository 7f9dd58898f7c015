//! Why an upload does not go on, in words.

use telstar_store::{BlobError, StoreError};

use super::places::Crowded;
use super::writers::Busy;
use crate::auth::NoRandomness;

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Nothing is uploaded to this server.
    #[error("uploads are turned off on this server")]
    Off,
    /// There is none, or none that the caller may know of.
    #[error("there is no such upload")]
    NotFound,
    /// It was given up or deleted.
    #[error("the upload has been given up")]
    Gone,
    /// It is somewhere else than the client thinks: there.
    #[error("the upload is at byte {0}")]
    WrongOffset(u64),
    /// More bytes than it has room for.
    #[error("the upload is longer than was told")]
    TooLong,
    /// It ended before its last byte, and nobody can go on with it.
    #[error("the body broke off")]
    Broken,
    /// Longer than any may be.
    #[error("an upload may have at most {0} bytes")]
    TooLarge(u64),
    /// What came is not what the client counted.
    #[error("the checksum is another")]
    Mismatch,
    /// Somebody else writes into it.
    #[error("another request writes into this upload")]
    Busy,
    /// It was made of parts, and is what they are.
    #[error("an upload that was made of parts is not written to")]
    Final,
    /// As many bodies are taken as there are places.
    #[error("too much is being uploaded at once; try again")]
    Crowded,
    /// What is on the disk leaves too little free.
    #[error("the disk is full")]
    DiskFull,
    /// Nobody said how long it would be, and there is no room for more of it.
    #[error("there is no room for more bytes of this account")]
    NoRoom,
    /// Records say no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes could not be written.
    #[error("bytes could not be written: {0}")]
    Blob(BlobError),
    /// The system gives no random numbers.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl From<BlobError> for UploadError {
    fn from(error: BlobError) -> UploadError {
        match error {
            BlobError::Full => UploadError::DiskFull,
            error => UploadError::Blob(error),
        }
    }
}

impl From<Crowded> for UploadError {
    fn from(Crowded: Crowded) -> UploadError {
        UploadError::Crowded
    }
}

impl From<Busy> for UploadError {
    fn from(Busy: Busy) -> UploadError {
        UploadError::Busy
    }
}
