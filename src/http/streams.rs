//! What one HTTP/2 connection is doing: how many streams are open, and whether the peer takes what it asked for.
//!
//! TCP sees to a peer that stops reading altogether. Within HTTP/2 a peer can also stop a single stream (RFC 9113
//! §5.2) and answer every PING, and hyper then does not ask the stream's body for more: the bytes of a segment that
//! nobody else has any use for would stay in memory for as long as the peer likes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// How long a stream may take none of what was offered to it: some target durations, after which live media is of no
/// use to anybody. Guess.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How long a connection may have no stream. Shorter frees slots sooner; longer spares a viewer who comes back a TLS
/// handshake. Guess.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// The streams of one connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Streams(Arc<Mutex<State>>);

struct State {
    open: usize,
    idle_since: Instant,
    /// At most as many as there may be streams at once, after every sweep.
    bodies: Vec<Weak<Mutex<Outgoing>>>,
}

/// A body that is being sent.
struct Outgoing {
    /// `None` once it was given up.
    body: Option<Body>,
    /// When the peer's side last had room for a piece of it; `None` while the body itself has nothing to give.
    offered_at: Option<Instant>,
}

/// One stream, from its request to the end of its response.
pub(super) struct OpenStream(Streams);

impl Streams {
    pub(super) fn new() -> Streams {
        Streams(Arc::new(Mutex::new(State { open: 0, idle_since: Instant::now(), bodies: Vec::new() })))
    }

    /// A request has come.
    pub(super) fn open(&self) -> OpenStream {
        self.state().open += 1;
        OpenStream(self.clone())
    }

    /// Gives up what peers have stopped taking. Whether the connection has been without streams for too long.
    pub(super) fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        state.bodies.retain(|body| {
            let Some(body) = body.upgrade() else { return false };
            let mut outgoing = lock(&body);
            if outgoing.offered_at.is_some_and(|at| now.duration_since(at) > STALL_MAX) {
                outgoing.body = None;
            }
            outgoing.body.is_some()
        });
        state.open == 0 && now.duration_since(state.idle_since) > IDLE_MAX
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl OpenStream {
    /// The response, watched until its end.
    pub(super) fn watch(self, response: Response) -> Response {
        response.map(|body| {
            let outgoing = Outgoing { body: Some(body), offered_at: Some(Instant::now()) };
            let outgoing = Arc::new(Mutex::new(outgoing));
            self.0.state().bodies.push(Arc::downgrade(&outgoing));
            Body::new(Watched { outgoing, _stream: self })
        })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.idle_since = Instant::now();
    }
}

struct Watched {
    outgoing: Arc<Mutex<Outgoing>>,
    _stream: OpenStream,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut outgoing = lock(&self.outgoing);
        let Some(body) = &mut outgoing.body else {
            return Poll::Ready(Some(Err(axum::Error::new(std::io::Error::from(std::io::ErrorKind::TimedOut)))));
        };
        let polled = Pin::new(body).poll_frame(context);
        outgoing.offered_at = polled.is_ready().then(Instant::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.outgoing).body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.outgoing).body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

/// No code panics while it holds one of these locks, and if it did the numbers would still be good enough to end by.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_peer_stops_taking_is_let_go() {
        let streams = Streams::new();
        let held = Arc::new(vec![7_u8; 100_000]);
        struct Owner(Arc<Vec<u8>>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let body = Body::from(Bytes::from_owner(Owner(Arc::clone(&held))));
        let mut response = streams.open().watch(Response::new(body));
        tokio::time::advance(STALL_MAX).await;
        assert!(!streams.sweep());
        assert_eq!(Arc::strong_count(&held), 2, "it may still be taken");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!streams.sweep(), "the stream is open until the peer hears of it");
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(response.body_mut().frame().await.is_some_and(|frame| frame.is_err()), "the stream is reset");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_its_last_stream_has_ended_long_ago() {
        let streams = Streams::new();
        tokio::time::advance(IDLE_MAX).await;
        assert!(!streams.sweep());
        let waiting = streams.open();
        tokio::time::advance(IDLE_MAX * 3).await;
        assert!(!streams.sweep(), "a request that waits for a part is a stream");
        let response = waiting.watch(Response::new(Body::from("part")));
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(bytes.as_ref(), b"part");
        tokio::time::advance(IDLE_MAX).await;
        assert!(!streams.sweep());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(streams.sweep());
        assert!(streams.state().bodies.is_empty());
    }
}
