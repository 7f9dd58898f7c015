//! Every seed keeps every rule, and a seed is the same run again.
//!
//! `TELSTAR_SIM_SEEDS=5000` runs more of them, `TELSTAR_SIM_FIRST=1000` other ones. What failed once is in `seeds/` and is always run.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use telstar_sim::scenario;

/// A seed takes 0.2 s of one core in a debug build, so these take half a minute on two. Higher finds more; a soak runs thousands.
const SEEDS: u64 = 300;
/// How often a seed is run that failed once: it has a few variants (see the crate's page).
const RUNS_OF_KNOWN: usize = 3;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs seeds on all cores and says which failed, with the command that repeats each.
fn run_all(seeds: &[u64]) {
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let outcome = std::panic::catch_unwind(|| scenario::run(*seed, Instant::now()));
            let rule = match outcome {
                Ok(Ok(_)) => continue,
                Ok(Err(rule)) => rule,
                Err(_) => "a panic (see above)".to_owned(),
            };
            failures.lock().expect("nobody panics with it").push((*seed, rule));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let mut failures = failures.into_inner().expect("nobody panics with it");
    failures.sort();
    let lines = failures.iter().map(|(seed, rule)| {
        format!("seed {seed}: {rule}\n  repeat: cargo run -p telstar-sim --example replay -- {seed}")
    });
    let lines: Vec<String> = lines.collect();
    assert!(lines.is_empty(), "{} of {} seeds failed:\n{}", lines.len(), seeds.len(), lines.join("\n"));
}

#[test]
fn every_seed_keeps_every_rule() {
    let first = setting("TELSTAR_SIM_FIRST").unwrap_or(0);
    let count = setting("TELSTAR_SIM_SEEDS").unwrap_or(SEEDS);
    run_all(&(first..first + count).collect::<Vec<_>>());
}

#[test]
fn seeds_that_failed_once_fail_no_more() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds");
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is committed").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a text file");
        // The first word of a line is a seed, the rest says what it found.
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        seeds.extend(lines.map(|line| {
            let seed = line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            seed.unwrap_or_else(|| panic!("{}: no seed in `{line}`", entry.path().display()))
        }));
    }
    assert!(!seeds.is_empty());
    run_all(&seeds.repeat(RUNS_OF_KNOWN));
}

#[test]
fn a_seed_has_few_variants() {
    // If anything here drew from elsewhere than the seed, no two of them would be equal.
    let digests: BTreeSet<u64> =
        (0..8).map(|_| scenario::run(4, Instant::now()).expect("a seed that keeps every rule").digest).collect();
    assert!(digests.len() < 8, "eight runs of one seed are eight different ones");
}
