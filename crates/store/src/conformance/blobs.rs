//! What every backend of blobs must do: each sentence of [`Blobs`] as a case.
//!
//! That what is said to be durable outlives a machine is not to be seen from here: `tests/forgetful` cuts its power.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use telstar_units::BlobName;

use crate::{BlobError, Blobs};

/// A backend without blobs, and a way to open the same data again; one without durable data has none.
pub(crate) struct BlobsFixture {
    pub blobs: Box<dyn Blobs>,
    pub again: Option<Box<dyn Fn() -> Box<dyn Blobs>>>,
    /// Keeps the data's folder until the case is over.
    pub _folder: Option<tempfile::TempDir>,
}

impl BlobsFixture {
    /// As another process would find it.
    fn reopened(self) -> BlobsFixture {
        let Some(again) = &self.again else { return self };
        let blobs = again();
        BlobsFixture { blobs, ..self }
    }
}

macro_rules! blobs_conformance {
    ($fresh:expr) => {
        crate::conformance::conformance!($fresh;
            blobs::a_blob_is_made_once_and_is_empty,
            blobs::what_is_not_there_is_not_found,
            blobs::a_blob_grows_at_its_end,
            blobs::to_go_on_cuts_what_nobody_was_told_of,
            blobs::a_blob_that_is_shorter_than_it_was_is_not_gone_on_with,
            blobs::a_writer_takes_back_what_stands_behind,
            blobs::fewer_bytes_are_read_only_at_the_end,
            blobs::who_must_not_wait_reads_the_same_or_nothing,
            blobs::a_reader_sees_what_was_written_since,
            blobs::a_source_file_is_the_blob_to_read,
            blobs::an_output_file_becomes_a_blob_of_its_length,
            blobs::parts_are_joined_in_their_order,
            blobs::what_cannot_be_joined_leaves_nothing,
            blobs::a_blob_is_deleted_alone_and_as_often_as_anyone_likes,
            blobs::every_blob_is_listed_once,
            blobs::room_is_told_where_it_has_an_end,
        );
    };
}
pub(crate) use blobs_conformance;

