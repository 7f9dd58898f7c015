//! A load of calls: publishers and subscribers without cameras, screens or decoders.
//!
//! ```sh
//! load --url ws://127.0.0.1:8080/ws --room demo --tokens tokens.txt --publishers 1 --subscribers 50
//! load --url ws://127.0.0.1:8080/ws --room demo --tokens tokens.txt --meeting 10 --simulcast
//! load --server janus --url ws://127.0.0.1:8188 --room 1234 --publishers 1 --subscribers 50
//! ```
//!
//! `--tokens` names a file with a token for each participant, one on a line, each for another identity: first the
//! meeting's, then the publishers', then the subscribers', room by room. Janus needs none.
//! Everybody joins, `--warm-up` seconds (5) pass, then `--seconds` (10) are measured; standard error says when that
//! begins and ends. The report is one line of JSON: packets and losses of each subscriber, the time from joining to the
//! first whole picture, the delay from a publisher to the kernel's hands at a subscriber (of a sample of the packets),
//! and this process's CPU.
//! Options: `--server` (telstar, janus, livekit), `--rooms` (1) with so many people in each, `--video-bps` (1,500,000),
//! `--ip` (127.0.0.1) of this process for the other two, `--no-audio`, `--simulcast` (three layers), `--threads` (2).

mod feedback;
mod janus;
mod livekit;
mod peer;
mod receiver;
mod socket;
mod stream;
mod telstar;
mod threads;

use std::error::Error;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use peer::Fallible;
use stream::Plan;
use threads::{Seen, Threads};

/// Publishers send for so long before the first viewer joins.
const PUBLISHERS_LEAD: Duration = Duration::from_secs(1);

/// Whose signalling is spoken. The media are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Telstar,
    Janus,
    LiveKit,
}

struct Options {
    server: Server,
    url: String,
    ip: IpAddr,
    room: String,
    rooms: usize,
    tokens: Vec<String>,
    publishers: usize,
    subscribers: usize,
    meeting: usize,
    warm_up: u64,
    seconds: u64,
    video_bps: u32,
    audio: bool,
    simulcast: bool,
    threads: usize,
}

/// What everybody who joins shares.
struct Context {
    url: String,
    /// Whence the others are sent to; Telstar's client knows it.
    ip: IpAddr,
    threads: Threads,
    tracks: Vec<Vec<Plan>>,
}

/// Somebody who joins.
#[derive(Clone)]
struct Participant {
    id: usize,
    room: String,
    token: String,
    publishes: bool,
    subscribes: bool,
    begin: Instant,
}

impl Participant {
    /// The number of the publishing connection is even, that of the subscribing one odd.
    fn publishing(&self) -> usize {
        2 * self.id
    }

    fn subscribing(&self) -> usize {
        2 * self.id + 1
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    let threads = Threads::start(options.threads).map_err(|error| error.to_string())?;
    let tracks = options.tracks();
    let context = Context { url: options.url.clone(), ip: options.ip, threads: threads.clone(), tracks };
    let (mut joins, mut tasks) = (Vec::new(), JoinSet::new());
    let everybody = options.everybody()?;
    let mut led = false;
    for mut who in everybody.iter().cloned() {
        // After the publishers of all rooms, who come first.
        if !who.publishes && !led {
            tokio::time::sleep(PUBLISHERS_LEAD).await;
            led = true;
        }
        who.begin = Instant::now();
        let joined = match options.server {
            Server::Telstar => telstar::join(&context, &who, &mut tasks).await,
            Server::Janus => janus::join(&context, &who, &mut tasks).await,
            Server::LiveKit => livekit::join(&context, &who, &mut tasks).await,
        };
        joined.map_err(|error| format!("{}: {error}", who.id))?;
        joins.push(who.begin.elapsed());
    }
    tokio::time::sleep(Duration::from_secs(options.warm_up)).await;
    threads.reset();
    eprintln!("steady begins");
    let cpu = cpu_secs();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let cpu = cpu_secs() - cpu;
    eprintln!("steady ends");
    let mut seen = threads.report().await;
    // A publisher that subscribes to nothing is offered a connection, too.
    seen.retain(|one| everybody.iter().any(|who| who.subscribes && who.subscribing() == one.peer));
    seen.sort_unstable_by_key(|one| one.peer);
    println!("{}", report(&options, &seen, &mut joins, cpu));
    Ok(())
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
            server: Server::Telstar,
            url: String::new(),
            ip: [127, 0, 0, 1].into(),
            room: String::new(),
            rooms: 1,
            tokens: vec![],
            publishers: 0,
            subscribers: 0,
            meeting: 0,
            warm_up: 5,
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
                "--server" => {
                    options.server = match value()?.as_str() {
                        "telstar" => Server::Telstar,
                        "janus" => Server::Janus,
                        "livekit" => Server::LiveKit,
                        other => return Err(format!("no such server: {other}").into()),
                    };
                }
                "--url" => options.url = value()?,
                "--ip" => options.ip = value()?.parse()?,
                "--room" => options.room = value()?,
                "--tokens" => {
                    options.tokens = std::fs::read_to_string(value()?)?.lines().map(str::to_owned).collect();
                }
                "--publishers" => options.publishers = value()?.parse()?,
                "--subscribers" => options.subscribers = value()?.parse()?,
                "--meeting" => options.meeting = value()?.parse()?,
                "--rooms" => options.rooms = value()?.parse::<usize>()?.max(1),
                "--warm-up" => options.warm_up = value()?.parse()?,
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

    /// Who joins, in this order: all publishers before those who only watch.
    fn everybody(&self) -> Result<Vec<Participant>, Box<dyn Error>> {
        let mut tokens = self.tokens.iter().cloned();
        let mut everybody = Vec::new();
        for index in 0..self.rooms {
            let room = if self.rooms == 1 { self.room.clone() } else { format!("{}{index}", self.room) };
            let roles = std::iter::repeat_n((true, true), self.meeting)
                .chain(std::iter::repeat_n((true, false), self.publishers))
                .chain(std::iter::repeat_n((false, true), self.subscribers));
            for (publishes, subscribes) in roles {
                let token = match self.server {
                    Server::Janus => String::new(),
                    _ => tokens.next().ok_or("there are too few tokens")?,
                };
                let (id, room, begin) = (everybody.len(), room.clone(), Instant::now());
                everybody.push(Participant { id, room, token, publishes, subscribes, begin });
            }
        }
        everybody.sort_by_key(|who| !who.publishes);
        if self.server == Server::Janus {
            // Whoever subscribes there names the publishers, who must be known: the meeting's come twice.
            let subscribers = everybody.iter().filter(|who| who.publishes && who.subscribes).cloned();
            let subscribers: Vec<_> = subscribers.map(|who| Participant { publishes: false, ..who }).collect();
            everybody.iter_mut().filter(|who| who.publishes).for_each(|who| who.subscribes = false);
            everybody.extend(subscribers);
        }
        Ok(everybody)
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
        "first_picture_ms": { "p50": at(&firsts, 0.5), "p95": at(&firsts, 0.95), "max": firsts.last(), "count": firsts.len() },
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
