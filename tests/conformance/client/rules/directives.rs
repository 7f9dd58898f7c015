//! Rules about delivery directives (RFC 8216bis §6.2.5).

use std::time::Duration;

use super::{Findings, excerpt};
use crate::client::playlist::Playlist;
use crate::client::record::{Exchange, MediaKind, Probe, What};
use crate::client::session::{Log, Seen, Session};
use crate::client::watch::Course;

/// Target durations after which a blocked request is given up.
const HOLD_TARGETS: u32 = 3;
/// How much earlier a clock may say so, and how much later a loaded machine.
const HOLD_EARLY: Duration = Duration::from_millis(500);
const HOLD_LATE: Duration = Duration::from_secs(6);

fn probes(session: &Session, wanted: impl Fn(&Probe) -> bool) -> impl Iterator<Item = &Exchange> {
    session.exchanges().filter(move |exchange| matches!(&exchange.what, What::Probe(_, probe) if wanted(probe)))
}

fn log_of<'a>(session: &'a Session, exchange: &Exchange) -> Option<&'a Log> {
    match exchange.what {
        What::Playlist(index, _) | What::Probe(index, _) | What::Media(index, ..) => session.logs.get(index),
        _ => None,
    }
}

/// The text of an answer as a playlist.
fn list_of(exchange: &Exchange) -> Option<Playlist> {
    (exchange.status == 200).then(|| Playlist::read(&exchange.text(), &exchange.url))
}

/// The playlist had ended meanwhile, so that its directives are ignored (D4).
fn has_ended(exchange: &Exchange) -> bool {
    list_of(exchange).is_some_and(|list| list.ended)
}

/// D1: the answer to a blocking request has what was asked for.
pub fn blocking(session: &Session, found: &mut Findings<'_>) {
    for seen in session.logs.iter().flat_map(|log| &log.seen) {
        let What::Playlist(_, Some(asked)) = seen.exchange.what else { continue };
        let came = match seen.exchange.url.contains("_HLS_part=") {
            true => seen.list.next_place() > Some(asked),
            false => seen.list.last_finished_msn() >= Some(asked.0),
        };
        found.check(
            came || seen.list.ended,
            || format!("answered before {asked:?} was there"),
            || excerpt(seen, &["MEDIA-SEQUENCE", "PRELOAD-HINT"]),
        );
    }
    for exchange in probes(session, |probe| matches!(probe, Probe::Whole(_))) {
        let What::Probe(_, Probe::Whole(msn)) = exchange.what else { continue };
        let Some(list) = list_of(exchange) else { continue };
        found.check(
            list.ended || list.last_finished_msn() >= Some(msn),
            || format!("asked for the whole segment {msn}, answered before it was"),
            || exchange.summary(),
        );
    }
    if session.record.options.course == Course::Live {
        let failed = session.exchanges().filter(|exchange| matches!(exchange.what, What::Playlist(..)));
        for exchange in failed.filter(|exchange| exchange.status != 200) {
            found.check(false, || "a reload of a live playlist fails".into(), || exchange.summary());
        }
    }
}

/// D2.
pub fn behind_finished(session: &Session, found: &mut Findings<'_>) {
    for exchange in probes(session, |probe| matches!(probe, Probe::BehindFinished(_))) {
        let What::Probe(_, Probe::BehindFinished(msn)) = exchange.what else { continue };
        let there = list_of(exchange).is_some_and(|list| list.next_place() > Some((msn + 1, 0)));
        found.check(
            there,
            || format!("the part behind the last of segment {msn} is part 0 of the next, which is there"),
            || exchange.summary(),
        );
    }
}

/// D3: what is long there, or gone, is answered with the whole playlist.
pub fn past(session: &Session, found: &mut Findings<'_>) {
    for exchange in probes(session, |probe| *probe == Probe::Past) {
        let list = list_of(exchange);
        let whole = list.is_some_and(|list| !list.segments.is_empty() && list.skip.is_none());
        found.check(
            whole,
            || "a request for an old segment is not answered with the playlist".into(),
            || exchange.summary(),
        );
    }
}

/// D4.
pub fn ended(session: &Session, found: &mut Findings<'_>) {
    for exchange in probes(session, |probe| matches!(probe, Probe::Ended(_))) {
        let list = list_of(exchange);
        let whole = list.is_some_and(|list| list.ended && list.skip.is_none() && !list.segments.is_empty());
        let limit = session.target().unwrap_or(Duration::from_secs(6)) * HOLD_TARGETS - HOLD_EARLY;
        found.check(
            whole && exchange.took() < limit,
            || "a directive for a playlist with EXT-X-ENDLIST is not ignored".into(),
            || exchange.summary(),
        );
    }
}

/// D5.
pub fn too_far(session: &Session, found: &mut Findings<'_>) {
    for exchange in probes(session, |probe| matches!(probe, Probe::TooFar(_))) {
        let What::Probe(_, Probe::TooFar(what)) = &exchange.what else { continue };
        if has_ended(exchange) {
            continue;
        }
        found.check(
            exchange.status == 400,
            || format!("a request {what} is not refused at once"),
            || exchange.summary(),
        );
    }
}

/// D6.
pub fn malformed(session: &Session, found: &mut Findings<'_>) {
    for exchange in probes(session, |probe| matches!(probe, Probe::Malformed(_))) {
        let What::Probe(_, Probe::Malformed(what)) = &exchange.what else { continue };
        if has_ended(exchange) {
            continue;
        }
        found.check(exchange.status == 400, || format!("{what}: not answered 400"), || exchange.summary());
    }
}

