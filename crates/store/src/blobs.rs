//! Blobs: the bytes of uploads and renditions, under names that records hold.
//!
//! Calls block, as files do: whoever has a runtime gives them to threads. A blob grows at its end and is read anywhere; what
//! [`BlobWriter::sync`] has returned for survives a crash of the program and of the machine. Names come from records and nowhere
//! else, so that no path is ever made of what somebody sent.

mod local;

use std::fs::File;

use telstar_units::BlobName;

pub use local::LocalBlobs;

/// Why a blob cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is none of this name.
    #[error("no such blob")]
    NotFound,
    /// It is there already.
    #[error("that blob exists already")]
    Exists,
    /// There is no room for more.
    #[error("the disk is full")]
    Full,
    /// The backend failed.
    #[error("the blob store failed: {0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> BlobError {
        match error.kind() {
            std::io::ErrorKind::NotFound => BlobError::NotFound,
            std::io::ErrorKind::AlreadyExists => BlobError::Exists,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => BlobError::Full,
            _ => BlobError::Io(error),
        }
    }
}

/// Where blobs are.
pub trait Blobs: Send + Sync + 'static {
    /// Makes an empty blob. It is on disk when this returns.
    fn create(&self, name: &BlobName) -> Result<(), BlobError>;

    /// Opens a blob to go on at `len`: what stands behind, which nobody was told of, is cut off. One that is shorter has lost what
    /// somebody was told of, which is an error.
    fn append(&self, name: &BlobName, len: u64) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Opens a blob for reading.
    fn open(&self, name: &BlobName) -> Result<Box<dyn BlobReader>, BlobError>;

    /// The same for whoever must not wait: the blob, if it can be opened without any disk. None says nothing of whether it is there.
    fn open_now(&self, _name: &BlobName) -> Option<Box<dyn BlobReader>> {
        None
    }

    /// A file with the blob's bytes, for a worker that reads it by itself.
    fn source_file(&self, name: &BlobName) -> Result<File, BlobError>;

    /// A new blob as an empty file, for a worker that writes it by itself. It becomes durable with [`Blobs::sync_output`].
    fn output_file(&self, name: &BlobName) -> Result<File, BlobError>;

    /// Makes what was written into an [`Blobs::output_file`] durable, and says how long it is.
    fn sync_output(&self, name: &BlobName) -> Result<u64, BlobError>;

    /// Makes `to` of others, one behind the other. It is durable when this returns; where that fails there is nothing of it.
    fn concat(&self, parts: &[BlobName], to: &BlobName) -> Result<u64, BlobError>;

    /// Removes a blob. One that is gone is no error.
    fn delete(&self, name: &BlobName) -> Result<(), BlobError>;

    /// The names of all blobs.
    fn list(&self) -> Result<Vec<BlobName>, BlobError>;

    /// Bytes that are left for blobs, if the backend has an end.
    fn free_bytes(&self) -> Result<Option<u64>, BlobError>;
}

/// A blob that grows.
pub trait BlobWriter: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError>;

    /// Makes everything that was written durable.
    fn sync(&mut self) -> Result<(), BlobError>;

    /// Takes back what stands behind `len`.
    fn cut(&mut self, len: u64) -> Result<(), BlobError>;
}

/// A blob that is read.
#[expect(clippy::len_without_is_empty, reason = "asking may fail, and nobody asks")]
pub trait BlobReader: Send + Sync {
    /// How long it is.
    fn len(&self) -> Result<u64, BlobError>;

    /// Reads at `offset` into `buffer`; fewer bytes only at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, BlobError>;

    /// The same for whoever must not wait: as much as is in memory, from `offset` on. Nothing, where that is not known.
    fn read_now(&self, _offset: u64, _buffer: &mut [u8]) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        // ENOSPC and EDQUOT
        for number in [28, 122] {
            assert!(matches!(BlobError::from(Error::from_raw_os_error(number)), BlobError::Full), "{number}");
        }
        assert!(matches!(BlobError::from(Error::from(ErrorKind::NotFound)), BlobError::NotFound));
        assert!(matches!(BlobError::from(Error::from(ErrorKind::AlreadyExists)), BlobError::Exists));
        // EIO
        assert!(matches!(BlobError::from(Error::from_raw_os_error(5)), BlobError::Io(_)));
    }
}
