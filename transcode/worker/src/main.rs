//! `telstar-worker`: decodes and encodes, and can do nothing else.
//!
//! In: frames over the one socket that the server gives it as standard input. Out: converted frames over the same socket.
//! It confines itself before it reads a byte, ends when the socket does, and knows no room, no name and no path. The
//! message types and their limits are `telstar-transcode`'s.
//!
//! Started with `--file-bytes` it does one task on files instead, which it is given through the socket, and ends.

mod alignment;
mod check;
mod conversion;
mod failure;
mod file;
mod mix;
mod picture;
mod pipe;
mod sandbox;
mod sound;
mod stream;

use std::fs::File;
use std::process::ExitCode;

use telstar_transcode::file::OUTPUTS_MAX;
use telstar_transcode::{FromWorker, Ready};

use crate::pipe::{Pipe, PipeError};
use crate::sandbox::{Limits, confine};

/// Address space where the server does not say: enough for 4K pictures.
const MEMORY_MIB: u64 = 2_048;
/// What `--check` may print into a file.
const CHECK_BYTES: u64 = 64 * 1_024;

/// What it was started for.
enum Mode {
    /// Conversions and mixes of live media.
    Live { memory_mib: u64 },
    /// One task on files, none of which may become longer than this, in so many seconds of processor time.
    Files { memory_mib: u64, file_bytes: u64, cpu_secs: u64 },
    /// To say what it can do.
    Check,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let memory = |mib: &str| mib.parse().unwrap_or(MEMORY_MIB);
    let mode = match arguments[..] {
        [] => Mode::Live { memory_mib: MEMORY_MIB },
        ["--memory-mib", mib] => Mode::Live { memory_mib: memory(mib) },
        ["--memory-mib", mib, "--file-bytes", bytes, "--cpu-secs", secs] => {
            // A number that cannot be read lets it write nothing, or end at once.
            let (file_bytes, cpu_secs) = (bytes.parse().unwrap_or(0), secs.parse().unwrap_or(0));
            Mode::Files { memory_mib: memory(mib), file_bytes, cpu_secs }
        }
        ["--check"] => Mode::Check,
        _ => {
            eprintln!(
                "usage: telstar-worker --check; without it, the server starts it with a socket as standard input"
            );
            return ExitCode::from(2);
        }
    };
    // Without it, FFmpeg's errors have no words. It says that nothing can go wrong.
    let _ = ffmpeg_next::init();
    // Files that an error names would only be noise: there is none.
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error);
    let outcome = match mode {
        Mode::Check => {
            let memory_mib = MEMORY_MIB;
            return check::print(confine(Limits { memory_mib, file_bytes: CHECK_BYTES, files_max: 0, cpu_secs: None }));
        }
        Mode::Live { memory_mib } => {
            ready(Limits { memory_mib, file_bytes: 0, files_max: 0, cpu_secs: None }).and_then(|mut pipe| pipe.serve())
        }
        Mode::Files { memory_mib, file_bytes, cpu_secs } => {
            // A library would say the same of each broken picture of an upload.
            ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Fatal);
            let (files_max, cpu_secs) = (1 + OUTPUTS_MAX as u64, Some(cpu_secs));
            let limits = Limits { memory_mib, file_bytes, files_max, cpu_secs };
            ready(limits).and_then(|mut pipe| file::serve(&mut pipe))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Confines the process and tells the server.
fn ready(limits: Limits) -> Result<Pipe, PipeError> {
    let socket = rustix::stdio::stdin().try_clone_to_owned()?;
    let mut pipe = Pipe::new(File::from(socket));
    let sandbox = confine(limits);
    let (decoders, targets) = conversion::abilities();
    pipe.say(&FromWorker::Ready(Ready { sandbox, decoders, targets }))?;
    Ok(pipe)
}