/// D7: what does not come is given up after three target durations, with 503.
pub fn timeout(session: &Session, found: &mut Findings<'_>) {
    let Some(target) = session.target() else { return };
    let limit = target * HOLD_TARGETS;
    for exchange in session.exchanges() {
        let held = matches!(
            &exchange.what,
            What::Playlist(_, Some(_)) | What::Probe(_, Probe::Whole(_)) | What::Media(_, MediaKind::Hint, _)
        );
        if !held {
            continue;
        }
        found.check(
            exchange.error.is_none() && exchange.took() <= limit + HOLD_LATE,
            || "a request is held for more than three target durations".into(),
            || exchange.summary(),
        );
        // Whether sooner than that is a refusal for another reason (a server may be full) is not seen from here.
        let gave_up = exchange.status != 200 && exchange.error.is_none() && exchange.took() >= limit - HOLD_EARLY;
        if gave_up {
            let status = exchange.status;
            let hint = matches!(exchange.what, What::Media(..));
            found.check(
                status == 503 || (hint && status == 404),
                || format!("a request that waited in vain is answered {status}, not 503"),
                || exchange.summary(),
            );
        }
    }
    if session.record.options.course == Course::Stalls {
        for (index, log) in session.logs.iter().enumerate() {
            let of = |exchange: &&Exchange| matches!(exchange.what, What::Playlist(own, Some(_)) if own == index);
            let last = session.exchanges().filter(of).last();
            found.check(
                last.is_some_and(|last| last.status == 503 && last.took() >= limit - HOLD_EARLY),
                || {
                    "the stream stands still, and a blocked reload is not answered 503 after three target durations"
                        .into()
                },
                || last.map_or_else(|| log.rendition.url.clone(), Exchange::summary),
            );
        }
    }
}

/// D8: a delta update leaves out what is far from the end and nothing else; who does not offer them sends all.
pub fn skip(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for seen in &log.skips {
            let boundary = log.seen.first().and_then(|first| first.list.control.as_ref()?.can_skip_until);
            let evidence = || excerpt(seen, &["SERVER-CONTROL", "MEDIA-SEQUENCE", "EXT-X-SKIP"]);
            let (Some(boundary), Some((skipped, removed))) = (boundary, seen.list.skip) else {
                found.check(
                    seen.list.skip.is_none(),
                    || "EXT-X-SKIP from a server that does not offer it".into(),
                    evidence,
                );
                continue;
            };
            found.check(skipped > 0, || "EXT-X-SKIP of no segment".into(), evidence);
            let kept = seen.list.segments.iter().map(|segment| segment.secs()).sum::<f64>();
            found.check(
                kept >= boundary - 0.01,
                || format!("{kept:.3} s are left, but the skip boundary is {boundary} s from the end"),
                evidence,
            );
            let v2 = matches!(seen.exchange.what, What::Probe(_, Probe::Skip("v2")));
            found.check(v2 || !removed, || "date ranges are skipped for _HLS_skip=YES".into(), evidence);
            check_rest(log, seen, found);
        }
    }
    for exchange in probes(session, |probe| matches!(probe, Probe::Skip(_))) {
        if log_of(session, exchange).is_some_and(|log| log.seen.iter().all(|seen| !seen.list.ended)) {
            found.check(exchange.status == 200, || "_HLS_skip is not answered".into(), || exchange.summary());
        }
    }
}

/// What a delta update still lists is what the whole playlist lists, under the same numbers.
fn check_rest(log: &Log, seen: &Seen, found: &mut Findings<'_>) {
    let evidence = || excerpt(seen, &["MEDIA-SEQUENCE", "DISCONTINUITY", "EXT-X-SKIP"]);
    for segment in seen.list.finished() {
        let Some(known) = log.history.get(&segment.msn).filter(|known| known.whole.is_some()) else { continue };
        found.check(
            known.whole == segment.whole && known.date == segment.date && known.discontinuity == segment.discontinuity,
            || format!("segment {} of a delta update is another one in the playlist", segment.msn),
            evidence,
        );
    }
    // RFC 8216bis §6.2.5.1: the header is that of the whole playlist. Of those seen around it, one has the same window.
    let same_window = log.seen.iter().find(|full| full.list.media_sequence == seen.list.media_sequence);
    if let Some(full) = same_window {
        found.check(
            full.list.discontinuity_sequence == seen.list.discontinuity_sequence,
            || "EXT-X-DISCONTINUITY-SEQUENCE of a delta update is not that of the playlist".into(),
            evidence,
        );
    }
}

/// D10: `_HLS_` is never copied into addresses; the query that carries a token always is.
pub fn addresses(session: &Session, found: &mut Findings<'_>) {
    let query = session.record.options.url.split_once('?').map(|(_, query)| query.to_owned());
    let mut check = |uri: &str, evidence: String| {
        found.check(!uri.contains("_HLS_"), || format!("a directive in an address: {uri}"), || evidence.clone());
        if let Some(query) = &query {
            found.check(
                uri.contains(query.as_str()),
                || format!("an address without the token: {uri}"),
                || evidence.clone(),
            );
        }
    };
    for (exchange, list) in &session.multivariants {
        list.uris().for_each(|uri| check(uri, exchange.summary()));
    }
    for seen in session.all_lists() {
        seen.list.uris.iter().for_each(|(_, uri)| check(uri, seen.exchange.summary()));
    }
}
