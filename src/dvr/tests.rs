//! The disk's side of the DVR window: what is answered, what a killed writer leaves, what is refused.

use std::sync::mpsc;

use bytes::Bytes;
use telstar_hls::{CodecFacts, Init};
use telstar_units::{Epoch, Timescale, WallTime};
use tempfile::TempDir;

use super::*;

const ROOM: RoomId = RoomId(7);
/// Longer than a disk takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn settings(data: &TempDir) -> DvrSettings {
    DvrSettings { data: data.path().to_owned(), bytes_max: 1 << 30, free_bytes_min: 0 }
}

fn name() -> RoomName {
    RoomName::parse("demo").expect("a room name")
}

fn init() -> KeptInit {
    let facts =
        CodecFacts { rfc6381: Some("avc1.64001f".into()), size: Some((1_280, 720)), channels: None, range: None };
    KeptInit {
        kind: MediaKind::Video,
        init: Init { epoch: Epoch(1), number: 1, bytes: Bytes::from_static(b"an init segment"), facts },
        timescale: Timescale::VIDEO,
        part_target_ms: 334,
        target_duration_secs: 2,
        frame_rate: Some(29.97),
    }
}

/// A gap: it has facts and no bytes, which is all that can be made here without a packager.
fn gap(msn: u64) -> Arc<Segment> {
    Arc::new(Segment {
        epoch: Epoch(1),
        msn,
        init: 1,
        discontinuity: false,
        discontinuity_sequence: 0,
        wall: WallTime(0),
        independent: true,
        gap: true,
        parts: Vec::new(),
        duration_secs: Some(2.0),
        timescale: Timescale::VIDEO,
        first_entry: msn,
        pictures: Vec::new(),
        kept: None,
    })
}

/// Keeps a segment and returns the answer.
fn keep(dvr: &Dvr, segment: Arc<Segment>) -> bool {
    let (tell, told) = mpsc::channel();
    let answer = Answer::new(move |is_kept| tell.send(is_kept).expect("somebody waits"));
    dvr.keep(ROOM, MediaKind::Video, segment, 1, answer);
    told.recv_timeout(PATIENCE).expect("every segment is answered")
}

#[test]
fn what_was_answered_is_there_after_a_restart_that_nobody_announced() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let (dvr, kept) = Dvr::start(&settings(&data)).expect("started");
    assert!(kept.is_empty());
    dvr.begin(ROOM, name());
    dvr.keep_init(ROOM, init());
    assert!((1..=5).all(|msn| keep(&dvr, gap(msn))));
    dvr.note_next(ROOM, 7);
    dvr.discard(ROOM, MediaKind::Video, 2);
    dvr.shutdown(PATIENCE);
    // A write that was cut short.
    let folder = folder::path(&data.path().join(FOLDER), ROOM);
    std::fs::write(folder.join("draft"), b"half").expect("written");
    let mut index = std::fs::read(folder.join("index")).expect("there");
    index.extend_from_slice(b"0badc0de {\"is\":\"ne");
    std::fs::write(folder.join("index"), index).expect("written");

    let (dvr, kept) = Dvr::start(&settings(&data)).expect("started");
    let [KeptRoom { room: ROOM, listing, .. }] = kept.as_slice() else { panic!("{kept:?}") };
    let numbers: Vec<u64> = listing.segments.iter().map(|(_, segment)| segment.msn).collect();
    // Number 1 was discarded, so the window slid, and players may have seen one number more than was kept.
    assert_eq!((numbers.as_slice(), listing.next_msn), (&[4, 5][..], 7));
    assert_eq!(listing.inits[0].init.bytes, init().init.bytes);
    assert!(!folder.join("draft").exists());
    assert!(keep(&dvr, gap(6)), "it goes on behind what was there");
    dvr.remove(ROOM);
    dvr.shutdown(PATIENCE);
    assert!(!folder.exists(), "a deleted room leaves nothing");
}