/// Names that begin alike, so that what keeps them in folders has two in one.
fn name(number: u8) -> BlobName {
    BlobName::parse(&format!("0123456789abcdefghij{number:02}")).expect("the test writes names")
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Makes a blob with these bytes.
fn put(blobs: &dyn Blobs, name: &BlobName, bytes: &[u8]) {
    blobs.create(name).expect("the name is free");
    append(blobs, name, 0, bytes);
}

fn append(blobs: &dyn Blobs, name: &BlobName, len: u64, bytes: &[u8]) {
    let mut writer = blobs.append(name, len).expect("it is there");
    writer.write(bytes).and_then(|()| writer.sync()).expect("there is room");
}

/// All of a blob, which is as long as it says.
fn read(blobs: &dyn Blobs, name: &BlobName) -> Vec<u8> {
    let reader = blobs.open(name).expect("it is there");
    let len = reader.len().expect("readable");
    // A little more than there is.
    let mut buffer = vec![0; len as usize + 10];
    let read = reader.read_at(0, &mut buffer).expect("readable");
    assert_eq!(read as u64, len);
    buffer.truncate(read);
    buffer
}

#[track_caller]
fn assert_not_found<T>(outcome: Result<T, BlobError>) {
    assert!(matches!(outcome.err(), Some(BlobError::NotFound)));
}

#[track_caller]
fn assert_exists<T>(outcome: Result<T, BlobError>) {
    assert!(matches!(outcome.err(), Some(BlobError::Exists)));
}

pub(crate) fn a_blob_is_made_once_and_is_empty(fixture: BlobsFixture) {
    fixture.blobs.create(&name(1)).expect("the name is free");
    assert_exists(fixture.blobs.create(&name(1)));
    append(&*fixture.blobs, &name(1), 0, b"kept");
    assert_exists(fixture.blobs.create(&name(1)));
    fixture.blobs.create(&name(2)).expect("the name is free");
    let fixture = fixture.reopened();
    assert_eq!(read(&*fixture.blobs, &name(1)), b"kept");
    assert_eq!(read(&*fixture.blobs, &name(2)), b"");
    assert_exists(fixture.blobs.create(&name(2)));
}

pub(crate) fn what_is_not_there_is_not_found(fixture: BlobsFixture) {
    let blobs = &*fixture.blobs;
    put(blobs, &name(1), b"another");
    assert_not_found(blobs.append(&name(2), 0));
    assert_not_found(blobs.open(&name(2)));
    assert!(blobs.open_now(&name(2)).is_none());
    assert_not_found(blobs.source_file(&name(2)));
    assert_not_found(blobs.sync_output(&name(2)));
    assert_not_found(blobs.concat(&[name(2)], &name(3)));
    assert_eq!(blobs.list().expect("readable"), [name(1)], "nothing was made by asking");
}

pub(crate) fn a_blob_grows_at_its_end(fixture: BlobsFixture) {
    let blobs = &*fixture.blobs;
    blobs.create(&name(1)).expect("the name is free");
    let mut writer = blobs.append(&name(1), 0).expect("it is there");
    for part in [&b"one "[..], b"", b"two "] {
        writer.write(part).expect("there is room");
    }
    writer.sync().expect("there is room");
    writer.write(b"three ").and_then(|()| writer.sync()).expect("it goes on behind a sync");
    drop(writer);
    let fixture = fixture.reopened();
    append(&*fixture.blobs, &name(1), 14, b"four");
    assert_eq!(read(&*fixture.reopened().blobs, &name(1)), b"one two three four");
}

pub(crate) fn to_go_on_cuts_what_nobody_was_told_of(fixture: BlobsFixture) {
    put(&*fixture.blobs, &name(1), b"told and not told");
    append(&*fixture.blobs, &name(1), 4, b"!");
    assert_eq!(read(&*fixture.blobs, &name(1)), b"told!");
    // Opening alone does it.
    drop(fixture.blobs.append(&name(1), 2).expect("it is there"));
    assert_eq!(read(&*fixture.reopened().blobs, &name(1)), b"to");
}

pub(crate) fn a_blob_that_is_shorter_than_it_was_is_not_gone_on_with(fixture: BlobsFixture) {
    let blobs = &*fixture.blobs;
    put(blobs, &name(1), b"short");
    for len in [6, u64::MAX] {
        assert!(matches!(blobs.append(&name(1), len).err(), Some(BlobError::Io(_))), "{len}");
    }
    assert_eq!(read(blobs, &name(1)), b"short", "it is not filled up");
}

pub(crate) fn a_writer_takes_back_what_stands_behind(fixture: BlobsFixture) {
    fixture.blobs.create(&name(1)).expect("the name is free");
    let mut writer = fixture.blobs.append(&name(1), 0).expect("it is there");
    writer.write(b"good, bad").and_then(|()| writer.cut(4)).expect("there is room");
    writer.write(b" again").and_then(|()| writer.sync()).expect("there is room");
    writer.write(b" and again").and_then(|()| writer.sync()).and_then(|()| writer.cut(10)).expect("there is room");
    drop(writer);
    assert_eq!(read(&*fixture.reopened().blobs, &name(1)), b"good again");
}

pub(crate) fn fewer_bytes_are_read_only_at_the_end(fixture: BlobsFixture) {
    let (blobs, whole) = (&*fixture.blobs, bytes(300_000));
    put(blobs, &name(1), &whole);
    let reader = blobs.open(&name(1)).expect("it is there");
    assert_eq!(reader.len().expect("readable"), 300_000);
    for (offset, len) in
        [(0, 300_000), (0, 1), (123_456, 100_000), (299_990, 10), (299_990, 100), (300_000, 5), (1 << 40, 5), (7, 0)]
    {
        let mut buffer = vec![0; len];
        let read = reader.read_at(offset as u64, &mut buffer).expect("readable");
        assert_eq!(read, whole.len().saturating_sub(offset).min(len), "{offset} {len}");
        assert!(buffer[..read] == whole[offset.min(whole.len())..][..read], "{offset} {len}");
    }
}

pub(crate) fn who_must_not_wait_reads_the_same_or_nothing(fixture: BlobsFixture) {
    let (blobs, whole) = (&*fixture.blobs, bytes(100_000));
    put(blobs, &name(1), &whole);
    // Both may say that they cannot; what they do say is right.
    let readers = [blobs.open_now(&name(1)), blobs.open(&name(1)).ok()];
    for reader in readers.into_iter().flatten() {
        assert_eq!(reader.len().expect("readable"), 100_000);
        for (offset, len) in [(0, 100_000), (99_990, 100), (5, 0), (100_000, 10), (200_000, 10)] {
            let mut buffer = vec![0; len];
            let read = reader.read_now(offset as u64, &mut buffer);
            assert!(read <= whole.len().saturating_sub(offset).min(len), "{offset} {len}");
            assert!(buffer[..read] == whole[offset.min(whole.len())..][..read], "{offset} {len}");
        }
        let mut buffer = [0; 10];
        assert_eq!(reader.read_at(99_995, &mut buffer).expect("readable"), 5);
        assert_eq!(buffer[..5], whole[99_995..]);
    }
}

pub(crate) fn a_reader_sees_what_was_written_since(fixture: BlobsFixture) {
    let blobs = &*fixture.blobs;
    blobs.create(&name(1)).expect("the name is free");
    let reader = blobs.open(&name(1)).expect("it is there");
    assert_eq!(reader.len().expect("readable"), 0);
    append(blobs, &name(1), 0, b"later");
    let mut buffer = [0; 10];
    assert_eq!(reader.len().expect("readable"), 5);
    assert_eq!(reader.read_at(1, &mut buffer).expect("readable"), 4);
    assert_eq!(&buffer[..4], b"ater");
}

pub(crate) fn a_source_file_is_the_blob_to_read(fixture: BlobsFixture) {
    put(&*fixture.blobs, &name(1), b"the source");
    let mut file = fixture.blobs.source_file(&name(1)).expect("it is there");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("readable");
    assert_eq!(text, "the source");
    // A worker seeks in it, and changes nothing.
    file.seek(SeekFrom::Start(4)).expect("it is a file");
    text.clear();
    file.read_to_string(&mut text).expect("readable");
    assert_eq!(text, "source");
    assert!(file.write_all(b"x").is_err(), "it is to be read");
    assert_eq!(read(&*fixture.blobs, &name(1)), b"the source");
}

pub(crate) fn an_output_file_becomes_a_blob_of_its_length(fixture: BlobsFixture) {
    let mut file: File = fixture.blobs.output_file(&name(1)).expect("the name is free");
    assert_exists(fixture.blobs.output_file(&name(1)));
    assert_exists(fixture.blobs.create(&name(1)));
    assert_eq!(file.metadata().expect("it is a file").len(), 0);
    file.write_all(b"headless").expect("there is room");
    assert_eq!(fixture.blobs.sync_output(&name(1)).expect("it is there"), 8);
    // Writers of files go back to their beginning.
    file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(b"HEAD")).expect("there is room");
    file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(b" no more")).expect("there is room");
    assert_eq!(fixture.blobs.sync_output(&name(1)).expect("it is there"), 16);
    drop(file);
    assert_eq!(read(&*fixture.reopened().blobs, &name(1)), b"HEADless no more");
}

