//! Bodies of known length: the packager's own bytes, and ranges of files in small pieces.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::Counter;

/// Bytes of a file that are read at once, and what a response from disk holds of it in memory, twice. More makes fewer
/// trips to a blocking thread; at this size they cost less than the copy.
const PIECE_BYTES: usize = 128 * 1024;

/// A body that hands out the packager's own bytes.
pub struct Chunks {
    chunks: VecDeque<Bytes>,
    remaining: u64,
    sent_bytes: Arc<Counter>,
}

impl Chunks {
    /// A range of these bytes.
    pub fn new(chunks: Vec<Bytes>, range: Range<u64>, sent_bytes: Arc<Counter>) -> Chunks {
        let mut at = 0;
        let clip = |chunk: Bytes| {
            let (start, end) = (at, at + chunk.len() as u64);
            at = end;
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            (from < to).then(|| chunk.slice((from - start) as usize..(to - start) as usize))
        };
        let chunks = chunks.into_iter().filter_map(clip).collect();
        Chunks { chunks, remaining: range.end - range.start, sent_bytes }
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.pop_front();
        if let Some(chunk) = &next {
            self.remaining -= chunk.len() as u64;
            self.sent_bytes.add(chunk.len() as u64);
        }
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// A body that reads a file as it is sent, behind some bytes from memory.
pub struct FileBody {
    head: Bytes,
    file: Opened,
    /// Bytes of the file that are left.
    rest: u64,
    piece: BytesMut,
    sent_bytes: Arc<Counter>,
}

/// A file that is open for one response.
pub struct Opened {
    pub file: File,
    /// One of the server's open files.
    pub _place: OwnedSemaphorePermit,
}

impl FileBody {
    /// `head`, and `rest` bytes from where the file stands.
    pub fn new(head: Bytes, file: Opened, rest: u64, sent_bytes: Arc<Counter>) -> FileBody {
        FileBody { head, file, rest, piece: BytesMut::new(), sent_bytes }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if !this.head.is_empty() {
            let head = std::mem::take(&mut this.head);
            this.sent_bytes.add(head.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if this.rest == 0 {
            return Poll::Ready(None);
        }
        this.piece.resize(PIECE_BYTES.min(usize::try_from(this.rest).unwrap_or(PIECE_BYTES)), 0);
        let mut read = ReadBuf::new(&mut this.piece);
        if let Err(error) = ready!(Pin::new(&mut this.file.file).poll_read(context, &mut read)) {
            return Poll::Ready(Some(Err(error)));
        }
        let len = read.filled().len();
        if len == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.rest -= len as u64;
        this.sent_bytes.add(len as u64);
        this.piece.truncate(len);
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.piece).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.rest == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.head.len() as u64 + self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_range_runs_over_chunks_and_its_length_is_known() {
        let chunks = || vec![Bytes::from_static(b"abc"), Bytes::from_static(b"defg"), Bytes::from_static(b"h")];
        for (range, expect) in [(0..8, "abcdefgh"), (2..5, "cde"), (3..7, "defg"), (7..8, "h"), (0..0, "")] {
            let sent = Arc::new(Counter::default());
            let body = Chunks::new(chunks(), range, Arc::clone(&sent));
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(expect.len() as u64));
            let bytes = body.collect().await.expect("infallible").to_bytes();
            assert_eq!((bytes.as_ref(), sent.get()), (expect.as_bytes(), expect.len() as u64));
        }
    }

    #[tokio::test]
    async fn a_file_comes_in_pieces_and_one_that_ends_early_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..3 * PIECE_BYTES + 5).map(|at| at as u8).collect();
        std::fs::write(&path, &bytes).expect("written");
        let sent = Arc::new(Counter::default());
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let open = async || Opened {
            file: File::open(&path).await.expect("there"),
            _place: Arc::clone(&places).try_acquire_owned().expect("the one before was closed"),
        };
        let body = FileBody::new(Bytes::from_static(b"head"), open().await, bytes.len() as u64, Arc::clone(&sent));
        let read = body.collect().await.expect("read").to_bytes();
        assert_eq!((&read[..4], &read[4..], sent.get()), (&b"head"[..], bytes.as_slice(), bytes.len() as u64 + 4));
        let body = FileBody::new(Bytes::new(), open().await, bytes.len() as u64 + 1, sent);
        assert!(body.collect().await.is_err());
    }
}
