//! What only a test asks: directives at their edges, ranges, unknown names, encodings.
//!
//! A stream goes on while it is probed. Where an answer could be right for a playlist that has grown in between, the
//! question is asked again, and only the answer that says most is recorded.

use std::sync::Arc;
use std::time::Duration;

use super::follow::with_query;
use super::http::{Ask, Http};
use super::playlist::Playlist;
use super::record::{Exchange, Probe, What};
use super::watch::PATIENCE;

/// How often a question is asked anew, because the stream may have gone on in between. A server that refused none of so many
/// refuses none.
const QUESTIONS_MAX: u64 = 5;
/// How often there is looked for something to ask.
const TRIES_MAX: u64 = 3 * QUESTIONS_MAX;
/// What waits for nothing is answered within this, on any machine.
const IMMEDIATELY: Duration = Duration::from_secs(4);
/// RFC 8216bis §6.2.5.2: what is too far ahead is refused immediately. What is not refused within this is held.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// RFC 8216bis §6.2.5.2, the Advance Part Limit.
pub fn advance_parts_max(part_target: f64) -> u64 {
    if part_target >= 1.0 { 3 } else { (3.0 / part_target).ceil() as u64 }
}

/// Probes one rendition.
pub struct Prober {
    http: Arc<Http>,
    index: usize,
    url: String,
    patience: Duration,
}

impl Prober {
    pub fn new(http: &Arc<Http>, index: usize, url: &str, patience: Duration) -> Prober {
        Prober { http: Arc::clone(http), index, url: url.to_owned(), patience }
    }

    pub async fn run(self, first: Playlist) {
        self.directives(&first).await;
        self.transport(&first).await;
        let blocks = first.control.as_ref().is_some_and(|control| control.can_block_reload);
        if blocks && !first.i_frames_only {
            self.too_far(&first).await;
            self.finished_and_whole().await;
        }
    }

    async fn probe(&self, probe: Probe, query: &str, patience: Duration) -> Exchange {
        self.http.get(What::Probe(self.index, probe), &with_query(&self.url, query), patience).await
    }

    async fn directives(&self, first: &Playlist) {
        let newest = first.last_msn().unwrap_or(0);
        self.probe(Probe::Past, &format!("_HLS_msn={}", first.media_sequence), PATIENCE).await;
        self.probe(Probe::Past, "_HLS_msn=0&_HLS_part=0", PATIENCE).await;
        for (what, query) in [
            ("_HLS_part without _HLS_msn", "_HLS_part=0".to_owned()),
            ("_HLS_msn is a word", "_HLS_msn=next".into()),
            ("_HLS_msn is negative", "_HLS_msn=-1".into()),
            ("_HLS_msn is a fraction", format!("_HLS_msn={newest}.5")),
            ("_HLS_part is a word", format!("_HLS_msn={newest}&_HLS_part=x")),
        ] {
            self.probe(Probe::Malformed(what), &query, IMMEDIATELY).await;
        }
        for skip in ["YES", "v2"] {
            self.probe(Probe::Skip(skip), &format!("_HLS_skip={skip}"), PATIENCE).await;
        }
    }

    async fn transport(&self, first: &Playlist) {
        let plain = Ask { no_gzip: true, ..Ask::default() };
        self.http.ask(What::Probe(self.index, Probe::Identity), &self.url, &plain, PATIENCE).await;
        let Some((segment, _)) = first.finished().rfind(|segment| !segment.gap).and_then(|found| found.whole.clone())
        else {
            return;
        };
        if let Some((path, name)) = segment.url.split('?').next().and_then(|path| path.rsplit_once('/')) {
            let query = segment.url.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
            let unknown = format!("{path}/never-listed-{name}{query}");
            self.http.get(What::Probe(self.index, Probe::Unknown), &unknown, PATIENCE).await;
        }
        if segment.range.is_some() {
            return;
        }
        for range in ["bytes=10-49", "bytes=16-9007199254740991", "bytes=-20", "bytes=9007199254740000-"] {
            let what = What::Probe(self.index, Probe::Range(segment.clone(), range.to_owned()));
            let ask = Ask { range: Some(range.to_owned()), no_gzip: false };
            self.http.ask(what, &segment.url, &ask, PATIENCE).await;
        }
    }

