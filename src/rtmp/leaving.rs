//! Encoders that can be asked to connect elsewhere before the server ends, and the wait for them to have gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How many such encoders publish now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leaving(Arc<watch::Sender<usize>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Present(Leaving);

impl Default for Leaving {
    fn default() -> Leaving {
        Leaving(Arc::new(watch::Sender::new(0)))
    }
}

impl Leaving {
    pub(super) fn enter(&self) -> Present {
        self.0.send_modify(|count| *count += 1);
        Present(self.clone())
    }

    /// Completes when all have gone, or at `deadline`. At once where there is none.
    pub async fn gone(&self, deadline: Duration) {
        let mut count = self.0.subscribe();
        // Who has not gone by then is sent away like everybody else; the sender is this one's own.
        let _ = tokio::time::timeout(deadline, count.wait_for(|count| *count == 0)).await;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_with_the_last_or_at_the_deadline() {
        let leaving = Leaving::default();
        leaving.gone(Duration::from_secs(60)).await;
        let (one, other) = (leaving.enter(), leaving.enter());
        let start = tokio::time::Instant::now();
        leaving.gone(Duration::from_secs(5)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        drop((one, other));
        leaving.gone(Duration::from_secs(5)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
