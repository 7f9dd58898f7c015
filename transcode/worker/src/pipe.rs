//! The one socket: messages in, messages out, and progress at least once a second while there is any.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, Timespec, clock_gettime};
use telstar_transcode::{FromWorker, Progress, Reader, ToWorker, WireError, Writer};

use crate::conversion::{Conversion, Counts};
use crate::failure::Failure;
use crate::mix::Mixer;

/// Read at once. A large picture takes several reads.
const READ_BYTES: usize = 256 * 1_024;
/// How often the server is told how far this is; it takes four times as long for a hang.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Why the worker ends.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The socket broke.
    #[error("the socket: {0}")]
    Socket(#[from] io::Error),
    /// The server's bytes are no messages.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What the worker does.
enum Work {
    /// Nothing, or what it did has failed, which the server knows.
    None,
    Conversion(Conversion),
    Mix(Box<Mixer>),
}

/// A worker at work.
pub struct Pipe {
    socket: File,
    writer: Writer<FromWorker>,
    bytes: Vec<u8>,
    work: Work,
    counts: Counts,
    frames_in: u64,
    frames_out: u64,
    told: Instant,
    has_news: bool,
}

impl Pipe {
    /// On this socket.
    pub fn new(socket: File) -> Pipe {
        Pipe {
            socket,
            writer: Writer::default(),
            bytes: Vec::new(),
            work: Work::None,
            counts: Counts::default(),
            frames_in: 0,
            frames_out: 0,
            told: Instant::now(),
            has_news: false,
        }
    }

    /// The socket, for whoever reads it otherwise than [`Pipe::serve`].
    pub fn socket(&self) -> &File {
        &self.socket
    }

    /// Says `message` now.
    pub fn say(&mut self, message: &FromWorker) -> Result<(), PipeError> {
        self.bytes.clear();
        self.writer.write(message, &mut self.bytes)?;
        Ok(self.socket.write_all(&self.bytes)?)
    }

    /// Works until the server closes the socket.
    pub fn serve(&mut self) -> Result<(), PipeError> {
        let (mut reader, mut buffer) = (Reader::<ToWorker>::default(), vec![0; READ_BYTES]);
        loop {
            self.tell_progress()?;
            if !self.wait()? {
                continue;
            }
            let len = match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            reader.handle_bytes(&buffer[..len]);
            // Of several times that came together only the last is true: what was late for the others still counts.
            let mut time = None;
            while let Some(message) = reader.next_message()? {
                if let ToWorker::Tick(micros) = message {
                    time = Some(micros);
                    continue;
                }
                // It asks for what came of everything before it, and that includes the time.
                if matches!(message, ToWorker::Flush)
                    && let Some(micros) = time.take()
                {
                    self.handle(ToWorker::Tick(micros))?;
                }
                self.handle(message)?;
                self.tell_progress()?;
            }
            if let Some(micros) = time {
                self.handle(ToWorker::Tick(micros))?;
            }
        }
    }

    /// Whether there is something to read; false when it is time to tell the server something first.
    fn wait(&self) -> Result<bool, PipeError> {
        let left = PROGRESS_INTERVAL.saturating_sub(self.told.elapsed());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut polled = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        match poll(&mut polled, self.has_news.then_some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(PipeError::Socket(error.into())),
        }
    }

    fn handle(&mut self, message: ToWorker) -> Result<(), PipeError> {
        let mut frames = Vec::new();
        let mut flushed = false;
        let counts = &mut self.counts;
        let outcome = match (message, &mut self.work) {
            (ToWorker::Config(config), work) => {
                (self.counts, self.frames_in, self.frames_out) = (Counts::default(), 0, 0);
                *work = Work::None;
                Conversion::new(config).map(|conversion| *work = Work::Conversion(conversion))
            }
            (ToWorker::Mix(mix), work) => {
                (self.counts, self.frames_in, self.frames_out) = (Counts::default(), 0, 0);
                *work = Work::None;
                Mixer::new(mix).map(|mixer| *work = Work::Mix(Box::new(mixer)))
            }
            (ToWorker::Frame(frame), work) => {
                self.frames_in += 1;
                match work {
                    Work::Conversion(conversion) => conversion.feed(&frame, counts, &mut frames),
                    Work::Mix(mixer) => {
                        mixer.feed(&frame, counts);
                        Ok(())
                    }
                    Work::None => Ok(()),
                }
            }
            (ToWorker::ForceKeyframe, work) => {
                match work {
                    Work::Conversion(conversion) => conversion.force_keyframe(),
                    Work::Mix(mixer) => mixer.force_keyframe(),
                    Work::None => {}
                }
                Ok(())
            }
            (ToWorker::Flush, work) => {
                flushed = true;
                match work {
                    Work::Conversion(conversion) => conversion.flush(counts, &mut frames),
                    // What belongs before its time has come out.
                    Work::Mix(_) | Work::None => Ok(()),
                }
            }
            (ToWorker::AddInput(input), Work::Mix(mixer)) => {
                mixer.add_input(input);
                Ok(())
            }
            (ToWorker::RemoveInput(track), Work::Mix(mixer)) => {
                mixer.remove_input(track);
                Ok(())
            }
            (ToWorker::Layout(layout), Work::Mix(mixer)) => {
                mixer.set_layout(layout);
                Ok(())
            }
            (ToWorker::Tick(micros), Work::Mix(mixer)) => mixer.tick(micros, counts, &mut frames),
            (ToWorker::File(_), _) => Err(Failure::unsupported("this worker was started for live media")),
            (ToWorker::AddInput(_) | ToWorker::RemoveInput(_) | ToWorker::Layout(_) | ToWorker::Tick(_), _) => Ok(()),
        };
        self.has_news = true;
        for frame in frames {
            self.frames_out += 1;
            self.say(&FromWorker::Frame(frame))?;
        }
        if let Err(failure) = outcome {
            // What is left of it is not to be trusted; the server decides what comes next.
            self.work = Work::None;
            self.say(&FromWorker::Failed(failure.message()))?;
        }
        if flushed {
            self.say(&FromWorker::Flushed)?;
        }
        Ok(())
    }

    fn tell_progress(&mut self) -> Result<(), PipeError> {
        if !self.has_news || self.told.elapsed() < PROGRESS_INTERVAL {
            return Ok(());
        }
        (self.has_news, self.told) = (false, Instant::now());
        let cpu_micros = cpu_micros();
        let (frames_corrupt, frames_skipped) = (self.counts.corrupt, self.counts.skipped);
        let (frames_in, frames_out) = (self.frames_in, self.frames_out);
        self.say(&FromWorker::Progress(Progress { frames_in, frames_out, frames_corrupt, frames_skipped, cpu_micros }))
    }
}

/// Processor time of this process since its start.
pub fn cpu_micros() -> u64 {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    cpu.tv_sec.unsigned_abs() * 1_000_000 + cpu.tv_nsec.unsigned_abs() / 1_000
}
