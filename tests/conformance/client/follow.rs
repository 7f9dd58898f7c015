//! Follows one media playlist as a low-latency player does, and fetches everything it names.
//!
//! It waits only by asking the server to hold its requests. What is judged later is recorded; nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::http::{Ask, Http};
use super::playlist::{Place, Playlist, Resource};
use super::probes;
use super::record::{Carries, Exchange, MediaKind, Probe, Rendition, What};
use super::watch::{Course, Options, PATIENCE};

/// What a held answer may take beyond three target durations before it counts as never coming. Only a machine that stands
/// still takes so long.
const HOLD_SLACK: Duration = Duration::from_secs(8);
/// Asked again in a row without anything new, a follower waits so long in between.
const RETRY: Duration = Duration::from_millis(100);
/// After so many answers in a row that were not a playlist it gives up.
const FAILURES_MAX: u32 = 5;
/// RFC 8216bis §4.4.4.9: what left the playlist stays fetchable for three target durations. It is asked for at this many,
/// so that a slow machine does not ask too late.
const REMOVED_AGE_TARGETS: f64 = 2.5;

/// `url` with directives behind its own query.
pub fn with_query(url: &str, query: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}{query}")
}

fn directives(place: Option<Place>, has_parts: bool) -> Option<String> {
    let (msn, part) = place?;
    Some(if has_parts { format!("_HLS_msn={msn}&_HLS_part={part}") } else { format!("_HLS_msn={msn}") })
}

/// Follows one rendition.
pub struct Follower {
    http: Arc<Http>,
    index: usize,
    rendition: Rendition,
    options: Options,
    started: Instant,
    fetches: JoinSet<()>,
    asked_for: BTreeSet<Resource>,
    /// What the newest playlist lists, and whether it will be asked for when it is gone.
    listed: BTreeMap<Resource, bool>,
    /// When the request was sent whose answer last listed something: it was not removed before.
    listed_at: Instant,
    /// Removed resources that are asked for again when they are old enough.
    removed: Vec<(Resource, Instant)>,
}

impl Follower {
    pub fn new(http: Arc<Http>, index: usize, rendition: Rendition, options: Options, started: Instant) -> Follower {
        Follower {
            http,
            index,
            rendition,
            options,
            started,
            fetches: JoinSet::new(),
            asked_for: BTreeSet::new(),
            listed: BTreeMap::new(),
            listed_at: started,
            removed: Vec::new(),
        }
    }

