//! Files of the data folder: private by default, whole or not there at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The data folder: its owner only.
const FOLDER_MODE: u32 = 0o700;
/// Keys: their owner only.
const FILE_MODE: u32 = 0o600;

/// Makes the data folder with everything above it, readable by its owner only. One that exists is left as it is. When
/// this returns, a loss of power does not take it away again.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let made = path.ancestors().take_while(is_new).count();
    if made > 0 {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    }
    // A name is durable only after the folder that it is in; whoever made the last one may have died before that.
    for folder in path.ancestors().skip(1).take(made.max(1)) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match fs::File::open(folder).and_then(|folder| folder.sync_all()) {
            // It is not ours to read, and neither was it ours to make.
            Err(error) if made == 0 && error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Writes a file that only its owner can read. After a crash it is the old one, the new one, or absent; never half.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    // A draft left by a crash may have been made under another mode.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // The name is durable only after its folder is.
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Whether others than the owner may read or write `path`.
pub fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}