pub(crate) fn parts_are_joined_in_their_order(fixture: BlobsFixture) {
    // Longer than what is copied at once.
    let long = bytes(2_500_000);
    for (number, part) in [(1, &long[..]), (2, b""), (3, b"three"), (4, b"four")] {
        put(&*fixture.blobs, &name(number), part);
    }
    let parts = [4, 1, 2, 3, 4].map(name);
    assert_eq!(fixture.blobs.concat(&parts, &name(9)).expect("there is room"), 2_500_013);
    assert_eq!(fixture.blobs.concat(&[], &name(8)).expect("there is room"), 0);
    let fixture = fixture.reopened();
    let expect = [b"four", &long[..], b"three", b"four"].concat();
    assert!(read(&*fixture.blobs, &name(9)) == expect);
    assert_eq!(read(&*fixture.blobs, &name(8)), b"");
    assert_eq!(read(&*fixture.blobs, &name(3)), b"three", "the parts stay");
    // It is one like any other.
    append(&*fixture.blobs, &name(9), 4, b"!");
    assert_eq!(read(&*fixture.blobs, &name(9)), b"four!");
}

pub(crate) fn what_cannot_be_joined_leaves_nothing(fixture: BlobsFixture) {
    let blobs = &*fixture.blobs;
    put(blobs, &name(1), b"one");
    put(blobs, &name(2), b"two");
    assert_not_found(blobs.concat(&[name(1), name(7), name(2)], &name(9)));
    assert_exists(blobs.concat(&[name(1)], &name(2)));
    assert_eq!(blobs.list().expect("readable"), [name(1), name(2)]);
    assert_eq!(read(blobs, &name(2)), b"two", "what stood there is untouched");
    assert_eq!(blobs.concat(&[name(1), name(2)], &name(9)).expect("the name is still free"), 6);
}

