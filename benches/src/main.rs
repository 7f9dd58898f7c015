//! Load for `make bench`: encoders that note when each frame left, players that note when it arrived, and the floor under
//! an SFU.
//!
//! Speaks RTMP and HLS to any server, ours or a peer's, and prints one JSON line. Both ends are in one process, so one
//! clock times both. What is measured, beside what, and what it means is said in docs/performance.md; the servers are
//! started by tests/e2e/scripts/peers.mjs.

mod encoder;
mod floor;
mod http;
mod paced;
mod players;
mod playlist;
mod report;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio::task::JoinSet;

use crate::encoder::{Encoder, Stream};
use crate::players::Mode;

/// Printed when the stream has been live for the warm-up: what the server's memory grows by from here on is the players'.
const PLAYERS_START: &str = "players start";

fn main() -> Result<()> {
    let matches = command().get_matches();
    // One thread: on a machine of few cores the load must leave the others to the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match matches.subcommand() {
            Some(("parts", matches)) => parts(matches).await,
            Some(("publish", matches)) => publish(matches).await,
            Some(("paced-floor", matches)) => {
                let number = |name| matches.get_one::<u32>(name).copied().expect("it has a default") as usize;
                println!("{}", paced::report(number("destinations"), seconds_of(matches, "seconds"))?);
                Ok(())
            }
            Some(("floor", matches)) => {
                println!("{}", floor::report(&floor_load_of(matches))?);
                Ok(())
            }
            _ => unreachable!("a subcommand is required"),
        }
    })
}

fn command() -> Command {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        text(name, help).default_value(default).value_parser(value_parser!(u32))
    };
    let stream = [
        number("kbps", "1200", "bits of video a second, in thousands"),
        number("fps", "30", "frames a second"),
        number("gop", "60", "frames from keyframe to keyframe"),
        number("seconds", "20", "how long to measure"),
    ];
    let parts = Command::new("parts")
        .about("time from a part's last frame to blocked players")
        .args(stream.clone())
        .arg(text("rtmp", "rtmp://HOST:PORT/APP/NAME to publish to").required(true))
        .arg(text("playlist", "the multivariant playlist").required(true))
        .arg(number("players", "1", "players that are blocked at a time"))
        .arg(number("warm-up", "0", "seconds that the stream is live before the first player starts"))
        .arg(
            text("mode", "what every player waits for").default_value("fetch").value_parser(["fetch", "hint", "list"]),
        );
    let publish = Command::new("publish")
        .about("pushes the stream to each address given")
        .args(stream)
        .arg(Arg::new("address").action(ArgAction::Append).required(true));
    let floor = Command::new("floor")
        .about("what protecting and sending one packet costs at least: the floor under an SFU")
        .arg(number("destinations", "50", "viewers, each with a key and an address"))
        .arg(number("run", "1", "packets in a row for one viewer"))
        .arg(number("bytes", "1200", "bytes of an RTP packet"))
        .arg(number("seconds", "2", "CPU time to spend on each figure"));
    let paced = Command::new("paced-floor")
        .about("the same in the course of a call: pictures and sound at their times, to receivers that wait for them")
        .arg(number("destinations", "50", "viewers, each with a key and an address"))
        .arg(number("seconds", "3", "how long the call is"));
    Command::new("telstar-bench").subcommand_required(true).subcommands([parts, publish, floor, paced])
}

fn floor_load_of(matches: &ArgMatches) -> floor::Load {
    let number = |name| matches.get_one::<u32>(name).copied().expect("it has a default") as usize;
    let time = seconds_of(matches, "seconds");
    floor::Load { destinations: number("destinations"), run: number("run"), bytes: number("bytes"), time }
}

fn stream_of(matches: &ArgMatches) -> Stream {
    let number = |name| matches.get_one::<u32>(name).copied().expect("it has a default");
    Stream { kbps: number("kbps"), fps: number("fps"), gop: number("gop") }
}

fn seconds_of(matches: &ArgMatches, name: &str) -> Duration {
    Duration::from_secs(matches.get_one::<u32>(name).copied().expect("it has a default").into())
}

async fn parts(matches: &ArgMatches) -> Result<()> {
    let text = |name| matches.get_one::<String>(name).expect("it is required").as_str();
    let players = matches.get_one::<u32>("players").copied().expect("it has a default") as usize;
    let mode = match text("mode") {
        "hint" => Mode::Hint,
        "list" => Mode::List,
        _ => Mode::Fetch,
    };
    let encoder = Encoder::connect(text("rtmp"), stream_of(matches)).await.context("the encoder")?;
    let sent = encoder.sent();
    let mut pushing = JoinSet::new();
    pushing.spawn(encoder.push());
    let address = text("playlist").parse()?;
    players::live(&address).await?;
    tokio::time::sleep(seconds_of(matches, "warm-up")).await;
    eprintln!("{PLAYERS_START}");
    let arrivals = players::watch(address, mode, players, seconds_of(matches, "seconds"), &sent).await?;
    anyhow::ensure!(pushing.try_join_next().is_none(), "the encoder was sent away");
    println!("{}", report::of(mode, players, &arrivals));
    Ok(())
}

async fn publish(matches: &ArgMatches) -> Result<()> {
    let addresses: Vec<&String> = matches.get_many("address").expect("it is required").collect();
    let mut pushing = JoinSet::new();
    for (index, address) in addresses.iter().enumerate() {
        let encoder =
            Encoder::connect(address, stream_of(matches)).await.with_context(|| format!("encoder {index}"))?;
        pushing.spawn(encoder.push());
    }
    eprintln!("{} encoders push", addresses.len());
    let ended = tokio::time::timeout(seconds_of(matches, "seconds"), pushing.join_next()).await;
    if let Ok(Some(ended)) = ended {
        ended?.context("an encoder was sent away")?;
    }
    println!("{}", serde_json::json!({ "encoders": addresses.len(), "sent_away": 0 }));
    Ok(())
}
