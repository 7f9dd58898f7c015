//! A load of calls: publishers and subscribers without cameras, screens or decoders.
//!
//! ```sh
//! load --url ws://127.0.0.1:8080/ws --room demo --tokens tokens.txt --publishers 1 --subscribers 50
//! load --url ws://127.0.0.1:8080/ws --room demo --tokens tokens.txt --meeting 10 --simulcast
//! ```
//!
//! `--tokens` names a file with a room token for each participant, one on a line, each for another identity.
//! Everybody joins, two seconds pass, then `--seconds` (10) are measured. The report is one line of JSON:
//! packets and losses of each subscriber, the time from joining to the first packet, the delay from a publisher to a
//! subscriber (of a sample of the packets, with this process's own scheduling in it), and this process's CPU.
//! Options: `--video-bps` (1,500,000), `--no-audio`, `--simulcast` (three layers), `--threads` (2).

mod peer;
mod stream;
mod threads;

use std::error::Error;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;
use telstar_client::wire::{NewTrack, Published, Request};
use telstar_client::{Client, Credential, Direction, Event, JoinOptions, Kind, Layer, Signal, Source};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use peer::Fallible;
use stream::Plan;
use threads::{Command, Seen, Threads};

/// Between the last join and the first count: bandwidth estimation and the first keyframes.
const WARM_UP: Duration = Duration::from_secs(2);

struct Options {
    url: String,
    room: String,
    tokens: Vec<String>,
    publishers: usize,
    subscribers: usize,
    meeting: usize,
    seconds: u64,
    video_bps: u32,
    audio: bool,
    simulcast: bool,
    threads: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    let threads = Threads::start(options.threads).map_err(|error| error.to_string())?;
    let mut tasks = JoinSet::new();
    let (mut joins, mut tokens) = (Vec::new(), options.tokens.iter());
    let roles = std::iter::repeat_n((true, true), options.meeting)
        .chain(std::iter::repeat_n((true, false), options.publishers))
        .chain(std::iter::repeat_n((false, true), options.subscribers));
    for (id, (publishes, subscribes)) in roles.enumerate() {
        let token = tokens.next().ok_or("there are too few tokens")?;
        let begin = Instant::now();
        let joined = join(&options, token, id, publishes, subscribes, &threads).await;
        let (signal, events, ip) = joined.map_err(|error| error.to_string())?;
        joins.push(begin.elapsed());
        tasks.spawn(follow(signal, events, id, ip, begin, threads.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    threads.reset();
    let cpu = cpu_secs();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let cpu = cpu_secs() - cpu;
    let seen = threads.report().await;
    println!("{}", report(&options, &seen, &mut joins, cpu));
    Ok(())
}

/// The socket's number of a participant's publishing connection is even, of its subscribing one odd.
async fn join(
    options: &Options,
    token: &str,
    id: usize,
    publishes: bool,
    subscribes: bool,
    threads: &Threads,
) -> Fallible<(Signal, mpsc::Receiver<Event>, IpAddr)> {
    let client = Client::connect(&options.url, Credential::Token(token.to_owned())).await?;
    let join = JoinOptions { auto_subscribe: subscribes, ..JoinOptions::default() };
    let (signal, events, _) = client.join_signalling(&options.room, join).await?;
    let ip = local_ip(signal.peer().ok_or("the server's address is known")?)?;
    if publishes {
        let tracks = options.tracks();
        let (reply, offer) = oneshot::channel();
        threads.send(2 * id, Command::Publish(2 * id, ip, tracks.clone(), reply));
        let (sdp, mids) = offer.await??;
        let tracks = tracks.iter().zip(mids).map(|(plans, mid)| describe(plans, mid)).collect();
        let reply = signal.request(Request::Publish { sdp, tracks }).await?;
        let published: Published = serde_json::from_value(reply)?;
        threads.send(2 * id, Command::Accept(2 * id, published.sdp));
    }
    Ok((signal, events, ip))
}

/// Does what a participant must do while it is in the call.
async fn follow(
    signal: Signal,
    mut events: mpsc::Receiver<Event>,
    id: usize,
    ip: IpAddr,
    joined: Instant,
    threads: Threads,
) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Offer { version, sdp } => {
                let (reply, answer) = oneshot::channel();
                threads.send(2 * id + 1, Command::Subscribe(2 * id + 1, ip, joined, sdp, reply));
                match answer.await {
                    Ok(Ok(sdp)) => {
                        let _ = signal.send(Request::Answer { version, sdp }); // the socket is gone: so is the call
                    }
                    Ok(Err(error)) => eprintln!("the offer to {id}: {error}"),
                    Err(_) => return,
                }
            }
            Event::Candidate { connection, candidate } if !candidate.is_empty() => {
                let peer = 2 * id + usize::from(connection == Direction::Subscribe);
                threads.send(peer, Command::Candidate(peer, candidate));
            }
            Event::Left { reason } => return eprintln!("{id} left: {reason}"),
            Event::MediaFailed { connection, reason } => eprintln!("{id}: {connection:?} failed: {reason}"),
            _ => {}
        }
    }
    eprintln!("{id}: the connection is over");
}

