//! A small origin with a synthetic low-latency stream, right in everything but one chosen fault.
//!
//! It tests the client: a client that finds nothing wrong is worth something only if it finds what is. It shares nothing
//! with the server under test; its boxes are written by hand. `stream` says what there is, `write` how it is listed,
//! `answer` what a request gets.

mod answer;
pub mod boxes;
mod fault;
mod stream;
mod tls;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use fault::Fault;

use crate::client::Course;
use stream::{PART_MS, PARTS_AT_START, PARTS_PER_SEGMENT, Track};

/// Parts that come before a stream stalls, in the middle of a segment, or ends, behind one.
const PARTS_BEFORE_STALL: usize = 6;
const PARTS_BEFORE_END: usize = 3 * PARTS_PER_SEGMENT - 1;

/// How far the stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    parts: usize,
    ended: bool,
}

/// What every request sees.
#[derive(Debug)]
struct Shared {
    fault: Fault,
    base: String,
    edge: watch::Receiver<Edge>,
    started: Instant,
    counts: [AtomicUsize; 3],
    ended_counts: [AtomicUsize; 3],
}

/// A running origin. Dropping it ends it.
pub struct Origin {
    url: String,
    _tasks: JoinSet<()>,
}

impl Origin {
    /// Starts an origin on a free port.
    pub async fn start(fault: Fault, course: Course, over_tls: bool) -> Origin {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let base = format!("{}://{address}", if over_tls { "https" } else { "http" });
        let (sender, edge) = watch::channel(Edge { parts: PARTS_AT_START, ended: false });
        let counts = || std::array::from_fn(|_| AtomicUsize::new(0));
        let shared = Shared {
            fault,
            base: base.clone(),
            edge,
            started: Instant::now(),
            counts: counts(),
            ended_counts: counts(),
        };
        let router = Router::new().fallback(answer::answer).with_state(Arc::new(shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(go_on(sender, fault, course));
        if over_tls {
            let http2 = fault != Fault::NoHttp2;
            tasks.spawn(tls::serve(listener, router, http2));
        } else {
            tasks.spawn(async move { axum::serve(listener, router).await.expect("the origin serves") });
        }
        Origin { url: format!("{base}/live/index.m3u8?t=token"), _tasks: tasks }
    }

    /// Its multivariant playlist, with a token.
    pub fn url(&self) -> String {
        self.url.clone()
    }
}

/// The stream's clock: a part every half second.
async fn go_on(edge: watch::Sender<Edge>, fault: Fault, course: Course) {
    let step = if fault == Fault::PartsInBursts { 2 } else { 1 };
    let mut clock = tokio::time::interval(Duration::from_millis(PART_MS * step));
    clock.tick().await;
    loop {
        clock.tick().await;
        let parts = edge.borrow().parts + step as usize;
        let came = parts - PARTS_AT_START;
        if course == Course::Stalls && came > PARTS_BEFORE_STALL {
            break;
        }
        let ended = course == Course::Ends && came == PARTS_BEFORE_END;
        edge.send_replace(Edge { parts, ended: ended && fault != Fault::NoEndlist });
        if ended {
            break;
        }
    }
    // Those who wait for more must not be told that the clock is gone.
    edge.closed().await;
}

impl Shared {
    /// Counts a playlist: how many there were, and how many behind the end.
    fn count(&self, track: Track, ended: bool) -> (usize, usize) {
        let index = Track::ALL.iter().position(|known| *known == track).expect("all are listed");
        let ended_count = self.ended_counts[index].fetch_add(usize::from(ended), Ordering::Relaxed);
        (self.counts[index].fetch_add(1, Ordering::Relaxed), ended_count)
    }

    /// Parts that there are of a track.
    fn parts_of(&self, track: Track, edge: Edge) -> usize {
        let behind = self.fault == Fault::RenditionsApart && track == Track::Audio;
        edge.parts - if behind { 4 } else { 0 }
    }
}
