//! This process as the kernel sees it: the server of a test and whoever attacks it are both in it.

use std::sync::Once;

/// The memory that there was when an attack began.
pub struct Memory {
    rss_mib: u64,
}

impl Memory {
    pub fn now() -> Memory {
        // proc(5): the peak begins anew at what there is now.
        std::fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own peak");
        Memory { rss_mib: status_mib("VmRSS:") }
    }

    /// The most memory that the process had at any time since then is less than `max_mib` more than before.
    #[track_caller]
    pub fn stays_below(&self, max_mib: u64) {
        let added = status_mib("VmHWM:").saturating_sub(self.rss_mib);
        assert!(added < max_mib, "{added} MiB were added");
    }
}

/// A line of `/proc/self/status` in MiB.
fn status_mib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the kernel tells it");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib / 1_024
}

/// A thousand connections have two ends here.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).expect("up to the hard limit it is ours");
    });
}
