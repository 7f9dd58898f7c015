//! Bodies that are read from blobs as they are sent: two pieces of each are in memory, however long it is.
//!
//! What the kernel has in memory is read where it is sent. For a disk a thread waits, because everything else would.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use telstar_store::{BlobError, BlobReader};
use tokio::sync::OwnedSemaphorePermit;

use super::cipher::{BLOCK_LEN, Sealing, clip, sealed_len};
use crate::metrics::Counter;
use crate::tasks::Tasks;

/// Bytes that are read at once from a disk. More makes fewer trips to a blocking thread; at this size they cost less than
/// the copy.
const PIECE_BYTES: u64 = 256 * 1024;
/// Bytes that are read at once from memory. More makes fewer calls of the kernel; less fits better into the processor's own
/// memory, keeps other connections waiting for less long, and each viewer holds as much.
const NOW_BYTES: u64 = 64 * 1024;
const _: () = assert!(PIECE_BYTES.is_multiple_of(BLOCK_LEN as u64), "pieces are whole blocks");

/// Part of a blob, encrypted on its way or not.
pub(super) struct Span {
    /// The blob.
    pub(super) reader: Box<dyn BlobReader>,
    /// Which part of it.
    pub(super) span: Range<u64>,
    /// How it is encrypted.
    pub(super) sealing: Option<Sealing>,
    /// One of the server's open files.
    pub(super) place: OwnedSemaphorePermit,
}

impl Span {
    /// Bytes that are sent of all of it.
    pub(super) fn sent_len(span: &Range<u64>, is_sealed: bool) -> u64 {
        let len = span.end - span.start;
        if is_sealed { sealed_len(len) } else { len }
    }
}

