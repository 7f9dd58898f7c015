//! Threads of our own, beside the runtime's.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a thread that is to end is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Waits until a thread has ended, at most `deadline`. False: it has not.
pub(crate) fn join(thread: JoinHandle<()>, deadline: Duration) -> bool {
    let start = Instant::now();
    while !thread.is_finished() {
        if start.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    // A panic is on stderr already, and was counted if it was caught.
    let _ = thread.join();
    true
}
