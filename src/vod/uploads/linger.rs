//! What is left of a body whose answer was given before it ended.
//!
//! A connection that is closed with bytes unread is reset, and the reset may overtake the answer: the client would see
//! a broken connection where it was told that the disk is full (RFC 9112 §9.6). So the rest is read and thrown away for
//! a moment. HTTP/2 resets the stream alone, behind its answer, and needs none of this.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Version, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

use crate::tasks::Tasks;

/// How long the rest is read: a client that sends and reads in turn sees the answer by then. Longer keeps the
/// connections of clients that do not read at all.
const LINGERS_FOR: Duration = Duration::from_secs(5);

/// A body that is read on for a moment when nobody wants it any more.
struct Lingering {
    /// `None` once it is given to whoever reads the rest.
    body: Option<Body>,
    /// The client waits to be told to send ("100-continue"), which only reading tells it.
    is_held_back: bool,
    tasks: Tasks,
}

/// The request with such a body.
pub fn lingering(request: Request, tasks: &Tasks) -> Request {
    if request.version() >= Version::HTTP_2 {
        return request;
    }
    let is_held_back = request.headers().contains_key(header::EXPECT);
    request.map(|body| Body::new(Lingering { body: Some(body), is_held_back, tasks: tasks.clone() }))
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.is_held_back = false;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            this.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !http_body::Body::is_end_stream(body));
        let Some(mut rest) = rest.filter(|_| !self.is_held_back) else { return };
        let stopping = self.tasks.stopping();
        self.tasks.spawn("upload-rest", async move {
            let read = async { while let Some(Ok(_)) = rest.frame().await {} };
            // Cancel-safe: what is left is of no use to anybody.
            tokio::select! {
                _ = tokio::time::timeout(LINGERS_FOR, read) => {}
                () = stopping => {}
            }
        });
    }
}
