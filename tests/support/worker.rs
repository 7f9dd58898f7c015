//! The worker of a test.

use std::path::PathBuf;
use std::process::Command;

/// The worker that was built beside this test. `cargo test --workspace` builds it; a narrower one may not have.
pub fn worker() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let worker = own.ancestors().nth(2).expect("it is in target/PROFILE/deps").join("telstar-worker");
    if !worker.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--offline", "-p", "telstar-worker"]).status();
        assert!(built.is_ok_and(|status| status.success()), "cargo builds the worker");
    }
    worker
}
