//! Replays seeds: `cargo run -p telstar-sim --example replay -- SEED...`. Prints what became of each.

use std::time::Instant;

use telstar_sim::scenario;

fn main() {
    for seed in std::env::args().skip(1).filter_map(|seed| seed.parse().ok()) {
        match scenario::run(seed, Instant::now()) {
            Ok(report) => println!("{seed}: {report:?}"),
            Err(rule) => println!("{seed}: FAILED: {rule}"),
        }
    }
}
