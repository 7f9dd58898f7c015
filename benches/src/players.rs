//! Players that are blocked at the live edge, each on connections of its own.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::Uri;
use tokio::task::JoinSet;

use crate::encoder::{MARK, MARK_DIGITS, Sent};
use crate::http::{Connection, resolve};
use crate::playlist::{edge, variant};

/// How long the stream may take to be listed.
const LIVE_WAIT: Duration = Duration::from_secs(60);
const LIVE_POLL: Duration = Duration::from_millis(200);
/// What comes in the first seconds is not counted: connections are made, caches are cold.
const SETTLE: Duration = Duration::from_secs(4);
/// Between the starts of two players, so that they are not one burst.
const START_EVERY: Duration = Duration::from_micros(500);

/// What a player waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The playlist, then it fetches the new part, as hls.js and Shaka do: until the part is there whole.
    Fetch,
    /// The part that the playlist hints at, asked for before it exists, as AVPlayer does: until it is there whole.
    Hint,
    /// The playlist alone: until it lists the part. One more player fetches parts, to know the frames in them.
    List,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Seconds from the last frame's leave to the part's arrival, for each part and player.
    pub delays: Vec<f64>,
    pub parts: usize,
    pub errors: usize,
    pub first_error: Option<String>,
}

/// One arrival at one player, by the part's address.
struct Arrival {
    part: String,
    at: Instant,
    last_frame: Option<usize>,
}

/// Lets `players` follow the stream for `duration`, and matches what they got with what was sent.
pub async fn watch(address: Uri, mode: Mode, players: usize, duration: Duration, sent: &Sent) -> Result<Arrivals> {
    let address = Arc::new(address);
    let mut watching = JoinSet::new();
    if mode == Mode::List {
        watching.spawn(follow(Arc::clone(&address), Mode::Fetch, duration));
    }
    for _ in 0..players {
        watching.spawn(follow(Arc::clone(&address), mode, duration));
        tokio::time::sleep(START_EVERY).await;
    }
    let (mut arrivals, mut seen) = (Arrivals::default(), Vec::new());
    while let Some(result) = watching.join_next().await {
        let (got, error) = result?;
        seen.extend(got);
        arrivals.errors += usize::from(error.is_some());
        arrivals.first_error = arrivals.first_error.or(error.map(|error| format!("{error:#}")));
    }
    let frames: HashMap<&str, usize> =
        seen.iter().filter_map(|arrival| Some((arrival.part.as_str(), arrival.last_frame?))).collect();
    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    arrivals.parts = frames.len();
    for arrival in seen.iter().filter(|arrival| mode != Mode::List || arrival.last_frame.is_none()) {
        if let Some(left) = frames.get(arrival.part.as_str()).and_then(|&frame| sent.get(frame)) {
            arrivals.delays.push(arrival.at.saturating_duration_since(*left).as_secs_f64());
        }
    }
    Ok(arrivals)
}

/// Waits until the stream lists a part.
pub async fn live(address: &Uri) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = async {
            let (mut connection, playlist) = open(address).await?;
            let (text, _) = connection.get(&playlist).await?;
            anyhow::ensure!(!edge(std::str::from_utf8(&text)?).parts.is_empty(), "no part is listed");
            anyhow::Ok(())
        };
        match found.await {
            Ok(()) => return Ok(()),
            Err(error) if began.elapsed() > LIVE_WAIT => return Err(error.context("the stream is not live")),
            Err(_) => tokio::time::sleep(LIVE_POLL).await,
        }
    }
}

/// A player's connection, and the first variant's playlist as its own multivariant playlist names it: servers tell
/// players apart by cookies and addresses.
async fn open(address: &Uri) -> Result<(Connection, Uri)> {
    let mut connection = Connection::open(address).await?;
    let (text, base) = connection.get(address).await?;
    let playlist = resolve(&base, variant(std::str::from_utf8(&text)?).context("no variant")?)?;
    Ok((connection, playlist))
}

async fn follow(address: Arc<Uri>, mode: Mode, duration: Duration) -> (Vec<Arrival>, Option<anyhow::Error>) {
    let mut arrivals = Vec::new();
    let began = Instant::now();
    let result = match mode {
        Mode::Hint => follow_hints(&address, began + SETTLE + duration, &mut arrivals).await,
        Mode::Fetch | Mode::List => follow_lists(&address, mode, began + SETTLE + duration, &mut arrivals).await,
    };
    arrivals.retain(|arrival| arrival.at > began + SETTLE);
    (arrivals, result.err())
}

fn blocking(playlist: &Uri, msn: u64, part: u32) -> Result<Uri> {
    let separator = if playlist.query().is_some() { '&' } else { '?' };
    Ok(format!("{playlist}{separator}_HLS_msn={msn}&_HLS_part={part}").parse()?)
}

async fn follow_lists(address: &Uri, mode: Mode, end: Instant, arrivals: &mut Vec<Arrival>) -> Result<()> {
    let (mut connection, playlist) = open(address).await?;
    let (mut text, _) = connection.get(&playlist).await?;
    while Instant::now() < end {
        let list = edge(std::str::from_utf8(&text)?);
        (text, _) = connection.get(&blocking(&playlist, list.msn, list.part)?).await?;
        let mut at = Instant::now();
        let Some(part) = edge(std::str::from_utf8(&text)?).parts.last().map(|part| (*part).to_owned()) else {
            continue;
        };
        let mut last_frame = None;
        if mode == Mode::Fetch {
            let (bytes, _) = connection.get(&resolve(&playlist, &part)?).await?;
            at = Instant::now();
            last_frame = last_mark(&bytes);
        }
        arrivals.push(Arrival { part, at, last_frame });
    }
    Ok(())
}

/// A hint may turn out wrong, where a segment ends unforeseen: it is then not found, and the next one counts.
async fn follow_hints(address: &Uri, end: Instant, arrivals: &mut Vec<Arrival>) -> Result<()> {
    let (mut lists, playlist) = open(address).await?;
    let mut parts = lists.another(&playlist).await?;
    let (mut text, _) = lists.get(&playlist).await?;
    while Instant::now() < end {
        let list = edge(std::str::from_utf8(&text)?);
        let hint = list.hint.context("no part is hinted at")?.to_owned();
        let address = resolve(&playlist, &hint)?;
        let next = blocking(&playlist, list.msn, list.part)?;
        let part = async {
            let part = parts.find(&address).await?;
            anyhow::Ok((part, Instant::now()))
        };
        let (part, list) = tokio::join!(part, lists.get(&next));
        if let (Some((bytes, _)), at) = part? {
            arrivals.push(Arrival { part: hint, at, last_frame: last_mark(&bytes) });
        }
        (text, _) = list?;
    }
    Ok(())
}

/// The number of the last frame in a part.
fn last_mark(bytes: &Bytes) -> Option<usize> {
    let at = bytes.windows(MARK.len()).rposition(|window| window == MARK)? + MARK.len();
    std::str::from_utf8(bytes.get(at..at + MARK_DIGITS)?).ok()?.parse().ok()
}
