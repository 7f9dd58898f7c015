//! The one message of a worker for files, with the files that go with it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use telstar_transcode::file::{FileTask, OUTPUTS_MAX};
use telstar_transcode::{Reader, ToWorker};

use crate::pipe::PipeError;

/// The source and every output. The kernel closes what is beyond.
const FILES_MAX: usize = 1 + OUTPUTS_MAX;
/// Read at once. A task has the keyframes of its source in it.
const READ_BYTES: usize = 64 * 1_024;

/// Waits for the task; none when the server closed the socket first. What else it says is not for this worker.
pub fn task(socket: &File) -> Result<Option<(FileTask, Vec<File>)>, PipeError> {
    let (mut reader, mut buffer, mut files) = (Reader::<ToWorker>::default(), vec![0; READ_BYTES], Vec::new());
    loop {
        while let Some(message) = reader.next_message()? {
            if let ToWorker::File(task) = message {
                return Ok(Some((*task, files)));
            }
        }
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let len = match received {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                files.extend(rights.map(File::from));
            }
        }
        if len == 0 {
            return Ok(None);
        }
        reader.handle_bytes(&buffer[..len]);
    }
}