/// The pieces of a span, one behind the other. Reading blocks.
struct Pieces {
    reader: Box<dyn BlobReader>,
    /// What is left to read.
    left: Range<u64>,
    /// The cipher, where its next piece begins in what it makes, and what is wanted of that.
    sealing: Option<(Sealing, u64, Range<u64>)>,
    /// The last piece that came from memory: once it is sent, the next has its place.
    last: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Pieces {
    fn new(span: Span, wanted: &Range<u64>) -> Pieces {
        let Span { reader, span, sealing, place } = span;
        let left = match &sealing {
            None => span.start + wanted.start..span.start + wanted.end,
            // What a block becomes depends on all before it.
            Some(_) => span,
        };
        let sealing = sealing.map(|sealing| (sealing, 0, wanted.clone()));
        Pieces { reader, left, sealing, last: Bytes::new(), _place: place }
    }

    /// The next bytes, if they are in memory. What has to be encrypted takes too long for whoever must not wait.
    fn next_now(&mut self) -> Option<Bytes> {
        if self.sealing.is_some() {
            return None;
        }
        let len = NOW_BYTES.min(self.left.end - self.left.start) as usize;
        let mut piece = std::mem::take(&mut self.last).try_into_mut().unwrap_or_else(|_| BytesMut::new());
        piece.resize(len, 0);
        let read = self.reader.read_now(self.left.start, &mut piece);
        piece.truncate(read);
        self.left.start += read as u64;
        self.last = piece.freeze();
        (read > 0).then(|| self.last.clone())
    }

    /// The next bytes; never none.
    fn next(&mut self) -> io::Result<Bytes> {
        loop {
            let len = PIECE_BYTES.min(self.left.end - self.left.start) as usize;
            let mut piece = vec![0; len];
            let read = self.reader.read_at(self.left.start, &mut piece).map_err(failed)?;
            if read < len || (len == 0 && self.sealing.is_none()) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left.start += len as u64;
            let is_last = self.left.is_empty();
            let Some((sealing, at, wanted)) = &mut self.sealing else { return Ok(piece.into()) };
            sealing.seal(&mut piece, is_last);
            let begins = *at;
            *at += piece.len() as u64;
            let clipped = clip(piece, begins, wanted);
            if !clipped.is_empty() {
                return Ok(clipped.into());
            }
            if is_last {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn failed(error: BlobError) -> io::Error {
    match error {
        BlobError::Io(error) => error,
        error => io::Error::other(error),
    }
}

type Read = (Pieces, io::Result<Bytes>);
type Reading = Pin<Box<dyn Future<Output = Read> + Send>>;

/// What is read ahead of what was sent.
enum Ahead {
    /// Nothing. Without pieces: all was read, or it failed.
    Nothing(Option<Pieces>),
    /// A piece is being read from a disk.
    Coming(Reading),
    /// A piece that was in memory waits to be sent.
    There(Pieces, Bytes),
}

/// A body of known length.
pub(super) struct SpanBody {
    ahead: Ahead,
    /// Bytes that are left to send.
    rest: u64,
    tasks: Tasks,
    sent_bytes: Arc<Counter>,
}

impl SpanBody {
    /// `wanted` of what is sent of the span. Nothing is read before somebody takes it.
    pub(super) fn new(span: Span, wanted: &Range<u64>, tasks: Tasks, sent_bytes: Arc<Counter>) -> SpanBody {
        let rest = wanted.end - wanted.start;
        SpanBody { ahead: Ahead::Nothing(Some(Pieces::new(span, wanted))), rest, tasks, sent_bytes }
    }

    fn read(&self, mut pieces: Pieces) -> Reading {
        let tasks = self.tasks.clone();
        Box::pin(async move {
            let read = move || {
                let piece = pieces.next();
                (pieces, piece)
            };
            tasks.blocking(read).await
        })
    }

    /// Sends a piece.
    fn send(&mut self, piece: &Bytes) -> Frame<Bytes> {
        let piece = piece.slice(..piece.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX)));
        self.rest -= piece.len() as u64;
        self.sent_bytes.add(piece.len() as u64);
        Frame::data(piece)
    }

    /// Sends a piece that a disk was waited for, and begins to read the next: it is on its way while this one is sent.
    fn send_and_read(&mut self, (mut pieces, piece): Read, context: &mut Context<'_>) -> io::Result<Frame<Bytes>> {
        let frame = self.send(&piece?);
        if self.rest > 0 {
            self.ahead = match pieces.next_now() {
                Some(piece) => Ahead::There(pieces, piece),
                None => {
                    let mut reading = self.read(pieces);
                    // The poll is what begins it. It is not ready before another thread was.
                    match reading.as_mut().poll(context) {
                        Poll::Ready((pieces, Ok(piece))) => Ahead::There(pieces, piece),
                        Poll::Ready((_, Err(error))) => return Err(error),
                        Poll::Pending => Ahead::Coming(reading),
                    }
                }
            };
        }
        Ok(frame)
    }

    /// Sends a piece that was in memory. The next is read when it is asked for.
    fn send_now(&mut self, pieces: Pieces, piece: &Bytes) -> Frame<Bytes> {
        let frame = self.send(piece);
        // What it holds is free for others.
        self.ahead = Ahead::Nothing(Some(pieces).filter(|_| self.rest > 0));
        frame
    }
}

impl http_body::Body for SpanBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.rest == 0 {
            return Poll::Ready(None);
        }
        let mut reading = match std::mem::replace(&mut this.ahead, Ahead::Nothing(None)) {
            Ahead::There(pieces, piece) => return Poll::Ready(Some(Ok(this.send_now(pieces, &piece)))),
            Ahead::Coming(reading) => reading,
            Ahead::Nothing(Some(mut pieces)) => match pieces.next_now() {
                Some(piece) => return Poll::Ready(Some(Ok(this.send_now(pieces, &piece)))),
                None => this.read(pieces),
            },
            // It failed before, and was asked again.
            Ahead::Nothing(None) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        };
        match reading.as_mut().poll(context) {
            Poll::Ready(read) => Poll::Ready(Some(this.send_and_read(read, context))),
            Poll::Pending => {
                this.ahead = Ahead::Coming(reading);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;

    /// Bytes, and of how many from any place on it is said that they need no disk.
    struct Memory(Vec<u8>, fn(u64) -> usize);

    impl BlobReader for Memory {
        fn len(&self) -> Result<u64, BlobError> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, BlobError> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }

        fn read_now(&self, offset: u64, buffer: &mut [u8]) -> usize {
            let len = buffer.len().min((self.1)(offset));
            self.read_at(offset, &mut buffer[..len]).expect("it never fails")
        }
    }

    /// Nothing is in memory, everything is, or now and then a part.
    const IN_MEMORY: [fn(u64) -> usize; 3] =
        [|_| 0, |_| usize::MAX, |offset| if (offset / 70_000).is_multiple_of(2) { 50_001 } else { 0 }];

    async fn read(bytes: &[u8], span: Range<u64>, wanted: Range<u64>, key: Option<u64>) -> Result<Vec<u8>, String> {
        let mut read = Vec::new();
        for in_memory in IN_MEMORY {
            read.push(read_from(Memory(bytes.to_vec(), in_memory), span.clone(), wanted.clone(), key).await);
        }
        assert!(read.windows(2).all(|pair| pair[0] == pair[1]), "wherever it comes from");
        read.remove(0)
    }

    async fn read_from(
        memory: Memory,
        span: Range<u64>,
        wanted: Range<u64>,
        key: Option<u64>,
    ) -> Result<Vec<u8>, String> {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().expect("free");
        let sealing = key.map(|number| Sealing::new(&[7; 16], number));
        let reader = Box::new(memory);
        let sent = Arc::new(Counter::default());
        let span = Span { reader, span, sealing, place };
        let body = SpanBody::new(span, &wanted, Tasks::new(Arc::default()), Arc::clone(&sent));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(wanted.end - wanted.start));
        let read = body.collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec();
        assert_eq!((sent.get(), places.available_permits()), (read.len() as u64, 1), "what was taken is free again");
        Ok(read)
    }

    fn long() -> Vec<u8> {
        (0..3 * PIECE_BYTES + 5).map(|at| (at % 251) as u8).collect()
    }

    #[tokio::test]
    async fn any_part_of_a_span_is_what_stands_there() {
        let bytes = long();
        let end = bytes.len() as u64;
        for (span, wanted) in [
            (0..end, 0..end),
            (0..end, PIECE_BYTES - 1..PIECE_BYTES + 1),
            (10..end - 10, 5..end - 20),
            (10..20, 0..10),
            (10..20, 9..10),
            (10..20, 0..0),
        ] {
            let expect = &bytes[(span.start + wanted.start) as usize..(span.start + wanted.end) as usize];
            assert!(
                read(&bytes, span.clone(), wanted.clone(), None).await.expect("there") == expect,
                "{span:?} {wanted:?}"
            );
        }
        assert!(
            read(&bytes, 0..end + 1, 0..end + 1, None).await.is_err(),
            "a blob that is too short is no whole answer"
        );
    }

    #[tokio::test]
    async fn any_part_of_an_encrypted_span_is_that_of_the_whole() {
        let bytes = long();
        for span in [0..bytes.len() as u64, 10..42, 0..16, 5..5] {
            let mut whole = bytes[span.start as usize..span.end as usize].to_vec();
            Sealing::new(&[7; 16], 9).seal(&mut whole, true);
            let len = Span::sent_len(&span, true);
            assert_eq!(len, whole.len() as u64);
            for wanted in [0..len, 1..len, len - 1..len, len / 2..len / 2 + 1, 0..1] {
                let expect = &whole[wanted.start as usize..wanted.end as usize];
                let got = read(&bytes, span.clone(), wanted.clone(), Some(9)).await.expect("there");
                assert!(got == expect, "{span:?} {wanted:?}");
            }
        }
    }
}
