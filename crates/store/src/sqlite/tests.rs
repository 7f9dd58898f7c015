//! The conformance suite on a file and in memory, and what only SQLite can get wrong.

use std::sync::mpsc::sync_channel;

use crate::conformance::{Fixture, at, conformance, founded, new_room};
use crate::{SqliteStore, Store, StoreError};

fn open(path: &std::path::Path) -> Box<dyn Store> {
    Box::new(SqliteStore::open(path).expect("the folder is writable"))
}

mod on_a_file {
    use super::*;

    fn fresh() -> Fixture {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("telstar.db");
        Fixture { store: open(&path), again: Some(Box::new(move || open(&path))), _folder: Some(folder) }
    }

    conformance!(fresh);
}

mod in_memory {
    use super::*;

    fn fresh() -> Fixture {
        Fixture { store: Box::new(SqliteStore::in_memory().expect("memory is there")), again: None, _folder: None }
    }

    conformance!(fresh);
}

#[test]
fn a_full_queue_answers_busy_and_loses_nothing() {
    let store = SqliteStore::in_memory().expect("memory is there");
    let owner = founded(&store);
    let (release, gate) = sync_channel::<()>(0);
    let blocked = store.write(move |_| Ok(gate.recv().is_ok()));
    let mut accepted = Vec::new();
    let busy = loop {
        let answer = store.sweep(at(1));
        // The writer is held, so an answer that is there already is a refusal.
        let mut answer = Box::pin(answer);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match answer.as_mut().poll(&mut context) {
            std::task::Poll::Ready(refusal) => break refusal,
            std::task::Poll::Pending => accepted.push(answer),
        }
        assert!(accepted.len() < 100_000, "the queue has a limit");
    };
    assert_eq!(busy, Err(StoreError::Busy));
    release.send(()).expect("the writer waits for it");
    assert_eq!(blocked.wait(), Ok(true));
    assert!(accepted.into_iter().all(|answer| std::pin::Pin::into_inner(answer).wait().is_ok()));
    assert!(store.create_room(new_room("after"), owner, at(2)).wait().is_ok());
}

#[test]
fn a_commit_that_fails_acknowledges_nothing() {
    let store = SqliteStore::in_memory().expect("memory is there");
    let owner = founded(&store);
    // Ends the batch's transaction behind the writer's back, as a full disk does.
    let saboteur = store.write(|connection| Ok(connection.execute_batch("ROLLBACK")?));
    assert!(matches!(saboteur.wait(), Err(StoreError::Backend(_))));
    assert!(store.create_room(new_room("after"), owner, at(2)).wait().is_ok(), "the next batch is unharmed");
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&folder.path().join("telstar.db"));
    founded(&*store);
    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").map(|file| file.expect("a file")).collect();
    assert!(files.len() >= 2, "the log is beside the file while it is open");
    for file in files {
        let mode = file.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.file_name());
    }
}

#[test]
fn a_file_of_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("telstar.db");
    std::fs::write(&path, "these are a thousand words about something else ".repeat(30)).expect("writable");
    assert_eq!(SqliteStore::open(&path).err(), Some(StoreError::NotOurs));
    let missing = SqliteStore::open(&folder.path().join("no/such/folder/telstar.db"));
    assert!(matches!(missing.err(), Some(StoreError::Backend(_))));
}
