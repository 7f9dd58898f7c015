//! The bytes of a request into a blob, as they come: memory is flat whatever is sent.

use std::mem;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use telstar_store::{BlobError, BlobWriter};
use tokio::time::Instant;

use super::UploadError;
use super::writers::Turn;
use crate::metrics::Counter;
use crate::tasks::Tasks;
use crate::vod::tus::headers::Checksum;
use crate::vod::tus::sum::Sum;

/// Gathered before they are written: a write costs a hand-over to another thread, some 20 us. Higher takes more memory
/// for each upload.
const BATCH_BYTES: usize = 256 * 1024;
/// Pieces that are gathered, whatever they have: a client that sends byte by byte takes no more memory than one that
/// does not.
const BATCH_PIECES_MAX: usize = 256;
/// Written before they are synced and acknowledged. Higher: more is sent again after a loss of power. Lower: the disk
/// is waited for more often.
const SYNC_BYTES: u64 = 64 * 1024 * 1024;
/// Written before it is asked whether there is still room: a look at the disk costs a few us.
const LOOK_BYTES: u64 = 8 * 1024 * 1024;
/// What a slow client sent in so long is synced and acknowledged as well: by its bytes alone it would lose minutes.
const SYNC_AFTER: Duration = Duration::from_secs(10);
/// The slowest upload: so many bytes in [`SLOWEST_WITHIN`], 2.2 kbit/s. Whoever sends less has gone, or holds a place
/// to keep others from it. What came is kept. A GPRS phone sends ten times as much.
const SLOWEST_BYTES: usize = 16 * 1024;
/// A client that sends nothing is waited for so long.
const SLOWEST_WITHIN: Duration = Duration::from_secs(60);

/// How a body ended.
#[derive(Debug)]
pub enum End {
    /// With its last byte.
    Whole,
    /// The connection broke, the client fell silent, another request for the upload came, or the server stops.
    Broken,
    /// It had more bytes than there is room for in the upload.
    TooLong,
    /// Its checksum is another. Nothing of it is kept.
    Mismatch,
    /// It could not be written any further.
    Failed(BlobError),
    /// No more of it is taken. What came is kept.
    Enough(UploadError),
    /// What is on disk of it could not be acknowledged: it is not kept.
    Refused(UploadError),
}

/// What is asked while bytes come.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// So many are on disk: are they acknowledged?
    OnDisk(u64),
    /// Is more to be taken?
    GoOn,
}

/// What is said to it.
pub enum Word {
    /// Yes.
    More,
    /// What there is is good, and nothing more is taken.
    Enough(UploadError),
    /// They cannot be acknowledged.
    Refused(UploadError),
}

/// What became of a body.
#[derive(Debug)]
pub struct Stored {
    /// The length of the blob that is on disk.
    pub len: u64,
    /// How it ended.
    pub end: End,
}

/// Where a body goes.
pub struct Target {
    /// The blob, at its end.
    pub writer: Box<dyn BlobWriter>,
    /// How long it is.
    pub from: u64,
    /// How long it may become.
    pub max: u64,
    /// What the body must come to. Nothing is acknowledged before the end then.
    pub checksum: Option<Checksum>,
}

/// How much longer a client is waited for. Only the waiting counts: a disk may be as slow as it is.
struct Patience {
    left: Duration,
    came: usize,
}

impl Patience {
    const FULL: Patience = Patience { left: SLOWEST_WITHIN, came: 0 };

    fn take(&mut self, waited: Duration, bytes: usize) {
        self.left = self.left.saturating_sub(waited);
        self.came += bytes;
        if self.came >= SLOWEST_BYTES {
            *self = Patience::FULL;
        }
    }
}

