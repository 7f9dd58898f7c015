//! Watches a whole stream: the multivariant playlist, then every rendition it names, side by side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::follow::Follower;
use super::http::Http;
use super::multivariant::Multivariant;
use super::record::{Carries, Record, Rendition, What};

/// How the stream is going to behave, as far as whoever starts it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It goes on.
    Live,
    /// Its frames stop, and its playlists stay open: blocked requests must be answered 503.
    Stalls,
    /// It ends: ENDLIST must come.
    Ends,
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct Options {
    /// The multivariant playlist. Its query, if there is one, must reach every address in every playlist.
    pub url: String,
    /// How long.
    pub watch: Duration,
    pub course: Course,
    /// M4 demands an I-frame playlist of every stream with pictures.
    pub i_frames_required: bool,
    /// The source sends keyframes often enough for each segment to begin with one. Without them a server that does not
    /// re-encode cannot help it.
    pub keyframes_in_time: bool,
    /// T3 for renditions that are encoded meanwhile, in seconds: those are as late as the machine is slow. None: the rule's own.
    pub apart_secs_max: Option<f64>,
}

/// A server that has just been started may still have nothing to play.
const FIRST_PLAYLIST_WAIT: Duration = Duration::from_secs(20);
/// How often it is asked meanwhile.
const FIRST_PLAYLIST_POLL: Duration = Duration::from_millis(100);
/// Any answer that waits for nothing.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Watches and records.
pub async fn watch(options: Options) -> Record {
    let http = Arc::new(Http::new());
    let renditions = first_multivariant(&http, &options).await;
    let started = Instant::now();
    let mut followers = JoinSet::new();
    for (index, rendition) in renditions.iter().enumerate() {
        let follower = Follower::new(Arc::clone(&http), index, rendition.clone(), options.clone(), started);
        followers.spawn(follower.run());
    }
    while let Some(ended) = followers.join_next().await {
        ended.expect("a follower does not panic");
    }
    // What it says may have changed meanwhile.
    http.get(What::Multivariant, &options.url, PATIENCE).await;
    Record { options, renditions, exchanges: http.take_log() }
}

/// Asks until there is something to play. Only the last answer is recorded: before it, 404 is right.
async fn first_multivariant(http: &Http, options: &Options) -> Vec<Rendition> {
    let mut poll = tokio::time::interval(FIRST_PLAYLIST_POLL);
    let started = Instant::now();
    loop {
        poll.tick().await;
        let ask = super::http::Ask::default();
        let exchange = http.exchange(What::Multivariant, &options.url, &ask, PATIENCE).await;
        let waits = matches!(exchange.status, 0 | 404 | 503) && started.elapsed() < FIRST_PLAYLIST_WAIT;
        if waits {
            continue;
        }
        let renditions = renditions(&Multivariant::read(&exchange.text(), &options.url));
        http.note(exchange);
        return renditions;
    }
}

/// The media playlists that are named, each once.
pub fn renditions(multivariant: &Multivariant) -> Vec<Rendition> {
    let variants = multivariant.variants.iter().map(|entry| (entry, Carries::Variant));
    let media = multivariant.media.iter().map(|entry| {
        let sound = entry.attributes.text("TYPE") == Some("AUDIO");
        (entry, if sound { Carries::Sound } else { Carries::Other })
    });
    let i_frames = multivariant.i_frames.iter().map(|entry| (entry, Carries::IFrames));
    let mut found: Vec<Rendition> = Vec::new();
    for (entry, carries) in variants.chain(media).chain(i_frames) {
        let Some(url) = &entry.url else { continue };
        if found.iter().all(|known| known.url != *url) {
            found.push(Rendition { url: url.clone(), carries });
        }
    }
    found
}