    /// Follows to the end of the stream or of the time.
    pub async fn run(mut self) {
        let mut place = None;
        let mut patience = PATIENCE;
        let mut failures = 0;
        let mut probing = false;
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let what = What::Playlist(self.index, place);
            let query = directives(place, self.has_parts());
            let url = query.map_or_else(|| self.rendition.url.clone(), |query| with_query(&self.rendition.url, &query));
            let exchange = self.http.get(what, &url, patience).await;
            let over = self.started.elapsed() >= self.options.watch;
            if exchange.status != 200 {
                failures += 1;
                let held = exchange.status == 503 || exchange.error.is_some();
                if failures > FAILURES_MAX || over || (held && self.options.course == Course::Stalls) {
                    break;
                }
                place = None;
                retry.tick().await;
                continue;
            }
            failures = 0;
            let list = Playlist::read(&exchange.text(), &url);
            let came = place.is_none_or(|asked| list.next_place() > Some(asked));
            patience = Duration::from_secs_f64(list.target_secs() * 3.0) + HOLD_SLACK;
            self.take(&list, &exchange, patience, over);
            if list.ended {
                self.after_the_end(&list).await;
                break;
            }
            if !probing && self.rendition.carries != Carries::Other {
                probing = true;
                let prober = probes::Prober::new(&self.http, self.index, &self.rendition.url, patience);
                self.fetches.spawn(prober.run(list.clone()));
            }
            if over && self.options.course == Course::Live {
                break;
            }
            if over && self.started.elapsed() > self.options.watch + patience {
                break;
            }
            let can_block = list.control.as_ref().is_some_and(|control| control.can_block_reload);
            place = list.next_place().filter(|_| can_block);
            if place.is_none() || !came {
                retry.tick().await;
            }
        }
        while self.fetches.join_next().await.is_some() {}
        // What is younger is still there as well.
        for (resource, since) in std::mem::take(&mut self.removed) {
            self.fetch_removed(resource, since);
        }
        while self.fetches.join_next().await.is_some() {}
    }

    fn has_parts(&self) -> bool {
        self.rendition.carries != Carries::IFrames
    }

    /// Asks for everything that is new in a playlist.
    fn take(&mut self, list: &Playlist, exchange: &Exchange, patience: Duration, over: bool) {
        let mut listed = BTreeMap::new();
        for segment in &list.segments {
            if let Some(map) = &segment.map {
                self.fetch(MediaKind::Init, map, patience);
            }
            for (index, part) in segment.parts.iter().enumerate().filter(|(_, part)| !part.gap) {
                // Of the parts of a segment the last one stands for all.
                listed.insert(part.resource.clone(), index + 1 == segment.parts.len());
                self.fetch(MediaKind::Part, &part.resource, patience);
            }
            if let Some((resource, _)) = segment.whole.as_ref().filter(|_| !segment.gap) {
                listed.insert(resource.clone(), true);
                self.fetch(MediaKind::Segment, resource, patience);
            }
        }
        for hint in list.hints.iter().filter(|_| !over) {
            let kind = if hint.kind == "MAP" { MediaKind::Init } else { MediaKind::Hint };
            self.fetch(kind, &hint.resource, patience);
        }
        let gone = self.listed.iter().filter(|(resource, asked)| **asked && !listed.contains_key(resource));
        for resource in gone.map(|(resource, _)| resource.clone()).collect::<Vec<_>>() {
            self.fetch_removed(resource.clone(), self.listed_at);
            self.removed.push((resource, self.listed_at));
        }
        self.listed = listed;
        self.listed_at = exchange.sent;
        let target = Duration::from_secs_f64(list.target_secs() * REMOVED_AGE_TARGETS);
        let due = self.removed.iter().filter(|(_, since)| since.elapsed() >= target).cloned().collect::<Vec<_>>();
        self.removed.retain(|(_, since)| since.elapsed() < target);
        for (resource, since) in due {
            self.fetch_removed(resource, since);
        }
    }

    fn fetch(&mut self, kind: MediaKind, resource: &Resource, patience: Duration) {
        if !self.asked_for.insert(resource.clone()) {
            return;
        }
        let what = What::Media(self.index, kind, resource.clone());
        self.spawn(what, resource.clone(), patience);
    }

    fn fetch_removed(&mut self, resource: Resource, since: Instant) {
        let what = What::Removed(self.index, resource.clone(), since);
        self.spawn(what, resource, PATIENCE);
    }

    fn spawn(&mut self, what: What, resource: Resource, patience: Duration) {
        let http = Arc::clone(&self.http);
        let range = resource.range.map(|(offset, len)| match len {
            // RFC 8216bis §4.4.5.3: the length is not known, so 2^53 - 1 stands for the end.
            0 => format!("bytes={offset}-9007199254740991"),
            _ => format!("bytes={offset}-{}", offset + len - 1),
        });
        self.fetches.spawn(async move {
            http.ask(what, &resource.url, &Ask { range, no_gzip: false }, patience).await;
        });
    }

    /// RFC 8216bis §6.2.5.2: a playlist that has ended answers at once, whatever it is asked, and changes no more.
    async fn after_the_end(&mut self, list: &Playlist) {
        let beyond = list.last_msn().unwrap_or(0) + 100;
        let asked = [
            ("_HLS_msn", format!("_HLS_msn={beyond}")),
            ("_HLS_msn and _HLS_part", format!("_HLS_msn={beyond}&_HLS_part=3")),
            ("_HLS_skip", "_HLS_skip=YES".to_owned()),
        ];
        for (name, query) in asked {
            let what = What::Probe(self.index, Probe::Ended(name));
            self.http.get(what, &with_query(&self.rendition.url, &query), PATIENCE).await;
        }
        while self.fetches.join_next().await.is_some() {}
        self.http.get(What::Probe(self.index, Probe::EndedAgain), &self.rendition.url, PATIENCE).await;
    }
}
