//! A viewer whose path becomes thin gets the layer that fits, and the top layer back when it is wide again, without anybody
//! beside it noticing. `cargo run -p telstar-sim --release --example limits` prints the figures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use telstar_sim::limits::{Outcome, run};

/// A run takes about a second of one core in a debug build (measured); each test has so many.
const SEEDS: u64 = 50;
/// What calls are accepted by.
const DOWN_MAX: Duration = Duration::from_secs(5);
const UP_MAX: Duration = Duration::from_secs(10);
const FREEZE_MAX: Duration = Duration::from_secs(1);
/// Beside a thin path nothing changes: the top layer, and no pause longer than a few pictures.
const BESIDE_MAX: Duration = Duration::from_millis(250);
/// Of a thousand seeds so many may be later than that; of the first hundred none is. Five times a median is judged with browsers
/// (`tests/e2e`).
const LATE_PERMILLE_MAX: usize = 40;
/// And with loss: about one in ten freezes for 1.0 to 3 s, when packets of the keyframe are lost twice.
const LATE_WITH_LOSS_PERMILLE_MAX: usize = 200;

fn run_all(loss_permille: u32) -> Vec<(u64, Outcome)> {
    let (next, outcomes) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return;
            }
            let outcome = run(seed, Instant::now(), loss_permille).unwrap_or_else(|rule| panic!("seed {seed}: {rule}"));
            outcomes.lock().expect("nobody panics with it").push((seed, outcome));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    outcomes.into_inner().expect("nobody panics with it")
}

fn is_in_time(outcome: &Outcome) -> bool {
    outcome.down.is_some_and(|time| time <= DOWN_MAX)
        && outcome.up.is_some_and(|time| time <= UP_MAX)
        && outcome.down_freeze.max(outcome.up_freeze) <= FREEZE_MAX
}

fn assert_nobody_beside_it_notices(outcomes: &[(u64, Outcome)]) {
    for (seed, outcome) in outcomes {
        assert!(outcome.beside_top && outcome.beside_freeze <= BESIDE_MAX, "seed {seed}: {outcome:?}");
    }
}

fn assert_few_are_late(loss_permille: u32, permille_max: usize) {
    let outcomes = run_all(loss_permille);
    let late: Vec<_> = outcomes.iter().filter(|(_, outcome)| !is_in_time(outcome)).collect();
    println!("{} of {SEEDS} were late: {late:#?}", late.len());
    assert!(late.len() * 1_000 <= SEEDS as usize * permille_max, "too many are late: {late:#?}");
    assert_nobody_beside_it_notices(&outcomes);
}

#[test]
fn a_path_that_becomes_thin_gets_the_lowest_layer_and_the_top_one_back_in_time() {
    assert_few_are_late(0, LATE_PERMILLE_MAX);
}

#[test]
fn with_five_percent_loss_nearly_every_path_is_in_time() {
    assert_few_are_late(50, LATE_WITH_LOSS_PERMILLE_MAX);
}