#[test]
fn a_disk_without_room_keeps_nothing_and_says_so() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let full = DvrSettings { free_bytes_min: u64::MAX, ..settings(&data) };
    let (dvr, _) = Dvr::start(&full).expect("started");
    dvr.begin(ROOM, name());
    dvr.keep_init(ROOM, init());
    assert!(!keep(&dvr, gap(1)));
    assert_eq!(dvr.counters().lost_segments.load(Ordering::Relaxed), 1);
    dvr.shutdown(PATIENCE);
    assert!(!keep(&dvr, gap(2)), "after the end nothing is kept");
}

#[test]
fn what_waits_for_a_disk_that_hangs_is_bounded() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let (dvr, _) = Dvr::start(&settings(&data)).expect("started");
    dvr.begin(ROOM, name());
    let (go_on, hangs) = mpsc::channel::<()>();
    let hang = Answer::new(move |_| {
        let _ = hangs.recv_timeout(PATIENCE);
    });
    dvr.keep(ROOM, MediaKind::Video, gap(1), 1, hang);
    for msn in 2..QUEUE_JOBS_MAX as u64 * 2 {
        dvr.note_next(ROOM, msn);
        dvr.discard(ROOM, MediaKind::Video, msn - 1);
    }
    assert!(!keep(&dvr, gap(2)), "refused at once");
    assert!(dvr.shared.lock().jobs.len() <= QUEUE_JOBS_MAX);
    dvr.ended(ROOM);
    assert!(matches!(dvr.shared.lock().jobs.back(), Some(Job::Ended { .. })), "what is said once is noted");
    go_on.send(()).expect("the disk waits");
    dvr.shutdown(PATIENCE);
}

#[test]
fn init_segments_go_with_the_last_segment_that_needs_them() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let (dvr, _) = Dvr::start(&settings(&data)).expect("started");
    dvr.begin(ROOM, name());
    let numbered = |number| KeptInit { init: Init { number, ..init().init }, ..init() };
    for number in 1..=3 {
        dvr.keep_init(ROOM, numbered(number));
        assert!(keep(&dvr, Arc::new(Segment { init: number, ..(*gap(number.into())).clone() })));
    }
    // The one that was written last is needed by what follows.
    dvr.discard(ROOM, MediaKind::Video, 3);
    dvr.shutdown(PATIENCE);
    let folder = folder::path(&data.path().join(FOLDER), ROOM);
    let is_there = |number: u32| folder.join(format!("v-1-init-{number}.mp4")).exists();
    assert_eq!([1, 2, 3].map(is_there), [false, false, true]);
}

#[test]
fn a_segment_without_its_init_segment_ends_the_window_behind_it() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let (dvr, _) = Dvr::start(&settings(&data)).expect("started");
    dvr.begin(ROOM, name());
    dvr.keep_init(ROOM, init());
    assert!((1..=2).all(|msn| keep(&dvr, gap(msn))));
    dvr.keep_init(ROOM, KeptInit { init: Init { number: 2, ..init().init }, ..init() });
    assert!((3..=4).all(|msn| keep(&dvr, Arc::new(Segment { init: 2, ..(*gap(msn)).clone() }))));
    dvr.shutdown(PATIENCE);
    let folder = folder::path(&data.path().join(FOLDER), ROOM);
    std::fs::remove_file(folder.join("v-1-init-1.mp4")).expect("there");
    let (dvr, kept) = Dvr::start(&settings(&data)).expect("started");
    let [KeptRoom { listing, .. }] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(listing.segments.iter().map(|(_, segment)| segment.msn).collect::<Vec<_>>(), [3, 4]);
    dvr.shutdown(PATIENCE);
}

#[test]
fn a_folder_that_says_nothing_is_deleted_and_so_is_all_of_it_without_a_window() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let folder = data.path().join(FOLDER);
    std::fs::create_dir_all(folder.join("7")).expect("made");
    std::fs::write(folder.join("7").join("index"), b"not an index\n").expect("written");
    std::fs::create_dir_all(folder.join("stray")).expect("made");
    let (dvr, kept) = Dvr::start(&settings(&data)).expect("started");
    assert!(kept.is_empty() && std::fs::read_dir(&folder).expect("there").next().is_none());
    dvr.shutdown(PATIENCE);
    Dvr::clear(data.path()).expect("cleared");
    assert!(!folder.exists());
}
