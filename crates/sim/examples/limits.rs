//! A viewer's path becomes thin and wide again: `cargo run -p telstar-sim --release --example limits -- [FIRST [COUNT]]`.
//!
//! Prints every run of these seeds, without and with 5 % loss, and then how often each promise was broken.

use std::time::{Duration, Instant};

use telstar_sim::limits::run;

/// Two, as the machines have that this is run on most.
const THREADS: usize = 2;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let (first, count) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(50));
    for loss_permille in [0, 50] {
        let (mut down, mut freeze, mut up, mut beside) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let seeds: Vec<u64> = (first..first + count).collect();
        let halves = seeds.chunks(seeds.len().div_ceil(THREADS));
        let outcomes = std::thread::scope(|scope| {
            let run = |seed: &u64| (*seed, run(*seed, Instant::now(), loss_permille).expect("no rule is broken"));
            let threads: Vec<_> =
                halves.map(|half| scope.spawn(move || half.iter().map(run).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("it prints what went wrong")).collect::<Vec<_>>()
        });
        for (seed, outcome) in outcomes {
            println!("{seed} loss {loss_permille}: {outcome:?}");
            down.push(outcome.down.unwrap_or(Duration::MAX));
            freeze.push(outcome.down_freeze.max(outcome.up_freeze));
            up.push(outcome.up.unwrap_or(Duration::MAX));
            beside += u32::from(!outcome.beside_top || outcome.beside_freeze > Duration::from_millis(200));
        }
        for (what, list, most) in [("down", &mut down, 5), ("freeze", &mut freeze, 1), ("up", &mut up, 10)] {
            list.sort_unstable();
            let over = list.iter().filter(|time| **time > Duration::from_secs(most)).count();
            let (median, worst) = (list[list.len() / 2], list[list.len() - 1]);
            println!(
                "loss {loss_permille}: {what}: median {median:.2?}, worst {worst:.2?}, {over} of {count} above {most} s"
            );
        }
        println!("loss {loss_permille}: beside it {beside} of {count} were disturbed");
    }
}
