//! Replays seeds: `cargo run -p telstar-sim --example replay -- SEED...`. Prints every outcome that each has.

use std::collections::BTreeMap;
use std::time::Instant;

use telstar_sim::scenario;

/// A seed has a few variants (see the crate's page); one that fails in one of them most likely fails within so many runs.
const RUNS: usize = 12;

fn main() {
    for seed in std::env::args().skip(1).filter_map(|seed| seed.parse().ok()) {
        let mut outcomes = BTreeMap::new();
        for _ in 0..RUNS {
            let outcome = match scenario::run(seed, Instant::now()) {
                Ok(report) => format!("{report:?}"),
                Err(rule) => format!("FAILED: {rule}"),
            };
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
        for (outcome, times) in outcomes {
            println!("{seed}: {times} of {RUNS}: {outcome}");
        }
    }
}
