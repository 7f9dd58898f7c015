//! `telstar config`: the commented default file, or a check of one.

use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};

use crate::config::{check_file, commented_file};

pub(super) fn command() -> Command {
    Command::new("config").about("Prints the commented default configuration, or checks a file").arg(
        Arg::new("check")
            .long("check")
            .value_name("FILE")
            .help("Checks this file and names every mistake with its line")
            .value_parser(clap::value_parser!(PathBuf)),
    )
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match matches.get_one::<PathBuf>("check") {
        Some(path) => {
            check_file(path)?;
            writeln!(stdout, "{}: no mistake", path.display())?;
        }
        None => stdout.write_all(commented_file().as_bytes())?,
    }
    Ok(())
}
