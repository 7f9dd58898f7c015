//! Every seed keeps every rule, and a seed is the same run again.
//!
//! `TELSTAR_SIM_SEEDS=5000` runs more of them, `TELSTAR_SIM_FIRST=1000` other ones. What failed once is in `seeds/` and is always run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use telstar_sim::scenario::{self, Failure};

/// A seed takes 0.25 s of one core in a debug build (measured), so these take 25 s on two. Higher finds more; a soak runs
/// thousands. Each rule, broken on purpose, was found by fewer than 48 of them.
const SEEDS: u64 = 192;

/// Of a thousand seeds so many may leave a viewer on an unlimited path below the best layer 30 s after the last fault.
// Not 0: the estimate stands still below the next layer in one seed of thirty; see seeds/failed.txt and docs/performance.md.
const UNSTEADY_PERMILLE_MAX: usize = 70;

/// What has to be tried, and by how many seeds at least.
const FAULTS: [&str; 17] = [
    "NAT rebind",
    "delay",
    "duplication",
    "full size",
    "jitter",
    "loss",
    "loss in bursts",
    "middle size",
    "narrow for good",
    "pause",
    "publisher vanishes",
    "rate limit",
    "reordering",
    "small size",
    "socket breaks",
    "socket dies unnoticed",
    "unsubscription",
];
const DRAWN_MIN: usize = 10;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What seeds did: faults, by the number of seeds that had each.
type Drawn = BTreeMap<String, usize>;

/// Runs seeds on all cores. Fails if one breaks a rule, and returns those that did not become steady, and what the others did.
fn run_all(seeds: &[u64]) -> (Vec<String>, Drawn) {
    let (next, failures, drawn) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(Drawn::new()));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let outcome = std::panic::catch_unwind(|| scenario::run(*seed, Instant::now()));
            let failure = match outcome {
                Ok(Ok(report)) => {
                    let mut drawn = drawn.lock().expect("nobody panics with it");
                    for what in
                        report.faults.keys().map(|fault| (*fault).to_owned()).chain([format!("{:?}", report.scenario)])
                    {
                        *drawn.entry(what).or_default() += 1;
                    }
                    continue;
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Broken("a panic (see above)".to_owned()),
            };
            failures.lock().expect("nobody panics with it").push((*seed, failure));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let mut failures = failures.into_inner().expect("nobody panics with it");
    failures.sort_by_key(|(seed, _)| *seed);
    let say = |(seed, failure): &(u64, Failure)| {
        format!("seed {seed}: {failure}\n  repeat: cargo run -p telstar-sim --example replay -- {seed}")
    };
    let (broken, unsteady): (Vec<_>, Vec<_>) =
        failures.iter().partition(|(_, failure)| matches!(failure, Failure::Broken(_)));
    let broken: Vec<String> = broken.into_iter().map(say).collect();
    let unsteady: Vec<String> = unsteady.into_iter().map(say).collect();
    println!("{} of {} seeds did not become steady:\n{}", unsteady.len(), seeds.len(), unsteady.join("\n"));
    assert!(broken.is_empty(), "{} of {} seeds failed:\n{}", broken.len(), seeds.len(), broken.join("\n"));
    (unsteady, drawn.into_inner().expect("nobody panics with it"))
}

#[test]
fn every_seed_keeps_every_rule_and_nearly_every_viewer_becomes_steady() {
    let first = setting("TELSTAR_SIM_FIRST").unwrap_or(0);
    let count = setting("TELSTAR_SIM_SEEDS").unwrap_or(SEEDS);
    let (unsteady, drawn) = run_all(&(first..first + count).collect::<Vec<_>>());
    println!("{count} seeds had {drawn:#?}");
    if count >= SEEDS {
        let seldom: Vec<_> =
            FAULTS.iter().filter(|fault| drawn.get(**fault).is_none_or(|had| *had < DRAWN_MIN)).collect();
        assert!(seldom.is_empty(), "hardly tried: {seldom:?} in {drawn:?}");
    }
    let list = unsteady.join("\n");
    assert!(unsteady.len() * 1_000 <= count as usize * UNSTEADY_PERMILLE_MAX, "too many are unsteady:\n{list}");
}

#[test]
fn seeds_that_failed_once_break_no_rule() {
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
    run_all(&seeds);
}

#[test]
fn a_seed_has_few_variants() {
    // If anything here drew from elsewhere than the seed, no two of them would be equal.
    let digests: BTreeSet<u64> =
        (0..8).map(|_| scenario::run(4, Instant::now()).expect("a seed that keeps every rule").digest).collect();
    assert!(digests.len() < 8, "eight runs of one seed are eight different ones");
}