/// Writes `body` to `target` until it ends. `ask` is told each length that is on disk, but for the last.
pub async fn store<Answer>(
    tasks: &Tasks,
    received: &Counter,
    turn: &Turn,
    target: Target,
    mut body: Body,
    mut ask: impl FnMut(Ask) -> Answer,
) -> Stored
where
    Answer: Future<Output = Word>,
{
    let Target { mut writer, from, max, checksum } = target;
    let mut stopping = std::pin::pin!(tasks.stopping());
    let mut sum = checksum.as_ref().map(|checksum| Sum::new(checksum.algorithm));
    let (mut len, mut synced, mut looked, mut room) = (from, from, from, max.saturating_sub(from));
    let (mut synced_at, mut patience) = (Instant::now(), Patience::FULL);
    let mut batch: Vec<Bytes> = Vec::new();
    let mut gathered = 0;
    let end = loop {
        let waits_from = Instant::now();
        // Cancel-safe: whatever ends it, the body is not read any further.
        let next = tokio::select! {
            next = tokio::time::timeout(patience.left, body.frame()) => next,
            () = turn.asked_to_give_way() => break End::Broken,
            () = &mut stopping => break End::Broken,
        };
        let data = match next {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                // A trailer.
                Err(_) => continue,
            },
            Ok(None) => break End::Whole,
            Ok(Some(Err(_))) | Err(_) => break End::Broken,
        };
        patience.take(waits_from.elapsed(), data.len());
        if data.len() as u64 > room {
            break End::TooLong;
        }
        room -= data.len() as u64;
        received.add(data.len() as u64);
        gathered += data.len();
        batch.push(data);
        let is_late = synced_at.elapsed() >= SYNC_AFTER;
        if gathered < BATCH_BYTES && batch.len() < BATCH_PIECES_MAX && !is_late {
            continue;
        }
        let is_due = checksum.is_none() && (is_late || len + gathered as u64 - synced >= SYNC_BYTES);
        let (again, sum_again, outcome) = write(tasks, writer, sum, mem::take(&mut batch), is_due).await;
        (writer, sum) = (again, sum_again);
        if let Err(error) = outcome {
            return cut(tasks, writer, synced, End::Failed(error)).await;
        }
        len += mem::take(&mut gathered) as u64;
        if is_late {
            synced_at = Instant::now();
        }
        if is_due {
            match ask(Ask::OnDisk(len)).await {
                Word::More => (synced, synced_at) = (len, Instant::now()),
                Word::Enough(error) => break End::Enough(error),
                Word::Refused(error) => return cut(tasks, writer, synced, End::Refused(error)).await,
            }
        }
        if len - looked >= LOOK_BYTES {
            looked = len;
            match ask(Ask::GoOn).await {
                Word::More => {}
                Word::Enough(error) | Word::Refused(error) => break End::Enough(error),
            }
        }
    };
    let is_refused = matches!(end, End::TooLong) || (checksum.is_some() && !matches!(end, End::Whole));
    if is_refused {
        // A body that says it is longer than it may be is not half right; one whose sum is not known yet is not right.
        return cut(tasks, writer, synced, end).await;
    }
    let (writer, sum, outcome) = write(tasks, writer, sum, batch, true).await;
    if let Err(error) = outcome {
        return cut(tasks, writer, synced, End::Failed(error)).await;
    }
    if let Some((sum, checksum)) = sum.zip(checksum)
        && sum.digest() != checksum.digest
    {
        return cut(tasks, writer, synced, End::Mismatch).await;
    }
    Stored { len: len + gathered as u64, end }
}

/// Writes a batch on a thread that may block.
async fn write(
    tasks: &Tasks,
    mut writer: Box<dyn BlobWriter>,
    mut sum: Option<Sum>,
    batch: Vec<Bytes>,
    is_synced: bool,
) -> (Box<dyn BlobWriter>, Option<Sum>, Result<(), BlobError>) {
    tasks
        .blocking(move || {
            let written = batch.iter().try_for_each(|bytes| {
                sum.iter_mut().for_each(|sum| sum.update(bytes));
                writer.write(bytes)
            });
            let outcome = written.and_then(|()| if is_synced { writer.sync() } else { Ok(()) });
            (writer, sum, outcome)
        })
        .await
}

/// Takes back what was not acknowledged. If that fails it is cut off when the blob is opened again.
async fn cut(tasks: &Tasks, mut writer: Box<dyn BlobWriter>, len: u64, end: End) -> Stored {
    tasks.blocking(move || drop(writer.cut(len))).await;
    Stored { len, end }
}

#[cfg(test)]
mod tests;
