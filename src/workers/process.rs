//! One worker as a process: how it is started, what it must say before it is trusted with frames, and how it ends.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;
use telstar_transcode::file::OUTPUTS_MAX;
use telstar_transcode::{FromWorker, LOG_BYTES_MAX, Reader, Ready, ToWorker, WireError, Writer};
use tokio::io::{AsyncReadExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, Command};
use tracing::debug;

use super::standing::End;
use crate::tasks::Tasks;

/// What the executable is called.
const NAME: &str = "telstar-worker";
/// A worker must be ready so soon after its start. It takes 0.1 s on an idle machine; higher lets a broken one hold a
/// conversion up for longer, lower fails on a machine that is busy.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// A worker whose socket is closed has ended so soon after, or nobody waits for how.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Lines of a worker's standard error that are logged; the rest of its life it is silent. Libraries write one line for
/// each corrupt frame.
const LOG_LINES_MAX: usize = 200;
/// Descriptors that go with one message: the source and every output.
const FILES_MAX: usize = 1 + OUTPUTS_MAX;
/// Read at once.
const READ_BYTES: usize = 64 * 1_024;

/// Why there is no worker. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// No executable.
    #[error("{} is not there: install telstar-worker beside telstar, or set transcode.worker", .0.display())]
    Missing(PathBuf),
    /// The system refused.
    #[error("telstar-worker could not be started: {0}")]
    System(#[from] io::Error),
    /// It ended or was silent.
    #[error("telstar-worker did not get ready: run `telstar doctor`")]
    NotReady,
    /// It is of another build, or no worker.
    #[error("telstar-worker: {0}")]
    Wire(#[from] WireError),
    /// The kernel enforces too little.
    #[error(
        "this kernel does not confine workers ({}): use a kernel with landlock and seccomp, or set transcode.sandbox = \"off\" \
         and accept that a hostile stream may take the rights of the server's user",
        .0.join(", ")
    )]
    Unconfined(Vec<&'static str>),
}

impl From<StartError> for End {
    fn from(error: StartError) -> End {
        match error {
            // Another attempt will fail alike until somebody mends it.
            StartError::Missing(_) | StartError::Unconfined(_) | StartError::Wire(_) => End::Refused(error.to_string()),
            StartError::System(_) | StartError::NotReady => End::Died(error.to_string()),
        }
    }
}

/// A worker that is ready. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// What it said of itself.
    pub(super) ready: Ready,
    /// The two halves of its socket.
    pub(super) line: Line,
}

/// Messages over the socket.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

/// What the worker says.
#[derive(Debug)]
pub(super) struct Incoming {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    reader: Reader<FromWorker>,
}

/// What the worker is told.
#[derive(Debug)]
pub(super) struct Outgoing {
    socket: OwnedWriteHalf,
    writer: Writer<ToWorker>,
    bytes: Vec<u8>,
    written: usize,
}

/// Where the executable is: as configured, or beside this one.
pub fn executable(configured: &Path) -> PathBuf {
    if !configured.as_os_str().is_empty() {
        return configured.to_owned();
    }
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("."));
    // Cargo puts the programs of tests one folder below the others.
    let folder =
        if folder.file_name() == Some(OsStr::new("deps")) { folder.parent().unwrap_or(folder) } else { folder };
    folder.join(NAME)
}

impl Process {
    /// Starts a worker and waits until it is ready. On a thread of the runtime: its death is the worker's too.
    pub(super) async fn start(
        executable: &Path,
        memory_max_mib: u32,
        must_be_confined: bool,
        tasks: &Tasks,
    ) -> Result<Process, StartError> {
        let arguments = ["--memory-mib".to_owned(), memory_max_mib.to_string()];
        Process::start_with(executable, &arguments, must_be_confined, tasks).await
    }

    /// Starts a worker for one task on files, of which it may write so many bytes into any, and which may take so much
    /// processor time.
    pub(super) async fn start_for_files(
        executable: &Path,
        memory_max_mib: u32,
        output_bytes_max: u64,
        cpu_max: Duration,
        must_be_confined: bool,
        tasks: &Tasks,
    ) -> Result<Process, StartError> {
        let arguments = [
            "--memory-mib".to_owned(),
            memory_max_mib.to_string(),
            "--file-bytes".to_owned(),
            output_bytes_max.to_string(),
            "--cpu-secs".to_owned(),
            cpu_max.as_secs().to_string(),
        ];
        Process::start_with(executable, &arguments, must_be_confined, tasks).await
    }