    async fn newest(&self) -> Option<Playlist> {
        let what = What::Probe(self.index, Probe::Past);
        let exchange = self.http.exchange(what, &self.url, &Ask::default(), PATIENCE).await;
        (exchange.status == 200).then(|| Playlist::read(&exchange.text(), &self.url))
    }

    /// D5.
    async fn too_far(&self, first: &Playlist) {
        let limit = first.part_target.filter(|target| *target > 0.0).map(advance_parts_max);
        self.too_far_for("three segments ahead", |list, more| Some((list.last_msn()? + 3 + more, None))).await;
        if let Some(limit) = limit {
            let ask = |list: &Playlist, more: u64| {
                let (msn, part) = list.last_part()?;
                // Of a segment that is whole, the next part is another segment's.
                list.segment(msn).filter(|segment| segment.whole.is_none())?;
                Some((msn, Some(part as u64 + limit + 1 + more)))
            };
            self.too_far_for("beyond the Advance Part Limit", ask).await;
        }
    }

    /// Asks until it is refused, or until an answer shows that it had to be. A stream that grows behind a question may make it a
    /// right one, so that one answer whose playlist reaches far enough says nothing, and one that is held says little; a server
    /// that never refuses says enough. The later questions are further ahead than a slow machine is late.
    async fn too_far_for(&self, what: &'static str, ask: impl Fn(&Playlist, u64) -> Option<(u64, Option<u64>)>) {
        let (mut questions, mut last) = (0, None);
        for _ in 0..TRIES_MAX {
            let Some(before) = self.newest().await.filter(|list| !list.ended) else { return };
            let Some(asked) = ask(&before, questions / 2) else {
                // Between two segments: as soon as the next part is there, there is something to ask.
                self.next_part(&before).await;
                continue;
            };
            let query = match asked {
                (msn, Some(part)) => format!("_HLS_msn={msn}&_HLS_part={part}"),
                (msn, None) => format!("_HLS_msn={msn}"),
            };
            let probe = What::Probe(self.index, Probe::TooFar(what));
            let url = with_query(&self.url, &query);
            let exchange = self.http.exchange(probe, &url, &Ask::default(), REFUSED_WITHIN).await;
            questions += 1;
            let is_held = exchange.status == 0;
            let reaches = |list: &Playlist| ask(list, 0).is_none_or(|too_far| asked < too_far);
            let has_become_right = exchange.status == 200 && reaches(&Playlist::read(&exchange.text(), &self.url));
            if questions == QUESTIONS_MAX || !(is_held || has_become_right) {
                self.http.note(exchange);
                return;
            }
            last = is_held.then_some(exchange).or(last);
        }
        if let Some(exchange) = last {
            self.http.note(exchange);
        }
    }

    async fn next_part(&self, list: &Playlist) {
        if let Some((msn, part)) = list.next_place() {
            let url = with_query(&self.url, &format!("_HLS_msn={msn}&_HLS_part={part}"));
            let what = What::Probe(self.index, Probe::Past);
            self.http.exchange(what, &url, &Ask::default(), self.patience).await;
        }
    }

    /// D2 and D1.
    async fn finished_and_whole(&self) {
        let Some(list) = self.newest().await else { return };
        let Some(open) = list.next_place().map(|(msn, _)| msn) else { return };
        let whole = list.finished().rfind(|segment| segment.msn + 1 < open && !segment.parts.is_empty());
        if let Some(segment) = whole {
            let query = format!("_HLS_msn={}&_HLS_part={}", segment.msn, segment.parts.len());
            self.probe(Probe::BehindFinished(segment.msn), &query, IMMEDIATELY).await;
        }
        self.probe(Probe::Whole(open), &format!("_HLS_msn={open}"), self.patience).await;
    }
}
