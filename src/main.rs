//! The executable: hands the command line to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match telstar::cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain, without a backtrace: it is for operators.
            eprintln!("telstar: {error:#}");
            ExitCode::FAILURE
        }
    }
}
