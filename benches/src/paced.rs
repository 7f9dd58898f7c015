//! The floor of a call as it goes: thirty pictures a second in runs of packets, fifty packets of sound, each protected for each
//! viewer and handed to the kernel by the cheapest call, to receivers that wait for them on another thread.
//!
//! The other floor sends as fast as it can to receivers that nobody waits on. What lies between the two is what the kernel charges a
//! sender on loopback for delivering and for waking receivers up, which no server can save.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::socket::MultiHeaders;

use crate::floor::{Ground, MESSAGES_MAX, TAG_BYTES, cpu_time};

/// What is sent: as `tests/e2e/scripts/bench-calls.mjs` has its publishers send.
const PICTURE: Stream = Stream { run: 7, bytes: 1_200, every: Duration::from_micros(33_333) };
const SOUND: Stream = Stream { run: 1, bytes: 100, every: Duration::from_millis(20) };

#[derive(Clone, Copy)]
struct Stream {
    run: usize,
    bytes: usize,
    every: Duration,
}

/// Nanoseconds of CPU per packet as one line of JSON.
pub fn report(destinations: usize, time: Duration) -> Result<serde_json::Value> {
    anyhow::ensure!(destinations > 0, "at least one destination");
    let ground = Ground::new(destinations)?;
    let receivers = ground.receivers.iter().map(std::net::UdpSocket::try_clone).collect::<Result<Vec<_>, _>>()?;
    // Ends with the process.
    thread::spawn(move || receive(receivers));
    let mut headers = MultiHeaders::preallocate(MESSAGES_MAX, None);
    let mut cutting = MultiHeaders::preallocate(MESSAGES_MAX, Some(nix::cmsg_space!(u16)));
    let packets = |stream: Stream| vec![vec![0x80_u8; stream.bytes + TAG_BYTES]; stream.run];
    let (pictures, sounds) = (packets(PICTURE), packets(SOUND));
    let (plain_picture, plain_sound) = (vec![0x80_u8; PICTURE.bytes], vec![0x80_u8; SOUND.bytes]);
    let (mut counter, mut out) = (0, Vec::with_capacity(PICTURE.bytes + TAG_BYTES));
    let begin = Instant::now();
    let mut due = [(begin, PICTURE), (begin, SOUND)];
    let (mut spent, mut sent) = (Duration::ZERO, 0);
    while begin.elapsed() < time {
        let (at, stream) = due.iter_mut().min_by_key(|(at, _)| *at).expect("there are two");
        thread::sleep(at.saturating_duration_since(Instant::now()));
        *at += stream.every;
        let stream = *stream;
        let start = cpu_time()?;
        if stream.run > 1 {
            ground.protect(&plain_picture, stream.run, &mut counter, &mut out)?;
            ground.gso_many(&pictures, stream.run, &mut cutting)?;
        } else {
            ground.protect(&plain_sound, stream.run, &mut counter, &mut out)?;
            ground.sendmmsg(&sounds, stream.run, &mut headers, &ground.addresses)?;
        }
        spent += cpu_time()? - start;
        sent += stream.run * destinations;
    }
    let nanos = spent.as_nanos() as f64 / f64::from(u32::try_from(sent)?);
    Ok(serde_json::json!({ "destinations": destinations, "paced_ns": nanos.round() as u64 }))
}

/// Takes what comes, asleep in between.
fn receive(sockets: Vec<std::net::UdpSocket>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime.block_on(async {
        let mut readers = tokio::task::JoinSet::new();
        for socket in sockets {
            readers.spawn(async move {
                let socket = tokio::net::UdpSocket::from_std(socket).expect("it does not block");
                let mut bytes = [0; 2_048];
                while socket.recv(&mut bytes).await.is_ok() {}
            });
        }
        readers.join_all().await;
    });
}