fn describe(plans: &[Plan], mid: String) -> NewTrack {
    let audio = plans[0].is_audio();
    let layer = |plan: &Plan| Layer {
        rid: plan.rid.to_owned(),
        width: plan.width,
        height: plan.height,
        frame_rate: 30,
        bitrate_bps: plan.bps.into(),
    };
    NewTrack {
        mid,
        kind: if audio { Kind::Audio } else { Kind::Video },
        source: if audio { Source::Microphone } else { Source::Camera },
        name: String::new(),
        muted: false,
        layers: if plans.len() > 1 { plans.iter().map(layer).collect() } else { vec![] },
    }
}

/// The address from which the server is reached.
fn local_ip(server: IpAddr) -> Fallible<IpAddr> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((server, 9))?; // sends nothing
    Ok(socket.local_addr()?.ip())
}

impl Options {
    fn read() -> Result<Options, Box<dyn Error>> {
        let mut options = Options {
            url: String::new(),
            room: String::new(),
            tokens: vec![],
            publishers: 0,
            subscribers: 0,
            meeting: 0,
            seconds: 10,
            video_bps: 1_500_000,
            audio: true,
            simulcast: false,
            threads: 2,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--url" => options.url = value()?,
                "--room" => options.room = value()?,
                "--tokens" => {
                    options.tokens = std::fs::read_to_string(value()?)?.lines().map(str::to_owned).collect();
                }
                "--publishers" => options.publishers = value()?.parse()?,
                "--subscribers" => options.subscribers = value()?.parse()?,
                "--meeting" => options.meeting = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--video-bps" => options.video_bps = value()?.parse()?,
                "--threads" => options.threads = value()?.parse::<usize>()?.max(1),
                "--no-audio" => options.audio = false,
                "--simulcast" => options.simulcast = true,
                other => return Err(format!("unknown: {other}; see the head of this file").into()),
            }
        }
        if options.url.is_empty() || options.room.is_empty() {
            return Err("--url and --room are needed".into());
        }
        Ok(options)
    }

    /// A picture and a sound.
    fn tracks(&self) -> Vec<Vec<Plan>> {
        let plan = |rid, width, height, bps| Plan { rid, width, height, bps };
        let video = match self.simulcast {
            true => vec![
                plan("l", 320, 180, self.video_bps / 10),
                plan("m", 640, 360, self.video_bps / 3),
                plan("h", 1280, 720, self.video_bps),
            ],
            false => vec![plan("", 1280, 720, self.video_bps)],
        };
        let audio = self.audio.then(|| vec![plan("", 0, 0, 32_000)]);
        std::iter::once(video).chain(audio).collect()
    }
}

fn report(options: &Options, seen: &[Seen], joins: &mut [Duration], cpu: f64) -> serde_json::Value {
    let mut delays: Vec<u32> = seen.iter().flat_map(|one| one.delays_us.iter().copied()).collect();
    delays.sort_unstable();
    let mut firsts: Vec<f64> = seen.iter().filter_map(|one| one.first).map(|first| first.as_secs_f64() * 1e3).collect();
    firsts.sort_unstable_by(f64::total_cmp);
    joins.sort_unstable();
    let received: u64 = seen.iter().map(|one| one.received).sum();
    let subscribers: Vec<_> = seen
        .iter()
        .map(|one| json!({ "streams": one.streams, "received": one.received, "lost": one.lost, "bytes": one.bytes }))
        .collect();
    json!({
        "seconds": options.seconds,
        "subscribers": seen.len(),
        "without_media": seen.iter().filter(|one| one.received == 0).count(),
        "packets_received": received,
        "packets_lost": seen.iter().map(|one| one.lost).sum::<u64>(),
        "bytes_received": seen.iter().map(|one| one.bytes).sum::<u64>(),
        "delay_us": { "p50": at(&delays, 0.5), "p99": at(&delays, 0.99), "max": delays.last(), "samples": delays.len() },
        "join_ms": { "p50": at(joins, 0.5).map(|join| join.as_secs_f64() * 1e3), "max": joins.last().map(|join| join.as_secs_f64() * 1e3) },
        "first_packet_ms": { "p50": at(&firsts, 0.5), "max": firsts.last() },
        "load_cpu_secs": cpu,
        "load_cpu_us_per_packet": cpu * 1e6 / received.max(1) as f64,
        "each": subscribers,
    })
}

/// The value below which this share of the sorted values lies.
fn at<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    sorted.get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1))).copied()
}

/// CPU of this process so far, from `/proc` (in ticks of 10 ms); 0 where there is none.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