    async fn start_with(
        executable: &Path,
        arguments: &[String],
        must_be_confined: bool,
        tasks: &Tasks,
    ) -> Result<Process, StartError> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = Command::new(executable)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A terminal's Ctrl-C is for the server, which ends its workers when their conversions have ended.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => StartError::Missing(executable.to_owned()),
                _ => StartError::System(error),
            })?;
        if let Some(stderr) = child.stderr.take() {
            let (stopping, pid) = (tasks.stopping(), child.id());
            tasks.spawn("worker-log", async move {
                // Cancel-safe: what is left of a line is lost. A warm worker lives until the server's end.
                tokio::select! {
                    () = stopping => {}
                    () = log(stderr, pid) => {}
                }
            });
        }
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        let incoming = Incoming { socket: read, buffer: BytesMut::new(), reader: Reader::default() };
        let outgoing = Outgoing { socket: write, writer: Writer::default(), bytes: Vec::new(), written: 0 };
        let mut line = Line { incoming, outgoing };
        let ready = match tokio::time::timeout(READY_WITHIN, line.incoming.first()).await {
            Ok(Ok(Some(FromWorker::Ready(ready)))) => ready,
            Ok(Err(LineError::Wire(error))) => return Err(error.into()),
            Ok(Ok(_) | Err(LineError::Socket(_))) | Err(_) => return Err(StartError::NotReady),
        };
        let missing = ready.sandbox.missing();
        if must_be_confined && !missing.is_empty() {
            return Err(StartError::Unconfined(missing));
        }
        debug!(pid = child.id(), ?missing, "a worker is ready");
        Ok(Process { child, ready, line })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, in words, when its socket is closed. Cancel-safe: it is asked again.
    pub(super) async fn end(&mut self) -> &'static str {
        match tokio::time::timeout(END_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) => match status.signal().and_then(Signal::from_named_raw) {
                Some(Signal::XCPU) => "it took more processor time than it may",
                Some(Signal::XFSZ) => "there is no room left on disk for what it makes",
                Some(Signal::SYS) => "the worker did what it may not, and was killed",
                Some(Signal::SEGV | Signal::BUS | Signal::ILL | Signal::FPE) => "the worker crashed",
                // Whoever gets no memory gives up.
                Some(Signal::ABORT) => "the worker gave up: it may have taken more memory than it may",
                Some(_) | None => "the worker died",
            },
            Ok(Err(_)) | Err(_) => "the worker died",
        }
    }

    /// Its number, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The socket broke.
    #[error("the worker's socket: {0}")]
    Socket(#[from] io::Error),
    /// Its bytes are no messages.
    #[error("the worker: {0}")]
    Wire(#[from] WireError),
}

impl Incoming {
    /// Reads once; false at the end. Cancel-safe: what was read is kept.
    pub(super) async fn read(&mut self) -> Result<bool, LineError> {
        self.buffer.reserve(READ_BYTES);
        let len = self.socket.read_buf(&mut self.buffer).await?;
        self.reader.handle_bytes(&self.buffer);
        self.buffer.clear();
        Ok(len > 0)
    }

    /// The next message of what was read.
    pub(super) fn message(&mut self) -> Result<Option<FromWorker>, WireError> {
        self.reader.next_message()
    }

    async fn first(&mut self) -> Result<Option<FromWorker>, LineError> {
        loop {
            if let Some(message) = self.message()? {
                return Ok(Some(message));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }
}

impl Outgoing {
    /// Queues a message. False: it is too long for any worker.
    pub(super) fn queue(&mut self, message: &ToWorker) -> bool {
        self.writer.write(message, &mut self.bytes).is_ok()
    }

    /// Sends a message with descriptors, which the other end has from its first byte on. Nothing may be queued.
    pub(super) async fn send_with_files(&mut self, message: &ToWorker, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        if !self.queue(message) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
        }
        let bytes = &self.bytes;
        let socket = self.socket.as_ref();
        let send = || {
            let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "there are too many files"));
            }
            Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
        };
        self.written = socket.async_io(Interest::WRITABLE, send).await?;
        while self.written < self.bytes.len() {
            self.write().await?;
        }
        (self.bytes, self.written) = (Vec::new(), 0);
        Ok(())
    }

    /// Everything queued was written.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes once of what is queued. Cancel-safe: nothing was written unless it completes.
    pub(super) async fn write(&mut self) -> io::Result<()> {
        use tokio::io::AsyncWriteExt;
        self.written += self.socket.write(&self.bytes[self.written..]).await?;
        if self.written == self.bytes.len() {
            // What a large picture took is given back.
            self.bytes = Vec::new();
            self.written = 0;
        }
        Ok(())
    }
}

/// Carries a worker's lines into the log, cut and counted: it may have been taken over.
async fn log(stderr: ChildStderr, pid: Option<u32>) {
    let mut reader = BufReader::with_capacity(LOG_BYTES_MAX, stderr);
    let (mut line, mut lines, mut is_cut) = (Vec::new(), 0, false);
    while let Ok(byte) = reader.read_u8().await {
        if byte != b'\n' {
            is_cut |= line.len() == LOG_BYTES_MAX;
            if line.len() < LOG_BYTES_MAX {
                line.push(byte);
            }
            continue;
        }
        lines += 1;
        if lines <= LOG_LINES_MAX {
            let text: String = String::from_utf8_lossy(&line).chars().filter(|letter| !letter.is_control()).collect();
            debug!(pid, is_cut, "worker: {text}");
        }
        line.clear();
        is_cut = false;
    }
    if lines > LOG_LINES_MAX {
        debug!(pid, lines = lines - LOG_LINES_MAX, "worker: more lines were left out");
    }
}
