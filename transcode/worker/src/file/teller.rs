//! What the server is told, and how far the work is at least once a second.

use std::time::{Duration, Instant};

use telstar_transcode::FromWorker;
use telstar_transcode::file::{FileNews, FileProgress};

use crate::pipe::{Pipe, PipeError, cpu_micros};

/// How often the server is told how far this is, at most. It takes sixty seconds of silence for a hang.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// See the module.
pub struct Teller<'pipe> {
    pipe: &'pipe mut Pipe,
    told: Instant,
    /// Pictures that were decoded.
    pub frames: u64,
    /// Places where the source could not be read or decoded.
    pub corrupt: u64,
}

impl Teller<'_> {
    /// Over this socket.
    pub fn new(pipe: &mut Pipe) -> Teller<'_> {
        Teller { pipe, told: Instant::now(), frames: 0, corrupt: 0 }
    }

    /// Says it now.
    pub fn say(&mut self, news: FileNews) -> Result<(), PipeError> {
        self.pipe.say(&FromWorker::File(news))
    }

    /// Everything up to `position` is done. Said where it is time to.
    pub fn progress(&mut self, position: i64) -> Result<(), PipeError> {
        if self.told.elapsed() < PROGRESS_INTERVAL {
            return Ok(());
        }
        self.told = Instant::now();
        let (frames, corrupt) = (self.frames, self.corrupt);
        self.say(FileNews::Progress(FileProgress { position, cpu_micros: cpu_micros(), frames, corrupt }))
    }
}
