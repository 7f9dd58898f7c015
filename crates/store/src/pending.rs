//! An answer that the store's threads will give: a future for tasks, a blocking wait for command-line programs.
//!
//! It needs no runtime, because the waker that a task leaves behind is all that a thread needs to wake it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_channel::oneshot;

use crate::StoreError;

/// The outcome of one operation, once it is durable.
///
/// Dropping it takes nothing back: an operation that was accepted still happens.
/// Awaiting it is cancel-safe in `select!`: an answer that has arrived stays until it is taken.
#[must_use = "an operation is acknowledged by its answer"]
pub struct Pending<T>(oneshot::Receiver<Result<T, StoreError>>);

/// The other end of a [`Pending`], held by the backend. Dropping it answers [`StoreError::Closed`].
pub struct Promise<T>(oneshot::Sender<Result<T, StoreError>>);

impl<T> Pending<T> {
    /// A promise and its answer.
    pub fn new() -> (Promise<T>, Pending<T>) {
        let (sender, receiver) = oneshot::channel();
        (Promise(sender), Pending(receiver))
    }

    /// Blocks this thread until the answer is there. For programs and tests without a runtime; a task awaits instead.
    pub fn wait(mut self) -> Result<T, StoreError> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(answer) => return answer,
                // A wake-up that comes before this line makes `park` return at once.
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl<T> Promise<T> {
    /// Gives the answer. Nobody may be waiting any more, which is no error.
    pub fn fulfil(self, answer: Result<T, StoreError>) {
        let _ = self.0.send(answer);
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_a_waiting_thread() {
        let (promise, pending) = Pending::new();
        let thread = std::thread::spawn(move || pending.wait());
        promise.fulfil(Ok(7));
        assert_eq!(thread.join().expect("the waiting thread does not panic"), Ok(7));
    }

    #[test]
    fn a_promise_that_is_dropped_answers_closed() {
        let (promise, pending) = Pending::<()>::new();
        drop(promise);
        assert_eq!(pending.wait(), Err(StoreError::Closed));
    }
}
