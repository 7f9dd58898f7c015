//! What a process takes, as the kernel counts it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the peak of its memory is read: it is gone with the process. The kernel keeps the highest, so that only what is
/// reached in the last moment is missed.
const EVERY: Duration = Duration::from_millis(4);
/// A process that has closed its socket and does not end has failed the test.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a process took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub wall: Duration,
    /// User and system, of all threads.
    pub cpu_secs: f64,
    /// Of it, what the system took.
    pub system_secs: f64,
    /// Of what was resident.
    pub peak_mib: f64,
}

/// A process that is looked at while it runs.
pub struct Watched {
    id: u32,
    began: Instant,
    is_over: Arc<AtomicBool>,
    sampler: JoinHandle<u64>,
}

impl Watched {
    pub fn new(id: u32) -> Watched {
        let is_over = Arc::new(AtomicBool::new(false));
        let (flag, at_first) = (Arc::clone(&is_over), peak_kib(id).unwrap_or(0));
        let sampler = std::thread::spawn(move || {
            let mut peak = at_first;
            while !flag.load(Ordering::Relaxed) {
                peak = peak.max(peak_kib(id).unwrap_or(0));
                std::thread::sleep(EVERY);
            }
            peak
        });
        Watched { id, began: Instant::now(), is_over, sampler }
    }

    /// What it took, now that it has nothing more to do. Nobody may have waited for it: then its time is forgotten.
    pub fn finish(self) -> Figures {
        let wall = self.began.elapsed();
        let (mut stat, asked) = (stat(self.id), Instant::now());
        // proc(5): `Z` is a process that has ended; its time is still told.
        while stat.first().is_some_and(|state| state != "Z") && asked.elapsed() < PATIENCE {
            std::thread::sleep(EVERY);
            stat = self::stat(self.id);
        }
        self.is_over.store(true, Ordering::Relaxed);
        let peak_kib = self.sampler.join().expect("it only reads");
        // utime and stime, in hundredths of a second.
        let secs = |at: usize| stat.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
        let (user_secs, system_secs) = (secs(11), secs(12));
        Figures { wall, cpu_secs: user_secs + system_secs, system_secs, peak_mib: peak_kib as f64 / 1_024.0 }
    }
}

fn peak_kib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// From the state on.
fn stat(id: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').map(str::to_owned).collect()
}