pub(crate) fn a_blob_is_deleted_alone_and_as_often_as_anyone_likes(fixture: BlobsFixture) {
    put(&*fixture.blobs, &name(1), b"one");
    put(&*fixture.blobs, &name(2), b"two");
    fixture.blobs.delete(&name(1)).expect("deleted");
    fixture.blobs.delete(&name(1)).expect("one that is gone is no error");
    fixture.blobs.delete(&name(3)).expect("nor is one that never was");
    let fixture = fixture.reopened();
    assert_not_found(fixture.blobs.open(&name(1)));
    assert_eq!(read(&*fixture.blobs, &name(2)), b"two");
    put(&*fixture.blobs, &name(1), b"anew");
    assert_eq!(read(&*fixture.blobs, &name(1)), b"anew", "the name is free again, and nothing of the old one is in it");
}

pub(crate) fn every_blob_is_listed_once(fixture: BlobsFixture) {
    assert!(fixture.blobs.list().expect("readable").is_empty());
    put(&*fixture.blobs, &name(1), b"written");
    fixture.blobs.create(&name(2)).expect("the name is free");
    drop(fixture.blobs.output_file(&name(3)).expect("the name is free"));
    fixture.blobs.concat(&[name(1)], &name(4)).expect("there is room");
    put(&*fixture.blobs, &name(5), b"deleted");
    fixture.blobs.delete(&name(5)).expect("deleted");
    let elsewhere = BlobName::parse("zz23456789abcdefghijkm").expect("a name");
    fixture.blobs.create(&elsewhere).expect("the name is free");
    let mut listed = fixture.reopened().blobs.list().expect("readable");
    listed.sort();
    assert_eq!(listed, [name(1), name(2), name(3), name(4), elsewhere]);
}

pub(crate) fn room_is_told_where_it_has_an_end(fixture: BlobsFixture) {
    let Some(free) = fixture.blobs.free_bytes().expect("readable") else { return };
    // A test that can write anything has this much.
    assert!(free > 4_096, "{free}");
    put(&*fixture.blobs, &name(1), &bytes(4_096));
    assert!(fixture.blobs.free_bytes().expect("readable").is_some(), "an end stays one");
}
