use std::sync::{Arc, Mutex};

use futures_util::stream::{self, StreamExt};
use telstar_units::UploadName;

use super::*;
use crate::vod::uploads::writers::Writers;

/// A disk with so much room.
#[derive(Clone)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl BlobWriter for Disk {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let mut held = self.bytes.lock().expect("one test");
        let fits = bytes.len().min(self.room - held.len());
        held.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(BlobError::Full) } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), BlobError> {
        Ok(())
    }

    fn cut(&mut self, len: u64) -> Result<(), BlobError> {
        self.bytes.lock().expect("one test").truncate(len as usize);
        Ok(())
    }
}

/// A client that sends a piece after each of these seconds, and then either ends or falls silent.
fn client(pieces: usize, bytes: usize, every_secs: u64, ends: bool) -> Body {
    let pieces = stream::iter(0..pieces).then(move |_| async move {
        tokio::time::sleep(Duration::from_secs(every_secs)).await;
        Ok::<_, std::io::Error>(Bytes::from(vec![7; bytes]))
    });
    let rest = stream::once(async move {
        if !ends {
            std::future::pending::<()>().await;
        }
        Ok(Bytes::new())
    });
    Body::from_stream(pieces.chain(rest))
}

struct Outcome {
    stored: Stored,
    on_disk: usize,
    acknowledged: Vec<u64>,
    received: u64,
}

async fn stored(body: Body, max: u64, disk: usize, checksum: Option<Checksum>, refuses: bool) -> Outcome {
    stored_until(u64::MAX, body, max, disk, checksum, refuses).await
}

/// The same where nothing more is taken after so many bytes.
async fn stored_until(
    enough: u64,
    body: Body,
    max: u64,
    disk: usize,
    checksum: Option<Checksum>,
    refuses: bool,
) -> Outcome {
    let tasks = Tasks::new(Arc::default());
    let name = UploadName::parse("0123456789abcdefghijkm").expect("a name");
    let Ok(turn) = Writers::default().take(&name).await else { panic!("free") };
    let disk = Disk { bytes: Arc::default(), room: disk };
    let target = Target { writer: Box::new(disk.clone()), from: 0, max, checksum };
    let received = Counter::default();
    let mut acknowledged = Vec::new();
    let stored = store(&tasks, &received, &turn, target, body, |ask| {
        let word = match ask {
            Ask::OnDisk(len) => {
                acknowledged.push(len);
                if refuses { Word::Refused(UploadError::NoRoom) } else { Word::More }
            }
            Ask::GoOn if received.get() > enough => Word::Enough(UploadError::DiskFull),
            Ask::GoOn => Word::More,
        };
        async move { word }
    })
    .await;
    let on_disk = disk.bytes.lock().expect("one test").len();
    Outcome { stored, on_disk, acknowledged, received: received.get() }
}

const MIB: usize = 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn whoever_sends_next_to_nothing_does_not_keep_a_place() {
    let begin = Instant::now();
    let drops = stored(client(1_000, 1, 25, true), 1 << 40, MIB, None, false).await;
    assert!(matches!(drops.stored.end, End::Broken));
    assert!(begin.elapsed() <= SLOWEST_WITHIN + Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!((drops.stored.len, drops.on_disk), (2, 2), "what came is kept");
    let silent = stored(client(3, 1_000, 0, false), 1 << 40, MIB, None, false).await;
    assert!(matches!(silent.stored.end, End::Broken));
    assert_eq!(silent.on_disk, 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_goes_on_for_as_long_as_it_takes_and_loses_little() {
    let begin = Instant::now();
    let slow = stored(client(1_000, 4_096, 10, true), 1 << 40, 8 * MIB, None, false).await;
    assert!(matches!(slow.stored.end, End::Whole) && begin.elapsed() >= Duration::from_secs(10_000));
    assert_eq!((slow.stored.len, slow.received), (4_096_000, 4_096_000));
    assert!(slow.acknowledged.len() >= 900, "what came in {SYNC_AFTER:?} is acknowledged: {}", slow.acknowledged.len());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_up_keeps_what_was_acknowledged_and_no_more() {
    let full = stored(client(100, MIB, 0, true), 1 << 40, 70 * MIB, None, false).await;
    assert!(matches!(full.stored.end, End::Failed(BlobError::Full)));
    assert_eq!(full.acknowledged, [64 * MIB as u64]);
    assert_eq!((full.stored.len, full.on_disk), (64 * MIB as u64, 64 * MIB));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_must_stay_free_is_looked_at_before_much_is_written() {
    let enough = 20 * MIB as u64;
    let ends = stored_until(enough, client(100, MIB, 0, true), 1 << 40, 128 * MIB, None, false).await;
    assert!(matches!(ends.stored.end, End::Enough(UploadError::DiskFull)));
    assert!((enough..enough + 2 * LOOK_BYTES).contains(&ends.stored.len), "{}", ends.stored.len);
    assert_eq!(ends.stored.len, ends.on_disk as u64, "what came is kept");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_acknowledged_takes_no_room() {
    let refused = stored(client(100, MIB, 0, true), 1 << 40, 128 * MIB, None, true).await;
    assert!(matches!(refused.stored.end, End::Refused(UploadError::NoRoom)));
    assert_eq!((refused.stored.len, refused.on_disk), (0, 0));
    let too_long = stored(client(3, 1_000, 0, true), 2_999, MIB, None, false).await;
    assert!(matches!(too_long.stored.end, End::TooLong));
    assert_eq!((too_long.stored.len, too_long.on_disk), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_with_a_checksum_is_kept_before_it_was_counted() {
    let checksum = Checksum::parse("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("20 zeros");
    for body in [client(100, MIB, 0, true), client(10, 10_000, 11, true), client(3, 1_000, 0, false)] {
        let wrong = stored(body, 1 << 40, 128 * MIB, Some(checksum.clone()), false).await;
        assert!(matches!(wrong.stored.end, End::Mismatch | End::Broken));
        assert_eq!((wrong.stored.len, wrong.on_disk, wrong.acknowledged), (0, 0, Vec::new()));
    }
}
