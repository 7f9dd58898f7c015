//! `telstar-worker --check`: what it can do and what the kernel lets it enforce, as one line of JSON for `telstar doctor`.

use std::io::Write;
use std::process::ExitCode;

use telstar_transcode::Sandbox;

use crate::conversion;

/// Prints the line from inside the sandbox.
pub fn print(sandbox: Sandbox) -> ExitCode {
    let (decoders, targets) = conversion::abilities();
    let version = ffmpeg_next::codec::version();
    let list = |names: Vec<&str>| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(",");
    let line = format!(
        r#"{{"version":"{}","libavcodec":"{}.{}.{}","missing":[{}],"decoders":[{}],"targets":[{}]}}"#,
        env!("CARGO_PKG_VERSION"),
        version >> 16,
        version >> 8 & 0xff,
        version & 0xff,
        list(sandbox.missing()),
        list(decoders.iter().map(|codec| codec.name()).collect()),
        list(targets.iter().map(|target| target.codec().name()).collect()),
    );
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
