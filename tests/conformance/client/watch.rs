//! Watches a whole stream: the multivariant playlist, then every rendition it names, side by side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::follow::Follower;
use super::http::{Ask, Http};
use super::multivariant::Multivariant;
use super::playlist::Playlist;
use super::record::{Carries, MediaKind, Record, Rendition, What};

/// How the stream is going to behave, as far as whoever starts it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It goes on.
    Live,
    /// Its frames stop, and its playlists stay open: blocked requests must be answered 503.
    Stalls,
    /// It ends: ENDLIST must come.
    Ends,
    /// It is an asset that is whole: everything there is of it is fetched once.
    Asset,
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
    if options.course == Course::Asset {
        for (index, rendition) in renditions.iter().enumerate() {
            take_whole(&http, index, rendition).await;
        }
        return Record { options, renditions, exchanges: http.take_log() };
    }
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

/// A media playlist of an asset, which need not be listed, with everything that it names.
pub async fn watch_one(options: Options) -> Record {
    let http = Http::new();
    let rendition = Rendition { url: options.url.clone(), carries: Carries::Variant };
    take_whole(&http, 0, &rendition).await;
    Record { options, renditions: vec![rendition], exchanges: http.take_log() }
}

/// A playlist with everything that it names.
async fn take_whole(http: &Http, index: usize, rendition: &Rendition) {
    let exchange = http.get(What::Playlist(index, None), &rendition.url, PATIENCE).await;
    let list = Playlist::read(&exchange.text(), &exchange.url);
    let mut inits = BTreeSet::new();
    for segment in &list.segments {
        let init = segment.map.iter().filter(|map| inits.insert((*map).clone())).map(|map| (MediaKind::Init, map));
        let media = segment.whole.iter().map(|(resource, _)| (MediaKind::Segment, resource));
        for (kind, resource) in init.chain(media) {
            let range =
                resource.range.map(|(offset, len)| format!("bytes={offset}-{}", offset + len.saturating_sub(1)));
            let what = What::Media(index, kind, resource.clone());
            http.ask(what, &resource.url, &Ask { range, no_gzip: false }, PATIENCE).await;
        }
    }
}

/// Asks until there is something to play. Only the last answer is recorded: before it, 404 is right.
async fn first_multivariant(http: &Http, options: &Options) -> Vec<Rendition> {
    let mut poll = tokio::time::interval(FIRST_PLAYLIST_POLL);
    let started = Instant::now();
    loop {
        poll.tick().await;
        let ask = Ask::default();
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
