//! Work on files: one task, with its files, and then the process ends.
//!
//! In: a task through the socket, and descriptors with it (SCM_RIGHTS): the source first, then an empty file for each
//! output. Out: news of what the source is, or of what was written where. What plays before what, what anything is
//! called, and which playlist names it is not known here.

mod aac;
mod blob;
mod boxes;
mod clock;
mod cutter;
mod decode;
mod elements;
mod header;
mod images;
mod input;
mod make;
mod order;
mod pictures;
mod probe;
mod receive;
mod sniff;
mod teller;

use std::fs::File;

use telstar_transcode::FromWorker;
use telstar_transcode::file::{FileNews, FileTask};

use crate::failure::Failure;
use crate::pipe::{Pipe, PipeError};
use input::Source;
use teller::Teller;

/// Outputs of [`FileTask::Images`]: the poster and the storyboard.
const IMAGE_OUTPUTS: usize = 2;

/// Why a task ends before it is done.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The work cannot go on.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Nobody is there to tell.
    #[error(transparent)]
    Pipe(#[from] PipeError),
}

/// Takes one task from the server, and does it.
pub fn serve(pipe: &mut Pipe) -> Result<(), PipeError> {
    let Some((task, files)) = receive::task(pipe.socket())? else { return Ok(()) };
    let mut teller = Teller::new(pipe);
    let outcome = work(task, files, &mut teller);
    match outcome {
        Ok(()) => pipe.say(&FromWorker::File(FileNews::Done)),
        Err(Stop::Failure(failure)) => pipe.say(&FromWorker::File(failure.news())),
        Err(Stop::Pipe(error)) => Err(error),
    }
}

fn work(task: FileTask, files: Vec<File>, teller: &mut Teller<'_>) -> Result<(), Stop> {
    let outputs = match &task {
        FileTask::Probe(_) => 0,
        FileTask::Make(make) => make.outputs.len(),
        FileTask::Images(_) => IMAGE_OUTPUTS,
    };
    let count = files.len();
    let mut files = files.into_iter();
    let source = files.next().filter(|_| count == 1 + outputs);
    let source = source.ok_or_else(|| Failure::broken("task", format!("{count} files came with {outputs} outputs")))?;
    let limits = match &task {
        FileTask::Probe(limits) => limits,
        FileTask::Make(make) => &make.limits,
        FileTask::Images(images) => &images.limits,
    };
    let source = Source::new(source, limits)?;
    match task {
        FileTask::Probe(limits) => probe::probe(&source, &limits, teller),
        FileTask::Make(task) => make::make(&source, task, files.collect(), teller),
        FileTask::Images(task) => images::images(&source, &task, files.collect(), teller),
    }
}
