//! Moves messages between a WebSocket and a connection core.
//!
//! Reading and writing go on side by side: a socket that cannot be written never keeps us from reading, from hearing
//! events or from closing. What cannot be written stays in the core, where the limits see it; the socket layer holds
//! one message at most.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{Sink, Stream};
use telstar_signaling::{Connection, Output};

/// What the socket brought.
pub(super) enum Incoming {
    /// A message, or a control frame. Pings have been answered by the socket layer.
    Message(Message),
    /// The peer broke the protocol or a limit of the socket layer; nothing more can be read, but a close frame can be sent.
    Broken {
        /// A message was longer than the socket layer accepts.
        oversize: bool,
    },
    /// Nothing more can be read or written.
    Gone,
}

/// A socket, and how far it has been closed.
pub(super) struct Pump {
    socket: WebSocket,
    reads: bool,
    writes: bool,
    sent: u64,
}

impl Pump {
    pub(super) fn new(socket: WebSocket) -> Pump {
        Pump { socket, reads: true, writes: true, sent: 0 }
    }

    /// Writes what the core has and the socket takes, until the socket brings something.
    ///
    /// Cancel-safe: what was taken from the core is in the socket layer, and what was read is returned at once.
    pub(super) async fn next(&mut self, core: &mut Connection) -> Incoming {
        poll_fn(|context| self.poll(core, context)).await
    }

    /// Says goodbye without a core.
    pub(super) async fn close(mut self, frame: CloseFrame) -> Result<(), axum::Error> {
        poll_fn(|context| Pin::new(&mut self.socket).poll_ready(context)).await?;
        Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)))?;
        poll_fn(|context| Pin::new(&mut self.socket).poll_flush(context)).await
    }

    /// Messages sent since the last call.
    pub(super) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    fn poll(&mut self, core: &mut Connection, context: &mut Context<'_>) -> Poll<Incoming> {
        if self.writes && self.poll_write(core, context).is_err() {
            return Poll::Ready(Incoming::Gone);
        }
        if !self.reads || !core.wants_input() {
            return Poll::Pending;
        }
        let message = std::task::ready!(Pin::new(&mut self.socket).poll_next(context));
        Poll::Ready(match message {
            Some(Ok(message)) => {
                // The socket layer answers the peer's close frame (RFC 6455 §5.5.1); nothing may be written after it.
                self.writes &= !matches!(message, Message::Close(_));
                Incoming::Message(message)
            }
            None => Incoming::Gone,
            Some(Err(error)) => {
                self.reads = false;
                match broken(&error) {
                    Some(oversize) => Incoming::Broken { oversize },
                    None => Incoming::Gone,
                }
            }
        })
    }

    /// Hands over as much as the socket takes. An error means that the socket is gone.
    fn poll_write(&mut self, core: &mut Connection, context: &mut Context<'_>) -> Result<(), axum::Error> {
        let now = Instant::now();
        loop {
            if !core.has_output() {
                // Pending: this task is woken when the rest can be flushed.
                return match Pin::new(&mut self.socket).poll_flush(context) {
                    Poll::Ready(Err(error)) => Err(error),
                    Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
                };
            }
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            let Some(output) = core.poll_output(now) else { continue };
            let message = match output {
                Output::Text(text) => {
                    self.sent += 1;
                    Message::Text(text.into())
                }
                Output::Ping(payload) => Message::Ping(Bytes::copy_from_slice(&payload)),
                Output::Close(code, reason) => {
                    Message::Close(Some(CloseFrame { code: code.number(), reason: reason.into() }))
                }
            };
            Pin::new(&mut self.socket).start_send(message)?;
        }
    }
}

/// If the peer broke a rule, whether it was the length of a message; `None` when the connection itself is lost.
fn broken(error: &axum::Error) -> Option<bool> {
    // axum does not re-export the socket layer's error type; these are the words of tungstenite 0.29, and
    // tests/ws/messages.rs fails when they change.
    let text = error.to_string();
    if text.starts_with("Space limit exceeded") {
        return Some(true);
    }
    let is_protocol = text.starts_with("WebSocket protocol error") && !text.ends_with("without closing handshake");
    (is_protocol || text.starts_with("UTF-8 encoding error")).then_some(false)
}
