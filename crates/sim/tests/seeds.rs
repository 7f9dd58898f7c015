//! Every run of a seed keeps every rule, and is the same each time.

use std::time::Instant;

use telstar_sim::scenario;

#[test]
fn t() {
    for seed in 0..48 {
        let t = Instant::now();
        println!("{seed} {:?} {:?}", t.elapsed(), scenario::run(seed, t));
        println!("{:?}", t.elapsed());
    }
}
