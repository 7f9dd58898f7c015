//! The disk as programs meet it: mounted.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use telstar_forgetful::{Forgetful, Loss, Moment};

/// A mounted one; none on machines without FUSE, which is said.
fn mounted(at: &Path) -> Option<Forgetful> {
    match Forgetful::mount(at) {
        Ok(disk) => Some(disk),
        Err(error) => {
            eprintln!("skipped: nothing can be mounted here: {error}");
            None
        }
    }
}

fn synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    File::open(path.parent().expect("a folder"))?.sync_all()
}

#[test]
fn a_loss_of_power_takes_what_was_not_synced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(mut disk) = mounted(folder.path()) else { return };
    let path = folder.path().join("a/b");
    fs::create_dir(folder.path().join("a")).expect("made");
    synced(&path, b"one").expect("written");
    File::open(folder.path()).and_then(|root| root.sync_all()).expect("synced");
    let mut late = OpenOptions::new().append(true).open(&path).expect("there");
    late.write_all(b" two").expect("written");
    fs::write(folder.path().join("a/c"), "three").expect("written");
    assert_eq!(fs::read(&path).expect("there"), b"one two");
    drop(late);
    disk.lose_power(Loss::Everything).expect("mounted again");
    assert_eq!(fs::read(&path).expect("there"), b"one");
    assert!(!folder.path().join("a/c").exists());
}

#[test]
fn the_power_fails_at_a_sync_and_nothing_works_from_then_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(mut disk) = mounted(folder.path()) else { return };
    let path = folder.path().join("log");
    for (moment, left) in [(Moment::Before, "12"), (Moment::Behind, "123")] {
        let _ = fs::remove_file(&path);
        // Two syncs each.
        disk.fail_at(5, moment);
        let written: Vec<bool> = (1..=4).map(|line| synced(&path, line.to_string().as_bytes()).is_ok()).collect();
        assert_eq!(written, [true, true, false, false], "{moment:?}");
        assert!(disk.has_failed() && fs::metadata(folder.path().join("other")).is_err());
        disk.lose_power(Loss::Everything).expect("mounted again");
        assert_eq!(fs::read_to_string(&path).expect("there"), left, "{moment:?}");
    }
}
