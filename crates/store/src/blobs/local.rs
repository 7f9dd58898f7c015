//! Blobs as files in one folder: two levels by the beginning of the name, so that no folder gets large.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSliceMut, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{ReadWriteFlags, preadv2};
use telstar_units::BlobName;

use super::{BlobError, BlobReader, BlobWriter, Blobs};

/// Characters of a name that are a folder: 1,024 folders.
const SHARD_LEN: usize = 2;
/// Copied at once where the file system does not copy by itself.
const COPY_BYTES: usize = 1024 * 1024;

/// Blobs as files.
#[derive(Debug)]
pub struct LocalBlobs {
    folder: PathBuf,
}

impl LocalBlobs {
    /// In this folder, which is made if it is not there.
    pub fn open(folder: &Path) -> Result<LocalBlobs, BlobError> {
        make_folder(folder)?;
        sync_folder(folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        Ok(LocalBlobs { folder: folder.to_owned() })
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        let (shard, rest) = name.as_str().split_at(SHARD_LEN);
        self.folder.join(shard).join(rest)
    }

    fn make(&self, name: &BlobName) -> Result<File, BlobError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        make_folder(folder)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(file)
    }

    /// The folder above is synced each time: whoever has made the one between may not have come so far yet.
    fn sync_entry(&self, name: &BlobName) -> Result<(), BlobError> {
        sync_folder(self.path(name).parent().unwrap_or(&self.folder))?;
        sync_folder(&self.folder)
    }
}

/// A folder of its owner alone, like the files in it; one that is there stays as it is.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A new name is durable once its folder is.
fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    Ok(File::open(folder)?.sync_all()?)
}

impl Blobs for LocalBlobs {
    fn create(&self, name: &BlobName) -> Result<(), BlobError> {
        self.make(name)?.sync_all()?;
        self.sync_entry(name)
    }

    fn append(&self, name: &BlobName, len: u64) -> Result<Box<dyn BlobWriter>, BlobError> {
        let mut file = OpenOptions::new().write(true).open(self.path(name))?;
        if file.metadata()?.len() < len {
            return Err(BlobError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob is shorter than it was")));
        }
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Box::new(Writer(file)))
    }

    fn open(&self, name: &BlobName) -> Result<Box<dyn BlobReader>, BlobError> {
        Ok(Box::new(Reader(File::open(self.path(name))?)))
    }

    /// Where the kernel is older than 5.12, or somebody keeps it from this call, there is none.
    fn open_now(&self, name: &BlobName) -> Option<Box<dyn BlobReader>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat2(CWD, self.path(name), flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
        Some(Box::new(Reader(File::from(file))))
    }

    fn source_file(&self, name: &BlobName) -> Result<File, BlobError> {
        Ok(File::open(self.path(name))?)
    }

    fn output_file(&self, name: &BlobName) -> Result<File, BlobError> {
        self.make(name)
    }

    fn sync_output(&self, name: &BlobName) -> Result<u64, BlobError> {
        let file = File::open(self.path(name))?;
        file.sync_all()?;
        self.sync_entry(name)?;
        Ok(file.metadata()?.len())
    }

    fn concat(&self, parts: &[BlobName], to: &BlobName) -> Result<u64, BlobError> {
        let mut file = self.make(to)?;
        let copied = parts.iter().try_for_each(|part| copy(&File::open(self.path(part))?, &mut file));
        let done = copied.and_then(|()| file.sync_all().map_err(BlobError::from)).and_then(|()| self.sync_entry(to));
        if let Err(error) = done {
            // What is there of it would only take room.
            let _ = fs::remove_file(self.path(to));
            return Err(error);
        }
        Ok(file.metadata()?.len())
    }

    fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn list(&self) -> Result<Vec<BlobName>, BlobError> {
        let mut names = Vec::new();
        for shard in fs::read_dir(&self.folder)? {
            let shard = shard?;
            if !shard.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(shard.path())? {
                // Whatever else lies there is not ours to touch.
                let name =
                    [shard.file_name(), entry?.file_name()].map(|part| part.to_string_lossy().into_owned()).concat();
                names.extend(BlobName::parse(&name).ok());
            }
        }
        names.sort();
        Ok(names)
    }

    fn free_bytes(&self) -> Result<Option<u64>, BlobError> {
        let stat = rustix::fs::statvfs(&self.folder).map_err(io::Error::from)?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
}

/// The kernel copies, or shares the blocks, where the file system can (`copy_file_range`, which `io::copy` uses).
fn copy(from: &File, to: &mut File) -> Result<(), BlobError> {
    let mut from = io::BufReader::with_capacity(COPY_BYTES, from);
    io::copy(&mut from, to)?;
    Ok(())
}

struct Writer(File);

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        Ok(self.0.write_all(bytes)?)
    }

    fn sync(&mut self) -> Result<(), BlobError> {
        Ok(self.0.sync_data()?)
    }

    fn cut(&mut self, len: u64) -> Result<(), BlobError> {
        self.0.set_len(len)?;
        self.0.seek(SeekFrom::Start(len))?;
        Ok(())
    }
}

struct Reader(File);

impl BlobReader for Reader {
    fn len(&self) -> Result<u64, BlobError> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, BlobError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    /// File systems that cannot tell what is in memory refuse.
    fn read_now(&self, offset: u64, buffer: &mut [u8]) -> usize {
        preadv2(&self.0, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::conformance::blobs::{BlobsFixture, blobs_conformance};

    fn fresh() -> BlobsFixture {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("blobs");
        let open = move || -> Box<dyn Blobs> { Box::new(LocalBlobs::open(&path).expect("the folder is writable")) };
        BlobsFixture { blobs: open(), again: Some(Box::new(open)), _folder: Some(folder) }
    }

    blobs_conformance!(fresh);

    #[test]
    fn what_lies_between_the_blobs_and_is_none_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = LocalBlobs::open(folder.path()).expect("the folder is writable");
        let name = BlobName::parse("0123456789abcdefghijkm").expect("a name");
        blobs.create(&name).expect("the name is free");
        for stranger in ["lost+found", "01/README", "01/23456789abcdefghijkm.bak", "01/23456789ABCDEFGHIJKM"] {
            fs::write(folder.path().join(stranger), "x").expect("a small file");
        }
        assert_eq!(blobs.list().expect("readable"), [name]);
        assert!(folder.path().join("01/README").exists());
    }

    #[test]
    fn nobody_else_on_the_machine_reads_blobs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = LocalBlobs::open(&folder.path().join("blobs")).expect("the folder is writable");
        let name = BlobName::parse("0123456789abcdefghijkm").expect("a name");
        blobs.create(&name).expect("the name is free");
        for (path, expect) in [("blobs", 0o700), ("blobs/01", 0o700), ("blobs/01/23456789abcdefghijkm", 0o600)] {
            let mode = fs::metadata(folder.path().join(path)).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, expect, "{path}");
        }
    }
}
