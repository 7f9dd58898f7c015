//! What forwarding a packet costs the SFU, in processor instructions, which other work on the machine does not change:
//!
//! ```sh
//! cargo build --release -p telstar-sim --example forward
//! for viewers in 10 50; do
//!   valgrind --tool=callgrind --callgrind-out-file=/tmp/forward.$viewers target/release/examples/forward $viewers
//!   callgrind_annotate --inclusive=yes /tmp/forward.$viewers | grep 'Sfu::\(handle_\|poll_\)'
//! done
//! ```
//!
//! One publisher, as many viewers as the first argument says, 2 Mbit/s in one encoding, in memory. Prints how many packets
//! were forwarded, by which the instructions are to be divided. System calls are not in it.

use std::time::{Duration, Instant};

use telstar_sfu::Kind;
use telstar_sim::camera::Camera;
use telstar_sim::world::{World, config};
use telstar_units::TrackId;

fn main() {
    let mut words = std::env::args().skip(1).map(|word| word.parse().expect("a number"));
    let (viewers, seconds): (u64, u64) = (words.next().unwrap_or(10), words.next().unwrap_or(5));
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let mids = world.publish(publisher, &[(TrackId(1), Kind::Video, &[])]);
    let mut everybody = vec![publisher];
    everybody.extend((0..viewers).map(|viewer| world.subscriber(10 + viewer)));
    assert!(world.run_until(Duration::from_secs(8), |world| world.is_connected(&everybody)), "they connect");
    let mut camera = Camera::new(publisher, mids[0], &[(None, 2_000_000)]);
    camera.film(&mut world, Duration::from_secs(seconds));
    let counters = world.sfu.counters();
    println!("viewers {viewers}, packets in {}, packets forwarded {}", counters.packets_in, counters.packets_out);
}
