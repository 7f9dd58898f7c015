//! Rules about EXT-X-PRELOAD-HINT and what is asked for before it exists (RFC 8216bis §4.4.5.3, §6.2.6).

use super::{Findings, excerpt};
use crate::client::playlist::Playlist;
use crate::client::record::{MediaKind, Probe, What};
use crate::client::session::{Fetched, Log, Session};

/// Of all hints so many may be dropped, because a source may do what nobody could know.
const DROPPED_SHARE_MAX: f64 = 1.0 / 3.0;
/// Fewer hints say nothing about the share.
const HINTS_MIN: usize = 4;
/// A body that takes this share of its part's duration is sent as it is made, not at link speed.
const SLOW_SHARE: f64 = 0.5;

/// L9: while live with parts there is one hint for the next one; at most one of each type; none behind the end.
pub fn listed(session: &Session, found: &mut Findings<'_>) {
    session.logs.iter().for_each(|log| listed_of(log, found));
}

/// No part is expected behind this playlist (Appendix B.1 asks for a hint of the one that is): its source has gone away. It
/// came back behind a discontinuity, or the playlist ended where it stood.
fn is_over(log: &Log, list: &Playlist) -> bool {
    let next = list.next_place().and_then(|(msn, part)| Some((part, log.history.get(&msn)?)));
    match next.filter(|(part, segment)| *part < segment.parts.len()) {
        Some((part, segment)) => part == 0 && segment.discontinuity,
        None => log.seen.iter().chain(&log.probed).any(|seen| seen.list.ended),
    }
}

fn listed_of(log: &Log, found: &mut Findings<'_>) {
    let lists = log.seen.iter().chain(&log.probed).chain(&log.skips);
    for seen in lists.filter(|seen| seen.list.has_parts()) {
        let list = &seen.list;
        let evidence = || excerpt(seen, &["PRELOAD-HINT", "ENDLIST"]);
        let count = |kind: &str| list.hints.iter().filter(|hint| hint.kind == kind).count();
        found.check(count("PART") <= 1 && count("MAP") <= 1, || "two hints of one type".into(), evidence);
        if list.ended {
            found.check(list.hints.is_empty(), || "a hint behind EXT-X-ENDLIST".into(), evidence);
        } else {
            let lacks = count("PART") == 0 && !is_over(log, list);
            found.check(!lacks, || "parts and no end, but no hint of TYPE=PART".into(), evidence);
        }
        let already = |url: &str| {
            let parts = list.segments.iter().flat_map(|segment| &segment.parts);
            parts.filter(|part| part.resource.range.is_none()).any(|part| part.resource.url == url)
        };
        let stale = list.part_hint().filter(|hint| already(&hint.resource.url));
        found.check(stale.is_none(), || "the hint names a part that is listed already".into(), evidence);
    }
}

/// What became of a hint.
enum Fate {
    Listed,
    Dropped,
    /// Nothing newer was seen.
    Unknown,
}

fn fates(log: &Log) -> Vec<(String, Fate)> {
    let mut fates: Vec<(String, Fate)> = Vec::new();
    for seen in &log.seen {
        let (Some(hint), Some(place)) = (seen.list.part_hint(), seen.list.next_place()) else { continue };
        let url = &hint.resource.url;
        if fates.iter().any(|(known, _)| known == url) {
            continue;
        }
        let parts = || log.history.values().flat_map(|segment| &segment.parts);
        // A client that was late may have missed the playlist that listed it: only what was seen counts.
        let went_on = log
            .history
            .get(&place.0)
            .is_some_and(|segment| place.1 < segment.parts.len() || log.with_all_parts.contains(&segment.msn));
        let fate = match went_on {
            _ if parts().any(|part| part.resource.url == *url) => Fate::Listed,
            true => Fate::Dropped,
            false => Fate::Unknown,
        };
        fates.push((url.clone(), fate));
    }
    fates
}

/// L9: the next part has the address that was hinted.
pub fn come_true(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        let fates = fates(log);
        let known = fates.iter().filter(|(_, fate)| !matches!(fate, Fate::Unknown)).count();
        if known < HINTS_MIN {
            continue;
        }
        let dropped: Vec<&str> =
            fates.iter().filter(|(_, fate)| matches!(fate, Fate::Dropped)).map(|(url, _)| url.as_str()).collect();
        found.check(
            dropped.len() as f64 <= DROPPED_SHARE_MAX * known as f64,
            || format!("{} of {known} hints never became a part", dropped.len()),
            || dropped.iter().take(4).copied().collect::<Vec<_>>().join("\n"),
        );
    }
}

/// L10: a hinted request is held, answered as a whole, and refused when the hint was dropped. What was never named is 404.
pub fn held(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        let hinted = |url: &str| {
            let of = |fetched: &&Fetched| fetched.kind == MediaKind::Hint && fetched.exchange.url == url;
            log.media.values().find(of).map(|fetched| &fetched.exchange)
        };
        for (url, fate) in fates(log) {
            let Some(exchange) = hinted(&url) else { continue };
            let status = exchange.status;
            match fate {
                Fate::Listed => found.check(
                    matches!(status, 200 | 206),
                    || "a hinted part came, but the request that waited for it was refused".into(),
                    || exchange.summary(),
                ),
                Fate::Dropped => found.check(
                    !matches!(status, 200 | 206),
                    || "a hint that was dropped is answered".into(),
                    || exchange.summary(),
                ),
                Fate::Unknown => {}
            }
        }
        let part_secs = log.seen.first().and_then(|seen| seen.list.part_target).unwrap_or(0.0);
        let whole: Vec<_> =
            log.media.values().filter(|fetched| fetched.kind == MediaKind::Hint && fetched.is_there()).collect();
        let slow = whole.iter().filter(|fetched| fetched.exchange.body_took().as_secs_f64() > SLOW_SHARE * part_secs);
        let slow: Vec<_> = slow.collect();
        if part_secs > 0.0 && whole.len() >= HINTS_MIN {
            found.check(
                slow.len() * 2 <= whole.len(),
                || "hinted parts are sent as they are made, not at the speed of the link".into(),
                || slow.first().map(|fetched| fetched.exchange.summary()).unwrap_or_default(),
            );
        }
    }
    for exchange in session.exchanges().filter(|exchange| matches!(exchange.what, What::Probe(_, Probe::Unknown))) {
        found.check(
            exchange.status == 404,
            || "media that was never named is not answered 404".into(),
            || exchange.summary(),
        );
    }
}
