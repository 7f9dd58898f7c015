//! `telstar-worker`: decodes and encodes, and can do nothing else.
//!
//! In: frames over the one socket that the server gives it as standard input. Out: converted frames over the same socket.
//! It confines itself before it reads a byte, ends when the socket does, and knows no room, no name and no file. The
//! message types and their limits are `telstar-transcode`'s.

mod alignment;
mod check;
mod conversion;
mod failure;
mod mix;
mod picture;
mod pipe;
mod sandbox;
mod sound;
mod stream;

use std::fs::File;
use std::process::ExitCode;

use telstar_transcode::{FromWorker, Ready};

use crate::pipe::{Pipe, PipeError};
use crate::sandbox::{Limits, confine};

/// Address space where the server does not say: enough for 4K pictures.
const MEMORY_MIB: u64 = 2_048;
/// What `--check` may print into a file.
const CHECK_BYTES: u64 = 64 * 1_024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (memory_mib, is_check) = match arguments[..] {
        [] => (MEMORY_MIB, false),
        ["--memory-mib", mib] => (mib.parse().unwrap_or(MEMORY_MIB), false),
        ["--check"] => (MEMORY_MIB, true),
        _ => {
            eprintln!(
                "usage: telstar-worker --check; without it, the server starts it with a socket as standard input"
            );
            return ExitCode::from(2);
        }
    };
    // Files that an error names would only be noise: there is none.
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error);
    if is_check {
        return check::print(confine(Limits { memory_mib, file_bytes: CHECK_BYTES }));
    }
    match work(memory_mib) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(memory_mib: u64) -> Result<(), PipeError> {
    let socket = rustix::stdio::stdin().try_clone_to_owned()?;
    let mut pipe = Pipe::new(File::from(socket));
    let sandbox = confine(Limits { memory_mib, file_bytes: 0 });
    let (decoders, targets) = conversion::abilities();
    pipe.say(&FromWorker::Ready(Ready { sandbox, decoders, targets }))?;
    pipe.serve()
}
